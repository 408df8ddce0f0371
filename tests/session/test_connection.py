"""The legality table against a list written by hand (the broker's tests drive it through its doors)."""

from __future__ import annotations

import pytest

from mqtt_core.codec import PacketType
from mqtt_core.session.connection import (
    ALLOWED,
    AUTHENTICATING,
    CLIENT,
    CLOSED,
    CLOSING,
    NEW,
    OPEN,
    SERVER,
    WAITING,
    ConnectionState,
    keep_alive_limit_s,
)

ACKS = {PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP}
EITHER = {PacketType.PUBLISH, PacketType.DISCONNECT, PacketType.AUTH, *ACKS}
LEGAL = {
    (SERVER, NEW): {PacketType.CONNECT},
    (SERVER, AUTHENTICATING): {PacketType.AUTH, PacketType.DISCONNECT},
    (SERVER, OPEN): {PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE, PacketType.PINGREQ, *EITHER},
    (CLIENT, NEW): {PacketType.CONNACK, PacketType.AUTH},
    (CLIENT, AUTHENTICATING): {PacketType.CONNACK, PacketType.AUTH},
    (CLIENT, OPEN): {PacketType.SUBACK, PacketType.UNSUBACK, PacketType.PINGRESP, *EITHER},
}


@pytest.mark.parametrize("role", [SERVER, CLIENT], ids=["server", "client"])
@pytest.mark.parametrize("state", list(ConnectionState))
@pytest.mark.parametrize("kind", list(PacketType))
def test_what_may_arrive_in_which_phase(role, state, kind):
    assert bool(ALLOWED[role][state] >> kind & 1) == (kind in LEGAL.get((role, state), set()))


def test_the_plain_numbers_are_those_of_the_enumeration():
    assert list(ConnectionState) == [NEW, AUTHENTICATING, WAITING, OPEN, CLOSING, CLOSED]
    assert all(len(table) == len(ConnectionState) for table in ALLOWED)


@pytest.mark.parametrize("keep_alive_s,limit_s", [(0, 0), (1, 1.5), (10, 15), (65_535, 98_302.5)])
def test_the_limit_of_silence_is_one_and_a_half_keep_alives(keep_alive_s, limit_s):
    assert keep_alive_limit_s(keep_alive_s) == limit_s

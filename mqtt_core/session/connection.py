"""Phases of a network connection, and which packet may arrive in which phase.

Law: legality is this table and nothing else. `ALLOWED[role][state]` is a bit mask over the packet types, one shift per
packet; what a packet does is a method elsewhere. Rows read: "in this phase this role may receive ...".
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from mqtt_core.codec.types import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
)

__all__ = [
    "ALLOWED",
    "AUTHENTICATING",
    "CLIENT",
    "CLOSED",
    "CLOSING",
    "NEW",
    "OPEN",
    "SERVER",
    "WAITING",
    "ConnectionState",
    "keep_alive_limit_s",
]

SERVER: Final = 0
CLIENT: Final = 1

NEW: Final = 0  # nothing but CONNECT (server) or CONNACK (client) may arrive
AUTHENTICATING: Final = 1  # enhanced authentication: an AUTH of the peer is awaited
WAITING: Final = 2  # the host has to answer first; nothing is processed
OPEN: Final = 3
CLOSING: Final = 4  # what is held or undrained still goes out, nothing is appended or processed
CLOSED: Final = 5


class ConnectionState(IntEnum):
    """Phase of a connection, the same for both roles."""

    NEW = 0
    AUTHENTICATING = 1
    WAITING = 2
    OPEN = 3
    CLOSING = 4
    CLOSED = 5


def _mask(*packet_types: int) -> int:
    mask = 0
    for packet_type in packet_types:
        mask |= 1 << packet_type
    return mask


_ACKS: Final = (PUBACK, PUBREC, PUBREL, PUBCOMP)

# [MQTT-3.1.0-1] [MQTT-3.1.0-2] [MQTT-3.2.0-2 v5]: CONNECT and CONNACK are legal once, at the beginning.
ALLOWED: Final[tuple[tuple[int, ...], tuple[int, ...]]] = (
    (  # what a server may receive
        _mask(CONNECT),
        _mask(AUTH, DISCONNECT),
        0,
        _mask(PUBLISH, *_ACKS, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT, AUTH),
        0,
        0,
    ),
    (  # what a client may receive
        _mask(CONNACK, AUTH),
        _mask(CONNACK, AUTH),
        0,
        _mask(PUBLISH, *_ACKS, SUBACK, UNSUBACK, PINGRESP, DISCONNECT, AUTH),
        0,
        0,
    ),
)


def keep_alive_limit_s(keep_alive_s: int) -> float:
    """Seconds of silence after which a server closes the connection: one and a half keep alives [MQTT-3.1.2-22 v5]."""
    return keep_alive_s * 1.5

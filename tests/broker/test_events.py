"""What the broker tells its operator, and that it never tells too much."""

from __future__ import annotations

import pytest

from mqtt_core.broker import (
    AuthenticationPending,
    ClientConnected,
    ClientDisconnected,
    ClientRefused,
    QueueOverflow,
    SessionEnded,
)
from mqtt_core.codec import DisconnectPacket, Properties, PublishPacket
from tests.broker.kit import World


def test_the_life_of_a_client(world):
    start = world.now
    client = world.connect("c", peer="1.2.3.4:5", session_expiry_interval=10)
    world.wait(5)
    client.send(DisconnectPacket(0x04, Properties(reason_string="lunch")))
    world.wait(20)
    world.connect("c", version=4, clean=False).drop()
    assert world.events() == [
        ClientConnected(start, "c", "1.2.3.4:5", 5, False),
        ClientDisconnected(start + 5, "c", 0x04, "lunch"),
        SessionEnded(start + 15, "c", "expired"),
        ClientConnected(start + 25, "c", "", 4, False),
        ClientDisconnected(start + 25, "c", 0x80, "connection closed by the peer"),
    ]
    assert world.events() == []


def test_session_present_is_told(world):
    world.connect("c", session_expiry_interval=10).drop()
    world.events()
    world.connect("c", clean=False)
    assert [e.session_present for e in world.events(ClientConnected)] == [True]


def test_a_session_that_is_discarded_is_told(world):
    world.connect("c", session_expiry_interval=10).drop()
    world.events()
    world.connect("c")
    ended, connected = world.events()
    assert ended == SessionEnded(world.now, "c", "discarded by a new connection")
    assert isinstance(connected, ClientConnected)


def test_a_session_that_only_lives_with_its_connection_is_not_told(world):
    world.connect("c").drop()
    assert world.events(SessionEnded) == []


def test_an_overflowing_queue_is_told_once_an_episode():
    world = World(queue_messages_max=2)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    client.drop()
    for _ in range(5):
        world.publish("t", b"12", 1)
    assert world.events(QueueOverflow) == [QueueOverflow(world.now, "c", 2, 6)]
    world.connect("c", clean=False, session_expiry_interval=100).drop()
    for _ in range(5):
        world.publish("t", b"12", 1)
    assert len(world.events(QueueOverflow)) == 1
    assert world.counters.dropped_queue == 6


def test_messages_are_not_told(world):
    client = world.connect("c")
    client.subscribe("t")
    world.events()
    for qos in (0, 1, 2):
        client.send(PublishPacket("t", b"x", qos, packet_id=qos))
    assert world.events() == []


@pytest.mark.parametrize("size,kept", [(3, ["3", "4", "5"]), (0, []), (100, ["0", "1", "2", "3", "4", "5"])])
def test_the_ring_keeps_the_newest_and_counts_the_rest(size, kept):
    world = World(events_max=size)
    for n in range(6):
        world.connect(str(n))
    assert [e.client_id for e in world.events()] == kept
    assert world.counters.events_dropped == 6 - len(kept)


def test_events_are_values():
    assert ClientRefused(1.0, "c", "p", 0x87, "r") == ClientRefused(1.0, "c", "p", 0x87, "r")
    assert AuthenticationPending(1.0, "c", None) != SessionEnded(1.0, "c", "")


def test_counters_can_be_read_by_name(world):
    world.connect("c")
    counted = world.counters.as_dict()
    assert counted["connections_accepted"] == 1
    assert counted["socket_connections"] == 1
    assert counted["messages_received"] == 1
    assert sum(counted.values()) == sum(getattr(world.counters, name) for name in counted)

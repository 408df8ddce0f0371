"""Stopping the broker: everybody is told, nothing that was promised is lost."""

from __future__ import annotations

import pytest

from mqtt_core.broker import DEFERRED, Accept, Challenge, ClientDisconnected, ClientRefused
from mqtt_core.codec import DisconnectPacket, Properties, PubackPacket, PublishPacket, Will
from tests.broker.kit import Rules, World, connect_packet


def test_clients_are_told_and_closed(world):
    new, old, silent = world.connect("new"), world.connect("old", version=4), world.dial()
    world.events()
    world.shutdown()
    (disconnect,) = new.received()
    assert disconnect.reason_code == 0x8B
    assert old.raw() == silent.raw() == b""
    assert [c.closed for c in (new, old, silent)] == [True, True, True]
    assert [(e.client_id, e.reason_code) for e in world.events(ClientDisconnected)] == [("new", 0x8B), ("old", 0x8B)]


@pytest.mark.parametrize("decision", [DEFERRED, Challenge()])
def test_clients_that_are_not_in_yet_are_closed(decision):
    world = World(policy=Rules(decision))
    client = world.dial()
    client.send(connect_packet("c", authentication_method="m"))
    client.raw()
    world.shutdown()
    assert client.closed
    assert client.raw() == b""
    client.handler.resume(Accept(), world.now)
    world.settle()
    assert list(world.broker.sessions()) == []


def test_nobody_comes_in_afterwards(world):
    world.shutdown()
    client = world.dial()
    assert client.closed
    assert client.raw() == b""
    assert [e.reason for e in world.events(ClientRefused)] == ["shutting down"]


def test_a_second_shutdown_changes_nothing(world):
    client = world.connect("c", frozen=True)
    world.shutdown()
    world.shutdown()
    client.thaw()
    assert [type(p) for p in client.received()] == [DisconnectPacket]


def test_what_waits_for_the_disk_leaves_before_the_disconnect():
    world = World(stored=True)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    world.auto_commit = False
    client.send(PublishPacket("t", b"x", 1, packet_id=7))
    world.shutdown()
    assert not client.closed
    world.commit()
    world.settle()
    assert [type(p) for p in client.received()] == [PublishPacket, PubackPacket, DisconnectPacket]
    assert client.closed


def test_a_client_that_does_not_read_is_cut_off_in_time(world):
    client = world.connect("c", frozen=True)
    world.shutdown()
    world.wait(5.1)
    assert client.aborted
    assert world.broker.next_deadline() is None


def test_sessions_survive_with_what_waits():
    world = World(stored=True)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    client.drop()
    world.publish("t", b"x", 1)
    world.shutdown()
    world.restart()
    client = world.connect("c", clean=False)
    assert client.connack.session_present
    assert [m.payload for m in client.messages()] == [b"x"]


def test_a_stopped_session_is_absent_from_the_moment_of_stopping():
    world = World(stored=True)
    world.connect("c", session_expiry_interval=100)
    world.shutdown()
    world.restart(after=101)
    assert world.session("c") is None


@pytest.mark.spec("MQTT-3.1.2-8", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-8", version="5.0")
def test_wills_are_published_when_the_broker_stops(version):
    """Nobody has deleted them: the connection closes without a DISCONNECT of the client."""
    world = World(stored=True)
    watcher = world.connect("w", session_expiry_interval=100)
    watcher.subscribe("will/#")
    watcher.drop()
    world.connect("c", version=version, will=Will("will/c", b"gone", 1, True))
    world.shutdown()
    world.restart()
    assert [m.payload for m in world.broker.retained()] == [b"gone"]
    assert [m.payload for m in world.connect("w", clean=False).messages()] == [b"gone"]


def test_a_delayed_will_goes_on_waiting_over_a_restart():
    world = World(stored=True)
    watcher = world.connect("w", session_expiry_interval=1000)
    watcher.subscribe("will/c")
    watcher.drop()
    will = Will("will/c", b"gone", 1, properties=Properties(will_delay_interval=50))
    world.connect("c", will=will, session_expiry_interval=100)
    world.shutdown()
    world.restart(after=10)
    world.wait(39)
    assert world.session("w").queued() == 0
    world.wait(2)
    assert world.session("w").queued() == 1


def test_the_host_may_still_read_what_it_was_given(world):
    local = world.subscribe("t")
    world.publish("t", b"x", 1)
    world.shutdown()
    assert [m.payload for m in local.take_messages()] == [b"x"]

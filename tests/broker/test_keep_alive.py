"""Keep alive (section 3.1.2.10) and PINGREQ (section 3.12)."""

from __future__ import annotations

import pytest

from mqtt_core.broker import DEFERRED, Accept, ClientDisconnected
from mqtt_core.codec import AuthPacket, PingreqPacket, Properties, PublishPacket, Will
from tests.broker.kit import Rules, World, connect_packet


@pytest.mark.spec("MQTT-3.12.4-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.12.4-1", version="5.0")
def test_every_pingreq_is_answered(world, version):
    client = world.connect("c", version=version)
    client.send_bytes(b"\xc0\x00" * 3)
    assert client.raw() == b"\xd0\x00" * 3


@pytest.mark.spec("MUST-3.12-1", version="3.1.1")
@pytest.mark.spec("MUST-3.12-1", version="5.0")
def test_a_pingreq_with_content_ends_the_connection(world, version):
    client = world.connect("c", version=version)
    client.send_bytes(b"\xc0\x01\x00")
    assert client.closed
    assert [p.reason_code for p in client.received()] == ([] if version == 4 else [0x81])


def test_pingresp_overtakes_what_waits_for_the_disk():
    world = World(stored=True)
    client = world.connect("c", session_expiry_interval=10)
    client.subscribe("t")
    world.auto_commit = False
    client.send(PublishPacket("t", b"x", 1, packet_id=1), PingreqPacket())
    assert client.raw() == b"\xd0\x00"
    world.commit()
    world.settle()
    assert len(client.received()) == 2


@pytest.mark.spec("MQTT-3.1.2-24", version="3.1.1")
def test_a_silent_311_client_is_dropped_after_one_and_a_half_keep_alives(world):
    watcher = world.connect("w", version=4)
    watcher.subscribe("will")
    client = world.connect("c", version=4, keep_alive_s=10, will=Will("will", b"gone"))
    world.wait(14.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed
    assert client.raw() == b""
    assert watcher.messages() == [PublishPacket("will", b"gone")]


@pytest.mark.spec("MQTT-3.1.2-22", version="5.0")
def test_a_silent_client_is_told_and_dropped_after_one_and_a_half_keep_alives(world):
    watcher = world.connect("w")
    watcher.subscribe("will")
    client = world.connect("c", keep_alive_s=10, will=Will("will", b"gone"))
    world.events()
    world.wait(14.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed
    (disconnect,) = client.received()
    assert disconnect.reason_code == 0x8D
    assert watcher.messages() == [PublishPacket("will", b"gone")]
    assert world.counters.keep_alive_timeouts == 1
    assert [(e.client_id, e.reason_code) for e in world.events(ClientDisconnected)] == [("c", 0x8D)]


@pytest.mark.parametrize("data", [b"\xc0\x00", b"\x30\x04\x00\x01t\x00", b"\x40\x02\x00\x01", b"\xc0\x00\x30"])
def test_any_packet_of_the_client_keeps_it_alive(world, data):
    client = world.connect("c", keep_alive_s=10)
    world.wait(14)
    client.send_bytes(data)
    world.wait(14.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed


@pytest.mark.spec("MQTT-3.1.2-24", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-22", version="5.0")
def test_a_packet_that_trickles_in_does_not_keep_its_client_alive(world, version):
    client = world.connect("c", version=version, keep_alive_s=10)
    for _ in range(7):
        client.send_bytes(b"\x30" if client.handler.reader.pending == 0 else b"\x7f")
        world.wait(2)
    assert not client.closed
    world.wait(1.1)
    assert client.closed


def test_what_the_broker_sends_does_not_keep_a_client_alive(world):
    client = world.connect("c", keep_alive_s=10)
    client.subscribe("t")
    for _ in range(3):
        world.publish("t", b"x")
        world.wait(5.1)
    assert client.closed


def test_keep_alive_0_turns_it_off(world, version):
    client = world.connect("c", version=version, keep_alive_s=0)
    world.wait(10**6)
    assert not client.closed


def test_the_longest_keep_alive_is_held(world, version):
    client = world.connect("c", version=version, keep_alive_s=65_535)
    world.wait(98_302)
    assert not client.closed
    world.wait(1)
    assert client.closed


@pytest.mark.spec("MQTT-3.2.2-22", version="5.0")
@pytest.mark.parametrize("asked,stated,limit_s", [(0, 20, 30), (21, 20, 30), (20, None, 30), (10, None, 15)])
def test_a_server_keep_alive_is_stated_and_enforced_else_the_clients_own(asked, stated, limit_s):
    world = World(keep_alive_max_s=20)
    client = world.connect("c", keep_alive_s=asked)
    assert client.connack.properties.server_keep_alive == stated
    world.wait(limit_s - 0.1)
    assert not client.closed
    world.wait(0.2)
    assert client.closed


def test_a_311_client_is_held_to_the_longest_keep_alive():
    world = World(keep_alive_max_s=20)
    for asked in (0, 100):
        client = world.connect("c", version=4, keep_alive_s=asked)
        world.wait(31)
        assert client.closed


def test_one_second_of_keep_alive_is_one_and_a_half_of_silence(world):
    client = world.connect("c", keep_alive_s=1)
    world.wait(1.4)
    assert not client.closed
    world.wait(0.2)
    assert client.closed


# --------------------------------------------------------------------------------------- while the broker does not read


def test_the_clock_stands_still_while_the_broker_does_not_read():
    world = World(outbox_bytes_max=1000, send_timeout_s=10_000)
    client = world.connect("c", keep_alive_s=10)
    client.subscribe("t")
    client.frozen = True
    world.publish("t", bytes(2000))
    client.send_bytes(b"\xc0\x00")
    assert client.handler.reading_paused
    world.wait(100)
    assert not client.closed
    client.thaw()
    assert not client.handler.reading_paused
    world.wait(14.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed


def test_the_clock_stands_still_while_writes_are_not_committed():
    world = World(stored=True, outbox_bytes_max=1000)
    client = world.connect("c", keep_alive_s=10, session_expiry_interval=10)
    client.subscribe("t")
    world.auto_commit = False
    client.send(PublishPacket("t", bytes(2000), 1, packet_id=1))
    assert client.handler.reading_paused
    world.wait(100)
    assert not client.closed
    world.commit()
    world.settle()
    assert not client.handler.reading_paused
    world.wait(14.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed


def test_the_clock_starts_when_a_deferred_client_is_let_in():
    world = World(policy=Rules(DEFERRED))
    client = world.dial()
    client.send(connect_packet("c", keep_alive_s=4))
    world.wait(9)
    client.handler.resume(Accept(), world.now)
    world.settle()
    world.wait(5.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed


def test_the_clock_stands_still_while_the_host_decides_on_reauthentication():
    world = World(policy=Rules(Accept(), DEFERRED))
    client = world.connect("c", keep_alive_s=4, authentication_method="m")
    client.send(AuthPacket(0x19, Properties(authentication_method="m")))
    world.wait(9)
    assert not client.closed
    client.handler.resume(Accept(), world.now)
    world.settle()
    world.wait(5.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed

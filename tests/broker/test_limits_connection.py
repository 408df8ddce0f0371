"""The limits of a connection: name, default, what happens at the limit, what counts it (DESIGN law 9)."""

from __future__ import annotations

import dataclasses

import pytest

from mqtt_core.broker import DEFERRED, Accept, BrokerConfig, ClientDisconnected, ClientRefused
from mqtt_core.codec import (
    LocalProtocolError,
    PingreqPacket,
    Properties,
    PubackPacket,
    PublishPacket,
    SubscribeFilter,
    SubscribePacket,
    Will,
    encode,
)
from tests.broker.kit import Rules, World, connect_packet

DEFAULTS = {
    "max_connections": 100_000,
    "max_packet_size": 1024 * 1024,
    "connect_packet_size_max": 256 * 1024,
    "connect_timeout_s": 10.0,
    "close_timeout_s": 5.0,
    "send_timeout_s": 60.0,
    "keep_alive_max_s": 0,
    "outbox_bytes_max": 8 * 1024 * 1024,
    "waiting_bytes_max": 64 * 1024,
    "outbound_topic_alias_max": 100,
    "sessions_max": 1_000_000,
    "session_expiry_max_s": 0xFFFFFFFF,
    "session_expiry_v311_s": 0xFFFFFFFF,
    "local_queue_max": 100_000,
    "events_max": 10_000,
    "sys_interval_s": 10.0,
}


@pytest.mark.parametrize("name,default", DEFAULTS.items())
def test_the_defaults_are_those_promised(name, default):
    assert getattr(BrokerConfig(), name) == default


@pytest.mark.parametrize("field", dataclasses.fields(BrokerConfig), ids=lambda field: field.name)
def test_every_setting_says_what_it_does(field):
    assert field.metadata["help"]
    assert "unit" in field.metadata


@pytest.mark.parametrize(
    "setting",
    [
        {"max_connections": 0},
        {"max_packet_size": 31},
        {"receive_maximum": 0},
        {"receive_maximum": 65_536},
        {"maximum_qos": 3},
        {"keep_alive_max_s": 65_536},
        {"topic_alias_maximum": -1},
        {"session_expiry_max_s": 2**32},
        {"connect_timeout_s": -1},
        {"queue_messages_max": -1},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(LocalProtocolError, match=next(iter(setting))):
        BrokerConfig(**setting)


# ---------------------------------------------------------------------------------------------------------- connections


def test_a_connection_too_many_is_closed_at_once():
    world = World(max_connections=2)
    first, second = world.dial(), world.connect("b")
    third = world.dial()
    assert third.closed
    assert third.raw() == b""
    assert [e.reason_code for e in world.events(ClientRefused)] == [0x89]
    assert world.counters.connections_refused == 1
    first.drop()
    assert world.connect("c").connack.reason_code == 0
    assert not second.closed


def test_refused_connections_leave_nothing_behind():
    world = World(max_connections=3)
    for _ in range(50):
        world.dial().send_bytes(b"GET / HTTP/1.1\r\n\r\n")
        world.dial().send_bytes(b"\x10\x02\x00\x00")
        client = world.dial()
        client.send(connect_packet("", version=5, will=Will("$SYS/x")))
        assert client.closed
    assert world.counters.connections_refused == 150
    assert world.broker.next_deadline() is None
    assert list(world.broker.sessions()) == []
    assert world.connect("c").connack.reason_code == 0


# ------------------------------------------------------------------------------------------------------------ timeouts


@pytest.mark.spec("MUST-3.1.4-1", version="3.1.1")
@pytest.mark.spec("MUST-3.1.4-1", version="5.0")
@pytest.mark.parametrize("said", [b"", b"\x10", encode(connect_packet("c"), 5)[:-1]])
def test_a_connection_without_a_connect_is_closed_in_time(said):
    world = World(connect_timeout_s=7)
    client = world.dial()
    world.wait(3)
    client.send_bytes(said)
    world.wait(3.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed
    assert client.raw() == b""
    assert [(e.reason_code, e.reason) for e in world.events()] == [(0x87, "no CONNECT in time")]
    assert world.counters.connections_refused == 1


def test_the_connect_timeout_does_not_touch_a_client_that_is_in(world):
    client = world.connect("c")
    world.wait(1000)
    assert not client.closed


def test_a_slow_byte_stream_does_not_extend_the_connect_timeout(world):
    client = world.dial()
    data = encode(connect_packet("c" * 50), 5)
    for byte in data[:9]:
        client.send_bytes(bytes([byte]))
        world.wait(1)
    assert not client.closed
    world.wait(1.1)
    assert client.closed


def test_a_client_that_drains_nothing_is_closed_after_the_send_timeout(world):
    watcher = world.connect("w")
    watcher.subscribe("will")
    client = world.connect("c", will=Will("will"), session_expiry_interval=100)
    client.subscribe("t")
    client.frozen = True
    world.events()
    world.publish("t", b"1", 1)
    world.wait(30)
    world.publish("t", b"2", 1)
    world.wait(29.9)
    assert not client.closed
    world.wait(0.2)
    assert client.aborted
    assert world.counters.send_timeouts == 1
    assert [(e.client_id, e.reason) for e in world.events(ClientDisconnected)] == [
        ("c", "nothing drained within the send timeout")
    ]
    assert [m.topic for m in watcher.messages()] == ["will"]
    again = world.connect("c", clean=False)
    assert [m.payload for m in again.early] == [b"1", b"2"]


def test_a_client_that_acknowledges_what_it_has_read_is_not_closed(world):
    client = world.connect("c")
    client.subscribe(SubscribeFilter("t", 1))
    for n in range(4):
        world.publish("t", b"%d" % n, 1)
    client.frozen = True
    world.publish("t", b"behind", 1)
    for packet in client.received():
        world.wait(50)
        client.send(PubackPacket(packet.packet_id))
        assert not client.closed
    assert client.handler.outbox.size
    world.wait(61)
    assert client.aborted


def test_a_client_that_drains_in_time_is_not_closed(world):
    client = world.connect("c")
    client.subscribe("t")
    for _ in range(5):
        client.frozen = True
        world.publish("t", b"x")
        world.wait(59)
        client.thaw()
    world.wait(100)
    assert not client.closed
    assert world.counters.send_timeouts == 0


def test_what_waits_for_the_disk_is_not_the_clients_fault():
    world = World(stored=True, send_timeout_s=10)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    world.auto_commit = False
    client.send(PublishPacket("t", b"x", 1, packet_id=1))
    world.wait(1000)
    assert not client.closed


# --------------------------------------------------------------------------------------------------------------- sizes


def test_before_connect_only_small_packets_are_read():
    world = World(connect_packet_size_max=100)
    client = world.dial()
    client.send_bytes(b"\x10\xff\xff\x03")
    assert client.closed
    assert client.raw() == b""
    assert [e.reason_code for e in world.events()] == [0x95]
    exact = world.dial()
    data = encode(connect_packet("x" * 85), 5)
    assert len(data) == 100
    exact.send_bytes(data)
    assert exact.received()[0].reason_code == 0
    one_more = world.dial()
    one_more.send_bytes(encode(connect_packet("x" * 86), 5))
    assert one_more.closed


def test_after_connect_the_larger_limit_holds_even_in_the_same_chunk(version):
    world = World(connect_packet_size_max=100, max_packet_size=10_000)
    client = world.dial(version)
    client.send(connect_packet("c", version=version), PublishPacket("t", bytes(9000), retain=True))
    assert not client.closed
    assert len(world.broker.retained()[0].payload) == 9000


def test_a_header_that_promises_much_allocates_nothing(world):
    client = world.dial()
    client.send_bytes(b"\x10\xff\xff\xff\x7f")
    assert client.closed
    other = world.connect("c")
    other.send_bytes(b"\x30\xff\xff\xff\x7f")
    assert [p.reason_code for p in other.received()] == [0x95]


def test_bytes_of_a_waiting_client_are_bounded():
    world = World(policy=Rules(DEFERRED), waiting_bytes_max=100)
    client = world.dial()
    client.send(connect_packet("c"))
    ping = encode(PingreqPacket(), 5)
    client.send_bytes(ping * 49)
    assert not client.handler.reading_paused
    client.send_bytes(ping)
    assert client.handler.reading_paused
    client.handler.resume(Accept(), world.now)
    world.settle()
    assert not client.handler.reading_paused
    assert client.raw().endswith(b"\xd0\x00" * 50)


def test_reading_pauses_for_undrained_bytes_and_goes_on_at_half():
    world = World(outbox_bytes_max=1000)
    client, other = world.connect("c"), world.connect("d")
    client.frozen = True
    client.send_bytes(b"\xc0\x00" * 499)
    assert not client.handler.reading_paused
    client.send_bytes(b"\xc0\x00")
    assert client.handler.reading_paused
    assert not other.handler.reading_paused
    client.thaw()
    assert not client.handler.reading_paused
    assert len(client.raw()) == 1000


def test_a_pause_ends_at_half_the_limit_and_not_before():
    world = World(stored=True, outbox_bytes_max=1000)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    world.auto_commit = False
    client.send(PublishPacket("t", bytes(700), 1, packet_id=1))  # held behind the first batch
    first = world.broker.take_writes()
    client.send(PublishPacket("t", bytes(500), 1, packet_id=2))  # and behind the second
    assert client.handler.reading_paused
    world.broker.writes_committed(first.number)
    world.settle()
    assert client.handler.outbox.size > 500
    assert client.handler.reading_paused
    world.commit()
    world.settle()
    assert not client.handler.reading_paused


def test_reading_never_pauses_for_another_clients_slowness():
    world = World(outbox_bytes_max=1000)
    slow, publisher = world.connect("slow"), world.connect("fast")
    slow.subscribe("t")
    slow.frozen = True
    for _ in range(100):
        publisher.send(PublishPacket("t", bytes(100)))
        assert not publisher.handler.reading_paused
    assert not slow.handler.reading_paused or slow.handler.outbox.size >= 1000
    assert slow.handler.outbox.size < 1200
    assert world.counters.dropped_outbox > 0


# ------------------------------------------------------------------------------------------------------------ sessions


def test_a_session_too_many_is_refused(version):
    world = World(sessions_max=2)
    kept = {"session_expiry_interval": 100} if version == 5 else {}
    world.connect("a", version=version, clean=False, **kept).drop()
    world.connect("b", version=version)
    client = world.connect("c", version=version, accepted=False)
    assert client.connack.reason_code == (3 if version == 4 else 0x97)
    assert client.closed
    assert world.connect("a", version=version, clean=False).connack.session_present
    assert world.counters.connections_refused == 1


def test_311_sessions_expire_as_configured():
    world = World(session_expiry_v311_s=100)
    world.connect("c", version=4, clean=False).drop()
    world.wait(99)
    assert world.session("c") is not None
    world.wait(2)
    assert world.session("c") is None


# ------------------------------------------------------------------------------------ limits that the client has stated


@pytest.mark.spec("MQTT-3.1.2-24", "MQTT-3.1.2-25", version="5.0")
def test_a_message_too_large_for_the_client_counts_as_delivered(world):
    small = world.connect("small", maximum_packet_size=50, session_expiry_interval=100)
    small.subscribe("t")
    for qos in (0, 1, 2):
        world.publish("t", bytes(60), qos)
    world.publish("t", b"fits", 1)
    assert [m.payload for m in small.messages()] == [b"fits"]
    assert world.counters.dropped_too_large == 3
    small.drop()
    world.publish("t", bytes(60), 1)
    again = world.connect("small", clean=False, maximum_packet_size=50)
    assert [m.payload for m in again.early] == [b"fits"]
    assert world.session("small").queued() == 0


@pytest.mark.spec("MQTT-3.1.2-25", version="5.0")
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("bulk_path", [False, True])
def test_a_message_that_waited_and_is_too_large_for_the_client_counts_as_delivered(stored, bulk_path):
    world = World(stored=stored, bulk_path=bulk_path)
    publisher, client = world.connect("p"), world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    client.drop()
    for n, size in enumerate((1, 60, 2)):
        publisher.send(PublishPacket("t", bytes(size), 1, packet_id=n + 1))
    client = world.connect("c", clean=False, maximum_packet_size=50, session_expiry_interval=100)
    assert [len(m.payload) for m in client.messages()] == [1, 2]
    assert world.counters.dropped_too_large == 1
    assert world.session("c").queued() == world.counters.queued_bytes == 0
    client.drop()
    if stored:
        world.restart()
        client = world.connect("c", clean=False, session_expiry_interval=100)
        assert [len(m.payload) for m in client.messages()] == [1, 2]


@pytest.mark.spec("MQTT-3.1.2-24", version="5.0")
def test_an_answer_too_large_for_the_client_ends_the_connection_unsent(world):
    client = world.connect("c", maximum_packet_size=40)
    client.send(SubscribePacket(1, [SubscribeFilter(f"t{n}") for n in range(35)]))
    assert len(client.raw()) == 40
    client.send(SubscribePacket(2, [SubscribeFilter(f"t{n}") for n in range(36)]))
    assert client.closed
    assert client.raw() == b"\xe0\x01\x95"


@pytest.mark.spec("MQTT-3.1.2-26", version="5.0")
def test_no_alias_above_the_clients_maximum_is_sent():
    world = World(outbound_topic_alias_max=3)
    for offered, used in ((2, {1, 2}), (10, {1, 2, 3})):
        client = world.connect("c", topic_alias_maximum=offered)
        client.subscribe("#")
        for _ in range(2):
            for n in range(5):
                world.publish(f"t{n}", b"x")
        messages = client.messages()
        aliases = {m.properties.topic_alias for m in messages} - {None}
        assert aliases == used
        assert [m.topic for m in messages[5:]] == [f"t{n}" if n >= len(used) else "" for n in range(5)]


@pytest.mark.spec("MQTT-3.1.2-27", version="5.0")
@pytest.mark.parametrize("fields", [{}, {"topic_alias_maximum": 0}])
def test_a_client_that_offers_no_alias_gets_none(world, fields):
    client = world.connect("c", **fields)
    client.subscribe("t")
    for _ in range(3):
        world.publish("t", b"x")
    assert client.messages() == [PublishPacket("t", b"x")] * 3


@pytest.mark.spec("MUST-3.1.2.11.3-3", version="5.0")
def test_a_client_that_states_no_receive_maximum_takes_as_many_as_there_are():
    world = World(inflight_max=65_535)
    client = world.connect("c", receive_maximum=1, session_expiry_interval=100)
    client.subscribe("t")
    for _ in range(1500):
        world.publish("t", b"x", 1)
    assert len(client.messages()) == 1
    client = world.connect("c", clean=False)
    assert len(client.messages()) == 1500


@pytest.mark.spec("MQTT-3.1.2-29", version="5.0")
def test_a_client_that_wants_no_problem_information_gets_reason_strings_in_connack_and_disconnect_only():
    world = World(policy=Rules(publish=lambda *_: False, subscribe=lambda *_: 0x87))
    client = world.connect("c", request_problem_information=False)
    assert client.subscribe("t") == [0x87]
    client.send(PublishPacket("t", b"x", 1, packet_id=1), PublishPacket("t", b"x", 2, packet_id=2))
    answers = client.received()
    assert [p.reason_code for p in answers] == [0x87, 0x87]
    assert [p.properties for p in answers] == [Properties(), Properties()]
    client.send_bytes(b"\x00\x00")
    (disconnect,) = client.received()
    assert disconnect.properties.reason_string

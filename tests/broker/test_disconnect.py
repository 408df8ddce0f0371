"""DISCONNECT in both directions (section 3.14), and how faults end a connection (sections 4.8, 4.13)."""

from __future__ import annotations

import pytest

from mqtt_core.broker import ClientDisconnected
from mqtt_core.codec import (
    DisconnectPacket,
    LocalProtocolError,
    MqttError,
    PingreqPacket,
    Properties,
    PubackPacket,
    PublishPacket,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    Will,
    encode,
)
from tests.broker.kit import World, connect_packet

LASTING = {4: {}, 5: {"session_expiry_interval": 100}}

SERVER_CODES = {0x00, *range(0x80, 0x84), 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3)}
CLIENT_CODES = {0x00, 0x04, *range(0x80, 0x84), 0x90, *range(0x93, 0x9A)}

# Faults on an open connection, with the code a 5.0 client is told.
FAULTS = {
    "type 0": (b"\x00\x00", 0x81),
    "five-byte length": (b"\x30\xff\xff\xff\xff\x01", 0x81),
    "QoS 3": (b"\x36\x06\x00\x01t\x00\x01\x00", 0x81),
    "topic with wildcard": (b"\x30\x04\x00\x01#\x00", 0x90),
    "string with U+0000": (b"\x30\x04\x00\x01\x00\x00", 0x81),
    "packet identifier 0": (b"\x32\x06\x00\x01t\x00\x00\x00", 0x82),
    "topic alias 0": (b"\x30\x07\x00\x01t\x03\x23\x00\x00", 0x94),
    "topic alias above the maximum": (b"\x30\x07\x00\x01t\x03\x23\x00\x65", 0x94),
    "unknown property": (b"\x30\x06\x00\x01t\x02\x7f\x00", 0x81),
    "subscription without filter": (b"\x82\x03\x00\x01\x00", 0x82),
    "bad filter": (b"\x82\x08\x00\x01\x00\x00\x02a#\x00", 0x81),
    "CONNACK from a client": (b"\x20\x03\x00\x00\x00", 0x82),
    "SUBACK from a client": (b"\x90\x04\x00\x01\x00\x00", 0x82),
    "AUTH without a method": (b"\xf0\x00", 0x82),
    "packet above the maximum": (b"\x30\x80\x80\x80\x01", 0x95),
    "retained where there is none": (b"\x31\x04\x00\x01t\x00", 0x9A),
    "QoS above the maximum": (b"\x34\x06\x00\x01t\x00\x01\x00", 0x9B),
}


@pytest.fixture
def strict():
    """A broker that can less than the protocol offers."""
    return World(maximum_qos=1, retain_available=False)


# ------------------------------------------------------------------------------------------------------ from the broker


@pytest.mark.parametrize("data,code", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.spec("MQTT-4.13.1-1", "MQTT-4.13.2-1", "MQTT-3.14.4-2", version="5.0")
def test_a_fault_is_told_with_its_code_and_ends_the_connection(strict, data, code):
    client = strict.connect("c")
    client.send_bytes(data)
    (disconnect,) = client.received()
    assert disconnect.reason_code == code
    assert disconnect.properties.reason_string
    assert client.closed
    assert not client.aborted
    assert strict.counters.protocol_errors == 1
    assert [e.reason_code for e in strict.events(ClientDisconnected)] == [code]


@pytest.mark.spec("MUST-2.1.2-1", version="5.0")
def test_a_packet_of_the_reserved_type_is_malformed(world):
    client = world.connect("c")
    client.send_bytes(b"\x00\x00")
    assert [p.reason_code for p in client.received()] == [0x81]
    assert client.closed


V311_FAULTS = [b"\x00\x00", b"\xf0\x00", b"\x36\x05\x00\x01t\x00\x01", b"\x30\x03\x00\x01#", b"\x20\x02\x00\x00"]


@pytest.mark.parametrize("data", V311_FAULTS)
@pytest.mark.spec("MQTT-4.8.0-1", version="3.1.1")
def test_a_fault_of_a_311_client_ends_its_connection_without_a_word(world, data):
    client = world.connect("c", version=4)
    client.send_bytes(data)
    assert client.raw() == b""
    assert client.closed
    assert world.counters.protocol_errors == 1


@pytest.mark.spec("MQTT-4.8.0-2", version="3.1.1")
def test_a_limit_reached_while_a_packet_is_processed_ends_its_connection_only():
    """The one transient error there is: a packet cannot be taken for want of room."""
    world = World(max_packet_size=100)
    client, other = world.connect("c", version=4), world.connect("d", version=4)
    client.send_bytes(encode(PublishPacket("t", bytes(200)), 4))
    assert client.closed
    assert not other.closed
    other.send(PingreqPacket())
    assert other.raw() == b"\xd0\x00"


@pytest.mark.spec("MUST-3.2.2.3.6-3", version="5.0")
def test_a_packet_above_the_maximum_is_refused_from_its_header():
    world = World(max_packet_size=100)
    client = world.connect("c")
    client.send_bytes(encode(PublishPacket("t", bytes(94)), 5))
    assert not client.closed
    client.send_bytes(encode(PublishPacket("t", bytes(95)), 5)[:2])
    assert [p.reason_code for p in client.received()] == [0x95]
    assert client.closed


def test_packets_before_a_faulty_one_take_effect_and_are_answered_first(world, version):
    client = world.connect("c", version=version)
    good = [SubscribePacket(1, [SubscribeFilter("t", 1)]), PublishPacket("t", b"x", 1, packet_id=2)]
    data = b"".join(encode(p, version) for p in good)
    client.send_bytes(data + b"\x00\x00" + encode(PublishPacket("t", b"y", 1, packet_id=3), version))
    packets = client.received()
    last = packets.pop() if version == 5 else None
    assert [type(p) for p in packets] == [SubackPacket, PublishPacket, PubackPacket]
    assert last is None or last.reason_code == 0x81
    assert client.closed


@pytest.mark.spec("MQTT-3.14.4-1", version="5.0")
def test_nothing_follows_a_disconnect(world):
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    client.frozen = True
    world.broker.disconnect("c", 0x98, world.now)
    world.publish("t", b"x", 1)
    world.publish("t", b"x")
    client.handler.receive_data(b"\xc0\x00", world.now)
    client.thaw()
    assert [p.reason_code for p in client.received()] == [0x98]
    assert client.closed
    assert world.session("c").queued() == 1


@pytest.mark.spec("MQTT-3.14.0-1", version="5.0")
@pytest.mark.parametrize("data", [b"\x00\x00", b"\x10\x00", encode(connect_packet("c"), 5)[:-1] + b"\x00"])
def test_there_is_no_disconnect_before_connack(world, data):
    client = world.dial()
    client.send_bytes(data)
    assert client.closed
    assert all(not isinstance(p, DisconnectPacket) for p in client.received())
    waiting = world.dial()
    world.shutdown()
    assert waiting.raw() == b""
    assert waiting.closed


@pytest.mark.parametrize("code", sorted(SERVER_CODES - {0}))
@pytest.mark.spec("MQTT-3.14.2-1", version="5.0")
def test_the_host_may_disconnect_a_client_with_a_code_of_a_server(world, code):
    client = world.connect("c")
    assert world.broker.disconnect("c", code, world.now)
    world.settle()
    (disconnect,) = client.received()
    assert disconnect.reason_code == code
    assert client.closed


@pytest.mark.parametrize("code", [0x04, 0x10, 0x84, 0x86, 0x8C, 0xFF])
def test_a_code_that_a_server_may_not_send_changes_nothing(world, code):
    client = world.connect("c")
    with pytest.raises(LocalProtocolError):
        world.broker.disconnect("c", code, world.now)
    world.settle()
    assert not client.closed
    assert client.raw() == b""
    assert not world.broker.disconnect("nobody", 0x98, world.now)


@pytest.mark.spec("MQTT-3.14.2-3", version="5.0")
def test_a_reason_string_that_does_not_fit_is_left_out_of_disconnect(world):
    first = world.connect("a", maximum_packet_size=100)
    world.broker.disconnect("a", 0x98, world.now)
    world.settle()
    data = first.raw()
    reason = data[7:]
    assert reason == b"disconnected by the host"
    fits = world.connect("b", maximum_packet_size=len(data))
    too_small = world.connect("c", maximum_packet_size=len(data) - 1)
    for name in ("b", "c"):
        world.broker.disconnect(name, 0x98, world.now)
    world.settle()
    assert fits.raw() == data
    assert too_small.raw() == b"\xe0\x01\x98"


@pytest.mark.spec("MQTT-3.14.2-2", version="5.0")
def test_the_broker_never_states_an_expiry_in_disconnect(world):
    client = world.connect("c", session_expiry_interval=100)
    client.send_bytes(b"\x00\x00")
    (disconnect,) = client.received()
    assert disconnect.properties.session_expiry_interval is None


# ------------------------------------------------------------------------------------------------------ from the client


def test_disconnect_ends_the_connection_and_what_follows_is_not_read(world, version):
    other = world.connect("other")
    other.subscribe("t")
    client = world.connect("c", version=version)
    client.send(DisconnectPacket(), PublishPacket("t", b"x"))
    assert client.closed
    assert client.raw() == b""
    assert other.messages() == []
    (event,) = [e for e in world.events(ClientDisconnected) if e.client_id == "c"]
    assert event.reason_code == 0


@pytest.mark.spec("MQTT-3.14.1-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.14.1-1", version="5.0")
@pytest.mark.parametrize("flags", range(1, 16))
def test_a_disconnect_with_reserved_flags_is_malformed(world, version, flags):
    client = world.connect("c", version=version)
    client.send_bytes(bytes([0xE0 | flags, 0]))
    assert client.closed
    assert [p.reason_code for p in client.received()] == ([] if version == 4 else [0x81])


@pytest.mark.spec("MUST-3.14-1", version="3.1.1")
def test_a_311_disconnect_with_content_is_malformed(world):
    client = world.connect("c", version=4)
    client.send_bytes(b"\xe0\x01\x00")
    assert client.closed
    assert world.counters.protocol_errors == 1


@pytest.mark.parametrize("code", range(256))
@pytest.mark.spec("MQTT-3.14.2-1", version="5.0")
def test_a_client_may_only_say_the_codes_of_a_client(world, code):
    client = world.connect("c")
    client.send_bytes(bytes([0xE0, 1, code]))
    assert client.closed
    assert [p.reason_code for p in client.received()] == ([] if code in CLIENT_CODES else [0x82])
    (event,) = world.events(ClientDisconnected)
    assert event.reason_code == (code if code in CLIENT_CODES else 0x82)


@pytest.mark.spec("MUST-3.14.2.1-1", version="5.0")
def test_the_short_forms_of_disconnect_mean_success_and_no_properties(world):
    for data, code in [(b"\xe0\x00", 0), (b"\xe0\x01\x04", 4), (b"\xe0\x02\x04\x00", 4)]:
        client = world.connect("c")
        world.events()
        client.send_bytes(data)
        assert [e.reason_code for e in world.events(ClientDisconnected)] == [code]


@pytest.mark.spec("MUST-3.14.2.2.2-3", version="5.0")
@pytest.mark.parametrize("given,lives_s", [(0, 0), (10, 10), (500, 200), (None, 100)])
def test_an_expiry_in_disconnect_replaces_that_of_connect(given, lives_s):
    world = World(session_expiry_max_s=200)
    client = world.connect("c", session_expiry_interval=100)
    client.send(DisconnectPacket(0, Properties(session_expiry_interval=given)))
    assert (world.session("c") is None) == (lives_s == 0)
    world.wait(max(lives_s - 0.1, 0))
    assert (world.session("c") is None) == (lives_s == 0)
    world.wait(0.2)
    assert world.session("c") is None


@pytest.mark.spec("MUST-3.14.2.2.2-2", version="5.0")
@pytest.mark.parametrize("fields", [{}, {"session_expiry_interval": 0}])
def test_an_expiry_in_disconnect_needs_one_in_connect(world, fields):
    client = world.connect("c", **fields)
    client.send(DisconnectPacket(0, Properties(session_expiry_interval=1)))
    assert [p.reason_code for p in client.received()] == [0x82]
    assert client.closed
    assert world.session("c") is None


def test_a_session_whose_expiry_the_broker_cut_may_still_state_one():
    world = World(session_expiry_max_s=0)
    client = world.connect("c", session_expiry_interval=100)
    client.send(DisconnectPacket(0, Properties(session_expiry_interval=50)))
    assert client.raw() == b""
    assert world.session("c") is None


def test_expiry_0_in_disconnect_deletes_what_is_stored():
    world = World(stored=True)
    client = world.connect("c", session_expiry_interval=100)
    client.send(DisconnectPacket(0, Properties(session_expiry_interval=0)))
    world.restart()
    assert world.session("c") is None


# -------------------------------------------------------------------------------------------------------------- closing


def test_what_waits_for_the_disk_still_leaves_a_connection_that_closes():
    world = World(stored=True)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    world.auto_commit = False
    client.send_bytes(encode(PublishPacket("t", b"x", 1, packet_id=7), 5) + b"\x00\x00")
    assert client.raw() == b""
    assert not client.closed
    world.commit()
    world.settle()
    assert [type(p) for p in client.received()] == [PublishPacket, PubackPacket, DisconnectPacket]
    assert client.closed
    assert not client.aborted


def test_what_is_still_held_after_the_close_timeout_is_given_up():
    world = World(stored=True, close_timeout_s=5)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    world.auto_commit = False
    client.send_bytes(encode(PublishPacket("t", b"x", 1, packet_id=7), 5) + b"\x00\x00")
    world.wait(4.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed
    assert client.aborted
    assert client.raw() == b""
    world.commit()
    world.settle()
    assert client.raw() == b""


def test_a_client_that_does_not_read_its_disconnect_is_cut_off(world):
    client = world.connect("c", frozen=True)
    world.broker.disconnect("c", 0x98, world.now)
    world.settle()
    world.wait(4.9)
    assert not client.closed
    world.wait(0.2)
    assert client.aborted
    assert client.raw() == b""


@pytest.mark.parametrize("goodbye", [b"", b"\xe0\x00"])
def test_who_has_only_ended_its_half_still_gets_what_waited_for_the_disk(version, goodbye):
    world = World(stored=True)
    client = world.connect("c", version=version, clean=False, **LASTING[version])
    client.subscribe("t")
    world.auto_commit = False
    client.send_bytes(encode(PublishPacket("t", b"x", 1, packet_id=7), version) + goodbye)
    client.handler.end_of_input(world.now)
    client.handler.end_of_input(world.now)
    world.settle()
    assert client.raw() == b""
    assert not client.closed
    world.commit()
    world.settle()
    assert [type(p) for p in client.received()] == [PublishPacket, PubackPacket]
    assert client.closed
    assert not client.aborted
    assert len(world.events(ClientDisconnected)) == 1


def test_an_end_of_input_ends_a_connection_that_has_nothing_to_wait_for(world):
    client = world.connect("c", will=Will("w", b"gone"))
    watcher = world.connect("watcher")
    watcher.subscribe("w")
    client.handler.end_of_input(world.now)
    world.settle()
    assert client.closed
    assert [p.payload for p in watcher.messages()] == [b"gone"]


@pytest.mark.parametrize("goodbye", [b"", b"\xe0\x00"])
def test_the_adapter_is_told_of_the_end_whatever_waits_for_the_disk(version, goodbye):
    world = World(stored=True)
    client = world.connect("c", version=version, clean=False, **LASTING[version])
    world.auto_commit = False
    client.send_bytes(encode(SubscribePacket(1, [SubscribeFilter("t", 1)]), version) + goodbye)
    client.handler.receive_eof(world.now)
    world.settle()
    assert client.aborted
    assert client.raw() == b""


@pytest.mark.parametrize("goodbye", [b"", b"\xe0\x00"])
def test_the_adapter_is_told_of_the_end_of_a_client_that_reads_nothing(world, goodbye):
    client = world.connect("c", frozen=True)
    client.send_bytes(b"\xc0\x00" + goodbye)
    client.handler.end_of_input(world.now)
    world.settle()
    assert client.aborted


def test_an_end_is_reported_once(world):
    client = world.connect("c")
    client.drop()
    client.handler.receive_eof(world.now)
    client.handler.receive_eof(world.now)
    world.settle()
    assert len(world.events(ClientDisconnected)) == 1


def test_errors_of_the_codec_are_all_told_as_a_code_of_disconnect():
    """Whatever class of fault there is, a DISCONNECT may carry its code (else `encode` would raise into the host)."""
    kinds = [MqttError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    codes = set()
    for kind in kinds:
        try:
            codes.add(kind("reason").reason_code)
        except TypeError:
            continue
    assert codes - SERVER_CODES <= {0x80, 0x83}

"""What a server may not do, and what the client answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_core.client import Disconnected, MessageReceived
from mqtt_core.codec import (
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    PingreqPacket,
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    ReasonCode,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
    encode,
)
from tests.client.kit import Wire

both_versions = pytest.mark.parametrize("version", [4, 5])


def ended(wire, code, version=5):
    """The client has said why (5.0), wants to be closed, and told its host once."""
    sent = wire.sent()
    if version == 5:
        assert isinstance(sent[-1], DisconnectPacket)
        assert sent[-1].reason_code == code
        assert sent[-1].properties.reason_string
    else:
        assert not any(isinstance(p, DisconnectPacket) for p in sent)
    assert wire.client.closing
    events = [e for e in wire.events() if isinstance(e, Disconnected)]
    assert len(events) == 1
    assert not events[0].by_server
    assert events[0].reconnect_at is not None
    wire.receive_bytes(b"\xd0\x00\xff\xff")  # whatever follows is nobody's business
    assert (wire.raw(), wire.events()) == (b"", [])
    return events[0]


NOT_FOR_CLIENTS = [
    ConnectPacket(),
    SubscribePacket(1, [SubscribeFilter("a")]),
    UnsubscribePacket(1, ["a"]),
    PingreqPacket(),
    ConnackPacket(),
]


@pytest.mark.spec("MQTT-4.8.0-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.13.2-1", version="5.0")
@both_versions
@pytest.mark.parametrize("packet", NOT_FOR_CLIENTS, ids=lambda p: type(p).__name__)
def test_packets_a_client_never_gets(packet, version):
    wire = Wire(version=version)
    wire.open()
    if isinstance(packet, ConnectPacket):
        packet.version = version
    wire.receive(packet)
    ended(wire, ReasonCode.PROTOCOL_ERROR, version)


@pytest.mark.spec("MQTT-4.8.0-1", version="3.1.1")
@both_versions
@pytest.mark.parametrize(
    "packet", [PublishPacket("t"), PubackPacket(1), SubackPacket(1, [0]), DisconnectPacket()], ids=repr
)
def test_packets_before_connack(packet, version):
    wire = Wire(version=version)
    wire.connect()
    wire.receive(packet)
    ended(wire, ReasonCode.PROTOCOL_ERROR, version)


def test_a_311_server_sends_no_disconnect():
    wire = Wire(version=4)
    wire.open()
    wire.receive(DisconnectPacket())
    ended(wire, ReasonCode.PROTOCOL_ERROR, 4)


@pytest.mark.spec("MQTT-3.14.2-1", version="5.0")
@pytest.mark.parametrize("packet", [DisconnectPacket(0x04), AuthPacket(0x19, Properties(authentication_method="m"))])
def test_codes_only_a_client_may_send(packet):
    wire = Wire(authentication_method="m")
    wire.connect()
    wire.receive(ConnackPacket(0, False, Properties(authentication_method="m")), packet)
    ended(wire, ReasonCode.PROTOCOL_ERROR)


@pytest.mark.spec("MQTT-3.1.2-29", version="5.0")
@pytest.mark.parametrize("said", [{"reason_string": "why"}, {"user_properties": (("a", "b"),)}])
@pytest.mark.parametrize(
    "make",
    [
        lambda said: PubackPacket(1, 0, said),
        lambda said: PubrecPacket(1, 0, said),
        lambda said: PubrelPacket(1, 0, said),
        lambda said: PubcompPacket(1, 0x92, said),
        lambda said: SubackPacket(1, [0], said),
        lambda said: UnsubackPacket(1, [0], said),
    ],
)
def test_reasons_that_were_not_wanted(make, said):
    wire = Wire(request_problem_information=False)
    wire.open()
    if isinstance(make(Properties()), SubackPacket | UnsubackPacket):
        wire.client.subscribe([SubscribeFilter("a")], now=wire.now)
    else:
        wire.publish("a", qos=1 if isinstance(make(Properties()), PubackPacket) else 2)
    wire.sent()
    wire.receive(make(Properties(**said)))
    ended(wire, 0x82)


@pytest.mark.spec("MQTT-3.1.2-29", version="5.0")
def test_reasons_are_always_wanted_where_they_may_be_sent():
    said = Properties(reason_string="why", user_properties=(("a", "b"),))
    wire = Wire(request_problem_information=False)
    wire.open(reason_string="why", user_properties=(("a", "b"),))
    wire.receive(PublishPacket("t", b"x", properties=Properties(user_properties=(("a", "b"),))))
    wire.receive(SubackPacket(9, [0]))
    ended(wire, 0x82)  # of the SUBACK nobody asked for
    wire = Wire(request_problem_information=False)
    wire.open()
    wire.receive(DisconnectPacket(0x8B, said))
    assert [e.reason for e in wire.events() if isinstance(e, Disconnected)] == ["why"]
    wire = Wire()
    wire.open()
    wire.publish("a", qos=1)
    wire.sent()
    wire.receive(PubackPacket(1, 0, said))
    assert not wire.client.closing


@both_versions
@pytest.mark.parametrize(
    "packet",
    [SubackPacket(1, [0]), UnsubackPacket(1, []), PubackPacket(1)],
    ids=lambda p: type(p).__name__,
)
def test_answers_to_nothing(packet, version):
    wire = Wire(version=version)
    wire.open()
    if version == 5 and isinstance(packet, UnsubackPacket):
        packet = UnsubackPacket(1, [0])
    wire.receive(packet)
    ended(wire, ReasonCode.PROTOCOL_ERROR, version)


@both_versions
def test_answers_of_the_wrong_kind_or_length(version):
    none = [] if version == 4 else [0]
    for answer in (
        PubackPacket(2),
        PubackPacket(3),
        PubrecPacket(1),
        PubrecPacket(1, 0x80) if version == 5 else PubrecPacket(1),
        PubcompPacket(2),
        SubackPacket(1, [0]),
        SubackPacket(3, [0, 0]),
        SubackPacket(4, [0]),
        UnsubackPacket(3, none),
        UnsubackPacket(4, [0, 0]) if version == 5 else UnsubackPacket(1, []),
    ):
        wire = Wire(version=version)
        wire.open()
        wire.publish("t", qos=1)
        wire.publish("t", qos=2)
        wire.client.subscribe([SubscribeFilter("a")], now=wire.now)
        wire.client.unsubscribe(["a"], now=wire.now)
        wire.receive(answer)
        ended(wire, ReasonCode.PROTOCOL_ERROR, version)


@pytest.mark.spec("MQTT-2.2.2-2", "MQTT-3.3.1-4", "MQTT-1.5.3-1", "MQTT-1.5.3-2", version="3.1.1")
@pytest.mark.spec("MQTT-2.1.3-1", "MQTT-3.3.1-4", "MQTT-3.6.1-1", "MQTT-3.14.1-1", "MQTT-3.15.1-1", version="5.0")
@both_versions
@pytest.mark.parametrize(
    "data",
    [
        b"\x41\x02\x00\x01",  # flags of PUBACK
        b"\x60\x02\x00\x01",  # flags of PUBREL
        b"\x36\x05\x00\x01t\x00\x01",  # QoS 3
        b"\x30\x03\x00\x01\xff",  # no UTF-8
        b"\x30\x03\x00\x01\x00",  # U+0000
        b"\x40\x80\x80\x80\x80\x01",  # a length of five bytes
        b"\x40\x01\x00",  # half an identifier
        b"\x38\x03\x00\x01t",  # DUP with QoS 0
        b"\xe1\x00",  # flags of DISCONNECT
        b"\xf1\x00",  # flags of AUTH; reserved in 3.1.1
        b"\x00\x00",  # type 0
    ],
    ids=bytes.hex,
)
def test_malformed_packets(data, version):
    wire = Wire(version=version)
    wire.open()
    wire.receive_bytes(data)
    ended(wire, ReasonCode.MALFORMED_PACKET, version)


@pytest.mark.spec("MUST-2.1.2-1", version="5.0")
@pytest.mark.parametrize("opened", [False, True])
def test_a_reserved_packet_type_is_malformed_at_any_time(opened):
    wire = Wire()
    wire.open() if opened else wire.connect()
    wire.receive_bytes(b"\x00\x00")
    ended(wire, ReasonCode.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-1.5.4-3", version="5.0")
@pytest.mark.spec("MQTT-1.5.3-3", version="3.1.1")
@both_versions
def test_a_byte_order_mark_in_a_topic_stays(version):
    wire = Wire(version=version)
    wire.open()
    wire.receive(PublishPacket("\ufefft"))
    assert [m.topic for m in wire.events()] == ["\ufefft"]


@pytest.mark.spec("MQTT-3.3.2-2", version="5.0")
@pytest.mark.spec("MQTT-3.3.2-2", version="3.1.1")
@both_versions
def test_wildcards_in_a_topic_name(version):
    wire = Wire(version=version)
    wire.open()
    wire.receive_bytes(b"\x30\x04\x00\x01+x" if version == 4 else b"\x30\x04\x00\x01+\x00")
    ended(wire, ReasonCode.TOPIC_NAME_INVALID, version)


def test_a_packet_larger_than_announced_is_refused_from_its_header():
    wire = Wire(maximum_packet_size=100)
    wire.open()
    wire.receive_bytes(b"\x30\x63")
    ended(wire, ReasonCode.PACKET_TOO_LARGE)
    wire = Wire(maximum_packet_size=100)
    wire.open()
    wire.receive(PublishPacket("t", b"x" * 94))  # exactly 100
    assert len(wire.events()) == 1


@pytest.mark.spec("MQTT-4.8.0-2", version="3.1.1")
def test_a_packet_the_client_has_no_room_for_closes_its_connection():
    wire = Wire(version=4, maximum_packet_size=100)
    wire.open()
    wire.receive(PublishPacket("t", b"x" * 96))
    ended(wire, ReasonCode.PACKET_TOO_LARGE, 4)
    wire.lose()
    wire.open()
    wire.receive(PublishPacket("t", b"x" * 95))  # exactly 100
    assert [m.payload for m in wire.events()] == [b"x" * 95]


def test_what_came_before_the_fault_takes_effect_and_is_acknowledged_first():
    wire = Wire()
    wire.open()
    good = encode(PublishPacket("t", b"good", 1, packet_id=3), 5)
    wire.receive_bytes(good + b"\x00\x00" + good)
    sent = wire.sent()
    assert sent[0] == PubackPacket(3)
    assert sent[1].reason_code == ReasonCode.MALFORMED_PACKET
    assert len(sent) == 2
    assert [type(e) for e in wire.events()] == [MessageReceived, Disconnected]


@pytest.mark.spec("MQTT-3.14.2-3", "MQTT-3.14.4-2", version="5.0")
def test_the_reason_is_left_out_when_it_does_not_fit():
    wire = Wire()
    wire.open(maximum_packet_size=10)
    wire.receive_bytes(b"\x00\x00")
    assert wire.raw() == b"\xe0\x01\x81"
    assert wire.client.closing


@pytest.mark.spec("MQTT-4.1.0-1", version="5.0")
@pytest.mark.spec("MQTT-4.1.0-2", version="3.1.1")
@both_versions
def test_a_lost_connection_is_reported_once_and_tokens_live_on(version):
    wire = Wire(version=version)
    wire.open()
    wire.publish("t", qos=1)
    (event,) = wire.lose()
    assert event.reason_code == ReasonCode.UNSPECIFIED_ERROR
    assert wire.lose() == []
    assert wire.client.unacknowledged == 1
    wire.receive_bytes(b"\x40\x02\x00\x01")
    assert wire.events() == []


def test_a_server_that_does_not_take_the_last_words_is_left():
    wire = Wire(close_timeout_s=3)
    wire.open()
    wire.client.disconnect(wire.now)
    assert wire.client.next_deadline() == wire.now + 3
    wire.now += 3
    wire.client.handle_timer(wire.now)
    assert wire.client.next_deadline() is None
    assert wire.client.closing


@given(st.binary(max_size=60), st.sampled_from([4, 5]), st.booleans())
def test_no_bytes_raise_into_the_host(data, version, is_open):
    wire = Wire(version=version)
    if is_open:
        wire.open()
    else:
        wire.connect()
    wire.receive_bytes(data)
    wire.sent()
    wire.client.handle_timer(wire.now + 1000)
    wire.lose()

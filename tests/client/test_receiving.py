from __future__ import annotations

import pytest

from mqtt_core.client import Disconnected, MessageReceived
from mqtt_core.codec import (
    ConnackPacket,
    LocalProtocolError,
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    ReasonCode,
    SubackPacket,
)
from tests.client.kit import Wire

both_versions = pytest.mark.parametrize("version", [4, 5])
both_paths = pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "objects"])


def opened(version=5, bulk=True, **config):
    """A client with an open connection. bulk False: without the path for plain traffic."""
    wire = Wire(version=version, **config)
    wire.client._bulk.enabled = bulk
    wire.open()
    return wire


def publish(packet_id, payload=b"", qos=1, topic="t", **fields):
    """A PUBLISH of the server."""
    return PublishPacket(topic, payload, qos, packet_id=packet_id, **fields)


def received(wire):
    """The messages among the events."""
    return [e for e in wire.events() if isinstance(e, MessageReceived)]


@pytest.mark.spec("MQTT-3.3.4-1", "MQTT-4.3.2-4", "MQTT-4.3.3-8", "MQTT-2.2.1-5", "MQTT-4.5.0-2", version="5.0")
@pytest.mark.spec("MQTT-3.3.4-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-2.3.1-6", "MQTT-4.5.0-2", version="3.1.1")
@both_versions
@both_paths
def test_a_message_is_given_to_the_host_and_answered_as_its_qos_requires(version, bulk):
    wire = opened(version, bulk)
    wire.receive(publish(0, b"0", 0), publish(7, b"1", 1, retain=True), publish(8, b"2", 2))
    assert wire.events() == [
        MessageReceived("t", b"0"),
        MessageReceived("t", b"1", 1, True),
        MessageReceived("t", b"2", 2),
    ]
    assert wire.raw() == b"\x40\x02\x00\x07" + b"\x50\x02\x00\x08"


@pytest.mark.spec("MQTT-4.3.3-10", "MQTT-4.3.3-11", "MQTT-4.3.3-12", "MQTT-4.3.3-13", "MQTT-2.2.1-5", version="5.0")
@pytest.mark.spec("MQTT-4.3.3-2", version="3.1.1")
@both_versions
def test_qos_2_reaches_the_host_once(version):
    wire = opened(version)
    properties = Properties(message_expiry_interval=1) if version == 5 else Properties()
    wire.receive(publish(5, b"once", 2, properties=properties))
    wire.now += 100
    wire.receive(publish(5, b"once", 2, dup=True, properties=properties))
    assert [m.payload for m in received(wire)] == [b"once"]
    assert wire.sent() == [PubrecPacket(5), PubrecPacket(5)]
    wire.receive(PubrelPacket(5))
    assert wire.raw() == b"\x70\x02\x00\x05"
    wire.receive(publish(5, b"new", 2))
    assert [m.payload for m in received(wire)] == [b"new"]


@both_versions
def test_qos_2_reaches_the_host_once_across_connections(version):
    wire = opened(version, clean_start=False, session_expiry_s=9 if version == 5 else 0)
    wire.receive(publish(5, b"once", 2))
    wire.lose()
    wire.open(present=True)
    wire.sent()
    wire.receive(publish(5, b"once", 2, dup=True))
    assert received(wire) == []
    assert wire.sent() == [PubrecPacket(5)]
    wire.lose()
    wire.open(present=True)
    wire.receive(PubrelPacket(5))
    assert wire.sent() == [PubcompPacket(5)]


def test_a_new_session_forgets_what_was_to_be_released():
    wire = opened(session_expiry_s=9)
    wire.receive(publish(5, b"1", 2))
    wire.lose()
    assert wire.open()[1].forgotten == 1
    wire.receive(publish(5, b"2", 2))
    assert [m.payload for m in received(wire)] == [b"2"]


@pytest.mark.spec("MQTT-3.7.2-1", "MQTT-3.7.2-2", "MQTT-3.7.2-3", version="5.0")
def test_an_unknown_pubrel_is_answered_and_says_no_more_than_it_has_to():
    wire = opened()
    wire.receive(PubrelPacket(9))
    assert wire.raw() == b"\x70\x03\x00\x09\x92"
    old = opened(4)
    old.receive(PubrelPacket(9))
    assert old.raw() == b"\x70\x02\x00\x09"


@pytest.mark.spec("MQTT-4.3.2-5", version="5.0")
@pytest.mark.spec("MQTT-4.3.2-2", version="3.1.1")
@both_versions
@both_paths
def test_after_puback_the_same_identifier_is_a_new_message(version, bulk):
    wire = opened(version, bulk)
    wire.receive(publish(5, b"1"), publish(5, b"2", dup=True))
    assert [m.payload for m in received(wire)] == [b"1", b"2"]
    assert wire.sent() == [PubackPacket(5), PubackPacket(5)]


@pytest.mark.spec("MQTT-4.3.2-5", version="5.0")
@pytest.mark.spec("MQTT-4.3.2-2", version="3.1.1")
@both_versions
@pytest.mark.parametrize("dup", [False, True])
def test_after_the_puback_of_the_host_the_same_identifier_is_a_new_message(version, dup):
    wire = opened(version, manual_ack=True)
    wire.receive(publish(5, b"1"))
    (first,) = received(wire)
    wire.client.acknowledge(first.token, now=wire.now)
    assert wire.sent() == [PubackPacket(5)]
    wire.receive(publish(5, b"2", dup=dup))
    (second,) = received(wire)
    assert second.payload == b"2"
    wire.client.acknowledge(second.token, now=wire.now)
    assert wire.sent() == [PubackPacket(5)]


@pytest.mark.spec("MQTT-4.6.0-2", "MQTT-4.6.0-3", version="5.0")
@pytest.mark.spec("MQTT-4.6.0-2", "MQTT-4.6.0-3", version="3.1.1")
@both_versions
@both_paths
def test_acknowledgements_of_the_client_leave_in_the_order_of_arrival(version, bulk):
    wire = opened(version, bulk)
    wire.receive(*[publish(n, b"", 1) for n in (3, 1, 2)], *[publish(n, b"", 2) for n in (13, 11, 12)])
    assert wire.sent() == [PubackPacket(n) for n in (3, 1, 2)] + [PubrecPacket(n) for n in (13, 11, 12)]


@pytest.mark.spec("MQTT-4.6.0-2", "MQTT-4.6.0-3", version="5.0")
@pytest.mark.spec("MQTT-4.6.0-2", "MQTT-4.6.0-3", version="3.1.1")
@both_versions
def test_acknowledgements_leave_in_the_order_of_arrival_whatever_the_host_does(version):
    wire = opened(version, manual_ack=True)
    wire.receive(*[publish(n, b"", 1) for n in (3, 1, 2)], *[publish(n, b"", 2) for n in (13, 11, 12)])
    one, two, three, four, five, six = [m.token for m in received(wire)]
    assert wire.sent() == []
    for token in (three, two, six, five):
        wire.client.acknowledge(token, now=wire.now)
        assert wire.sent() == []
    wire.client.acknowledge(one, now=wire.now)
    assert wire.sent() == [PubackPacket(3), PubackPacket(1), PubackPacket(2)]
    wire.client.acknowledge(four, now=wire.now)
    assert wire.sent() == [PubrecPacket(13), PubrecPacket(11), PubrecPacket(12)]


def test_acknowledging_twice_or_nothing_changes_nothing():
    wire = opened(manual_ack=True)
    wire.receive(publish(1), publish(0, b"", 0))
    first, second = received(wire)
    assert second.token == 0
    for token in (first.token, first.token, second.token, 99):
        wire.client.acknowledge(token, now=wire.now)
    assert wire.sent() == [PubackPacket(1)]


@pytest.mark.spec("MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-4.3.3-9", version="5.0")
def test_the_host_can_refuse_a_message():
    wire = opened(manual_ack=True)
    wire.receive(publish(1, b"", 1), publish(2, b"", 2))
    one, two = [m.token for m in received(wire)]
    wire.client.acknowledge(one, reason_code=0x99, now=wire.now)
    wire.client.acknowledge(two, reason_code=0x83, now=wire.now)
    assert wire.sent() == [PubackPacket(1, 0x99), PubrecPacket(2, 0x83)]
    wire.receive(publish(2, b"new", 2))
    assert [m.payload for m in received(wire)] == [b"new"]
    wire.receive(publish(3, b""))
    (message,) = received(wire)
    with pytest.raises(LocalProtocolError):
        wire.client.acknowledge(message.token, reason_code=0x92, now=wire.now)
    wire.client.acknowledge(message.token, now=wire.now)
    assert wire.sent() == [PubackPacket(3)]
    with pytest.raises(LocalProtocolError):
        opened(4, manual_ack=True).client.acknowledge(1, reason_code=0x80, now=wire.now)


@pytest.mark.spec("MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3", version="5.0")
def test_acknowledgements_leave_out_what_does_not_fit():
    wire = Wire(manual_ack=True)
    wire.open(maximum_packet_size=30)
    wire.receive(publish(1, b"", 1), publish(2, b"", 2), publish(3, b"", 1))
    tokens = [m.token for m in received(wire)]
    large = Properties(reason_string="x" * 30, user_properties=(("a", "b"),))
    small = Properties(reason_string="ok")
    for token, why in zip(tokens, (large, large, small), strict=True):
        wire.client.acknowledge(token, reason_code=0x80, properties=why, now=wire.now)
    assert wire.sent() == [PubackPacket(1, 0x80), PubrecPacket(2, 0x80), PubackPacket(3, 0x80, small)]


def test_what_the_host_still_has_is_not_given_to_it_twice():
    wire = opened(manual_ack=True, session_expiry_s=9)
    wire.receive(publish(1, b"at least once", 1), publish(2, b"once", 2), publish(3, b"late", 2))
    one, two, three = [m.token for m in received(wire)]
    wire.lose()
    wire.client.acknowledge(one, now=wire.now)  # its connection is gone: the server sends it again
    wire.client.acknowledge(two, now=wire.now)
    wire.open(present=True)
    assert wire.sent() == []
    wire.receive(publish(1, b"at least once", 1, dup=True), publish(2, b"once", 2, dup=True))
    wire.receive(publish(3, b"late", 2, dup=True), publish(3, b"late", 2, dup=True))
    again = received(wire)
    assert [m.payload for m in again] == [b"at least once"]
    assert wire.sent() == [PubrecPacket(2)]
    wire.client.acknowledge(three, now=wire.now)
    wire.client.acknowledge(again[0].token, now=wire.now)
    assert wire.sent() == [PubrecPacket(3), PubackPacket(1)]
    wire.receive(publish(3, b"late", 2, dup=True), PubrelPacket(2), PubrelPacket(3))
    assert wire.sent() == [PubrecPacket(3), PubcompPacket(2), PubcompPacket(3)]


def test_pubrel_before_pubrec_is_a_protocol_error():
    wire = opened(manual_ack=True)
    wire.receive(publish(2, b"", 2), PubrelPacket(2))
    assert wire.sent()[0].reason_code == ReasonCode.PROTOCOL_ERROR


@pytest.mark.spec("MQTT-3.3.2-10", "MQTT-3.3.2-7", version="5.0")
def test_aliases_of_the_server_are_understood_up_to_the_announced_maximum():
    wire = opened(topic_alias_maximum=3)
    for alias in (1, 3):
        wire.receive(publish(0, b"", 0, topic=f"t/{alias}", properties=Properties(topic_alias=alias)))
        wire.receive(publish(0, b"", 0, topic="", properties=Properties(topic_alias=alias)))
    wire.receive(publish(0, b"", 0, topic="other", properties=Properties(topic_alias=1)))
    wire.receive(publish(4, b"", 1, topic="", properties=Properties(topic_alias=1)))
    assert [m.topic for m in received(wire)] == ["t/1", "t/1", "t/3", "t/3", "other", "other"]
    wire.lose()
    wire.open()
    wire.receive(publish(0, b"", 0, topic="", properties=Properties(topic_alias=1)))
    assert wire.sent()[0].reason_code == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("alias", [4, 65535])
def test_an_alias_above_the_maximum_is_refused(alias):
    wire = opened(topic_alias_maximum=3)
    wire.receive(publish(0, b"", 0, properties=Properties(topic_alias=alias)))
    assert wire.sent()[0].reason_code == ReasonCode.TOPIC_ALIAS_INVALID
    assert received(wire) == []


@pytest.mark.spec("MQTT-3.3.2-8", version="5.0")
def test_alias_zero_is_refused():
    wire = opened()
    wire.receive_bytes(b"\x30\x07\x00\x01t\x03\x23\x00\x00")
    assert wire.sent()[0].reason_code == ReasonCode.TOPIC_ALIAS_INVALID


def test_more_messages_than_the_receive_maximum_are_refused_with_0x93():
    wire = opened(receive_maximum=2, manual_ack=True)
    wire.receive(publish(1), publish(2, b"", 2), publish(0, b"", 0))
    assert len(received(wire)) == 3
    wire.receive(publish(3))
    assert wire.sent()[0].reason_code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
    assert wire.client.closing


def test_the_window_opens_when_the_last_acknowledgement_has_left():
    wire = opened(receive_maximum=2)
    for n in range(1, 6):
        wire.receive(publish(n), publish(n + 100, b"", 2))
        wire.receive(PubrelPacket(n + 100))
        assert len(wire.sent()) == 3
    wire.receive(publish(1), publish(2))
    wire.receive(publish(3))  # no acknowledgement has left yet
    assert wire.sent()[-1].reason_code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


def test_a_repeated_qos_2_message_occupies_one_place_of_the_window():
    wire = opened(receive_maximum=1, session_expiry_s=9)
    wire.receive(publish(1, b"", 2), publish(1, b"", 2, dup=True))
    assert wire.client.connected
    wire.lose()
    wire.open(present=True)
    wire.receive(publish(1, b"", 2, dup=True), publish(1, b"", 2, dup=True))
    wire.sent()
    wire.receive(PubrelPacket(1))
    wire.sent()
    wire.receive(publish(2, b"", 2))
    assert wire.client.connected


def test_311_has_no_receive_maximum():
    wire = opened(4, receive_maximum=2)
    wire.receive(*[publish(n) for n in range(1, 10)])
    assert len(received(wire)) == 9


def test_messages_not_taken_pause_reading_and_nothing_is_lost():
    wire = opened(inbound_messages_max=10)
    wire.receive(*[publish(n, bytes([n])) for n in range(1, 26)])
    assert wire.client.reading_paused
    seen = []
    for _ in range(3):
        seen += [m.payload[0] for m in received(wire)]
        assert not wire.client.reading_paused
        assert wire.client.next_deadline() in {wire.now, wire.now + 59}
        wire.client.handle_timer(wire.now)
    assert seen == list(range(1, 26))
    assert [p.packet_id for p in wire.sent()] == seen


def test_bytes_not_taken_pause_reading_too():
    wire = opened(4, inbound_bytes_max=1000)
    wire.receive(*[publish(0, b"x" * 400, 0, topic=f"t{n}") for n in range(9)])
    assert len(received(wire)) == 3
    wire.client.handle_timer(wire.now)
    assert len(received(wire)) == 3


def test_what_came_before_a_pause_is_dealt_with_when_more_comes():
    wire = opened(inbound_messages_max=1)
    wire.receive(publish(0, b"1", 0), publish(0, b"2", 0), SubackPacket(1, [0]))
    assert [m.payload for m in received(wire)] == [b"1"]
    wire.receive(publish(0, b"3", 0))
    assert [m.payload for m in received(wire)] == [b"2"]
    wire.client.handle_timer(wire.now)
    (end,) = wire.events()
    assert isinstance(end, Disconnected)  # the SUBACK answers nothing


@pytest.mark.parametrize("limit", [{"inbound_messages_max": 4}, {"inbound_bytes_max": 44}])
def test_messages_not_acknowledged_pause_reading_until_half_of_them_are(limit):
    wire = opened(manual_ack=True, **limit)
    for n in range(1, 5):
        wire.receive(publish(n, b"0123456789"))
    tokens = [m.token for m in received(wire)]
    assert wire.client.reading_paused
    wire.client.acknowledge(tokens[0], now=wire.now)
    assert wire.client.reading_paused
    wire.client.acknowledge(tokens[1], now=wire.now)
    assert not wire.client.reading_paused


def test_a_pause_ends_with_its_connection():
    wire = opened(manual_ack=True, inbound_messages_max=2)
    wire.receive(publish(1), publish(2), publish(3))
    wire.lose()
    assert not wire.client.reading_paused
    wire.connect()
    wire.receive(ConnackPacket())
    assert wire.client.connected

from __future__ import annotations

import pytest

from mqtt_core.codec import (
    NO_PROPERTIES,
    WILL,
    InvalidTopic,
    LocalProtocolError,
    MalformedProperties,
    MqttError,
    Properties,
    ProtocolError,
    decode_properties,
    encode_properties,
)

# Packet types, and 16 for a will.
CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH = 8, 9, 10, 11, 14, 15
WITH_PROPERTIES = [*range(1, 12), DISCONNECT, AUTH, WILL]
REASONS = [CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH]

# Table 2-4 once more, written from the standard: bytes of one property, its field, its value, its packets.
TABLE = [
    (b"\x01\x01", "payload_format_indicator", 1, [PUBLISH, WILL]),
    (b"\x02\x00\x00\x01\x00", "message_expiry_interval", 256, [PUBLISH, WILL]),
    (b"\x03\x00\x01c", "content_type", "c", [PUBLISH, WILL]),
    (b"\x08\x00\x03r/t", "response_topic", "r/t", [PUBLISH, WILL]),
    (b"\x09\x00\x02\x00\xff", "correlation_data", b"\x00\xff", [PUBLISH, WILL]),
    (b"\x0b\x80\x01", "subscription_identifiers", (128,), [PUBLISH, SUBSCRIBE]),
    (b"\x11\xff\xff\xff\xff", "session_expiry_interval", 0xFFFFFFFF, [CONNECT, CONNACK, DISCONNECT]),
    (b"\x12\x00\x02id", "assigned_client_identifier", "id", [CONNACK]),
    (b"\x13\x01\x02", "server_keep_alive", 258, [CONNACK]),
    (b"\x15\x00\x01M", "authentication_method", "M", [CONNECT, CONNACK, AUTH]),
    (b"\x16\x00\x01d", "authentication_data", b"d", [CONNECT, CONNACK, AUTH]),
    (b"\x17\x00", "request_problem_information", False, [CONNECT]),
    (b"\x18\x00\x00\x00\x05", "will_delay_interval", 5, [WILL]),
    (b"\x19\x01", "request_response_information", True, [CONNECT]),
    (b"\x1a\x00\x01r", "response_information", "r", [CONNACK]),
    (b"\x1c\x00\x01s", "server_reference", "s", [CONNACK, DISCONNECT]),
    (b"\x1f\x00\x02no", "reason_string", "no", REASONS),
    (b"\x21\x00\x01", "receive_maximum", 1, [CONNECT, CONNACK]),
    (b"\x22\x00\x00", "topic_alias_maximum", 0, [CONNECT, CONNACK]),
    (b"\x23\xff\xff", "topic_alias", 65535, [PUBLISH]),
    (b"\x24\x00", "maximum_qos", 0, [CONNACK]),
    (b"\x25\x01", "retain_available", True, [CONNACK]),
    (b"\x26\x00\x01k\x00\x01v", "user_properties", (("k", "v"),), WITH_PROPERTIES),
    (b"\x27\x00\x00\x00\x01", "maximum_packet_size", 1, [CONNECT, CONNACK]),
    (b"\x28\x00", "wildcard_subscription_available", False, [CONNACK]),
    (b"\x29\x01", "subscription_identifier_available", True, [CONNACK]),
    (b"\x2a\x00", "shared_subscription_available", False, [CONNACK]),
]
FIELDS = [field for _, field, _, _ in TABLE]
BYTES = {field: data for data, field, _, _ in TABLE}
METHOD = BYTES["authentication_method"]

# The sentences "it is a Protocol Error to include it more than once", by packet and field.
ONCE = {
    (CONNECT, "session_expiry_interval"): "MUST-3.1.2.11.2-1",
    (CONNECT, "receive_maximum"): "MUST-3.1.2.11.3-1",
    (CONNECT, "maximum_packet_size"): "MUST-3.1.2.11.4-1",
    (CONNECT, "topic_alias_maximum"): "MUST-3.1.2.11.5-1",
    (CONNECT, "request_response_information"): "MUST-3.1.2.11.6-1",
    (CONNECT, "request_problem_information"): "MUST-3.1.2.11.7-1",
    (CONNECT, "authentication_method"): "MUST-3.1.2.11.9-1",
    (CONNECT, "authentication_data"): "MUST-3.1.2.11.10-1",
    (WILL, "will_delay_interval"): "MUST-3.1.3.2.2-1",
    (WILL, "payload_format_indicator"): "MUST-3.1.3.2.3-1",
    (WILL, "message_expiry_interval"): "MUST-3.1.3.2.4-1",
    (WILL, "content_type"): "MUST-3.1.3.2.5-1",
    (WILL, "response_topic"): "MUST-3.1.3.2.6-1",
    (WILL, "correlation_data"): "MUST-3.1.3.2.7-1",
    (CONNACK, "session_expiry_interval"): "MUST-3.2.2.3.2-1",
    (CONNACK, "receive_maximum"): "MUST-3.2.2.3.3-1",
    (CONNACK, "maximum_qos"): "MUST-3.2.2.3.4-1",
    (CONNACK, "retain_available"): "MUST-3.2.2.3.5-1",
    (CONNACK, "maximum_packet_size"): "MUST-3.2.2.3.6-1",
    (CONNACK, "assigned_client_identifier"): "MUST-3.2.2.3.7-1",
    (CONNACK, "topic_alias_maximum"): "MUST-3.2.2.3.8-1",
    (CONNACK, "reason_string"): "MUST-3.2.2.3.9-1",
    (CONNACK, "wildcard_subscription_available"): "MUST-3.2.2.3.11-1",
    (CONNACK, "subscription_identifier_available"): "MUST-3.2.2.3.12-1",
    (CONNACK, "shared_subscription_available"): "MUST-3.2.2.3.13-1",
    (CONNACK, "server_keep_alive"): "MUST-3.2.2.3.14-1",
    (CONNACK, "response_information"): "MUST-3.2.2.3.15-1",
    (CONNACK, "server_reference"): "MUST-3.2.2.3.16-1",
    (CONNACK, "authentication_method"): "MUST-3.2.2.3.17-1",
    (CONNACK, "authentication_data"): "MUST-3.2.2.3.18-1",
    (PUBLISH, "payload_format_indicator"): "MUST-3.3.2.3.2-1",
    (PUBLISH, "message_expiry_interval"): "MUST-3.3.2.3.3-1",
    (PUBLISH, "topic_alias"): "MUST-3.3.2.3.4-1",
    (PUBLISH, "response_topic"): "MUST-3.3.2.3.5-1",
    (PUBLISH, "correlation_data"): "MUST-3.3.2.3.6-1",
    (PUBLISH, "content_type"): "MUST-3.3.2.3.9-1",
    (PUBACK, "reason_string"): "MUST-3.4.2.2.2-1",
    (PUBREC, "reason_string"): "MUST-3.5.2.2.2-1",
    (PUBREL, "reason_string"): "MUST-3.6.2.2.2-1",
    (PUBCOMP, "reason_string"): "MUST-3.7.2.2.2-1",
    (SUBSCRIBE, "subscription_identifiers"): "MUST-3.8.2.1.2-1",
    (SUBACK, "reason_string"): "MUST-3.9.2.1.2-1",
    (UNSUBACK, "reason_string"): "MUST-3.11.2.1.2-1",
    (DISCONNECT, "session_expiry_interval"): "MUST-3.14.2.2.2-1",
    (DISCONNECT, "reason_string"): "MUST-3.14.2.2.3-1",
    (DISCONNECT, "server_reference"): "MUST-3.14.2.2.5-1",
    (AUTH, "authentication_method"): "MUST-3.15.2.2.2-1",
    (AUTH, "authentication_data"): "MUST-3.15.2.2.3-1",
    (AUTH, "reason_string"): "MUST-3.15.2.2.4-1",
}


def cited(*values, spec: str | None, name: str):
    return pytest.param(*values, id=name, marks=[pytest.mark.spec(spec, version="5.0")] if spec else [])


def section(body: bytes) -> bytes:
    return bytes((len(body),)) + body


def decoded(body: bytes, packet: int) -> Properties:
    data = section(body)
    properties, pos = decode_properties(data + b"after", 0, len(data) + 5, packet)
    assert pos == len(data)
    return properties


def with_method(field: str, body: bytes) -> bytes:
    """Authentication Data cannot stand alone."""
    return METHOD + body if field == "authentication_data" else body


@pytest.mark.parametrize("data, field, value, packets", TABLE, ids=FIELDS)
@pytest.mark.parametrize("packet", WITH_PROPERTIES)
@pytest.mark.spec("MUST-2.2.2-3", version="5.0")
def test_a_property_stands_where_table_2_4_allows_it(data, field, value, packets, packet):
    data = with_method(field, data)
    method = "M" if data.startswith(METHOD) else None
    properties = Properties(**{"authentication_method": method, field: value})
    if packet in packets:
        assert decoded(data, packet) == properties
        assert encode_properties(properties, packet) == section(data)
    else:
        with pytest.raises(MalformedProperties) as caught:
            decoded(data, packet)
        assert caught.value.reason_code == 0x81
        with pytest.raises(LocalProtocolError):
            encode_properties(properties, packet)


def test_every_field_has_its_sentence_about_repetition():
    may_repeat = {"user_properties"}
    pairs = {(packet, field) for _, field, _, packets in TABLE for packet in packets if field not in may_repeat}
    assert pairs - set(ONCE) == {(PUBLISH, "subscription_identifiers")}
    assert set(ONCE) <= pairs


@pytest.mark.parametrize(
    "packet, field",
    [cited(*pair, spec=spec, name=f"{pair[1]}_in_{pair[0]}") for pair, spec in ONCE.items()],
)
def test_a_property_stands_at_most_once(packet, field):
    with pytest.raises(ProtocolError) as caught:
        decoded(with_method(field, BYTES[field] * 2), packet)
    assert caught.value.reason_code == 0x82


@pytest.mark.spec("MUST-2.2.2-4", version="5.0")
def test_user_properties_repeat_and_keep_their_order():
    pairs = (("b", "1"), ("a", "2"), ("b", "1"), ("b", "0"))
    properties = Properties(user_properties=pairs)
    assert properties.user_properties == pairs
    for packet in WITH_PROPERTIES:
        assert decode_properties(encode_properties(properties, packet), 0, 99, packet)[0].user_properties == pairs


def test_a_publish_may_name_many_subscriptions():
    assert decoded(b"\x0b\x03\x0b\x01\x0b\x03", PUBLISH).subscription_identifiers == (3, 1, 3)
    with pytest.raises(LocalProtocolError):
        encode_properties(Properties(subscription_identifiers=(1, 2)), SUBSCRIBE)


RANGES = [
    (CONNECT, b"\x21\x00\x00", 0x82, "MUST-3.1.2.11.3-2"),
    (CONNECT, b"\x27\x00\x00\x00\x00", 0x82, "MUST-3.1.2.11.4-2"),
    (CONNECT, b"\x19\x02", 0x82, "MUST-3.1.2.11.6-2"),
    (CONNECT, b"\x17\xff", 0x82, "MUST-3.1.2.11.7-2"),
    (CONNECT, b"\x16\x00\x01d", 0x82, "MUST-3.1.2.11.10-2"),
    (CONNACK, b"\x21\x00\x00", 0x82, "MUST-3.2.2.3.3-2"),
    (CONNACK, b"\x24\x02", 0x82, "MUST-3.2.2.3.4-2"),
    (CONNACK, b"\x25\x02", 0x82, "MUST-3.2.2.3.5-2"),
    (CONNACK, b"\x27\x00\x00\x00\x00", 0x82, "MUST-3.2.2.3.6-2"),
    (CONNACK, b"\x28\x02", 0x82, "MUST-3.2.2.3.11-2"),
    (CONNACK, b"\x29\x02", 0x82, "MUST-3.2.2.3.12-2"),
    (CONNACK, b"\x2a\x02", 0x82, "MUST-3.2.2.3.13-2"),
    (CONNACK, b"\x16\x00\x01d", 0x82, None),
    (WILL, b"\x01\x02", 0x82, None),
    (PUBLISH, b"\x01\x02", 0x82, None),
    (PUBLISH, b"\x23\x00\x00", 0x94, "MQTT-3.3.2-8"),
    (PUBLISH, b"\x0b\x00", 0x82, "MUST-3.3.2.3.8-1"),
    (SUBSCRIBE, b"\x0b\x00", 0x82, "MUST-3.8.2.1.2-2"),
]


@pytest.mark.parametrize(
    "packet, body, code",
    [cited(packet, body, code, spec=spec, name=f"{body.hex()}_in_{packet}") for packet, body, code, spec in RANGES],
)
def test_a_value_out_of_range_is_a_protocol_error(packet, body, code):
    with pytest.raises(ProtocolError) as caught:
        decoded(body, packet)
    assert caught.value.reason_code == code


@pytest.mark.parametrize("topic", ["", "+", "a/#"])
@pytest.mark.spec("MQTT-3.3.2-14", version="5.0")
def test_a_response_topic_is_a_topic_name(topic):
    encoded = topic.encode()
    with pytest.raises(InvalidTopic):
        decoded(b"\x08\x00" + bytes((len(encoded),)) + encoded, PUBLISH)
    with pytest.raises(LocalProtocolError) as caught:
        Properties(response_topic=topic)
    assert caught.value.reason_code == 0x90


@pytest.mark.spec("MQTT-2.2.2-1", version="5.0")
def test_no_properties_are_one_byte():
    assert encode_properties(NO_PROPERTIES, PUBLISH) == b"\x00"
    assert encode_properties(Properties(), CONNECT) == b"\x00"
    assert decode_properties(b"\x00", 0, 1, PUBLISH) == (NO_PROPERTIES, 1)


@pytest.mark.spec("MUST-2.2.2-1", version="5.0")
@pytest.mark.parametrize("data, field, value, packets", TABLE, ids=FIELDS)
def test_a_property_cut_off_is_malformed(data, field, value, packets):
    for end in range(1, len(data)):
        with pytest.raises(MqttError) as caught:
            decode_properties(section(data[:end]) + data[end:], 0, len(data) + 1, packets[0])
        assert caught.value.reason_code == 0x81


def test_a_property_section_is_decoded_in_linear_time():
    """100,000 user properties: a quadratic decoder would need minutes, and the test's time limit ends it."""
    body = b"\x26\x00\x00\x00\x00" * 100_000
    size = len(body)
    data = bytes((size & 127 | 128, size >> 7 & 127 | 128, size >> 14)) + body
    properties, pos = decode_properties(data, 0, len(data), PUBLISH)
    assert pos == len(data)
    assert properties.user_properties == (("", ""),) * 100_000
    assert encode_properties(properties, PUBLISH) == data


def test_absent_fields_are_none_or_empty():
    properties = Properties()
    for field in FIELDS:
        empty = () if field in {"user_properties", "subscription_identifiers"} else None
        assert getattr(properties, field) == empty
    assert not properties
    assert len(properties) == 0
    assert properties == NO_PROPERTIES
    assert repr(properties) == "Properties()"


@pytest.mark.parametrize("data, field, value, packets", TABLE, ids=FIELDS)
def test_a_field_is_what_was_given(data, field, value, packets):
    properties = Properties(**{field: value})
    got = getattr(properties, field)
    assert got == value
    assert type(got) is type(value)
    assert properties
    assert len(properties) == 1
    assert repr(properties) == f"Properties({field}={value!r})"
    assert properties.replace(**{field: None}) == NO_PROPERTIES
    assert properties.replace() == properties
    with pytest.raises(AttributeError):
        setattr(properties, field, value)


def test_equality_ignores_the_order_of_fields():
    one = Properties(content_type="c", topic_alias=1)
    other = Properties(topic_alias=1, content_type="c")
    assert one == other
    assert hash(one) == hash(other)
    assert one != Properties(topic_alias=1)
    assert one != "Properties"
    assert one.replace(topic_alias=2) == Properties(topic_alias=2, content_type="c")
    assert one == other  # replace changed neither


def test_lists_and_bytes_like_values_are_taken_as_copies():
    names = ["k", "v"]
    data = bytearray(b"d")
    properties = Properties(
        user_properties=[names],
        subscription_identifiers=[1],
        correlation_data=memoryview(data),
        retain_available=0,
    )
    names[0] = "changed"
    data[0] = 0
    assert properties.user_properties == (("k", "v"),)
    assert properties.subscription_identifiers == (1,)
    assert properties.correlation_data == b"d"
    assert properties.retain_available is False
    assert Properties(user_properties=(), subscription_identifiers=[]) == NO_PROPERTIES


@pytest.mark.parametrize(
    "fields",
    [
        {"payload_format_indicator": 2},
        {"payload_format_indicator": "1"},
        {"message_expiry_interval": -1},
        {"message_expiry_interval": 2**32},
        {"message_expiry_interval": 1.5},
        {"content_type": b"c"},
        {"content_type": "\ud800"},
        {"content_type": "a\x00"},
        {"content_type": "c" * 65536},
        {"correlation_data": "text"},
        {"correlation_data": bytes(65536)},
        {"subscription_identifiers": 1},
        {"subscription_identifiers": (0,)},
        {"subscription_identifiers": (268435456,)},
        {"receive_maximum": 0},
        {"receive_maximum": 65536},
        {"maximum_packet_size": 0},
        {"topic_alias": 0},
        {"maximum_qos": 2},
        {"retain_available": 2},
        {"user_properties": "kv"},
        {"user_properties": ("kv",)},
        {"user_properties": (("k", "v", "w"),)},
        {"user_properties": (("k", 1),)},
        {"user_properties": (("k\x00", "v"),)},
        {"user_properties": (("k", "\udfff"),)},
    ],
    ids=str,
)
def test_what_cannot_be_sent_cannot_be_said(fields):
    with pytest.raises(LocalProtocolError):
        Properties(**fields)
    with pytest.raises(LocalProtocolError):
        NO_PROPERTIES.replace(**fields)


@pytest.mark.parametrize("text", ["\x00", "\udfff", "x" * 65536], ids=["null", "surrogate", "too long"])
@pytest.mark.spec("MQTT-1.5.7-1", version="5.0")
def test_name_and_value_of_a_user_property_are_strings_that_can_be_sent(text):
    with pytest.raises(LocalProtocolError):
        Properties(user_properties=((text, "value"),))
    with pytest.raises(LocalProtocolError):
        Properties(user_properties=(("name", text),))


def test_a_field_that_does_not_exist_is_a_type_error():
    with pytest.raises(TypeError, match="no property 'topic'"):
        Properties(topic="t")
    with pytest.raises(TypeError, match="no property 'topic'"):
        NO_PROPERTIES.replace(topic="t")


def test_authentication_data_needs_a_method():
    with pytest.raises(LocalProtocolError):
        encode_properties(Properties(authentication_data=b"d"), CONNECT)

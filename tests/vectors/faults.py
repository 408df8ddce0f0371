"""The faulty packets of the table: each breaks one rule, in an otherwise valid packet."""

# ruff: noqa: E501 - one row of the table, one line
from __future__ import annotations

from mqtt_core.codec import (
    InvalidTopic,
    MalformedPacket,
    MalformedProperties,
    MalformedString,
    MalformedVariableByteInteger,
    MqttError,
    ProtocolError,
    ReservedFlags,
    UnsupportedProtocolVersion,
)
from tests.vectors.rows import Vector, bad, frame, text

ID = b"\x12\x34"
NONE = b"\x00"
HEAD_311 = b"\x00\x04MQTT\x04"
HEAD_5 = b"\x00\x04MQTT\x05"


def both(
    name: str,
    data: bytes,
    error: type[MqttError],
    code: int,
    spec_311: tuple[str, ...] = (),
    spec_5: tuple[str, ...] = (),
) -> list[Vector]:
    """A fault that is the same in both versions."""
    return [bad(f"{name}_311", 4, data, error, code, *spec_311), bad(f"{name}_5", 5, data, error, code, *spec_5)]


def connects(
    name: str,
    flags: bytes,
    payload: bytes,
    error: type[MqttError],
    code: int,
    spec_311: tuple[str, ...] = (),
    spec_5: tuple[str, ...] = (),
) -> list[Vector]:
    """A faulty CONNECT of both versions; `payload` has no will properties."""
    return [
        bad(f"{name}_311", 4, frame(0x10, HEAD_311, flags, b"\x00\x3c", payload), error, code, *spec_311),
        bad(f"{name}_5", 5, frame(0x10, HEAD_5, flags, b"\x00\x3c", NONE, payload), error, code, *spec_5),
    ]


def wrong_flags(kind: int, name: str, body: bytes, right: int, *ids: str) -> list[Vector]:
    """A packet with each wrong nibble of fixed-header flags."""
    return [
        vector
        for flags in range(16)
        if flags != right
        for vector in both(
            f"{name}_flags_{flags:04b}",
            frame(kind << 4 | flags, body),
            ReservedFlags,
            0x81,
            ("MQTT-2.2.2-1", *ids),
            ("MQTT-2.1.3-1", *ids),
        )
    ]


BAD_STRINGS: list[tuple[str, bytes, str, str]] = [
    ("surrogate", b"\xed\xa0\x80", "MQTT-1.5.3-1", "MQTT-1.5.4-1"),
    ("surrogate_pair", b"\xed\xa0\xbd\xed\xb8\x80", "MQTT-1.5.3-1", "MQTT-1.5.4-1"),
    ("overlong", b"\xc0\xaf", "MQTT-1.5.3-1", "MQTT-1.5.4-1"),
    ("overlong_null", b"\xc0\x80", "MQTT-1.5.3-1", "MQTT-1.5.4-1"),
    ("cut_off", b"a\xe2\x82", "MQTT-1.5.3-1", "MQTT-1.5.4-1"),
    ("stray_byte", b"\x80", "MQTT-1.5.3-1", "MQTT-1.5.4-1"),
    ("above_10ffff", b"\xf4\x90\x80\x80", "MQTT-1.5.3-1", "MQTT-1.5.4-1"),
    ("null", b"a\x00b", "MQTT-1.5.3-2", "MQTT-1.5.4-2"),
]


def string_faults(name: str, data: bytes, spec_311: str, spec_5: str) -> list[Vector]:
    """A bad string in each field that holds one."""
    field = text(data)
    rows = [
        *both(
            f"publish_topic_{name}",
            frame(0x30, field, NONE),
            MalformedString,
            0x81,
            (spec_311, "MQTT-3.3.2-1"),
            (spec_5, "MQTT-3.3.2-1"),
        ),
        *connects(
            f"connect_client_id_{name}",
            b"\x02",
            field,
            MalformedString,
            0x81,
            (spec_311, "MQTT-3.1.3-4"),
            (spec_5, "MQTT-3.1.3-4"),
        ),
        *connects(
            f"connect_user_{name}",
            b"\x82",
            text("c") + field,
            MalformedString,
            0x81,
            (spec_311, "MQTT-3.1.3-11"),
            (spec_5, "MQTT-3.1.3-12"),
        ),
        bad(
            f"connect_will_topic_{name}_311",
            4,
            frame(0x10, HEAD_311, b"\x06\x00\x00", text("c"), field, text("")),
            MalformedString,
            0x81,
            spec_311,
            "MQTT-3.1.3-10",
        ),
        bad(
            f"connect_will_topic_{name}_5",
            5,
            frame(0x10, HEAD_5, b"\x06\x00\x00", NONE, text("c"), NONE, field, text("")),
            MalformedString,
            0x81,
            spec_5,
            "MQTT-3.1.3-11",
        ),
        bad(
            f"subscribe_filter_{name}_311",
            4,
            frame(0x82, ID, field, b"\x00"),
            MalformedString,
            0x81,
            spec_311,
            "MQTT-3.8.3-1",
        ),
        bad(
            f"subscribe_filter_{name}_5",
            5,
            frame(0x82, ID, NONE, field, b"\x00"),
            MalformedString,
            0x81,
            spec_5,
            "MQTT-3.8.3-1",
        ),
        bad(
            f"unsubscribe_filter_{name}_311",
            4,
            frame(0xA2, ID, field),
            MalformedString,
            0x81,
            spec_311,
            "MQTT-3.10.3-1",
        ),
        bad(
            f"unsubscribe_filter_{name}_5",
            5,
            frame(0xA2, ID, NONE, field),
            MalformedString,
            0x81,
            spec_5,
            "MQTT-3.10.3-1",
        ),
    ]
    for what, identifier, spec in (
        ("content_type", b"\x03", "MQTT-3.3.2-19"),
        ("response_topic", b"\x08", "MQTT-3.3.2-13"),
    ):
        section = identifier + field
        data = frame(0x30, text("t"), bytes((len(section),)), section)
        rows.append(bad(f"publish_{what}_{name}_5", 5, data, MalformedString, 0x81, spec_5, spec))
    for what, pair in (("name", field + text("v")), ("value", text("k") + field)):
        section = b"\x26" + pair
        data = frame(0x30, text("t"), bytes((len(section),)), section)
        rows.append(
            bad(f"publish_user_property_{what}_{name}_5", 5, data, MalformedString, 0x81, spec_5, "MQTT-1.5.7-1")
        )
    return rows


STRINGS = [row for string in BAD_STRINGS for row in string_faults(*string)]

FAULTS_OF_BOTH: list[Vector] = [
    *(row for row in STRINGS),
    *both("empty", b"", MalformedPacket, 0x81),
    *both("one_byte", b"\xc0", MalformedPacket, 0x81),
    *both("type_0", b"\x00\x00", MalformedPacket, 0x81, ("MUST-2.2.1-1",), ("MUST-2.1.2-1",)),
    *wrong_flags(1, "connect", HEAD_311 + b"\x02\x00\x3c" + text(""), 0),
    *wrong_flags(2, "connack", b"\x00\x00", 0),
    *wrong_flags(4, "puback", ID, 0),
    *wrong_flags(5, "pubrec", ID, 0),
    *wrong_flags(6, "pubrel", ID, 2, "MQTT-3.6.1-1"),
    *wrong_flags(7, "pubcomp", ID, 0),
    *wrong_flags(8, "subscribe", ID + text("a") + b"\x00", 2, "MQTT-3.8.1-1"),
    *wrong_flags(9, "suback", ID + b"\x00", 0),
    *wrong_flags(10, "unsubscribe", ID + text("a"), 2, "MQTT-3.10.1-1"),
    *wrong_flags(11, "unsuback", ID, 0),
    *wrong_flags(12, "pingreq", b"", 0),
    *wrong_flags(13, "pingresp", b"", 0),
    *wrong_flags(14, "disconnect", b"", 0, "MQTT-3.14.1-1"),
    *both("remaining_length_5_bytes", b"\xc0\x80\x80\x80\x80\x01", MalformedVariableByteInteger, 0x81, ("MUST-2.2.3-1",), ("MUST-1.5.5-1",)),
    *both("remaining_length_longer_than_needed", b"\xc0\x80\x00", MalformedVariableByteInteger, 0x81, (), ("MQTT-1.5.5-1",)),
    *both("remaining_length_cut_off", b"\xc0\x80", MalformedPacket, 0x81),
    *both("frame_too_short", b"\xc0\x01", MalformedPacket, 0x81, ("MUST-2.2.3-2",), ("MUST-2.1.4-1",)),
    *both("frame_too_long", b"\xc0\x00\x00", MalformedPacket, 0x81, ("MUST-2.2.3-2",), ("MUST-2.1.4-1",)),
    *both("pingreq_with_content", b"\xc0\x01\x00", MalformedPacket, 0x81, ("MUST-3.12-1",), ("MUST-3.12-1",)),
    *both("pingresp_with_content", b"\xd0\x01\x00", MalformedPacket, 0x81, (), ("MUST-3.13-1",)),
    *both("publish_qos_3", b"\x36\x06\x00\x01t\x00\x01\x00", MalformedPacket, 0x81, ("MQTT-3.3.1-4",), ("MQTT-3.3.1-4",)),
    *both("publish_dup_qos_0", b"\x38\x04\x00\x01t\x00", MalformedPacket, 0x81, ("MQTT-3.3.1-2",), ("MQTT-3.3.1-2",)),
    *both("publish_plus", b"\x30\x06\x00\x03a/+\x00", InvalidTopic, 0x90, ("MQTT-3.3.2-2", "MQTT-4.7.1-1"), ("MQTT-3.3.2-2", "MQTT-4.7.0-1")),
    *both("publish_hash", b"\x30\x06\x00\x03a/#\x00", InvalidTopic, 0x90, ("MQTT-3.3.2-2", "MQTT-4.7.1-1"), ("MQTT-3.3.2-2", "MQTT-4.7.0-1")),
    *both("publish_without_topic", b"\x30\x01\x00", MalformedPacket, 0x81, ("MUST-2.2.3-2",), ("MUST-2.1.4-1",)),
    *both("publish_topic_past_the_end", b"\x30\x04\x00\x05ab", MalformedPacket, 0x81, ("MUST-2.2.3-2",), ("MUST-2.1.4-1",)),
    *both("publish_ends_before_its_id", b"\x32\x04\x00\x01t\x00", MalformedPacket, 0x81, ("MUST-2.2.3-2",), ("MUST-2.1.4-1",)),
    *both("publish_id_0", b"\x32\x06\x00\x01t\x00\x00\x00", ProtocolError, 0x82, ("MQTT-2.3.1-1",), ("MUST-2.2.1-1",)),
    *both("puback_id_0", b"\x40\x02\x00\x00", ProtocolError, 0x82, (), ("MUST-2.2.1-1",)),
    *both("pubrec_empty", b"\x50\x00", MalformedPacket, 0x81, ("MUST-2.2.3-2",), ("MUST-2.1.4-1",)),
    *both("pubrel_one_byte", b"\x62\x01\x00", MalformedPacket, 0x81, ("MUST-2.2.3-2",), ("MUST-2.1.4-1",)),
    *both("subscribe_id_0", frame(0x82, b"\x00\x00", NONE, text("a"), b"\x00"), ProtocolError, 0x82, ("MQTT-2.3.1-1",), ("MUST-2.2.1-1",)),
    *both("unsubscribe_id_0", frame(0xA2, b"\x00\x00", NONE, text("a")), ProtocolError, 0x82, ("MQTT-2.3.1-1",), ("MUST-2.2.1-1",)),
    *both("unsuback_id_0", b"\xb0\x04\x00\x00\x00\x00", ProtocolError, 0x82, (), ("MUST-2.2.1-1",)),
    *both("suback_one_byte", b"\x90\x01\x01", MalformedPacket, 0x81),
    *both("connack_one_byte", b"\x20\x01\x00", MalformedPacket, 0x81),
    *both("connack_reserved_flags", b"\x20\x03\x02\x00\x00", ReservedFlags, 0x81, (), ("MQTT-3.2.2-1",)),
    *both("connect_empty", b"\x10\x00", MalformedPacket, 0x81),
    *both("connect_name_only", b"\x10\x06\x00\x04MQTT", MalformedPacket, 0x81),
    *both("connect_name_cut_off", b"\x10\x05\x00\x04MQT", MalformedPacket, 0x81, ("MUST-2.2.3-2",), ("MUST-2.1.4-1",)),
    *both("connect_level_3", frame(0x10, text("MQIsdp"), b"\x03\x02\x00\x3c", text("c")), UnsupportedProtocolVersion, 0x84),
    *both("connect_level_6", frame(0x10, text("MQTT"), b"\x06\x02\x00\x3c", text("c")), UnsupportedProtocolVersion, 0x84),
    *both("connect_name_lower_case", frame(0x10, text("mqtt"), b"\x04\x02\x00\x3c", text("c")), UnsupportedProtocolVersion, 0x84),
    *connects("connect_reserved_flag", b"\x03", text("c"), ReservedFlags, 0x81, ("MQTT-3.1.2-3",), ("MQTT-3.1.2-3",)),
    *connects("connect_will_qos_3", b"\x1e", text("c") + NONE + text("t") + text(""), MalformedPacket, 0x81, ("MQTT-3.1.2-14",), ("MQTT-3.1.2-12",)),
    *connects("connect_will_qos_without_will", b"\x0a", text("c"), MalformedPacket, 0x81, ("MQTT-3.1.2-11", "MQTT-3.1.2-13"), ("MQTT-3.1.2-11",)),
    *connects("connect_will_retain_without_will", b"\x22", text("c"), MalformedPacket, 0x81, ("MQTT-3.1.2-11", "MQTT-3.1.2-15"), ("MQTT-3.1.2-13",)),
    *connects("connect_without_client_id", b"\x02", b"", MalformedPacket, 0x81, ("MQTT-3.1.3-3",), ("MQTT-3.1.3-3",)),
    *connects("connect_without_will", b"\x06", text("c"), MalformedPacket, 0x81, ("MQTT-3.1.2-9",), ("MQTT-3.1.2-9",)),
    *connects("connect_will_without_flag", b"\x02", text("c") + text("w") + text("p"), MalformedPacket, 0x81, ("MQTT-3.1.2-11",), ()),
    *connects("connect_user_missing", b"\x82", text("c"), MalformedPacket, 0x81, ("MQTT-3.1.2-19",), ("MQTT-3.1.2-17",)),
    *connects("connect_user_without_flag", b"\x02", text("c") + text("u"), MalformedPacket, 0x81, ("MQTT-3.1.2-18",), ("MQTT-3.1.2-16",)),
    *connects("connect_password_missing", b"\xc2", text("c") + text("u"), MalformedPacket, 0x81, ("MQTT-3.1.2-21",), ("MQTT-3.1.2-19",)),
    *connects("connect_password_without_flag", b"\x82", text("c") + text("u") + text("p"), MalformedPacket, 0x81, ("MQTT-3.1.2-20",), ("MQTT-3.1.2-18",)),
    *connects("connect_trailing_byte", b"\x02", text("c") + b"\x00", MalformedPacket, 0x81, ("MUST-2.2.3-2",), ("MUST-2.1.4-1",)),
]  # fmt: skip

FAULTS_311: list[Vector] = [
    bad("type_15_311", 4, b"\xf0\x00", MalformedPacket, 0x81, "MUST-2.2.1-1"),
    bad("connect_short_311", 4, frame(0x10, HEAD_311, b"\x02\x00"), MalformedPacket, 0x81),
    bad("connect_password_without_user_311", 4, frame(0x10, HEAD_311, b"\x42\x00\x3c", text("c"), text("p")), MalformedPacket, 0x81, "MQTT-3.1.2-22"),
    bad("connect_will_topic_empty_311", 4, frame(0x10, HEAD_311, b"\x06\x00\x00", text("c"), text(""), text("")), InvalidTopic, 0x90, "MQTT-4.7.3-1"),
    bad("connect_will_topic_wildcard_311", 4, frame(0x10, HEAD_311, b"\x06\x00\x00", text("c"), text("a/#"), text("")), InvalidTopic, 0x90, "MQTT-4.7.1-1"),
    bad("connack_code_6_311", 4, b"\x20\x02\x00\x06", ProtocolError, 0x82),
    bad("connack_session_present_refused_311", 4, b"\x20\x02\x01\x05", ProtocolError, 0x82, "MQTT-3.2.2-4"),
    bad("connack_too_long_311", 4, b"\x20\x03\x00\x00\x00", MalformedPacket, 0x81),
    bad("publish_empty_topic_311", 4, b"\x30\x02\x00\x00", MalformedPacket, 0x81, "MQTT-4.7.3-1"),
    bad("puback_with_code_311", 4, b"\x40\x03\x12\x34\x00", MalformedPacket, 0x81, "MUST-2.2.3-2"),
    bad("subscribe_without_filter_311", 4, b"\x82\x02\x12\x34", ProtocolError, 0x82, "MQTT-3.8.3-3"),
    bad("subscribe_qos_3_311", 4, frame(0x82, ID, text("a"), b"\x03"), MalformedPacket, 0x81, "MQTT-3.8.3-4"),
    bad("subscribe_reserved_bit_311", 4, frame(0x82, ID, text("a"), b"\x04"), MalformedPacket, 0x81, "MQTT-3.8.3-4"),
    bad("subscribe_second_has_reserved_bit_311", 4, frame(0x82, ID, text("a"), b"\x00", text("b"), b"\x80"), MalformedPacket, 0x81, "MQTT-3.8.3-4"),
    bad("subscribe_without_options_311", 4, frame(0x82, ID, text("a")), MalformedPacket, 0x81, "MUST-2.2.3-2"),
    bad("subscribe_filter_past_the_end_311", 4, frame(0x82, ID, b"\x00\x09a\x00"), MalformedPacket, 0x81, "MUST-2.2.3-2"),
    bad("suback_code_3_311", 4, frame(0x90, ID, b"\x03"), ProtocolError, 0x82, "MQTT-3.9.3-2"),
    bad("suback_without_code_311", 4, frame(0x90, ID), MalformedPacket, 0x81),
    bad("unsubscribe_without_filter_311", 4, b"\xa2\x02\x12\x34", ProtocolError, 0x82, "MQTT-3.10.3-2"),
    bad("unsubscribe_half_a_length_311", 4, frame(0xA2, ID, text("a"), b"\x00"), MalformedPacket, 0x81),
    bad("unsuback_too_long_311", 4, b"\xb0\x03\x12\x34\x00", MalformedPacket, 0x81),
    bad("disconnect_with_content_311", 4, b"\xe0\x01\x00", MalformedPacket, 0x81, "MUST-3.14-1"),
]  # fmt: skip


def publish(properties: bytes) -> bytes:
    return frame(0x30, text("t"), bytes((len(properties),)), properties)


FAULTS_5: list[Vector] = [
    *(bad(f"auth_flags_{flags:04b}_5", 5, bytes((0xF0 | flags, 0)), ReservedFlags, 0x81, "MQTT-2.1.3-1", "MQTT-3.15.1-1") for flags in range(1, 16)),
    bad("connect_short_5", 5, frame(0x10, HEAD_5, b"\x02\x00"), MalformedPacket, 0x81),
    bad("connect_without_properties_5", 5, frame(0x10, HEAD_5, b"\x02\x00\x3c"), MalformedPacket, 0x81),
    bad("connect_will_topic_empty_5", 5, frame(0x10, HEAD_5, b"\x06\x00\x00", NONE, text("c"), NONE, text(""), text("")), InvalidTopic, 0x90, "MQTT-4.7.3-1"),
    bad("connect_will_topic_wildcard_5", 5, frame(0x10, HEAD_5, b"\x06\x00\x00", NONE, text("c"), NONE, text("+"), text("")), InvalidTopic, 0x90, "MQTT-4.7.0-1"),
    bad("connack_code_1_5", 5, b"\x20\x03\x00\x01\x00", ProtocolError, 0x82, "MQTT-3.2.2-8"),
    bad("connack_session_present_refused_5", 5, b"\x20\x03\x01\x87\x00", ProtocolError, 0x82, "MQTT-3.2.2-6"),
    bad("connack_too_long_5", 5, b"\x20\x04\x00\x00\x00\x00", MalformedPacket, 0x81),
    bad("publish_empty_topic_5", 5, b"\x30\x03\x00\x00\x00", ProtocolError, 0x82, "MUST-3.3.2.3.4-2"),
    bad("publish_without_property_length_5", 5, b"\x30\x03\x00\x01t", MalformedPacket, 0x81),
    bad("property_length_past_the_end_5", 5, frame(0x30, text("t"), b"\x05\x01\x00"), MalformedProperties, 0x81, "MUST-2.1.4-1"),
    bad("property_length_5_bytes_5", 5, frame(0x30, text("t"), b"\x80\x80\x80\x80\x01"), MalformedVariableByteInteger, 0x81, "MUST-1.5.5-1"),
    bad("property_length_longer_than_needed_5", 5, frame(0x30, text("t"), b"\x80\x00"), MalformedVariableByteInteger, 0x81, "MQTT-1.5.5-1"),
    bad("property_past_property_length_5", 5, frame(0x30, text("t"), b"\x03\x02\x00\x00\x00\x00"), MalformedProperties, 0x81, "MUST-2.2.2-1"),
    bad("string_past_property_length_5", 5, frame(0x30, text("t"), b"\x03\x03\x00\x05abcde"), MalformedPacket, 0x81, "MUST-2.2.2-1"),
    bad("binary_past_property_length_5", 5, frame(0x30, text("t"), b"\x03\x09\x00\x05abcde"), MalformedPacket, 0x81, "MUST-2.2.2-1"),
    bad("binary_length_past_property_length_5", 5, frame(0x30, text("t"), b"\x02\x09\x00\x05abcde"), MalformedPacket, 0x81, "MUST-2.2.2-1"),
    bad("pair_past_property_length_5", 5, frame(0x30, text("t"), b"\x04\x26\x00\x01kabcde"), MalformedPacket, 0x81, "MUST-2.2.2-1"),
    bad("property_without_value_5", 5, publish(b"\x01"), MalformedProperties, 0x81, "MUST-2.2.2-1"),
    bad("property_0_5", 5, publish(b"\x00\x00"), MalformedProperties, 0x81, "MUST-2.2.2-2"),
    bad("property_7f_5", 5, publish(b"\x7f\x00"), MalformedProperties, 0x81, "MUST-2.2.2-2"),
    bad("property_ff_5", 5, publish(b"\xff\x00"), MalformedProperties, 0x81, "MUST-2.2.2-2"),
    bad("property_in_two_bytes_5", 5, publish(b"\x81\x00\x00"), MalformedProperties, 0x81),
    bad("payload_format_2_5", 5, publish(b"\x01\x02"), ProtocolError, 0x82),
    bad("topic_alias_0_5", 5, publish(b"\x23\x00\x00"), ProtocolError, 0x94, "MQTT-3.3.2-8"),
    bad("publish_subscription_identifier_0_5", 5, publish(b"\x0b\x00"), ProtocolError, 0x82, "MUST-3.3.2.3.8-1"),
    bad("publish_subscription_identifier_5_bytes_5", 5, publish(b"\x0b\xff\xff\xff\xff\x01"), MalformedVariableByteInteger, 0x81, "MUST-1.5.5-1"),
    bad("response_topic_hash_5", 5, publish(b"\x08\x00\x01#"), InvalidTopic, 0x90, "MQTT-3.3.2-14"),
    bad("response_topic_plus_5", 5, publish(b"\x08\x00\x03a/+"), InvalidTopic, 0x90, "MQTT-3.3.2-14"),
    bad("response_topic_empty_5", 5, publish(b"\x08\x00\x00"), InvalidTopic, 0x90, "MQTT-4.7.3-1"),
    bad("puback_code_1_5", 5, b"\x40\x03\x12\x34\x01", ProtocolError, 0x82, "MQTT-3.4.2-1"),
    bad("pubrec_code_92_5", 5, b"\x50\x03\x12\x34\x92", ProtocolError, 0x82, "MQTT-3.5.2-1"),
    bad("pubrel_code_10_5", 5, b"\x62\x03\x12\x34\x10", ProtocolError, 0x82, "MQTT-3.6.2-1"),
    bad("pubcomp_code_80_5", 5, b"\x70\x03\x12\x34\x80", ProtocolError, 0x82, "MQTT-3.7.2-1"),
    bad("puback_trailing_byte_5", 5, b"\x40\x05\x12\x34\x10\x00\x00", MalformedPacket, 0x81, "MUST-2.1.4-1"),
    bad("subscribe_without_filter_5", 5, b"\x82\x03\x12\x34\x00", ProtocolError, 0x82, "MQTT-3.8.3-2"),
    bad("subscribe_qos_3_5", 5, frame(0x82, ID, NONE, text("a"), b"\x03"), ProtocolError, 0x82, "MUST-3.8.3.1-1"),
    bad("subscribe_retain_handling_3_5", 5, frame(0x82, ID, NONE, text("a"), b"\x30"), ProtocolError, 0x82, "MUST-3.8.3.1-2"),
    bad("subscribe_reserved_bit_6_5", 5, frame(0x82, ID, NONE, text("a"), b"\x40"), ReservedFlags, 0x81, "MQTT-3.8.3-5"),
    bad("subscribe_reserved_bit_7_5", 5, frame(0x82, ID, NONE, text("a"), b"\x80"), ReservedFlags, 0x81, "MQTT-3.8.3-5"),
    bad("subscribe_no_local_shared_5", 5, frame(0x82, ID, NONE, text("$share/g/a"), b"\x04"), ProtocolError, 0x82, "MQTT-3.8.3-4"),
    bad("subscribe_without_options_5", 5, frame(0x82, ID, NONE, text("a")), MalformedPacket, 0x81),
    bad("subscribe_identifier_0_5", 5, frame(0x82, ID, b"\x02\x0b\x00", text("a"), b"\x00"), ProtocolError, 0x82, "MUST-3.8.2.1.2-2"),
    bad("subscribe_two_identifiers_5", 5, frame(0x82, ID, b"\x04\x0b\x01\x0b\x02", text("a"), b"\x00"), ProtocolError, 0x82, "MUST-3.8.2.1.2-1"),
    bad("suback_code_3_5", 5, frame(0x90, ID, NONE, b"\x03"), ProtocolError, 0x82, "MQTT-3.9.3-2"),
    bad("suback_without_code_5", 5, frame(0x90, ID, NONE), MalformedPacket, 0x81),
    bad("unsubscribe_without_filter_5", 5, b"\xa2\x03\x12\x34\x00", ProtocolError, 0x82, "MQTT-3.10.3-2"),
    bad("unsuback_code_97_5", 5, frame(0xB0, ID, NONE, b"\x97"), ProtocolError, 0x82, "MQTT-3.11.3-2"),
    bad("unsuback_without_code_5", 5, frame(0xB0, ID, NONE), MalformedPacket, 0x81, "MQTT-3.11.3-2"),
    bad("disconnect_code_1_5", 5, b"\xe0\x01\x01", ProtocolError, 0x82, "MQTT-3.14.2-1"),
    bad("disconnect_trailing_byte_5", 5, b"\xe0\x03\x00\x00\x00", MalformedPacket, 0x81, "MUST-2.1.4-1"),
    bad("auth_code_only_5", 5, b"\xf0\x01\x00", MalformedPacket, 0x81),
    bad("auth_trailing_byte_5", 5, b"\xf0\x03\x00\x00\x00", MalformedPacket, 0x81, "MUST-2.1.4-1"),
    bad("auth_code_1a_5", 5, frame(0xF0, b"\x1a\x04\x15\x00\x01M"), ProtocolError, 0x82, "MQTT-3.15.2-1"),
    bad("auth_without_method_5", 5, b"\xf0\x02\x18\x00", ProtocolError, 0x82, "MUST-3.15.2.2.2-1"),
    bad("auth_success_with_reason_but_no_method_5", 5, frame(0xF0, b"\x00\x03\x1f\x00\x00"), ProtocolError, 0x82),
    bad("auth_data_without_method_5", 5, frame(0xF0, b"\x18\x03\x16\x00\x00"), ProtocolError, 0x82, "MUST-3.15.2.2.2-1"),
    bad("connect_auth_data_without_method_5", 5, frame(0x10, HEAD_5, b"\x02\x00\x3c\x03\x16\x00\x00", text("c")), ProtocolError, 0x82, "MUST-3.1.2.11.10-2"),
]  # fmt: skip

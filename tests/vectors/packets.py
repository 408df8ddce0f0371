"""One table of packets of both versions, valid ones and faulty ones. Every check of the codec runs over it.

The bytes were written from the text of the standards, not by the encoder.
"""

from __future__ import annotations

from mqtt_core.codec import (
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    Packet,
    PingreqPacket,
    PingrespPacket,
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
    Will,
)
from tests.vectors.faults import FAULTS_5, FAULTS_311, FAULTS_OF_BOTH
from tests.vectors.rows import Vector, frame, good, text

ID = b"\x12\x34"
NONE = b"\x00"  # a property section without properties


def both(name: str, data: bytes, packet: Packet, *spec: str) -> list[Vector]:
    """A packet that is the same in both versions; `spec` holds for both."""
    return [good(f"{name}_{word}", version, data, packet, *spec) for version, word in ((4, "311"), (5, "5"))]


HEAD_311 = b"\x00\x04MQTT\x04"
HEAD_5 = b"\x00\x04MQTT\x05"

GOOD_311: list[Vector] = [
    good(
        "connect_shortest_311",
        4,
        frame(0x10, HEAD_311, b"\x02\x00\x3c", text("")),
        ConnectPacket(version=4),
        "MQTT-3.1.3-3",
    ),
    good(
        "connect_keeps_session_311",
        4,
        frame(0x10, HEAD_311, b"\x00\x00\x00", text("c")),
        ConnectPacket("c", version=4, clean_start=False, keep_alive_s=0),
    ),
    good(
        "connect_empty_client_id_without_clean_session_311",
        4,
        frame(0x10, HEAD_311, b"\x00\xff\xff", text("")),
        ConnectPacket(version=4, clean_start=False, keep_alive_s=65535),
    ),
    good(
        "connect_everything_311",
        4,
        frame(0x10, HEAD_311, b"\xf6\x00\x0a", text("id"), text("w/t"), text(b"\x00bye"), text("user"), text(b"p\xff")),
        ConnectPacket(
            "id",
            version=4,
            keep_alive_s=10,
            username="user",
            password=b"p\xff",
            will=Will("w/t", b"\x00bye", 2, retain=True),
        ),
        "MQTT-3.1.3-1",
        "MQTT-3.1.2-9",
        "MQTT-3.1.2-19",
        "MQTT-3.1.2-21",
    ),
    good(
        "connect_user_without_password_311",
        4,
        frame(0x10, HEAD_311, b"\x82\x00\x3c", text("id"), text("ü")),
        ConnectPacket("id", version=4, username="ü"),
        "MQTT-3.1.2-19",
        "MQTT-3.1.3-11",
    ),
    good(
        "connect_will_1_311",
        4,
        frame(0x10, HEAD_311, b"\x0e\x00\x3c", text("id"), text("w"), text("")),
        ConnectPacket("id", version=4, will=Will("w", b"", 1)),
        "MQTT-3.1.2-9",
    ),
    good("connack_311", 4, b"\x20\x02\x00\x00", ConnackPacket()),
    good("connack_session_present_311", 4, b"\x20\x02\x01\x00", ConnackPacket(0, session_present=True)),
    good("connack_refused_311", 4, b"\x20\x02\x00\x05", ConnackPacket(5)),
    good("publish_0_311", 4, b"\x30\x08\x00\x03a/bxyz", PublishPacket("a/b", b"xyz"), "MQTT-2.3.1-5", "MQTT-3.3.2-1"),
    good("publish_0_retain_311", 4, b"\x31\x03\x00\x01t", PublishPacket("t", retain=True)),
    good("publish_1_311", 4, b"\x32\x08\x00\x03a/b\x12\x34!", PublishPacket("a/b", b"!", 1, packet_id=0x1234)),
    good(
        "publish_2_dup_retain_311",
        4,
        b"\x3d\x07\x00\x03a/b\xff\xff",
        PublishPacket("a/b", b"", 2, retain=True, dup=True, packet_id=65535),
    ),
    good(
        "publish_long_311",
        4,
        b"\x32\xcc\x01\x00\x01t\x00\x01" + b"p" * 199,
        PublishPacket("t", b"p" * 199, 1, packet_id=1),
    ),
    good("publish_long_0_311", 4, b"\x30\x80\x01\x00\x01t" + b"p" * 125, PublishPacket("t", b"p" * 125)),
    good(
        "subscribe_311", 4, frame(0x82, ID, text("a/#"), b"\x02"), SubscribePacket(0x1234, [SubscribeFilter("a/#", 2)])
    ),
    good(
        "subscribe_three_311",
        4,
        frame(0x82, ID, text("a"), b"\x00", text("$share/g/b"), b"\x01", text(""), b"\x02"),
        SubscribePacket(0x1234, [SubscribeFilter("a"), SubscribeFilter("$share/g/b", 1), SubscribeFilter("", 2)]),
    ),
    good("suback_311", 4, frame(0x90, ID, b"\x00\x01\x02\x80"), SubackPacket(0x1234, [0, 1, 2, 0x80]), "MQTT-3.9.3-2"),
    good(
        "unsubscribe_311",
        4,
        frame(0xA2, ID, text("a/+"), text("b")),
        UnsubscribePacket(0x1234, ["a/+", "b"]),
        "MQTT-3.10.3-1",
    ),
    good("unsuback_311", 4, b"\xb0\x02\x12\x34", UnsubackPacket(0x1234, [])),
    good("disconnect_311", 4, b"\xe0\x00", DisconnectPacket()),
]

CONNECT_PROPERTIES = (
    b"\x11\x00\x00\x0e\x10"  # Session Expiry Interval 3600
    b"\x21\x00\x14"  # Receive Maximum 20
    b"\x27\x00\x01\x00\x00"  # Maximum Packet Size 65536
    b"\x22\x00\x0a"  # Topic Alias Maximum 10
    b"\x19\x01"  # Request Response Information
    b"\x17\x00"  # Request Problem Information
    b"\x26\x00\x01k\x00\x01v"  # User Property
    b"\x15\x00\x04PLAN\x16\x00\x02\x00\xff"  # Authentication Method and Data
)
CONNACK_PROPERTIES = (
    b"\x11\x00\x00\x00\x00"  # Session Expiry Interval 0
    b"\x21\xff\xff\x24\x01\x25\x00"  # Receive Maximum, Maximum QoS 1, Retain Available 0
    b"\x27\xff\xff\xff\xff"  # Maximum Packet Size
    b"\x12\x00\x02id\x22\x00\x00"  # Assigned Client Identifier, Topic Alias Maximum 0
    b"\x1f\x00\x02ok\x28\x01\x29\x00\x2a\x01"  # Reason String, the three kinds of subscription
    b"\x13\x00\x1e\x1a\x00\x02r/\x1c\x00\x01s"  # Server Keep Alive, Response Information, Server Reference
)
WILL_PROPERTIES = (
    b"\x18\x00\x00\x00\x3c\x01\x01\x02\x00\x00\x00\x05"  # Will Delay, Payload Format, Message Expiry
    b"\x03\x00\x01c\x08\x00\x01r\x09\x00\x01d"  # Content Type, Response Topic, Correlation Data
)
PUBLISH_PROPERTIES = (
    b"\x01\x00\x02\x00\x00\x00\x00\x23\x00\x01"  # Payload Format 0, Message Expiry 0, Topic Alias 1
    b"\x08\x00\x03r/t\x09\x00\x00\x03\x00\x00"  # Response Topic, empty Correlation Data and Content Type
    b"\x26\x00\x01k\x00\x012\x26\x00\x01k\x00\x011\x26\x00\x00\x00\x00"  # three User Properties
    b"\x0b\x01\x0b\xff\xff\xff\x7f\x0b\x01"  # three Subscription Identifiers
)


def section(properties: bytes) -> bytes:
    return bytes((len(properties),)) + properties


GOOD_5: list[Vector] = [
    good(
        "connect_shortest_5",
        5,
        frame(0x10, HEAD_5, b"\x02\x00\x3c", NONE, text("")),
        ConnectPacket(),
        "MQTT-3.1.3-3",
        "MQTT-2.2.2-1",
    ),
    good(
        "connect_everything_5",
        5,
        frame(
            0x10,
            HEAD_5,
            b"\xf4\x00\x0a",
            section(CONNECT_PROPERTIES),
            text("id"),
            section(WILL_PROPERTIES),
            text("w/t"),
            text("bye!!"),
            text("user"),
            text("pass"),
        ),
        ConnectPacket(
            "id",
            clean_start=False,
            keep_alive_s=10,
            username="user",
            password=b"pass",
            will=Will(
                "w/t",
                b"bye!!",
                2,
                retain=True,
                properties=Properties(
                    will_delay_interval=60,
                    payload_format_indicator=1,
                    message_expiry_interval=5,
                    content_type="c",
                    response_topic="r",
                    correlation_data=b"d",
                ),
            ),
            properties=Properties(
                session_expiry_interval=3600,
                receive_maximum=20,
                maximum_packet_size=65536,
                topic_alias_maximum=10,
                request_response_information=True,
                request_problem_information=False,
                user_properties=(("k", "v"),),
                authentication_method="PLAN",
                authentication_data=b"\x00\xff",
            ),
        ),
        "MQTT-3.1.3-1",
        "MQTT-3.1.2-9",
        "MQTT-3.1.2-17",
        "MQTT-3.1.2-19",
        "MQTT-3.1.3-12",
    ),
    good(
        "connect_password_without_user_5",
        5,
        frame(0x10, HEAD_5, b"\x42\x00\x3c", NONE, text("id"), text("pw")),
        ConnectPacket("id", password=b"pw"),
        "MQTT-3.1.2-16",
        "MQTT-3.1.2-19",
    ),
    good("connack_5", 5, b"\x20\x03\x00\x00\x00", ConnackPacket(), "MQTT-2.2.2-1"),
    good(
        "connack_everything_5",
        5,
        frame(0x20, b"\x01\x00", section(CONNACK_PROPERTIES)),
        ConnackPacket(
            0,
            session_present=True,
            properties=Properties(
                session_expiry_interval=0,
                receive_maximum=65535,
                maximum_qos=1,
                retain_available=False,
                maximum_packet_size=0xFFFFFFFF,
                assigned_client_identifier="id",
                topic_alias_maximum=0,
                reason_string="ok",
                wildcard_subscription_available=True,
                subscription_identifier_available=False,
                shared_subscription_available=True,
                server_keep_alive=30,
                response_information="r/",
                server_reference="s",
            ),
        ),
    ),
    good("connack_refused_5", 5, b"\x20\x03\x00\x9f\x00", ConnackPacket(0x9F), "MQTT-3.2.2-8"),
    good(
        "publish_0_5",
        5,
        b"\x30\x09\x00\x03a/b\x00xyz",
        PublishPacket("a/b", b"xyz"),
        "MQTT-2.2.1-2",
        "MQTT-3.3.2-1",
        "MQTT-2.2.2-1",
    ),
    good(
        "publish_1_5",
        5,
        b"\x33\x09\x00\x03a/b\x12\x34\x00!",
        PublishPacket("a/b", b"!", 1, retain=True, packet_id=0x1234),
    ),
    good(
        "publish_everything_5",
        5,
        frame(0x3C, text("a/b"), ID, section(PUBLISH_PROPERTIES), b"payload"),
        PublishPacket(
            "a/b",
            b"payload",
            2,
            dup=True,
            packet_id=0x1234,
            properties=Properties(
                payload_format_indicator=0,
                message_expiry_interval=0,
                topic_alias=1,
                response_topic="r/t",
                correlation_data=b"",
                content_type="",
                user_properties=(("k", "2"), ("k", "1"), ("", "")),
                subscription_identifiers=(1, 268435455, 1),
            ),
        ),
        "MUST-2.2.2-4",
    ),
    good(
        "publish_topic_alias_5",
        5,
        frame(0x30, text(""), b"\x03\x23\xff\xff", b"x"),
        PublishPacket("", b"x", properties=Properties(topic_alias=65535)),
    ),
    good(
        "publish_long_5",
        5,
        b"\x30\x80\x80\x01\x00\x01t\x00" + b"p" * 16380,
        PublishPacket("t", b"p" * 16380),
        "MQTT-1.5.5-1",
    ),
    good(
        "puback_refused_5",
        5,
        b"\x40\x03\x12\x34\x97",
        PubackPacket(0x1234, 0x97),
        "MQTT-3.4.2-1",
        "MUST-3.4.2.1-1",
    ),
    good("puback_code_0_5", 5, b"\x40\x03\x12\x34\x00", PubackPacket(0x1234), "MUST-3.4.2.1-1", canonical=False),
    good("puback_no_properties_5", 5, b"\x40\x04\x12\x34\x10\x00", PubackPacket(0x1234, 0x10), canonical=False),
    good(
        "puback_reason_5",
        5,
        frame(0x40, ID, b"\x87", section(b"\x1f\x00\x02no\x26\x00\x01k\x00\x01v")),
        PubackPacket(0x1234, 0x87, Properties(reason_string="no", user_properties=(("k", "v"),))),
    ),
    good("pubrec_refused_5", 5, b"\x50\x03\x12\x34\x99", PubrecPacket(0x1234, 0x99), "MQTT-3.5.2-1"),
    good("pubrel_unknown_5", 5, b"\x62\x03\x12\x34\x92", PubrelPacket(0x1234, 0x92), "MQTT-3.6.2-1"),
    good("pubcomp_unknown_5", 5, b"\x70\x03\x12\x34\x92", PubcompPacket(0x1234, 0x92), "MQTT-3.7.2-1"),
    good(
        "pubcomp_reason_5",
        5,
        frame(0x70, ID, b"\x00", section(b"\x1f\x00\x00")),
        PubcompPacket(0x1234, 0, Properties(reason_string="")),
    ),
    good(
        "subscribe_5",
        5,
        frame(0x82, ID, NONE, text("a/#"), b"\x02"),
        SubscribePacket(0x1234, [SubscribeFilter("a/#", 2)]),
        "MQTT-2.2.2-1",
    ),
    good(
        "subscribe_options_5",
        5,
        frame(0x82, ID, b"\x02\x0b\x07", text("a"), b"\x2e", text("$share/g/b"), b"\x19", text("c"), b"\x04"),
        SubscribePacket(
            0x1234,
            [
                SubscribeFilter("a", 2, no_local=True, retain_as_published=True, retain_handling=2),
                SubscribeFilter("$share/g/b", 1, retain_as_published=True, retain_handling=1),
                SubscribeFilter("c", no_local=True),
            ],
            Properties(subscription_identifiers=(7,)),
        ),
    ),
    good(
        "suback_5",
        5,
        frame(0x90, ID, NONE, b"\x00\x01\x02\x80\x83\x87\x8f\x91\x97\x9e\xa1\xa2"),
        SubackPacket(0x1234, [0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]),
        "MQTT-3.9.3-2",
    ),
    good(
        "unsubscribe_5",
        5,
        frame(0xA2, ID, section(b"\x26\x00\x01k\x00\x01v"), text("a/+"), text("b")),
        UnsubscribePacket(0x1234, ["a/+", "b"], Properties(user_properties=(("k", "v"),))),
        "MQTT-3.10.3-1",
    ),
    good(
        "unsuback_5",
        5,
        frame(0xB0, ID, NONE, b"\x00\x11\x80\x83\x87\x8f\x91"),
        UnsubackPacket(0x1234, [0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]),
        "MQTT-3.11.3-2",
    ),
    good("disconnect_5", 5, b"\xe0\x00", DisconnectPacket(), "MUST-3.14.2.1-1"),
    good("disconnect_with_will_5", 5, b"\xe0\x01\x04", DisconnectPacket(4), "MUST-3.14.2.1-1", "MQTT-3.14.2-1"),
    good("disconnect_code_0_5", 5, b"\xe0\x01\x00", DisconnectPacket(), canonical=False),
    good("disconnect_no_properties_5", 5, b"\xe0\x02\x8b\x00", DisconnectPacket(0x8B), canonical=False),
    good(
        "disconnect_properties_5",
        5,
        frame(0xE0, b"\x00", section(b"\x11\x00\x00\x00\x01\x1c\x00\x01s")),
        DisconnectPacket(0, Properties(session_expiry_interval=1, server_reference="s")),
    ),
    good("auth_success_5", 5, b"\xf0\x00", AuthPacket(), "MUST-3.15.2.1-1"),
    good("auth_success_without_properties_5", 5, b"\xf0\x02\x00\x00", AuthPacket(), canonical=False),
    good(
        "auth_continue_5",
        5,
        frame(0xF0, b"\x18", section(b"\x15\x00\x01M\x16\x00\x01d\x1f\x00\x00")),
        AuthPacket(0x18, Properties(authentication_method="M", authentication_data=b"d", reason_string="")),
        "MQTT-3.15.2-1",
    ),
]

GOOD_IN_BOTH: list[Vector] = [
    *both("puback", b"\x40\x02\x12\x34", PubackPacket(0x1234)),
    *both("pubrec", b"\x50\x02\x12\x34", PubrecPacket(0x1234)),
    *both("pubrel", b"\x62\x02\x12\x34", PubrelPacket(0x1234), "MQTT-3.6.1-1"),
    *both("pubcomp", b"\x70\x02\xff\xff", PubcompPacket(65535)),
    *both("pingreq", b"\xc0\x00", PingreqPacket()),
    *both("pingresp", b"\xd0\x00", PingrespPacket()),
]

GOOD: list[Vector] = [*GOOD_311, *GOOD_5, *GOOD_IN_BOTH]
BAD: list[Vector] = [*FAULTS_311, *FAULTS_5, *FAULTS_OF_BOTH]
VECTORS: list[Vector] = [*GOOD, *BAD]

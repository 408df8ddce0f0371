"""What the encoder refuses to say, and how it says the rest."""

# ruff: noqa: E501 - one row of the table, one line
from __future__ import annotations

import pytest

from mqtt_core.codec import (
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    LocalProtocolError,
    Packet,
    PingreqPacket,
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
    decode,
    encode,
    encode_publish,
)
from tests.vectors.rows import frame, text

K = Properties(user_properties=(("k", "v"),))
METHOD = Properties(authentication_method="M")


def no(name: str, version: int, packet: Packet, *spec: str, code: int = 0x83):
    """A packet that must not be sent; `spec` holds for its version. A code of -1 means any."""
    standard = "3.1.1" if version == 4 else "5.0"
    return pytest.param(
        packet,
        version,
        code,
        id=f"{name}_{version}",
        marks=[pytest.mark.spec(*spec, version=standard)] if spec else [],
    )


def never(name: str, packet: Packet, spec_311: tuple[str, ...] = (), spec_5: tuple[str, ...] = (), code: int = 0x83):
    """The same for both versions."""
    return [no(name, 4, packet, *spec_311, code=code), no(name, 5, packet, *spec_5, code=code)]


def connect(version: int, **fields) -> ConnectPacket:
    return ConnectPacket("c", version=version, **fields)


REFUSED = [
    *never("topic_empty", PublishPacket(""), ("MQTT-4.7.3-1",), ("MUST-3.3.2.3.4-2",), code=-1),
    *never("topic_plus", PublishPacket("a/+"), ("MQTT-3.3.2-2", "MQTT-4.7.1-1"), ("MQTT-3.3.2-2", "MQTT-4.7.0-1"), code=0x90),
    *never("topic_hash", PublishPacket("#"), ("MQTT-3.3.2-2", "MQTT-4.7.1-1"), ("MQTT-3.3.2-2", "MQTT-4.7.0-1"), code=0x90),
    *never("topic_null", PublishPacket("a\0"), ("MQTT-1.5.3-2", "MQTT-4.7.3-2"), ("MQTT-1.5.4-2", "MQTT-4.7.3-2"), code=0x90),
    *never("topic_surrogate", PublishPacket("\ud800"), ("MQTT-1.5.3-1",), ("MQTT-1.5.4-1",)),
    *never("topic_too_long", PublishPacket("é" * 32768), ("MQTT-4.7.3-3",), ("MQTT-4.7.3-3",), code=0x90),
    *never("publish_qos_3", PublishPacket("t", qos=3, packet_id=1), ("MQTT-3.3.1-4",), ("MQTT-3.3.1-4",)),
    *never("publish_qos_negative", PublishPacket("t", qos=-1, packet_id=1)),
    *never("publish_dup_0", PublishPacket("t", dup=True), ("MQTT-3.3.1-2",), ("MQTT-3.3.1-2",)),
    *never("publish_0_with_id", PublishPacket("t", packet_id=1), ("MQTT-2.3.1-5",), ("MQTT-2.2.1-2",)),
    *never("publish_1_without_id", PublishPacket("t", qos=1), ("MQTT-2.3.1-1",), ("MUST-2.2.1-1",)),
    *never("publish_id_too_high", PublishPacket("t", qos=2, packet_id=65536)),
    *never("puback_without_id", PubackPacket(0), (), ("MUST-2.2.1-1",)),
    *never("subscribe_without_id", SubscribePacket(0, [SubscribeFilter("a")]), ("MQTT-2.3.1-1",), ("MUST-2.2.1-1",)),
    *never("unsubscribe_without_id", UnsubscribePacket(0, ["a"]), ("MQTT-2.3.1-1",), ("MUST-2.2.1-1",)),
    *never("suback_without_id", SubackPacket(0, [0])),
    *never("unsuback_id_negative", UnsubackPacket(-1, [])),
    *never("subscribe_without_filter", SubscribePacket(1, []), ("MQTT-3.8.3-3",), ("MQTT-3.8.3-2",)),
    *never("unsubscribe_without_filter", UnsubscribePacket(1, []), ("MQTT-3.10.3-2",), ("MQTT-3.10.3-2",)),
    *never("subscribe_qos_3", SubscribePacket(1, [SubscribeFilter("a", 3)]), ("MQTT-3.8.3-4",), ("MUST-3.8.3.1-1",)),
    *never("subscribe_retain_handling_3", SubscribePacket(1, [SubscribeFilter("a", retain_handling=3)]), (), ("MUST-3.8.3.1-2",)),
    *never("subscribe_surrogate", SubscribePacket(1, [SubscribeFilter("\ud800")]), ("MQTT-3.8.3-1",), ("MQTT-3.8.3-1",)),
    *never("subscribe_no_local_shared", SubscribePacket(1, [SubscribeFilter("$share/g/a", no_local=True)]), (), ("MQTT-3.8.3-4",), code=0x82),
    *never("unsubscribe_null", UnsubscribePacket(1, ["a", "\0"]), ("MQTT-3.10.3-1",), ("MQTT-3.10.3-1",)),
    *never("filter_too_long", UnsubscribePacket(1, ["f" * 65536]), ("MQTT-4.7.3-3",), ("MQTT-4.7.3-3",)),
    *never("suback_code_3", SubackPacket(1, [0, 3]), ("MQTT-3.9.3-2",), ("MQTT-3.9.3-2",)),
    *never("suback_without_code", SubackPacket(1, [])),
    *never("connack_code_6", ConnackPacket(6), (), ("MQTT-3.2.2-8",)),
    *never("reserved_type", Packet(), ("MUST-2.2.1-1",), ("MUST-2.1.2-1",)),
    no("connack_session_present_refused", 4, ConnackPacket(5, session_present=True), "MQTT-3.2.2-4"),
    no("connack_session_present_refused", 5, ConnackPacket(0x87, session_present=True), "MQTT-3.2.2-6"),
    no("connect_of_5", 4, connect(5)),
    no("connect_of_311", 5, connect(4)),
    no("connect_password_alone", 4, connect(4, password=b"p"), "MQTT-3.1.2-22"),
    no("connect_keep_alive", 4, connect(4, keep_alive_s=65536)),
    no("connect_keep_alive_negative", 5, connect(5, keep_alive_s=-1)),
    no("connect_will_qos_3", 4, connect(4, will=Will("w", qos=3)), "MQTT-3.1.2-14"),
    no("connect_will_qos_3", 5, connect(5, will=Will("w", qos=3)), "MQTT-3.1.2-12"),
    no("connect_will_topic_empty", 4, connect(4, will=Will("")), "MQTT-4.7.3-1", code=0x90),
    no("connect_will_topic_wildcard", 5, connect(5, will=Will("a/#")), "MQTT-4.7.0-1", code=0x90),
    no("connect_will_topic_surrogate", 4, connect(4, will=Will("\ud800")), "MQTT-3.1.3-10"),
    no("connect_will_topic_surrogate", 5, connect(5, will=Will("\ud800")), "MQTT-3.1.3-11"),
    no("connect_will_payload_too_long", 5, connect(5, will=Will("w", bytes(65536)))),
    no("connect_client_id_null", 4, ConnectPacket("\0", version=4), "MQTT-3.1.3-4", "MQTT-1.5.3-2"),
    no("connect_client_id_null", 5, ConnectPacket("\0"), "MQTT-3.1.3-4", "MQTT-1.5.4-2"),
    no("connect_user_surrogate", 4, connect(4, username="\udfff"), "MQTT-3.1.3-11", "MQTT-1.5.3-1"),
    no("connect_user_surrogate", 5, connect(5, username="\udfff"), "MQTT-3.1.3-12", "MQTT-1.5.4-1"),
    no("connect_password_too_long", 5, connect(5, password=bytes(65536))),
    no("puback_code", 4, PubackPacket(1, 0x80)),
    no("puback_code_1", 5, PubackPacket(1, 1), "MQTT-3.4.2-1"),
    no("pubrec_code_92", 5, PubrecPacket(1, 0x92), "MQTT-3.5.2-1"),
    no("pubrel_code_80", 5, PubrelPacket(1, 0x80), "MQTT-3.6.2-1"),
    no("pubcomp_code_10", 5, PubcompPacket(1, 0x10), "MQTT-3.7.2-1"),
    no("unsuback_codes", 4, UnsubackPacket(1, [0])),
    no("unsuback_without_codes", 5, UnsubackPacket(1, []), "MQTT-3.11.3-2"),
    no("unsuback_code_97", 5, UnsubackPacket(1, [0x97]), "MQTT-3.11.3-2"),
    no("disconnect_code", 4, DisconnectPacket(4)),
    no("disconnect_code_1", 5, DisconnectPacket(1), "MQTT-3.14.2-1"),
    no("auth", 4, AuthPacket()),
    no("auth_code_1a", 5, AuthPacket(0x1A, METHOD), "MQTT-3.15.2-1"),
    no("auth_without_method", 5, AuthPacket(0x18), "MUST-3.15.2.2.2-1", code=0x82),
    no("auth_success_without_method", 5, AuthPacket(0, K), code=0x82),
    no("subscribe_no_local", 4, SubscribePacket(1, [SubscribeFilter("a", no_local=True)])),
    no("subscribe_retain_as_published", 4, SubscribePacket(1, [SubscribeFilter("a", retain_as_published=True)])),
    no("subscribe_retain_handling", 4, SubscribePacket(1, [SubscribeFilter("a", retain_handling=1)])),
    no("topic_with_alias_3_1_1", 4, PublishPacket("", properties=Properties(topic_alias=1))),
]  # fmt: skip


@pytest.mark.parametrize("packet,version,code", REFUSED)
def test_what_the_standard_forbids_is_not_sent(packet, version, code):
    with pytest.raises(LocalProtocolError) as caught:
        encode(packet, version)
    assert code in {caught.value.reason_code, -1}


@pytest.mark.parametrize(
    "packet",
    [
        connect(4, properties=K),
        connect(4, will=Will("w", properties=K)),
        ConnackPacket(properties=K),
        PublishPacket("t", properties=K),
        PubackPacket(1, properties=K),
        SubscribePacket(1, [SubscribeFilter("a")], K),
        SubackPacket(1, [0], K),
        UnsubscribePacket(1, ["a"], K),
        UnsubackPacket(1, [], K),
        DisconnectPacket(properties=K),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_properties_are_not_lost_on_the_way_to_3_1_1(packet):
    with pytest.raises(LocalProtocolError, match="properties"):
        encode(packet, 4)


@pytest.mark.parametrize("version", [0, 3, 6])
@pytest.mark.parametrize("packet", [PublishPacket("t"), PingreqPacket()], ids=repr)
def test_there_are_two_versions(packet, version):
    with pytest.raises(LocalProtocolError, match="version"):
        encode(packet, version)


def test_a_packet_longer_than_the_format_can_say_is_refused():
    with pytest.raises(LocalProtocolError):
        encode_publish(b"t", bytes(268_435_453), 0, False, False, 0, None)


@pytest.mark.parametrize("size", [0, 121, 122, 123, 124, 125, 126, 127, 128, 16380, 16381, 16382, 16383])
@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("properties", [None, b"\x00"])
@pytest.mark.spec("MQTT-1.5.5-1", version="5.0")
def test_the_remaining_length_is_the_shortest(size, qos, properties):
    data = encode_publish(b"t", bytes(size), qos, False, False, 1 if qos else 0, properties)
    remaining = 3 + size + 2 * qos + len(properties or b"")
    digits = (remaining,) if remaining < 128 else (remaining & 127 | 128, remaining >> 7)
    if remaining > 16383:
        digits = (remaining & 127 | 128, remaining >> 7 & 127 | 128, remaining >> 14)
    assert data[: 1 + len(digits)] == bytes((0x30 | qos << 1, *digits))
    assert len(data) == 1 + len(digits) + remaining


@pytest.mark.spec("MQTT-1.5.3-3", version="3.1.1")
@pytest.mark.spec("MQTT-1.5.4-3", version="5.0")
@pytest.mark.parametrize("string", ["\ufeff", "\ufeffab", "a\ufeff"])
def test_a_byte_order_mark_is_a_character(string):
    assert encode(PublishPacket(string), 4) == frame(0x30, text(string))
    for version in (4, 5):
        assert decode(encode(PublishPacket(string), version), version) == PublishPacket(string)
        connect_packet = ConnectPacket(string, version=version, username=string)
        assert decode(encode(connect_packet, version), version) == connect_packet


@pytest.mark.parametrize(
    "make,fields",
    [
        (PublishPacket, {"topic": "t", "payload": "text"}),
        (PublishPacket, {"topic": b"t"}),
        (PublishPacket, {"topic": "t", "qos": 1.0, "packet_id": 1}),
        (ConnectPacket, {"client_id": "c", "username": "u", "password": "text"}),
        (ConnectPacket, {"client_id": "c", "keep_alive_s": 1.5}),
        (SubscribePacket, {"packet_id": 1, "subscriptions": ["a/b"]}),
        (UnsubscribePacket, {"packet_id": 1, "filters": "a/b"}),
    ],
)
def test_a_field_of_the_wrong_type_is_told(make, fields):
    """By the encoder; the compiled core knows when the packet is made."""
    with pytest.raises(TypeError, match=rf"a field of this {make.__name__} has the wrong type: |object expected"):
        encode(make(**fields), 5)

"""PUBLISH frames for subscribers: heads, tails, and what is read back from a frame that passed through."""

from __future__ import annotations

import pytest

from mqtt_core.codec import Properties, PublishPacket, decode, encode
from mqtt_core.router.frames import content_size, message_of_frame, publish_parts, with_dup
from mqtt_core.session import Message

TOPICS = ["t", "t/ü", "x" * 130, "y" * 20_000]
SIZES = [0, 1, 119, 120, 121, 16_370, 16_384, 20_000, 2_097_140, 2_097_152]


def whole(parts, packet_id=0):
    return parts.head + (packet_id.to_bytes(2, "big") if packet_id else b"") + parts.tail


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("topic", TOPICS)
def test_head_and_tail_make_the_frame_the_codec_makes(version, qos, retain, topic):
    properties = Properties(content_type="c") if version == 5 else Properties()
    message = Message(topic, b"payload", 2, True, properties)
    parts = publish_parts(message, version, qos, retain)
    packet_id = 7 if qos else 0
    frame = whole(parts, packet_id)
    assert frame == encode(PublishPacket(topic, b"payload", qos, retain, False, packet_id, properties), version)
    assert parts.size == len(frame)
    assert parts.expiry_offset == -1


@pytest.mark.spec("MQTT-3.3.2-6", version="5.0")
@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("ids", [(), (5,), (5, 300)])
def test_the_place_of_the_expiry_interval_is_known(qos, ids):
    properties = Properties(user_properties=(("a", "x" * 200),), message_expiry_interval=60)
    message = Message("t", b"p", 1, False, properties, expires_at=1000.0)
    parts = publish_parts(message, 5, qos, False, ids, now=970.5)
    packet = decode(whole(parts, 7 if qos else 0), 5)
    assert packet.properties.message_expiry_interval == 30
    assert packet.properties.subscription_identifiers == ids
    assert packet.properties.user_properties == (("a", "x" * 200),)
    assert parts.tail[parts.expiry_offset : parts.expiry_offset + 4] == (30).to_bytes(4, "big")


@pytest.mark.parametrize("now, left", [(0.0, 0xFFFFFFFF), (5e9 - 1.5, 2), (5e9 - 0.001, 1), (5e9, 0), (6e9, 0)])
def test_what_is_left_is_a_number_of_whole_seconds_that_fits(now, left):
    message = Message("t", b"", 1, properties=Properties(message_expiry_interval=9), expires_at=5e9)
    assert decode(whole(publish_parts(message, 5, 0, False, (), now)), 5).properties.message_expiry_interval == left


def test_an_alias_stands_beside_the_topic_or_in_its_place():
    message = Message("t", b"p", 0, properties=Properties(content_type="c"))
    wanted = Properties(topic_alias=3, content_type="c")
    assert decode(whole(publish_parts(message, 5, 0, False, alias=3)), 5) == PublishPacket("t", b"p", properties=wanted)
    assert decode(whole(publish_parts(message, 5, 0, False, alias=3, topic="")), 5) == PublishPacket(
        "", b"p", properties=wanted
    )


def test_a_3_1_1_frame_has_no_properties_whatever_the_message_has():
    message = Message("t", b"p", 1, properties=Properties(content_type="c", message_expiry_interval=5), expires_at=9.0)
    parts = publish_parts(message, 4, 1, False, (7,), 1.0)
    assert whole(parts, 2) == b"\x32\x06\x00\x01t\x00\x02p"
    assert parts.expiry_offset == -1


@pytest.mark.spec("MQTT-3.3.1-1", version="5.0")
@pytest.mark.spec("MQTT-3.3.1-1", version="3.1.1")
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("qos", [1, 2])
def test_a_resend_differs_in_dup_and_identifier_only(version, topic, qos):
    frame = encode(PublishPacket(topic, b"payload", qos, packet_id=1), version)
    assert decode(with_dup(frame, 999), version) == PublishPacket(topic, b"payload", qos, dup=True, packet_id=999)
    assert with_dup(with_dup(frame, 5), 1) == with_dup(frame, 1)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("topic", ["t", "t/ü"])
def test_a_frame_counts_for_as_many_bytes_as_its_message(version, size, topic):
    frame = encode(PublishPacket(topic, b"x" * size, 1, packet_id=1), version)
    assert content_size(frame, version) == message_of_frame(frame, version).size() == len(topic.encode()) + size


@pytest.mark.parametrize("version", [4, 5])
def test_a_frame_that_passed_through_is_a_message_again(version):
    frame = encode(PublishPacket("t", b"p", 2, packet_id=9), version)
    message = message_of_frame(frame, version, 44)
    assert message == Message("t", b"p", 2)
    assert message.sequence == 44
    assert message.expires_at == 0.0


def test_properties_count_in_the_size_of_a_message():
    assert Message("t", b"ab").size() == 3
    assert Message("t", b"ab", properties=Properties(content_type="c" * 100)).size() > 103

"""PUBLISH frames for subscribers, encoded once per variant and not once per recipient.

Law: a frame is `head + packet identifier + tail` (QoS 1/2) or `head + tail` (QoS 0); head and tail depend on version,
QoS, RETAIN, subscription identifiers and alias only, so recipients that agree in those share them. The Message Expiry
Interval is written first among the properties, where a `Countdown` can find it when the frame leaves.
"""

from __future__ import annotations

from mqtt_core.codec.decode import decode
from mqtt_core.codec.packet import PublishPacket
from mqtt_core.codec.properties import NO_PROPERTIES, Properties, encode_properties
from mqtt_core.codec.types import BYTE, PACKET_ID, PUBLISH, V5
from mqtt_core.codec.varint import decode_varint, encode_varint
from mqtt_core.session.message import Message

__all__ = [
    "PublishParts",
    "content_size",
    "id_offset",
    "message_of_frame",
    "property_section",
    "publish_parts",
    "with_dup",
    "with_identifiers",
]


class PublishParts:
    """Head and tail of a PUBLISH. `size` is that of the whole frame in bytes; `expiry_offset` is the place of the
    four-byte Message Expiry Interval in the tail, -1 when the frame has none."""

    __slots__ = ("expiry_offset", "head", "size", "tail")

    def __init__(self, head: bytes, tail: bytes, size: int, expiry_offset: int) -> None:
        self.head = head
        self.tail = tail
        self.size = size
        self.expiry_offset = expiry_offset


def property_section(properties: Properties, ids: tuple[int, ...]) -> bytes:
    """The property section of a forwarded PUBLISH that does not expire, with its subscription identifiers."""
    return _property_section(properties, -1, ids, 0)[0] if ids else encode_properties(properties, PUBLISH)


def _property_section(properties: Properties, expiry_s: int, ids: tuple[int, ...], alias: int) -> tuple[bytes, int]:
    """The property section of a forwarded PUBLISH, and the offset of the expiry value in it (-1: none)."""
    if expiry_s < 0 and not ids and not alias:
        return encode_properties(properties, PUBLISH), -1
    if properties.message_expiry_interval is not None:
        properties = properties.replace(message_expiry_interval=None)
    encoded = encode_properties(properties, PUBLISH)
    start = 1 if encoded[0] < 128 else decode_varint(encoded, 0, len(encoded))[1]
    parts = [b"", b"", encoded[start:]]
    if expiry_s >= 0:
        parts[0] = b"\x02" + expiry_s.to_bytes(4, "big")  # [MQTT-3.3.2-6 v5]
    if alias:
        parts[1] = b"\x23" + alias.to_bytes(2, "big")
    parts.extend([b"\x0b" + encode_varint(identifier) for identifier in ids])  # [MQTT-3.3.4-3 v5] [MQTT-3.3.4-4 v5]
    body = b"".join(parts)
    length = encode_varint(len(body))
    return length + body, len(length) + 1 if expiry_s >= 0 else -1


def publish_parts(
    message: Message,
    version: int,
    qos: int,
    retain: bool,
    subscription_ids: tuple[int, ...] = (),
    now: float = 0.0,
    alias: int = 0,
    topic: str | None = None,
) -> PublishParts:
    """Encode a message for subscribers of one variant.

    now: epoch seconds, for what is left of the message's expiry. alias: 1 to 65535 to set or use a topic alias, 0 for
    none; topic: what stands in the topic field, "" where the alias alone has to do, None for the message's topic.
    """
    name = (message.topic if topic is None else topic).encode()
    offset = -1
    section = b""
    if version == V5:
        expiry_s = -1
        if message.expires_at:
            expiry_s = min(max(int(message.expires_at - now + 0.999), 0), 0xFFFFFFFF)
        section, offset = _property_section(message.properties, expiry_s, subscription_ids, alias)
    remaining = 2 + len(name) + len(section) + len(message.payload) + (2 if qos else 0)
    first = 0x30 | qos << 1 | (1 if retain else 0)  # [MQTT-3.3.1-3] [MQTT-4.3.2-2 v5] [MQTT-4.3.3-2 v5]
    length = encode_varint(remaining)
    head = b"%c%b%b%b" % (first, length, len(name).to_bytes(2, "big"), name)
    return PublishParts(head, section + message.payload, 1 + len(length) + remaining, offset)


def id_offset(frame: bytes) -> int:
    """Where the packet identifier stands in a QoS 1/2 PUBLISH frame."""
    start = 2
    while frame[start - 1] > 127:
        start += 1
    return start + 2 + (frame[start] << 8 | frame[start + 1])


def content_size(frame: bytes, version: int) -> int:
    """Bytes of topic and payload in a QoS 1/2 PUBLISH frame without properties."""
    size = len(frame)
    header = 2 if size < 130 else 3 if size < 16_387 else 4 if size < 2_097_156 else 5
    return size - header - (5 if version == V5 else 4)


def with_identifiers(run: bytes, id_at: int, frame_size: int, ids: list[int]) -> bytes:
    """The frames of one size at the front of a run, with these packet identifiers; in a frame theirs is at `id_at`."""
    changed = bytearray(run[: len(ids) * frame_size])
    written = b"".join([PACKET_ID[packet_id] for packet_id in ids])
    changed[id_at::frame_size] = written[0::2]
    changed[id_at + 1 :: frame_size] = written[1::2]
    return bytes(changed)


def with_dup(frame: bytes, packet_id: int) -> bytes:
    """The same QoS 1/2 PUBLISH frame with DUP 1 and this packet identifier, for a resend [MQTT-3.3.1-1]."""
    at = id_offset(frame)
    return b"%b%b%b%b" % (BYTE[frame[0] | 0x08], frame[1:at], PACKET_ID[packet_id], frame[at + 2 :])


def message_of_frame(frame: bytes, version: int, sequence: int = 0) -> Message:
    """The message in a PUBLISH frame that passed through unchanged; such a frame has neither expiry nor alias."""
    packet = decode(frame, version)
    assert isinstance(packet, PublishPacket)
    properties = packet.properties if version == V5 else NO_PROPERTIES
    return Message(packet.topic, packet.payload, packet.qos, False, properties, 0.0, "", sequence)

"""How messages, sessions and wills are put into bytes, and read again: the bodies of the log's records.

A PUBLISH frame that the bulk path stored as it came is a body too (`message_from_frame`). Numbers are
little-endian, texts UTF-8 behind their length in bytes. A body carries no version: the version of the log
(`log.py`) covers it.

Law: whatever was encoded decodes to an equal value; anything else is a `StorageError`.
"""

from __future__ import annotations

import struct
from typing import Final

from mqtt_core.codec.decode import decode
from mqtt_core.codec.error import MqttError, StorageError
from mqtt_core.codec.packet import PublishPacket
from mqtt_core.codec.properties import NO_PROPERTIES, WILL, Properties, decode_properties, encode_properties
from mqtt_core.codec.types import PUBLISH
from mqtt_core.session.message import Message
from mqtt_core.session.record import SessionRecord, SubscriptionRecord, WillRecord

__all__ = [
    "decode_extras",
    "decode_message",
    "decode_session",
    "encode_extras",
    "encode_message",
    "encode_session",
    "message_from_frame",
    "message_topic",
]

# A message: qos and retain, deadline, length of topic, length of publisher; then topic, publisher, properties, payload.
_MESSAGE: Final = struct.Struct("<BdHI")
_TEXT: Final = struct.Struct("<I")
_COUNT: Final = struct.Struct("<I")
_SEQUENCE: Final = struct.Struct("<Q")
_SESSION: Final = struct.Struct("<BIddBI")  # version, expiry, connected at, disconnected at, flags, subscriptions
_SUBSCRIPTION: Final = struct.Struct("<BI")  # options, subscription identifier
_WILL: Final = struct.Struct("<BII")  # qos and retain, delay, length of payload
_HAS_WILL: Final = 0x01
_HAS_REPLAYS: Final = 0x02
_RETAIN: Final = 0x04
_NO_LOCAL: Final = 0x04
_RETAIN_AS_PUBLISHED: Final = 0x08
_NO_PROPERTIES: Final = b"\x00"


def encode_message(message: Message) -> bytes:
    """The message but its sequence, which stands in the record."""
    topic = message.topic.encode()
    publisher = message.publisher.encode()
    properties = message.properties
    return b"".join(
        (
            _MESSAGE.pack(
                message.qos | (_RETAIN if message.retain else 0), message.expires_at, len(topic), len(publisher)
            ),
            topic,
            publisher,
            encode_properties(properties, PUBLISH) if properties else _NO_PROPERTIES,
            message.payload,
        )
    )


def decode_message(body: bytes, sequence: int) -> Message:
    """The message of a body that `encode_message` made."""
    try:
        flags, expires_at, topic_length, publisher_length = _MESSAGE.unpack_from(body)
        start = _MESSAGE.size
        middle = start + topic_length
        end = middle + publisher_length
        properties, position = _read_properties(body, end, PUBLISH)
        return Message(
            body[start:middle].decode(),
            body[position:],
            flags & 3,
            flags & _RETAIN != 0,
            properties,
            expires_at,
            body[middle:end].decode(),
            sequence,
        )
    except (struct.error, IndexError, ValueError, MqttError) as error:
        raise StorageError(f"message {sequence} of the log cannot be read: {error}") from error


def message_topic(body: bytes) -> str:
    """The topic alone of a body that `encode_message` made."""
    try:
        length = _MESSAGE.unpack_from(body)[2]
        return body[_MESSAGE.size : _MESSAGE.size + length].decode()
    except (struct.error, ValueError) as error:
        raise StorageError(f"a message of the log cannot be read: {error}") from error


def message_from_frame(frame: bytes, version: int, sequence: int) -> Message:
    """The message of a PUBLISH frame (4 or 5). Its publisher is not known, and not needed once it is routed."""
    try:
        packet = decode(frame, version)
    except MqttError as error:
        raise StorageError(f"message {sequence} of the log cannot be read: {error}") from error
    if not isinstance(packet, PublishPacket):
        raise StorageError(f"message {sequence} of the log is no PUBLISH")
    return Message(packet.topic, packet.payload, packet.qos, packet.retain, packet.properties, 0.0, "", sequence)


def encode_extras(subscription_ids: tuple[int, ...], shared: str) -> bytes:
    """What few entries have: subscription identifiers, and the shared subscription they came through."""
    return _text(shared) + struct.pack(f"<{len(subscription_ids)}I", *subscription_ids)


def decode_extras(body: bytes) -> tuple[tuple[int, ...], str]:
    """The (identifiers, shared subscription) that `encode_extras` made a body of."""
    try:
        shared, position = _read_text(body, 0)
        return struct.unpack(f"<{(len(body) - position) // 4}I", body[position:]), shared
    except (struct.error, ValueError) as error:
        raise StorageError(f"an entry of the log cannot be read: {error}") from error


def encode_session(record: SessionRecord) -> bytes:
    """The session but its client identifier, which stands in the record."""
    will = record.will
    parts = [
        _SESSION.pack(
            record.version,
            record.expiry_s,
            record.connected_at,
            record.disconnected_at,
            (0 if will is None else _HAS_WILL) | (_HAS_REPLAYS if record.replays else 0),
            len(record.subscriptions),
        ),
        _text(record.identity),
    ]
    for subscription in record.subscriptions:
        encoded = subscription.encoded
        if not encoded:
            encoded = subscription.encoded = _encode_subscription(subscription)
        parts.append(encoded)
    if will is not None:
        parts.append(_WILL.pack(will.qos | (_RETAIN if will.retain else 0), will.delay_s, len(will.payload)))
        parts.append(_text(will.topic))
        parts.append(_text(will.publisher))
        parts.append(encode_properties(will.properties, WILL))
        parts.append(will.payload)
    if record.replays:
        parts.append(_COUNT.pack(len(record.replays)))
        for topic_filter, since in record.replays:
            parts += (_text(topic_filter), _SEQUENCE.pack(since))
    return b"".join(parts)


def _encode_subscription(subscription: SubscriptionRecord) -> bytes:
    options = subscription.qos | subscription.retain_handling << 4
    if subscription.no_local:
        options |= _NO_LOCAL
    if subscription.retain_as_published:
        options |= _RETAIN_AS_PUBLISHED
    return _SUBSCRIPTION.pack(options, subscription.subscription_id) + _text(subscription.filter)


def decode_session(body: bytes, client_id: str) -> SessionRecord:
    """The session of a body that `encode_session` made."""
    try:
        version, expiry_s, connected_at, disconnected_at, flags, count = _SESSION.unpack_from(body)
        identity, position = _read_text(body, _SESSION.size)
        subscriptions: list[SubscriptionRecord] = []
        for _ in range(count):
            options, subscription_id = _SUBSCRIPTION.unpack_from(body, position)
            topic_filter, position = _read_text(body, position + _SUBSCRIPTION.size)
            subscriptions.append(
                SubscriptionRecord(
                    topic_filter,
                    options & 3,
                    options & _NO_LOCAL != 0,
                    options & _RETAIN_AS_PUBLISHED != 0,
                    options >> 4 & 3,
                    subscription_id,
                )
            )
        will = None
        if flags & _HAS_WILL:
            will, position = _read_will(body, position)
        replays: tuple[tuple[str, int], ...] = ()
        if flags & _HAS_REPLAYS:
            replays, position = _read_replays(body, position)
        if position != len(body):
            raise StorageError("it is longer than its fields")
        return SessionRecord(
            client_id,
            identity,
            version,
            expiry_s,
            will,
            subscriptions,
            connected_at,
            disconnected_at,
            replays,
        )
    except (struct.error, IndexError, ValueError, MqttError) as error:
        raise StorageError(f"session {client_id!r} of the log cannot be read: {error}") from error


def _read_will(body: bytes, position: int) -> tuple[WillRecord, int]:
    flags, delay_s, length = _WILL.unpack_from(body, position)
    topic, position = _read_text(body, position + _WILL.size)
    publisher, position = _read_text(body, position)
    properties, position = _read_properties(body, position, WILL)
    payload = body[position : position + length]
    if len(payload) != length:
        raise StorageError("its will is cut short")
    will = WillRecord(topic, payload, flags & 3, flags & _RETAIN != 0, properties, delay_s, publisher)
    return will, position + length


def _read_replays(body: bytes, position: int) -> tuple[tuple[tuple[str, int], ...], int]:
    (count,) = _COUNT.unpack_from(body, position)
    position += _COUNT.size
    replays: list[tuple[str, int]] = []
    for _ in range(count):
        topic_filter, position = _read_text(body, position)
        (since,) = _SEQUENCE.unpack_from(body, position)
        position += _SEQUENCE.size
        replays.append((topic_filter, since))
    return tuple(replays), position


def _read_properties(body: bytes, position: int, packet: int) -> tuple[Properties, int]:
    if body[position] == 0:
        return NO_PROPERTIES, position + 1
    return decode_properties(body, position, len(body), packet)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _TEXT.pack(len(encoded)) + encoded


def _read_text(body: bytes, position: int) -> tuple[str, int]:
    length: int = _TEXT.unpack_from(body, position)[0]
    position += _TEXT.size
    end = position + length
    if end > len(body):
        raise StorageError("a text is cut short")
    return body[position:end].decode(), end

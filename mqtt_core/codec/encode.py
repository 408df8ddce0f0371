"""One packet to its frame.

Laws: what is encoded decodes to an equal packet; what the standards do not allow, or what the version does not have,
is refused with a :class:`~mqtt_core.codec.error.LocalProtocolError` before a byte exists. Properties given for a
3.1.1 connection are such a refusal, not a silent loss.

:func:`encode_publish` is the exception: it joins parts that were checked before and checks nothing. A broker uses it
to build one frame for many recipients.
"""

# ruff: noqa: ARG001 - the functions of one table have one signature
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mqtt_core.codec.error import LocalProtocolError
from mqtt_core.codec.fields import write_binary, write_string
from mqtt_core.codec.packet import (
    AckPacket,
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    Packet,
    PublishPacket,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
    Will,
)
from mqtt_core.codec.properties import NO_PROPERTIES, WILL, Properties, encode_properties
from mqtt_core.codec.reason_codes import REASON_CODES, RETURN_CODES
from mqtt_core.codec.types import (
    AUTH,
    BYTE,
    CONNACK,
    CONNECT,
    DISCONNECT,
    PACKET_ID,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    V5,
    V311,
    ConnectFlags,
)
from mqtt_core.codec.varint import encode_varint

__all__ = ["encode", "encode_publish"]


def encode(packet: Packet, version: int) -> bytes:
    """Encode a packet with its fixed header (section 2.1 and, packet by packet, section 3).

    Args:
        packet: what to encode; a CONNECT must be of the version given.
        version: 4 for 3.1.1 or 5 for 5.0.

    Raises:
        LocalProtocolError: if a field is out of range or does not exist in this version.
        TypeError: if a field has the wrong type.
    """
    try:
        if packet.packet_type == PUBLISH and isinstance(packet, PublishPacket):
            return _encode_publish_packet(packet, version)
        if version not in (V311, V5):
            raise LocalProtocolError(f"there is no protocol version {version}")
        encoder = _ENCODERS.get(packet.packet_type)
        if encoder is None:
            raise LocalProtocolError(f"{packet!r} is not a packet")
        body = encoder(packet, version)
    except (AttributeError, TypeError) as error:
        raise TypeError(f"a field of this {type(packet).__name__} has the wrong type: {error}") from error
    # [MQTT-2.2.2-1 v3.1.1] [MQTT-2.1.3-1 v5] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
    return _FIRST[packet.packet_type] + encode_varint(len(body)) + body


def encode_publish(
    topic: bytes, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int, properties: bytes | None
) -> bytes:
    """Join the parts of a PUBLISH, which must be valid.

    Args:
        topic: topic name in UTF-8, at most 65,535 bytes.
        payload: the message.
        qos: 0 to 2.
        retain: the RETAIN flag.
        dup: the DUP flag; False for QoS 0.
        packet_id: 1 to 65,535 for QoS 1 and 2; not looked at for QoS 0.
        properties: the property section of 5.0 with its length, or None for 3.1.1.

    Raises:
        LocalProtocolError: if the packet would be longer than the format can say.
    """
    first = 0x30 | qos << 1
    if retain:
        first |= 1
    if dup:
        first |= 8
    topic_size = len(topic)
    remaining = topic_size + 2 + len(payload)
    if properties is None:
        if not qos:  # [MQTT-2.3.1-5 v3.1.1]
            size = BYTE[remaining] if remaining < 128 else encode_varint(remaining)
            return b"".join((BYTE[first], size, PACKET_ID[topic_size], topic, payload))
        size = BYTE[remaining + 2] if remaining < 126 else encode_varint(remaining + 2)
        return b"".join((BYTE[first], size, PACKET_ID[topic_size], topic, PACKET_ID[packet_id], payload))
    remaining += len(properties)
    if not qos:  # [MQTT-2.2.1-2 v5]
        size = BYTE[remaining] if remaining < 128 else encode_varint(remaining)
        return b"".join((BYTE[first], size, PACKET_ID[topic_size], topic, properties, payload))
    size = BYTE[remaining + 2] if remaining < 126 else encode_varint(remaining + 2)
    return b"".join((BYTE[first], size, PACKET_ID[topic_size], topic, PACKET_ID[packet_id], properties, payload))


def _encode_publish_packet(packet: PublishPacket, version: int) -> bytes:
    topic = packet.topic
    try:
        encoded = topic.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("topic contains a surrogate") from None  # [MQTT-1.5.3-1 v3.1.1] [MQTT-1.5.4-1 v5]
    if "\x00" in topic or "+" in topic or "#" in topic or len(encoded) > 65_535:
        # [MQTT-3.3.2-2] [MQTT-4.7.0-1 v5] [MQTT-4.7.3-2] [MQTT-4.7.3-3]
        raise LocalProtocolError("topic contains U+0000 or a wildcard, or is too long", 0x90)
    qos = packet.qos
    packet_id = packet.packet_id
    if qos:
        if qos not in (1, 2):  # [MQTT-3.3.1-4]
            raise LocalProtocolError(f"there is no QoS {qos}")
        if packet_id < 1 or packet_id > 65_535:  # [MQTT-2.3.1-1 v3.1.1] [MUST-2.2.1-1 v5]
            raise LocalProtocolError(f"packet identifier {packet_id} is not in 1 to 65535")
    elif packet.dup or packet_id:  # [MQTT-3.3.1-2] [MQTT-2.3.1-5 v3.1.1] [MQTT-2.2.1-2 v5]
        raise LocalProtocolError("a PUBLISH with QoS 0 has neither DUP nor a packet identifier")
    properties = packet.properties
    section: bytes | None = None
    if version == V5:
        section = b"\x00" if properties is NO_PROPERTIES else encode_properties(properties, PUBLISH)
        if not topic and properties.topic_alias is None:
            raise LocalProtocolError("PUBLISH with neither topic nor topic alias")
    elif version == V311:
        if properties is not NO_PROPERTIES:
            _check_no_properties(properties, version)
        if not topic:  # [MQTT-4.7.3-1 v3.1.1]
            raise LocalProtocolError("topic is empty", 0x90)
    else:
        raise LocalProtocolError(f"there is no protocol version {version}")
    return encode_publish(encoded, packet.payload, qos, packet.retain, packet.dup, packet_id, section)


def _encode_connect(packet: ConnectPacket, version: int) -> bytes:
    if packet.version != version:
        raise LocalProtocolError(f"CONNECT of version {packet.version} on a connection of version {version}")
    will = packet.will
    flags = ConnectFlags(
        clean_start=packet.clean_start, password=packet.password is not None, username=packet.username is not None
    )
    if will is not None:
        _check_qos(will.qos)  # [MQTT-3.1.2-14 v3.1.1] [MQTT-3.1.2-12 v5]
        flags.will = True
        flags.will_qos = will.qos
        flags.will_retain = will.retain
    if version == V311 and flags.password and not flags.username:  # [MQTT-3.1.2-22 v3.1.1]
        raise LocalProtocolError("3.1.1 has no password without a user name")
    _check_range(packet.keep_alive_s, 65_535, "keep alive")
    parts = [b"\x00\x04MQTT", BYTE[version], BYTE[flags.to_byte()], PACKET_ID[packet.keep_alive_s]]
    parts += (_section(packet.properties, CONNECT, version), write_string(packet.client_id, "client identifier"))
    if will is not None:
        parts += _encode_will(will, version)
    if packet.username is not None:
        parts.append(write_string(packet.username, "user name"))
    if packet.password is not None:
        parts.append(write_binary(packet.password, "password"))
    return b"".join(parts)


def _encode_will(will: Will, version: int) -> list[bytes]:
    if not will.topic or "+" in will.topic or "#" in will.topic:
        raise LocalProtocolError("will topic is empty or contains a wildcard", 0x90)
    return [
        _section(will.properties, WILL, version),
        write_string(will.topic, "will topic"),
        write_binary(will.payload, "will payload"),
    ]


def _encode_connack(packet: ConnackPacket, version: int) -> bytes:
    _check_code(packet.reason_code, CONNACK, version)
    if packet.session_present and packet.reason_code:  # [MQTT-3.2.2-4 v3.1.1] [MQTT-3.2.2-6 v5]
        raise LocalProtocolError("Session Present in a CONNACK that refuses")
    # [MQTT-3.2.2-1 v5]
    head = bytes((1 if packet.session_present else 0, packet.reason_code))
    return head + _section(packet.properties, CONNACK, version)


def _encode_ack(packet: AckPacket, version: int) -> bytes:
    _check_packet_id(packet.packet_id)
    head = PACKET_ID[packet.packet_id]
    if version == V311:
        if packet.reason_code:
            raise LocalProtocolError("3.1.1 has no reason code in acknowledgements")
        _check_no_properties(packet.properties, version)
        return head
    _check_code(packet.reason_code, packet.packet_type, version)
    return head + _short_tail(packet.reason_code, packet.properties, packet.packet_type)


def _encode_subscribe(packet: SubscribePacket, version: int) -> bytes:
    _check_packet_id(packet.packet_id)
    if not packet.subscriptions:  # [MQTT-3.8.3-3 v3.1.1] [MQTT-3.8.3-2 v5]
        raise LocalProtocolError("SUBSCRIBE without a topic filter")
    parts = [PACKET_ID[packet.packet_id], _section(packet.properties, SUBSCRIBE, version)]
    for subscription in packet.subscriptions:
        parts += (write_string(subscription.filter, "topic filter"), BYTE[_subscribe_options(subscription, version)])
    return b"".join(parts)


def _subscribe_options(subscription: SubscribeFilter, version: int) -> int:
    _check_qos(subscription.qos)
    options = subscription.qos
    if subscription.no_local:
        if subscription.filter.startswith("$share/"):  # [MQTT-3.8.3-4 v5]
            raise LocalProtocolError("No Local on a shared subscription", 0x82)
        options |= 4
    if subscription.retain_as_published:
        options |= 8
    _check_range(subscription.retain_handling, 2, "Retain Handling")
    options |= subscription.retain_handling << 4
    if version == V311 and options > 2:
        raise LocalProtocolError("3.1.1 has no subscription options but QoS")
    return options


def _encode_suback(packet: SubackPacket, version: int) -> bytes:
    codes = _encode_codes(packet.reason_codes, SUBACK, version)  # [MQTT-3.9.3-2]
    _check_packet_id(packet.packet_id)
    return PACKET_ID[packet.packet_id] + _section(packet.properties, SUBACK, version) + codes


def _encode_unsubscribe(packet: UnsubscribePacket, version: int) -> bytes:
    _check_packet_id(packet.packet_id)
    if not isinstance(packet.filters, list | tuple):  # a string would be as many filters as it has letters
        raise TypeError(f"filters is a list, not {packet.filters!r}")
    if not packet.filters:  # [MQTT-3.10.3-2]
        raise LocalProtocolError("UNSUBSCRIBE without a topic filter")
    parts = [PACKET_ID[packet.packet_id], _section(packet.properties, UNSUBSCRIBE, version)]
    parts += [write_string(topic_filter, "topic filter") for topic_filter in packet.filters]
    return b"".join(parts)


def _encode_unsuback(packet: UnsubackPacket, version: int) -> bytes:
    _check_packet_id(packet.packet_id)
    head = PACKET_ID[packet.packet_id]
    if version == V311:
        if packet.reason_codes:
            raise LocalProtocolError("3.1.1 has no reason codes in UNSUBACK")
        _check_no_properties(packet.properties, version)
        return head
    codes = _encode_codes(packet.reason_codes, UNSUBACK, version)  # [MQTT-3.11.3-2 v5]
    return head + encode_properties(packet.properties, UNSUBACK) + codes


def _encode_ping(packet: Packet, version: int) -> bytes:
    return b""


def _encode_disconnect(packet: DisconnectPacket, version: int) -> bytes:
    if version == V311:
        if packet.reason_code:
            raise LocalProtocolError("3.1.1 has no reason code in DISCONNECT")
        _check_no_properties(packet.properties, version)
        return b""
    _check_code(packet.reason_code, DISCONNECT, version)  # [MQTT-3.14.2-1 v5]
    return _short_tail(packet.reason_code, packet.properties, DISCONNECT)


def _encode_auth(packet: AuthPacket, version: int) -> bytes:
    if version == V311:
        raise LocalProtocolError("3.1.1 has no AUTH")
    _check_code(packet.reason_code, AUTH, version)  # [MQTT-3.15.2-1 v5]
    if not packet.properties and not packet.reason_code:
        return b""
    if packet.properties.authentication_method is None:
        raise LocalProtocolError("AUTH without authentication_method", 0x82)
    return BYTE[packet.reason_code] + encode_properties(packet.properties, AUTH)


def _short_tail(reason_code: int, properties: Properties, kind: int) -> bytes:
    """Reason code and properties in the shortest form that 5.0 has for acknowledgements and DISCONNECT."""
    if properties:
        return BYTE[reason_code] + encode_properties(properties, kind)
    return BYTE[reason_code] if reason_code else b""


def _section(properties: Properties, kind: int, version: int) -> bytes:
    """The property section of a packet that has one in 5.0."""
    if version == V5:
        return encode_properties(properties, kind)
    _check_no_properties(properties, version)
    return b""


def _encode_codes(codes: list[int], kind: int, version: int) -> bytes:
    if not codes:
        raise LocalProtocolError(f"packet type {kind} without a reason code")
    for code in codes:
        _check_code(code, kind, version)
    return bytes(codes)


def _check_code(code: int, kind: int, version: int) -> None:
    allowed = REASON_CODES[kind] if version == V5 else RETURN_CODES[kind]
    if code not in allowed:
        raise LocalProtocolError(f"reason code {code} does not belong in packet type {kind}")


def _check_packet_id(packet_id: int) -> None:
    if packet_id < 1 or packet_id > 65_535:  # [MQTT-2.3.1-1 v3.1.1] [MUST-2.2.1-1 v5]
        raise LocalProtocolError(f"packet identifier {packet_id} is not in 1 to 65535")


def _check_qos(qos: int) -> None:
    if qos not in (0, 1, 2):
        raise LocalProtocolError(f"there is no QoS {qos}")


def _check_range(value: int, highest: int, what: str) -> None:
    if value < 0 or value > highest:
        raise LocalProtocolError(f"{what} {value} is not in 0 to {highest}")


def _check_no_properties(properties: Properties, version: int) -> None:
    if properties:
        raise LocalProtocolError(f"protocol version {version} has no properties")


_ENCODERS: Final[dict[int, Callable[[Any, int], bytes]]] = {
    CONNECT: _encode_connect,
    CONNACK: _encode_connack,
    PUBACK: _encode_ack,
    PUBREC: _encode_ack,
    PUBREL: _encode_ack,
    PUBCOMP: _encode_ack,
    SUBSCRIBE: _encode_subscribe,
    SUBACK: _encode_suback,
    UNSUBSCRIBE: _encode_unsubscribe,
    UNSUBACK: _encode_unsuback,
    PINGREQ: _encode_ping,
    PINGRESP: _encode_ping,
    DISCONNECT: _encode_disconnect,
    AUTH: _encode_auth,
}
# The first byte of each packet type but PUBLISH.
_FIRST: Final[list[bytes]] = [
    bytes((kind << 4 | (2 if kind in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) else 0),)) for kind in range(16)
]

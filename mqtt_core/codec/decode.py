"""One whole frame to one packet, strictly.

Laws: every input gives a packet or an :class:`~mqtt_core.codec.error.MqttError` and nothing else; what comes out
obeys every rule of the standards about the bytes of one packet, so that nobody downstream checks them again. Rules
about who may send a packet, and when, are not looked at here.

Each function reads by index and shift over one ``bytes`` and knows where the frame ends (``size``); it checks that
bytes are there before it reads them. PUBLISH and the four short acknowledgements come first and in place, because
they are what a busy connection consists of.
"""

# ruff: noqa: ARG001 - the functions of one table have one signature
from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mqtt_core.codec.error import (
    InvalidTopic,
    LocalProtocolError,
    MalformedPacket,
    MalformedString,
    MqttError,
    ProtocolError,
    ReservedFlags,
    UnsupportedProtocolVersion,
)
from mqtt_core.codec.fields import check_topic_name, read_binary, read_string
from mqtt_core.codec.packet import (
    AckPacket,
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    Packet,
    PingreqPacket,
    PingrespPacket,
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
from mqtt_core.codec.properties import NO_PROPERTIES, WILL, decode_properties
from mqtt_core.codec.reason_codes import REASON_CODES, RETURN_CODES
from mqtt_core.codec.types import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
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
from mqtt_core.codec.varint import decode_varint

__all__ = ["decode"]


def decode(frame: bytes, version: int) -> Packet:
    """Decode one whole frame; PUBLISH is read in place, because it is most of what a connection carries.

    The layout is that of section 2.1 and, packet by packet, of section 3.

    Args:
        frame: the packet with its fixed header and nothing after it.
        version: 4 for 3.1.1 or 5 for 5.0; a CONNECT says itself which it is, and 0 allows nothing but CONNECT.

    Raises:
        MqttError: a subclass that tells the kind of fault and knows its reason code; nothing else is ever raised.
    """
    size = len(frame)
    if size < 2:
        raise MalformedPacket("frame without a whole fixed header")
    pos = 2
    remaining = frame[1]
    if remaining > 127:
        remaining, pos = decode_varint(frame, 1, size)
    if remaining != size - pos:  # [MUST-2.2.3-2 v3.1.1] [MUST-2.1.4-1 v5]
        raise MalformedPacket(f"remaining length is {remaining}, but {size - pos} bytes follow")
    first = frame[0]
    if first >> 4 != PUBLISH or not version:
        return _decode_other(frame, pos, size, version)
    start = pos + 2
    if start > size:
        raise MalformedPacket("PUBLISH ends before its topic")
    pos = start + (frame[pos] << 8 | frame[pos + 1])
    if pos > size:
        raise MalformedPacket("PUBLISH ends inside its topic")
    try:
        topic = frame[start:pos].decode()  # [MQTT-3.3.2-1]
    except UnicodeDecodeError:
        raise MalformedString("topic is not well-formed UTF-8") from None
    if "\x00" in topic or "+" in topic or "#" in topic:
        raise _topic_error(topic)
    packet_id = 0
    qos = first >> 1 & 3
    if qos:
        if qos == 3:  # [MQTT-3.3.1-4]
            raise MalformedPacket("PUBLISH with QoS 3")
        if pos + 2 > size:
            raise MalformedPacket("PUBLISH ends before its packet identifier")
        packet_id = frame[pos] << 8 | frame[pos + 1]
        pos += 2
        if not packet_id:  # [MQTT-2.3.1-1 v3.1.1] [MUST-2.2.1-1 v5]
            raise ProtocolError(0x82, "packet identifier is 0")
    elif first & 8:  # [MQTT-3.3.1-2]
        raise MalformedPacket("PUBLISH with QoS 0 and DUP")
    properties = NO_PROPERTIES
    if version == V5:
        if pos < size and not frame[pos]:
            pos += 1
        else:
            properties, pos = decode_properties(frame, pos, size, PUBLISH)
    elif version != V311:
        raise LocalProtocolError(f"there is no protocol version {version}")
    if not topic and properties.topic_alias is None:
        raise _nameless(version)
    return PublishPacket(topic, frame[pos:], qos, first & 1 != 0, first & 8 != 0, packet_id, properties)


def _nameless(version: int) -> MqttError:
    if version == V311:  # [MQTT-4.7.3-1 v3.1.1]
        return MalformedPacket("PUBLISH with an empty topic")
    return ProtocolError(0x82, "PUBLISH with neither topic nor topic alias")  # [MUST-3.3.2.3.4-2 v5]


def _decode_other(frame: bytes, pos: int, size: int, version: int) -> Packet:
    """Decode a packet that is not a PUBLISH, or refuse one that comes before CONNECT."""
    kind = frame[0] >> 4
    flags = frame[0] & 15
    if version not in (V5, V311):
        if version:
            raise LocalProtocolError(f"there is no protocol version {version}")
        if kind != CONNECT:  # [MQTT-3.1.0-1]
            raise ProtocolError(0x82, f"packet type {kind} before CONNECT")
    if kind == 0 or (kind == AUTH and version == V311):  # [MUST-2.2.1-1 v3.1.1] [MUST-2.1.2-1 v5]
        raise MalformedPacket(f"packet type {kind} is reserved")
    if flags != _FLAGS[kind]:
        # [MQTT-2.2.2-1 v3.1.1] [MQTT-2.2.2-2 v3.1.1] [MQTT-2.1.3-1 v5] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
        # [MQTT-3.14.1-1] [MQTT-3.15.1-1 v5]
        raise ReservedFlags(f"fixed-header flags {flags:04b} in packet type {kind}")
    return _DECODERS[kind](frame, pos, size, version)


def _topic_error(topic: str) -> MqttError:
    """Say what is wrong with a topic that has U+0000 or a wildcard."""
    if "\x00" in topic:  # [MQTT-1.5.3-2 v3.1.1] [MQTT-1.5.4-2 v5]
        return MalformedString("topic contains U+0000")
    return InvalidTopic("topic contains a wildcard")  # [MQTT-3.3.2-2] [MQTT-4.7.0-1 v5] [MQTT-4.7.1-1 v3.1.1]


def _decode_connect(frame: bytes, pos: int, size: int, version: int) -> ConnectPacket:
    name, pos = read_binary(frame, pos, size)
    if pos == size:
        raise MalformedPacket("CONNECT ends before its protocol level")
    level = frame[pos]
    if name != b"MQTT" or level not in (V311, V5):  # [MQTT-3.1.2-1] [MQTT-3.1.2-2]
        raise UnsupportedProtocolVersion(name, level)
    if pos + 4 > size:
        raise MalformedPacket("CONNECT ends inside its variable header")
    flags = ConnectFlags.from_byte(frame[pos + 1])
    if level == V311 and flags.password and not flags.username:  # [MQTT-3.1.2-22 v3.1.1]
        raise MalformedPacket("password without a user name")
    keep_alive_s = frame[pos + 2] << 8 | frame[pos + 3]
    pos += 4
    properties = NO_PROPERTIES
    if level == V5:
        properties, pos = decode_properties(frame, pos, size, CONNECT)
    client_id, pos = read_string(frame, pos, size)  # [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.3-4]
    will: Will | None = None
    if flags.will:  # [MQTT-3.1.2-9]
        will, pos = _decode_will(frame, pos, size, level, flags)
    username: str | None = None
    if flags.username:  # [MQTT-3.1.2-19 v3.1.1] [MQTT-3.1.2-17 v5]
        username, pos = read_string(frame, pos, size)  # [MQTT-3.1.3-11 v3.1.1] [MQTT-3.1.3-12 v5]
    password: bytes | None = None
    if flags.password:  # [MQTT-3.1.2-21 v3.1.1] [MQTT-3.1.2-19 v5]
        password, pos = read_binary(frame, pos, size)
    _check_end(pos, size)  # [MQTT-3.1.2-18] [MQTT-3.1.2-20 v3.1.1] [MQTT-3.1.2-16 v5]
    return ConnectPacket(
        client_id,
        version=level,
        clean_start=flags.clean_start,
        keep_alive_s=keep_alive_s,
        username=username,
        password=password,
        will=will,
        properties=properties,
    )


def _decode_will(frame: bytes, pos: int, size: int, version: int, flags: ConnectFlags) -> tuple[Will, int]:
    properties = NO_PROPERTIES
    if version == V5:
        properties, pos = decode_properties(frame, pos, size, WILL)
    topic, pos = read_string(frame, pos, size)  # [MQTT-3.1.3-10 v3.1.1] [MQTT-3.1.3-11 v5]
    check_topic_name(topic, "will topic")
    payload, pos = read_binary(frame, pos, size)
    return Will(topic, payload, flags.will_qos, flags.will_retain, properties), pos


def _decode_connack(frame: bytes, pos: int, size: int, version: int) -> ConnackPacket:
    if pos + 2 > size:
        raise MalformedPacket("CONNACK ends inside its variable header")
    flags = frame[pos]
    reason_code = frame[pos + 1]
    if flags > 1:  # [MQTT-3.2.2-1 v5]
        raise ReservedFlags("reserved bits of the connect acknowledge flags are set")
    pos += 2
    properties = NO_PROPERTIES
    if version == V5:
        properties, pos = decode_properties(frame, pos, size, CONNACK)
    _check_end(pos, size)
    _check_code(reason_code, CONNACK, version)  # [MQTT-3.2.2-8 v5]
    if flags and reason_code:  # [MQTT-3.2.2-4 v3.1.1] [MQTT-3.2.2-6 v5]
        raise ProtocolError(0x82, "Session Present in a CONNACK that refuses")
    return ConnackPacket(reason_code, flags == 1, properties)


def _decode_ack(frame: bytes, pos: int, size: int, version: int) -> AckPacket:
    kind = frame[0] >> 4
    packet_id = _read_packet_id(frame, pos, size)
    pos += 2
    if pos == size:
        return _ACKS[kind](packet_id)
    if version == V311:
        raise MalformedPacket(f"packet type {kind} is too long")
    reason_code = frame[pos]
    pos += 1
    properties = NO_PROPERTIES
    if pos < size:
        properties, pos = decode_properties(frame, pos, size, kind)
        _check_end(pos, size)
    _check_code(reason_code, kind, version)  # [MQTT-3.4.2-1 v5] [MQTT-3.5.2-1 v5] [MQTT-3.6.2-1 v5] [MQTT-3.7.2-1 v5]
    return _ACKS[kind](packet_id, reason_code, properties)


def _decode_subscribe(frame: bytes, pos: int, size: int, version: int) -> SubscribePacket:
    packet_id = _read_packet_id(frame, pos, size)
    pos += 2
    properties = NO_PROPERTIES
    if version == V5:
        properties, pos = decode_properties(frame, pos, size, SUBSCRIBE)
    if pos == size:  # [MQTT-3.8.3-3 v3.1.1] [MQTT-3.8.3-2 v5]
        raise ProtocolError(0x82, "SUBSCRIBE without a topic filter")
    subscriptions: list[SubscribeFilter] = []
    while pos < size:
        topic_filter, pos = read_string(frame, pos, size)  # [MQTT-3.8.3-1]
        if pos == size:
            raise MalformedPacket("SUBSCRIBE ends before the options of a topic filter")
        if version == V5:
            subscriptions.append(_subscribe_filter_5(topic_filter, frame[pos]))
        else:
            subscriptions.append(_subscribe_filter_311(topic_filter, frame[pos]))
        pos += 1
    return SubscribePacket(packet_id, subscriptions, properties)


def _subscribe_filter_311(topic_filter: str, options: int) -> SubscribeFilter:
    if options > 2:  # [MQTT-3.8.3-4 v3.1.1]
        raise MalformedPacket("requested QoS is 3 or has reserved bits set")
    return SubscribeFilter(topic_filter, options)


def _subscribe_filter_5(topic_filter: str, options: int) -> SubscribeFilter:
    if options > 63:  # [MQTT-3.8.3-5 v5]
        raise ReservedFlags("reserved bits of the subscription options are set")
    qos = options & 3
    if qos == 3:  # [MUST-3.8.3.1-1 v5]
        raise ProtocolError(0x82, "requested QoS is 3")
    retain_handling = options >> 4
    if retain_handling == 3:  # [MUST-3.8.3.1-2 v5]
        raise ProtocolError(0x82, "Retain Handling is 3")
    if options & 4 and topic_filter.startswith("$share/"):  # [MQTT-3.8.3-4 v5]
        raise ProtocolError(0x82, "No Local on a shared subscription")
    return SubscribeFilter(topic_filter, qos, options & 4 != 0, options & 8 != 0, retain_handling)


def _decode_unsubscribe(frame: bytes, pos: int, size: int, version: int) -> UnsubscribePacket:
    packet_id = _read_packet_id(frame, pos, size)
    pos += 2
    properties = NO_PROPERTIES
    if version == V5:
        properties, pos = decode_properties(frame, pos, size, UNSUBSCRIBE)
    if pos == size:  # [MQTT-3.10.3-2]
        raise ProtocolError(0x82, "UNSUBSCRIBE without a topic filter")
    filters: list[str] = []
    while pos < size:
        topic_filter, pos = read_string(frame, pos, size)  # [MQTT-3.10.3-1]
        filters.append(topic_filter)
    return UnsubscribePacket(packet_id, filters, properties)


def _decode_suback(frame: bytes, pos: int, size: int, version: int) -> SubackPacket:
    packet_id = _read_packet_id(frame, pos, size)
    pos += 2
    properties = NO_PROPERTIES
    if version == V5:
        properties, pos = decode_properties(frame, pos, size, SUBACK)
    return SubackPacket(packet_id, _read_codes(frame, pos, size, SUBACK, version), properties)  # [MQTT-3.9.3-2]


def _decode_unsuback(frame: bytes, pos: int, size: int, version: int) -> UnsubackPacket:
    packet_id = _read_packet_id(frame, pos, size)
    pos += 2
    if version == V311:
        _check_end(pos, size)
        return UnsubackPacket(packet_id, [])
    properties, pos = decode_properties(frame, pos, size, UNSUBACK)
    return UnsubackPacket(packet_id, _read_codes(frame, pos, size, UNSUBACK, version), properties)  # [MQTT-3.11.3-2 v5]


def _decode_pingreq(frame: bytes, pos: int, size: int, version: int) -> PingreqPacket:
    _check_end(pos, size)
    return PingreqPacket()


def _decode_pingresp(frame: bytes, pos: int, size: int, version: int) -> PingrespPacket:
    _check_end(pos, size)
    return PingrespPacket()


def _decode_disconnect(frame: bytes, pos: int, size: int, version: int) -> DisconnectPacket:
    if version == V311:
        _check_end(pos, size)
    if pos == size:
        return DisconnectPacket()
    reason_code = frame[pos]
    pos += 1
    properties = NO_PROPERTIES
    if pos < size:
        properties, pos = decode_properties(frame, pos, size, DISCONNECT)
        _check_end(pos, size)
    _check_code(reason_code, DISCONNECT, version)  # [MQTT-3.14.2-1 v5]
    return DisconnectPacket(reason_code, properties)


def _decode_auth(frame: bytes, pos: int, size: int, version: int) -> AuthPacket:
    if pos == size:
        return AuthPacket()
    reason_code = frame[pos]
    properties, pos = decode_properties(frame, pos + 1, size, AUTH)
    _check_end(pos, size)
    _check_code(reason_code, AUTH, version)  # [MQTT-3.15.2-1 v5]
    # Success without any property may even be written as an AUTH without content (section 3.15.2.1).
    # [MUST-3.15.2.2.2-1 v5]
    if properties.authentication_method is None and (reason_code or properties):
        raise ProtocolError(0x82, "AUTH without Authentication Method")
    return AuthPacket(reason_code, properties)


def _read_packet_id(frame: bytes, pos: int, size: int) -> int:
    if pos + 2 > size:
        raise MalformedPacket("packet ends before its packet identifier")
    packet_id = frame[pos] << 8 | frame[pos + 1]
    if not packet_id:  # [MQTT-2.3.1-1 v3.1.1] [MUST-2.2.1-1 v5]
        raise ProtocolError(0x82, "packet identifier is 0")
    return packet_id


def _read_codes(frame: bytes, pos: int, size: int, kind: int, version: int) -> list[int]:
    """Read the codes that fill the rest of a SUBACK or UNSUBACK."""
    if pos == size:
        raise MalformedPacket(f"packet type {kind} without a reason code")
    codes = list(frame[pos:size])
    for code in codes:
        _check_code(code, kind, version)
    return codes


def _check_code(code: int, kind: int, version: int) -> None:
    allowed = REASON_CODES[kind] if version == V5 else RETURN_CODES[kind]
    if code not in allowed:
        raise ProtocolError(0x82, f"reason code 0x{code:02X} in packet type {kind}")


def _check_end(pos: int, size: int) -> None:
    if pos != size:
        # [MUST-2.2.3-2 v3.1.1] [MUST-3.12-1] [MUST-3.14-1 v3.1.1] [MUST-2.1.4-1 v5] [MUST-3.13-1 v5]
        raise MalformedPacket(f"{size - pos} bytes too many at the end of the packet")


_DECODERS: Final[dict[int, Callable[[bytes, int, int, int], Packet]]] = {
    CONNECT: _decode_connect,
    CONNACK: _decode_connack,
    PUBACK: _decode_ack,
    PUBREC: _decode_ack,
    PUBREL: _decode_ack,
    PUBCOMP: _decode_ack,
    SUBSCRIBE: _decode_subscribe,
    SUBACK: _decode_suback,
    UNSUBSCRIBE: _decode_unsubscribe,
    UNSUBACK: _decode_unsuback,
    PINGREQ: _decode_pingreq,
    PINGRESP: _decode_pingresp,
    DISCONNECT: _decode_disconnect,
    AUTH: _decode_auth,
}
_ACKS: Final[dict[int, type[AckPacket]]] = {
    PUBACK: PubackPacket,
    PUBREC: PubrecPacket,
    PUBREL: PubrelPacket,
    PUBCOMP: PubcompPacket,
}
# The fixed-header flags of each packet type but PUBLISH.
_FLAGS: Final[list[int]] = [0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0]

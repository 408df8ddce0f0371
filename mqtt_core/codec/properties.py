"""The properties of 5.0 (section 2.2.2): an immutable value, its encoding and its decoding.

Laws: which property may stand in which packet, and of what type it is, is one table for both directions, in
`property_table`; decoding takes time in proportion to the bytes; user properties keep their order and may repeat,
subscription identifiers may repeat in PUBLISH, everything else stands at most once.

Will properties (section 3.1.3.2) are a kind of packet of their own here, ``WILL``.
"""

from __future__ import annotations

from typing import Any, Final, Unpack

from mqtt_core.codec.error import LocalProtocolError, MalformedProperties, ProtocolError
from mqtt_core.codec.fields import check_topic_name, read_binary, read_string, write_binary, write_string
from mqtt_core.codec.property_table import (
    ASSIGNED_CLIENT_IDENTIFIER,
    AUTHENTICATION_DATA,
    AUTHENTICATION_METHOD,
    CONTENT_TYPE,
    CORRELATION_DATA,
    HIGHEST_OF_KIND,
    IDENTIFIER_OF,
    KIND_BINARY,
    KIND_FLAG,
    KIND_OF,
    KIND_PAIR,
    KIND_STRING,
    KIND_VARINT,
    LOWEST_OF,
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    MESSAGE_EXPIRY_INTERVAL,
    NAME_OF,
    PACKETS_OF,
    PAYLOAD_FORMAT_INDICATOR,
    REASON_STRING,
    RECEIVE_MAXIMUM,
    REQUEST_PROBLEM_INFORMATION,
    REQUEST_RESPONSE_INFORMATION,
    RESPONSE_INFORMATION,
    RESPONSE_TOPIC,
    RETAIN_AVAILABLE,
    SERVER_KEEP_ALIVE,
    SERVER_REFERENCE,
    SESSION_EXPIRY_INTERVAL,
    SHARED_SUBSCRIPTION_AVAILABLE,
    SUBSCRIPTION_IDENTIFIER,
    SUBSCRIPTION_IDENTIFIER_AVAILABLE,
    TOPIC_ALIAS,
    TOPIC_ALIAS_MAXIMUM,
    USER_PROPERTY,
    WIDTH_OF_KIND,
    WILDCARD_SUBSCRIPTION_AVAILABLE,
    WILL,
    WILL_DELAY_INTERVAL,
)
from mqtt_core.codec.property_values import PropertyFields, checked_value
from mqtt_core.codec.types import BYTE, PUBLISH, SUBSCRIBE
from mqtt_core.codec.varint import decode_varint, encode_varint

__all__ = [
    "ASSIGNED_CLIENT_IDENTIFIER",
    "AUTHENTICATION_DATA",
    "AUTHENTICATION_METHOD",
    "CONTENT_TYPE",
    "CORRELATION_DATA",
    "MAXIMUM_PACKET_SIZE",
    "MAXIMUM_QOS",
    "MESSAGE_EXPIRY_INTERVAL",
    "NO_PROPERTIES",
    "PAYLOAD_FORMAT_INDICATOR",
    "REASON_STRING",
    "RECEIVE_MAXIMUM",
    "REQUEST_PROBLEM_INFORMATION",
    "REQUEST_RESPONSE_INFORMATION",
    "RESPONSE_INFORMATION",
    "RESPONSE_TOPIC",
    "RETAIN_AVAILABLE",
    "SERVER_KEEP_ALIVE",
    "SERVER_REFERENCE",
    "SESSION_EXPIRY_INTERVAL",
    "SHARED_SUBSCRIPTION_AVAILABLE",
    "SUBSCRIPTION_IDENTIFIER",
    "SUBSCRIPTION_IDENTIFIER_AVAILABLE",
    "TOPIC_ALIAS",
    "TOPIC_ALIAS_MAXIMUM",
    "USER_PROPERTY",
    "WILDCARD_SUBSCRIPTION_AVAILABLE",
    "WILL",
    "WILL_DELAY_INTERVAL",
    "Properties",
    "PropertyFields",
    "decode_properties",
    "encode_properties",
    "properties_from_values",
]


class Properties:
    """The properties of one packet or will; cannot be changed, only :meth:`replace` d.

    Constructed with the fields of :class:`PropertyFields` as keywords; None and absent mean the same. Each field is
    also an attribute: None when absent, ``()`` for the two that may repeat. Two values are equal when they say the
    same, whatever the order of their fields (but the order of user properties counts).

    Raises:
        LocalProtocolError: if a value has the wrong type or is out of range.
        TypeError: if a field does not exist.
    """

    __slots__ = ("values",)

    def __init__(self, **fields: Unpack[PropertyFields]) -> None:
        self.values: dict[int, Any] = {}
        for name, value in fields.items():
            identifier = IDENTIFIER_OF.get(name)
            if identifier is None:
                raise TypeError(f"there is no property {name!r}")
            checked = None if value is None else checked_value(identifier, value)
            if checked is not None and checked != ():
                self.values[identifier] = checked

    def replace(self, **changes: Unpack[PropertyFields]) -> Properties:
        """Return these properties with some fields set to other values, or taken away by None.

        Raises:
            LocalProtocolError: if a value has the wrong type or is out of range.
        """
        values = self.values.copy()
        for name in changes:
            values.pop(IDENTIFIER_OF.get(name, 0), None)
        values.update(Properties(**changes).values)
        return properties_from_values(values)

    def __eq__(self, other: object) -> bool:
        return self.values == other.values if isinstance(other, Properties) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.values.items())))

    def __len__(self) -> int:
        return len(self.values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __repr__(self) -> str:
        fields = ", ".join([f"{NAME_OF[identifier]}={value!r}" for identifier, value in self.values.items()])
        return f"Properties({fields})"

    def _int(self, identifier: int) -> int | None:
        value: int | None = self.values.get(identifier)
        return value

    def _bool(self, identifier: int) -> bool | None:
        value: bool | None = self.values.get(identifier)
        return value

    def _str(self, identifier: int) -> str | None:
        value: str | None = self.values.get(identifier)
        return value

    def _bytes(self, identifier: int) -> bytes | None:
        value: bytes | None = self.values.get(identifier)
        return value

    @property
    def payload_format_indicator(self) -> int | None:
        """1 if the payload is UTF-8 text, 0 if it is unspecified bytes (3.3.2.3.2)."""
        return self._int(PAYLOAD_FORMAT_INDICATOR)

    @property
    def message_expiry_interval(self) -> int | None:
        """Lifetime of the message in seconds (3.3.2.3.3)."""
        return self._int(MESSAGE_EXPIRY_INTERVAL)

    @property
    def content_type(self) -> str | None:
        """What the payload is, in words of the application (3.3.2.3.9)."""
        return self._str(CONTENT_TYPE)

    @property
    def response_topic(self) -> str | None:
        """Topic name for a response (3.3.2.3.5)."""
        return self._str(RESPONSE_TOPIC)

    @property
    def correlation_data(self) -> bytes | None:
        """Bytes by which a requester knows its response (3.3.2.3.6)."""
        return self._bytes(CORRELATION_DATA)

    @property
    def subscription_identifiers(self) -> tuple[int, ...]:
        """Identifiers of the subscriptions a message is sent for, or the one of a SUBSCRIBE (3.8.2.1.2)."""
        value: tuple[int, ...] = self.values.get(SUBSCRIPTION_IDENTIFIER, ())
        return value

    @property
    def session_expiry_interval(self) -> int | None:
        """Seconds a session outlives its connection; 0xFFFFFFFF is for ever (3.1.2.11.2)."""
        return self._int(SESSION_EXPIRY_INTERVAL)

    @property
    def assigned_client_identifier(self) -> str | None:
        """The identifier a server gave to a client without one (3.2.2.3.7)."""
        return self._str(ASSIGNED_CLIENT_IDENTIFIER)

    @property
    def server_keep_alive(self) -> int | None:
        """Keep Alive in seconds to use instead of the requested one (3.2.2.3.14)."""
        return self._int(SERVER_KEEP_ALIVE)

    @property
    def authentication_method(self) -> str | None:
        """Name of the enhanced authentication method (3.1.2.11.9)."""
        return self._str(AUTHENTICATION_METHOD)

    @property
    def authentication_data(self) -> bytes | None:
        """Data of the enhanced authentication method (3.1.2.11.10)."""
        return self._bytes(AUTHENTICATION_DATA)

    @property
    def request_problem_information(self) -> bool | None:
        """False if Reason Strings and User Properties are not wanted on failures (3.1.2.11.7)."""
        return self._bool(REQUEST_PROBLEM_INFORMATION)

    @property
    def will_delay_interval(self) -> int | None:
        """Seconds to wait before the will is published (3.1.3.2.2)."""
        return self._int(WILL_DELAY_INTERVAL)

    @property
    def request_response_information(self) -> bool | None:
        """True if the client asks for Response Information (3.1.2.11.6)."""
        return self._bool(REQUEST_RESPONSE_INFORMATION)

    @property
    def response_information(self) -> str | None:
        """Basis for the response topics of a client (3.2.2.3.15)."""
        return self._str(RESPONSE_INFORMATION)

    @property
    def server_reference(self) -> str | None:
        """Another server to use (3.2.2.3.16)."""
        return self._str(SERVER_REFERENCE)

    @property
    def reason_string(self) -> str | None:
        """Text for a person about the reason code (3.2.2.3.9)."""
        return self._str(REASON_STRING)

    @property
    def receive_maximum(self) -> int | None:
        """Number of QoS 1 and 2 messages accepted at a time, 1 to 65,535 (3.1.2.11.3)."""
        return self._int(RECEIVE_MAXIMUM)

    @property
    def topic_alias_maximum(self) -> int | None:
        """Highest topic alias accepted; 0 for none (3.1.2.11.5)."""
        return self._int(TOPIC_ALIAS_MAXIMUM)

    @property
    def topic_alias(self) -> int | None:
        """Number that stands for the topic name, 1 to 65,535 (3.3.2.3.4)."""
        return self._int(TOPIC_ALIAS)

    @property
    def maximum_qos(self) -> int | None:
        """Highest QoS the server takes, 0 or 1 (3.2.2.3.4)."""
        return self._int(MAXIMUM_QOS)

    @property
    def retain_available(self) -> bool | None:
        """Whether the server keeps retained messages (3.2.2.3.5)."""
        return self._bool(RETAIN_AVAILABLE)

    @property
    def user_properties(self) -> tuple[tuple[str, str], ...]:
        """Names and values of the application, in order; names may repeat (3.1.2.11.8)."""
        value: tuple[tuple[str, str], ...] = self.values.get(USER_PROPERTY, ())
        return value

    @property
    def maximum_packet_size(self) -> int | None:
        """Largest packet accepted, in bytes, at least 1 (3.1.2.11.4)."""
        return self._int(MAXIMUM_PACKET_SIZE)

    @property
    def wildcard_subscription_available(self) -> bool | None:
        """Whether the server takes filters with wildcards (3.2.2.3.11)."""
        return self._bool(WILDCARD_SUBSCRIPTION_AVAILABLE)

    @property
    def subscription_identifier_available(self) -> bool | None:
        """Whether the server takes subscription identifiers (3.2.2.3.12)."""
        return self._bool(SUBSCRIPTION_IDENTIFIER_AVAILABLE)

    @property
    def shared_subscription_available(self) -> bool | None:
        """Whether the server takes shared subscriptions (3.2.2.3.13)."""
        return self._bool(SHARED_SUBSCRIPTION_AVAILABLE)


def properties_from_values(values: dict[int, Any]) -> Properties:
    """Make properties of checked values by identifier, without checking them again; the dict is taken over."""
    properties = Properties()
    properties.values = values
    return properties


NO_PROPERTIES: Final = Properties()


def decode_properties(data: bytes, pos: int, end: int, packet: int) -> tuple[Properties, int]:
    """Read a property section, length included, at ``data[pos:end]``; return it and the position after it.

    Args:
        data: the packet.
        pos: where the property length stands.
        end: where the packet ends.
        packet: packet type 1-15, or ``WILL``.

    Raises:
        MalformedPacket: if the section cannot be read, or holds a property that is unknown or not for this packet.
        ProtocolError: if a property repeats or has a value outside its range (0x82, 0x94 for Topic Alias 0).
        InvalidTopic: if the Response Topic is not a topic name.
    """
    length, pos = decode_varint(data, pos, end)
    if length == 0:
        return NO_PROPERTIES, pos
    if length > end - pos:  # [MUST-2.1.4-1 v5]
        raise MalformedProperties("properties run past the end of the packet")
    end = pos + length
    values = _decode_values(data, pos, end, packet)
    if AUTHENTICATION_DATA in values and AUTHENTICATION_METHOD not in values:
        # [MUST-3.1.2.11.10-2 v5]
        raise ProtocolError(0x82, "Authentication Data without Authentication Method")
    return properties_from_values(values), end


def _decode_values(data: bytes, pos: int, end: int, packet: int) -> dict[int, Any]:
    """Read the properties that fill ``data[pos:end]``."""
    values: dict[int, Any] = {}
    pairs: list[tuple[str, str]] = []
    identifiers: list[int] = []
    while pos < end:
        identifier = data[pos]
        kind = KIND_OF[identifier]
        if not PACKETS_OF[identifier] >> packet & 1:  # [MUST-2.2.2-2 v5] [MUST-2.2.2-3 v5]
            raise MalformedProperties(f"property 0x{identifier:02X} in packet type {packet}")
        pos += 1
        if kind == KIND_PAIR:
            name, pos = read_string(data, pos, end)  # [MQTT-1.5.7-1 v5]
            text, pos = read_string(data, pos, end)
            if not pairs:
                values[identifier] = ()  # keeps the place in the order
            pairs.append((name, text))  # [MUST-2.2.2-4 v5]
            continue
        if kind == KIND_VARINT:
            number, pos = decode_varint(data, pos, end)
            if number == 0:  # [MUST-3.3.2.3.8-1 v5] [MUST-3.8.2.1.2-2 v5]
                raise ProtocolError(0x82, "Subscription Identifier is 0")
            if identifiers and packet != PUBLISH:  # [MUST-3.8.2.1.2-1 v5]
                raise ProtocolError(0x82, "Subscription Identifier repeats")
            if not identifiers:
                values[identifier] = ()
            identifiers.append(number)
            continue
        if identifier in values:
            raise ProtocolError(0x82, f"{NAME_OF[identifier]} repeats")
        if kind == KIND_STRING:
            text, pos = read_string(data, pos, end)  # [MQTT-3.3.2-13 v5] [MQTT-3.3.2-19 v5]
            if identifier == RESPONSE_TOPIC:
                check_topic_name(text, "Response Topic")  # [MQTT-3.3.2-14 v5]
            values[identifier] = text
        elif kind == KIND_BINARY:
            values[identifier], pos = read_binary(data, pos, end)
        else:
            values[identifier], pos = _read_number(data, pos, end, identifier)
            if kind == KIND_FLAG:
                values[identifier] = values[identifier] == 1
    if pairs:
        values[USER_PROPERTY] = tuple(pairs)
    if identifiers:
        values[SUBSCRIPTION_IDENTIFIER] = tuple(identifiers)
    return values


def _read_number(data: bytes, pos: int, end: int, identifier: int) -> tuple[int, int]:
    """Read a number of fixed width and check its range."""
    kind = KIND_OF[identifier]
    stop = pos + WIDTH_OF_KIND[kind]
    if stop > end:  # [MUST-2.2.2-1 v5]
        raise MalformedProperties(f"properties end inside {NAME_OF[identifier]}")
    number = data[pos]
    pos += 1
    while pos < stop:
        number = number << 8 | data[pos]
        pos += 1
    if number > HIGHEST_OF_KIND[kind]:
        # [MUST-3.1.2.11.6-2 v5] [MUST-3.1.2.11.7-2 v5] [MUST-3.2.2.3.4-2 v5] [MUST-3.2.2.3.5-2 v5]
        # [MUST-3.2.2.3.11-2 v5] [MUST-3.2.2.3.12-2 v5] [MUST-3.2.2.3.13-2 v5]
        raise ProtocolError(0x82, f"{NAME_OF[identifier]} is {number}")
    if number < LOWEST_OF[identifier]:
        # [MQTT-3.3.2-8 v5] [MUST-3.1.2.11.3-2 v5] [MUST-3.1.2.11.4-2 v5] [MUST-3.2.2.3.3-2 v5] [MUST-3.2.2.3.6-2 v5]
        raise ProtocolError(0x94 if identifier == TOPIC_ALIAS else 0x82, f"{NAME_OF[identifier]} is {number}")
    return number, stop


def encode_properties(properties: Properties, packet: int) -> bytes:
    """Encode a property section with its length.

    Args:
        properties: what to encode.
        packet: packet type 1-15, or ``WILL``.

    Raises:
        LocalProtocolError: if a property may not stand in this packet, or more than one Subscription Identifier
            in SUBSCRIBE, or Authentication Data stands without a method.
    """
    values = properties.values
    if not values:
        return b"\x00"  # [MQTT-2.2.2-1 v5]
    parts: list[bytes] = []
    for identifier, value in values.items():
        if not PACKETS_OF[identifier] >> packet & 1:
            raise LocalProtocolError(f"{NAME_OF[identifier]} does not belong in packet type {packet}")
        prefix = BYTE[identifier]
        kind = KIND_OF[identifier]
        if kind == KIND_PAIR:
            for name, text in value:
                parts += (prefix, write_string(name, "user property"), write_string(text, "user property"))
        elif kind == KIND_VARINT:
            if packet == SUBSCRIBE and len(value) > 1:
                raise LocalProtocolError("SUBSCRIBE has more than one Subscription Identifier")
            for number in value:
                parts += (prefix, encode_varint(number))
        elif kind == KIND_STRING:
            parts += (prefix, write_string(value, NAME_OF[identifier]))
        elif kind == KIND_BINARY:
            parts += (prefix, write_binary(value, NAME_OF[identifier]))
        else:
            parts += (prefix, int(value).to_bytes(WIDTH_OF_KIND[kind], "big"))
    if AUTHENTICATION_DATA in values and AUTHENTICATION_METHOD not in values:
        raise LocalProtocolError("authentication_data without authentication_method")
    body = b"".join(parts)
    return encode_varint(len(body)) + body

"""The properties of 5.0 (section 2.2.2): an immutable value, its encoding and its decoding.

Laws: which property may stand in which packet, and of what type it is, is one table (``_KIND`` and ``_PACKETS``),
used in both directions; decoding takes time in proportion to the bytes; user properties keep their order and may
repeat, subscription identifiers may repeat in PUBLISH, everything else stands at most once.

Will properties (section 3.1.3.2) are a kind of packet of their own here, ``WILL``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypedDict, Unpack

from mqtt_core.codec.error import (
    LocalProtocolError,
    MalformedPacket,
    MalformedProperties,
    MalformedString,
    ProtocolError,
)
from mqtt_core.codec.types import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    PACKET_ID,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
)
from mqtt_core.codec.varint import VARINT_MAX, decode_varint, encode_varint

__all__ = [
    "NO_PROPERTIES",
    "WILL",
    "Properties",
    "PropertyFields",
    "decode_properties",
    "encode_properties",
    "properties_from_values",
]

PAYLOAD_FORMAT_INDICATOR: Final = 0x01
MESSAGE_EXPIRY_INTERVAL: Final = 0x02
CONTENT_TYPE: Final = 0x03
RESPONSE_TOPIC: Final = 0x08
CORRELATION_DATA: Final = 0x09
SUBSCRIPTION_IDENTIFIER: Final = 0x0B
SESSION_EXPIRY_INTERVAL: Final = 0x11
ASSIGNED_CLIENT_IDENTIFIER: Final = 0x12
SERVER_KEEP_ALIVE: Final = 0x13
AUTHENTICATION_METHOD: Final = 0x15
AUTHENTICATION_DATA: Final = 0x16
REQUEST_PROBLEM_INFORMATION: Final = 0x17
WILL_DELAY_INTERVAL: Final = 0x18
REQUEST_RESPONSE_INFORMATION: Final = 0x19
RESPONSE_INFORMATION: Final = 0x1A
SERVER_REFERENCE: Final = 0x1C
REASON_STRING: Final = 0x1F
RECEIVE_MAXIMUM: Final = 0x21
TOPIC_ALIAS_MAXIMUM: Final = 0x22
TOPIC_ALIAS: Final = 0x23
MAXIMUM_QOS: Final = 0x24
RETAIN_AVAILABLE: Final = 0x25
USER_PROPERTY: Final = 0x26
MAXIMUM_PACKET_SIZE: Final = 0x27
WILDCARD_SUBSCRIPTION_AVAILABLE: Final = 0x28
SUBSCRIPTION_IDENTIFIER_AVAILABLE: Final = 0x29
SHARED_SUBSCRIPTION_AVAILABLE: Final = 0x2A

WILL: Final = 16  # the properties of a will, numbered after the packet types

# Kinds of value. A flag is a byte that is 0 or 1 and means a bool; the two numbers of that range are _BIT.
_NONE: Final = 0
_BIT: Final = 1
_FLAG: Final = 2
_UINT16: Final = 3
_UINT32: Final = 4
_VARINT: Final = 5
_STRING: Final = 6
_BINARY: Final = 7
_PAIR: Final = 8

_ACKS: Final = (CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH)
_EVERYWHERE: Final = (*_ACKS, CONNECT, PUBLISH, WILL, SUBSCRIBE, UNSUBSCRIBE)

# Table 2-4: (identifier, attribute, kind, smallest value, packets).
_TABLE: Final[list[tuple[int, str, int, int, tuple[int, ...]]]] = [
    (PAYLOAD_FORMAT_INDICATOR, "payload_format_indicator", _BIT, 0, (PUBLISH, WILL)),
    (MESSAGE_EXPIRY_INTERVAL, "message_expiry_interval", _UINT32, 0, (PUBLISH, WILL)),
    (CONTENT_TYPE, "content_type", _STRING, 0, (PUBLISH, WILL)),
    (RESPONSE_TOPIC, "response_topic", _STRING, 0, (PUBLISH, WILL)),
    (CORRELATION_DATA, "correlation_data", _BINARY, 0, (PUBLISH, WILL)),
    (SUBSCRIPTION_IDENTIFIER, "subscription_identifiers", _VARINT, 1, (PUBLISH, SUBSCRIBE)),
    (SESSION_EXPIRY_INTERVAL, "session_expiry_interval", _UINT32, 0, (CONNECT, CONNACK, DISCONNECT)),
    (ASSIGNED_CLIENT_IDENTIFIER, "assigned_client_identifier", _STRING, 0, (CONNACK,)),
    (SERVER_KEEP_ALIVE, "server_keep_alive", _UINT16, 0, (CONNACK,)),
    (AUTHENTICATION_METHOD, "authentication_method", _STRING, 0, (CONNECT, CONNACK, AUTH)),
    (AUTHENTICATION_DATA, "authentication_data", _BINARY, 0, (CONNECT, CONNACK, AUTH)),
    (REQUEST_PROBLEM_INFORMATION, "request_problem_information", _FLAG, 0, (CONNECT,)),
    (WILL_DELAY_INTERVAL, "will_delay_interval", _UINT32, 0, (WILL,)),
    (REQUEST_RESPONSE_INFORMATION, "request_response_information", _FLAG, 0, (CONNECT,)),
    (RESPONSE_INFORMATION, "response_information", _STRING, 0, (CONNACK,)),
    (SERVER_REFERENCE, "server_reference", _STRING, 0, (CONNACK, DISCONNECT)),
    (REASON_STRING, "reason_string", _STRING, 0, _ACKS),
    (RECEIVE_MAXIMUM, "receive_maximum", _UINT16, 1, (CONNECT, CONNACK)),
    (TOPIC_ALIAS_MAXIMUM, "topic_alias_maximum", _UINT16, 0, (CONNECT, CONNACK)),
    (TOPIC_ALIAS, "topic_alias", _UINT16, 1, (PUBLISH,)),
    (MAXIMUM_QOS, "maximum_qos", _BIT, 0, (CONNACK,)),
    (RETAIN_AVAILABLE, "retain_available", _FLAG, 0, (CONNACK,)),
    (USER_PROPERTY, "user_properties", _PAIR, 0, _EVERYWHERE),
    (MAXIMUM_PACKET_SIZE, "maximum_packet_size", _UINT32, 1, (CONNECT, CONNACK)),
    (WILDCARD_SUBSCRIPTION_AVAILABLE, "wildcard_subscription_available", _FLAG, 0, (CONNACK,)),
    (SUBSCRIPTION_IDENTIFIER_AVAILABLE, "subscription_identifier_available", _FLAG, 0, (CONNACK,)),
    (SHARED_SUBSCRIPTION_AVAILABLE, "shared_subscription_available", _FLAG, 0, (CONNACK,)),
]

_KIND: Final[list[int]] = [_NONE] * 256
_NAME: Final[list[str]] = [""] * 256
_LOWEST: Final[list[int]] = [0] * 256
_PACKETS: Final[list[int]] = [0] * 256  # bit n set: allowed in packet type n
_IDENTIFIER: Final[dict[str, int]] = {}

for _identifier, _name, _kind, _lowest, _packets in _TABLE:
    _KIND[_identifier] = _kind
    _NAME[_identifier] = _name
    _LOWEST[_identifier] = _lowest
    _IDENTIFIER[_name] = _identifier
    for _packet in _packets:
        _PACKETS[_identifier] |= 1 << _packet


class PropertyFields(TypedDict, total=False):
    """The keyword arguments of :class:`Properties`; intervals are in seconds, sizes in bytes."""

    payload_format_indicator: int | None
    message_expiry_interval: int | None
    content_type: str | None
    response_topic: str | None
    correlation_data: bytes | None
    subscription_identifiers: tuple[int, ...] | None
    session_expiry_interval: int | None
    assigned_client_identifier: str | None
    server_keep_alive: int | None
    authentication_method: str | None
    authentication_data: bytes | None
    request_problem_information: bool | None
    will_delay_interval: int | None
    request_response_information: bool | None
    response_information: str | None
    server_reference: str | None
    reason_string: str | None
    receive_maximum: int | None
    topic_alias_maximum: int | None
    topic_alias: int | None
    maximum_qos: int | None
    retain_available: bool | None
    user_properties: tuple[tuple[str, str], ...] | None
    maximum_packet_size: int | None
    wildcard_subscription_available: bool | None
    subscription_identifier_available: bool | None
    shared_subscription_available: bool | None



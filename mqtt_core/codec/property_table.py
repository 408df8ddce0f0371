"""Table 2-4 of 5.0: every property, its type, and the packets it may stand in.

One row a property; encoder, decoder and the checks on values read it and nothing else. The lists below the table are
the same facts at the index of the property identifier, which is how the decoder asks for them.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.codec.types import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
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

# Kinds of value. A flag is a byte that is 0 or 1 and means a bool; the two numbers of that range are KIND_BIT.
KIND_NONE: Final = 0
KIND_BIT: Final = 1
KIND_FLAG: Final = 2
KIND_UINT16: Final = 3
KIND_UINT32: Final = 4
KIND_VARINT: Final = 5
KIND_STRING: Final = 6
KIND_BINARY: Final = 7
KIND_PAIR: Final = 8

_ACKS: Final = (CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH)
_EVERYWHERE: Final = (*_ACKS, CONNECT, PUBLISH, WILL, SUBSCRIBE, UNSUBSCRIBE)

# Bytes and largest value of the kinds that are numbers of fixed width.
WIDTH_OF_KIND: Final = [0, 1, 1, 2, 4]
HIGHEST_OF_KIND: Final = [0, 1, 1, 65_535, 4_294_967_295]

# Table 2-4: (identifier, attribute, kind, smallest value, packets).
_TABLE: Final[list[tuple[int, str, int, int, tuple[int, ...]]]] = [
    (PAYLOAD_FORMAT_INDICATOR, "payload_format_indicator", KIND_BIT, 0, (PUBLISH, WILL)),
    (MESSAGE_EXPIRY_INTERVAL, "message_expiry_interval", KIND_UINT32, 0, (PUBLISH, WILL)),
    (CONTENT_TYPE, "content_type", KIND_STRING, 0, (PUBLISH, WILL)),
    (RESPONSE_TOPIC, "response_topic", KIND_STRING, 0, (PUBLISH, WILL)),
    (CORRELATION_DATA, "correlation_data", KIND_BINARY, 0, (PUBLISH, WILL)),
    (SUBSCRIPTION_IDENTIFIER, "subscription_identifiers", KIND_VARINT, 1, (PUBLISH, SUBSCRIBE)),
    (SESSION_EXPIRY_INTERVAL, "session_expiry_interval", KIND_UINT32, 0, (CONNECT, CONNACK, DISCONNECT)),
    (ASSIGNED_CLIENT_IDENTIFIER, "assigned_client_identifier", KIND_STRING, 0, (CONNACK,)),
    (SERVER_KEEP_ALIVE, "server_keep_alive", KIND_UINT16, 0, (CONNACK,)),
    (AUTHENTICATION_METHOD, "authentication_method", KIND_STRING, 0, (CONNECT, CONNACK, AUTH)),
    (AUTHENTICATION_DATA, "authentication_data", KIND_BINARY, 0, (CONNECT, CONNACK, AUTH)),
    (REQUEST_PROBLEM_INFORMATION, "request_problem_information", KIND_FLAG, 0, (CONNECT,)),
    (WILL_DELAY_INTERVAL, "will_delay_interval", KIND_UINT32, 0, (WILL,)),
    (REQUEST_RESPONSE_INFORMATION, "request_response_information", KIND_FLAG, 0, (CONNECT,)),
    (RESPONSE_INFORMATION, "response_information", KIND_STRING, 0, (CONNACK,)),
    (SERVER_REFERENCE, "server_reference", KIND_STRING, 0, (CONNACK, DISCONNECT)),
    (REASON_STRING, "reason_string", KIND_STRING, 0, _ACKS),
    (RECEIVE_MAXIMUM, "receive_maximum", KIND_UINT16, 1, (CONNECT, CONNACK)),
    (TOPIC_ALIAS_MAXIMUM, "topic_alias_maximum", KIND_UINT16, 0, (CONNECT, CONNACK)),
    (TOPIC_ALIAS, "topic_alias", KIND_UINT16, 1, (PUBLISH,)),
    (MAXIMUM_QOS, "maximum_qos", KIND_BIT, 0, (CONNACK,)),
    (RETAIN_AVAILABLE, "retain_available", KIND_FLAG, 0, (CONNACK,)),
    (USER_PROPERTY, "user_properties", KIND_PAIR, 0, _EVERYWHERE),
    (MAXIMUM_PACKET_SIZE, "maximum_packet_size", KIND_UINT32, 1, (CONNECT, CONNACK)),
    (WILDCARD_SUBSCRIPTION_AVAILABLE, "wildcard_subscription_available", KIND_FLAG, 0, (CONNACK,)),
    (SUBSCRIPTION_IDENTIFIER_AVAILABLE, "subscription_identifier_available", KIND_FLAG, 0, (CONNACK,)),
    (SHARED_SUBSCRIPTION_AVAILABLE, "shared_subscription_available", KIND_FLAG, 0, (CONNACK,)),
]

KIND_OF: Final[list[int]] = [KIND_NONE] * 256
NAME_OF: Final[list[str]] = [""] * 256
LOWEST_OF: Final[list[int]] = [0] * 256
PACKETS_OF: Final[list[int]] = [0] * 256  # bit n set: allowed in packet type n
IDENTIFIER_OF: Final[dict[str, int]] = {}

for _identifier, _name, _kind, _lowest, _packets in _TABLE:
    KIND_OF[_identifier] = _kind
    NAME_OF[_identifier] = _name
    LOWEST_OF[_identifier] = _lowest
    IDENTIFIER_OF[_name] = _identifier
    for _packet in _packets:
        PACKETS_OF[_identifier] |= 1 << _packet

"""Numbers of the standards: packet types, versions, QoS, reason codes, connect flags, and tables made of them.

Inside the core these are plain ``Final`` ints, because comparing ints is several times faster than comparing enum
members; the enums here are for the edge, where a person reads or writes them. The tables hold the byte strings that
a busy connection would otherwise build anew for every acknowledgement.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from mqtt_core.codec.error import MalformedPacket, ReservedFlags

__all__ = [
    "AUTH",
    "BYTE",
    "CONNACK",
    "CONNECT",
    "DISCONNECT",
    "PACKET_ID",
    "PINGREQ",
    "PINGRESP",
    "PUBACK",
    "PUBACK_FRAMES",
    "PUBCOMP",
    "PUBCOMP_FRAMES",
    "PUBLISH",
    "PUBREC",
    "PUBREC_FRAMES",
    "PUBREL",
    "PUBREL_FRAMES",
    "SUBACK",
    "SUBSCRIBE",
    "UNSUBACK",
    "UNSUBSCRIBE",
    "V5",
    "V311",
    "ConnectFlags",
    "PacketType",
    "QoS",
    "ReasonCode",
]

CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
PUBREC: Final = 5
PUBREL: Final = 6
PUBCOMP: Final = 7
SUBSCRIBE: Final = 8
SUBACK: Final = 9
UNSUBSCRIBE: Final = 10
UNSUBACK: Final = 11
PINGREQ: Final = 12
PINGRESP: Final = 13
DISCONNECT: Final = 14
AUTH: Final = 15

V311: Final = 4
V5: Final = 5


class PacketType(IntEnum):
    """The sixteen values of the packet type field (section 2.1.2 of 5.0); 0 is refused, 15 is reserved in 3.1.1."""

    RESERVED = 0
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class QoS(IntEnum):
    """Quality of service of a message (section 4.3)."""

    AT_MOST_ONCE = 0
    AT_LEAST_ONCE = 1
    EXACTLY_ONCE = 2


class ReasonCode(IntEnum):
    """Every reason code of 5.0 (section 2.4). Codes of 0x80 and above mean failure."""

    SUCCESS = 0x00
    NORMAL_DISCONNECTION = 0x00
    GRANTED_QOS_0 = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    RE_AUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


class ConnectFlags:
    """The connect flags byte of CONNECT (section 3.1.2.3), the same in both versions.

    Args:
        clean_start: Clean Start of 5.0, Clean Session of 3.1.1.
        will: a will follows in the payload.
        will_qos: 0 to 2; 0 without a will.
        will_retain: False without a will.
        password: a password follows in the payload.
        username: a user name follows in the payload.
    """

    __slots__ = ("clean_start", "password", "username", "will", "will_qos", "will_retain")

    def __init__(
        self,
        clean_start: bool = True,
        will: bool = False,
        will_qos: int = 0,
        will_retain: bool = False,
        password: bool = False,
        username: bool = False,
    ) -> None:
        self.clean_start: bool = clean_start
        self.will: bool = will
        self.will_qos: int = will_qos
        self.will_retain: bool = will_retain
        self.password: bool = password
        self.username: bool = username

    @staticmethod
    def from_byte(value: int) -> ConnectFlags:
        """Read the flags from their byte, whose value is 0 to 255 (section 3.1.2.3 and those behind it).

        Raises:
            ReservedFlags: if bit 0 is set.
            MalformedPacket: if Will QoS is 3, or Will QoS or Will Retain is set without a will.
        """
        if value & 1:  # [MQTT-3.1.2-3]
            raise ReservedFlags("reserved bit of the connect flags is set")
        will_qos = value >> 3 & 3
        if will_qos == 3:  # [MQTT-3.1.2-14 v3.1.1] [MQTT-3.1.2-12 v5]
            raise MalformedPacket("Will QoS is 3")
        if value & 0x3C and not value & 4:
            # [MQTT-3.1.2-11 v3.1.1] [MQTT-3.1.2-13 v3.1.1] [MQTT-3.1.2-15 v3.1.1] [MQTT-3.1.2-11 v5] [MQTT-3.1.2-13 v5]
            raise MalformedPacket("Will QoS or Will Retain without a will")
        return ConnectFlags(
            value & 0x02 != 0, value & 0x04 != 0, will_qos, value & 0x20 != 0, value & 0x40 != 0, value & 0x80 != 0
        )

    def to_byte(self) -> int:
        """Return the flags as the byte of the CONNECT variable header."""
        return (
            (0x02 if self.clean_start else 0)
            | (0x04 if self.will else 0)
            | self.will_qos << 3
            | (0x20 if self.will_retain else 0)
            | (0x40 if self.password else 0)
            | (0x80 if self.username else 0)
        )


# Every single byte, at its own index.
BYTE: Final[list[bytes]] = [bytes((number,)) for number in range(256)]

# Every two-byte number, big-endian, at its own index: packet identifiers and string lengths.
PACKET_ID: Final[list[bytes]] = [bytes((number >> 8, number & 255)) for number in range(65_536)]

# Whole acknowledgements at the index of their packet identifier. The four bytes are the same in both versions: 5.0
# leaves out the reason code when it is 0x00 and there are no properties. Index 0 is never used.
PUBACK_FRAMES: Final[list[bytes]] = [b"\x40\x02" + number for number in PACKET_ID]
PUBREC_FRAMES: Final[list[bytes]] = [b"\x50\x02" + number for number in PACKET_ID]
PUBREL_FRAMES: Final[list[bytes]] = [b"\x62\x02" + number for number in PACKET_ID]
PUBCOMP_FRAMES: Final[list[bytes]] = [b"\x70\x02" + number for number in PACKET_ID]

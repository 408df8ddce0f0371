"""The errors of the core, one class per kind of fault, each of which knows its 5.0 reason code.

A fault in what a peer sent is raised as one of these wherever it is noticed and translated once, at the edge of a
role, into a DISCONNECT (5.0) or a closed connection (3.1.1). Misuse by the host program is a
:class:`LocalProtocolError`, raised before anything has changed.

The classes follow section 4.13 of the 5.0 standard: *malformed* means that the bytes could not be read as a packet
(0x81), *protocol error* that they could but say something that is not allowed (0x82 unless the standard names a
more telling code). The same classes serve 3.1.1, which has no codes on the wire.
"""

from __future__ import annotations

__all__ = [
    "InvalidTopic",
    "InvalidTopicFilter",
    "LocalProtocolError",
    "MalformedPacket",
    "MalformedProperties",
    "MalformedString",
    "MalformedVariableByteInteger",
    "MqttError",
    "PacketTooLarge",
    "ProtocolError",
    "ReservedFlags",
    "StorageError",
    "UnsupportedProtocolVersion",
]


class MqttError(Exception):
    """Base of every error the core raises on purpose.

    Args:
        reason_code: the 5.0 reason code (0-255) that describes the fault, for DISCONNECT or CONNACK.
        reason: one English sentence for logs and the Reason String.
    """

    def __init__(self, reason_code: int, reason: str) -> None:
        super().__init__(reason)
        self.reason_code: int = reason_code
        self.reason: str = reason


class MalformedPacket(MqttError):
    """Bytes that cannot be read as a packet of the standard (5.0 section 4.13)."""

    def __init__(self, reason: str, reason_code: int = 0x81) -> None:
        super().__init__(reason_code, reason)


class MalformedVariableByteInteger(MalformedPacket):
    """A variable byte integer of more than four bytes, or one that is longer than its value needs (section 1.5.5)."""


class MalformedString(MalformedPacket):
    """A string that is not well-formed UTF-8, contains U+0000 or an encoded surrogate (5.0 section 1.5.4)."""


class ReservedFlags(MalformedPacket):
    """Fixed-header flags, or flags inside a packet, that are reserved and not as the standard fixes them."""


class MalformedProperties(MalformedPacket):
    """An unknown property, one that its packet may not have, or one that does not fit (5.0 section 2.2.2)."""


class PacketTooLarge(MqttError):
    """A packet longer than the receiver's limit; raised from its fixed header alone (5.0 reason code 0x95)."""

    def __init__(self, reason: str) -> None:
        super().__init__(0x95, reason)


class ProtocolError(MqttError):
    """A peer sent a packet that can be read but that the protocol does not allow (0x82 or a more telling code)."""


class UnsupportedProtocolVersion(MqttError):
    """A CONNECT with a protocol name or level other than "MQTT" with 4 or 5 (section 3.1.2.2).

    Args:
        name: the protocol name the client sent, as bytes.
        level: the protocol level it sent, 0-255.
    """

    def __init__(self, name: bytes, level: int) -> None:
        super().__init__(0x84, f"protocol {name[:16]!r} level {level} is not supported")
        self.name: bytes = name
        self.level: int = level


class InvalidTopic(MqttError):
    """A topic name that breaks section 4.7 (5.0 reason code 0x90)."""

    def __init__(self, reason: str) -> None:
        super().__init__(0x90, reason)


class InvalidTopicFilter(MqttError):
    """A topic filter that breaks section 4.7 or 4.8 (5.0 reason code 0x8F)."""

    def __init__(self, reason: str) -> None:
        super().__init__(0x8F, reason)


class LocalProtocolError(MqttError):
    """The host program asked for something the protocol does not allow; nothing has been sent or changed.

    Args:
        reason: what was wrong with the request.
        reason_code: the code a peer would have answered with, 0x83 (implementation specific) if none fits.
    """

    def __init__(self, reason: str, reason_code: int = 0x83) -> None:
        super().__init__(reason_code, reason)


class StorageError(MqttError):
    """A storage failed or holds something that cannot be read; fatal to whoever uses it (0x80)."""

    def __init__(self, reason: str) -> None:
        super().__init__(0x80, reason)

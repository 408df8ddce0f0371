"""The two length-prefixed fields of the standards: UTF-8 strings and binary data (5.0 sections 1.5.4 and 1.5.6).

Every string that enters or leaves goes through here, except the topic of a PUBLISH, whose decoder does the same
steps in place because it is the one that runs a million times.
"""

from __future__ import annotations

from mqtt_core.codec.error import InvalidTopic, LocalProtocolError, MalformedPacket, MalformedString
from mqtt_core.codec.types import PACKET_ID

__all__ = ["check_topic_name", "read_binary", "read_string", "write_binary", "write_string"]


def read_string(data: bytes, pos: int, end: int) -> tuple[str, int]:
    """Read the string at ``data[pos:end]``; return it and the position after it.

    Raises:
        MalformedPacket: if it is cut off by ``end``.
        MalformedString: if it is not well-formed UTF-8 or contains U+0000.
    """
    start = pos + 2
    if start > end:
        raise MalformedPacket("packet ends inside the length of a string")
    stop = start + (data[pos] << 8 | data[pos + 1])
    if stop > end:
        raise MalformedPacket("packet ends inside a string")
    try:
        # Strict UTF-8 refuses surrogates and keeps U+FEFF.
        text = data[start:stop].decode()  # [MQTT-1.5.3-3 v3.1.1] [MQTT-1.5.4-3 v5]
    except UnicodeDecodeError as error:
        # [MQTT-1.5.3-1 v3.1.1] [MQTT-1.5.4-1 v5] [MQTT-1.5.7-1 v5]
        raise MalformedString(f"string is not well-formed UTF-8: {error.reason}") from None
    if "\x00" in text:  # [MQTT-1.5.3-2 v3.1.1] [MQTT-1.5.4-2 v5]
        raise MalformedString("string contains U+0000")
    return text, stop


def read_binary(data: bytes, pos: int, end: int) -> tuple[bytes, int]:
    """Read the binary data at ``data[pos:end]``; return it and the position after it.

    Raises:
        MalformedPacket: if it is cut off by ``end``.
    """
    start = pos + 2
    if start > end:
        raise MalformedPacket("packet ends inside the length of binary data")
    stop = start + (data[pos] << 8 | data[pos + 1])
    if stop > end:
        raise MalformedPacket("packet ends inside binary data")
    return data[start:stop], stop


def write_string(text: str, what: str) -> bytes:
    """Encode a string with its length; ``what`` names it in an error.

    Raises:
        LocalProtocolError: if it has surrogates, U+0000, or more than 65,535 bytes.
    """
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{what} contains a surrogate") from None  # [MQTT-1.5.3-1 v3.1.1] [MQTT-1.5.4-1 v5]
    if "\x00" in text:  # [MQTT-1.5.3-2 v3.1.1] [MQTT-1.5.4-2 v5]
        raise LocalProtocolError(f"{what} contains U+0000")
    return write_binary(encoded, what)


def write_binary(data: bytes, what: str) -> bytes:
    """Encode binary data with its length; ``what`` names it in an error.

    Raises:
        LocalProtocolError: if it has more than 65,535 bytes.
    """
    if len(data) > 65_535:  # [MQTT-4.7.3-3]
        raise LocalProtocolError(f"{what} has {len(data)} bytes, the format ends at 65535")
    return PACKET_ID[len(data)] + data


def check_topic_name(topic: str, what: str) -> None:
    """Refuse an empty topic name or one with wildcards; ``what`` names it in the error.

    Raises:
        InvalidTopic: if it is not a topic name.
    """
    if not topic:  # [MQTT-4.7.3-1]
        raise InvalidTopic(f"{what} is empty")
    if "+" in topic or "#" in topic:  # [MQTT-4.7.1-1 v3.1.1] [MQTT-4.7.0-1 v5] [MQTT-3.3.2-14 v5]
        raise InvalidTopic(f"{what} contains a wildcard")

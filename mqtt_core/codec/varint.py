"""The variable byte integer: seven bits a byte, least significant first, at most four bytes.

Section 2.2.3 of 3.1.1 (remaining length) and 1.5.5 of 5.0. Both standards tie each range of values to one length
(table 2.4 of 3.1.1, [MQTT-1.5.5-1] of 5.0), so an encoding with more bytes than its value needs is refused in both.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.codec.error import LocalProtocolError, MalformedPacket, MalformedVariableByteInteger
from mqtt_core.codec.types import BYTE

__all__ = ["VARINT_MAX", "decode_varint", "encode_varint", "varint_size"]

VARINT_MAX: Final = 268_435_455


def encode_varint(value: int) -> bytes:
    """Encode ``value`` (0 to 268,435,455) in the shortest form (5.0 section 1.5.5; 3.1.1 section 2.2.3).

    Raises:
        LocalProtocolError: if ``value`` is out of range.
    """
    if value < 0 or value > VARINT_MAX:
        raise LocalProtocolError(f"{value} does not fit a variable byte integer")
    if value < 128:  # [MQTT-1.5.5-1 v5]
        return BYTE[value]
    if value < 16_384:
        return bytes((value & 127 | 128, value >> 7))
    if value < 2_097_152:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14))
    return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21))


def varint_size(value: int) -> int:
    """Return how many bytes (1 to 4) the shortest encoding of ``value`` has."""
    if value < 128:
        return 1
    if value < 16_384:
        return 2
    return 3 if value < 2_097_152 else 4


def decode_varint(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """Decode the variable byte integer at ``data[pos:end]``; return its value and the position after it.

    5.0 section 1.5.5; 3.1.1 section 2.2.3.

    Raises:
        MalformedVariableByteInteger: if it has more than four bytes or more than its value needs.
        MalformedPacket: if it is cut off by ``end``.
    """
    value = 0
    shift = 0
    while pos < end:
        byte = data[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if byte == 0 and shift > 0:  # [MQTT-1.5.5-1 v5]
                raise MalformedVariableByteInteger("variable byte integer is longer than its value needs")
            return value, pos
        shift += 7
        if shift == 28:  # [MUST-2.2.3-1 v3.1.1] [MUST-1.5.5-1 v5]
            raise MalformedVariableByteInteger("variable byte integer of more than four bytes")
    raise MalformedPacket("packet ends inside a variable byte integer")

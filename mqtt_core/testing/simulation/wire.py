"""Reading the wire without the codec: what the oracle and the transcript need of a frame, by index.

Frames that are read here have been cut from a stream; what is read of them is taken to be well formed.

Law: nothing of `mqtt_core.codec` is used here, so that a fault there does not hide itself.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Cutter", "Publish", "describe", "parse_publish"]

_NUMBER: Final = re.compile(rb"[0-9]{8}")
NAMES: Final = [
    "reserved",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
]


class Cutter:
    """Cuts a stream into frames. `rest` is what does not make a frame yet."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now; a length of more than four bytes ends the stream (no more frames)."""
        if self.rest:
            data = self.rest + data
        frames: list[bytes] = []
        position = 0
        size = len(data)
        while size - position >= 2:
            length = data[position + 1]
            body = position + 2
            if length > 127:
                shift = 7
                length &= 127
                while body < size and shift < 28:
                    byte = data[body]
                    body += 1
                    length |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                else:
                    break
            end = body + length
            if end > size:
                break
            frames.append(data[position:end])
            position = end
        self.rest = data[position:]
        return frames


def varint(data: bytes, position: int) -> tuple[int, int]:
    """A variable byte integer, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7


class Publish:
    """What a PUBLISH says. expiry_s, alias: -1 and 0 when it does not say."""

    __slots__ = ("alias", "dup", "expiry_s", "packet_id", "payload", "qos", "retain", "topic")

    def __init__(self) -> None:
        self.qos = 0
        self.dup = False
        self.retain = False
        self.topic = b""
        self.packet_id = 0
        self.payload = b""
        self.expiry_s = -1
        self.alias = 0


def parse_publish(frame: bytes, version: int) -> Publish:
    """Read a well-formed PUBLISH."""
    publish = Publish()
    first = frame[0]
    publish.qos = first >> 1 & 3
    publish.dup = first & 8 != 0
    publish.retain = first & 1 != 0
    position = 2
    while frame[position - 1] > 127:
        position += 1
    end = position + 2 + (frame[position] << 8 | frame[position + 1])
    publish.topic = frame[position + 2 : end]
    position = end
    if publish.qos:
        publish.packet_id = frame[position] << 8 | frame[position + 1]
        position += 2
    if version == 5:
        if frame[position]:
            position = _properties(frame, position, publish)
        else:
            position += 1
    publish.payload = frame[position:]
    return publish


# Identifier -> how its value is written: number of bytes, or one of the two below.
_STRING: Final = -1
_PAIR: Final = -2
_VARINT: Final = -3
_LAYOUT: Final = {0x01: 1, 0x02: 4, 0x03: _STRING, 0x08: _STRING, 0x09: _STRING, 0x0B: _VARINT, 0x23: 2, 0x26: _PAIR}


def _properties(frame: bytes, position: int, publish: Publish) -> int:
    length, position = varint(frame, position)
    end = position + length
    while position < end:
        identifier = frame[position]
        position += 1
        layout = _LAYOUT[identifier]
        if layout == _VARINT:
            _, position = varint(frame, position)
            continue
        size = layout
        for _ in range(1 if layout == _STRING else 2 if layout == _PAIR else 0):
            size = 2 + (frame[position] << 8 | frame[position + 1])
            position += size
        if layout > 0:
            value = int.from_bytes(frame[position : position + size], "big")
            position += size
            if identifier == 0x02:
                publish.expiry_s = value
            elif identifier == 0x23:
                publish.alias = value
    return end


def describe(data: bytes) -> str:
    """Bytes as a reader of a transcript wants them: the packets in it, or how many bytes do not make one."""
    cutter = Cutter()
    parts = [_frame(frame) for frame in cutter.feed(data)]
    if cutter.rest:
        parts.append(f"+{len(cutter.rest)} bytes {cutter.rest[:12].hex(' ')}")
    return ", ".join(parts)


def _frame(frame: bytes) -> str:
    kind = frame[0] >> 4
    name = NAMES[kind]
    position = 2
    while position < len(frame) and frame[position - 1] > 127:
        position += 1
    body = frame[position:]
    if kind == 3 and len(body) >= 4:
        end = 2 + (body[0] << 8 | body[1])
        qos = frame[0] >> 1 & 3
        topic = body[2:end].decode(errors="replace")
        packet_id = f" id={body[end] << 8 | body[end + 1]}" if qos and len(body) >= end + 2 else ""
        flags = (" dup" if frame[0] & 8 else "") + (" retain" if frame[0] & 1 else "")
        number = _NUMBER.search(frame, position + end)
        return f"PUBLISH {topic!r} qos={qos}{packet_id}{flags} #{int(number[0]) if number else '-'}"
    if 4 <= kind <= 11 and len(body) >= 2:
        code = f" {body[2]:#04x}" if kind < 8 and len(body) > 2 else ""
        rest = f" {body[2:].hex(' ')}" if kind in {9, 11} else ""
        return f"{name} id={body[0] << 8 | body[1]}{code}{rest}"
    if kind == 2 and len(body) >= 2:
        return f"CONNACK present={body[0] & 1} code={body[1]:#04x}"
    if kind == 14:
        return f"DISCONNECT {body[0] if body else 0:#04x}"
    return f"{name} ({len(frame)} bytes)"

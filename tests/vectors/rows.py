"""How a row of the packet table is written down."""

from __future__ import annotations

from dataclasses import dataclass

from mqtt_core.codec import MqttError, Packet


@dataclass(frozen=True)
class Vector:
    """One packet on the wire and what it means, or the error it is.

    `canonical` says that encoding the packet gives these bytes again; both versions know longer ways to say a thing.
    `spec` are the statements, of the row's version, that fail to hold when the row fails.
    """

    name: str
    version: int
    data: bytes
    packet: Packet | None
    error: type[MqttError] | None
    reason_code: int
    canonical: bool
    spec: tuple[str, ...]

    @property
    def standard(self) -> str:
        return "3.1.1" if self.version == 4 else "5.0"


def good(name: str, version: int, data: bytes, packet: Packet, *spec: str, canonical: bool = True) -> Vector:
    return Vector(name, version, data, packet, None, 0, canonical, spec)


def bad(name: str, version: int, data: bytes, error: type[MqttError], reason_code: int, *spec: str) -> Vector:
    return Vector(name, version, data, None, error, reason_code, False, spec)


def frame(first: int, *parts: bytes) -> bytes:
    """A frame of at most 127 bytes after its header."""
    body = b"".join(parts)
    assert len(body) < 128
    return bytes((first, len(body))) + body


def text(value: str | bytes) -> bytes:
    """A field with a two-byte length."""
    data = value.encode() if isinstance(value, str) else value
    return bytes((len(data) >> 8, len(data) & 255)) + data

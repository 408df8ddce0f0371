"""Streams of packets: chunks of bytes to packets, packets to bytes, and both for one connection.

This is the door for programs that want packets and nothing more: a proxy, a test, a tool that reads a capture. The
broker and the client stand beside it and use `FrameReader`, `decode` and `encode` themselves.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.codec.decode import decode
from mqtt_core.codec.encode import encode
from mqtt_core.codec.error import LocalProtocolError
from mqtt_core.codec.packet import ConnectPacket, Packet
from mqtt_core.codec.types import V5, V311
from mqtt_core.codec.varint import VARINT_MAX
from mqtt_core.transport.framing import FrameReader

__all__ = ["PACKET_SIZE_MAX", "MqttCodec", "MqttDecoder", "MqttEncoder"]

PACKET_SIZE_MAX: Final = VARINT_MAX + 5


def _checked_version(version: int) -> int:
    if version not in (0, V311, V5):
        raise LocalProtocolError(f"version is 4 (3.1.1), 5, or 0 to learn it from CONNECT, not {version}")
    return version


class MqttDecoder:
    """Packets from the chunks of one direction of one connection.

    Args:
        version: 4, 5, or 0 to learn it from the CONNECT, which must then be the first packet.
        max_size: largest packet accepted, in bytes, fixed header included.

    Raises:
        LocalProtocolError: there is no such version.
    """

    __slots__ = ("reader", "version")

    def __init__(self, version: int = 0, max_size: int = PACKET_SIZE_MAX) -> None:
        self.version: int = _checked_version(version)
        self.reader: FrameReader = FrameReader(max_size)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the bytes of one read, any number of them."""
        self.reader.feed(data)

    def next_packet(self) -> Packet | None:
        """Return the next packet, or None until more bytes are fed.

        Raises:
            MqttError: the stream holds no valid packet at this point; it cannot be read any further.
        """
        frame = self.reader.next_frame()
        if frame is None:
            return None
        packet = decode(frame, self.version)
        if self.version == 0 and isinstance(packet, ConnectPacket):
            self.version = packet.version
        return packet


class MqttEncoder:
    """Bytes of the packets of one direction of one connection.

    Args:
        version: 4, 5, or 0 to learn it from the CONNECT, which must then be the first packet.

    Raises:
        LocalProtocolError: there is no such version.
    """

    __slots__ = ("version",)

    def __init__(self, version: int = 0) -> None:
        self.version: int = _checked_version(version)

    def encode(self, packet: Packet) -> bytes:
        """Return the bytes of a packet.

        Raises:
            LocalProtocolError: if the packet is not one that this version allows; the version is learnt from a
                CONNECT that could be encoded.
            TypeError: if a field has the wrong type.
        """
        version = self.version
        if not version:
            if not isinstance(packet, ConnectPacket):
                raise LocalProtocolError("a connection begins with CONNECT, which says its version")
            version = packet.version
        data = encode(packet, version)
        self.version = version
        return data


class MqttCodec:
    """Decoder and encoder of one connection.

    Whichever of the two sees the CONNECT first tells the other the version.

    Args:
        version: 4, 5, or 0 to learn it from the CONNECT.
        max_size: largest packet accepted, in bytes, fixed header included.

    Raises:
        LocalProtocolError: there is no such version.
    """

    __slots__ = ("decoder", "encoder")

    def __init__(self, version: int = 0, max_size: int = PACKET_SIZE_MAX) -> None:
        self.decoder: MqttDecoder = MqttDecoder(version, max_size)
        self.encoder: MqttEncoder = MqttEncoder(version)

    @property
    def version(self) -> int:
        """The version of the connection: 4, 5, or 0 while no CONNECT has been seen."""
        return self.decoder.version or self.encoder.version

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the bytes of one read, any number of them."""
        self.decoder.feed(data)

    def next_packet(self) -> Packet | None:
        """Return the next packet, or None until more bytes are fed.

        Raises:
            MqttError: the stream holds no valid packet at this point; it cannot be read any further.
        """
        self.decoder.version = self.version
        return self.decoder.next_packet()

    def encode(self, packet: Packet) -> bytes:
        """Return the bytes of a packet.

        Raises:
            LocalProtocolError: if the packet is not one that this version allows.
            TypeError: if a field has the wrong type.
        """
        self.encoder.version = self.version
        return self.encoder.encode(packet)

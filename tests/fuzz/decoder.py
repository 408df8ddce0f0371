"""The decoder: any bytes are packets or an MqttError, however they are cut, and packets can be encoded again.

The first byte of an input chooses the version and the largest packet; the rest is the stream. Fed whole and byte by
byte it has to give the same packets and the same error at the same place. Each packet is encoded, and what that gives
is decoded to an equal one.
"""

from __future__ import annotations

from mqtt_core.codec import ConnectPacket, MqttDecoder, MqttError, Packet, decode, encode
from tests.vectors.packets import VECTORS

VERSIONS = (0, 4, 5)
SIZES = (268_435_460, 64)

Outcome = tuple[list[Packet], tuple[str, int, str]]


def outcome(version: int, size_max: int, chunks: list[bytes]) -> Outcome:
    """The packets, and the error that ended them."""
    decoder = MqttDecoder(version, size_max)
    packets: list[Packet] = []
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            while (packet := decoder.next_packet()) is not None:
                packets.append(packet)
    except MqttError as error:
        return packets, (type(error).__name__, error.reason_code, str(error))
    return packets, ("", 0, "")


def run(data: bytes) -> None:
    if not data:
        return
    version = VERSIONS[data[0] % 3]
    size_max = SIZES[data[0] // 3 % 2]
    stream = data[1:]
    found = outcome(version, size_max, [stream])
    slowly = outcome(version, size_max, [stream[i : i + 1] for i in range(len(stream))])
    assert found == slowly, (found, slowly)
    for packet in found[0]:
        if isinstance(packet, ConnectPacket) and packet.version != version:
            if version:
                continue  # can be read, so that it can be answered, and has no place on this connection
            version = packet.version
        frame = encode(packet, version)
        assert decode(frame, version) == packet, (packet, frame)


def seeds() -> list[bytes]:
    """The table of packets, each alone, and the valid ones of a version in a row."""
    alone = [bytes([VERSIONS.index(vector.version)]) + vector.data for vector in VECTORS if len(vector.data) < 500]
    learned = [b"\x00" + vector.data for vector in VECTORS if vector.data[:1] == b"\x10" and len(vector.data) < 500]
    return alone + learned

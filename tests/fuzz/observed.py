"""What a broker says about one frame, in terms that two brokers can be compared by.

Left out are what a server may say as it likes: reason strings, its own limits in CONNACK, the order of messages on
different topics, and of messages and answers among each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mqtt_core.codec import (
    ConnackPacket,
    DisconnectPacket,
    MqttDecoder,
    MqttError,
    Packet,
    PingrespPacket,
    PublishPacket,
    SubackPacket,
    UnsubackPacket,
)
from mqtt_core.codec.types import PacketType

Fact = tuple[object, ...]


@dataclass
class Answer:
    """closed: the connection. said: answers in order. delivered: messages to the sender itself; heard: to a witness."""

    closed: bool = False
    said: list[Fact] = field(default_factory=list)
    delivered: list[Fact] = field(default_factory=list)
    heard: list[Fact] = field(default_factory=list)

    def codes(self, name: str) -> list[object]:
        """The reason codes of the answers of a kind."""
        return [fact[-1] for fact in self.said if fact[0] == name]


@dataclass
class Observation:
    """One frame that was sent when all before it had the same effect, and what came of it.

    error: what our decoder says about it. packet: None when there is an error.
    """

    version: int
    frame: bytes
    packet: Packet | None
    error: MqttError | None
    ours: Answer
    theirs: Answer
    history: list[bytes]


def facts(version: int, stream: bytes) -> tuple[list[Fact], list[Fact]]:
    """Answers and messages in a stream of a server."""
    said: list[Fact] = []
    messages: list[Fact] = []
    decoder = MqttDecoder(version)
    decoder.feed(stream)
    try:
        while (packet := decoder.next_packet()) is not None:
            if isinstance(packet, PublishPacket):
                messages.append(message(packet))
            elif not isinstance(packet, PingrespPacket):
                said.append(fact(packet))
    except MqttError as error:
        said.append(("undecodable", str(error), stream))
    return said, sorted(messages, key=lambda each: str(each[0]))


def message(packet: PublishPacket) -> Fact:
    about = packet.properties.replace(message_expiry_interval=None)
    return packet.topic, packet.payload, packet.qos, packet.retain, repr(sorted(about.values.items()))


def fact(packet: Packet) -> Fact:
    name = PacketType(packet.packet_type).name
    if isinstance(packet, SubackPacket | UnsubackPacket):
        return name, packet.packet_id, tuple(packet.reason_codes)
    if isinstance(packet, ConnackPacket):
        return name, packet.session_present, packet.reason_code
    if isinstance(packet, DisconnectPacket):
        return name, packet.reason_code
    return name, getattr(packet, "packet_id", 0), getattr(packet, "reason_code", 0)

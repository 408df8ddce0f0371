"""Our broker beside mosquitto: the same frames to both, one at a time, until they say something else.

Each input is a client of one version and a witness that subscribes to everything. After every frame both brokers are
asked for an answer to PINGREQ; then what they answered, whether they closed, and what the client and the witness were
sent has to be the same (observed.py says what is left out), or a known difference (differences.py). After a difference
of either kind the two are no longer in the same state, and the input ends.

An unknown difference is tried again with a mosquitto that has no past before it is reported, since what an earlier
input left behind (a message retained on a mutated topic) is none.
"""

from __future__ import annotations

import os
from itertools import count
from random import Random

from mqtt_core.broker import Broker, BrokerConfig
from mqtt_core.codec import (
    ConnectPacket,
    MqttError,
    Packet,
    PublishPacket,
    PubrelPacket,
    SubscribeFilter,
    SubscribePacket,
    decode,
    encode,
)
from mqtt_core.transport import FrameReader
from tests.fuzz import partner
from tests.fuzz.choices import Choices
from tests.fuzz.differences import explain
from tests.fuzz.observed import Answer, Observation, facts
from tests.fuzz.packets import client_packet, connect, whole, wire

NUMBERS = count()
FRAMES_MAX = 8
CONFIG = BrokerConfig(sys_interval_s=0.0, receive_maximum=20, inflight_max=20, topic_alias_maximum=10)
WITNESS = "witness"
OFFENCE = b"\x00\x00"


class Ours:
    """One connection to our broker, with the face of `partner.Wire`."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.handler = broker.connection_made(0.0)
        self.closed = False

    def ask(self, data: bytes, pings: int = 1) -> bytes:
        self.handler.receive_data(data + partner.PINGREQ, 0.0)
        answer = b""
        for _ in range(10):
            answer += b"".join(self.handler.data_to_send())
            if self.handler.closing:
                self.closed = True
                self.close()
                break
            self.broker.handle_timer(0.0)
        return answer

    def close(self) -> None:
        self.handler.receive_eof(0.0)


def greet(side: Ours | partner.Wire, name: str) -> None:
    """The witness arrives."""
    side.ask(encode(ConnectPacket(name, keep_alive_s=0), 5))
    side.ask(encode(SubscribePacket(1, [SubscribeFilter("#", 2, retain_as_published=True, retain_handling=2)]), 5))


def script(data: bytes) -> tuple[int, list[bytes]]:
    """The version and the frames of an input: whole ones, whatever is in them."""
    choices = Choices(data)
    version = choices.pick([5, 4])
    number = next(NUMBERS)
    first = connect(choices, version, [f"fuzz{number}"])
    first.clean_start = True
    first.keep_alive_s = 0
    first.client_id = first.client_id or f"fuzz{number}"
    first.properties = first.properties.replace(session_expiry_interval=None, topic_alias_maximum=None)
    if first.will is not None:
        first.will.properties = first.will.properties.replace(will_delay_interval=None)
    frames = [] if choices.one_in(32) else cut(wire(choices, version, first))
    while choices.more() and len(frames) < FRAMES_MAX:
        frames += cut(wire(choices, version, client_packet(choices, version, [f"fuzz{number}"])))
    return version, [frame for frame in frames if b"$SYS" not in frame]


def cut(data: bytes) -> list[bytes]:
    """The whole frames of some bytes; what is left is given a length of its own, so that nobody waits for more."""
    reader = FrameReader(100_000)
    reader.feed(data)
    frames = []
    used = 0
    try:
        while (frame := reader.next_frame()) is not None:
            frames.append(frame)
            used += len(frame)
    except MqttError:
        pass
    rest = data[used:]
    return [*frames, whole(rest[0], rest[2:])] if len(rest) > 1 else frames


def judged(frame: bytes, version: int) -> tuple[Packet | None, MqttError | None]:
    """The packet of a frame, or what is wrong with it."""
    try:
        return decode(frame, version), None
    except MqttError as error:
        return None, error


def released(frame: bytes, version: int) -> bytes:
    """A QoS 2 message together with its PUBREL: ours passes it on before, mosquitto after it, and both may (4.3.3)."""
    packet, _ = judged(frame, version)
    if isinstance(packet, PublishPacket) and packet.qos == 2:
        return frame + encode(PubrelPacket(packet.packet_id), version)
    return frame


def answer_of(side: Ours | partner.Wire, witness: Ours | partner.Wire, version: int, frame: bytes) -> Answer:
    said, delivered = facts(version, side.ask(released(frame, version), 1 + (frame == partner.PINGREQ)))
    _, heard = facts(5, witness.ask(b""))
    return Answer(side.closed, said, delivered, heard)


def first_difference(version: int, frames: list[bytes], port: int) -> Observation | None:
    """Play an input to both brokers."""
    number = next(NUMBERS)
    broker = Broker(CONFIG, rng=Random(1))
    sides: list[Ours | partner.Wire] = [Ours(broker), partner.Wire(port)]
    witnesses: list[Ours | partner.Wire] = [Ours(broker), partner.Wire(port)]
    try:
        for witness in witnesses:
            greet(witness, f"{WITNESS}{number}")
        for index, frame in enumerate(frames):
            answers = [answer_of(side, witness, version, frame) for side, witness in zip(sides, witnesses, strict=True)]
            if answers[0] != answers[1]:
                packet, error = judged(frame, version)
                return Observation(version, frame, packet, error, answers[0], answers[1], frames[:index])
            if answers[0].closed:
                break
        return None
    finally:
        for side in sides:
            if not side.closed:
                side.ask(OFFENCE)  # ends the connection there and then, and with it comes the will
        forget_retained(broker, witnesses[1])
        for side in (*sides, *witnesses):
            side.close()


def forget_retained(broker: Broker, witness: Ours | partner.Wire) -> None:
    """What was retained is taken back, so that the next input finds nothing."""
    for message in broker.retained():
        witness.ask(encode(PublishPacket(message.topic, b"", 0, True), 5))


def run(data: bytes) -> None:
    version, frames = script(data)
    seen = first_difference(version, frames, int(os.environ[partner.PORT_VARIABLE]))
    if seen is None or explain(seen):
        return
    with partner.running() as port:
        seen = first_difference(version, frames, port)
    if seen is not None and not explain(seen):
        raise AssertionError(
            f"unknown difference, version {version}\n  frame  {seen.frame.hex()} {seen.packet or seen.error!r}\n"
            f"  ours   {seen.ours}\n  theirs {seen.theirs}\n  before {[frame.hex() for frame in seen.history]}"
        )


def seeds() -> list[bytes]:
    """Bytes of chance."""
    rng = Random(4)
    return [rng.randbytes(size) for size in (30, 60, 120) for _ in range(8)]

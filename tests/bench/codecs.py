"""Nanoseconds a packet costs the codecs of Python's MQTT libraries: bytes to object and object to bytes.

    python -m tests.bench.codecs

Each library is asked through what its own client calls for a packet. Rounds go through all cases in turn, and the best
of seven counts, so that a noisy moment hits all alike. A library that is not installed is left out. Prints JSON.
"""

from __future__ import annotations

import json
import time
from functools import partial

from tests.bench.wire import payload, publish

TOPIC = "sensors/room/12/temperature"
BODY = payload(0, 1, 64)
FRAMES = {(qos, version): publish(TOPIC, BODY, qos, 7, version) for qos in (0, 1) for version in (4, 5)}
ROUNDS, CALLS = 7, 3000


def column(verb, qos, version):
    return f"{verb} QoS {qos}, {'5.0' if version == 5 else '3.1.1'}"


def ours():
    from mqtt_core.codec import PublishPacket, decode, encode

    for (qos, version), frame in FRAMES.items():
        yield column("decode", qos, version), lambda f=frame, v=version: decode(f, v)
        sent = PublishPacket(TOPIC, BODY, qos, packet_id=7 if qos else 0)
        yield column("encode", qos, version), lambda p=sent, v=version: encode(p, v)


def paho():
    from paho.mqtt import _packet

    for (qos, version), frame in FRAMES.items():
        first, body = frame[0], bytearray(frame[2:])
        yield column("decode", qos, version), lambda f=first, b=body, v=version: _packet.decode_publish(f, b, v)


def mqtt5():
    import mqtt5

    for qos in (0, 1):
        view = memoryview(FRAMES[qos, 5])
        yield column("decode", qos, 5), lambda v=view: mqtt5.read(v)
        level = mqtt5.QoS(qos)
        more = {"packet_id": 7} if qos else {}
        yield column("encode", qos, 5), lambda q=level, m=more: mqtt5.PublishPacket(TOPIC, BODY, qos=q, **m).write()


def gmqtt():
    from gmqtt import Message
    from gmqtt.mqtt.package import PublishPacket

    for qos, version in FRAMES:

        class Protocol:
            proto_ver = version

            class id_generator:  # noqa: N801 - the name gmqtt asks for
                next_id = staticmethod(lambda: 7)

        message = Message(TOPIC, BODY, qos=qos)
        build = PublishPacket.build_package
        yield column("encode", qos, version), lambda m=message, p=Protocol, b=build: b(m, p)


def amqtt():
    from amqtt.adapters import BufferReader
    from amqtt.mqtt import packet_class
    from amqtt.mqtt.packet import MQTTFixedHeader
    from amqtt.mqtt.publish import PublishPacket

    async def decode(frame):
        reader = BufferReader(frame)
        header = await MQTTFixedHeader.from_stream(reader)
        return await packet_class(header).from_stream(reader, fixed_header=header)

    def build(kind, qos, number):
        return kind.build(TOPIC, BODY, number, False, qos, False).to_bytes()

    def run(frame):
        coroutine = decode(frame)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        raise RuntimeError("the decoder waits")

    for qos in (0, 1):
        yield column("decode", qos, 4), lambda f=FRAMES[qos, 4]: run(f)
        number = 7 if qos else None
        yield column("encode", qos, 4), partial(build, PublishPacket, qos, number)


def measure():
    """{library: {column: nanoseconds}}, and why a library is left out."""
    cases, left_out = [], []
    for library in (ours, paho, gmqtt, amqtt, mqtt5):
        try:
            found = list(library())
            for _, call in found:
                call()
        except Exception as error:  # noqa: BLE001 - whatever a library does, it is left out
            left_out.append(f"{library.__name__}: {error}")
            continue
        cases += [(library.__name__, name, call) for name, call in found]
    best = {}
    for _ in range(ROUNDS):
        for library, name, call in cases:
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            took = (time.perf_counter() - began) / CALLS * 1e9
            row = best.setdefault(library, {})
            row[name] = min(row.get(name, took), took)
    return best, left_out


if __name__ == "__main__":
    print(json.dumps(measure()))

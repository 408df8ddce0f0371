"""The few packets a load generator needs, made by hand so that it shares no code with what it measures.

All PUBLISH frames of one publisher have one size, so that a stream of them can be looked at in columns: the packet
identifiers of a thousand frames are two strided slices.
"""

from __future__ import annotations

MAGIC = b"mqttbench"


def text(value):
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def packet(first, body):
    length = len(body)
    head = bytearray([first])
    while True:
        head.append(length & 127 | (128 if length > 127 else 0))
        length >>= 7
        if not length:
            return bytes(head) + body


def connect(client_id, version=4, clean=True, keep_alive_s=0):
    flags = 2 if clean else 0
    body = b"\x00\x04MQTT" + bytes([version, flags]) + keep_alive_s.to_bytes(2, "big")
    if version == 5:
        body += b"\x00" if clean else b"\x05\x11\xff\xff\xff\xff"
    return packet(0x10, body + text(client_id))


def subscribe(packet_id, filters, qos, version=4):
    body = packet_id.to_bytes(2, "big") + (b"\x00" if version == 5 else b"")
    return packet(0x82, body + b"".join([text(name) + bytes([qos]) for name in filters]))


def unsubscribe(packet_id, filters, version=4):
    body = packet_id.to_bytes(2, "big") + (b"\x00" if version == 5 else b"")
    return packet(0xA2, body + b"".join([text(name) for name in filters]))


DISCONNECT = b"\xe0\x00"


def payload(publisher, number, size):
    """Publisher, number within its cycle, and filling that differs from message to message."""
    head = MAGIC + b"%05d%08d" % (publisher, number)
    filling = (b"%08x" % (number * 2654435761 & 0xFFFFFFFF)) * (size // 8 + 1)
    return (head + filling)[:size]


def publish(topic, body, qos=0, packet_id=0, version=4, retain=False):
    content = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"") + (b"\x00" if version == 5 else b"") + body
    return packet(0x30 | qos << 1 | retain, content)


def id_offset(topic, frame):
    """Where the packet identifier stands in a QoS 1/2 PUBLISH of this topic."""
    start = 2
    while frame[start - 1] > 127:
        start += 1
    return start + 2 + len(topic.encode())


class Flow:
    """What one publisher sends: a cycle of frames of one size, twice in a row so that any part of it is one slice.

    block: as sent. expected: the same with identifiers 0, as they are compared. count: frames in a cycle. Identifiers
    run from 1 to `count` (at most 65,535). sent, acked: messages; delivered: messages at all subscribers together;
    receivers: how many subscribers get each message.
    """

    CYCLE_BYTES = 4_000_000

    def __init__(self, number, topics, size, qos, version, retain=False, count=None):
        if count is None:
            count = max(50, min(4000, self.CYCLE_BYTES // (size + 40)))
            count = max(1, round(count / len(topics))) * len(topics)
        frames = [
            publish(topics[k % len(topics)], payload(number, k, size), qos, k + 1, version, retain)
            for k in range(count)
        ]
        self.number = number
        self.qos = qos
        self.count = count
        self.size = len(frames[0])
        assert {len(frame) for frame in frames} == {self.size}
        self.id_at = id_offset(topics[0], frames[0]) if qos else 0
        block = b"".join(frames)
        self.block = memoryview(block * 2)
        self.expected = without_ids(block, self.size, self.id_at) * 2
        self.receivers = 1
        self.sent = self.acked = self.delivered = 0


def without_ids(data, size, id_at):
    """Frames of one size with their packet identifiers set to 0 (and left alone where there are none)."""
    if not id_at:
        return data
    changed = bytearray(data)
    zeros = bytes(len(data) // size)
    changed[id_at::size] = zeros
    changed[id_at + 1 :: size] = zeros
    return bytes(changed)


def answers(first, data, at, size):
    """Four-byte acknowledgements for the frames of `data`, whose identifiers stand at `at` of each `size` bytes."""
    high, low = data[at::size], data[at + 1 :: size]
    made = bytearray(bytes([first, 2, 0, 0]) * len(high))
    made[2::4] = high
    made[3::4] = low
    return bytes(made)

"""Connections of the load generator: non-blocking sockets in one selector, publishers and subscribers.

A publisher sends slices of its prebuilt cycle as far as its windows allow. A subscriber compares what arrives with what
has to arrive: byte by byte the same stream at QoS 0, and with the identifiers cut out in columns at QoS 1 and 2.
"""

from __future__ import annotations

import selectors
import socket
import time

from tests.bench.wire import answers, without_ids

RECEIVE_BYTES = 256 * 1024
PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70


class Fault(Exception):
    """The broker did something that makes the figure worthless."""


class Connection:
    """A socket with what could not be written yet, and the unfinished end of what was read."""

    def __init__(self, loop, port):
        self.loop = loop
        self.out = []
        self.kept = b""
        self.control = []
        self.closed = False
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex(("127.0.0.1", port))
        loop.selector.register(self.sock, selectors.EVENT_READ, self)

    def send(self, data):
        if self.out:
            self.out.append(data)
            return
        try:
            done = self.sock.send(data)
        except BlockingIOError:
            done = 0
        except OSError:  # still connecting
            done = 0
        if done < len(data):
            self.out.append(memoryview(data)[done:])
            self.loop.selector.modify(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def on_writable(self):
        waiting, self.out = self.out, []
        self.loop.selector.modify(self.sock, selectors.EVENT_READ, self)
        for data in waiting:
            self.send(data)

    def on_readable(self):
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise Fault(f"a connection failed: {error}") from error
        if not data:
            if self.closed:
                return
            raise Fault("the broker closed a connection")
        self.take(self.kept + data if self.kept else data)

    def take(self, data):
        """Deal with what has been read; here: whole packets, for whoever waits for them."""
        pos = self.packets(data, 0)
        self.kept = data[pos:]

    def packets(self, data, pos):
        """Put whole packets aside until one is a PUBLISH or an acknowledgement that belongs to the traffic."""
        while len(data) - pos >= 2 and not self.is_traffic(data[pos]):
            length = data[pos + 1]
            if length > 127 or len(data) - pos < length + 2:
                break
            self.control.append(data[pos : pos + 2 + length])
            pos += 2 + length
        return pos

    def is_traffic(self, first):
        return False

    def close(self):
        self.closed = True
        self.loop.selector.unregister(self.sock)
        self.sock.close()


def run_of(data, pos, size, first):
    """How many whole frames of this size and first byte stand at `pos`."""
    whole = (len(data) - pos) // size
    column = data[pos : pos + whole * size : size]
    return whole - len(column.lstrip(bytes([first])))


class Publisher(Connection):
    """Sends a flow. window: unacknowledged messages at most (QoS 1 and 2). ahead: undelivered messages at most."""

    def __init__(self, loop, port, flow, window, ahead):
        super().__init__(loop, port)
        self.flow = flow
        self.window = window
        self.ahead = ahead

    def is_traffic(self, first):
        return first in {PUBACK, PUBREC, PUBCOMP}

    def fill(self):
        """Send as many messages as the windows allow."""
        flow = self.flow
        room = self.ahead - flow.sent + flow.delivered // flow.receivers
        if flow.qos:
            room = min(room, self.window - flow.sent + flow.acked)
        if room > 0 and not self.out:
            self.send_messages(min(room, flow.count))

    def send_messages(self, count):
        flow = self.flow
        start = flow.sent % flow.count * flow.size
        flow.sent += count
        self.send(flow.block[start : start + count * flow.size])

    def take(self, data):
        pos = self.packets(data, 0)
        while len(data) - pos >= 4:
            first = data[pos]
            count = run_of(data, pos, 4, first)
            if data[pos + 1] != 2 or not self.is_traffic(first):
                raise Fault(f"unexpected packet {data[pos : pos + 8].hex()} for a publisher")
            if first == PUBREC:
                self.send(answers(PUBREL, data[pos : pos + 4 * count], 2, 4))
            else:
                self.flow.acked += count
            pos += 4 * count
        self.kept = data[pos:]


class Subscriber(Connection):
    """Receives flows and checks them. streaming: nothing but QoS 0 frames of one publisher will come from now on."""

    def __init__(self, loop, port, flows, qos):
        super().__init__(loop, port)
        self.flows = flows
        self.qos = qos
        self.flow = flows[0]
        self.first = 0x30 | qos << 1
        self.got = [0] * len(flows)
        self.latencies = None
        self.streaming = False

    def is_traffic(self, first):
        return first in {self.first, self.first | 1, PUBREL}

    def take(self, data):
        pos = 0
        if self.streaming:
            self.compare_stream(data)
            return
        while True:
            pos = self.packets(data, pos)
            if len(data) - pos < 4:
                break
            first = data[pos]
            if first == PUBREL:
                count = run_of(data, pos, 4, first)
                self.send(answers(PUBCOMP, data[pos : pos + 4 * count], 2, 4))
                pos += 4 * count
                continue
            size = self.flow.size
            count = run_of(data, pos, size, first)
            if not count:
                if len(data) - pos >= size or not self.is_traffic(first):
                    raise Fault(f"unexpected packet {data[pos : pos + 24].hex()}")
                break
            self.take_frames(data[pos : pos + count * size], count)
            pos += count * size
        self.kept = data[pos:]

    def compare_stream(self, data):
        """QoS 0 from one publisher: the very bytes it sent, from where the last piece ended."""
        flow = self.flow
        cycle = flow.count * flow.size
        pos = 0
        at = self.got[0] * flow.size % cycle
        whole = len(data) // flow.size * flow.size
        while pos < whole:
            piece = min(cycle, whole - pos)
            if data[pos : pos + piece] != flow.expected[at : at + piece]:
                raise Fault("the stream differs from what was sent: messages lost, doubled, damaged or reordered")
            pos += piece
            at = (at + piece) % cycle
        self.got[0] += whole // flow.size
        flow.delivered += whole // flow.size
        self.kept = data[whole:]

    def take_frames(self, data, count):
        flow = self.flow
        if flow.id_at:
            self.send(answers(PUBACK if self.qos == 1 else PUBREC, data, flow.id_at, flow.size))
            data = without_ids(data, flow.size, flow.id_at)
        if len(self.flows) > 1:
            self.take_mixed(data)
            return
        start = self.got[0] % flow.count * flow.size
        for pos in range(0, len(data), flow.count * flow.size):
            piece = data[pos : pos + flow.count * flow.size]
            if not flow.expected.startswith(piece, start):
                raise Fault("a message differs from what was sent: lost, doubled, damaged or reordered")
        if self.latencies is not None:
            now = time.perf_counter()
            self.latencies += [now - self.due(flow, self.got[0] + k) for k in range(count)]
        self.got[0] += count
        flow.delivered += count

    def take_mixed(self, data):
        """Flows of several publishers: each frame tells whose it is, and has to be the next one of that flow."""
        flows, got, size = self.flows, self.got, self.flow.size
        mark = self.flow.expected.index(b"mqttbench") + 9
        for pos in range(0, len(data), size):
            number = int(data[pos + mark : pos + mark + 5])
            flow = flows[number]
            start = got[number] % flow.count * size
            if data[pos : pos + size] != flow.expected[start : start + size]:
                raise Fault("a message is not the next one of its publisher: lost, doubled, damaged or reordered")
            got[number] += 1
            flow.delivered += 1

"""The load generator: one run of one scenario against one port; prints one line of JSON.

    python -m tests.bench.load '{"port": 1883, "pid": 4711, "publishers": 1, "subscribers": 1, "ahead": 1000}'

A process of its own, so that nothing of it is in the broker's figures. Closed loop: at most `ahead` messages of a
publisher are undelivered, so no broker need drop any. With `rate` messages are sent on a schedule, and latency counts
from the scheduled time, so that a broker which stops for a moment pays for every message it kept waiting.
"""

from __future__ import annotations

import json
import resource
import selectors
import sys
import time
from pathlib import Path

from tests.bench.connections import Connection, Fault, Publisher, Subscriber
from tests.bench.wire import DISCONNECT, Flow, answers, connect, subscribe, unsubscribe, without_ids

PATIENCE_S = 4.0
CONNECTING_AT_ONCE = 64
FILTERS_AT_ONCE = 100


def cpu_s(pid):
    """CPU seconds all threads of a process have used, to the nanosecond where the system counts them."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


class Loop:
    """The selector, and waiting in it for something to become true."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()

    def turn(self, timeout=0.05):
        for key, events in self.selector.select(timeout):
            if events & selectors.EVENT_WRITE:
                key.data.on_writable()
            if events & selectors.EVENT_READ and not key.data.closed:
                key.data.on_readable()

    def until(self, done, progress=None, patience_s=PATIENCE_S):
        """Turn until `done()`; a Fault when `progress()` stays the same for too long."""
        seen, since = None, time.monotonic()
        while not done():
            self.turn()
            now = progress() if progress is not None else None
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > patience_s:
                return False
        return True


def answer(loop, connections, first, count=1, patience_s=30.0):
    """Wait until each connection has `count` packets of this type; take them."""

    def missing():
        return sum(sum(p[0] == first for p in c.control) < count for c in connections)

    if not loop.until(lambda: not missing(), missing, patience_s):
        raise Fault(f"no answer of type {first:#x}")


def open_all(loop, connections, spec, clean=True, names=None):
    for start in range(0, len(connections), CONNECTING_AT_ONCE):
        part = connections[start : start + CONNECTING_AT_ONCE]
        for k, connection in enumerate(part, start):
            name = names[k] if names else f"{type(connection).__name__.lower()[:3]}{k}"
            connection.send(connect(name, spec.get("version", 4), clean))
        answer(loop, part, 0x20)
        if any(c.control[0][3] for c in part):
            raise Fault("a CONNECT was refused")


def subscribe_in_parts(loop, connection, filters, qos, version):
    for start in range(0, len(filters), FILTERS_AT_ONCE):
        part = filters[start : start + FILTERS_AT_ONCE]
        connection.send(subscribe(1 + start // FILTERS_AT_ONCE, part, qos, version))
    answer(loop, [connection], 0x90, -(-len(filters) // FILTERS_AT_ONCE))


# -- traffic ----------------------------------------------------------------------------------------------------------


def topics_of(spec, publisher):
    if spec.get("shared_topic"):
        return ["bench/one/topic"]
    many = spec.get("topics", 1)
    if many == 1:
        return [f"bench/{publisher:02d}/topic"]
    return [f"bench/{publisher:02d}/t{k:05d}" for k in range(many)]


def traffic(spec):
    """Publishers to subscribers, each on its own topic or all on one."""
    loop = Loop()
    port, qos, version = spec["port"], spec.get("qos", 0), spec.get("version", 4)
    flows = [Flow(p, topics_of(spec, p), spec.get("size", 64), qos, version) for p in range(spec["publishers"])]
    shared = spec.get("shared_topic", False)
    subscribers = [Subscriber(loop, port, flows if shared else [flows[k]], qos) for k in range(spec["subscribers"])]
    for flow in flows:
        flow.receivers = spec["subscribers"] if shared else 1
    publishers = [Publisher(loop, port, flow, spec.get("window", 100), spec["ahead"]) for flow in flows]
    result = {"handshakes": len(publishers) + 2 * len(subscribers)}
    open_all(loop, publishers, spec)
    open_all(loop, subscribers, spec, clean=not spec.get("persistent"))
    if spec.get("extra"):
        result["extra_s"] = add_extra(loop, spec)
    for k, subscriber in enumerate(subscribers):
        topics = topics_of(spec, k)
        subscribe_in_parts(loop, subscriber, topics if len(topics) == 1 else [f"bench/{k:02d}/#"], qos, version)
    churn = Churn(loop, spec["churn"], port) if spec.get("churn") else None
    if spec.get("rate"):
        result |= at_rate(loop, spec, publishers, subscribers)
    else:
        result |= at_full_speed(loop, spec, publishers, subscribers, churn)
    return result


def add_extra(loop, spec):
    """Filters of others that match nothing, on ten connections; returns the seconds it took."""
    others = [Connection(loop, spec["port"]) for _ in range(10)]
    open_all(loop, others, spec, names=[f"other{k}" for k in range(10)])
    began = time.perf_counter()
    for k, other in enumerate(others):
        names = [f"other/{i}/+/state" for i in range(k, spec["extra"], 10)]
        subscribe_in_parts(loop, other, names, 0, 4)
    return time.perf_counter() - began


class Churn:
    """A connection that subscribes and unsubscribes `rate` times a second, in turn plain and with a wildcard."""

    def __init__(self, loop, rate, port):
        self.connection = Connection(loop, port)
        open_all(loop, [self.connection], {}, names=["churn"])
        self.rate = rate
        self.done = 0

    def fill(self, elapsed):
        packets = []
        while self.done < elapsed * self.rate:
            k = self.done // 2
            names = [f"bench/{k % 50:02d}/{'topic' if k % 2 else '+'}/{'x' if k % 3 else '#'}"]
            packets.append((unsubscribe if self.done % 2 else subscribe)(1, names, *(() if self.done % 2 else (0,))))
            self.done += 1
        if packets:
            self.connection.send(b"".join(packets))
        self.connection.control.clear()


def at_full_speed(loop, spec, publishers, subscribers, churn):
    pid = spec["pid"]
    flows = [publisher.flow for publisher in publishers]

    def delivered():
        return sum(flow.delivered for flow in flows)

    def open_messages():
        waiting = sum(flow.sent * flow.receivers for flow in flows) - delivered()
        return waiting + (sum(flow.sent - flow.acked for flow in flows) if spec.get("qos") else 0)

    for subscriber in subscribers:
        subscriber.streaming = subscriber.qos == 0 and len(subscriber.flows) == 1
    cpu, began = cpu_s(pid), time.perf_counter()
    own = time.process_time()
    last = began
    while last - began < spec["duration_s"]:
        for publisher in publishers:
            publisher.fill()
        if churn is not None:
            churn.fill(last - began)
        loop.turn()
        last = time.perf_counter()
    if not loop.until(lambda: not open_messages(), open_messages):
        raise Fault(f"{open_messages()} messages or acknowledgements are missing")
    took, count = time.perf_counter() - began, delivered()
    if any(sum(s.got) != sum(f.sent for f in s.flows) for s in subscribers):
        raise Fault("a subscriber has another number of messages than was sent")
    return {
        "messages": count,
        "per_s": count / took,
        "cpu_us": (cpu_s(pid) - cpu) / count * 1e6,
        "load_cpu": (time.process_time() - own) / took,
        "churned": churn.done if churn is not None else 0,
    }


def at_rate(loop, spec, publishers, subscribers):
    """`rate` messages a second from each publisher, evenly spread over all of them."""
    pid, rate = spec["pid"], spec["rate"]
    step = 1 / rate / len(publishers)
    began = time.perf_counter() + 0.05
    latencies = []
    for subscriber in subscribers:
        subscriber.latencies = latencies
        subscriber.due = lambda flow, k: began + (k * len(publishers) + flow.number) * step
    total = int(spec["duration_s"] / step)
    cpu = cpu_s(pid)
    for k in range(total):
        due = began + k * step
        while (wait := due - time.perf_counter()) > 0:
            loop.turn(wait)
        publishers[k % len(publishers)].send_messages(1)
    if not loop.until(lambda: len(latencies) == total, lambda: len(latencies)):
        raise Fault(f"{total - len(latencies)} messages are missing")
    latencies.sort()
    at = {f"p{name}_us": latencies[int(total * part)] * 1e6 for name, part in (("50", 0.5), ("99", 0.99))}
    return {"messages": total, "per_s": rate * len(publishers), "cpu_us": (cpu_s(pid) - cpu) / total * 1e6, **at}


# -- connections ------------------------------------------------------------------------------------------------------


def storm(spec):
    """Many clients connect, 64 at a time; what a connection costs in CPU and memory, and leaving it again."""
    loop = Loop()
    pid, total = spec["pid"], spec["clients"]
    warm = [Connection(loop, spec["port"]) for _ in range(50)]
    open_all(loop, warm, spec, names=[f"warm{k}" for k in range(50)])
    memory, cpu, began = resident_bytes(pid), cpu_s(pid), time.perf_counter()
    clients = []
    for start in range(0, total, CONNECTING_AT_ONCE):
        part = [Connection(loop, spec["port"]) for _ in range(min(CONNECTING_AT_ONCE, total - start))]
        open_all(loop, part, spec, names=[f"storm{start + k}" for k in range(len(part))])
        clients += part
    took, used = time.perf_counter() - began, cpu_s(pid) - cpu
    grown = resident_bytes(pid) - memory
    cpu = cpu_s(pid)
    for client in clients:
        client.closed = True
        client.send(DISCONNECT)
        client.close()
    time.sleep(0.5)
    return {
        "connections": total,
        "per_s": total / took,
        "cpu_us": used / total * 1e6,
        "leave_us": (cpu_s(pid) - cpu) / total * 1e6,
        "bytes": grown / total,
    }


# -- kept messages ----------------------------------------------------------------------------------------------------


def retained(spec):
    """Store one retained message on each of many topics, then collect them all with one wildcard."""
    loop = Loop()
    count = spec["messages"]
    flow = Flow(0, [f"bench/ret/{k:06d}" for k in range(count)], 64, 1, 4, retain=True, count=count)
    publisher = Publisher(loop, spec["port"], flow, 100, 1 << 40)
    open_all(loop, [publisher], spec)
    return stored_and_collected(loop, spec, publisher, Collector(loop, spec["port"], [flow], 1), "bench/ret/#")


def offline(spec):
    """Store messages for a client that is away, then let it come and take them."""
    loop = Loop()
    flow = Flow(0, ["bench/off/topic"], 64, 1, 4, count=spec["messages"])
    away = Collector(loop, spec["port"], [flow], 1)
    open_all(loop, [away], spec, clean=False)
    subscribe_in_parts(loop, away, ["bench/off/topic"], 1, 4)
    away.closed = True
    away.send(DISCONNECT)
    loop.turn(0.1)
    away.close()
    publisher = Publisher(loop, spec["port"], flow, 100, 1 << 40)
    open_all(loop, [publisher], spec)
    return stored_and_collected(loop, spec, publisher, Collector(loop, spec["port"], [flow], 1), "")


class Collector(Subscriber):
    """Takes every message of a cycle once; retained ones in any order."""

    def __init__(self, loop, port, flows, qos):
        super().__init__(loop, port, flows, qos)
        self.taken = []

    def take_frames(self, data, count):
        self.first = data[0]
        flow = self.flow
        self.send(answers(0x40, data, flow.id_at, flow.size))
        self.taken.append(data)
        flow.delivered += count


def stored_and_collected(loop, spec, publisher, collector, topic_filter):
    pid, flow = spec["pid"], publisher.flow
    cpu, began = cpu_s(pid), time.perf_counter()

    def missing():
        if flow.sent < flow.count:
            room = min(publisher.window - flow.sent + flow.acked, flow.count - flow.sent)
            if room > 0 and not publisher.out:
                publisher.send_messages(room)
        return flow.count - flow.acked

    if not loop.until(lambda: not missing(), lambda: flow.acked):
        raise Fault(f"{missing()} messages were not acknowledged")
    stored, cpu_stored = time.perf_counter(), cpu_s(pid)
    open_all(loop, [collector], spec, clean=bool(topic_filter), names=["ret0" if topic_filter else "col0"])
    if topic_filter:
        collector.send(subscribe(1, [topic_filter], 1))
    if not loop.until(lambda: flow.delivered >= flow.count, lambda: flow.delivered):
        raise Fault(f"{flow.count - flow.delivered} messages are missing")
    took, cpu_taken = time.perf_counter() - stored, cpu_s(pid) - cpu_stored
    compare_kept(collector, flow)
    return {
        "messages": flow.count,
        "per_s": flow.count / (stored - began),
        "cpu_us": (cpu_stored - cpu) / flow.count * 1e6,
        "collect_per_s": flow.count / took,
        "collect_us": cpu_taken / flow.count * 1e6,
    }


def compare_kept(collector, flow):
    got = without_ids(b"".join(collector.taken), flow.size, flow.id_at)
    wanted = flow.expected[: flow.count * flow.size]
    if got[0] & 1 and len(got) == len(wanted):  # retained messages come in any order
        starts = range(0, len(wanted), flow.size)
        got, wanted = (sorted(data[k : k + flow.size] for k in starts) for data in (got, wanted))
    if got != wanted:
        raise Fault("the messages differ from what was stored")


MODES = {"traffic": traffic, "storm": storm, "retained": retained, "offline": offline}


def main():
    spec = json.loads(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        result = MODES[spec.get("mode", "traffic")](spec)
    except (Fault, OSError) as fault:
        result = {"fault": str(fault)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""How far one process goes: `python -m tests.bench.scale [BROKER ...]`, some minutes; ours (pure) when none is named.

    sessions    100,000 clients that subscribed once and went away: bytes of memory for each
    latency     99th percentile at 1,000 messages a second, alone and beside those sessions
    retained    1,000,000 retained messages of 64 bytes: bytes of memory for each
    queued      1,000,000 messages of 64 bytes that wait for ten absent clients: bytes of memory for each
    connected   10,000 idle connections: bytes of memory for each

Everything goes over the network, to a program with default settings. Memory is what the process has grown by.
"""

from __future__ import annotations

import json
import resource
import socket
import statistics
import sys
import time

from tests.bench.brokers import run_load, running
from tests.bench.load import resident_bytes
from tests.bench.report import TITLES, number
from tests.bench.scenarios import LATENCY, Scenario
from tests.bench.wire import DISCONNECT, connect, publish, subscribe

SESSIONS = 100_000
MESSAGES = 1_000_000
ABSENT = 10
CONNECTED = 10_000
BLOCK = 1000
RUNS = 3
RATE = next(scenario for scenario in LATENCY if scenario.name == "i0")
PAYLOAD = b"x" * 56

HEAD = """## Scale

One process, default settings: 100,000 absent clients with a subscription each, 1,000,000 retained messages of 64 bytes,
1,000,000 messages of 64 bytes waiting for ten absent clients, 10,000 idle connections. Memory in bytes, payloads
included; latency at 1,000 messages a second in microseconds."""


def converse(port, k, data, answers):
    """One connection that says something and waits for so many bytes; from many addresses, for ports run out."""
    source = (f"127.0.0.{k % 200 + 2}", 0)
    with socket.create_connection(("127.0.0.1", port), 60, source) as sock:
        sock.sendall(data)
        while answers > 0:
            got = len(sock.recv(answers))
            assert got, "the broker closed the connection"
            answers -= got
        sock.sendall(DISCONNECT)


def leave_sessions(port, names):
    """Clients that subscribe to a filter of their own and go away."""
    for k, name in enumerate(names):
        converse(port, k, connect(name, clean=False) + subscribe(1, [f"absent/{name}/+"], 1), 4 + 5)


def publish_all(port, topic_of, retain):
    """MESSAGES at QoS 1, a block at a time, each block acknowledged."""
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(connect("publisher"))
        missing = 4
        for first in range(0, MESSAGES, BLOCK):
            sock.sendall(b"".join([
                publish(topic_of(k), b"%08d" % k + PAYLOAD, 1, k - first + 1, retain=retain)
                for k in range(first, first + BLOCK)
            ]))  # fmt: skip
            missing += 4 * BLOCK
            while missing:
                got = len(sock.recv(65536))
                assert got, "the broker closed the connection"
                missing -= got
        sock.sendall(DISCONNECT)


def growth(broker, work):
    """Bytes the broker's process grows by."""
    before = resident_bytes(broker.pid)
    work()
    time.sleep(0.5)
    return resident_bytes(broker.pid) - before


def p99_us(broker):
    """Of several runs at a fixed rate, the median of the 99th percentiles."""
    return statistics.median(run_load(RATE, broker, 3.0)["p99_us"] for _ in range(RUNS))


def figures(name):
    """{what: figure} of one kind of broker."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * CONNECTED)), hard))
    found = {}
    with running(name) as broker:
        converse(broker.port, 0, connect("warm"), 4)
        found["p99_us alone"] = p99_us(broker)
        names = [f"absent{k:06d}" for k in range(SESSIONS)]
        found["bytes a session"] = growth(broker, lambda: leave_sessions(broker.port, names)) / SESSIONS
        found["p99_us beside the sessions"] = p99_us(broker)
    with running(name) as broker:
        grown = growth(broker, lambda: publish_all(broker.port, lambda k: f"retained/{k // 1000:03d}/{k:07d}", True))
        found["bytes a retained message"] = grown / MESSAGES
    with running(name) as broker:
        leave_sessions(broker.port, [f"queue{k}" for k in range(ABSENT)])
        grown = growth(broker, lambda: publish_all(broker.port, lambda k: f"absent/queue{k % ABSENT}/topic", False))
        found["bytes a queued message"] = grown / MESSAGES
    with running(name) as broker:
        storm = run_load(Scenario("h10k", "", {"mode": "storm", "clients": CONNECTED}), broker, 0)
        found["bytes a connection"] = storm["bytes"]
    return found


def table(found):
    """The figures of several brokers as a markdown table."""
    head = ["", *[TITLES[name] for name in found]]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    whats = next(iter(found.values()), {})
    lines += ["| " + " | ".join([what, *[number(row[what]) for row in found.values()]]) + " |" for what in whats]
    return "\n".join(lines)


def main(names):
    for name in names or ["pure"]:
        print(name, json.dumps({what: round(figure, 1) for what, figure in figures(name).items()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

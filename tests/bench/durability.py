"""What durability costs and how long a restart takes, ours beside mosquitto's: `python -m tests.bench.durability`.

    python -m tests.bench.durability b1d        acknowledged after COMMIT, against a mosquitto that keeps nothing
    python -m tests.bench.durability restart    100,000 queued and 100,000 retained messages come back

In `b1d` every message owes a write (persistent sessions, `strict`); the table also says how many commits that took, how
much they wrote and how long one takes, from handing a batch to the store until it is durable. In `restart` ours is
killed with SIGKILL, while mosquitto, which writes a snapshot when it is asked to stop, is asked.
"""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mqtt_adapters.asyncio import MqttServer, ServerConfig
from mqtt_adapters.storage import SqliteStore
from tests.bench.brokers import MOSQUITTO, Broker, free_port, program, run_load, running
from tests.bench.load import cpu_s
from tests.bench.scenarios import DURABLE
from tests.bench.wire import connect, packet, publish, subscribe

MESSAGES = 100_000
WINDOW = 1000
PAYLOAD = b"x" * 92


# ------------------------------------------------------------------------------------------------------------- b1d


class CountingStore(SqliteStore):
    """Notes how long each commit takes and how much it holds."""

    def __init__(self, path):
        super().__init__(path)
        self.seconds = []
        self.bytes = 0

    async def apply(self, batch):
        began = time.perf_counter()
        await super().apply(batch)
        self.seconds.append(time.perf_counter() - began)
        self.bytes += len(batch.data)


def serve(port, path):
    """A broker that says at its end what it has committed."""
    store = CountingStore(path)
    server = MqttServer(ServerConfig(bind_addr=f"127.0.0.1:{port}"), store=store)
    server.run(on_ready=lambda _: gc.freeze())
    milliseconds = sorted(1000 * s for s in store.seconds)
    count = len(milliseconds)
    found = {
        "commits": count,
        "megabytes": store.bytes / 1e6,
        "commit_p50_ms": milliseconds[count // 2],
        "commit_p99_ms": milliseconds[count * 99 // 100],
    }
    print(json.dumps(found), flush=True)


def wait_for(port, process):
    """Wait until somebody accepts a client."""
    for _ in range(6000):
        assert process.poll() is None, "the broker ended"
        with contextlib.suppress(OSError), Peer(port, "probe"):
            return
        time.sleep(0.01)
    raise AssertionError("the broker does not start")


def durable_run(spec, folder, duration_s):
    port = free_port()
    command = [sys.executable, "-m", __spec__.name, "serve", str(port), str(folder / "store.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_for(port, process)
            found = run_load(spec, Broker("durable", process, port), duration_s)
        finally:
            process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    return {**found, **json.loads(out)}


def b1d(reps=3, duration_s=2.0):
    """Ours and mosquitto in turns."""
    (scenario,) = [s for s in DURABLE if s.name == "b1d"]
    ours, theirs = [], []
    for _ in range(reps):
        with running("mosquitto") as broker:
            theirs.append(run_load(scenario, broker, duration_s))
        with tempfile.TemporaryDirectory() as place:
            ours.append(durable_run(scenario, Path(place), duration_s))
    for name, runs in (("mosquitto, keeps nothing", theirs), ("ours, strict", ours)):
        assert not any("fault" in run for run in runs), runs
        numbers = {key: statistics.median(run[key] for run in runs) for key, value in runs[0].items()
                   if isinstance(value, int | float)}  # fmt: skip
        print(name, json.dumps({key: round(value, 3) for key, value in numbers.items()}), flush=True)
    ratio = {key: statistics.median(o[key] for o in ours) / statistics.median(t[key] for t in theirs)
             for key in ("per_s", "cpu_us")}  # fmt: skip
    print("ratio", json.dumps({key: round(value, 3) for key, value in ratio.items()}), flush=True)


# --------------------------------------------------------------------------------------------------------- restart


class Peer:
    """A blocking client of 3.1.1 that counts."""

    def __init__(self, port, client_id, clean=True):
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.kept = b""
        self.sock.sendall(connect(client_id, clean=clean))
        (answer,) = self.frames(1)
        assert answer[3] == 0
        self.session_present = bool(answer[2])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.sock.close()

    def frames(self, count):
        """The next `count` packets, whole."""
        found = []
        data, pos = self.kept, 0
        while len(found) < count:
            body, length = pos + 1, 0
            while body < len(data) and data[body] > 127:
                body += 1
            if body < len(data):
                for at in range(body, pos, -1):
                    length = length << 7 | data[at] & 127
                end = body + 1 + length
                if end <= len(data):
                    found.append(data[pos:end])
                    pos = end
                    continue
            more = self.sock.recv(262_144)
            assert more, "the broker closed the connection"
            data, pos = data[pos:] + more, 0
        self.kept = data[pos:]
        return found

    def publish_all(self, topic, topics, retain=False):
        """MESSAGES at QoS 1 on so many topics in turn, a window at a time, each window acknowledged."""
        for first in range(0, MESSAGES, WINDOW):
            self.sock.sendall(b"".join([
                publish(f"{topic}/{number % topics}", b"%08d" % number + PAYLOAD, 1, number - first + 1, retain=retain)
                for number in range(first, first + WINDOW)
            ]))  # fmt: skip
            self.frames(WINDOW)

    def collect_all(self):
        """MESSAGES at QoS 1, in order, each acknowledged."""
        for number in range(MESSAGES):
            (frame,) = self.frames(1)
            at = frame.index(b"%08d" % number + PAYLOAD)
            self.sock.sendall(packet(0x40, frame[at - 2 : at]))


def timed(pid, work):
    """(seconds, CPU seconds of the broker) that something took."""
    wall, cpu = time.perf_counter(), cpu_s(pid)
    work()
    return time.perf_counter() - wall, cpu_s(pid) - cpu


def commands(folder, port):
    """Command lines of ours and of mosquitto with everything on disk below `folder`."""
    config = folder / "mosquitto.conf"
    config.write_text(MOSQUITTO.format(port=port) + f"user root\npersistence true\npersistence_location {folder}/\n")
    ours = [sys.executable, "-m", "mqtt_adapters.bin.broker", "-p", str(port), "--store", str(folder / "store.db")]
    return {"ours": (ours, signal.SIGKILL), "mosquitto": ([program("mosquitto"), "-c", str(config)], signal.SIGTERM)}


@contextlib.contextmanager
def started(command, port):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield process
    finally:
        process.kill()
        process.wait()


def restart_one(name, folder):
    port = free_port()
    command, how = commands(folder, port)[name]
    row = {}
    with started(command, port) as process:
        with Peer(port, "absent", clean=False) as absent:
            absent.sock.sendall(subscribe(1, ["q/#"], 1))
            absent.frames(1)
        with Peer(port, "publisher") as publisher:
            row["queue"] = timed(process.pid, lambda: publisher.publish_all("q", 100))
            row["retain"] = timed(process.pid, lambda: publisher.publish_all("r", MESSAGES, retain=True))
        began = time.perf_counter()
        process.send_signal(how)
        process.wait(120)
        row["stop"] = (time.perf_counter() - began, 0.0)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.suffix != ".conf")
    began = time.perf_counter()
    with started(command, port) as process:
        row["restart"] = (time.perf_counter() - began, cpu_s(process.pid))
        with Peer(port, "absent", clean=False) as absent:
            assert absent.session_present
            row["drain"] = timed(process.pid, absent.collect_all)
        with Peer(port, "reader") as reader:
            reader.sock.sendall(subscribe(1, ["r/#"], 0))
            assert len(set(reader.frames(MESSAGES + 1))) == MESSAGES + 1
    figures = ", ".join(f"{what} {wall:.2f} s (CPU {cpu:.2f} s)" for what, (wall, cpu) in row.items())
    print(f"{name}: {figures}, {size / 1e6:.0f} MB on disk", flush=True)


def restart():
    """Both brokers, one after the other."""
    for name in ("mosquitto", "ours"):
        with tempfile.TemporaryDirectory() as place:
            restart_one(name, Path(place))


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["serve"]:
        serve(int(words[1]), words[2])
    else:
        for part in words or ["b1d", "restart"]:
            {"b1d": b1d, "restart": restart}[part]()

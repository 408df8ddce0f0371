"""The brokers of the comparison, each a child process on its own loopback port, ended by its own process id.

Ours runs with default settings. mosquitto and nats-server get what makes them fastest and drops nothing: large queues,
TCP_NODELAY, many messages in flight. A broker that is not installed is left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.wire import connect

MOSQUITTO = """listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 1000
set_tcp_nodelay true
log_type error
"""
NATS = """host: 127.0.0.1
port: {port2}
server_name: bench
jetstream {{ store_dir: "{folder}/jetstream" }}
mqtt {{ host: 127.0.0.1, port: {port}, max_ack_pending: 1000 }}
"""
AMQTT = """listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
    max_connections: 20000
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""
NAMES = [
    "mosquitto",
    "pure",
    "compiled",
    "amqtt",
    "nats",
    "pure-uvloop",
    "compiled-uvloop",
    "pure-durable",
    "compiled-durable",
]


def program(name):
    """A program beside this Python, or on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def is_compiled():
    """Whether the installed core is the compiled one."""
    spec = importlib.util.find_spec("mqtt_core.codec.decode")
    return spec is not None and not str(spec.origin).endswith(".py")


def missing(name):
    """Why a broker cannot take part, or None."""
    kind, _, variant = name.partition("-")
    if kind == "compiled" and not is_compiled():
        return "the installed core is not compiled (MQTT_CORE_COMPILE=1 pip install .)"
    if variant == "uvloop" and importlib.util.find_spec("uvloop") is None:
        return "uvloop is not installed"
    wanted = {"mosquitto": "mosquitto", "amqtt": "amqtt", "nats": "nats-server"}.get(kind)
    if wanted and program(wanted) is None:
        return f"{wanted} is not installed"
    return None


def pure_copy(folder):
    """The installed packages without their extension modules."""
    root = Path(importlib.util.find_spec("mqtt_core").origin).parent.parent
    for package in ("mqtt_core", "mqtt_adapters"):
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Broker:
    """A running broker. output: what it wrote to its standard error, once it has ended."""

    def __init__(self, name, process, port):
        self.name = name
        self.process = process
        self.port = port
        self.pid = process.pid
        self.output = ""


def command(name, port, folder, verbose):
    """The command line of a broker, and its environment."""
    environment = os.environ.copy()
    kind, _, variant = name.partition("-")
    if kind in {"pure", "compiled"}:
        line = [sys.executable, "-m", "mqtt_adapters.bin.broker", "-p", str(port)]
        if kind == "pure":
            pure_copy(folder)
            environment["PYTHONPATH"] = str(folder)
        if variant == "uvloop":
            line += ["--loop", "uvloop"]
        elif variant == "durable":
            line += ["--store", str(folder / "store.db")]
        return [*line, *(["-v"] if verbose else [])], environment
    if kind == "forwarder":
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        return [sys.executable, "-m", "tests.bench.forwarder", str(port)], environment
    if kind == "mosquitto":
        config = MOSQUITTO + ("user root\n" if os.geteuid() == 0 else "")
    else:
        config = {"nats": NATS, "amqtt": AMQTT}[kind]
    path = folder / f"{kind}.{'yaml' if kind == 'amqtt' else 'conf'}"
    path.write_text(config.format(port=port, port2=free_port(), folder=folder))
    if kind == "nats":
        return [program("nats-server"), "-c", str(path), "-l", str(folder / "log")], environment
    return [program(kind), "-c", str(path)], environment


def is_up(port):
    """Whether a broker answers a CONNECT."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.settimeout(2)
            sock.sendall(connect("sub99"))
            return sock.recv(4)[:1] == b"\x20"
    except OSError:
        return False


@contextlib.contextmanager
def running(name, verbose=False):
    """Start a broker, wait until it answers, and end it."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        line, environment = command(name, port, folder, verbose)
        with (folder / "output").open("w+") as output:
            process = subprocess.Popen(line, stdout=output, stderr=output, cwd=folder, env=environment)
            broker = Broker(name, process, port)
            try:
                deadline = time.monotonic() + 20
                while not is_up(port):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"{name} did not start: {(folder / 'output').read_text()[-500:]}")
                    time.sleep(0.05)
                time.sleep(0.2)
                yield broker
            finally:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(10)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                broker.output = (folder / "output").read_text()


def run_load(scenario, broker, duration_s):
    """One run of the generator, in a process of its own."""
    spec = {**scenario.spec, "port": broker.port, "pid": broker.pid, "duration_s": duration_s}
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load", json.dumps(spec)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"fault": done.stderr.strip()[-300:] or "the generator said nothing"}

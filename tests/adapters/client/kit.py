"""One way to write a client test for all I/O styles, servers to run it against, and a proxy that misbehaves.

A contract test is an `async def` that gets a `Style`. For the blocking styles every awaited verb has finished when it
returns, so the very same coroutine runs without an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import socket
import subprocess
import threading
import time
from pathlib import Path

import anyio
import pytest

import mqtt_adapters.anyio
import mqtt_adapters.asyncio
import mqtt_adapters.blocking
from mqtt_adapters.asyncio import MqttServer, ServerConfig
from mqtt_adapters.client.verbs import finish_now

MOSQUITTO = "/usr/sbin/mosquitto"


class BlockingClient:
    """A blocking client with the verbs of the others."""

    def __init__(self, *args, background, **options):
        self._client = mqtt_adapters.blocking.Client(*args, background=background, **options)

    def __getattr__(self, name):
        verb = getattr(self._client, name)
        if name in {"connected", "client_id", "unacknowledged", "settings", "on_message", "on_event", "publish_nowait"}:
            return verb
        if name == "acknowledge":
            return verb

        @functools.wraps(verb)
        async def awaited(*args, **options):
            return verb(*args, **options)

        return awaited

    async def __aenter__(self):
        self._client.__enter__()
        return self

    async def __aexit__(self, *error):
        self._client.__exit__(*error)

    @property
    def messages(self):
        return BlockingStream(self._client.messages(timeout=20))

    def stream(self, *args, **options):
        return BlockingStream(self._client.stream(*args, timeout=20, **options))


class BlockingStream:
    """A blocking stream as an asynchronous iterator."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __len__(self):
        return len(self._stream)

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return next(self._stream)
        except StopIteration:
            raise StopAsyncIteration from None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stream.close()


class Style:
    """One I/O style: how to make a client, and how to run a test."""

    def __init__(self, name):
        self.name = name

    def client(self, *args, **options):
        if self.name in {"blocking", "pump"}:
            return BlockingClient(*args, background=self.name == "blocking", **options)
        module = mqtt_adapters.asyncio if self.name == "asyncio" else mqtt_adapters.anyio
        return module.Client(*args, **options)

    def run(self, test, *args, **options):
        if self.name == "asyncio":
            asyncio.run(_checked(test, args, options))
        elif self.name in {"anyio", "trio"}:
            backend = "trio" if self.name == "trio" else "asyncio"
            anyio.run(functools.partial(test, *args, **options), backend=backend)
        else:
            finish_now(test(*args, **options))

    async def sleep(self, seconds):
        if self.name in {"blocking", "pump"}:
            time.sleep(seconds)
        else:
            await anyio.sleep(seconds)


async def _checked(test, args, options):
    await test(*args, **options)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


STYLES = ["asyncio", "anyio", "trio", "blocking", "pump"]


def contract(test):
    """Run a test in every style; fail if it leaves a thread behind."""

    @pytest.mark.parametrize("style", STYLES)
    @functools.wraps(test)
    def run(style, **fixtures):
        before = set(threading.enumerate())
        Style(style).run(test, Style(style), **fixtures)
        # A worker thread of an event loop's pool is idle and goes with its loop; ours would be working.
        left = [t for t in set(threading.enumerate()) - before if "mqtt" in t.name]
        assert left == []

    run.__wrapped__ = _with_style(test)
    return run


def _with_style(test):
    import inspect

    names = ["style", *list(inspect.signature(test).parameters)[1:]]
    source = f"def signature({', '.join(names)}): ..."
    scope = {}
    exec(source, scope)
    return scope["signature"]


async def take(stream, count):
    """The next messages of a stream."""
    found = []
    if count:
        async for message in stream:
            found.append(message)
            if len(found) == count:
                break
    return found


def free_port():
    """A port of 127.0.0.1 nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class OwnBroker:
    """Our broker, in a thread of its own."""

    name = "own"

    def __init__(self, policy=None, **config):
        self._policy = policy
        self._config = {"bind_addr": "127.0.0.1:0", **config}
        self._thread = None
        self.port = 0

    def start(self):
        ready = threading.Event()

        async def serve():
            server = MqttServer(ServerConfig(**self._config), policy=self._policy)
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            async with server:
                self.server = server
                if not self._config["bind_addr"].startswith("unix:"):
                    self.port = server.port
                ready.set()
                await self._stop.wait()

        self._thread = threading.Thread(target=asyncio.run, args=(serve(),), name="own-broker")
        self._thread.start()
        assert ready.wait(10)
        return self

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()


class Mosquitto:
    """A mosquitto of its own, with the given lines of configuration besides a listener on 127.0.0.1."""

    name = "mosquitto"

    def __init__(self, directory, *lines, listener=True):
        self.port = free_port()
        self._file = Path(directory) / f"mosquitto-{self.port}.conf"
        own = [f"listener {self.port} 127.0.0.1"] if listener else []
        text = "\n".join([*own, "user root", "allow_anonymous true", "max_queued_messages 0", *lines, ""])
        self._file.write_text(text.replace("PORT", str(self.port)))

    def __enter__(self):
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.01)
        self.__exit__()
        raise AssertionError("mosquitto does not start")

    def __exit__(self, *error):
        self._process.terminate()
        self._process.wait()


class Proxy:
    """Stands between client and server and misbehaves, by a seed: cuts at any byte, stalls, delays, re-chunks.

    Every connection gets a budget of bytes in each direction, after which it is cut; after `cuts` cuts it stays whole.
    """

    def __init__(self, port, seed, cuts, budget=(200, 20_000)):
        self._target = port
        self._rng = random.Random(seed)
        self._cuts = cuts
        self._budget = budget
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._threads = []
        self._open = []
        self._stopping = False

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *error):
        self._stopping = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        for thread in self._threads:
            thread.join()

    def cut_all(self):
        """Cut every connection now."""
        for sock in self._open:
            _cut(sock)

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while not self._stopping:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            limited = self.connections <= self._cuts
            for source, sink in ((client, server), (server, client)):
                rng = random.Random(self._rng.random())
                budget = rng.randint(*self._budget) if limited else None
                self._start(self._pump, source, sink, rng, budget)

    def _pump(self, source, sink, rng, budget):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(rng.choice((1, 7, 100, 4096, 65536)) if budget else 65536)
                if not data:
                    break
                if budget is not None:
                    if rng.random() < 0.02:
                        time.sleep(rng.random() * 0.02)
                    data = data[:budget]
                    budget -= len(data)
                sink.sendall(data)
                if budget == 0:
                    break
        _cut(source)
        _cut(sink)


def _cut(sock):
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()

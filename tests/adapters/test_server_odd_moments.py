"""Servers that are stopped, asked or left at a moment nobody thinks of first."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import os
import signal
import socket
import threading

import anyio
import pytest

import mqtt_adapters.anyio
import mqtt_adapters.asyncio
import mqtt_adapters.blocking
from mqtt_adapters.anyio.memory import MemoryStream, memory_pair
from mqtt_adapters.config import ConfigError, ServerConfig
from mqtt_adapters.server import listening
from mqtt_adapters.server.verbs import ServerStoppedError
from mqtt_adapters.storage.sqlite import SqliteStore
from mqtt_core.codec import (
    ConnectPacket,
    DisconnectPacket,
    ReasonCode,
    StorageError,
    SubscribeFilter,
    SubscribePacket,
    decode,
    encode,
)
from mqtt_core.persistence import MemoryStore

CONFIG = ServerConfig(bind_addr="127.0.0.1:0", sys_interval_s=0.0, close_timeout_s=60.0)


# ------------------------------------------------------------------------------------------------- signals and `run`


def killed_when(server, ready):
    """Run a server in this thread; `ready(server)` runs in another one. Returns whether it ended without being told
    by anything but signals."""
    rescued = threading.Event()

    def rescue():
        rescued.set()
        server._cut_wanted = True
        server.stop()

    emergency = threading.Timer(10, rescue)
    emergency.start()
    other = threading.Thread(target=ready, args=(server,))
    try:
        server.run(on_ready=lambda _: other.start())
    finally:
        emergency.cancel()
        other.join()
    return not rescued.is_set()


def test_a_blocking_server_with_nothing_to_do_stops_at_a_signal():
    def when_it_waits(server):
        threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    assert killed_when(mqtt_adapters.blocking.MqttServer(CONFIG), when_it_waits)


def test_a_second_signal_cuts_the_connections_of_a_blocking_server_in_order():
    callers = []

    class Server(mqtt_adapters.blocking.MqttServer):
        def link_gone(self, link):
            callers.extend(frame.function for frame in inspect.stack())
            super().link_gone(link)

    def twice(server):
        stubborn, theirs = socket.socketpair()
        with stubborn:
            stubborn.settimeout(20)
            server.serve_transport(theirs)
            stubborn.sendall(encode(ConnectPacket("x", keep_alive_s=0), 5))
            stubborn.sendall(encode(SubscribePacket(1, [SubscribeFilter("t")]), 5))
            heard = b""
            while b"\x90" not in heard:
                heard = stubborn.recv(1000)
            server.publish("t", bytes(1_000_000))  # more than fits: it is not read
            os.kill(os.getpid(), signal.SIGTERM)
            while not server.stopping:
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            assert server.wait_stopped(20)

    assert killed_when(Server(CONFIG), twice)
    assert "link_gone" in callers
    assert "on_signal" not in callers  # which runs in the midst of anything


def test_a_handshake_that_hangs_does_not_keep_a_blocking_server_from_stopping(certificates):
    tls = ServerConfig(
        bind_addr="127.0.0.1:0",
        close_timeout_s=60.0,
        tls_cert_file=certificates["server"],
        tls_key_file=certificates["server-key"],
    )
    server = mqtt_adapters.blocking.MqttServer(tls).start()
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        while not server._links:
            threading.Event().wait(0.01)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        silent.settimeout(20)
        assert silent.recv(1) == b""
        stopping.join()


@pytest.mark.parametrize("style", [mqtt_adapters.asyncio, mqtt_adapters.blocking], ids=["asyncio", "blocking"])
def test_a_program_that_fails_when_its_server_is_ready_leaves_no_server_behind(style):
    server = style.MqttServer(CONFIG)
    addresses = []

    def fail(server):
        addresses.append(("127.0.0.1", server.port))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        server.run(on_ready=fail)
    assert (server.running, server.addresses) == (False, [])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(addresses[0])


# ------------------------------------------------------------------------------------- asking one that has stopped


class Full(MemoryStore):
    async def apply(self, batch):
        raise OSError("the disk is full")


class Closing(MemoryStore):
    """As a file: it cannot be written when it is closed."""

    closed = False

    async def apply(self, batch):
        assert not self.closed, "written after it was closed"
        await super().apply(batch)

    async def close(self):
        self.closed = True
        await super().close()


asynchronous = pytest.mark.parametrize(
    "style, backend",
    [(mqtt_adapters.asyncio, "asyncio"), (mqtt_adapters.anyio, "asyncio"), (mqtt_adapters.anyio, "trio")],
    ids=["asyncio", "anyio", "trio"],
)


@asynchronous
def test_whoever_asks_about_a_commit_after_the_storage_has_failed_is_told(style, backend):
    async def ask():
        async with style.MqttServer(CONFIG, store=Full()) as server:
            barrier = server.publish("t", b"x", qos=1, retain=True)
            with pytest.raises(StorageError, match="the disk is full"):
                await server.wait_stopped()
            with anyio.fail_after(10), pytest.raises(StorageError, match="the disk is full"):
                await server.committed(barrier)

    anyio.run(ask, backend=backend)


@asynchronous
@pytest.mark.parametrize("manual_ack", [False, True], ids=["automatic", "manual"])
def test_messages_taken_after_the_stop_are_not_written_into_a_closed_store(style, backend, manual_ack):
    async def ask():
        async with style.MqttServer(CONFIG, store=Closing()) as server:
            subscription = server.subscribe("t", qos=1, name="n", manual_ack=manual_ack)
            await server.committed(server.publish("t", b"1", qos=1))
        messages = [message async for message in subscription]
        if manual_ack:
            subscription.acknowledge(messages[0])
        assert [message.payload for message in messages] == [b"1"]
        await server.wait_stopped()

    anyio.run(ask, backend=backend)


def test_messages_taken_after_the_stop_are_not_written_into_a_closed_store_blocking():
    with mqtt_adapters.blocking.MqttServer(CONFIG, store=Closing()) as server:
        subscription = server.subscribe("t", qos=1, name="n")
        server.publish("t", b"1", qos=1)
    assert [message.payload for message in subscription] == [b"1"]
    assert server.wait_stopped()


def test_a_blocking_server_does_not_say_of_a_message_that_it_is_durable_when_it_is_not():
    with mqtt_adapters.blocking.MqttServer(CONFIG, store=Full(), background=False) as server:
        server.publish("t", b"x")
        with pytest.raises(StorageError, match="the disk is full"):
            server.publish("t", b"x", qos=1, retain=True)
        with pytest.raises(StorageError, match="the disk is full"):
            server.publish("t", b"x", qos=1, retain=True)


# -------------------------------------------------------------------------------------------------------- listening


def serve_once(style, config):
    """Start and stop a server of a style."""
    if style == "blocking":
        with mqtt_adapters.blocking.MqttServer(config):
            return

    async def serve():
        async with (mqtt_adapters.asyncio if style == "asyncio" else mqtt_adapters.anyio).MqttServer(config):
            pass

    anyio.run(serve, backend="trio" if style == "trio" else "asyncio")


styles = pytest.mark.parametrize("style", ["asyncio", "anyio", "trio", "blocking"])


@styles
def test_an_address_that_can_be_none_is_told_as_such(style):
    with pytest.raises(OSError, match=r"cannot listen on foo\.\.bar:0: "):
        serve_once(style, ServerConfig(bind_addr="foo..bar:0"))


def test_a_backlog_the_system_cannot_be_given_is_a_mistake():
    with pytest.raises(ConfigError, match="backlog: expected at most 2147483647, got 2147483648"):
        ServerConfig(backlog=2**31)


def test_an_address_somebody_else_begins_to_listen_on_is_given_back(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    closed = []

    class Socket(socket.socket):
        def listen(self, *_):
            raise OSError(errno.EADDRINUSE, "")

        def close(self):
            closed.append(self.family)
            super().close()

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", Socket)
        config = ServerConfig(bind_addr="unix:s")
        told = pytest.raises(OSError, match="cannot listen on unix:s: Address already in use")
        with told, listening.tell_errors(config):
            listening.listen([listening.bind_unix("s")], config)
    assert socket.AF_UNIX in closed
    assert list(tmp_path.iterdir()) == []


@styles
def test_a_server_does_not_take_away_the_unix_socket_of_its_successor(style, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    successors = []

    def succeed(path):
        if not successors:  # the first one's socket is closed, and its file still there
            successors.append(mqtt_adapters.blocking.MqttServer(ServerConfig(bind_addr=f"unix:{path}")).start())
        unlink(path)

    unlink = listening.unlink_socket
    monkeypatch.setattr(f"mqtt_adapters.{'anyio' if style == 'trio' else style}.listening.unlink_socket", succeed)
    serve_once(style, ServerConfig(bind_addr="unix:s"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
    successors[0].stop()


def test_a_server_that_is_stopped_while_it_starts_does_not_listen_afterwards():
    async def stop_early():
        server = mqtt_adapters.asyncio.MqttServer(ServerConfig(bind_addr="localhost:0"))
        starting = asyncio.create_task(server.start())
        while not server.running:
            await asyncio.sleep(0)
        await server.stop()
        with pytest.raises(ServerStoppedError):
            await starting
        assert (server.running, server.addresses) == (False, [])

    asyncio.run(stop_early())


class Reading:
    """A store on disk whose reading goes on when it is told to."""

    def __init__(self, path):
        self.path = path
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.options = {"store": SqliteStore(path), "on_progress": self.wait}

    def wait(self, *_):
        self.begun.set()
        assert self.go_on.wait(10)

    def is_closed(self):
        store = SqliteStore(self.path)  # refused while somebody has it open
        store.open_sync()
        store.close_sync()
        return True


@asynchronous
def test_a_server_that_is_stopped_while_it_reads_its_store_never_listens(style, backend, tmp_path):
    reading = Reading(tmp_path / "store")

    async def stop_early():
        server = style.MqttServer(CONFIG, **reading.options)
        stopped = anyio.Event()

        async def start():
            with pytest.raises(ServerStoppedError, match="while it started"):
                await server.__aenter__()

        async def stop():
            await server.stop()
            stopped.set()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(start)
                await anyio.to_thread.run_sync(reading.begun.wait, 10)
                with pytest.raises(RuntimeError, match="starts once"):
                    await server.__aenter__()
                tasks.start_soon(stop)
                await anyio.wait_all_tasks_blocked()
                assert not stopped.is_set()
                reading.go_on.set()
            await server.wait_stopped()
        assert (server.running, server.addresses) == (False, [])

    anyio.run(stop_early, backend=backend)
    assert reading.is_closed()


def test_a_blocking_server_that_is_stopped_while_it_reads_its_store_never_listens(tmp_path):
    reading = Reading(tmp_path / "store")
    server = mqtt_adapters.blocking.MqttServer(CONFIG, **reading.options)
    raised = []

    def start():
        with pytest.raises(ServerStoppedError, match="while it started") as told:
            server.start()
        raised.append(told)

    threads = [threading.Thread(target=start), threading.Thread(target=server.stop)]
    threads[0].start()
    assert reading.begun.wait(10)
    threads[1].start()
    while not server.stop_wanted:
        threading.Event().wait(0.001)
    reading.go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(raised) == 1
    assert server.wait_stopped(10)
    assert (server.running, server.addresses) == (False, [])
    assert reading.is_closed()


@asynchronous
def test_a_server_that_was_not_started_may_be_stopped_and_started_then(style, backend):
    async def start():
        server = style.MqttServer(CONFIG)
        await server.stop()
        async with server:
            assert server.port

    anyio.run(start, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_anyio_server_that_another_task_stops_may_be_left_by_a_cancelled_program(backend):
    async def leave():
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as program:
                async with mqtt_adapters.anyio.MqttServer(CONFIG) as server:
                    stream = await anyio.connect_tcp("127.0.0.1", server.port)
                    await stream.send(encode(ConnectPacket("x", keep_alive_s=0), 5))
                    assert (await stream.receive())[:1] == b"\x20"
                    tasks.start_soon(server.stop)
                    tasks.start_soon(stream.aclose)
                    program.cancel()
            assert not server.running

    anyio.run(leave, backend=backend)


# --------------------------------------------------------------------------------------------------- the anyio server

backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@backends
def test_commits_of_an_anyio_server_do_not_wait_for_the_threads_of_the_program(backend):
    async def publish():
        async with mqtt_adapters.anyio.MqttServer(CONFIG, store=MemoryStore()) as server:
            threads = anyio.to_thread.current_default_thread_limiter()
            threads.total_tokens = 1
            async with threads:
                with anyio.fail_after(10):
                    await server.committed(server.publish("t", b"x", qos=1, retain=True))

    anyio.run(publish, backend=backend)


@backends
def test_an_anyio_server_that_stops_before_a_connection_had_its_first_turn_closes_it(backend):
    async def leave():
        async with mqtt_adapters.anyio.MqttServer(CONFIG) as server:
            ours, theirs = memory_pair()
            server.start_serving(theirs)
        with anyio.fail_after(10), pytest.raises(anyio.EndOfStream):
            await ours.receive()
        await ours.aclose()
        with pytest.raises(ServerStoppedError):
            server.start_serving(theirs)

    anyio.run(leave, backend=backend)


@backends
def test_an_anyio_server_whose_program_is_cancelled_serves_until_it_is_left_and_says_goodbye(backend):
    heard = []

    async def serve():
        with anyio.CancelScope() as program:
            async with mqtt_adapters.anyio.MqttServer(CONFIG, store=MemoryStore()) as server:
                stream = await anyio.connect_tcp("127.0.0.1", server.port)
                await stream.send(encode(ConnectPacket("x", keep_alive_s=0), 5))
                assert (await stream.receive())[:1] == b"\x20"
                program.cancel()
                with anyio.CancelScope(shield=True), anyio.fail_after(10):
                    await anyio.sleep(0)
                    await server.committed(server.publish("t", b"cleaning up", qos=1, retain=True))
        with anyio.CancelScope(shield=True):
            heard.append(await stream.receive())
            await stream.aclose()

    anyio.run(serve, backend=backend)
    (goodbye,) = (decode(data, 5) for data in heard)
    assert isinstance(goodbye, DisconnectPacket)
    assert goodbye.reason_code == ReasonCode.SERVER_SHUTTING_DOWN


@backends
def test_a_thread_that_waits_for_a_message_hears_of_the_end_of_an_anyio_server_that_is_cancelled(backend):
    got = []

    def wait(server, subscribed):
        subscription = server.threadsafe.subscribe("t")
        anyio.from_thread.run_sync(subscribed.set)
        got.append(list(subscription))

    async def serve():
        with anyio.CancelScope() as program:
            async with anyio.create_task_group() as threads, mqtt_adapters.anyio.MqttServer(CONFIG) as server:
                subscribed = anyio.Event()
                threads.start_soon(anyio.to_thread.run_sync, wait, server, subscribed)
                await subscribed.wait()
                program.cancel()

    anyio.run(serve, backend=backend)
    assert got == [[]]


@backends
def test_an_anyio_server_that_is_cancelled_while_it_starts_leaves_nothing_behind(backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def start():
        with anyio.CancelScope() as program:
            program.cancel()
            async with mqtt_adapters.anyio.MqttServer(ServerConfig(bind_addr="unix:s")):
                await anyio.sleep(0)
        assert program.cancelled_caught

    anyio.run(start, backend=backend)
    assert list(tmp_path.iterdir()) == []


@backends
def test_a_bug_while_an_anyio_server_serves_one_connection_ends_that_one_only(backend):
    class Faulty(MemoryStream):
        async def receive(self, max_bytes=65536):
            raise ZeroDivisionError

    async def serve():
        async with mqtt_adapters.anyio.MqttServer(CONFIG) as server:
            ours, theirs = memory_pair()
            server.start_serving(Faulty(theirs._incoming, theirs._outgoing))
            with anyio.fail_after(10), pytest.raises(anyio.EndOfStream):
                await ours.receive()
            await ours.aclose()
            assert server.running
            assert server.connections == 0

    anyio.run(serve, backend=backend)


@backends
def test_a_client_that_resets_its_connection_in_the_midst_of_accepting_costs_nobody_else_his(backend, monkeypatch):
    def from_socket(_):
        raise ValueError("the socket must be connected")

    async def serve():
        async with mqtt_adapters.anyio.MqttServer(CONFIG) as server:
            with monkeypatch.context() as patched:
                patched.setattr(anyio.abc.SocketStream, "from_socket", from_socket)
                async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
                    with anyio.fail_after(10), pytest.raises(anyio.EndOfStream):
                        await stream.receive()
            assert server.running

    anyio.run(serve, backend=backend)


def test_a_bug_while_a_blocking_server_serves_one_connection_ends_that_one_only():
    class Faulty:
        def __init__(self, transport):
            self._transport = transport

        def recv(self, size):
            raise ZeroDivisionError

        def __getattr__(self, name):
            return getattr(self._transport, name)

    with mqtt_adapters.blocking.MqttServer(CONFIG) as server:
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(10)
            server.serve_transport(Faulty(theirs))
            ours.sendall(b"x")
            with contextlib.suppress(ConnectionResetError):  # what it sent was not read
                assert ours.recv(1) == b""
        server.publish("t", b"x")
        assert server.connections == 0

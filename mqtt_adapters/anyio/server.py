"""An MQTT broker on anyio, the same on asyncio and on trio: sockets, timer and signals around a `Broker`.

    async with MqttServer(ServerConfig(bind_addr="127.0.0.1:1883")) as server: ...
    MqttServer().run(backend="trio")

Laws: those of the asyncio server. All tasks live in one task group, entered and left with the server: one for each
listening socket, two for each connection, one for time, and for a store one while it commits, in a worker thread.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Coroutine
from math import inf
from types import TracebackType
from typing import Final, Self, Unpack

import anyio
from anyio import to_thread
from anyio.abc import ByteStream, TaskGroup, TaskStatus
from anyio.from_thread import BlockingPortal

from mqtt_adapters.anyio.listening import Listener, open_listener
from mqtt_adapters.anyio.local import ServerVerbs
from mqtt_adapters.anyio.server_link import ServerLink
from mqtt_adapters.client.verbs import finish_now
from mqtt_adapters.config import ListenerConfig, ServerConfig
from mqtt_adapters.driver import BrokerDriver
from mqtt_adapters.server.peer import Peer
from mqtt_adapters.server.settings import ServerOptions, ServerSettings
from mqtt_adapters.server.verbs import stop_signals, storage_error
from mqtt_core.codec import StorageError
from mqtt_core.persistence import Batch, Snapshot, Storage, load

__all__ = ["MqttServer"]

log = logging.getLogger("mqtt_adapters")

ACCEPTS_PER_TURN: Final = 16
"""Connections accepted in a row before the loop serves those it has."""


class MqttServer(ServerVerbs):
    """A broker that listens inside ``async with``. For the options see `ServerOptions`."""

    def __init__(self, config: ServerConfig | None = None, **options: Unpack[ServerOptions]) -> None:
        super().__init__(ServerSettings(config, options))
        self.stopping = False
        self._listeners: list[Listener] = []
        self._links: dict[ServerLink, None] = {}
        self._handshakes = 0
        self._timer_at = inf
        self._failure: StorageError | None = None
        self._group: TaskGroup
        self._tasks: TaskGroup
        self._accepting: anyio.CancelScope

    # ------------------------------------------------------------------------------------------- start and stop

    async def __aenter__(self) -> Self:
        """Restore what the store holds, then listen. When it returns, clients can connect.

        Raises:
            OSError: an address cannot be listened on.
            ConfigError: a TLS file cannot be used.
            StorageError: the store cannot be read.
            RuntimeError: it was started before, or is stopped before it listens (`ServerStoppedError`).
        """
        self.start_once()
        self.thread = threading.get_ident()
        self._store_thread = anyio.CapacityLimiter(1)
        self._accepting = anyio.CancelScope()
        self._over = anyio.Event()
        self._idle = anyio.Event()
        self._committed = anyio.Event()
        self._timer_moved = anyio.Event()
        store = self.settings.store
        self.restore_broker(None if store is None else await self._load(store))
        apply = None if store is None else self._apply
        self.driver = BrokerDriver(self.broker, self, self.now, store, self.settings.on_event, apply)
        try:
            for config in self.config.all_listeners():
                self._listeners.append(await open_listener(config))
        except BaseException:
            await self._give_up(store)
            raise
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        with anyio.CancelScope(shield=True):  # a cancellation finds a server that can be stopped
            await self._group.start(self._serve)
        if self.stop_wanted:
            await self.__aexit__(None, None, None)
            self.check_wanted()
        self.driver.tick()
        return self

    async def _load(self, store: Storage) -> Snapshot:
        try:
            snapshot = await to_thread.run_sync(
                lambda: finish_now(load(store, self.reading_store)), limiter=self._store_thread
            )
            self.check_wanted()
        except BaseException:
            await self._give_up(store)
            raise
        return snapshot

    async def _give_up(self, store: Storage | None) -> None:
        try:
            await self._close(store)
        finally:
            self._over.set()

    async def _close(self, store: Storage | None) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        if store is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(lambda: finish_now(store.close()), limiter=self._store_thread)

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        # Who cancels the program's scope does not cancel the server: `stop` ends it, and clients hear of it.
        with anyio.CancelScope(shield=True):
            async with BlockingPortal() as self.portal, anyio.create_task_group() as self._tasks:
                self.running = True
                self._tasks.start_soon(self._accept_all)
                self._tasks.start_soon(self._watch_time)
                task_status.started()

    async def stop(self) -> None:
        """Stop listening, say goodbye to every client, commit what is left, and close. From any task.

        Takes at most `close_timeout_s` and the time of a commit in flight. Stopping twice is stopping once. A server
        that reads its store gives up and does not listen; one that was not started is left as it is.
        """
        self.stop_wanted = self.started
        if self.stopping or not self.running:
            if self.started:
                await self._over.wait()
            return
        self.stopping = True
        with anyio.CancelScope(shield=True):
            self._accepting.cancel()
            if self._failure is None:
                self.broker.shutdown(self.now())
                self.driver.tick()
                with anyio.move_on_after(self.config.close_timeout_s):
                    while self._links:
                        self._idle = anyio.Event()
                        await self._idle.wait()
            self._abort_links()
            while self._links:
                self._idle = anyio.Event()
                await self._idle.wait()
            while self.driver.committing:
                self._committed = anyio.Event()
                await self._committed.wait()
            self.end_verbs(self._failure or StorageError("the server has stopped"))
            try:
                await self._close(self.settings.store)
            except StorageError as error:
                self._failure = self._failure or error
            finally:
                self._tasks.cancel_scope.cancel()
                self._over.set()

    async def wait_stopped(self) -> None:
        """Wait until `stop` has been called and has ended.

        Raises:
            StorageError: the server stopped because its storage failed.
        """
        await self._over.wait()
        if self._failure is not None:
            raise self._failure

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        with anyio.CancelScope(shield=True):  # it may be another task that stops the server
            await self.stop()
        # The program's own error passes by as it is; only a cancellation may be the group's to take back.
        if kind is not None and issubclass(kind, anyio.get_cancelled_exc_class()):
            return await self._group.__aexit__(kind, error, traceback)
        await self._group.__aexit__(None, None, None)
        return None

    def run(self, *, on_ready: Callable[[MqttServer], None] | None = None, backend: str = "asyncio") -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP, then drain; a second signal cuts the connections at once.

        on_ready: called when clients can connect. backend: "asyncio" or "trio".

        Raises:
            OSError, ConfigError, StorageError: as `__aenter__` and `wait_stopped`.
        """
        anyio.run(self._run, on_ready, backend=backend)

    async def _run(self, on_ready: Callable[[MqttServer], None] | None) -> None:
        async with self, anyio.create_task_group() as tasks:
            if threading.current_thread() is threading.main_thread():
                await tasks.start(self._watch_signals)
            if on_ready is not None:
                on_ready(self)
            await self._over.wait()
            tasks.cancel_scope.cancel()
        await self.wait_stopped()

    async def _watch_signals(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(*stop_signals()) as signals:
            task_status.started()
            async for _ in signals:
                if self.stopping:
                    self._abort_links()
                else:
                    self._tasks.start_soon(self.stop)

    def _abort_links(self) -> None:
        for link in list(self._links):
            link.abort()

    # ------------------------------------------------------------------------------------------------ connections

    async def _accept_all(self) -> None:
        with self._accepting:
            async with anyio.create_task_group() as tasks:
                for listener in self._listeners:
                    for sock in listener.sockets:
                        tasks.start_soon(self._accept, listener, sock, tasks)
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()

    async def _accept(self, listener: Listener, listening: socket.socket, tasks: TaskGroup) -> None:
        in_a_row = 0
        while True:
            sock = await listener.accept(listening)
            if self._handshakes >= self.config.max_connections:
                sock.close()
                continue
            self._handshakes += 1
            tasks.start_soon(self._connect, listener, sock)
            in_a_row += 1
            if in_a_row >= ACCEPTS_PER_TURN:
                in_a_row = 0
                await anyio.lowlevel.checkpoint()

    async def _connect(self, listener: Listener, sock: socket.socket) -> None:
        try:
            made = await listener.shake_hands(sock, self.config.connect_timeout_s)
        finally:
            self._handshakes -= 1
        if made is not None:
            self._tasks.start_soon(self._serve_stream, *made, listener.config)

    async def serve_stream(self, stream: ByteStream, peer: str = "", listener: ListenerConfig | None = None) -> None:
        """Serve a byte stream that is connected, to its end, whoever connected it; it is closed then.

        peer: what policies are told of the other end. listener: its settings, when it is a WebSocket.

        Raises:
            ServerStoppedError: the server does not run.
        """
        self.check_running()
        layer = None
        if listener is not None and listener.websocket:
            from mqtt_adapters.websocket import ServerLayer  # noqa: PLC0415 - an extra, wanted only here

            layer = ServerLayer(listener, self.config.max_packet_size)
        await ServerLink(self, stream, peer if isinstance(peer, Peer) else Peer(peer), layer).serve()

    async def _serve_stream(self, stream: ByteStream, peer: str, listener: ListenerConfig | None) -> None:
        if self.running:
            try:
                await self.serve_stream(stream, peer, listener)
            except Exception:
                log.exception("a bug while serving %s, which is dropped", peer or "a stream")
        else:  # it has stopped between this task's making and its first step
            await anyio.aclose_forcefully(stream)

    def start_serving(self, stream: ByteStream, peer: str = "") -> None:
        """As `serve_stream`, in a task of the server's own. Raises ServerStoppedError when the server does not run."""
        self.check_running()
        self._tasks.start_soon(self._serve_stream, stream, peer, None)

    def link_made(self, link: ServerLink) -> None:
        """A connection begins."""
        self._links[link] = None

    def link_gone(self, link: ServerLink) -> None:
        """A connection has ended."""
        del self._links[link]
        self.driver.link_gone(link)
        if not self._links:
            self._idle.set()
        self.driver.tick()

    @property
    def connections(self) -> int:
        """Network connections at this moment, refused ones on their way out included."""
        return len(self._links)

    # ------------------------------------------------------------------------------------------------- DriverHost

    async def _watch_time(self) -> None:
        while True:
            self._timer_moved = anyio.Event()
            with anyio.move_on_after(max(0.0, self._timer_at - self.now())):
                await self._timer_moved.wait()
            if self._timer_at <= self.now():
                self._timer_at = inf
                self.driver.timer_fired()

    def arm_timer(self, deadline: float) -> None:
        """See `DriverHost`."""
        self._timer_at = deadline
        self._timer_moved.set()

    async def _apply(self, batch: Batch) -> None:
        """Commit in a worker thread: a store may block, and know nothing of this event loop.

        The thread is not one of those the program has: its own may all wait for what is not committed yet.
        """
        store = self.settings.store
        assert store is not None
        await to_thread.run_sync(lambda: finish_now(store.apply(batch)), limiter=self._store_thread)

    def run_commit(self, commit: Coroutine[object, object, None]) -> None:
        """See `DriverHost`."""
        self._tasks.start_soon(self._run_commit, commit)

    async def _run_commit(self, commit: Coroutine[object, object, None]) -> None:
        with anyio.CancelScope(shield=True):
            await commit
        self._committed.set()

    def storage_failed(self, error: Exception) -> None:
        """See `DriverHost`."""
        log.critical("the storage failed, the broker stops: %s", error)
        self._failure = storage_error(error)
        self._tasks.start_soon(self.stop)

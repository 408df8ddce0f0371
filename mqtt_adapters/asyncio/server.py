"""An MQTT broker on asyncio: the sockets, timer and signals around a `mqtt_core.broker.Broker`.

Laws: the server is a loop around the broker's four pulls and knows nothing about packets. Stopping leaves no task,
socket, timer or thread behind. A frozen client costs bounded memory and delays nobody; a bug met while one client is
served ends that connection only; a storage failure ends everything, for an acknowledgement must never be a lie.

Flushing is adaptive. While reads come alone each is answered at once, since a deferred flush costs a turn of the loop;
when several connections are ready in one turn, all of them are served by one tick at its end, which joins their
output. Which of the two it is, is measured with a deferred tick after every sixteenth read.

An object of `MqttServer` starts and stops once. Its plain verbs belong to the thread of the event loop; `threadsafe`
has the same ones for every other thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Final, Self, Unpack

from mqtt_adapters.asyncio.link import ServerLink
from mqtt_adapters.asyncio.listening import Listener, open_listener
from mqtt_adapters.asyncio.verbs import ServerVerbs
from mqtt_adapters.config import ListenerConfig, ServerConfig
from mqtt_adapters.driver import BrokerDriver
from mqtt_adapters.server.peer import Peer
from mqtt_adapters.server.settings import ServerOptions, ServerSettings
from mqtt_adapters.server.verbs import ServerStoppedError, stop_signals, storage_error
from mqtt_core.codec import StorageError
from mqtt_core.persistence import Snapshot, Storage, load

__all__ = ["MqttServer"]

log = logging.getLogger("mqtt_adapters")

RECEIVE_BUFFER_BYTES: Final = 256 * 1024
PROBE_EVERY: Final = 16


class MqttServer(ServerVerbs):
    """A broker that listens.

    config: see `ServerConfig`; port 0 takes a free port, then told by `port`. The options are told in `ServerOptions`:
    policy, store, clock, rng, on_event, on_progress.

    ``async with MqttServer(config) as server:`` listens inside the block; ``MqttServer(config).run()`` blocks until
    SIGTERM or SIGINT.
    """

    def __init__(self, config: ServerConfig | None = None, **options: Unpack[ServerOptions]) -> None:
        super().__init__(ServerSettings(config, options))
        self.buffer = memoryview(bytearray(RECEIVE_BUFFER_BYTES))
        self.stopping = False
        self._listeners: list[Listener] = []
        self._links: dict[ServerLink, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._commit: asyncio.Task[None] | None = None
        self._stop_task: asyncio.Task[None] | None = None
        self._failure: StorageError | None = None
        self._over = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tick_due = False
        self._reads_in_turn = 0
        self._reads_till_probe = PROBE_EVERY

    # ------------------------------------------------------------------------------------------- start and stop

    async def start(self) -> None:
        """Restore what the store holds, then listen. When it returns, clients can connect.

        Raises:
            OSError: an address cannot be listened on.
            ConfigError: a TLS file cannot be used.
            StorageError: the store cannot be read.
            RuntimeError: it was started before, or is stopped before it listens (`ServerStoppedError`).
        """
        await self._restore()
        await self._listen()

    async def _restore(self) -> None:
        self.start_once()
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        store = self.settings.store
        self.restore_broker(None if store is None else await self._load(store))
        self.driver = BrokerDriver(self.broker, self, self.now, store, self.settings.on_event)
        self.running = True

    async def _listen(self) -> None:
        try:
            for listener in self.config.all_listeners():
                opened = await self._open(listener)
                if self._stop_task is not None:
                    await opened.close()
                    raise ServerStoppedError("the server was stopped while it started")
                self._listeners.append(opened)
        except BaseException:
            await self.stop()
            raise
        self.driver.tick()

    async def _load(self, store: Storage) -> Snapshot:
        try:
            snapshot = await load(store, self.reading_store)
            self.check_wanted()
        except BaseException:
            try:
                await store.close()
            finally:
                self._over.set()
            raise
        return snapshot

    async def _open(self, listener: ListenerConfig) -> Listener:
        tls = listener.tls

        def link(address: Peer) -> ServerLink:
            if not listener.websocket:
                return ServerLink(self, tls, address)
            from mqtt_adapters.asyncio.websocket_link import WebSocketLink  # noqa: PLC0415 - an extra

            return WebSocketLink(self, tls, address, listener)

        return await open_listener(listener, link, self.config.connect_timeout_s, self.config.max_connections)

    async def stop(self) -> None:
        """Stop listening, say goodbye to every client, commit what is left, and close.

        Takes at most `close_timeout_s` and the time of a commit in flight. Stopping twice is stopping once. A server
        that reads its store gives up and does not listen; one that was not started is left as it is.
        """
        self.stop_wanted = self.started
        if self.running:
            self._stop_soon()
        if self._stop_task is not None:
            await asyncio.shield(self._stop_task)
        elif self.started:
            await self._over.wait()

    def _stop_soon(self) -> None:
        if self._stop_task is None:
            self._stop_task = self.loop.create_task(self._stop())

    async def _stop(self) -> None:
        self.stopping = True
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            await listener.close()
        if self._failure is None:
            self.broker.shutdown(self.now())
            self.driver.tick()
        else:
            self._abort_links()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.close_timeout_s):
                await self._idle.wait()
        self._abort_links()
        await self._idle.wait()
        while self._commit is not None and not self._commit.done():
            await self._commit
        if self._timer is not None:
            self._timer.cancel()
        self.end_verbs(self._failure or StorageError("the server has stopped"))
        try:
            if self.settings.store is not None:
                await self.settings.store.close()
        except StorageError as error:
            self._failure = self._failure or error
        finally:
            self._over.set()

    async def wait_stopped(self) -> None:
        """Wait until `stop` has been called and has ended.

        Raises:
            StorageError: the server stopped because its storage failed.
        """
        await self._over.wait()
        if self._failure is not None:
            raise self._failure

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def run(
        self,
        *,
        on_ready: Callable[[MqttServer], None] | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP, then drain; a second signal cuts the connections at once.

        on_ready: called when clients can connect. loop_factory: makes the event loop, for example
        ``uvloop.new_event_loop``.

        Raises:
            OSError, ConfigError, StorageError: as `start` and `wait_stopped`.
        """
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self._run(on_ready))

    async def _run(self, on_ready: Callable[[MqttServer], None] | None) -> None:
        await self._restore()

        def on_signal() -> None:
            if self.stopping:
                self._abort_links()
            else:
                self._stop_soon()

        for number in stop_signals():
            # Outside the main thread, and on Windows, the loop cannot; there the host calls `stop`.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                self.loop.add_signal_handler(number, on_signal)
        try:
            try:
                await self._listen()
            except ServerStoppedError:
                pass  # by a signal, which came while the first addresses were listened on already
            else:
                if on_ready is not None:
                    on_ready(self)
            await self.wait_stopped()
        finally:
            await self.stop()

    def _abort_links(self) -> None:
        for link in list(self._links):
            link.abort()

    # ------------------------------------------------------------------------------------------------ connections

    @property
    def connections(self) -> int:
        """Network connections at this moment, refused ones on their way out included."""
        return len(self._links)

    def new_protocol(self, peer: str = "") -> asyncio.BufferedProtocol:
        """The protocol object for a transport the host brings: its `connection_made` begins to serve it.

        peer: what policies are told of the other end. Raises ServerStoppedError when the server does not run.
        """
        self.check_running()
        return ServerLink(self, tls=False, address=Peer(peer))

    def link_made(self, link: ServerLink) -> None:
        """A connection was accepted."""
        self._links[link] = None
        self._idle.clear()

    def link_gone(self, link: ServerLink) -> None:
        """A connection has ended."""
        del self._links[link]
        self.driver.link_gone(link)
        if not self._links:
            self._idle.set()
        self.driver.tick()

    def input_arrived(self) -> None:
        """A connection was read from: tick now, or once for all that are ready in this turn of the loop."""
        if self._tick_due:
            self._reads_in_turn += 1
        elif self._reads_till_probe:
            self._reads_till_probe -= 1
            self.driver.tick()
        else:
            self._tick_due = True
            self._reads_in_turn = 1
            self.loop.call_soon(self._tick_of_turn)

    def _tick_of_turn(self) -> None:
        self._tick_due = False
        if self._reads_in_turn == 1:
            self._reads_till_probe = PROBE_EVERY
        self.driver.tick()

    # ------------------------------------------------------------------------------------------------- DriverHost

    def arm_timer(self, deadline: float) -> None:
        """See `DriverHost`."""
        if self._timer is not None:
            self._timer.cancel()
        if self.running:
            self._timer = self.loop.call_later(max(0.0, deadline - self.now()), self.driver.timer_fired)

    def run_commit(self, commit: Coroutine[object, object, None]) -> None:
        """See `DriverHost`."""
        self._commit = self.loop.create_task(commit)

    def storage_failed(self, error: Exception) -> None:
        """See `DriverHost`."""
        log.critical("the storage failed, the broker stops: %s", error)
        self._failure = storage_error(error)
        self._stop_soon()

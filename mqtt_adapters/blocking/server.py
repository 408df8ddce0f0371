"""An MQTT broker on blocking sockets and a selector, for programs without an event loop.

    with MqttServer(ServerConfig(bind_addr="127.0.0.1:1883")) as server:     one background thread serves
        server.publish("house/lamp", b"on")

    server = MqttServer(background=False)                                    no thread: the caller serves
    server.start()
    while True:
        server.pump(0.1)

Laws: those of the asyncio server. One lock guards the broker and everything around it; it is never held while the
selector waits, unless the caller serves and waits himself. One step is: select, accept, read and write, time, one tick.
Every verb may be called from any thread. A commit is made on the spot, so whatever has been said is durable.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Final, Self, Unpack

from mqtt_adapters.blocking.client_link import Transport
from mqtt_adapters.blocking.listening import Listener, open_listener
from mqtt_adapters.blocking.server_link import ServerLink, accepted
from mqtt_adapters.blocking.verbs import ServerVerbs
from mqtt_adapters.client.verbs import finish_now
from mqtt_adapters.config import ServerConfig
from mqtt_adapters.driver import BrokerDriver
from mqtt_adapters.server.peer import Peer
from mqtt_adapters.server.settings import ServerOptions, ServerSettings
from mqtt_adapters.server.verbs import stop_signals, storage_error
from mqtt_core.codec import StorageError
from mqtt_core.persistence import Snapshot, Storage, load

__all__ = ["MqttServer"]

log = logging.getLogger("mqtt_adapters")

ACCEPTS_PER_STEP: Final = 16
ACCEPT_RETRY_S: Final = 1.0
_STEP_MAX_S: Final = 3600.0


class MqttServer(ServerVerbs):
    """A broker that listens.

    background: whether a thread serves, from `start` to `stop`; otherwise the caller does, in `pump` or `run`. For the
    other options see `ServerOptions`.
    """

    def __init__(
        self, config: ServerConfig | None = None, *, background: bool = True, **options: Unpack[ServerOptions]
    ) -> None:
        super().__init__(ServerSettings(config, options))
        self.stopping = False
        self._background = background
        self._listeners: list[Listener] = []
        self._links: dict[ServerLink, None] = {}
        self._changed: dict[ServerLink, None] = {}
        self._readable: dict[ServerLink, None] = {}
        self._hurried: dict[ServerLink, float] = {}
        self._timer_at: float | None = None
        self._accept_at = 0.0
        self._failure: StorageError | None = None
        self._thread: threading.Thread | None = None
        self._starting_thread = 0
        self._server_thread = 0
        self._cut_wanted = False
        self._over = threading.Event()

    # ------------------------------------------------------------------------------------------- start and stop

    def start(self) -> Self:
        """Restore what the store holds, then listen. When it returns, clients can connect.

        Raises:
            OSError: an address cannot be listened on.
            ConfigError: a TLS file cannot be used.
            StorageError: the store cannot be read.
            RuntimeError: it was started before, or is stopped before it listens (`ServerStoppedError`).
        """
        self.start_once()
        self._starting_thread = threading.get_ident()
        store = self.settings.store
        self.restore_broker(None if store is None else self._load(store))
        self.driver = BrokerDriver(self.broker, self, self.now, store, self.settings.on_event)
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self.running = True
        try:
            with self.lock:
                self.check_wanted()
                for config in self.config.all_listeners():
                    self._listeners.append(open_listener(config))
                self._set_accepting(True)
                self.driver.tick()
                if self._background:
                    self._thread = threading.Thread(target=self._serve, name="mqtt-server", daemon=True)
                    self._thread.start()
        except BaseException:
            self._stop()
            raise
        return self

    def _load(self, store: Storage) -> Snapshot:
        try:
            snapshot = finish_now(load(store, self.reading_store))
            self.check_wanted()
        except BaseException:
            try:
                finish_now(store.close())
            finally:
                self._over.set()
            raise
        return snapshot

    def stop(self) -> None:
        """Stop listening, say goodbye to every client, and close; takes at most `close_timeout_s`.

        Stopping twice is stopping once. Called from the thread that serves, it only begins; `run` then ends. A server
        that reads its store gives up and does not listen; one that was not started is left as it is.
        """
        if not self.started:
            return
        self.stop_wanted = True
        if not self.running:
            if self._starting_thread != threading.get_ident():
                self._over.wait()
            return
        with self.lock:  # a start is done with, or has failed
            elsewhere = self.served_elsewhere
        if not elsewhere:
            if not self._server_thread:
                self._stop()
            return
        self.wake()
        self._over.wait()
        if self._thread is not None:
            self._thread.join()

    def _stop(self) -> None:
        with self.lock:
            if self.stopping:
                return
            self.stopping = True
            self._set_accepting(False)
            for listener in self._listeners:
                listener.close()
            self._listeners = []
            for link in list(self._links):
                if not link.opened:
                    link.abort()
            if self._failure is None:
                self.broker.shutdown(self.now())
                self.driver.tick()
        deadline = self.now() + self.config.close_timeout_s
        while not (self._failure or self._cut_wanted) and self._links and (left := deadline - self.now()) > 0:
            self._step(left)
        with self.lock:
            for link in list(self._links):
                link.abort()
            if self._failure is None:
                self.driver.tick()
            self._selector.close()
            self._wake_in.close()
            self._wake_out.close()
            self.end_verbs(self._failure or StorageError("the server has stopped"))
            try:
                if self.settings.store is not None:
                    finish_now(self.settings.store.close())
            except StorageError as error:
                self._failure = self._failure or error
            finally:
                self._over.set()

    def wait_stopped(self, timeout_s: float | None = None) -> bool:
        """Wait until the server has stopped; False when that took longer than `timeout_s` seconds.

        Raises:
            StorageError: it stopped because its storage failed.
        """
        over = self._over.wait(timeout_s)
        if self._failure is not None:
            raise self._failure
        return over

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, *, on_ready: Callable[[MqttServer], None] | None = None) -> None:
        """Serve here until SIGTERM, SIGINT, SIGHUP or `stop`, then drain; a second signal cuts the connections at once.

        Raises:
            OSError, ConfigError, StorageError: as `start` and `wait_stopped`.
        """
        self._background = False
        self._server_thread = threading.get_ident()
        self.start()
        with self._signals():
            try:
                if on_ready is not None:
                    on_ready(self)
            except BaseException:
                self.stop_wanted = True
                raise
            finally:
                self._serve()
        self.wait_stopped()

    def _serve(self) -> None:
        self._server_thread = threading.get_ident()
        try:
            while not self.stop_wanted:
                self._step(_STEP_MAX_S)
        finally:
            self._stop()
            self._server_thread = 0

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def on_signal(*_: object) -> None:
            # It comes in the midst of anything this thread does: it leaves word, and looks at nothing.
            self._cut_wanted = self.stop_wanted
            self.stop_wanted = True
            with contextlib.suppress(OSError):  # see `wake`, which spares the thread that serves
                self._wake_out.send(b"x")

        kept = {}
        if threading.current_thread() is threading.main_thread():
            kept = {number: signal.signal(number, on_signal) for number in stop_signals()}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    # ------------------------------------------------------------------------------------------------------- serving

    @property
    def served_elsewhere(self) -> bool:
        """Another thread than the caller's serves."""
        if self._thread is None:
            return self._server_thread not in {0, threading.get_ident()}
        return self._thread is not threading.current_thread()

    def pump(self, timeout: float | None = 0.0) -> None:
        """Serve in the caller's thread: do what is due, waiting up to `timeout` seconds for something to come up.

        Raises:
            RuntimeError: another thread serves, or this one, further up.
            StorageError: the storage has failed, and the server with it.
        """
        if self.served_elsewhere or self._server_thread:
            raise RuntimeError("a thread serves already; make the server with background=False to pump it")
        if self.running:
            self._step(_STEP_MAX_S if timeout is None else timeout)
            if self.stop_wanted:
                self._stop()
        if self._failure is not None:
            raise self._failure

    def _step(self, timeout: float) -> None:
        with self.lock:
            left = self._prepare(timeout)
        found = self._selector.select(left)
        with self.lock:
            for key, mask in found:
                if isinstance(key.fileobj, ServerLink):
                    self._serve_link(key.fileobj, mask)
                elif key.fileobj is self._wake_in:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_in.recv(4096)
                else:
                    self._accept(key.data, key.fileobj)
            readable, self._readable = self._readable, {}
            for link in readable:
                self._serve_link(link, selectors.EVENT_READ)
            self._handle_time()
            self.driver.tick()

    def _prepare(self, timeout: float) -> float:
        """Tell the selector what has changed; returns how long it may wait."""
        changed, self._changed = self._changed, {}
        for link in changed:
            if not link.closed and link.wanted != link.registered:
                if not link.registered:
                    self._selector.register(link, link.wanted)
                elif link.wanted:
                    self._selector.modify(link, link.wanted)
                else:
                    self._selector.unregister(link)
                link.registered = link.wanted
        if self._readable:
            return 0.0
        now = self.now()
        times = [now + timeout, *self._hurried.values()]
        if self._timer_at is not None:
            times.append(self._timer_at)
        if self._accept_at:
            times.append(self._accept_at)
        return max(0.0, min(times) - now)

    def _serve_link(self, link: ServerLink, mask: int) -> None:
        try:
            if not link.closed:
                link.ready(mask)
                self.link_changed(link)
        except OSError as error:
            log.info("a connection was not completed: %s", error)
            link.close()
        except Exception:
            log.exception("a bug while serving %r, which is dropped", link)
            link.abort()

    def _handle_time(self) -> None:
        now = self.now()
        for link, deadline in list(self._hurried.items()):
            if deadline <= now:
                link.abort()
        if self._accept_at and self._accept_at <= now and not self.stopping:
            self._set_accepting(True)
        if self._timer_at is not None and self._timer_at <= now:
            self._timer_at = None
            self.driver.timer_fired()

    # ------------------------------------------------------------------------------------------------ connections

    def serve_transport(self, transport: Transport, peer: str = "") -> None:
        """Serve a transport that is connected, whoever connected it: the end of a socket pair, a serial line.

        peer: what policies are told of the other end. Raises ServerStoppedError when the server does not run.
        """
        self.check_running()
        with self.lock:
            link = ServerLink(self, transport, Peer(peer), None)
            self._links[link] = None
            link.shake_hands()
            self.driver.tick()
            self.wake()

    def _set_accepting(self, accepting: bool) -> None:
        self._accept_at = 0.0 if accepting or self.stopping else self.now() + ACCEPT_RETRY_S
        registered = self._selector.get_map()
        for listener in self._listeners:
            for sock in listener.sockets:
                if accepting:
                    self._selector.register(sock, selectors.EVENT_READ, listener)
                elif sock in registered:
                    self._selector.unregister(sock)

    def _accept(self, listener: Listener, listening: Any) -> None:
        for _ in range(ACCEPTS_PER_STEP):
            try:
                sock, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("cannot accept connections for %g s: %s", ACCEPT_RETRY_S, error.strerror or error)
                self._set_accepting(False)
                return
            try:
                link = accepted(self, sock, listener)
            except OSError as error:
                log.info("a connection was not completed: %s", error)
                continue
            if sum(not other.opened for other in self._hurried) >= self.config.max_connections:
                sock.close()
                continue
            self._links[link] = None
            self._hurried[link] = self.now() + self.config.connect_timeout_s
            self._serve_link(link, 0)

    def link_made(self, link: ServerLink) -> None:
        """The handshakes of a connection are done."""
        self._hurried.pop(link, None)
        link.handler = self.broker.connection_made(self.now(), owner=link, peer=link.peer)

    def link_changed(self, link: ServerLink) -> None:
        """A link wants something else of the selector."""
        self._changed[link] = None

    def read_soon(self, link: ServerLink) -> None:
        """A link has input the selector cannot see."""
        self._readable[link] = None

    def link_closing(self, link: ServerLink) -> None:
        """A link says goodbye, and has `close_timeout_s` for it."""
        self._hurried[link] = self.now() + self.config.close_timeout_s

    def link_gone(self, link: ServerLink) -> None:
        """A connection has ended."""
        for known in (self._links, self._changed, self._readable, self._hurried):
            known.pop(link, None)
        if link.registered:
            self._selector.unregister(link)
            link.registered = 0
        if link.opened:
            self.driver.link_gone(link)

    @property
    def connections(self) -> int:
        """Network connections at this moment, refused ones on their way out included."""
        return sum(link.opened for link in self._links)

    def wake(self) -> None:
        """See `ServerVerbs`."""
        if self.served_elsewhere:
            with contextlib.suppress(OSError):  # so many wake it already that no more fit, or it is gone
                self._wake_out.send(b"x")

    # ------------------------------------------------------------------------------------------------- DriverHost

    def arm_timer(self, deadline: float) -> None:
        """See `DriverHost`."""
        self._timer_at = deadline

    def run_commit(self, commit: Coroutine[object, object, None]) -> None:
        """See `DriverHost`."""
        commit.close()
        self.storage_failed(StorageError("this storage needs an event loop; a blocking server has none"))

    def storage_failed(self, error: Exception) -> None:
        """See `DriverHost`."""
        log.critical("the storage failed, the broker stops: %s", error)
        self._failure = self._ended_by = storage_error(error)
        self.stop_wanted = True
        self.wake()

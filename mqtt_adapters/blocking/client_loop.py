"""The work of a blocking client: connecting, reading, writing, time; in a background thread or in the caller's.

Laws. One lock guards the core, the driver and the link; nobody waits for the network while holding it, but for a moment
of a full socket's `send`. One step is: select, read, write, timer, reconnect. Whoever needs a step soon sends one byte
to the selector, once until it is read, so that verbs of a busy program leave in one piece.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final

from mqtt_adapters.blocking.client_link import ClientLink, Connector, open_link
from mqtt_adapters.blocking.waiting import ThreadWaiter
from mqtt_adapters.client.driver import FLUSH_BYTES, ClientDriver
from mqtt_adapters.client.settings import ClientSettings
from mqtt_adapters.client.verbs import finish_now
from mqtt_adapters.errors import ClientClosed, ConnectError, OperationTimeout, connect_error
from mqtt_core.codec import LocalProtocolError
from mqtt_core.persistence import load

__all__ = ["ClientLoop"]

_STEP_MAX_S: Final = 3600.0


class ClientLoop:
    """One client's sockets and time. background: a thread does the work, otherwise whoever calls `step` and `wait`."""

    def __init__(self, settings: ClientSettings, connector: Connector | None, background: bool) -> None:
        self.settings = settings
        self.background = background
        self.lock = threading.RLock()
        self.driver: ClientDriver
        self.started = False
        self._connector = connector
        self._link: ClientLink | None = None
        self._registered = 0
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._connecting = False
        self._worker: int | None = None
        self._woken = False
        self._room = threading.Condition(self.lock)
        self._selector: selectors.BaseSelector
        self._wake_in: socket.socket
        self._wake_out: socket.socket

    # -- opening and closing -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the store, connect, and wait for the outcome, unless that is left to the background."""
        if self.started:
            raise ClientClosed("a client starts once; make another one")
        store = self.settings.store
        try:
            snapshot = finish_now(load(store)) if store is not None else None
            self.driver = ClientDriver(self.settings, self, snapshot)
        except BaseException:
            if store is not None:
                finish_now(store.close())
            raise
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self.started = True
        if self.settings.start_offline:
            self.driver.connect_in_background()
            with self.lock:
                self.flush()
            self._start_thread()
            return
        opening = ThreadWaiter()
        self.driver.opening = opening
        try:
            self._connect()
            self._start_thread()
            self.wait(opening, None)
        except BaseException:
            self.close()
            raise

    def _start_thread(self) -> None:
        if self.background:
            self._thread = threading.Thread(target=self._work, name="mqtt-client", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Disconnect, and give everything back."""
        if not self.started or self._stopping:
            return
        with self.lock:
            self._stopping = True
            driver = self.driver
            driver.close()
            self._room.notify_all()
            self.wake()
        if self._thread is None:
            self._say_goodbye()
        elif self._thread is not threading.current_thread():
            self._thread.join()
        driver.commit()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
        if self.settings.store is not None:
            finish_now(self.settings.store.close())

    def _say_goodbye(self) -> None:
        """Bring out what is still to be said, for a bounded time."""
        clock = self.driver.clock
        deadline = clock() + self.settings.config.close_timeout_s
        while self._link is not None and (left := deadline - clock()) > 0:
            self.step(left)
        with self.lock:
            self._drop_link()

    def _work(self) -> None:
        """The background thread. A fault that ends it, of the host's connector for example, ends the client."""
        try:
            while not self._stopping:
                self.step(_STEP_MAX_S)
            self._say_goodbye()
        except Exception as error:
            with self.lock:
                self.driver.fail("the client's thread failed", error)
                self._drop_link()
            raise

    def _connect(self) -> None:
        """One attempt: a transport, and CONNECT on it. Raises ConnectError."""
        settings = self.settings
        try:
            link = open_link(settings, self._connector)
        except (OSError, ValueError) as error:
            tls = settings.tls is not None
            raise connect_error(settings.address, error, settings.connect_timeout_s, tls=tls) from error
        with self.lock:
            if self._stopping:
                link.close()
                return
            self._link = link
            self._registered = selectors.EVENT_READ
            self._selector.register(link.transport, selectors.EVENT_READ)
            self.driver.core.connect(self.driver.clock())
            self.flush()

    # -- one step ----------------------------------------------------------------------------------------------------

    def step(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for something to do, and do it."""
        with self.lock:
            left = self._left(timeout)
            self._register()
        readable = False
        for key, mask in self._selector.select(left):
            if key.fileobj is self._wake_in:
                # In this order: who wakes in between is served by the flush below, and no byte is taken for nothing.
                with contextlib.suppress(BlockingIOError):
                    self._wake_in.recv(64)
                self._woken = False
            else:
                readable = bool(mask & selectors.EVENT_READ)
        with self.lock:
            self._worker = threading.get_ident()
            try:
                if readable:
                    self._read()
                self._timers()
                self.flush()
            finally:
                self._worker = None
        self._reconnect()

    def _left(self, timeout: float) -> float:
        """Seconds until something is due, at most `timeout`."""
        now = self.driver.clock()
        for deadline in (self.driver.next_deadline(), None if self._link else self.driver.core.reconnect_at):
            if deadline is not None:
                timeout = min(timeout, deadline - now)
        return max(0.0, timeout)

    def _register(self) -> None:
        """Wait for what the link can do now."""
        link = self._link
        if link is None:
            return
        wanted = (selectors.EVENT_READ if link.reading else 0) | (0 if link.writable else selectors.EVENT_WRITE)
        if wanted == self._registered:
            return
        if not self._registered:
            self._selector.register(link.transport, wanted)
        elif wanted:
            self._selector.modify(link.transport, wanted)
        else:
            self._selector.unregister(link.transport)
        self._registered = wanted

    def _read(self) -> None:
        link = self._link
        if link is None:
            return
        data = link.read()
        if data is None:
            self._drop_link()
        elif data:
            self.driver.core.receive_data(data, self.driver.clock())
        self.driver.dispatch()

    def _timers(self) -> None:
        driver = self.driver
        deadline = driver.next_deadline()
        if deadline is not None and deadline <= driver.clock():
            driver.handle_timer()
            driver.dispatch()

    def _reconnect(self) -> None:
        """Try to connect again if it is time to; without the lock, for it may take a while."""
        driver = self.driver
        reconnect_at = driver.core.reconnect_at
        if self._link is not None or self._stopping or reconnect_at is None or driver.clock() < reconnect_at:
            return
        self._connecting = True
        try:
            self._connect()
        except ConnectError as error:
            with self.lock:
                driver.connect_failed(error.reason)
        finally:
            self._connecting = False

    def flush(self) -> None:
        """Commit, write, and follow the core's wish to pause or close. The lock is held."""
        driver = self.driver
        driver.commit()
        link = self._link
        if link is None:
            self._room.notify_all()
            return
        core = driver.core
        link.flush()
        if link.writable:
            chunks = core.data_to_send()
            if chunks:
                link.write(b"".join(chunks))
        link.reading = not (core.reading_held or core.reading_paused)
        if (core.closing and link.writable) or driver.out_of_patience():
            self._drop_link()
        if core.outbox_bytes <= FLUSH_BYTES:
            self._room.notify_all()

    def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        if self._registered:
            self._selector.unregister(link.transport)
        link.close()
        self.driver.link_ended()

    # -- for the verbs -----------------------------------------------------------------------------------------------

    def open_driver(self) -> ClientDriver:
        """The driver of a client that is open."""
        if not self.started:
            raise ClientClosed("the client was not started")
        self.driver.check_open()
        return self.driver

    def done(self) -> None:
        """A verb has changed something: bring it out. The lock is held."""
        if self.background:
            self.wake()
        if not self.background or self._connecting:
            self.flush()  # the thread may be away for a while, and what was done shall be in the store

    def wake(self) -> None:
        """There may be something to write, or another deadline: a step is due."""
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):  # enough bytes wait there, or the client is closed
                self._wake_out.send(b"\0")

    def make_room(self) -> None:
        """Wait while the network is slower than the program. The lock is held."""
        core = self.driver.core
        if self._working():
            self.flush()
            return
        if not self.background:
            while core.outbox_bytes > FLUSH_BYTES and self._link is not None:
                self.step(1.0)
            return
        self.flush()
        while core.outbox_bytes > FLUSH_BYTES and self._link is not None and not self._stopping:
            self._room.wait()

    def _working(self) -> bool:
        """This is a callback: its thread is in the middle of a step."""
        return threading.current_thread() is self._thread or self._worker == threading.get_ident()

    def wait(self, waiter: ThreadWaiter, timeout: float | None) -> Any:
        """Wait for a result, working meanwhile if there is no background thread. The lock is not held.

        Raises OperationTimeout, or the error the waiter was finished with.
        """
        if self._working() and not waiter.done():
            raise LocalProtocolError("a callback cannot wait for an answer: the thread it runs in would bring it")
        if not self.background:
            clock = self.driver.clock
            deadline = None if timeout is None else clock() + timeout
            while not waiter.done() and (deadline is None or clock() < deadline):
                self.step(_STEP_MAX_S if deadline is None else max(0.0, deadline - clock()))
        else:
            waiter.wait(timeout)
        if not waiter.done():
            raise OperationTimeout(f"no answer within {timeout:g} s")
        return waiter.result()

    # -- the driver's host -------------------------------------------------------------------------------------------

    def run_commit(self, commit: Coroutine[object, object, None]) -> None:
        """See `ClientHost`."""
        finish_now(commit)

    def callback_failed(self, error: Exception) -> None:
        """See `ClientHost`."""
        thread = threading.current_thread()
        if thread is self._thread:
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, thread)))
        else:
            sys.excepthook(type(error), error, error.__traceback__)

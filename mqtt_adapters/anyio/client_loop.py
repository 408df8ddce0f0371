"""The work of the anyio client: connecting, reading, writing, time; on asyncio and on trio.

Laws. All tasks live in one task group, entered and left with the client: one that connects and reads, one that writes
and watches the time, and for a store one while it commits. What programs write while the writer waits leaves in one
piece. An error of a callback ends the client, as an error of any child task does.
"""

from __future__ import annotations

from collections.abc import Coroutine
from math import inf
from types import TracebackType
from typing import Any

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from mqtt_adapters.anyio.client_link import ClientLink, Connector, open_link
from mqtt_adapters.anyio.waiting import TaskWaiter
from mqtt_adapters.client.driver import FLUSH_BYTES, ClientDriver
from mqtt_adapters.client.settings import ClientSettings
from mqtt_adapters.client.verbs import finish_now
from mqtt_adapters.errors import ClientClosed, ConnectError, connect_error
from mqtt_core.persistence import Batch, load

__all__ = ["ClientLoop"]


class ClientLoop:
    """One client's tasks, stream and time."""

    def __init__(self, settings: ClientSettings, connector: Connector | None) -> None:
        self.settings = settings
        self.driver: ClientDriver
        self.started = False
        self._connector = connector
        self._group: TaskGroup
        self._link: ClientLink | None = None
        self._reading: anyio.CancelScope
        self._timer_at = inf
        self._timer_moved: anyio.Event
        self._idle: anyio.Event
        self._wakeup: anyio.Event
        self._readable: anyio.Event
        self._room: anyio.Event
        self._over: anyio.Event
        self._closed = False

    # -- opening and closing -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store, connect, and wait for the outcome, unless that is left to the background."""
        if self.started:
            raise ClientClosed("a client starts once; make another one")
        store = self.settings.store
        try:
            snapshot = await to_thread.run_sync(lambda: finish_now(load(store))) if store is not None else None
            self.driver = ClientDriver(self.settings, self, snapshot, self._apply)
        except BaseException:
            await self._close_store()
            raise
        self.started = True
        self._timer_moved = anyio.Event()
        self._idle = anyio.Event()
        self._wakeup = anyio.Event()
        self._readable = anyio.Event()
        self._room = anyio.Event()
        self._over = anyio.Event()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        try:
            opening: TaskWaiter | None = None
            link: ClientLink | None = None
            if self.settings.start_offline:
                self.driver.connect_in_background()
            else:
                opening = self.driver.opening = TaskWaiter()
                link = await self._connect()
            self._group.start_soon(self._keep_connected, link)
            self._group.start_soon(self._write)
            self._group.start_soon(self._watch_time)
            if opening is not None:
                await opening.wait()
        except BaseException as error:
            await self.close(type(error), error, error.__traceback__)
            raise

    async def close(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> bool | None:
        """Disconnect, give everything back, and leave the task group."""
        if not self.started or self._closed:
            return None
        self._closed = True
        driver = self.driver
        driver.close()
        self.wake()
        self._room.set()
        with anyio.move_on_after(self.settings.config.close_timeout_s, shield=True):
            if self._link is not None:
                await self._over.wait()
            if self._link is not None:
                await self._say_goodbye(self._link)
        with anyio.CancelScope(shield=True):
            await self._finish_commits()
        if self._link is not None:
            with anyio.CancelScope(shield=True):
                await self._link.abort()
        self._group.cancel_scope.cancel()
        # The program's own error passes by as it is; only a cancellation may be the group's to take back.
        cancelled = kind is not None and issubclass(kind, anyio.get_cancelled_exc_class())
        try:
            if cancelled:
                return await self._group.__aexit__(kind, error, traceback)
            await self._group.__aexit__(None, None, None)
            return None
        finally:
            await self._close_store()

    async def _close_store(self) -> None:
        store = self.settings.store
        if store is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(lambda: finish_now(store.close()))

    async def _say_goodbye(self, link: ClientLink) -> None:
        """A cancellation has ended the tasks: bring out the last words in their place."""
        if chunks := self.driver.core.data_to_send():
            await link.write(b"".join(chunks))
        await link.close()

    async def _finish_commits(self) -> None:
        while True:
            self.driver.commit()
            if not self.driver.committing:
                return
            await self._idle.wait()

    async def _connect(self) -> ClientLink:
        """One attempt: a stream, and CONNECT on it. Raises ConnectError."""
        settings = self.settings
        try:
            link = await open_link(settings, self._connector)
        except (OSError, ValueError) as error:
            tls = settings.tls is not None
            raise connect_error(settings.address, error, settings.connect_timeout_s, tls=tls) from error
        self._link = link
        self._reading = anyio.CancelScope()
        self.driver.core.connect(self.driver.clock())
        self.wake()
        return link

    # -- the tasks ---------------------------------------------------------------------------------------------------

    async def _keep_connected(self, link: ClientLink | None) -> None:
        """Have a connection as long as the core wants one."""
        try:
            await self._serve(link)
        finally:
            self._over.set()

    async def _serve(self, link: ClientLink | None) -> None:
        """Read until the connection is over, and connect again whenever the core says so."""
        driver = self.driver
        while True:
            if link is not None:
                await self._read(link)
                self._link = None
                self._room.set()
                driver.link_ended()
                driver.commit()
                with anyio.move_on_after(self.settings.config.close_timeout_s, shield=True) as patience:
                    await link.close()
                if patience.cancelled_caught:
                    await link.abort()
            reconnect_at = driver.core.reconnect_at
            if reconnect_at is None or self._closed:
                return
            await anyio.sleep(max(0.0, reconnect_at - driver.clock()))
            try:
                link = await self._connect()
            except ConnectError as error:
                link = None
                driver.connect_failed(error.reason)

    async def _read(self, link: ClientLink) -> None:
        """Give the core what arrives, until this side or the other has had enough."""
        driver = self.driver
        core = driver.core
        with self._reading:
            while True:
                while core.reading_held or core.reading_paused:
                    self._readable = anyio.Event()
                    await self._readable.wait()
                data = await link.read()
                if data is None:
                    return
                if data:
                    core.receive_data(data, driver.clock())
                    driver.dispatch()
                    self.wake()

    async def _write(self) -> None:
        """Write what there is to say."""
        driver = self.driver
        core = driver.core
        while True:
            driver.commit()
            link = self._link
            if link is not None:
                while chunks := core.data_to_send():
                    # What has been taken leaves whole, though a cancellation has come: the last words follow it.
                    with anyio.CancelScope(shield=True):
                        await link.write(b"".join(chunks))
                if core.closing or driver.failure is not None:
                    self._reading.cancel()
            if core.outbox_bytes <= FLUSH_BYTES:
                self._room.set()
            self._resume_reading()
            await self._wakeup.wait()
            self._wakeup = anyio.Event()

    def _resume_reading(self) -> None:
        """Let the reader go on if it may, a server may not read before it is read."""
        core = self.driver.core
        if not (core.reading_held or core.reading_paused):
            self._readable.set()

    async def _watch_time(self) -> None:
        """Be there when a deadline comes, whatever the writer is waiting for."""
        driver = self.driver
        while True:
            deadline = driver.next_deadline()
            self._timer_at = inf if deadline is None else deadline
            self._timer_moved = anyio.Event()
            with anyio.move_on_after(inf if deadline is None else max(0.0, deadline - driver.clock())):
                await self._timer_moved.wait()
            self._timers()
            if driver.out_of_patience() and self._link is not None:
                self._reading.cancel()
                await self._link.abort()
            self._wakeup.set()

    def _timers(self) -> None:
        driver = self.driver
        deadline = driver.next_deadline()
        if deadline is not None and deadline <= driver.clock():
            driver.handle_timer()
            driver.dispatch()

    # -- for the verbs -----------------------------------------------------------------------------------------------

    def open_driver(self) -> ClientDriver:
        """The driver of a client that is open."""
        if not self.started:
            raise ClientClosed("the client was not started")
        self.driver.check_open()
        return self.driver

    def new_waiter(self) -> TaskWaiter:
        """Something to wait on."""
        return TaskWaiter()

    async def wait(self, waiter: TaskWaiter, timeout: float | None) -> Any:
        """Wait for a result. Raises OperationTimeout after `timeout` seconds."""
        return await waiter.wait(timeout)

    def reading_resumed(self) -> None:
        """A stream has room again."""
        if not self.driver.follow_buffers():
            self.wake()

    async def make_room(self) -> None:
        """Let the writer run; wait while the stream is full."""
        self.wake()
        await anyio.lowlevel.checkpoint()
        while self.driver.core.outbox_bytes > FLUSH_BYTES and self._link is not None and not self._closed:
            self._room = anyio.Event()
            await self._room.wait()

    # -- the driver's host -------------------------------------------------------------------------------------------

    async def _apply(self, batch: Batch) -> None:
        """Commit in a worker thread: a store may block, and know nothing of this event loop."""
        store = self.settings.store
        assert store is not None
        await to_thread.run_sync(lambda: finish_now(store.apply(batch)))

    def run_commit(self, commit: Coroutine[object, object, None]) -> None:
        """See `ClientHost`."""
        self._idle = anyio.Event()
        self._group.start_soon(self._run_commit, commit)

    async def _run_commit(self, commit: Coroutine[object, object, None]) -> None:
        with anyio.CancelScope(shield=True):
            await commit
        self._idle.set()

    def callback_failed(self, error: Exception) -> None:
        """See `ClientHost`."""
        self._group.start_soon(_raise, error)

    def wake(self) -> None:
        """Write soon, and see to the next deadline; see `ClientHost`."""
        self._wakeup.set()
        self._resume_reading()
        deadline = self.driver.next_deadline()
        if deadline is not None and deadline < self._timer_at:
            self._timer_moved.set()


async def _raise(error: Exception) -> None:
    raise error

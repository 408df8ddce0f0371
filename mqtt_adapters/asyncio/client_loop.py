"""The work of the asyncio client: connecting, reading, writing, time.

Laws. What a program writes in one turn of the loop leaves in one piece at its end, or when there is a good deal of
it; a publisher that is faster than the network waits. There is one task, which connects again; one timer; and for a
store that takes its time, a task while it commits. `close` leaves none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from typing import Any

from mqtt_adapters.asyncio.client_link import ClientLink, Connector, open_transport
from mqtt_adapters.client.driver import FLUSH_BYTES, ClientDriver
from mqtt_adapters.client.settings import ClientSettings
from mqtt_adapters.errors import ClientClosed, ConnectError, OperationTimeout, connect_error
from mqtt_core.persistence import load

__all__ = ["ClientLoop"]


class ClientLoop:
    """One client's transport and time, between an event loop and the driver."""

    def __init__(self, settings: ClientSettings, connector: Connector | None) -> None:
        self.settings = settings
        self.driver: ClientDriver
        self.started = False
        self.loop: asyncio.AbstractEventLoop
        self._connector = connector
        self._link: ClientLink | None = None
        self._link_gone = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._commit: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flush_due = False
        self._closed = False

    # -- opening and closing -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store, connect, and wait for the outcome, unless that is left to the background."""
        if self.started:
            raise ClientClosed("a client starts once; make another one")
        self.loop = asyncio.get_running_loop()
        store = self.settings.store
        try:
            snapshot = await load(store) if store is not None else None
            self.driver = ClientDriver(self.settings, self, snapshot)
        except BaseException:
            if store is not None:
                await store.close()
            raise
        self.started = True
        self._link_gone.set()
        if self.settings.start_offline:
            self.driver.connect_in_background()
            self.flush()
        else:
            await self._first_connection()
        self._keeper = self.loop.create_task(self._keep_connected())

    async def _first_connection(self) -> None:
        opening: asyncio.Future[Any] = self.loop.create_future()
        self.driver.opening = opening
        try:
            await self._connect()
            await opening
        except BaseException:
            opening.cancel()
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect, and give everything back."""
        if not self.started or self._closed:
            return
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
        self.driver.close()
        self.flush()
        try:
            await self._say_goodbye()
        finally:
            await self._give_back()

    async def _say_goodbye(self) -> None:
        """Wait until the last words have left, for a bounded time."""
        if self._keeper is not None:
            await asyncio.wait([self._keeper])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.config.close_timeout_s):
                await self._link_gone.wait()

    async def _give_back(self) -> None:
        """Leave no socket, task, timer or file, though the wait for the server was cancelled."""
        if self._link is not None:
            self._link.abort()
            await self._link_gone.wait()
        while True:
            self.driver.commit()
            if self._commit is None:
                break
            await asyncio.wait([self._commit])
        if self._timer is not None:
            self._timer.cancel()
        if self.settings.store is not None:
            await self.settings.store.close()

    async def _connect(self) -> None:
        """One attempt: a transport, and CONNECT on it. Raises ConnectError."""
        settings = self.settings
        link = ClientLink(self)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await open_transport(link, settings, self._connector)
        except BaseException as error:
            link.abort()
            if not isinstance(error, OSError | ValueError):
                raise
            tls = settings.tls is not None
            raise connect_error(settings.address, error, settings.connect_timeout_s, tls=tls) from error
        self._link = link
        self._link_gone.clear()
        self.driver.core.connect(self.driver.clock())
        self.flush()

    async def _keep_connected(self) -> None:
        """Connect again whenever the core says so, until it says no more."""
        driver = self.driver
        while True:
            await self._link_gone.wait()
            reconnect_at = driver.core.reconnect_at
            if reconnect_at is None:
                return
            await asyncio.sleep(max(0.0, reconnect_at - driver.clock()))
            try:
                await self._connect()
            except ConnectError as error:
                driver.connect_failed(error.reason)
            except Exception as error:  # noqa: BLE001 - a fault of the host's connector
                driver.fail("the connector failed", error)
                return

    # -- the transport -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of the server have arrived."""
        driver = self.driver
        driver.core.receive_data(data, driver.clock())
        driver.dispatch()
        self.flush()

    def link_lost(self, link: ClientLink) -> None:
        """The transport is closed, by whichever side."""
        if self._link is link:
            self._link = None
            self._link_gone.set()
            self.driver.link_ended()
            self.driver.commit()

    def wake(self) -> None:
        """Flush at the end of this turn of the event loop; see `ClientHost`."""
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        if self._flush_due:
            self.flush()

    def flush(self) -> None:
        """Commit, write, follow the core's wish to pause or close, and set the one timer."""
        self._flush_due = False
        driver = self.driver
        driver.commit()
        core = driver.core
        link = self._link
        if link is not None:
            if link.writable:
                chunks = core.data_to_send()
                if chunks:
                    link.write(b"".join(chunks))
                if core.closing:
                    link.close()
            link.set_reading(not (core.reading_held or core.reading_paused))
            if driver.out_of_patience():
                link.abort()
        deadline = driver.next_deadline()
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self.loop.call_later(max(0.0, deadline - driver.clock()), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.driver.handle_timer()
        self.driver.dispatch()
        self.flush()

    def reading_resumed(self) -> None:
        """A stream has room again."""
        if not self.driver.follow_buffers():
            self.wake()

    # -- for the verbs -----------------------------------------------------------------------------------------------

    def open_driver(self) -> ClientDriver:
        """The driver of a client that is open."""
        if not self.started:
            raise ClientClosed("the client was not started")
        self.driver.check_open()
        return self.driver

    def new_waiter(self) -> asyncio.Future[Any]:
        """Something to wait on."""
        return self.loop.create_future()

    @staticmethod
    async def wait(waiter: Awaitable[Any], timeout: float | None) -> Any:
        """Wait for a result. Raises OperationTimeout after `timeout` seconds."""
        if timeout is None:
            return await waiter
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except OperationTimeout:
            raise
        except TimeoutError:
            raise OperationTimeout(f"no answer within {timeout:g} s") from None

    async def make_room(self) -> None:
        """Write now, and let others run; wait while the transport is full."""
        self.flush()
        await asyncio.sleep(0)
        link = self._link
        if link is not None and not link.writable and self.driver.core.outbox_bytes > FLUSH_BYTES:
            await link.wait_writable()

    # -- the driver's host -------------------------------------------------------------------------------------------

    def run_commit(self, commit: Coroutine[object, object, None]) -> None:
        """See `ClientHost`."""
        self._commit = self.loop.create_task(commit)
        self._commit.add_done_callback(self._commit_done)

    def _commit_done(self, task: asyncio.Task[None]) -> None:
        if self._commit is task:
            self._commit = None

    def callback_failed(self, error: Exception) -> None:
        """See `ClientHost`."""
        self.loop.call_exception_handler({"message": "a callback of an MQTT client failed", "exception": error})

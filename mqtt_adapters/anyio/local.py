"""The host's own messages and verbs on the anyio server, for its event loop and for other threads.

Laws: see `mqtt_adapters.server.verbs`. Other threads come in through the server's own blocking portal; a call that is
under way when the server stops ends with it.
"""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from mqtt_adapters.anyio.waiting import TaskWaiter
from mqtt_adapters.server import async_threadsafe
from mqtt_adapters.server.settings import ServerSettings
from mqtt_adapters.server.verbs import HostSubscription, HostVerbs, ServerStoppedError
from mqtt_core.router.local import LocalMessage, LocalSubscriber

__all__ = ["ServerVerbs", "Subscription", "ThreadsafeServer"]

T = TypeVar("T")


class Subscription(HostSubscription):
    """Messages for the host, made by `MqttServer.subscribe`: ``async for message in subscription``. See
    `HostSubscription`."""

    def __init__(self, server: HostVerbs, subscriber: LocalSubscriber) -> None:
        super().__init__(server, subscriber)
        self._changed = anyio.Event()

    def wake(self) -> None:
        """See `HostSubscription`."""
        self._changed.set()

    async def get(self) -> LocalMessage | None:
        """The next message, waiting for it; None when there will be none."""
        while (message := self.take()) is None:
            if self._over:
                return None
            self._changed = anyio.Event()
            await self._changed.wait()
        return message

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> LocalMessage:
        message = await self.get()
        if message is None:
            raise StopAsyncIteration
        return message


class ServerVerbs(HostVerbs):
    """`HostVerbs`, with the waiting of anyio."""

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self.portal: BlockingPortal
        self.thread = 0

    @property
    def threadsafe(self) -> ThreadsafeServer:
        """The same verbs for any thread but the one of the event loop."""
        return ThreadsafeServer(self)

    async def committed(self, barrier: int) -> None:
        """Wait until what `publish` did is durable; without a store, and for what needs none, that is at once.

        Raises:
            StorageError: the storage failed, or the server stopped before it was asked.
        """
        waiter = TaskWaiter()
        if self.expect_commit(barrier, waiter):
            await waiter.wait()

    def subscribe(
        self, topic_filter: str, *, qos: int = 0, name: str | None = None, manual_ack: bool = False
    ) -> Subscription:
        """Subscribe inside the process: an async iterator of messages. The arguments are those of the asyncio server.

        Raises:
            InvalidTopicFilter, LocalProtocolError: what a client would be refused for.
        """
        subscription = Subscription(self, self.open_subscriber(topic_filter, qos, name, manual_ack))
        self.add_subscription(subscription)
        return subscription


class ThreadsafeServer(async_threadsafe.ThreadsafeServer):
    """`MqttServer.threadsafe`: publish, subscribe and disconnect from any thread but the one of the event loop."""

    def __init__(self, server: ServerVerbs) -> None:
        super().__init__(server, server)
        self._portal_of = server

    def call(self, work: Coroutine[object, object, T], timeout_s: float | None) -> T:
        """Run `work` in the loop of the server and wait for its result, at most `timeout_s` seconds.

        Raises:
            ServerStoppedError: the server does not run. TimeoutError: the time is over. RuntimeError: this is the
                thread of the loop.
        """

        async def limited() -> T:
            with anyio.fail_after(timeout_s):
                return await work

        server = self._portal_of
        if not server.running or server.thread == threading.get_ident():
            work.close()
            if server.running:
                raise RuntimeError("threadsafe is for other threads; the loop's own uses the server's plain verbs")
            raise ServerStoppedError("the server is not running")
        try:
            return server.portal.call(limited)
        except (RuntimeError, CancelledError):  # the portal may have closed since the look above
            work.close()
            if server.running:
                raise
            raise ServerStoppedError("the server has stopped") from None

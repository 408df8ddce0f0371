"""The host's own messages: an in-process subscription as an async iterator, and the same verbs for other threads.

Laws: a message is shown only when what it rests on is durable; a subscriber that does not take its messages costs the
core's bound (`local_queue_max`) and nobody any time. Every thread but the one of the event loop uses
`ThreadsafeServer`, which hands each call over to the loop and waits for its result.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, TypeVar

from mqtt_adapters.server import async_threadsafe
from mqtt_adapters.server.async_threadsafe import ThreadsafeSubscription
from mqtt_adapters.server.verbs import HostSubscription, HostVerbs, ServerStoppedError
from mqtt_core.router.local import LocalMessage, LocalSubscriber

if TYPE_CHECKING:
    from mqtt_adapters.asyncio.verbs import ServerVerbs

__all__ = ["ServerStoppedError", "Subscription", "ThreadsafeServer", "ThreadsafeSubscription"]

T = TypeVar("T")


class Subscription(HostSubscription):
    """Messages for the host, made by `MqttServer.subscribe`: ``async for message in subscription``. See
    `HostSubscription`."""

    def __init__(self, server: HostVerbs, subscriber: LocalSubscriber) -> None:
        super().__init__(server, subscriber)
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """See `HostSubscription`."""
        self._changed.set()

    async def get(self) -> LocalMessage | None:
        """The next message, waiting for it; None when there will be none."""
        while (message := self.take()) is None:
            if self._over:
                return None
            self._changed.clear()
            await self._changed.wait()
        return message

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> LocalMessage:
        message = await self.get()
        if message is None:
            raise StopAsyncIteration
        return message


class ThreadsafeServer(async_threadsafe.ThreadsafeServer):
    """`MqttServer.threadsafe`: publish, subscribe and disconnect from any thread but the one of the event loop."""

    def __init__(self, server: ServerVerbs) -> None:
        super().__init__(server, server)
        self._loop_of = server

    def call(self, work: Coroutine[object, object, T], timeout_s: float | None) -> T:
        """Run `work` in the loop of the server and wait for its result, at most `timeout_s` seconds.

        The time runs in the loop: when it is over nothing has been taken, or the result is returned.

        Raises:
            ServerStoppedError: the server does not run. TimeoutError: the time is over. RuntimeError: this is the
                thread of the loop.
        """

        async def limited() -> T:
            async with asyncio.timeout(timeout_s):
                return await work

        server = self._loop_of
        if not server.running or server.thread == threading.get_ident():
            work.close()
            if server.running:
                raise RuntimeError("threadsafe is for other threads; the loop's own uses the server's plain verbs")
            raise ServerStoppedError("the server is not running")
        try:
            return asyncio.run_coroutine_threadsafe(limited(), server.loop).result()
        except CancelledError:
            raise ServerStoppedError("the server has stopped") from None

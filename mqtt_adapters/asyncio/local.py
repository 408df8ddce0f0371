"""The host's own messages: an in-process subscription as an async iterator, and the same verbs for other threads.

Laws: a message is shown only when what it rests on is durable; a subscriber that does not take its messages costs the
core's bound (`local_queue_max`) and nobody any time. Every thread but the one of the event loop uses
`ThreadsafeServer`, which hands each call over to the loop and waits for its result.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.types import ReasonCode
from mqtt_core.router.local import LocalMessage, LocalSubscriber

if TYPE_CHECKING:
    from mqtt_adapters.asyncio.verbs import ServerVerbs

__all__ = ["ServerStoppedError", "Subscription", "ThreadsafeServer", "ThreadsafeSubscription"]

T = TypeVar("T")


class ServerStoppedError(RuntimeError):
    """The server a thread asked something of is not running."""


class Subscription:
    """Messages for the host, made by `MqttServer.subscribe`: ``async for message in subscription``.

    The iteration ends when the subscription is closed or the server stops. Messages of QoS 1 and 2 count as
    acknowledged when they are taken out of the broker, or, with ``manual_ack``, when `acknowledge` says so.
    """

    def __init__(self, server: ServerVerbs, subscriber: LocalSubscriber) -> None:
        self._server = server
        self._subscriber = subscriber
        self._taken: deque[LocalMessage] = deque()
        self._changed = asyncio.Event()
        self._over = False
        subscriber.owner = self

    def flush(self) -> None:
        """There are messages to take. Called by the driver."""
        self._changed.set()

    def abort(self) -> None:
        """End the iteration. Called by the driver and by a server that stops."""
        self._over = True
        self._changed.set()

    async def get(self) -> LocalMessage | None:
        """The next message, waiting for it; None when there will be none."""
        while not self._taken:
            self._changed.clear()
            self._taken.extend(self._subscriber.take_messages())
            if self._taken:
                self._server.driver.tick()  # taking acknowledges, and that is a write
            elif self._over:
                return None
            else:
                await self._changed.wait()
        return self._taken.popleft()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> LocalMessage:
        message = await self.get()
        if message is None:
            raise StopAsyncIteration
        return message

    def acknowledge(self, message: LocalMessage) -> None:
        """Say that a message of QoS 1 or 2 is done with, where that is not automatic.

        Raises:
            LocalProtocolError: it is of QoS 0, or was acknowledged before.
        """
        self._subscriber.acknowledge(message.token, self._server.now())
        self._server.driver.tick()

    def close(self) -> None:
        """End the subscription, and what a named one has stored. Closing twice is closing once."""
        if not self._over:
            self._subscriber.unsubscribe(self._server.now())
            self._server.driver.tick()
            self._server.subscription_over(self)
            self.abort()


class ThreadsafeServer:
    """`MqttServer.threadsafe`: publish, subscribe and disconnect from any thread but the one of the event loop."""

    __slots__ = ("_server",)

    def __init__(self, server: ServerVerbs) -> None:
        self._server = server

    def publish(
        self,
        topic: str,
        payload: bytes = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
        timeout_s: float | None = None,
    ) -> None:
        """Publish, and return when the broker has the message and, with a store, when it is durable.

        Raises:
            TimeoutError: it took longer than `timeout_s`; the message may have been published.
            RuntimeError: the server is not running (`ServerStoppedError`), or this is the thread of its loop.
        """

        async def publish() -> None:
            server = self._server
            await server.committed(server.publish(topic, payload, qos=qos, retain=retain, properties=properties))

        self.call(publish(), timeout_s)

    def subscribe(
        self, topic_filter: str, *, qos: int = 0, name: str | None = None, manual_ack: bool = False
    ) -> ThreadsafeSubscription:
        """Subscribe. See `MqttServer.subscribe`; raises as `publish` does."""

        async def subscribe() -> Subscription:
            return self._server.subscribe(topic_filter, qos=qos, name=name, manual_ack=manual_ack)

        return ThreadsafeSubscription(self, self.call(subscribe(), None))

    def disconnect(self, client_id: str, reason_code: int = ReasonCode.ADMINISTRATIVE_ACTION) -> bool:
        """Disconnect a client. See `MqttServer.disconnect`; raises as `publish` does."""

        async def disconnect() -> bool:
            return self._server.disconnect(client_id, reason_code)

        return self.call(disconnect(), None)

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
        """Run `work` in the loop of the server and wait for its result, at most `timeout_s` seconds.

        The time runs in the loop: when it is over nothing has been taken, or the result is returned.
        """

        async def limited() -> T:
            async with asyncio.timeout(timeout_s):
                return await work

        server = self._server
        if not server.running or server.thread == threading.get_ident():
            work.close()
            if server.running:
                raise RuntimeError("threadsafe is for other threads; the loop's own uses the server's plain verbs")
            raise ServerStoppedError("the server is not running")
        try:
            return asyncio.run_coroutine_threadsafe(limited(), server.loop).result()
        except CancelledError:
            raise ServerStoppedError("the server has stopped") from None


class ThreadsafeSubscription:
    """A `Subscription` for another thread: ``for message in subscription``."""

    __slots__ = ("_subscription", "_threadsafe")

    def __init__(self, threadsafe: ThreadsafeServer, subscription: Subscription) -> None:
        self._threadsafe = threadsafe
        self._subscription = subscription

    def get(self, timeout_s: float | None = None) -> LocalMessage | None:
        """The next message; None when there will be none.

        Raises:
            TimeoutError: none came within `timeout_s` seconds; None waits for ever.
        """
        try:
            return self._threadsafe.call(self._subscription.get(), timeout_s)
        except ServerStoppedError:
            return None

    def __iter__(self) -> Iterator[LocalMessage]:
        while (message := self.get()) is not None:
            yield message

    def acknowledge(self, message: LocalMessage) -> None:
        """See `Subscription.acknowledge`."""

        async def acknowledge() -> None:
            self._subscription.acknowledge(message)

        self._threadsafe.call(acknowledge(), None)

    def close(self) -> None:
        """See `Subscription.close`."""

        async def close() -> None:
            self._subscription.close()

        self._threadsafe.call(close(), None)

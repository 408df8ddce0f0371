"""The verbs of an asynchronous server for other threads than that of its event loop.

Law: each call is handed over to the loop and its result is waited for, an error raised there is raised here. How that
is done is the style's own, in `call`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Protocol, TypeVar

from mqtt_adapters.payload import Payload
from mqtt_adapters.server.verbs import HostVerbs, ServerStoppedError
from mqtt_core.codec import NO_PROPERTIES, Properties, ReasonCode
from mqtt_core.router.local import LocalMessage

__all__ = ["AsyncSubscription", "AsyncVerbs", "ThreadsafeServer", "ThreadsafeSubscription"]

T = TypeVar("T")


class AsyncSubscription(Protocol):
    """A subscription of a server whose loop is asynchronous."""

    async def get(self) -> LocalMessage | None:
        """The next message, waiting for it; None when there will be none."""
        ...

    def acknowledge(self, message: LocalMessage) -> None:
        """See `HostSubscription.acknowledge`."""
        ...

    def close(self) -> None:
        """See `HostSubscription.close`."""
        ...


class AsyncVerbs(Protocol):
    """The verbs that wait."""

    async def committed(self, barrier: int) -> None:
        """See `MqttServer.committed`."""
        ...

    def subscribe(
        self, topic_filter: str, *, qos: int = 0, name: str | None = None, manual_ack: bool = False
    ) -> AsyncSubscription:
        """See `MqttServer.subscribe`."""
        ...


class ThreadsafeServer:
    """`MqttServer.threadsafe`: publish, subscribe and disconnect from any thread but the one of the event loop.

    Made by `MqttServer`; verbs and waiting are the two sides of that server.
    """

    def __init__(self, verbs: HostVerbs, waiting: AsyncVerbs) -> None:
        self._verbs = verbs
        self._waiting = waiting

    def publish(
        self,
        topic: str,
        payload: Payload = b"",
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
            barrier = self._verbs.publish(topic, payload, qos=qos, retain=retain, properties=properties)
            await self._waiting.committed(barrier)

        self.call(publish(), timeout_s)

    def subscribe(
        self, topic_filter: str, *, qos: int = 0, name: str | None = None, manual_ack: bool = False
    ) -> ThreadsafeSubscription:
        """Subscribe. See `MqttServer.subscribe`; raises as `publish` does."""

        async def subscribe() -> AsyncSubscription:
            return self._waiting.subscribe(topic_filter, qos=qos, name=name, manual_ack=manual_ack)

        return ThreadsafeSubscription(self, self.call(subscribe(), None))

    def disconnect(self, client_id: str, reason_code: int = ReasonCode.ADMINISTRATIVE_ACTION) -> bool:
        """Disconnect a client. See `MqttServer.disconnect`; raises as `publish` does."""

        async def disconnect() -> bool:
            return self._verbs.disconnect(client_id, reason_code)

        return self.call(disconnect(), None)

    def call(self, work: Coroutine[object, object, T], timeout_s: float | None) -> T:
        """Run `work` in the loop of the server and wait for its result, at most `timeout_s` seconds.

        The time runs in the loop: when it is over nothing has been taken, or the result is returned.
        """
        raise NotImplementedError


class ThreadsafeSubscription:
    """A `Subscription` for another thread: ``for message in subscription``."""

    __slots__ = ("_subscription", "_threadsafe")

    def __init__(self, threadsafe: ThreadsafeServer, subscription: AsyncSubscription) -> None:
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

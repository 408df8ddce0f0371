"""What the host of a server may do inside its process: publish, subscribe, disconnect, decide.

Laws: these verbs belong to the thread of the event loop; `threadsafe` has the same ones for every other thread. A
message is durable when `committed` has returned, and not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mqtt_adapters.asyncio.local import Subscription, ThreadsafeServer
from mqtt_adapters.driver import BrokerDriver
from mqtt_core.broker import Broker, ClientHandler, Decision
from mqtt_core.codec import NO_PROPERTIES, Properties, ReasonCode, StorageError, SubscribeFilter
from mqtt_core.session import Message

__all__ = ["ServerVerbs"]


class ServerVerbs:
    """The part of `MqttServer` that a host program calls while the server runs.

    broker: the core, to look into (`sessions`, `retained`, `counters`). now: the clock of the server. running: from
    `start` to the end of `stop`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now = clock
        self.running = False
        self.loop: asyncio.AbstractEventLoop
        self.thread = 0
        self.broker: Broker
        self.driver: BrokerDriver
        self._subscriptions: dict[Subscription, None] = {}
        self._commit_waiters: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def threadsafe(self) -> ThreadsafeServer:
        """The same verbs for any thread but the one of the event loop."""
        return ThreadsafeServer(self)

    def publish(
        self,
        topic: str,
        payload: bytes = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
    ) -> int:
        """Publish to every subscriber, as the host itself; no policy is asked.

        Returns the barrier of the message, for `committed`.

        Raises:
            InvalidTopic, LocalProtocolError: what a client would be refused for; nothing has been published.
        """
        barrier = self.broker.publish(Message(topic, bytes(payload), qos, retain, properties), self.now())
        self.driver.tick()
        return barrier

    async def committed(self, barrier: int) -> None:
        """Wait until what `publish` did is durable; without a store, and for what needs none, that is at once.

        Raises:
            StorageError: the storage failed, or the server stopped before it was asked.
        """
        if barrier > self.driver.committed:
            waiter = self.loop.create_future()
            self._commit_waiters.append((barrier, waiter))
            await waiter

    def subscribe(
        self, topic_filter: str, *, qos: int = 0, name: str | None = None, manual_ack: bool = False
    ) -> Subscription:
        """Subscribe inside the process: an async iterator of messages.

        qos: 0 to 2, the highest that messages are given with. name: makes the subscription a session that survives with
        the store, and goes on under this name. manual_ack: a QoS 1 or 2 message counts as done with when
        `Subscription.acknowledge` is called.

        Raises:
            InvalidTopicFilter, LocalProtocolError: what a client would be refused for.
        """
        options = SubscribeFilter(topic_filter, qos)
        subscriber = self.broker.subscribe(topic_filter, options, self.now(), name, manual_ack)
        subscription = Subscription(self, subscriber)
        self._subscriptions[subscription] = None
        self.driver.tick()
        return subscription

    def subscription_over(self, subscription: Subscription) -> None:
        """A `Subscription` was closed."""
        self._subscriptions.pop(subscription, None)

    def disconnect(self, client_id: str, reason_code: int = ReasonCode.ADMINISTRATIVE_ACTION) -> bool:
        """End a client's connection, telling a 5.0 client why. Returns whether it was connected."""
        found = self.broker.disconnect(client_id, reason_code, self.now())
        self.driver.tick()
        return found

    def resume(self, handler: ClientHandler, decision: Decision) -> None:
        """Answer an `AuthenticationPending` event: go on with a connection whose authentication was deferred."""
        handler.resume(decision, self.now())
        self.driver.tick()

    def policy_changed(self) -> None:
        """The policy would answer differently now: every verdict is asked for anew."""
        self.broker.policy_changed()
        self.driver.tick()

    # ------------------------------------------------------------------------------------------- the server's side

    def committed_up_to(self, number: int) -> None:
        """See `DriverHost`."""
        waiting = []
        for barrier, waiter in self._commit_waiters:
            if barrier > number:
                waiting.append((barrier, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._commit_waiters = waiting

    def end_verbs(self, reason: StorageError) -> None:
        """The server has stopped: streams end, and whoever waits for a commit is told why there will be none."""
        self.running = False
        for subscription in list(self._subscriptions):
            subscription.abort()
        for _, waiter in self._commit_waiters:
            if not waiter.done():
                waiter.set_exception(reason)

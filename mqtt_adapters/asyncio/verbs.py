"""What the host of a server may do inside its process: publish, subscribe, disconnect, decide.

Laws: these verbs belong to the thread of the event loop; `threadsafe` has the same ones for every other thread. A
message is durable when `committed` has returned, and not before.
"""

from __future__ import annotations

import asyncio

from mqtt_adapters.asyncio.local import Subscription, ThreadsafeServer
from mqtt_adapters.server.settings import ServerSettings
from mqtt_adapters.server.verbs import HostVerbs

__all__ = ["ServerVerbs"]


class ServerVerbs(HostVerbs):
    """`HostVerbs`, with the waiting of asyncio."""

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self.loop: asyncio.AbstractEventLoop
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
        waiter = self.loop.create_future()
        if self.expect_commit(barrier, waiter):
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
        subscription = Subscription(self, self.open_subscriber(topic_filter, qos, name, manual_ack))
        self.add_subscription(subscription)
        return subscription

"""What the host of a blocking server may do inside its process: publish, subscribe, disconnect, decide.

Laws: every verb may be called from any thread, for all of them take the one lock; `threadsafe` is there so that a
program reads the same in every I/O style. What a verb has written is durable when it returns.
"""

from __future__ import annotations

import threading
from typing import Self

from mqtt_adapters.blocking.local import Subscription
from mqtt_adapters.payload import Payload
from mqtt_adapters.server.settings import ServerSettings
from mqtt_adapters.server.verbs import HostVerbs
from mqtt_core.broker import ClientHandler, Decision
from mqtt_core.codec import NO_PROPERTIES, Properties, ReasonCode

__all__ = ["ServerVerbs"]


class ServerVerbs(HostVerbs):
    """`HostVerbs` under a lock. lock: guards the broker and everything around it."""

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self.lock = threading.RLock()

    def wake(self) -> None:
        """Let the thread that serves see what has changed."""
        raise NotImplementedError

    @property
    def served_elsewhere(self) -> bool:
        """Another thread than the caller's serves."""
        raise NotImplementedError

    def pump(self, timeout: float | None = 0.0) -> None:
        """Serve in the caller's thread."""
        raise NotImplementedError

    @property
    def threadsafe(self) -> Self:
        """The server itself: all its verbs are for any thread."""
        return self

    def publish(
        self,
        topic: str,
        payload: Payload = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
    ) -> int:
        """See `HostVerbs.publish`.

        Raises:
            StorageError: the storage failed, and the message is not durable.
        """
        with self.lock:
            barrier = super().publish(topic, payload, qos=qos, retain=retain, properties=properties)
            self.wake()
            if barrier > self.driver.committed and self._ended_by is not None:
                raise self._ended_by
        return barrier

    def subscribe(
        self, topic_filter: str, *, qos: int = 0, name: str | None = None, manual_ack: bool = False
    ) -> Subscription:
        """Subscribe inside the process: an iterator of messages. The arguments are those of the asyncio server.

        Raises:
            InvalidTopicFilter, LocalProtocolError: what a client would be refused for.
        """
        with self.lock:
            subscription = Subscription(self, self.open_subscriber(topic_filter, qos, name, manual_ack))
            self.add_subscription(subscription)
            self.wake()
        return subscription

    def disconnect(self, client_id: str, reason_code: int = ReasonCode.ADMINISTRATIVE_ACTION) -> bool:
        """See `HostVerbs.disconnect`."""
        with self.lock:
            found = super().disconnect(client_id, reason_code)
            self.wake()
        return found

    def resume(self, handler: ClientHandler, decision: Decision) -> None:
        """See `HostVerbs.resume`."""
        with self.lock:
            super().resume(handler, decision)
            self.wake()

    def policy_changed(self) -> None:
        """See `HostVerbs.policy_changed`."""
        with self.lock:
            super().policy_changed()
            self.wake()

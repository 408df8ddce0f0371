"""The host's own messages on the blocking server: an in-process subscription as an iterator.

Law: whoever waits for a message serves meanwhile, in `pump`, unless another thread serves; then he waits for that one.
Nobody waits with the lock in his hands.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mqtt_adapters.server.verbs import HostSubscription
from mqtt_core.router.local import LocalMessage, LocalSubscriber

if TYPE_CHECKING:
    from mqtt_adapters.blocking.verbs import ServerVerbs

__all__ = ["Subscription"]


class Subscription(HostSubscription):
    """Messages for the host, made by `MqttServer.subscribe`: ``for message in subscription``. See `HostSubscription`.

    Any thread may read it; each message goes to one.
    """

    def __init__(self, server: ServerVerbs, subscriber: LocalSubscriber) -> None:
        super().__init__(server, subscriber)
        self._host = server
        self._changed = threading.Condition(server.lock)

    def wake(self) -> None:
        """See `HostSubscription`."""
        self._changed.notify_all()

    def get(self, timeout_s: float | None = None) -> LocalMessage | None:
        """The next message; None when there will be none.

        Raises:
            TimeoutError: none came within `timeout_s` seconds; None waits for ever.
        """
        clock = self._host.now
        deadline = None if timeout_s is None else clock() + timeout_s
        while True:
            with self._host.lock:
                message = self.take()
                if message is not None or self._over:
                    return message
                left = None if deadline is None else deadline - clock()
                if left is not None and left <= 0:
                    raise TimeoutError(f"no message within {timeout_s:g} s")
                if self._host.served_elsewhere:
                    self._changed.wait(left)
                    continue
            self._host.pump(left)

    def __iter__(self) -> Iterator[LocalMessage]:
        while (message := self.get()) is not None:
            yield message

    def acknowledge(self, message: LocalMessage) -> None:
        """See `HostSubscription`."""
        with self._host.lock:
            super().acknowledge(message)
            self._host.wake()

    def close(self) -> None:
        """See `HostSubscription`."""
        with self._host.lock:
            super().close()
            self._host.wake()

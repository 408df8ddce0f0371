"""Streams of received messages: bounded buffers, each with its own topic filter, and who gets which message.

Laws. A message goes to every stream and callback whose filter matches its topic, and to the default stream if there is
none; that is decided here, by the filter, whatever subscription brought it. Every buffer is bounded in messages and
bytes and has a named policy for what happens at the bound; a message that is dropped is counted. Only PAUSE touches
anybody else: it stops reading from the connection, and so all streams, until half of the buffer is free.

Nothing here waits or locks: the I/O styles add that around `MessageBuffer`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from mqtt_adapters.errors import StreamOverflow
from mqtt_adapters.waiter import Waiter
from mqtt_core.client import MessageReceived
from mqtt_core.topic_matcher import TopicFilter

__all__ = ["BUFFER_BYTES", "BUFFER_MESSAGES", "MessageBuffer", "Overflow", "Routes"]

BUFFER_MESSAGES: Final = 10_000
BUFFER_BYTES: Final = 16 * 1024 * 1024
_ROUTES_MAX: Final = 4096
"""Topics whose receivers are remembered."""

Sink = Callable[[MessageReceived], None]


class Overflow(Enum):
    """What a stream does with a message when its buffer is full.

    PAUSE: take it, and stop reading from the connection until half of the buffer is free; nothing is lost, and what one
    read had brought still comes. DROP_OLDEST, DROP_NEWEST: lose one message, counted in `dropped`. RAISE: take no more;
    whoever reads the stream gets what is in the buffer and then StreamOverflow.
    """

    PAUSE = "pause"
    DROP_OLDEST = "drop oldest"
    DROP_NEWEST = "drop newest"
    RAISE = "raise"


class MessageBuffer:
    """Messages between the connection and whoever reads them.

    limit (messages, 1 or more), bytes_max (of payload, 1 or more), overflow (an `Overflow`, or its text): the bound and
    what happens there. dropped: messages lost to it.
    ended: no more will come; error: why, None for an orderly end. full: PAUSE holds. waiters: readers to be woken.
    """

    __slots__ = ("bytes_max", "dropped", "ended", "error", "full", "items", "limit", "overflow", "size", "waiters")

    def __init__(self, limit: int, bytes_max: int, overflow: Overflow | str) -> None:
        if limit < 1 or bytes_max < 1:
            raise ValueError(f"a buffer holds 1 message and 1 byte at least, not {limit} and {bytes_max}")
        self.limit = limit
        self.bytes_max = bytes_max
        self.overflow = Overflow(overflow)
        self.items: deque[MessageReceived] = deque()
        self.size = 0
        self.dropped = 0
        self.ended = False
        self.error: Exception | None = None
        self.full = False
        self.waiters: list[Waiter] = []

    def push(self, message: MessageReceived) -> None:
        """A message for this stream."""
        if (len(self.items) >= self.limit or self.size >= self.bytes_max) and not self._takes_more():
            return
        self.items.append(message)
        self.size += len(message.payload)
        if self.waiters:
            self._wake()

    def pop(self) -> MessageReceived:
        """The oldest message; there must be one."""
        message = self.items.popleft()
        self.size -= len(message.payload)
        if self.full and len(self.items) <= self.limit // 2 and self.size <= self.bytes_max // 2:
            self.full = False
        return message

    def end(self, error: Exception | None = None) -> None:
        """Nothing more will come; who reads gets what there is, and then the error or the end."""
        if not self.ended:
            self.ended = True
            self.error = error
            self._wake()

    def forget(self, waiter: Waiter) -> None:
        """A reader has given up waiting."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def _takes_more(self) -> bool:
        if self.overflow is Overflow.PAUSE:
            self.full = True
            return True
        if self.overflow is Overflow.DROP_OLDEST:
            self.dropped += 1
            self.pop()
            return True
        self.dropped += 1
        if self.overflow is Overflow.RAISE:
            self.limit = 0
            self.end(StreamOverflow(f"{len(self.items)} messages wait, the stream's buffer is full"))
        return False

    def _wake(self) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Routes:
    """Who gets a message. `default` gets those nobody else asked for."""

    __slots__ = ("_known", "_rows", "default")

    def __init__(self, default: Sink) -> None:
        self.default = default
        self._rows: list[tuple[TopicFilter, Sink]] = []
        self._known: dict[str, tuple[Sink, ...]] = {}

    def add(self, pattern: str, sink: Sink) -> tuple[TopicFilter, Sink]:
        """Give messages that match a filter to `sink` from now on; of a shared filter the part behind the group counts.

        Raises InvalidTopicFilter.
        """
        row = (TopicFilter(pattern), sink)
        self._rows.append(row)
        self._known.clear()
        return row

    def remove(self, row: tuple[TopicFilter, Sink]) -> None:
        """Undo an `add`; a second time does nothing."""
        if row in self._rows:
            self._rows.remove(row)
            self._known.clear()

    def sinks(self, topic: str) -> tuple[Sink, ...]:
        """Everybody who gets a message on this topic, in the order they were added."""
        found = self._known.get(topic)
        if found is None:
            found = tuple([sink for pattern, sink in self._rows if pattern.matches(topic)]) or (self.default,)
            if len(self._known) >= _ROUTES_MAX:
                self._known.clear()
            self._known[topic] = found
        return found

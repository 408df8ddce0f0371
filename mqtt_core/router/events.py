"""Operational events, and the bounded ring in which they wait for the host.

Law: events are for operators and tests, never one per message; what happens per message is counted. The ring forgets
its oldest entry when the host does not look, and counts that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from mqtt_core.router.counters import Counters

__all__ = ["Event", "EventRing", "QueueOverflow"]


@dataclass(frozen=True)
class Event:
    """Something an operator may want to know, at `now` (epoch seconds), about one client."""

    now: float
    client_id: str


@dataclass(frozen=True)
class QueueOverflow(Event):
    """The queue of a session is full: new messages for it are dropped and counted. One event per episode."""

    queued_messages: int
    queued_bytes: int


class EventRing:
    """At most `size` events, the newest."""

    __slots__ = ("_counters", "_events", "_size")

    def __init__(self, size: int, counters: Counters) -> None:
        self._events: deque[Event] = deque()
        self._size = size
        self._counters = counters

    def add(self, event: Event) -> None:
        """Append an event; the oldest goes when the ring is full."""
        if len(self._events) >= self._size:
            self._counters.events_dropped += 1
            if not self._size:
                return
            self._events.popleft()
        self._events.append(event)

    def take(self) -> list[Event]:
        """All events since the last call, oldest first."""
        events, self._events = self._events, deque()
        return list(events)

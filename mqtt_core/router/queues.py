"""Messages that wait for a session: the queue's limits and its books.

Laws. A queue is bounded in messages and bytes, and all queues together in bytes; when there is no room the newest
message is dropped and counted, with one event per episode, and the publisher is acknowledged all the same. What has
expired makes room first. An entry is an `Outgoing`, or the very frame that came in where the bulk path passed it on.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

from mqtt_core.persistence.journal import Journal
from mqtt_core.router.counters import Counters
from mqtt_core.router.events import EventRing, QueueOverflow
from mqtt_core.router.frames import content_size
from mqtt_core.session.message import Outgoing
from mqtt_core.session.session import Session

__all__ = ["SessionQueues"]

PURGE_EVERY_S: Final = 1.0
"""Seconds between two looks through a full queue for what has expired."""


class SessionQueues:
    """The queues of all sessions of one broker (sections 4.4 and 4.6).

    events: where a dropped message is told, once an episode. messages_max, bytes_max: bounds of one queue;
    all_bytes_max: of all together; bytes are those of topics, payloads and properties.
    """

    __slots__ = ("_counters", "_events", "_journal", "all_bytes_max", "bytes_max", "messages_max")

    def __init__(
        self,
        journal: Journal,
        counters: Counters,
        events: EventRing,
        messages_max: int,
        bytes_max: int,
        all_bytes_max: int,
    ) -> None:
        self._journal = journal
        self._counters = counters
        self._events = events
        self.messages_max = messages_max
        self.bytes_max = bytes_max
        self.all_bytes_max = all_bytes_max

    def enqueue(self, session: Session, out: Outgoing, now: float, barrier: int) -> None:
        """The message `out` joins the end of a session's queue, or is dropped where there is no room.

        barrier: of the writes of the input that caused it, which what leaves the queue waits for; 0 for none.
        """
        session.barrier = max(session.barrier, barrier)
        size = out.message.size()
        if not self._has_room(session, size, now):
            return
        if session.stored:
            session.barrier = self._journal.enqueue(
                session.client_id, out.message, out.qos, out.retain, out.subscription_ids, 0, out.shared
            )
        self._append(session, out, size)

    def enqueue_frames(self, session: Session, frames: list[bytes], now: float, barrier: int) -> None:
        """Plain QoS 1/2 frames of one size wait as they came; the session is not stored and speaks their version."""
        session.barrier = max(session.barrier, barrier)
        size = content_size(frames[0], session.version)
        count = len(frames)
        counters = self._counters
        if (
            session.queued() + count > self.messages_max
            or session.queue_bytes + count * size > self.bytes_max
            or counters.queued_bytes + count * size > self.all_bytes_max
        ):
            for frame in frames:
                if self._has_room(session, size, now):
                    self._append(session, frame, size)
            return
        if session.queue is None:
            session.queue = deque()
        session.queue.extend(frames)
        session.queue_bytes += count * size
        counters.queued_bytes += count * size
        counters.queued_messages += count
        session.direct = False
        session.dropping = False

    def taken(self, session: Session, count: int, size: int) -> None:
        """Keep the books: `count` messages of `size` bytes together have left the head of the queue."""
        if not session.queue:
            session.queue = None
        session.queue_bytes -= size
        self._counters.queued_bytes -= size
        self._counters.queued_messages -= count

    def clear(self, session: Session) -> list[Outgoing]:
        """Empty the queue of a session that ends; what it was given as a member of a share is returned."""
        queue = session.queue or ()
        shared = [entry for entry in queue if isinstance(entry, Outgoing) and entry.shared]
        count = len(queue)
        session.queue = None
        self.taken(session, count, session.queue_bytes)
        return shared

    def _has_room(self, session: Session, size: int, now: float) -> bool:
        if self._fits(session, size) or (
            now >= session.purge_at and self._purge(session, now) and self._fits(session, size)
        ):
            session.dropping = False
            return True
        self._counters.dropped_queue += 1
        if not session.dropping:
            session.dropping = True
            self._events.add(QueueOverflow(now, session.client_id, session.queued(), session.queue_bytes))
        return False

    def _fits(self, session: Session, size: int) -> bool:
        return (
            session.queued() < self.messages_max
            and session.queue_bytes + size <= self.bytes_max
            and self._counters.queued_bytes + size <= self.all_bytes_max
        )

    def _purge(self, session: Session, now: float) -> bool:
        """Take out what has expired, wherever it is in the queue; False when there is none."""
        kept: deque[Outgoing | bytes] = deque()
        earliest = inf
        count = size = 0
        for entry in session.queue or ():
            if isinstance(entry, Outgoing) and entry.message.expires_at:
                message = entry.message
                if message.expires_at <= now:
                    count += 1
                    size += message.size()
                    if session.stored:
                        session.barrier = self._journal.dequeue(session.client_id, message.sequence)
                    continue
                earliest = min(earliest, message.expires_at)
            kept.append(entry)
        session.purge_at = max(earliest, now + PURGE_EVERY_S)
        if not count:
            return False
        session.queue = kept
        self.taken(session, count, size)
        self._counters.dropped_expired += count
        return True

    def _append(self, session: Session, entry: Outgoing | bytes, size: int) -> None:
        if session.queue is None:
            session.queue = deque()
        session.queue.append(entry)  # [MQTT-4.5.0-1] [MQTT-3.1.2-5 v3.1.1]
        if isinstance(entry, Outgoing) and entry.message.expires_at:
            session.purge_at = min(session.purge_at, entry.message.expires_at)
        session.queue_bytes += size
        self._counters.queued_bytes += size
        self._counters.queued_messages += 1
        session.direct = False

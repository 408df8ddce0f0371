"""Retained messages: one per topic, within a bound of number and bytes.

Laws: an empty payload deletes and is never stored; a message replaces the one on its topic whatever the bounds say
about its size, since the old one must not survive it [MQTT-3.3.1-5 v5] [MQTT-3.3.1-7 v3.1.1]. Expired messages are as
good as absent for every look, and are taken out by `expire` when their time comes.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

from mqtt_core.session.message import Message
from mqtt_core.topic_matcher.names import Cursor, TopicTree

__all__ = ["RetainStore"]

STORED: Final = 1
REMOVED: Final = 2
REFUSED: Final = 3
UNCHANGED: Final = 0

STALE_MIN: Final = 64
"""Deadlines of replaced messages that are tolerated besides as many as there are messages."""


class RetainStore:
    """Retained messages by topic (section 3.3.1.3).

    messages_max, bytes_max: bounds on number and on bytes of topics, payloads and properties; a new message beyond them
    is not kept. changes: how often a message has been kept or taken out.
    """

    __slots__ = ("_deadlines", "_messages", "bytes", "bytes_max", "changes", "messages_max")

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self.messages_max = messages_max
        self.bytes_max = bytes_max
        self.bytes = 0
        self.changes = 0
        self._messages: TopicTree[Message] = TopicTree()
        self._deadlines: list[tuple[float, int, str]] = []

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def visits(self) -> int:
        """How many names walks have entered so far: the work they were."""
        return self._messages.visits

    def __contains__(self, topic: str) -> bool:
        return self._messages.get(topic) is not None

    def store(self, message: Message) -> int:
        """Keep a message with RETAIN 1, or delete by an empty payload: STORED, REMOVED, REFUSED or UNCHANGED."""
        if not message.payload:
            # [MQTT-3.3.1-6 v5] [MQTT-3.3.1-7 v5] [MQTT-3.3.1-10 v3.1.1] [MQTT-3.3.1-11 v3.1.1]
            return REMOVED if self.remove(message.topic) else UNCHANGED
        self._keep(message)  # [MQTT-3.3.1-5]
        if self.bytes > self.bytes_max or len(self._messages) > self.messages_max:
            self.remove(message.topic)  # [MQTT-3.3.1-7 v3.1.1]
            return REFUSED
        return STORED

    def restore(self, message: Message) -> None:
        """Keep what was stored by an earlier process, also beyond bounds that have been lowered since."""
        self._keep(message)

    def _keep(self, message: Message) -> None:
        old = self._messages.set(message.topic, message)
        self.changes += 1
        self.bytes += message.size() - (old.size() if old is not None else 0)
        if message.expires_at:
            heappush(self._deadlines, (message.expires_at, message.sequence, message.topic))
            if len(self._deadlines) > 2 * len(self._messages) + STALE_MIN:
                self._deadlines = [item for item in self._deadlines if self._current(item[2], item[1])]
                heapify(self._deadlines)

    def remove(self, topic: str) -> bool:
        """Delete the message of a topic; False when there was none."""
        old = self._messages.pop(topic)
        if old is None:
            return False
        self.changes += 1
        self.bytes -= old.size()
        return True

    def holds(self, topic: str) -> bool:
        """True when a message is retained for a topic, expired or not."""
        return self._messages.get(topic) is not None

    def get(self, topic: str, now: float) -> Message | None:
        """The message retained for a topic, None when there is none or it has expired."""
        message = self._messages.get(topic)
        if message is None or (message.expires_at and message.expires_at <= now):
            return None
        return message

    def matching(self, topic_filter: str, now: float) -> list[Message]:
        """All messages whose topic matches, unexpired; for hosts and tools, not for replays."""
        return [m for _, m in self._messages.matching(topic_filter) if not m.expires_at or m.expires_at > now]

    def matching_slice(
        self, topic_filter: str, after: Cursor | None, limit: int
    ) -> tuple[list[tuple[str, Message]], Cursor | None]:
        """Up to `limit` matches behind the cursor `after`, and the next cursor (None: that was all)."""
        return self._messages.matching_slice(topic_filter, after, limit)

    def next_expiry(self) -> float:
        """When the next message may expire (epoch seconds), 0.0 for never."""
        return self._deadlines[0][0] if self._deadlines else 0.0

    def expire(self, now: float, limit: int) -> list[str]:
        """Take out at most `limit` messages that have expired; returns their topics."""
        gone: list[str] = []
        heap = self._deadlines
        while heap and heap[0][0] <= now and limit > 0:
            _, sequence, topic = heappop(heap)
            limit -= 1
            if self._current(topic, sequence):
                self.remove(topic)  # [MUST-3.3.1.3-1 v5]
                gone.append(topic)
        return gone

    def _current(self, topic: str, sequence: int) -> bool:
        """True when the message with this number has not been replaced or removed."""
        message = self._messages.get(topic)
        return message is not None and message.sequence == sequence

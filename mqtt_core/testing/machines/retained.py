"""A state machine that runs a store of retained messages against a plain dict and the naive matcher.

To test another store with the interface of `RetainStore`, subclass and override `make_store`:

    class MyStoreMachine(RetainedMachine):
        def make_store(self, messages_max, bytes_max):
            return MyStore(messages_max, bytes_max)

    TestMyStore = MyStoreMachine.TestCase
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqtt_core.router import RetainStore
from mqtt_core.session import Message
from mqtt_core.testing.strategies.topics import filters
from mqtt_core.topic_matcher import matches

__all__ = ["RetainedMachine"]

TOPICS = st.sampled_from(["a", "b", "a/b", "a/c", "b/", "/", "$x", "$x/a", "a/b/c"])
MESSAGES_MAX = 5
BYTES_MAX = 60


class RetainedMachine(RuleBasedStateMachine):
    """Retained publishes of all sizes and lifetimes, and time that passes."""

    def __init__(self) -> None:
        super().__init__()
        self.store = self.make_store(MESSAGES_MAX, BYTES_MAX)
        self.model: dict[str, Message] = {}
        self.now = 1000.0
        self.sequence = 0

    def make_store(self, messages_max: int, bytes_max: int) -> RetainStore:
        """The store under test, empty. messages_max, bytes_max: its bounds, 1 or more."""
        return RetainStore(messages_max, bytes_max)

    def size(self, message: Message) -> int:
        """What a message counts for."""
        return len(message.topic) + len(message.payload)

    @rule(topic=TOPICS, size=st.integers(0, 30), lifetime=st.sampled_from([0, 0, 1, 5]))
    def retain(self, topic: str, size: int, lifetime: int) -> None:
        """A PUBLISH with RETAIN 1."""
        self.sequence += 1
        expires_at = self.now + lifetime if lifetime else 0.0
        message = Message(topic, b"x" * size, 1, True, expires_at=expires_at, sequence=self.sequence)
        self.store.store(message)
        old = self.model.pop(topic, None)
        fits = sum(map(self.size, self.model.values())) + self.size(message) <= BYTES_MAX
        if size and fits and (old is not None or len(self.model) < MESSAGES_MAX):
            self.model[topic] = message

    @rule(seconds=st.integers(1, 4), limit=st.integers(1, 3))
    def pass_time(self, seconds: int, limit: int) -> None:
        """Time passes, and the store is asked to tidy up, at first only a little."""
        self.now += seconds
        expired = sorted(t for t, m in self.model.items() if m.expires_at and m.expires_at <= self.now)
        gone = self.store.expire(self.now, limit)
        assert len(gone) <= limit
        gone += self.store.expire(self.now, 1000)
        assert sorted(gone) == expired
        for topic in expired:
            del self.model[topic]
        assert self.store.next_expiry() == 0.0 or self.store.next_expiry() > self.now

    @rule(topic_filter=filters())
    def look(self, topic_filter: str) -> None:
        """Ask for all matches."""
        wanted = [m for t, m in self.model.items() if matches(topic_filter, t)]
        found = self.store.matching(topic_filter, self.now)
        assert sorted(m.topic for m in found) == sorted(m.topic for m in wanted)
        assert all(m is self.model[m.topic] for m in found)

    @rule(topic=TOPICS)
    def get(self, topic: str) -> None:
        """Ask for one."""
        assert self.store.get(topic, self.now) is self.model.get(topic)

    @invariant()
    def bounds_hold(self) -> None:
        """As many messages and bytes as the model has, within the bounds."""
        assert len(self.store) == len(self.model) <= MESSAGES_MAX
        assert self.store.bytes == sum(map(self.size, self.model.values())) <= BYTES_MAX

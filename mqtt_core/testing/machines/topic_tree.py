"""A state machine that runs a tree of topic names against the specification of matching.

Several walks in slices are under way while topics come and go. The promise under test: a topic that is there from
the start of a walk to its end is given exactly once, no topic is given that does not match, and a walk ends.

To test another tree with the interface of `TopicTree`, subclass and override `make_tree`.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqtt_core.testing.strategies.topics import filters, topics
from mqtt_core.topic_matcher import Cursor, TopicTree, matches

__all__ = ["TopicTreeMachine"]

WALKS_MAX = 3


class _Walk:
    """A walk in progress: its filter and cursor, what must still come, and what came."""

    def __init__(self, pattern: str, expected: set[str]) -> None:
        self.pattern = pattern
        self.expected = expected
        self.cursor: Cursor | None = None
        self.given: list[str] = []


class TopicTreeMachine(RuleBasedStateMachine):
    """Sets and removes topics, queries by filter, and walks in slices across the changes."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = self.make_tree()
        self.model: dict[str, int] = {}
        self.walks: list[_Walk] = []
        self.value = 0

    def make_tree(self) -> TopicTree[int]:
        """The tree under test, empty."""
        return TopicTree()

    @rule(topic=topics())
    def set_topic(self, topic: str) -> None:
        """Add a topic, or give it a new value."""
        self.value += 1
        assert self.tree.set(topic, self.value) == self.model.get(topic)
        self.model[topic] = self.value

    def _pop(self, topic: str) -> None:
        assert self.tree.pop(topic) == self.model.pop(topic, None)
        for walk in self.walks:
            walk.expected.discard(topic)

    @rule(data=st.data())
    def pop_present(self, data: st.DataObject) -> None:
        """Remove one of the topics that are there."""
        if self.model:
            self._pop(data.draw(st.sampled_from(list(self.model))))

    @rule(topic=topics())
    def pop_any(self, topic: str) -> None:
        """Remove a topic that most likely is not there."""
        self._pop(topic)

    @rule(topic=topics())
    def get(self, topic: str) -> None:
        """Look up one topic."""
        assert self.tree.get(topic) == self.model.get(topic)

    @rule(pattern=filters())
    def matching(self, pattern: str) -> None:
        """Ask for all topics of a filter at once."""
        wanted = [(topic, value) for topic, value in self.model.items() if matches(pattern, topic)]
        assert sorted(self.tree.matching(pattern)) == sorted(wanted)

    @rule(pattern=filters())
    def start_walk(self, pattern: str) -> None:
        """Begin a walk; its first slice comes later, or at once."""
        if len(self.walks) < WALKS_MAX:
            self.walks.append(_Walk(pattern, {topic for topic in self.model if matches(pattern, topic)}))
            self._step(self.walks[-1], 1)

    @rule(data=st.data(), limit=st.integers(1, 3))
    def step_walk(self, data: st.DataObject, limit: int) -> None:
        """Take the next slice of one of the walks."""
        if self.walks:
            self._step(data.draw(st.sampled_from(self.walks)), limit)

    def _step(self, walk: _Walk, limit: int) -> None:
        items, walk.cursor = self.tree.matching_slice(walk.pattern, walk.cursor, limit)
        assert len(items) <= limit
        for topic, value in items:
            assert self.model[topic] == value
            assert matches(walk.pattern, topic)
            walk.given.append(topic)
        if walk.cursor is None:
            self.walks.remove(walk)
            for topic in walk.expected:
                assert walk.given.count(topic) == 1

    @invariant()
    def lengths_agree(self) -> None:
        """The tree counts what it holds."""
        assert len(self.tree) == len(self.model)

    def teardown(self) -> None:
        """Every walk ends, and the emptied tree is as good as new."""
        slices_max = len(self.model) * 5 + 2  # a slice gives a topic, or the walk is near its end
        for walk in list(self.walks):
            for _ in range(slices_max):
                if walk in self.walks:
                    self._step(walk, 1)
            assert walk not in self.walks
        for topic in list(self.model):
            assert self.tree.pop(topic) == self.model.pop(topic)
        assert len(self.tree) == 0
        assert self.tree.matching("#") == []

"""A state machine that runs a trie of topic filters against the specification of matching.

To test another matcher with the interface of `TopicTrie`, subclass and override `make_trie`:

    class MyTrieMachine(TrieMachine):
        def make_trie(self):
            return MyTrie()

    TestMyTrie = MyTrieMachine.TestCase
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqtt_core.testing.strategies.topics import filters, topics
from mqtt_core.topic_matcher import TopicTrie, matches

__all__ = ["TrieMachine"]

KEYS = st.sampled_from(["k1", "k2", "k3"])


class TrieMachine(RuleBasedStateMachine):
    """Inserts, replaces and removes filters, and compares each match with `matches` over a plain dict."""

    def __init__(self) -> None:
        super().__init__()
        self.trie = self.make_trie()
        self.model: dict[tuple[str, str], int] = {}
        self.value = 0

    def make_trie(self) -> TopicTrie[int]:
        """The trie under test, empty."""
        return TopicTrie()

    @rule(pattern=filters(), key=KEYS)
    def insert(self, pattern: str, key: str) -> None:
        """Add a filter, or give it a new value."""
        self.value += 1
        assert self.trie.insert(pattern, key, self.value) == self.model.get((pattern, key))
        self.model[pattern, key] = self.value

    @rule(data=st.data())
    def remove_present(self, data: st.DataObject) -> None:
        """Remove one of the filters that are there."""
        if self.model:
            pattern, key = data.draw(st.sampled_from(list(self.model)))
            assert self.trie.remove(pattern, key) == self.model.pop((pattern, key))

    @rule(pattern=filters(), key=KEYS)
    def remove_any(self, pattern: str, key: str) -> None:
        """Remove a filter that most likely is not there."""
        assert self.trie.remove(pattern, key) == self.model.pop((pattern, key), None)

    @rule(topic=topics())
    def match(self, topic: str) -> None:
        """Ask who wants a topic."""
        wanted = [value for (pattern, _), value in self.model.items() if matches(pattern, topic)]
        assert sorted(self.trie.matches(topic)) == sorted(wanted)

    @invariant()
    def lengths_agree(self) -> None:
        """The trie counts what it holds."""
        assert len(self.trie) == len(self.model)

    def teardown(self) -> None:
        """Emptied, it is as good as new."""
        for pattern, key in list(self.model):
            assert self.trie.remove(pattern, key) == self.model.pop((pattern, key))
        assert len(self.trie) == 0

"""Many filters against one topic: results, order, work and memory of the trie."""

from __future__ import annotations

import itertools
import tracemalloc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_core.codec.error import InvalidTopicFilter
from mqtt_core.testing.machines import TrieMachine
from mqtt_core.testing.strategies.topics import filters, matching_pairs, topics
from mqtt_core.topic_matcher import TopicTrie, matches, split_share
from tests.topic_matcher.table import TABLE


def trie_of(*patterns):
    trie = TopicTrie()
    for pattern in patterns:
        trie.insert(pattern, "k", pattern)
    return trie


def load(number):
    """One of many filters as a fleet of devices has them."""
    return [
        f"bench/d{number % 1000}/x{number}/+",
        f"bench/+/x{number}",
        f"bench/d{number % 1000}/s{number}",
        f"bench/+/y{number}/#",
    ][number % 4]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.filter} {row.topic}")
def test_the_trie_matches_as_the_table_says(row):
    pattern = split_share(row.filter)[1]
    assert trie_of(pattern).matches(row.topic) == ([pattern] if row.match else [])


@pytest.mark.spec("MQTT-3.3.2-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.2-3", version="5.0")
def test_with_all_filters_of_the_table_each_topic_finds_its_own():
    patterns = sorted({split_share(row.filter)[1] for row in TABLE})
    trie = trie_of(*patterns)
    assert len(trie) == len(patterns)
    for row in TABLE:
        assert sorted(trie.matches(row.topic)) == [pattern for pattern in patterns if matches(pattern, row.topic)]


@pytest.mark.spec("MQTT-4.7.2-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.2-1", version="5.0")
def test_dollar_topics_are_apart():
    trie = trie_of("#", "+", "+/a", "+/#", "$x/a", "$x/+", "$x/#", "$/#")
    assert trie.matches("$x/a") == ["$x/a", "$x/#", "$x/+"]
    assert trie.matches("$x") == ["$x/#"]
    assert trie.matches("$") == ["$/#"]
    assert trie.matches("x/a") == ["#", "+/#", "+/a"]


@pytest.mark.spec("MQTT-4.7.3-4", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.3-4", version="5.0")
def test_texts_are_compared_as_they_are():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    trie = trie_of(composed, f"{composed}/+", decomposed, f"{decomposed}/+", "CAF\u00c9", "\ufeffa", "a")
    assert trie.matches(composed) == [composed]
    assert trie.matches(f"{decomposed}/x") == [f"{decomposed}/+"]
    assert trie.matches("a") == ["a"]
    assert trie.matches("\ufeffa") == ["\ufeffa"]


@given(st.lists(st.tuples(filters(), st.sampled_from("xy"))), topics())
def test_matches_as_specified(pairs, topic):
    trie = TopicTrie()
    for pattern, key in pairs:
        trie.insert(pattern, key, (pattern, key))
    assert sorted(trie.matches(topic)) == sorted(pair for pair in set(pairs) if matches(pair[0], topic))


@given(st.lists(matching_pairs(), min_size=1))
def test_no_match_is_missed_among_many(pairs):
    trie = trie_of(*[pattern for pattern, _ in pairs])
    for pattern, topic in pairs:
        assert pattern in trie.matches(topic)


TestTrieMachine = TrieMachine.TestCase
TestTrieMachine.settings = settings(max_examples=60, stateful_step_count=40)


@pytest.mark.parametrize("pattern", ["a", "a/+", "a/#", "#", "+", "$a/+"])
def test_a_value_is_replaced_per_filter_and_key(pattern):
    topic = pattern.replace("+", "x").replace("#", "x")
    trie = TopicTrie()
    assert trie.insert(pattern, "k1", 1) is None
    assert trie.insert(pattern, "k1", 2) == 1
    assert trie.insert(pattern, "k2", 3) is None
    assert trie.insert(pattern, "k2", 4) == 3
    assert trie.insert(pattern, "k3", 5) is None
    assert len(trie) == 3
    assert trie.matches(topic) == [2, 4, 5]
    assert trie.remove(pattern, "k1") == 2
    assert trie.remove(pattern, "k1") is None
    assert trie.remove(pattern, "k2") == 4
    assert trie.matches(topic) == [5]
    assert trie.remove(pattern, "k2") is None
    assert trie.remove(pattern, "k3") == 5
    assert trie.remove(pattern, "k3") is None
    assert trie.matches(topic) == []
    assert len(trie) == 0


@pytest.mark.parametrize("pattern", ["a", "a/b", "a/+/c", "a/+", "+", "#", "a/#", "a/b/c/#", "$a/+", ""])
def test_removing_what_is_not_there_changes_nothing(pattern):
    trie = trie_of("a/x", "a/+/b", "a/b/+", "a/x/#", "$a/x/+")
    assert trie.remove(pattern, "k") is None
    assert trie.remove("a/+/b", "other") is None
    assert trie.remove("a/x", "other") is None
    assert len(trie) == 5


@pytest.mark.parametrize("pattern", ["", "a#", "a/+b", "#/a", "a\0/+"])
def test_an_invalid_filter_is_refused_and_leaves_no_trace(pattern):
    trie = TopicTrie()
    with pytest.raises(InvalidTopicFilter):
        trie.insert(pattern, "k", 1)
    assert len(trie) == 0
    assert trie.matches("a") == []


def test_share_is_text_to_the_trie():
    trie = trie_of("$share/g/a", "$share/g/+")
    assert trie.matches("a") == []
    assert trie.matches("$share/g/a") == ["$share/g/a", "$share/g/+"]


def test_the_order_is_fixed():
    """Exact, then # by depth, then what ends with the topic; within a filter the order of insertion."""
    patterns = ["a/b/+", "+/b/c", "a/#", "#", "a/b/c", "+/#", "a/b/c/#", "+/+/#"]
    expected = ["a/b/c", "#", "a/#", "+/#", "+/+/#", "a/b/c/#", "a/b/+", "+/b/c"]
    for order in (patterns, patterns[::-1]):
        assert trie_of(*order).matches("a/b/c") == expected
    trie = TopicTrie()
    for key in ("z", "a", "m"):
        trie.insert("a/+", key, key)
    trie.insert("a/+", "z", "z again")
    assert trie.matches("a/b") == ["z again", "a", "m"]


def test_children_come_and_go_around_one():
    """A node keeps one child inline and more in a dict; both ways, and back."""
    trie = trie_of("a/+", "b/+", "c/+")
    assert trie.remove("a/+", "k") == "a/+"
    assert trie.remove("c/+", "k") == "c/+"
    assert [trie.matches(f"{first}/x") for first in "abc"] == [[], ["b/+"], []]
    trie.insert("c/+", "k", "c/+")
    assert [trie.matches(f"{first}/x") for first in "abc"] == [[], ["b/+"], ["c/+"]]


def test_a_family_of_wildcards_is_entered_once_a_node():
    """All 2^10 filters of a and + over ten levels: no topic enters a node twice."""
    patterns = ["/".join(levels) for levels in itertools.product("a+", repeat=10)]
    trie = trie_of(*patterns)
    assert trie.matches("/".join("a" * 10)) == patterns
    assert trie.visits == 2**11 - 2  # a whole binary tree, but for the leaf of the filter that has no wildcard
    assert trie.matches("/".join("a" * 9 + "b")) == patterns[1::2]
    before = trie.visits
    assert trie.matches("/".join("b" * 10)) == ["/".join("+" * 10)]
    assert trie.visits - before == 11


def test_nested_wildcard_filters_share_their_path():
    """+, +/+, +/+/+, ... over 200 levels is one chain."""
    trie = trie_of(*["/".join("+" * levels) for levels in range(1, 201)])
    assert trie.matches("/".join("a" * 200)) == ["/".join("+" * 200)]
    assert trie.visits == 201


def test_exact_filters_cost_no_visits():
    trie = trie_of(*[f"a/{number}" for number in range(1000)])
    assert trie.matches("a/7") == ["a/7"]
    assert trie.visits == 0


def test_a_topic_of_slashes_stops_where_the_filters_do():
    trie = trie_of("+/x", "/#", "//+", "a/+/+/+")
    assert trie.matches("/" * 65535) == ["/#"]
    assert trie.visits == 5


def test_the_deepest_filter_the_standard_allows():
    deep = "+/" * 32767 + "+"
    trie = trie_of(deep)
    assert trie.matches("/" * 32767) == [deep]
    assert trie.matches("/" * 65535) == []
    assert trie.visits == 2 * 32769
    assert trie.remove(deep, "k") == deep
    assert trie.matches("/" * 32767) == []
    trie.insert(deep, "k", deep)
    del trie  # taken apart without recursion as well


def used(build):
    """Bytes that the result of a call keeps, strings made in it included."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = build()
        return tracemalloc.get_traced_memory()[0] - before, result
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "pattern", [load, lambda n: f"bench/extra/{n}/x", lambda n: f"bench/+/{n}/x", lambda n: f"{n}/+/state/#"]
)
def test_a_filter_takes_less_than_700_bytes(pattern):
    def build():
        trie = TopicTrie()
        for number in range(5000):
            trie.insert(pattern(number), "k", number)
        return trie

    size, trie = used(build)
    assert len(trie) == 5000
    assert size / 5000 < 700


def test_removed_filters_leave_no_memory_behind():
    def cycle():
        trie = TopicTrie()
        for number in range(5000):
            trie.insert(load(number), "k1", number)
            trie.insert(load(number), "k2", number)
        for number in range(5000):
            assert trie.remove(load(number), "k2") == trie.remove(load(number), "k1") == number
        return trie

    cycle()  # what the interpreter itself keeps, it keeps now
    size, trie = used(cycle)
    assert len(trie) == 0
    assert size < 10_000


@pytest.mark.parametrize("pattern", ["a", "+", "a/#"])
def test_a_removed_value_is_let_go_while_others_stay_under_its_filter(pattern):
    class Subscription:
        pass

    trie = TopicTrie()
    gone = Subscription()
    trie.insert(pattern, "first", gone)
    trie.insert(pattern, "second", Subscription())
    trie.insert(pattern, "third", Subscription())
    trie.remove(pattern, "first")
    still_there = weakref.ref(gone)
    del gone
    assert still_there() is None
    assert len(trie.matches("a")) == 2

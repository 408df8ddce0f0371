"""Many topics against one filter: results, walks in slices, work and memory of the tree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_core.testing.machines import TopicTreeMachine
from mqtt_core.testing.strategies.topics import filters, matching_pairs, topics
from mqtt_core.topic_matcher import TopicTree, matches, split_share
from mqtt_core.topic_matcher.names import VISITS_MIN, VISITS_PER_ITEM
from tests.topic_matcher.table import TABLE
from tests.topic_matcher.test_trie import used


def tree_of(*names):
    tree = TopicTree()
    for name in names:
        tree.set(name, f"={name}")
    return tree


def flat(slices):
    return [name for given in slices for name in given]


def names_of(items):
    return [topic for topic, _ in items]


def walk(tree, pattern, limit, between=lambda: None):
    """All slices of a walk, with a call between each two; checks the limits of each."""
    slices = []
    cursor = None
    while True:
        before = tree.visits
        items, cursor = tree.matching_slice(pattern, cursor, limit)
        assert len(items) <= limit
        assert tree.visits - before <= limit * VISITS_PER_ITEM + VISITS_MIN
        slices.append(names_of(items))
        if cursor is None:
            return slices
        between()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.filter} {row.topic}")
def test_the_tree_matches_as_the_table_says(row):
    pattern = split_share(row.filter)[1]
    expected = [(row.topic, f"={row.topic}")] if row.match else []
    assert tree_of(row.topic).matching(pattern) == expected
    assert flat(walk(tree_of(row.topic), pattern, 1)) == names_of(expected)


def test_with_all_topics_of_the_table_each_filter_finds_its_own():
    names = sorted({row.topic for row in TABLE})
    tree = tree_of(*names)
    for row in TABLE:
        pattern = split_share(row.filter)[1]
        assert sorted(names_of(tree.matching(pattern))) == [name for name in names if matches(pattern, name)]


@pytest.mark.spec("MQTT-4.7.2-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.2-1", version="5.0")
def test_a_leading_wildcard_finds_no_dollar_topic():
    tree = tree_of("a", "$x", "$x/a", "a/$x", "$")
    assert names_of(tree.matching("#")) == ["a", "a/$x"]
    assert names_of(tree.matching("+")) == ["a"]
    assert names_of(tree.matching("+/#")) == ["a", "a/$x"]
    assert names_of(tree.matching("$x/#")) == ["$x", "$x/a"]
    assert names_of(tree.matching("$x/+")) == ["$x/a"]


@given(st.lists(topics()), filters())
def test_matches_as_specified(names, pattern):
    tree = tree_of(*names)
    expected = sorted(name for name in set(names) if matches(pattern, name))
    assert sorted(names_of(tree.matching(pattern))) == expected
    assert sorted(flat(walk(tree, pattern, 2))) == expected


@given(st.lists(matching_pairs(), min_size=1))
def test_no_match_is_missed_among_many(pairs):
    tree = tree_of(*[topic for _, topic in pairs])
    for pattern, topic in pairs:
        assert topic in names_of(tree.matching(pattern))


TestTopicTreeMachine = TopicTreeMachine.TestCase
TestTopicTreeMachine.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_tree_is_a_map():
    tree = TopicTree()
    assert tree.get("a/b") is None
    assert tree.set("a/b", 1) is None
    assert tree.set("a/b", 2) == 1
    assert tree.get("a/b") == 2
    assert tree.get("a") is tree.get("a/b/c") is tree.get("a/c") is None
    assert tree.pop("a") is tree.pop("a/b/c") is tree.pop("x") is None
    assert len(tree) == 1
    assert tree.pop("a/b") == 2
    assert tree.pop("a/b") is None
    assert len(tree) == 0
    assert tree.matching("#") == tree.matching("a/b") == []


def test_the_order_is_that_of_insertion_level_by_level():
    tree = tree_of("b/2", "a", "b/1", "b", "c/1/x", "c", "b/3/x")
    assert names_of(tree.matching("#")) == ["b", "b/2", "b/1", "b/3/x", "a", "c", "c/1/x"]
    tree.pop("b/2")
    tree.set("b/2", 0)
    assert names_of(tree.matching("b/#")) == ["b", "b/1", "b/3/x", "b/2"]


def test_a_node_above_a_topic_is_no_topic():
    tree = tree_of("a/b/c")
    assert tree.matching("a") == tree.matching("a/b") == tree.matching("+/+") == []
    assert names_of(tree.matching("a/#")) == ["a/b/c"]
    tree.set("a", 1)
    assert tree.pop("a/b/c") == "=a/b/c"
    assert names_of(tree.matching("#")) == ["a"]


@pytest.mark.parametrize("limit", [1, 2, 7, 10, 1000])
def test_slices_give_all_and_each_once(limit):
    names = [f"a/{number}" for number in range(10)]
    slices = walk(tree_of(*names), "a/+", limit)
    assert flat(slices) == names
    assert all(len(given) == limit for given in slices[: 10 // limit])


def test_a_plain_filter_is_one_look_up():
    tree = tree_of("a/b", "a/c")
    assert tree.matching_slice("a/b", None, 1) == ([("a/b", "=a/b")], None)
    assert tree.matching_slice("a/x", None, 1) == ([], None)
    assert tree.visits == 0


def test_topics_added_during_a_walk_do_not_prolong_it():
    tree = tree_of(*[f"a/{number}" for number in range(10)])
    counter = iter(range(10, 1000))

    def add_two():
        tree.set(f"a/{next(counter)}", "new")
        tree.set(f"b/{next(counter)}", "new")

    assert flat(walk(tree, "#", 1, add_two)) == [f"a/{number}" for number in range(10)]


def test_a_walk_goes_on_behind_topics_that_were_removed():
    tree = tree_of(*[f"a/{number}/x" for number in range(6)])
    items, cursor = tree.matching_slice("a/+/x", None, 3)
    assert names_of(items) == ["a/0/x", "a/1/x", "a/2/x"]
    for number in (2, 3, 0):
        tree.pop(f"a/{number}/x")
    tree.set("a/3/x", "new")
    items, cursor = tree.matching_slice("a/+/x", cursor, 10)
    assert names_of(items) == ["a/4/x", "a/5/x"]
    assert cursor is None


@pytest.mark.parametrize("left", [0, 2, 4])
def test_a_walk_goes_on_when_one_child_is_left(left):
    """The order of children is gone then; the one that is left was before, at, or behind the cursor."""
    tree = tree_of(*[f"a/{number}" for number in range(5)])
    items, cursor = tree.matching_slice("a/+", None, 3)
    for number in range(5):
        if number != left:
            tree.pop(f"a/{number}")
    items, cursor = tree.matching_slice("a/+", cursor, 10)
    assert names_of(items) == (["a/4"] if left == 4 else [])
    assert cursor is None


def test_a_walk_goes_on_when_the_order_was_tidied_up():
    tree = tree_of(*[f"a/{number}" for number in range(100)])
    _, cursor = tree.matching_slice("a/+", None, 50)
    for number in range(100):
        if number % 10:
            tree.pop(f"a/{number}")
    items, cursor = tree.matching_slice("a/+", cursor, 100)
    assert names_of(items) == ["a/50", "a/60", "a/70", "a/80", "a/90"]
    assert cursor is None


def test_a_walk_ends_when_everything_was_removed():
    tree = tree_of("a/1", "a/2", "b/1")
    _, cursor = tree.matching_slice("+/+", None, 1)
    for name in ("a/1", "a/2", "b/1"):
        tree.pop(name)
    assert tree.matching_slice("+/+", cursor, 1) == ([], None)


def test_a_text_level_that_came_back_is_left_out():
    tree = tree_of("x/a/1", "x/a/2", "y/a/1")
    _, cursor = tree.matching_slice("+/a/+", None, 1)
    for name in ("x/a/1", "x/a/2", "x/b"):
        tree.set(name, "new")
        tree.pop(name)
    tree.set("x/a/2", "new")
    items, cursor = tree.matching_slice("+/a/+", cursor, 5)
    assert names_of(items) == ["y/a/1"]


def test_a_slice_with_few_matches_stops_early():
    """One match behind 5,000 names that do not match: every slice is short, and some give nothing."""
    tree = tree_of(*[f"a/{number}/y" for number in range(5000)], "a/last/x")
    slices = walk(tree, "a/+/x", 5)
    assert flat(slices) == ["a/last/x"]
    assert 5000 // (5 * VISITS_PER_ITEM + VISITS_MIN) <= len(slices) <= 200


def test_a_slice_of_removed_names_stops_early():
    """Nodes stay in their parent's order for a while after removal; passing them counts as work."""
    tree = tree_of(*[f"a/{number}" for number in range(1000)])
    for number in range(499):
        tree.pop(f"a/{number}")
    slices = walk(tree, "a/+", 1)
    assert slices[0] == []
    assert flat(slices) == [f"a/{number}" for number in range(499, 1000)]


def test_the_deepest_topic_the_standard_allows():
    deep = "/" * 65535
    tree = tree_of(deep)
    assert tree.matching("+/x") == []
    assert names_of(tree.matching("#")) == [deep]
    assert len(walk(tree, "//#", 1000)) == 17
    assert tree.pop(deep) == f"={deep}"
    assert tree.matching("#") == []
    tree.set(deep, 1)
    del tree  # taken apart without recursion as well


@pytest.mark.parametrize("name", [lambda n: f"bench/ret/{n}", lambda n: f"dev/{n}/state"])
def test_a_topic_takes_less_than_400_bytes_besides_its_name(name):
    names = [name(number) for number in range(20_000)]
    value = object()

    def build():
        tree = TopicTree()
        for each in names:
            tree.set(each, value)
        return tree

    size, tree = used(build)
    assert len(tree) == 20_000
    assert size / 20_000 < 400


def test_removed_topics_leave_no_memory_behind():
    names = [f"bench/{number % 7}/{number}/x" for number in range(5000)]

    def cycle():
        tree = TopicTree()
        for each in names:
            tree.set(each, 1)
        for each in names:
            assert tree.pop(each) == 1
        return tree

    cycle()
    size, tree = used(cycle)
    assert len(tree) == 0
    assert size < 10_000


def test_most_topics_removed_leave_little_memory_behind():
    names = [f"bench/ret/{number}" for number in range(20_000)]

    def build():
        tree = TopicTree()
        for each in names:
            tree.set(each, 1)
        for each in names[200:]:
            assert tree.pop(each) == 1
        return tree

    size, tree = used(build)
    assert names_of(tree.matching("bench/ret/+")) == names[:200]
    assert size < 200 * 400 * 4

"""Who is subscribed to what, and whose turn it is in a shared subscription."""

from __future__ import annotations

import time

import pytest

from mqtt_core.router import Registry, SharedGroup
from mqtt_core.session import Session, Subscription
from tests.topic_matcher.table import TABLE


def session(client_id, online=True):
    made = Session(client_id)
    made.connected = online
    return made


def plain(owner, topic_filter, qos=1):
    return Subscription(owner, topic_filter, qos)


def shared(owner, group, topic_filter, qos=1):
    return Subscription(owner, f"$share/{group}/{topic_filter}", qos, share=f"{group}/{topic_filter}")


@pytest.mark.spec("MQTT-3.8.4-3", version="5.0")
@pytest.mark.spec("MQTT-3.8.4-3", version="3.1.1")
def test_an_identical_filter_replaces_the_subscription():
    registry = Registry()
    owner = session("a")
    assert registry.add(plain(owner, "t/+", 0))
    newer = plain(owner, "t/+", 2)
    assert not registry.add(newer)
    assert registry.matches("t/x") == [newer]
    assert owner.subscriptions == {"t/+": newer}
    assert registry.subscription_count == 1


def test_the_same_filter_of_two_clients_is_two_subscriptions():
    registry = Registry()
    first, second = plain(session("a"), "t"), plain(session("b"), "t")
    registry.add(first)
    registry.add(second)
    assert registry.matches("t") == [first, second]
    assert registry.subscription_count == 2


@pytest.mark.spec("MQTT-3.10.4-1", version="5.0")
@pytest.mark.spec("MQTT-3.10.4-1", version="3.1.1")
def test_removal_is_by_exact_comparison_of_characters():
    registry = Registry()
    owner = session("a")
    for topic_filter in ("t/+", "t/#", "t/a"):
        registry.add(plain(owner, topic_filter))
    assert registry.remove(owner, "t/b") is None
    removed = registry.remove(owner, "t/+")
    assert removed is not None
    assert removed.filter == "t/+"
    assert sorted(s.filter for s in registry.matches("t/a")) == ["t/#", "t/a"]
    assert registry.subscription_count == 2


@pytest.mark.parametrize("row", [r for r in TABLE if not r.filter.startswith("$share/")], ids=str)
def test_matching_follows_the_table(row):
    registry = Registry()
    subscription = plain(session("a"), row.filter)
    registry.add(subscription)
    assert registry.matches(row.topic) == ([subscription] if row.match else [])


def test_plain_and_shared_subscriptions_with_the_same_filter_do_not_touch_each_other():
    registry = Registry()
    owner = session("a")
    ordinary, group = plain(owner, "t"), shared(owner, "g", "t")
    registry.add(ordinary)
    registry.add(group)
    assert registry.matches("t") == [ordinary]
    assert [g.key for g in registry.shared_matches("t")] == ["g/t"]
    assert registry.remove(owner, "t") is ordinary
    assert [g.key for g in registry.shared_matches("t")] == ["g/t"]
    assert registry.remove(owner, "$share/g/t") is group
    assert registry.shared_matches("t") == []
    assert registry.group("g/t") is None


def test_a_topic_that_begins_with_share_is_no_group():
    registry = Registry()
    registry.add(shared(session("a"), "g", "t"))
    assert registry.matches("$share/g/t") == []
    assert registry.shared_matches("$share/g/t") == []


def test_groups_are_told_apart_by_name_and_filter():
    registry = Registry()
    for group, topic_filter in (("g", "t"), ("h", "t"), ("g", "+")):
        registry.add(shared(session(group + topic_filter), group, topic_filter))
    assert sorted(g.key for g in registry.shared_matches("t")) == ["g/+", "g/t", "h/t"]
    assert registry.shared_count() == 3


def test_a_group_goes_with_its_last_member():
    registry = Registry()
    first, second = session("a"), session("b")
    registry.add(shared(first, "g", "t"))
    registry.add(shared(second, "g", "t"))
    registry.remove(first, "$share/g/t")
    assert [g.key for g in registry.shared_matches("t")] == ["g/t"]
    registry.remove(second, "$share/g/t")
    assert registry.shared_matches("t") == []
    assert registry.shared_count() == 0


def test_subscribing_to_a_group_again_replaces_the_membership():
    registry = Registry()
    owner = session("a")
    registry.add(shared(owner, "g", "t", 0))
    newer = shared(owner, "g", "t", 2)
    assert not registry.add(newer)
    (group,) = registry.shared_matches("t")
    assert [group.choose(), group.choose()] == [newer, newer]
    assert registry.shared_count() == 1


# -- turns ----------------------------------------------------------------------------------------------------------


def group_of(*members):
    group = SharedGroup("g/t", "t")
    for member in members:
        group.place(shared(member, "g", "t"))
    return group


def turns(group, count, refused=None):
    chosen = [group.choose(refused) for _ in range(count)]
    return [c.session.client_id if c is not None else None for c in chosen]


def test_members_take_turns():
    group = group_of(session("a"), session("b"), session("c"))
    order = turns(group, 6)
    assert sorted(order[:3]) == ["a", "b", "c"]
    assert order[3:] == order[:3]


def test_online_members_are_preferred():
    group = group_of(session("a", online=False), session("b"), session("c", online=False))
    assert turns(group, 3) == ["b", "b", "b"]


def test_while_all_are_away_they_take_turns_too():
    group = group_of(session("a", online=False), session("b", online=False))
    assert sorted(turns(group, 2)) == ["a", "b"]


def test_a_member_moves_to_the_other_list_when_its_client_comes_or_goes():
    registry = Registry()
    first, second = session("a"), session("b", online=False)
    registry.add(shared(first, "g", "t"))
    registry.add(shared(second, "g", "t"))
    (group,) = registry.shared_matches("t")
    first.connected, second.connected = False, True
    registry.presence_changed(first)
    registry.presence_changed(second)
    assert turns(group, 2) == ["b", "b"]
    registry.presence_changed(session("stranger"))
    assert len(group.online) == len(group.absent) == 1


def test_a_session_that_may_not_get_the_message_is_passed_over():
    first, second = session("a"), session("b")
    group = group_of(first, second)
    assert turns(group, 3, refused=first) == ["b", "b", "b"]
    assert turns(group_of(first), 2, refused=first) == [None, None]


def test_where_the_only_online_member_is_refused_an_absent_one_is_chosen():
    online, away = session("a"), session("b", online=False)
    assert turns(group_of(online, away), 2, refused=online) == ["b", "b"]


def test_a_large_group_costs_its_members_no_more_than_a_small_one():
    """Twenty thousand join, go and come back: seconds when each had to be looked for among the others."""
    registry = Registry()
    members = [session(f"c{number}") for number in range(20_000)]
    began = time.process_time()
    for member in members:
        registry.add(shared(member, "g", "t"))
    for member in members:
        member.connected = False
        registry.presence_changed(member)
    (group,) = registry.shared_matches("t")
    assert turns(group, 3) == ["c0", "c1", "c2"]
    for member in members:
        registry.remove(member, "$share/g/t")
    assert registry.shared_matches("t") == []
    assert time.process_time() - began < 3.0

"""Prepared routes: what is in them, when they are made anew, and how much work that is."""

from __future__ import annotations

import pytest

from mqtt_core.persistence import Journal
from mqtt_core.router import Counters, EventRing, Registry, RetainStore, Router, Sender
from mqtt_core.router.queues import SessionQueues
from mqtt_core.router.router import INVALIDATE_MAX, NOBODY
from mqtt_core.session import Message, Session, Subscription
from mqtt_core.transport import Outbox

NOW = 1000.0


class Asked:
    """Counts what the policy is asked."""

    def __init__(self, denied=()):
        self.denied = denied
        self.questions = []

    def __call__(self, session, topic):
        self.questions.append((session.client_id, topic))
        return session.client_id not in self.denied


def make_router(cache_max=1000, authorize_deliver=None):
    counters = Counters()
    journal = Journal(False)
    retained = RetainStore(10_000, 1_000_000)
    queues = SessionQueues(journal, counters, EventRing(10, counters), 100, 10_000, 10_000)
    sender = Sender(journal, counters, queues, retained, 10_000)
    return Router(Registry(), retained, sender, journal, counters, cache_max, authorize_deliver)


def session(client_id, version=5):
    made = Session(client_id, version=version)
    made.sink = Outbox(None, [])
    made.connected = True
    made.update_direct()
    return made


def subscribe(router, owner, topic_filter, qos=1, **options):
    share = topic_filter[len("$share/") :] if topic_filter.startswith("$share/") else ""
    subscription = Subscription(owner, topic_filter, qos, share=share, **options)
    router.subscribe(subscription)
    return subscription


def rows(route):
    return [(row.session.client_id, row.qos) for row in route.rows]


def test_a_route_is_made_once_and_used_again():
    router = make_router()
    subscribe(router, session("a"), "t/+")
    assert router.route("t/x") is router.route("t/x")


@pytest.mark.spec("MQTT-3.3.4-2", "MQTT-3.3.4-4", version="5.0")
@pytest.mark.spec("MQTT-3.3.5-1", version="3.1.1")
def test_a_session_is_in_a_route_once_with_the_best_of_its_subscriptions():
    router = make_router()
    owner = session("a")
    subscribe(router, owner, "t/#", 0, subscription_id=1)
    subscribe(router, owner, "t/x", 2, subscription_id=2)
    subscribe(router, owner, "+/x", 1, retain_as_published=True)
    (row,) = router.route("t/x").rows
    assert (row.qos, row.retain_as_published, sorted(row.subscription_ids)) == (2, True, [1, 2])


def test_a_session_that_speaks_3_1_1_keeps_its_identifiers_for_when_it_speaks_5_0_again():
    router = make_router()
    subscribe(router, session("a", 4), "t", subscription_id=1)
    assert router.route("t").rows[0].subscription_ids == (1,)


def test_nobody_is_one_route_and_takes_no_place_in_the_cache():
    router = make_router()
    assert router.route("a") is router.route("b") is NOBODY
    assert router.route("a").empty()
    assert router.routes == {}


@pytest.mark.parametrize("first, second", [("t/x", "u/x"), ("t/+", "u/#"), ("$share/g/t/x", "$share/g/u/x")])
def test_a_subscription_touches_the_routes_it_matches_and_no_other(first, second):
    router = make_router()
    subscribe(router, session("base"), "#")
    one, two = router.route("t/x"), router.route("u/x")
    owner = session("a")
    subscribe(router, owner, first)
    assert router.route("t/x") is not one
    assert router.route("u/x") is two
    one = router.route("t/x")
    subscribe(router, owner, second)
    assert router.route("t/x") is one
    assert router.route("u/x") is not two
    assert router.unsubscribe(owner, first)
    assert router.route("t/x") is not one
    assert rows(router.route("t/x")) == [("base", 1)]
    assert router.route("t/x").groups == []


def test_a_subscription_that_matches_very_many_routes_drops_them_all_at_once():
    router = make_router(cache_max=10_000)
    subscribe(router, session("base"), "#")
    for number in range(INVALIDATE_MAX + 10):
        router.route(f"t/{number}")
    untouched = router.route("other")
    subscribe(router, session("a"), "t/+")
    assert router.routes == {}
    assert rows(router.route("t/1")) == [("base", 1), ("a", 1)]
    assert router.route("other") is not untouched


def test_the_cache_is_bounded_and_an_evicted_route_is_invalidated_without_harm():
    router = make_router(cache_max=5)
    subscribe(router, session("base"), "#")
    for number in range(50):
        router.route(f"t/{number}")
        assert len(router.routes) <= 5
        assert len(router._names) == len(router.routes)
    owner = session("a")
    subscribe(router, owner, "t/#")
    subscribe(router, owner, "t/3")
    assert sorted(rows(router.route("t/3"))) == [("a", 1), ("base", 1)]


def test_the_policy_is_asked_once_a_route_and_anew_when_all_are_void():
    asked = Asked(denied=["b"])
    router = make_router(authorize_deliver=asked)
    subscribe(router, session("a"), "t/#")
    subscribe(router, session("a2"), "t/+")
    subscribe(router, session("b"), "t/+")
    for _ in range(3):
        assert [row.session.client_id for row in router.route("t/x").rows] == ["a", "a2"]
    assert len(asked.questions) == 3
    router.invalidate_all()
    router.route("t/x")
    assert len(asked.questions) == 6


def test_a_member_of_a_share_that_may_not_get_a_message_is_passed_over():
    router = make_router(authorize_deliver=Asked(denied=["a"]))
    first, second = session("a"), session("b")
    subscribe(router, first, "$share/g/t")
    subscribe(router, second, "$share/g/t")
    for number in range(4):
        router.publish(Message("t", b"x", 1, sequence=number + 1), NOW)
    assert first.sink.take() == []
    assert len(second.sink.take()) == 4


def test_where_no_member_may_get_a_message_it_is_dropped():
    router = make_router(authorize_deliver=Asked(denied=["a"]))
    only = session("a")
    subscribe(router, only, "$share/g/t")
    router.publish(Message("t", b"x", 1, sequence=1), NOW)
    assert only.sink.take() == []
    assert only.inflight == {}


@pytest.mark.spec("MQTT-3.8.3-3", version="5.0")
def test_no_local_is_settled_when_the_route_is_made():
    router = make_router()
    owner = session("a")
    subscribe(router, owner, "t/#", 2, no_local=True)
    (row,) = router.route("t/x").rows
    assert row.no_local
    assert row.own is None
    subscribe(router, owner, "t/x", 0)
    (row,) = router.route("t/x").rows
    assert (row.qos, row.own.qos) == (2, 0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda router, owner: subscribe(router, owner, "t", subscription_id=3),
        lambda router, owner: subscribe(router, owner, "t", no_local=True),
        lambda router, owner: subscribe(router, owner, "$share/g/t"),
        lambda router, owner: setattr(owner, "alias_max", 5) or subscribe(router, owner, "t"),
        lambda router, owner: setattr(owner, "version", 4) or subscribe(router, owner, "t"),
        lambda router, owner: setattr(owner, "local", object()) or subscribe(router, owner, "t"),
    ],
    ids=["identifier", "no local", "shared", "alias", "version", "host"],
)
def test_frames_pass_unchanged_only_where_nothing_is_to_be_changed(spoil):
    router = make_router()
    subscribe(router, session("base"), "t")
    assert router.route("t").version == 5
    spoil(router, session("a"))
    route = router.route("t")
    assert route.version == 0
    assert route.plain == []


def test_a_route_knows_its_smallest_qos_and_packet_size():
    router = make_router()
    first, second, third = session("a"), session("b"), session("c")
    first.packet_size_max, second.packet_size_max = 500, 100
    for owner, qos in ((first, 2), (second, 1), (third, 2)):
        subscribe(router, owner, "t", qos)
    route = router.route("t")
    assert (route.qos_min, route.size_max) == (1, 100)


def test_a_session_that_changed_is_in_new_routes_only():
    router = make_router()
    owner = session("a")
    subscribe(router, owner, "t/+")
    subscribe(router, owner, "u")
    routes = router.route("t/x"), router.route("u")
    owner.version = 4
    router.session_changed(owner)
    assert (router.route("t/x"), router.route("u")) != routes
    assert router.route("t/x").version == 4


def test_a_session_with_very_many_subscriptions_that_changed_drops_all_routes_at_once():
    router = make_router()
    owner = session("a")
    for number in range(INVALIDATE_MAX + 1):
        subscribe(router, owner, f"t/{number}")
    router.route("t/1")
    router.session_changed(owner)
    assert router.routes == {}


def test_one_encoding_serves_all_recipients_of_a_variant():
    router = make_router()
    group = [session(f"s{number}") for number in range(4)]
    for owner in group:
        subscribe(router, owner, "t", 0)
    router.publish(Message("t", b"x", 1, sequence=1), NOW)
    assert {tuple(owner.sink.take()) for owner in group} == {(b"\x30\x05\x00\x01t\x00x",)}


def test_the_publishers_identifier_is_used_where_it_is_free():
    router = make_router()
    free, taken = session("a"), session("b")
    taken.inflight[7] = b"\x32\x06\x00\x01t\x00\x07x"
    for owner in (free, taken):
        subscribe(router, owner, "t")
    router.publish(Message("t", b"x", 1, sequence=1), NOW, 0, 7)
    assert list(free.inflight) == [7]
    assert list(taken.inflight) == [7, 1]
    router.publish(Message("t", b"y", 1, sequence=2), NOW)
    assert list(free.inflight) == [7, 1]


def test_the_journal_is_asked_for_a_barrier_only_where_something_is_stored():
    counters = Counters()
    journal = Journal()
    retained = RetainStore(10, 1000)
    queues = SessionQueues(journal, counters, EventRing(10, counters), 100, 10_000, 10_000)
    sender = Sender(journal, counters, queues, retained, 10_000)
    router = Router(Registry(), retained, sender, journal, counters, 10)
    passing, kept = session("a"), session("b")
    kept.stored = True
    subscribe(router, passing, "t")
    assert router.publish(Message("t", b"x", 1, sequence=1), NOW) == 0
    subscribe(router, kept, "t", 0)
    assert router.publish(Message("t", b"x", 1, sequence=2), NOW) == 0
    subscribe(router, kept, "t", 1)
    assert router.publish(Message("t", b"x", 0, sequence=3), NOW) == 0
    assert journal.take_batch() is None
    assert router.publish(Message("t", b"x", 1, sequence=4), NOW) == 1
    assert journal.take_batch().number == 1


def test_looking_for_routes_to_invalidate_costs_no_more_than_making_them_anew():
    router = make_router(cache_max=5000)
    owner = session("a")
    subscribe(router, owner, "#")
    routes = 2000
    for number in range(routes):
        router.route(f"x{number}")
    walked = 0
    for number in range(1000):
        names = router._names
        before = names.visits
        subscribe(router, owner, f"+/{number}")
        walked += names.visits - before
    assert walked < 50 * routes
    assert rows(router.route("x1/999")) == [("a", 1)]


def test_a_topic_that_takes_much_memory_is_routed_but_not_kept():
    router = make_router()
    subscribe(router, session("a"), "#")
    for number in range(10):
        assert rows(router.route(f"{number}" + "x" * 60_000)) == [("a", 1)]
        assert rows(router.route(f"{number}" + "/x" * 150)) == [("a", 1)]
    assert not router.routes


class Compared(int):
    """A number that counts how often it is compared."""

    count = 0
    __hash__ = int.__hash__

    def __eq__(self, other):
        Compared.count += 1
        return int(self) == int(other)


def test_a_great_many_subscription_identifiers_on_one_route_take_time_in_proportion():
    router = make_router()
    owner = session("a")
    for number in range(1024):
        levels = "/".join("+" if digit == "1" else "x" for digit in f"{number:010b}")
        subscribe(router, owner, levels, subscription_id=Compared(number + 1))
    ids = router.route("/".join("x" * 10)).rows[0].subscription_ids
    assert Compared.count < 10_000
    assert len(ids) == 1024

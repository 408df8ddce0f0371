"""Shared subscriptions (5.0 section 4.8.2, and the same for 3.1.1 clients)."""

from __future__ import annotations

from itertools import chain

import pytest

from mqtt_core.codec import (
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    UnsubscribePacket,
)
from tests.broker.dialogue import at, fleeting, ids, lasting, payloads, pub, seen
from tests.broker.kit import World

SHARED = "$share/g/t"


def members(world, count=2, qos=2, version=5, join=lasting):
    return [join(world, f"m{n}", version, at(SHARED, qos)) for n in range(count)]


def published(world, count, qos, version=5):
    publisher = fleeting(world, "publisher", version)
    publisher.send(*[pub(b"%d" % n, qos, n) for n in range(1, count + 1)])
    publisher.drop()


@pytest.mark.spec("MUST-4.8.2-2", version="5.0")
def test_each_message_goes_to_one_member_by_turns(make_world, version):
    world = make_world()
    group = members(world, 3, version=version)
    published(world, 9, 1, version)
    shares = [payloads(m.messages()) for m in group]
    assert [len(s) for s in shares] == [3, 3, 3]
    assert sorted(chain.from_iterable(shares)) == [b"%d" % n for n in range(1, 10)]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_group_and_every_plain_subscriber_gets_a_copy(make_world, version, qos):
    world = make_world()
    first = fleeting(world, "a", version, "$share/one/t")
    second = fleeting(world, "b", version, "$share/two/t", "$share/one/+")
    plain = fleeting(world, "c", version, "t")
    published(world, 1, qos, version)
    assert payloads(first.messages()) == [b"1"]
    assert payloads(second.messages()) == [b"1", b"1"]
    assert payloads(plain.messages()) == [b"1"]


def test_a_plain_and_a_shared_subscription_of_one_client_each_bring_a_copy(make_world, version):
    world = make_world()
    client = fleeting(world, "a", version, SHARED, "t")
    published(world, 1, 1, version)
    assert payloads(client.messages()) == [b"1", b"1"]


@pytest.mark.spec("MQTT-4.8.2-3", version="5.0")
def test_the_message_keeps_to_the_qos_granted_to_the_member_that_gets_it(make_world):
    world = make_world()
    group = [fleeting(world, f"m{n}", 5, at(SHARED, n)) for n in range(3)]
    published(world, 3, 2)
    assert [[p.qos for p in member.messages()] for member in group] == [[0], [1], [2]]


def test_an_identifier_of_the_subscription_is_added(make_world):
    world = make_world()
    client = fleeting(world, "a", 5)
    client.subscribe(SHARED, subscription_identifiers=(4,))
    published(world, 1, 1)
    assert client.messages()[0].properties.subscription_identifiers == (4,)


def test_retain_as_published_holds_for_members_too(make_world):
    world = make_world()
    client = fleeting(world, "a", 5, at(SHARED, 1, retain_as_published=True))
    fleeting(world, "p", 5).send(pub(b"x", 1, retain=True))
    assert seen(client.messages()) == [(b"x", 1, True, False)]


def test_members_that_are_online_are_preferred(make_world, version):
    world = make_world()
    away, here = members(world, 2, version=version)
    away.drop()
    published(world, 4, 1, version)
    assert len(here.messages()) == 4
    assert world.session("m0").queued() == 0


def test_while_all_members_are_away_their_sessions_take_turns(make_world, version):
    world = make_world()
    for member in members(world, 2, version=version):
        member.drop()
    published(world, 4, 1, version)
    assert [world.session(f"m{n}").queued() for n in range(2)] == [2, 2]
    got = [payloads(lasting(world, f"m{n}", version).messages()) for n in range(2)]
    assert sorted(chain.from_iterable(got)) == [b"1", b"2", b"3", b"4"]


# -- a member goes --------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.8.2-4", version="5.0")
@pytest.mark.parametrize("step", ["before pubrec", "before pubcomp"])
def test_a_qos_2_message_under_way_is_finished_with_its_member(make_world, step):
    world = make_world()
    first, second = members(world, 2)
    published(world, 2, 2)
    (one,) = first.messages()
    assert len(second.messages()) == 1
    if step == "before pubcomp":
        first.send(PubrecPacket(one.packet_id))
        first.received()
    first.drop()
    assert second.received() == []
    first = lasting(world, "m0", 5)
    again = PublishPacket("t", one.payload, 2, False, True, one.packet_id)
    assert first.received() == [PubrelPacket(one.packet_id) if step == "before pubcomp" else again]
    assert second.received() == []


@pytest.mark.spec("MQTT-4.8.2-5", version="5.0")
@pytest.mark.parametrize("ends", ["clean start", "expiry"])
def test_a_qos_2_message_once_sent_goes_to_nobody_else(make_world, ends):
    world = make_world()
    first, second = members(world, 2)
    published(world, 2, 2)
    second.send(*[step(p.packet_id) for p in second.messages() for step in (PubrecPacket, PubcompPacket)])
    second.received()
    first.drop()
    if ends == "expiry":
        world.wait(4000)
    else:
        world.connect("m0", clean=True)
    assert second.received() == []


def test_unacknowledged_qos_1_and_what_was_never_sent_goes_to_another_member(make_world):
    world = make_world()
    first = lasting(world, "m0", 5, at(SHARED, 2), receive_maximum=2)
    published(world, 4, 1)
    assert payloads(first.messages()) == [b"1", b"2"]
    second = lasting(world, "m1", 5, at(SHARED, 2))
    first.drop()
    assert second.received() == []
    world.wait(4000)
    assert sorted(payloads(second.messages())) == [b"1", b"2", b"3", b"4"]


def test_a_queued_qos_2_message_goes_to_another_member(make_world):
    world = make_world()
    first = lasting(world, "m0", 5, at(SHARED, 2), receive_maximum=1)
    published(world, 2, 2)
    assert payloads(first.messages()) == [b"1"]
    second = lasting(world, "m1", 5, at(SHARED, 2))
    world.connect("m0", clean=True)
    assert seen(second.messages()) == [(b"2", 2, False, False)]


def test_a_message_taken_over_is_not_held_up_by_a_storage_that_has_nothing_to_write(make_world):
    world = make_world()
    first, second = members(world, 2, join=fleeting)
    published(world, 2, 1)
    second.send(*[PubackPacket(i) for i in ids(second.messages())])
    (lost,) = first.messages()
    first.drop()
    assert payloads(second.messages()) == [lost.payload]


def test_when_the_last_member_goes_its_messages_go_with_it(make_world, version):
    world = make_world()
    (only,) = members(world, 1, version=version)
    only.drop()
    published(world, 2, 1, version)
    world.connect("m0", version=version, clean=True)
    assert world.session("m0").queued() == 0
    assert world.counters.queued_messages == 0
    assert world.counters.queued_bytes == 0


def test_messages_already_given_stay_with_a_member_that_unsubscribes(make_world, version):
    world = make_world()
    first, second = members(world, 2, version=version)
    published(world, 2, 1, version)
    first.send(UnsubscribePacket(9, [SHARED]))
    kept = [p for p in first.received() if isinstance(p, PublishPacket)]
    assert len(kept) == 1
    second.messages()
    published(world, 2, 1, version)
    assert len(second.messages()) == 2
    first.drop()
    first = lasting(world, "m0", version)
    assert payloads(first.messages()) == payloads(kept)


@pytest.mark.spec("MQTT-4.8.2-6", version="5.0")
@pytest.mark.parametrize("qos, answer", [(1, PubackPacket), (2, PubrecPacket)])
def test_a_message_a_member_refuses_is_discarded(make_world, qos, answer):
    world = make_world()
    first, second = members(world, 2)
    published(world, 2, qos)
    (one,) = first.messages()
    second.send(*[answer(i) for i in ids(second.messages())])
    second.received()
    first.send(answer(one.packet_id, 0x83))
    assert first.received() == second.received() == []
    assert list(world.session("m0").inflight) == []
    first.drop()
    assert lasting(world, "m0", 5).received() == []
    assert second.received() == []


def test_a_group_survives_a_restart_with_what_its_members_were_given(bulk, version):
    world = World(stored=True, bulk_path=bulk)
    for member in members(world, 2, version=version):
        member.drop()
    published(world, 4, 1, version)
    world.restart()
    got = [payloads(lasting(world, f"m{n}", version).messages()) for n in range(2)]
    assert [len(g) for g in got] == [2, 2]
    assert sorted(chain.from_iterable(got)) == [b"1", b"2", b"3", b"4"]


def test_after_a_restart_an_ended_members_messages_still_find_another(bulk):
    world = World(stored=True, bulk_path=bulk)
    first = lasting(world, "m0", 5, at(SHARED, 2))
    published(world, 2, 1)
    first.drop()
    world.restart()
    second = lasting(world, "m1", 5, at(SHARED, 2))
    world.wait(4000)
    assert sorted(payloads(second.messages())) == [b"1", b"2"]


def test_shared_messages_do_not_expire_faster_or_slower(make_world):
    world = make_world()
    (only,) = members(world, 1)
    only.drop()
    publisher = fleeting(world, "publisher", 5)
    publisher.send(pub(b"short", 1, 1, properties=Properties(message_expiry_interval=10)))
    publisher.send(pub(b"long", 1, 2, properties=Properties(message_expiry_interval=1000)))
    world.wait(100)
    (message,) = lasting(world, "m0", 5).messages()
    assert message.payload == b"long"
    assert message.properties.message_expiry_interval == 900


def test_nothing_below_the_share_prefix_is_shared_by_a_client_of_another_group_name(make_world, version):
    world = make_world()
    one = fleeting(world, "a", version, "$share/g/t")
    two = fleeting(world, "b", version, "$share/G/t")
    published(world, 1, 1, version)
    assert payloads(one.messages()) == payloads(two.messages()) == [b"1"]

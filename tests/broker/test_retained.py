"""Retained messages: kept, replaced, removed, replayed (section 3.3.1.3)."""

from __future__ import annotations

from time import process_time

import pytest

from mqtt_core.broker import Accept
from mqtt_core.codec import Properties, PubackPacket, PublishPacket, SubscribePacket, UnsubscribePacket, encode
from tests.broker.dialogue import BOTH, at, fleeting, lasting, payloads, pub, seen
from tests.broker.kit import World


def keep(world, *payload_of, topic="t", qos=1, version=5, **fields):
    """A client retains messages and goes."""
    client = world.connect("keeper", version=version)
    for packet_id, payload in enumerate(payload_of, 1):
        client.send(pub(payload, qos, packet_id, topic=topic, retain=True, **fields))
    client.drop()


def replayed(client, *filters, **fields):
    """What a subscription brings at once."""
    client.subscribe(*filters, **fields)
    return client.messages()


@pytest.mark.spec("MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-8", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.1-5", "MQTT-3.3.1-9", version="5.0")
@BOTH
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_newest_message_with_retain_is_sent_to_later_subscribers_with_its_qos(make_world, pv, sv, qos):
    world = make_world()
    keep(world, b"old", b"new", qos=qos, version=pv)
    subscriber = fleeting(world, "s", sv)
    assert seen(replayed(subscriber, "t")) == [(b"new", qos, True, False)]


@pytest.mark.spec("MQTT-3.8.4-6", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.4-8", version="5.0")
def test_a_retained_message_is_sent_with_the_lower_qos_too(make_world, version):
    world = make_world()
    keep(world, b"x", qos=2)
    assert seen(replayed(fleeting(world, "s", version), at("t", 1))) == [(b"x", 1, True, False)]


@pytest.mark.spec("MQTT-3.3.1-6", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.1-9", version="5.0")
def test_every_matching_topic_is_sent_once(make_world, version):
    world = make_world()
    names = ["a/b/c", "a/x/c", "a/x/b/c", "a/b/b/d/e", "a", "b/b/c", "/a/b", "$x/b/c"]
    for name in names:
        keep(world, name.encode(), topic=name)
    subscriber = fleeting(world, "s", version)
    assert sorted(payloads(replayed(subscriber, "a/+/b/#"))) == [b"a/b/b/d/e", b"a/x/b/c"]
    assert sorted(payloads(replayed(subscriber, "#"))) == sorted(n.encode() for n in names if n[0] != "$")
    assert payloads(replayed(subscriber, "$x/#")) == [b"$x/b/c"]


@pytest.mark.spec("MQTT-3.3.1-12", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.1-8", version="5.0")
@pytest.mark.parametrize("payload", [b"live", b""])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_without_retain_changes_nothing_that_is_retained(make_world, version, payload, qos):
    world = make_world()
    keep(world, b"kept")
    fleeting(world, "p", version).send(pub(payload, qos), pub(b"x", qos, 2, topic="u"))
    subscriber = fleeting(world, "s", version)
    assert payloads(replayed(subscriber, "#")) == [b"kept"]


@pytest.mark.spec("MQTT-3.3.1-10", "MQTT-3.3.1-11", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.1-6", "MQTT-3.3.1-7", version="5.0")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_empty_payload_is_delivered_and_removes_what_was_retained(make_world, version, qos):
    world = make_world()
    keep(world, b"kept")
    watcher = fleeting(world, "w", version)
    replayed(watcher, "t")
    fleeting(world, "p", version).send(pub(b"", qos, retain=True))
    assert seen(watcher.messages()) == [(b"", qos, False, False)]
    assert replayed(fleeting(world, "s", version), "t") == []
    assert world.broker.retained() == []
    if world.store is not None:
        world.restart()
        assert world.broker.retained() == []


@pytest.mark.spec("MQTT-3.3.1-7", version="3.1.1")
def test_a_qos_0_message_with_retain_replaces_too(make_world, version):
    world = make_world()
    keep(world, b"old", qos=2)
    keep(world, b"new", qos=0)
    assert seen(replayed(fleeting(world, "s", version), "t")) == [(b"new", 0, True, False)]


@pytest.mark.spec("MQTT-3.3.1-7", version="3.1.1")
def test_a_message_the_broker_will_not_keep_still_ends_the_one_before(make_world, version):
    world = make_world(retained_bytes_max=100)
    keep(world, b"old", qos=0)
    keep(world, b"x" * 200, qos=0)
    assert replayed(fleeting(world, "s", version), "t") == []
    assert world.counters.dropped_retained == 1
    if world.store is not None:
        world.restart()
        assert world.broker.retained() == []


@pytest.mark.spec("MUST-3.8.3.1-3", version="5.0")
@pytest.mark.parametrize("as_published", [False, True])
def test_a_replayed_message_has_retain_1_whatever_retain_as_published_says(make_world, as_published):
    world = make_world()
    keep(world, b"x")
    subscriber = fleeting(world, "s", 5)
    assert seen(replayed(subscriber, at("t", 1, retain_as_published=as_published))) == [(b"x", 1, True, False)]


@pytest.mark.spec("MQTT-3.3.1-8", version="3.1.1")
@pytest.mark.spec("MUST-3.8.3.1-3", version="5.0")
@pytest.mark.parametrize("limits", [{}, {"maximum_packet_size": 100}, {"topic_alias_maximum": 3}], ids=str)
@pytest.mark.parametrize("kind", [fleeting, lasting])
def test_a_replayed_message_has_retain_1_in_every_kind_of_session(make_world, version, kind, limits):
    world = make_world()
    keep(world, b"x")
    subscriber = kind(world, "s", version, **(limits if version == 5 else {}))
    assert seen(replayed(subscriber, "t")) == [(b"x", 1, True, False)]


# -- Retain Handling ------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11", version="5.0")
@pytest.mark.parametrize("handling, new, again", [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_retain_handling_says_when_retained_messages_are_sent(make_world, handling, new, again):
    world = make_world()
    keep(world, b"kept")
    subscriber = fleeting(world, "s", 5)
    wanted = at("t", 1, retain_handling=handling)
    assert len(replayed(subscriber, wanted)) == new
    assert len(replayed(subscriber, wanted)) == again


@pytest.mark.spec("MQTT-3.3.1-10", version="5.0")
def test_retain_handling_1_counts_a_subscription_kept_in_the_session(make_world):
    world = make_world()
    keep(world, b"kept")
    subscriber = lasting(world, "s", 5)
    assert len(replayed(subscriber, at("t", 0, retain_handling=1))) == 1
    subscriber.drop()
    if world.store is not None:
        world.restart()
    subscriber = lasting(world, "s", 5)
    assert replayed(subscriber, at("t", 0, retain_handling=1)) == []


@pytest.mark.spec("MUST-4.8.2-1", version="5.0")
def test_a_shared_subscription_brings_no_retained_messages(make_world, version):
    world = make_world()
    keep(world, b"kept")
    keep(world, b"a topic that looks like the filter", topic="$share/g/t")
    assert replayed(fleeting(world, "s", version), "$share/g/t") == []


def test_a_retained_message_carries_the_identifier_of_its_subscription_and_its_properties(make_world):
    world = make_world()
    keep(world, b"kept", properties=Properties(content_type="text", user_properties=(("a", "1"), ("a", "2"))))
    subscriber = fleeting(world, "s", 5)
    (message,) = replayed(subscriber, "t", subscription_identifiers=(9,))
    assert message.properties.subscription_identifiers == (9,)
    assert message.properties.content_type == "text"
    assert message.properties.user_properties == (("a", "1"), ("a", "2"))
    assert seen(replayed(fleeting(world, "old", 4), "t")) == [(b"kept", 1, True, False)]


# -- replay under pressure ------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.3.4-9", version="5.0")
def test_a_replay_waits_for_quota_and_not_in_the_queue(make_world):
    world = make_world(queue_messages_max=2)
    for n in range(10):
        keep(world, b"%d" % n, topic=f"t/{n}")
    subscriber = fleeting(world, "s", 5, receive_maximum=3)
    got = replayed(subscriber, at("t/#", 1))
    assert len(got) == 3
    assert world.session("s").queued() == 0
    while len(got) < 10:
        subscriber.send(PubackPacket(got[-1].packet_id))
        (more,) = subscriber.messages()
        got.append(more)
    assert payloads(got) == [b"%d" % n for n in range(10)]
    assert world.counters.dropped_queue == 0


@pytest.mark.parametrize("qos", [0, 1])
def test_a_replay_larger_than_the_outbox_arrives_whole(make_world, version, qos):
    world = make_world(outbox_bytes_max=5000)
    for n in range(200):
        keep(world, b"x" * 300, topic=f"t/{n}", qos=qos)
    subscriber = fleeting(world, "s", version)
    subscriber.frozen = True
    subscriber.send(SubscribePacket(1, [at("t/#", qos)]))
    assert subscriber.handler.outbox.size < 6000
    subscriber.thaw()
    topics = [p.topic for p in subscriber.received() if isinstance(p, PublishPacket)]
    assert sorted(topics) == sorted(f"t/{n}" for n in range(200))
    assert world.counters.dropped_outbox == 0


def test_a_long_replay_goes_in_slices(make_world, version):
    world = make_world()
    for n in range(2500):
        world.publish(f"t/{n}", b"x", 0, True)
    subscriber = fleeting(world, "s", version)
    handler = subscriber.handler
    handler.receive_data(encode(SubscribePacket(1, [at("t/#", 0)]), version), world.now)
    frames = b"".join(handler.data_to_send())
    assert 0 < frames.count(b"\x00\x04t/") + frames.count(b"\x00\x05t/") + frames.count(b"\x00\x03t/") <= 1100
    assert world.broker.next_deadline() == world.now
    subscriber._unread += frames
    world.settle()
    assert len([p for p in subscriber.received() if isinstance(p, PublishPacket)]) == 2500


def test_a_newer_live_message_cancels_the_pending_replay_of_its_topic(make_world, version):
    world = make_world(inflight_max=1)
    for n in range(4):
        keep(world, b"old", topic=f"t/{n}")
    subscriber = fleeting(world, "s", version)
    (first,) = replayed(subscriber, at("t/#", 1))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"live", 1, 1, topic="t/2"), pub(b"replaced", 1, 2, topic="t/3", retain=True))
    got = [first]
    for _ in range(5):
        subscriber.send(PubackPacket(got[-1].packet_id))
        got += subscriber.messages()
    assert sorted((p.topic, p.payload) for p in got) == [
        ("t/0", b"old"),
        ("t/1", b"old"),
        ("t/2", b"live"),
        ("t/3", b"replaced"),
    ]


def test_what_a_pending_replay_remembers_of_live_topics_is_bounded_by_what_is_retained(make_world, version):
    world = make_world(inflight_max=1)
    for n in range(4):
        keep(world, b"old", topic=f"t/{n}")
    subscriber = fleeting(world, "s", version)
    assert len(replayed(subscriber, at("t/#", 1))) == 1
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"x", 0, topic=f"t/live/{n}") for n in range(500)])
    assert len(world.session("s").overtaken) <= 4


@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_that_overtook_one_replay_does_not_hide_what_is_retained_from_a_later_subscription(
    make_world, version, qos
):
    world = make_world(inflight_max=1)
    for n in range(3):
        keep(world, b"old", topic=f"t/{n}")
    subscriber = fleeting(world, "s", version)
    got = replayed(subscriber, at("t/#", 1))
    fleeting(world, "p", version).send(pub(b"live", qos, int(qos > 0), topic="t/2"))
    got += subscriber.messages()
    subscriber.subscribe(at("+/2", 1))
    for _ in range(5):
        got += subscriber.messages()
        subscriber.send(*[PubackPacket(p.packet_id) for p in got if p.qos][-1:])
    assert payloads([p for p in got if p.topic == "t/2"]) == [b"live", b"old"]


@pytest.mark.spec("MQTT-3.8.4-4", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.4-4", "MQTT-3.8.4-5", version="5.0")
def test_a_filter_that_stands_twice_in_one_packet_brings_what_is_retained_twice(make_world, version):
    world = make_world()
    keep(world, b"x", qos=1)
    subscriber = fleeting(world, "s", version)
    assert seen(replayed(subscriber, at("t", 0), at("t", 1))) == [(b"x", 0, True, False), (b"x", 1, True, False)]


@pytest.mark.spec("MQTT-3.8.3-3", version="5.0")
@pytest.mark.parametrize("stored", [False, True])
def test_no_local_holds_for_what_the_client_has_retained_itself(make_world, stored):
    world = make_world()
    keep(world, b"theirs", topic="t/1")
    client = (lasting if stored else fleeting)(world, "c", 5)
    client.send(pub(b"mine", 0, topic="t/2", retain=True), pub(b"mine", 1, 7, topic="t/3", retain=True))
    client.received()
    assert payloads(replayed(client, at("t/+", 1, no_local=True))) == [b"theirs"]
    assert sorted(payloads(replayed(client, at("t/#", 1)))) == [b"mine", b"mine", b"theirs"]


@pytest.mark.spec("MQTT-3.8.3-3", version="5.0")
def test_no_local_holds_for_retained_messages_after_a_restart(bulk):
    world = World(stored=True, bulk_path=bulk)
    client = lasting(world, "c", 5)
    client.send(pub(b"mine", 1, 7, topic="t/1", retain=True))
    world.restart(crash=True)
    client = lasting(world, "c", 5)
    assert payloads(replayed(client, at("t/+", 1, no_local=True))) == []
    assert payloads(replayed(client, at("t/#", 1))) == [b"mine"]


def test_a_replay_goes_on_over_the_next_connection(make_world, version):
    world = make_world(inflight_max=1)
    for n in range(3):
        keep(world, b"%d" % n, topic=f"t/{n}")
    subscriber = lasting(world, "s", version)
    assert len(replayed(subscriber, at("t/#", 1))) == 1
    subscriber.drop()
    subscriber = lasting(world, "s", version)
    got = subscriber.messages()
    assert seen(got) == [(b"0", 1, True, True)]
    for n in (1, 2):
        subscriber.send(PubackPacket(got[-1].packet_id))
        got = subscriber.messages()
        assert seen(got) == [(b"%d" % n, 1, True, False)]


def test_very_many_filters_that_wait_for_their_retained_messages_cost_what_they_weigh():
    world = World(max_packet_size=4_000_000)
    keep(world, b"x", topic="t")
    subscriber = fleeting(world, "s", 5)
    filters = [f"{n}/#" for n in range(40_000)]
    subscriber.frozen = True
    began = process_time()
    subscriber.send(SubscribePacket(1, [at(f, 0) for f in filters]))
    subscriber.send(UnsubscribePacket(2, filters))
    assert process_time() - began < 20  # a look at all the others for each of them would take minutes
    assert world.session("s").replays is None


class HidesSecrets:
    """A policy that delivers nothing below "secret/" unless `open` is set."""

    open = False

    def authenticate(self, connect, peer):
        return Accept()

    def authorize_publish(self, principal, topic, qos, retain):
        return True

    def authorize_subscribe(self, principal, topic_filter, qos):
        return qos

    def authorize_deliver(self, principal, topic):
        return self.open or not topic.startswith("secret/")


def test_the_right_to_receive_is_asked_for_retained_messages_too(make_world, version):
    world = make_world(policy=HidesSecrets())
    keep(world, b"secret", topic="secret/t")
    keep(world, b"public", topic="public/t")
    assert payloads(replayed(fleeting(world, "s", version), "#")) == [b"public"]


# -- over a restart -------------------------------------------------------------------------------------------------


def test_retained_messages_survive_a_restart_with_everything_in_them(bulk, version):
    from mqtt_core.codec import Properties

    world = World(stored=True, bulk_path=bulk)
    properties = Properties(content_type="text", user_properties=(("a", "1"), ("b", "2")))
    keep(world, b"kept", qos=2, properties=properties)
    keep(world, b"zero", qos=0, topic="u")
    world.restart()
    got = replayed(fleeting(world, "s", 5), "t")
    assert seen(got) == [(b"kept", 2, True, False)]
    assert got[0].properties == properties
    assert seen(replayed(fleeting(world, "s4", version), "u")) == [(b"zero", 0, True, False)]


def test_the_host_sees_what_is_retained(make_world):
    world = make_world()
    keep(world, b"kept")
    (message,) = world.broker.retained("t")
    assert (message.topic, message.payload, message.qos, message.retain) == ("t", b"kept", 1, True)
    assert world.broker.retained("u") == []


def test_a_live_message_that_is_dropped_does_not_cancel_the_replay_of_a_retained_one(make_world, version):
    world = make_world(outbox_bytes_max=2000)
    publisher = world.connect("p", version=version)
    topics = [f"t/{number}" for number in range(30)]
    for topic in topics:
        publisher.send(PublishPacket(topic, b"r" * 100, 0, True))
    client = world.connect("c", version=version, frozen=True)
    client.send(SubscribePacket(1, [at("t/#", 1)]))
    publisher.send(PublishPacket(topics[-1], b"live"))
    publisher.send(PublishPacket(topics[-1], b"live"))
    assert world.counters.dropped_outbox == 2
    client.thaw()
    assert [p.topic for p in client.received() if isinstance(p, PublishPacket)] == topics


def test_a_subscription_replaced_during_its_replay_gives_the_rest_as_the_new_one_says(make_world):
    world = make_world()
    for number in range(3):
        keep(world, b"r", topic=f"t/{number}")
    client = world.connect("c", receive_maximum=1)
    first = replayed(client, at("t/#", 1), subscription_identifiers=(7,))
    assert [(p.qos, p.properties.subscription_identifiers) for p in first] == [(1, (7,))]
    assert replayed(client, at("t/#", 0, retain_handling=2), subscription_identifiers=(9,)) == []
    client.send(PubackPacket(1))
    assert [(p.qos, p.properties.subscription_identifiers) for p in client.messages()] == [(0, (9,)), (0, (9,))]


def test_replays_to_very_many_clients_take_turns():
    world = World()
    for number in range(2500):
        world.publish(f"t/{number}", b"r", retain=True)
    clients = [world.connect(f"c{number}") for number in range(100)]
    for client in clients:
        client.handler.receive_data(encode(SubscribePacket(1, [at("t/#", 0)]), 5), world.now)
    sent = world.counters.publish_sent
    rounds = 0
    while world.broker.next_deadline() == world.now:
        world.broker.handle_timer(world.now)
        assert world.counters.publish_sent - sent <= 40_000
        sent = world.counters.publish_sent
        rounds += 1
    assert rounds >= 4
    world.settle()
    assert [len(client.received()) for client in clients] == [2501] * 100

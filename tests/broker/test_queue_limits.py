"""Limits of what waits: each drops the newest, counts it, tells once, and lets the publisher go on (DESIGN law 9)."""

from __future__ import annotations

import pytest

from mqtt_core.broker import Accept, QueueOverflow
from mqtt_core.codec import Properties, PubackPacket, PubrecPacket, encode
from tests.broker.dialogue import LASTING_S, at, fleeting, ids, lasting, payloads, pub
from tests.broker.kit import World, connect_packet


def away(world, client_id="s", version=5, topic_filter="t"):
    lasting(world, client_id, version, at(topic_filter, 2)).drop()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_full_queue_drops_the_newest_and_the_publisher_is_acknowledged(make_world, version, qos):
    world = make_world(queue_messages_max=3)
    away(world, version=version)
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"%d" % n, qos, n) for n in range(1, 7)])
    assert publisher.received() == [(PubackPacket if qos == 1 else PubrecPacket)(n) for n in range(1, 7)]
    assert world.counters.dropped_queue == 3
    assert payloads(lasting(world, "s", version).messages()) == [b"1", b"2", b"3"]


def test_a_full_queue_is_told_once_per_episode(make_world):
    world = make_world(queue_messages_max=2)
    away(world)
    publisher = fleeting(world, "p", 5)
    world.events()
    publisher.send(*[pub(b"x", 1, n) for n in range(1, 7)])
    (event,) = world.events(QueueOverflow)
    assert (event.client_id, event.queued_messages, event.queued_bytes) == ("s", 2, 4)
    subscriber = lasting(world, "s", 5)
    subscriber.send(*[PubackPacket(i) for i in ids(subscriber.messages())])
    subscriber.drop()
    publisher.send(*[pub(b"x", 1, n) for n in range(1, 7)])
    assert len(world.events(QueueOverflow)) == 1
    assert world.counters.dropped_queue == 8


def test_the_bytes_of_one_queue_are_bounded(make_world, version):
    world = make_world(queue_bytes_max=1000)
    away(world, version=version)
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"x" * 299, 1, n) for n in range(1, 6)], pub(b"y" * 99, 1, 6), pub(b"z", 1, 7))
    assert world.session("s").queue_bytes == 1000
    assert world.counters.queued_bytes == 1000
    assert [len(p) for p in payloads(lasting(world, "s", version).messages())] == [299, 299, 299, 99]
    assert world.counters.queued_bytes == 0
    assert world.counters.queued_messages == 0


def test_properties_count_as_bytes(make_world):
    world = make_world(queue_bytes_max=1000)
    away(world)
    publisher = fleeting(world, "p", 5)
    heavy = Properties(user_properties=(("name", "v" * 600),))
    publisher.send(*[pub(b"x", 1, n, properties=heavy) for n in range(1, 4)])
    assert world.session("s").queued() == 1
    assert world.counters.dropped_queue == 2
    assert len(lasting(world, "s", 5).messages()) == 1
    assert world.counters.queued_bytes == 0


def test_the_bytes_of_all_queues_together_are_bounded(make_world, version):
    world = make_world(all_queues_bytes_max=1000)
    for n in range(4):
        away(world, f"s{n}", version)
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"x" * 299, 1))
    assert [world.session(f"s{n}").queued() for n in range(4)] == [1, 1, 1, 0]
    assert world.counters.queued_bytes == 900
    world.connect("s0", version=version, clean=True)
    assert world.counters.queued_bytes == 600
    publisher.send(pub(b"x" * 299, 1))
    assert world.counters.queued_bytes == 900


def test_the_books_are_right_after_a_restart(bulk):
    world = World(stored=True, bulk_path=bulk, queue_messages_max=3)
    away(world)
    away(world, "s2")
    publisher = fleeting(world, "p", 5)
    publisher.send(pub(b"x" * 10, 1, 1), pub(b"y", 2, 2, properties=Properties(content_type="text")))
    before = (world.counters.queued_messages, world.counters.queued_bytes)
    world.restart()
    assert (world.counters.queued_messages, world.counters.queued_bytes) == before
    for name in ("s", "s2"):
        lasting(world, name, 5)
    assert (world.counters.queued_messages, world.counters.queued_bytes) == (0, 0)


@pytest.mark.parametrize("policed", [False, True])
@pytest.mark.parametrize("before, after", [(4, 4), (4, 5), (5, 4), (5, 5)])
def test_the_books_are_right_for_every_way_out_of_a_queue(make_world, before, after, policed):
    world = make_world(inflight_max=1, policy=Changing() if policed else None)
    subscriber = lasting(world, "s", before, at("t/ü€😀", 1))
    publisher = fleeting(world, "p", before)
    publisher.send(*[pub(b"x" * n, 1, n, topic="t/ü€😀") for n in range(1, 6)])
    subscriber.drop()
    assert world.counters.queued_messages == 4
    assert world.counters.queued_bytes == 2 + 3 + 4 + 5 + 4 * len("t/ü€😀".encode())
    subscriber = lasting(world, "s", after)
    for _ in range(5):
        (message,) = subscriber.messages()
        subscriber.send(PubackPacket(message.packet_id))
    assert (world.counters.queued_messages, world.counters.queued_bytes) == (0, 0)


def test_a_queue_within_one_chunk_is_bounded_too(make_world, version):
    world = make_world(queue_messages_max=5, inflight_max=2)
    subscriber = lasting(world, "s", version, at("t", 1))
    fleeting(world, "p", version).send(*[pub(b"x", 1, n) for n in range(1, 101)])
    assert len(subscriber.messages()) == 2
    assert world.session("s").queued() == 5
    assert world.counters.dropped_queue == 93


def test_a_long_queue_is_drained_in_slices(make_world, version):
    world = make_world(inflight_max=65_535, receive_maximum=65_535)
    away(world, version=version)
    publisher = fleeting(world, "p", version)
    for _ in range(3):
        publisher.send(*[pub(b"x", 1, n) for n in range(1, 1001)])
    subscriber = world.dial(version)
    fields = {"session_expiry_interval": LASTING_S} if version == 5 else {}
    connect = connect_packet("s", version=version, clean=False, **fields)
    subscriber.handler.receive_data(encode(connect, version), world.now)
    assert 1000 <= len(world.session("s").inflight) <= 2000
    assert world.broker.next_deadline() == world.now
    world.settle()
    assert len(world.session("s").inflight) == 3000
    assert len(subscriber.received()) == 3001


class Changing:
    """A policy whose answer about deliveries can change."""

    def __init__(self):
        self.hidden = ""

    def authenticate(self, connect, peer):
        return Accept()

    def authorize_publish(self, principal, topic, qos, retain):
        return True

    def authorize_subscribe(self, principal, topic_filter, qos):
        return qos

    def authorize_deliver(self, principal, topic):
        return topic != self.hidden


def test_a_right_that_was_withdrawn_holds_for_what_is_queued(make_world, version):
    policy = Changing()
    world = make_world(policy=policy)
    away(world, version=version, topic_filter="#")
    fleeting(world, "p", version).send(*[pub(t.encode(), 1, n, topic=t) for n, t in enumerate("abc", 1)])
    policy.hidden = "b"
    world.broker.policy_changed()
    assert payloads(lasting(world, "s", version).messages()) == [b"a", b"c"]
    assert world.counters.dropped_not_authorized == 1
    assert world.counters.queued_messages == world.counters.queued_bytes == 0


def test_retained_messages_are_bounded_in_number_and_the_message_still_reaches_subscribers(make_world, version):
    world = make_world(retained_messages_max=2)
    subscriber = fleeting(world, "s", version, "#")
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"x", 1, n, topic=f"t{n}", retain=True) for n in range(1, 5)])
    assert len(publisher.received()) == 4
    assert len(subscriber.messages()) == 4
    assert [m.topic for m in world.broker.retained()] == ["t1", "t2"]
    assert world.counters.dropped_retained == 2


def test_a_local_subscriber_that_takes_nothing_costs_bounded_memory(make_world, version):
    world = make_world(local_queue_max=3, queue_messages_max=2)
    local = world.subscribe("t", 1)
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"%d" % n, n % 2, n) for n in range(1, 9)])
    assert world.counters.dropped_local == 3
    assert world.counters.dropped_queue == 0
    assert payloads(local.take_messages()) == [b"1", b"2", b"3"]
    world.settle()
    assert payloads(local.take_messages()) == [b"5", b"7"]


@pytest.mark.spec("MQTT-3.3.2-5", version="5.0")
@pytest.mark.parametrize("restarted", [False, True], ids=["", "restarted"])
def test_what_has_expired_makes_room_in_a_full_queue(make_world, restarted):
    world = make_world(queue_messages_max=4)
    away(world)
    for payload, expiry_s in ((b"1", 3600), (b"2", 5), (b"3", 5), (b"4", 60)):
        world.publish("t", payload, 1, message_expiry_interval=expiry_s)
    world.publish("t", b"5", 1)
    assert world.counters.dropped_queue == 1
    if restarted and world.store is not None:
        world.restart()
    world.wait(10)
    dropped = world.counters.dropped_queue
    for payload in (b"6", b"7", b"8"):
        world.publish("t", payload, 1)
    assert world.counters.dropped_queue == dropped + 1
    assert world.counters.dropped_expired == 2
    assert (world.counters.queued_messages, world.session("s").queue_bytes) == (4, 20)
    if world.store is not None:
        world.restart()
    assert payloads(lasting(world, "s", 5).messages()) == [b"1", b"4", b"6", b"7"]

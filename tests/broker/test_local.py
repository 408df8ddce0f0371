"""Publishing and subscribing from inside the host's process, without a socket."""

from __future__ import annotations

import pytest

from mqtt_core.broker import QueueOverflow
from mqtt_core.codec import (
    InvalidTopic,
    InvalidTopicFilter,
    LocalProtocolError,
    Properties,
    PublishPacket,
    SubscribeFilter,
)
from mqtt_core.session.message import Message
from tests.broker.kit import World


def payloads(messages):
    return [m.payload for m in messages]


# ------------------------------------------------------------------------------------------------------------- publish


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_host_publishes_to_clients(world, version, qos):
    client = world.connect("c", version=version)
    client.subscribe("t")
    assert world.publish("t", b"x", qos) == 0
    assert client.messages() == [PublishPacket("t", b"x", qos, packet_id=1 if qos else 0)]


def test_what_the_host_publishes_may_be_retained_and_expire(world):
    world.publish("t", b"x", retain=True, message_expiry_interval=10, content_type="c")
    world.wait(4)
    client = world.connect("c")
    client.subscribe("t")
    properties = Properties(message_expiry_interval=6, content_type="c")
    assert client.messages() == [PublishPacket("t", b"x", retain=True, properties=properties)]
    world.wait(7)
    assert world.broker.retained() == []


def test_a_publish_that_writes_returns_the_barrier_to_wait_for():
    world = World(stored=True)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    world.auto_commit = False
    assert world.publish("other", b"x", 1) == 0
    barrier = world.publish("t", b"x", 1)
    batch = world.broker.take_writes()
    assert batch.number == barrier
    assert client.messages() == []
    world.broker.writes_committed(barrier)
    world.settle()
    assert payloads(client.messages()) == [b"x"]


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\x00", "/".join("x" * 201)])
def test_a_topic_that_is_none_is_refused_before_anything_happens(world, topic):
    with pytest.raises(InvalidTopic):
        world.publish(topic)
    assert world.counters.publish_received == 0


@pytest.mark.parametrize("qos", [-1, 3])
def test_a_qos_that_is_none_is_refused(world, qos):
    with pytest.raises(LocalProtocolError):
        world.publish("t", b"", qos)


@pytest.mark.parametrize("payload", ["text", bytearray(b"x"), None])
def test_a_payload_that_is_no_bytes_is_refused(world, payload):
    with pytest.raises((LocalProtocolError, TypeError)):  # the compiled core refuses it when the Message is made
        world.publish("t", payload)


@pytest.mark.parametrize(
    "properties", [{"topic_alias": 1}, {"subscription_identifiers": (1,)}, {"receive_maximum": 5}], ids=repr
)
def test_properties_that_are_not_a_messages_own_are_refused(world, properties):
    client = world.connect("c")
    client.subscribe("t")
    with pytest.raises(LocalProtocolError):
        world.publish("t", b"x", retain=True, **properties)
    assert world.broker.retained() == []


@pytest.mark.parametrize("options", [{"qos": 3}, {"qos": -1}, {"retain_handling": 3}], ids=repr)
def test_options_that_no_subscription_has_are_refused(world, options):
    with pytest.raises(LocalProtocolError):
        world.broker.subscribe("t", SubscribeFilter("t", **options), now=world.now)
    assert list(world.broker.sessions()) == []


def test_one_message_object_may_be_published_twice():
    world = World(stored=True)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    client.drop()
    message = Message("t", b"x", 1)
    for _ in range(2):
        world.broker.publish(message, world.now)
    world.restart()
    assert payloads(world.connect("c", clean=False).messages()) == [b"x", b"x"]


def test_time_given_by_the_host_never_goes_back(world):
    world.broker.publish(Message("t", b"x", 0, True, Properties(message_expiry_interval=10)), world.now)
    world.broker.publish(Message("u", b"x"), world.now - 500)
    world.broker.handle_timer(world.now - 500)
    assert payloads(world.broker.retained()) == [b"x"]
    world.wait(11)
    assert world.broker.retained() == []


# ----------------------------------------------------------------------------------------------------------- subscribe


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_subscriber_of_the_host_gets_what_clients_publish(world, version, published, granted):
    local = world.subscribe("t/+", granted)
    client = world.connect("c", version=version)
    client.send(PublishPacket("t/1", b"x", published, packet_id=9 if published else 0))
    assert world.woken == [local]
    (message,) = local.take_messages()
    assert (message.topic, message.payload, message.retain) == ("t/1", b"x", False)
    assert message.qos == min(published, granted)
    assert bool(message.token) == bool(message.qos)
    assert local.take_messages() == []
    assert not local.session.inflight


def test_a_subscriber_is_woken_once_for_many_messages(world):
    local = world.subscribe("t")
    for n in range(3):
        world.broker.publish(Message("t", b"%d" % n), world.now)
    assert world.broker.take_dirty() == [local]
    assert payloads(local.take_messages()) == [b"0", b"1", b"2"]
    world.publish("t", b"3")
    assert world.woken == [local]


def test_the_filter_alone_is_enough(world):
    local = world.broker.subscribe("t", now=world.now)
    world.publish("t", b"x", 2)
    assert [m.qos for m in local.take_messages()] == [2]


@pytest.mark.parametrize("topic_filter", ["", "a#", "$share/g", "a/\x00", "/".join("x" * 201)])
def test_a_filter_that_is_none_is_refused(world, topic_filter):
    with pytest.raises(InvalidTopicFilter):
        world.subscribe(topic_filter)
    assert list(world.broker.sessions()) == []


def test_a_subscriber_that_unsubscribes_is_gone(world):
    local = world.subscribe("t")
    local.unsubscribe(world.now)
    world.publish("t", b"x", 1)
    assert local.take_messages() == []
    assert list(world.broker.sessions()) == []
    local.unsubscribe(world.now)


def test_subscribers_of_the_host_share_like_clients(world):
    locals_ = [world.subscribe("$share/g/t") for _ in range(2)]
    for n in range(4):
        world.publish("t", b"%d" % n, 1)
    assert [len(local.take_messages()) for local in locals_] == [2, 2]


def test_retained_messages_are_replayed_to_the_host(world):
    for n in range(300):
        world.publish(f"t/{n}", b"x", n % 3, retain=True)
    local = world.subscribe("t/#")
    messages = local.take_messages()
    assert {m.topic for m in messages} == {f"t/{n}" for n in range(300)}
    assert all(m.retain for m in messages)
    assert world.subscribe("t/#", retain_handling=2).take_messages() == []
    assert len(world.subscribe("t/#", retain_handling=1).take_messages()) == 300


@pytest.mark.parametrize("qos", [0, 1])
def test_a_replay_goes_on_as_the_host_takes(qos):
    world = World(local_queue_max=10, queue_messages_max=5)
    for n in range(100):
        world.publish(f"t/{n}", b"x", qos, retain=True)
    local = world.subscribe("t/#")
    seen = []
    for _ in range(20):
        seen += [m.topic for m in local.take_messages()]
        world.settle()
    assert sorted(seen) == sorted(f"t/{n}" for n in range(100))
    assert world.counters.dropped() == 0


def test_a_newer_message_overtakes_the_retained_one(world):
    world = World(local_queue_max=1)
    for topic in ("a", "b"):
        world.publish(topic, b"old", 1, retain=True)
    local = world.subscribe("#", 1)
    world.publish("b", b"new", 1)
    seen = []
    for _ in range(5):
        seen += [(m.topic, m.payload) for m in local.take_messages()]
        world.settle()
    assert seen == [("a", b"old"), ("b", b"new")]


# -------------------------------------------------------------------------------------------------------- acknowledging


def test_a_message_counts_as_acknowledged_when_it_is_taken(world):
    local = world.subscribe("t")
    world.publish("t", b"x", 1)
    assert len(local.session.inflight) == 1
    local.take_messages()
    assert not local.session.inflight


def test_with_manual_acknowledgement_the_host_says_so(world):
    local = world.subscribe("t", manual_ack=True)
    world.publish("t", b"0")
    world.publish("t", b"1", 1)
    world.publish("t", b"2", 2)
    zero, one, two = local.take_messages()
    assert zero.token == 0
    assert len(local.session.inflight) == 2
    local.acknowledge(two.token, world.now)
    local.acknowledge(one.token, world.now)
    assert not local.session.inflight
    for token in (one.token, 0, 77):
        with pytest.raises(LocalProtocolError):
            local.acknowledge(token, world.now)


def test_what_rests_on_a_write_is_not_shown_before_the_commit():
    world = World(stored=True)
    client = world.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    local = world.subscribe("t")
    world.auto_commit = False
    client.send(PublishPacket("t", b"1", 1, packet_id=9), PublishPacket("t", b"0"))
    assert local.take_messages() == []
    world.woken.clear()
    world.commit()
    world.settle()
    assert world.woken == [local]
    assert payloads(local.take_messages()) == [b"1", b"0"]


# -------------------------------------------------------------------------------------------------------------- limits


def test_when_the_list_is_full_qos_0_is_dropped_and_qos_1_waits():
    world = World(local_queue_max=2, queue_messages_max=2)
    local = world.subscribe("t")
    for n in range(2):
        world.publish("t", b"%d" % n)
    world.publish("t", b"lost")
    for n in range(2, 5):
        world.publish("t", b"%d" % n, 1)
    assert world.counters.dropped_local == 1
    assert world.counters.dropped_queue == 1
    assert [e.queued_messages for e in world.events(QueueOverflow)] == [2]
    assert payloads(local.take_messages()) == [b"0", b"1"]
    world.settle()
    assert payloads(local.take_messages()) == [b"2", b"3"]
    world.publish("t", b"5", 1)
    assert payloads(local.take_messages()) == [b"5"]


def test_with_manual_acknowledgement_room_in_the_list_is_enough_to_go_on():
    world = World(local_queue_max=1)
    local = world.subscribe("t", manual_ack=True)
    for n in range(3):
        world.publish("t", b"%d" % n, 1)
    seen = []
    for _ in range(3):
        seen += local.take_messages()
        world.settle()
    assert payloads(seen) == [b"0", b"1", b"2"]
    assert len(local.session.inflight) == 3


def test_a_message_that_expired_while_it_waited_is_not_shown():
    world = World(local_queue_max=1)
    local = world.subscribe("t")
    world.publish("t", b"1", 1)
    world.publish("t", b"2", 1, message_expiry_interval=5)
    world.publish("t", b"3", 1)
    world.wait(6)
    local.take_messages()
    world.settle()
    assert payloads(local.take_messages()) == [b"3"]
    assert world.counters.dropped_expired == 1


# -------------------------------------------------------------------------------------------------------------- a name


def test_a_named_subscriber_survives_a_restart_with_what_waits():
    world = World(stored=True)
    local = world.subscribe("t", name="audit", manual_ack=True)
    world.publish("t", b"1", 1)
    (taken,) = local.take_messages()
    world.publish("t", b"2", 2)
    local.take_messages()
    local.acknowledge(taken.token, world.now)
    world.restart()
    world.publish("t", b"3", 1)
    local = world.subscribe("t", name="audit")
    assert payloads(local.take_messages()) == [b"2", b"3"]
    world.restart()
    assert world.subscribe("t", name="audit").take_messages() == []


def test_a_name_is_in_use_once(world):
    world.subscribe("t", name="audit")
    with pytest.raises(LocalProtocolError):
        world.subscribe("u", name="audit")
    world.publish("t", b"x")
    assert [s.client_id for s in world.broker.sessions()] == ["$local/audit"]


def test_a_name_with_another_filter_is_another_subscription():
    world = World(stored=True)
    world.subscribe("old", name="audit")
    world.restart()
    local = world.subscribe("new", name="audit")
    for topic in ("old", "new"):
        world.publish(topic, b"x", 1)
    assert [m.topic for m in local.take_messages()] == ["new"]
    assert list(local.session.subscriptions) == ["new"]


def test_a_named_subscriber_that_unsubscribes_is_forgotten_on_disk():
    world = World(stored=True)
    world.subscribe("t", name="audit").unsubscribe(world.now)
    world.restart()
    assert list(world.broker.sessions()) == []


def test_a_subscriber_without_a_name_is_not_stored():
    world = World(stored=True)
    world.subscribe("t")
    world.restart()
    assert list(world.broker.sessions()) == []


def test_a_named_subscriber_is_no_session_that_a_client_can_take(world):
    world.subscribe("t", name="audit")
    assert world.connect("$local/audit", accepted=False).closed
    assert not world.broker.disconnect("$local/audit", 0x98, world.now)


def test_no_local_is_about_clients_only(world):
    local = world.subscribe("t", no_local=True)
    world.publish("t", b"x")
    assert payloads(local.take_messages()) == [b"x"]


def test_retain_as_published_holds_for_the_host(world):
    plain = world.subscribe("t")
    exact = world.subscribe("t", retain_as_published=True)
    world.publish("t", b"x", retain=True)
    assert [m.retain for m in plain.take_messages() + exact.take_messages()] == [False, True]


def test_a_subscription_of_the_host_does_not_change_what_clients_get(world):
    client = world.connect("c")
    client.subscribe(SubscribeFilter("t", 1))
    world.subscribe("t", 0)
    world.publish("t", b"x", 2)
    assert [m.qos for m in client.messages()] == [1]


def test_what_a_named_subscriber_has_not_acknowledged_comes_before_what_is_new_however_much_it_is():
    world = World(stored=True)
    subscriber = world.subscribe("t", name="n", manual_ack=True)
    old = [b"%d" % number for number in range(1500)]
    for payload in old:
        world.publish("t", payload, 1)
    assert len(subscriber.take_messages()) == len(old)
    world.restart()
    subscriber = world.broker.subscribe("t", SubscribeFilter("t", 2), world.now, "n", True)
    world.publish("t", b"new", 1)
    assert [message.payload for message in subscriber.take_messages()] == [*old, b"new"]

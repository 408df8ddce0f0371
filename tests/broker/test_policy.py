"""What the broker asks its host, when it asks again, and that the answer holds on every path."""

from __future__ import annotations

import pytest

from mqtt_core.broker import Accept
from mqtt_core.codec import PubackPacket, PublishPacket, PubrecPacket, SubscribeFilter
from tests.broker.kit import Rules, World


class Access:
    """Topics that nobody may publish to, subscribe to or be sent."""

    def __init__(self):
        self.no_publish = []
        self.no_subscribe = []
        self.no_deliver = []

    def rules(self):
        return Rules(
            publish=lambda principal, topic, qos, retain: topic not in self.no_publish,
            subscribe=lambda principal, topic_filter, qos: 0x87 if topic_filter in self.no_subscribe else qos,
            deliver=lambda principal, topic: topic not in self.no_deliver,
        )


@pytest.fixture
def access():
    return Access()


@pytest.fixture(params=[True, False], ids=["bulk", "objects"])
def guarded(request, access):
    return World(policy=access.rules(), bulk_path=request.param)


# --------------------------------------------------------------------------------------------------------- publish


def test_a_refused_publish_is_answered_dropped_and_counted(guarded, access, version):
    access.no_publish.append("secret")
    other = guarded.connect("other")
    other.subscribe("#")
    client = guarded.connect("c", version=version)
    client.send(*[PublishPacket("secret", b"x", qos, qos == 1, packet_id=qos) for qos in (0, 1, 2)])
    code = 0x87 if version == 5 else 0
    assert client.received() == [PubackPacket(1, code), PubrecPacket(2, code)]
    assert other.messages() == []
    assert guarded.broker.retained() == []
    assert guarded.counters.dropped_not_authorized == 3
    client.send(PublishPacket("open", b"x"))
    assert [m.topic for m in other.messages()] == ["open"]


def test_a_refused_qos_2_publish_may_be_sent_again_under_its_identifier(guarded, access):
    access.no_publish.append("secret")
    client = guarded.connect("c")
    client.send(PublishPacket("secret", b"x", 2, packet_id=1))
    client.received()
    client.send(PublishPacket("open", b"x", 2, packet_id=1))
    assert client.received() == [PubrecPacket(1, 0x10)]


def test_the_right_to_publish_is_asked_once_per_connection_topic_qos_and_retain(guarded):
    client = guarded.connect("c")
    sink = guarded.connect("sink")
    sink.subscribe("#")
    guarded.policy.asked.clear()
    for _ in range(3):
        client.send(PublishPacket("t", b"x"), PublishPacket("t", b"x", 1, packet_id=1))
        client.send(PublishPacket("t", b"x", 0, True))
    asked = [question for question in guarded.policy.asked if question[0] == "publish"]
    assert asked == [("publish", "c", "t", 0, False), ("publish", "c", "t", 1, False), ("publish", "c", "t", 0, True)]


def test_after_policy_changed_the_right_to_publish_is_asked_again(guarded, access):
    client, other = guarded.connect("c"), guarded.connect("other")
    other.subscribe("t")
    client.send(PublishPacket("t", b"1"), PublishPacket("t", b"2"))
    access.no_publish.append("t")
    client.send(PublishPacket("t", b"3"))
    guarded.broker.policy_changed()
    client.send(PublishPacket("t", b"4"), PublishPacket("t", b"5", 1, packet_id=1))
    assert [m.payload for m in other.messages()] == [b"1", b"2", b"3"]
    access.no_publish.clear()
    guarded.broker.policy_changed()
    client.send(PublishPacket("t", b"6"))
    assert [m.payload for m in other.messages()] == [b"6"]


def test_many_topics_do_not_make_the_broker_remember_without_bound(guarded):
    client = guarded.connect("c")
    for n in range(3000):
        client.send(PublishPacket(f"t/{n}", b"x"))
    assert len(client.handler.verdicts) <= 1024


def test_verdicts_about_very_long_topics_are_not_remembered(guarded, access):
    publisher = guarded.connect("p")
    topics = [f"{number}" + "x" * 10_000 for number in range(3)]
    access.no_publish.append(topics[0])
    for topic in topics * 2:
        publisher.send(PublishPacket(topic, b"x"))
    assert guarded.counters.dropped_not_authorized == 2
    assert not publisher.handler.verdicts


@pytest.mark.parametrize("guard", [None, "policy"])
def test_nobody_publishes_to_sys(access, guard, version):
    world = World(policy=access.rules() if guard else None)
    watcher = world.connect("w")
    watcher.subscribe("$SYS/#")
    client = world.connect("c", version=version)
    client.send(*[PublishPacket("$SYS/broker/version", b"x", qos, True, packet_id=qos) for qos in (0, 1)])
    assert client.received() == [PubackPacket(1, 0x87 if version == 5 else 0)]
    assert watcher.messages() == []
    assert world.broker.retained("$SYS/#") == []


# ------------------------------------------------------------------------------------------------------- subscribe


def test_each_filter_of_a_subscription_is_asked_for_by_itself(guarded, access, version):
    access.no_subscribe.append("secret")
    client = guarded.connect("c", version=version)
    codes = client.subscribe("open", "secret", SubscribeFilter("too", 1))
    assert codes == [2, 0x87 if version == 5 else 0x80, 1]
    for topic in ("open", "secret", "too"):
        guarded.publish(topic, b"x")
    assert [m.topic for m in client.messages()] == ["open", "too"]


def test_the_policy_may_grant_less():
    world = World(policy=Rules(subscribe=lambda principal, topic_filter, qos: min(qos, 1)))
    client = world.connect("c")
    assert client.subscribe("t") == [1]
    world.publish("t", b"x", 2)
    assert [m.qos for m in client.messages()] == [1]


# --------------------------------------------------------------------------------------------------------- deliver


def test_what_a_client_may_not_see_is_not_delivered(guarded, access):
    access.no_deliver.append("secret")
    client, publisher = guarded.connect("c"), guarded.connect("p")
    client.subscribe("#", "+")
    for _ in range(2):
        publisher.send(PublishPacket("secret", b"x"), PublishPacket("secret", b"x", 1, packet_id=1))
        publisher.send(PublishPacket("open", b"x"))
    guarded.publish("secret", b"x", 2)
    assert [m.topic for m in client.messages()] == ["open", "open"]


def test_after_policy_changed_the_right_to_see_is_asked_again(guarded, access):
    client, publisher = guarded.connect("c"), guarded.connect("p")
    client.subscribe("t")
    publisher.send(PublishPacket("t", b"1"), PublishPacket("t", b"2"))
    access.no_deliver.append("t")
    guarded.broker.policy_changed()
    publisher.send(PublishPacket("t", b"3"))
    access.no_deliver.clear()
    guarded.broker.policy_changed()
    publisher.send(PublishPacket("t", b"4"))
    assert [m.payload for m in client.messages()] == [b"1", b"2", b"4"]


def test_an_absent_client_is_not_sent_what_it_may_not_see(guarded, access):
    client = guarded.connect("c", session_expiry_interval=100)
    client.subscribe("t")
    client.drop()
    access.no_deliver.append("t")
    guarded.broker.policy_changed()
    guarded.publish("t", b"x", 1)
    assert guarded.session("c").queued() == 0


def test_retained_messages_that_a_client_may_not_see_are_not_replayed(guarded, access):
    access.no_deliver.append("secret")
    guarded.publish("secret", b"x", retain=True)
    guarded.publish("open", b"x", 1, retain=True)
    client = guarded.connect("c")
    client.subscribe("#", SubscribeFilter("secret"))
    assert [m.topic for m in client.messages()] == ["open"]


def test_a_shared_message_goes_to_a_member_that_may_see_it():
    world = World(policy=Rules(deliver=lambda principal, topic: principal.client_id != "a"))
    a, b = world.connect("a"), world.connect("b")
    for client in (a, b):
        client.subscribe("$share/g/t")
    for n in range(4):
        world.publish("t", b"%d" % n, 1)
    assert a.messages() == []
    assert [m.payload for m in b.messages()] == [b"0", b"1", b"2", b"3"]


def test_a_shared_message_that_nobody_online_may_see_waits_for_an_absent_member_that_may():
    world = World(policy=Rules(deliver=lambda principal, topic: principal.client_id != "c"))
    world.connect("c").subscribe("$share/g/t")
    absent = world.connect("d", clean=False, session_expiry_interval=100)
    absent.subscribe("$share/g/t")
    absent.drop()
    world.publish("t", b"x", 1)
    absent = world.connect("d", clean=False, session_expiry_interval=100)
    assert [m.payload for m in absent.messages()] == [b"x"]


def test_the_policy_is_not_asked_about_the_hosts_own_subscribers(guarded, access):
    access.no_deliver.append("t")
    local = guarded.subscribe("t")
    guarded.publish("t", b"x")
    assert [m.payload for m in local.take_messages()] == [b"x"]


def test_rights_given_at_authentication_are_passed_back():
    seen = []

    def publish(principal, topic, qos, retain):
        seen.append((principal.client_id, principal.identity, principal.rights))
        return True

    world = World(policy=Rules(Accept("ann", {"role": "boss"}), publish=publish))
    world.connect("c").send(PublishPacket("t", b"x"))
    assert seen == [("c", "ann", {"role": "boss"})]


def test_after_a_restart_the_policy_knows_an_absent_client_by_its_identity():
    seen = []

    def deliver(principal, topic):
        seen.append((principal.client_id, principal.identity))
        return True

    world = World(policy=Rules(deliver=deliver), stored=True)
    world.connect("c", username="ann", session_expiry_interval=100).subscribe("t")
    world.restart()
    world.publish("t", b"x", 1)
    assert seen == [("c", "ann")]


@pytest.mark.parametrize("before, after", [("all", "none"), ("none", "all")])
def test_a_client_that_comes_back_with_other_rights_is_sent_what_these_allow(before, after):
    world = World(
        policy=Rules(
            Accept("u", rights="all"),
            Accept("u", rights=before),
            Accept("u", rights=after),
            deliver=lambda principal, topic: principal.rights == "all",
        )
    )
    other = world.connect("other")
    other.subscribe(SubscribeFilter("t", 0))
    client = world.connect("c", clean=False, session_expiry_interval=100)
    client.subscribe(SubscribeFilter("t", 0))
    other.send(PublishPacket("t", b"1"))
    assert len(client.messages()) == (before == "all")
    client.drop()
    client = world.connect("c", clean=False, session_expiry_interval=100)
    other.send(PublishPacket("t", b"2"))
    assert len(client.messages()) == (after == "all")

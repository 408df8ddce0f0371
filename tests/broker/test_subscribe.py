"""SUBSCRIBE and SUBACK (sections 3.8 and 3.9)."""

from __future__ import annotations

import pytest

from mqtt_core.broker import Accept
from mqtt_core.codec import DisconnectPacket, Properties, PubackPacket, PublishPacket, SubackPacket, SubscribePacket
from tests.broker.dialogue import at, fleeting, lasting, payloads, pub, seen


class Choosing:
    """A policy that grants by filter: "zero" at QoS 0, "one" at most at QoS 1, "no" not at all."""

    def __init__(self):
        self.asked = []

    def authenticate(self, connect, peer):
        return Accept()

    def authorize_publish(self, principal, topic, qos, retain):
        return True

    def authorize_subscribe(self, principal, topic_filter, qos):
        self.asked.append(topic_filter)
        return {"zero": 0, "one": min(qos, 1), "no": 0x87}.get(topic_filter, qos)

    def authorize_deliver(self, principal, topic):
        return True


def faulted(client, data):
    client.send_bytes(data)
    assert client.closed
    packets = client.received()
    assert [type(p) for p in packets] == ([DisconnectPacket] if client.version == 5 else [])
    return packets[0].reason_code if packets else None


@pytest.mark.spec("MQTT-3.8.4-2", "MQTT-2.3.1-7", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.4-2", "MQTT-2.2.1-6", version="5.0")
def test_each_subscribe_is_answered_by_a_suback_with_its_identifier(make_world, version):
    client = fleeting(make_world(), "c", version)
    for packet_id in (7, 0x1234, 65_535):
        client.send(SubscribePacket(packet_id, [at("t", 1)]))
        properties = b"\x00" if version == 5 else b""
        assert client.raw() == bytes([0x90, 3 + len(properties)]) + packet_id.to_bytes(2, "big") + properties + b"\x01"


@pytest.mark.spec("MQTT-3.8.4-5", "MQTT-3.9.3-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1", version="5.0")
def test_one_suback_has_a_code_for_each_filter_in_their_order(make_world, version):
    world = make_world(policy=Choosing())
    client = fleeting(world, "c", version)
    wanted = [at("two", 2), at("no", 1), at("zero", 2), at("one", 2), at("low", 0), at("no", 0)]
    client.send(SubscribePacket(5, wanted))
    refused = 0x87 if version == 5 else 0x80
    assert client.received() == [SubackPacket(5, [2, refused, 0, 1, 0, refused])]
    assert {f: s.qos for f, s in world.session("c").subscriptions.items()} == {"two": 2, "zero": 0, "one": 1, "low": 0}


@pytest.mark.spec("MQTT-3.8.4-4", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.4-5", version="5.0")
def test_many_filters_in_one_packet_have_the_effect_of_one_after_the_other(make_world, version):
    world = make_world()
    client = fleeting(world, "c", version)
    assert client.subscribe(at("a", 2), at("b/#", 1), at("a", 0), at("c/+", 2)) == [2, 1, 0, 2]
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(topic.encode(), 2, n + 1, topic=topic) for n, topic in enumerate(("a", "b/x", "c/x", "d"))])
    assert seen(client.messages()) == [(b"a", 0, False, False), (b"b/x", 1, False, False), (b"c/x", 2, False, False)]


@pytest.mark.spec("MQTT-3.8.4-6", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.4-8", version="5.0")
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
def test_a_message_arrives_with_the_lower_of_published_and_granted_qos(make_world, version, granted, published):
    world = make_world()
    client = fleeting(world, "c", version, at("t", granted))
    fleeting(world, "p", version).send(pub(b"x", published))
    assert seen(client.messages()) == [(b"x", min(granted, published), False, False)]


@pytest.mark.spec("MQTT-3.8.4-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.4-3", version="5.0")
def test_an_identical_filter_replaces_the_subscription(make_world, version):
    world = make_world()
    client = fleeting(world, "c", version, at("t/+", 2))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"before", 2, 1, topic="t/x"))
    assert seen(client.messages()) == [(b"before", 2, False, False)]
    client.subscribe(at("t/+", 0))
    publisher.send(pub(b"after", 2, 2, topic="t/x"))
    assert seen(client.messages()) == [(b"after", 0, False, False)]
    assert len(world.session("c").subscriptions) == 1


@pytest.mark.spec("MQTT-3.8.4-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.4-4", version="5.0")
def test_replacing_sends_the_retained_messages_again_and_loses_nothing(make_world, version):
    world = make_world(inflight_max=1)
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"kept", 1, 1, retain=True))
    client = lasting(world, "c", version, at("t", 1))
    assert seen(client.received()) == [(b"kept", 1, True, False)]
    publisher.send(pub(b"queued", 1, 1))
    client.subscribe(at("t", 1))
    got = []
    for _ in range(3):
        client.send(PubackPacket(next(iter(world.session("c").inflight))))
        got += client.received()
    assert sorted(payloads(got)) == [b"kept", b"queued"]


def test_a_shared_subscription_may_be_replaced_too(make_world, version):
    world = make_world()
    client = fleeting(world, "c", version, at("$share/g/t", 2))
    assert client.subscribe(at("$share/g/t", 0)) == [0]
    fleeting(world, "p", version).send(pub(b"x", 2))
    assert seen(client.messages()) == [(b"x", 0, False, False)]


def test_the_options_of_the_newest_subscription_hold(make_world):
    world = make_world()
    client = fleeting(world, "c", 5, at("t", 1, retain_as_published=True))
    client.send(pub(b"x", 1, 9, retain=True))
    assert [p.retain for p in client.received() if isinstance(p, PublishPacket)] == [True]
    client.subscribe(at("t", 1, retain_handling=2))
    client.send(pub(b"y", 1, 9, retain=True))
    assert [p.retain for p in client.received() if isinstance(p, PublishPacket)] == [False]


# -- what is refused, and how ---------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.8.3-2", version="3.1.1")
@pytest.mark.parametrize("topic_filter", ["#", "+", "t/+/x", "t/#", "$share/g/t/#"])
def test_a_server_without_wildcards_refuses_every_filter_that_has_one(make_world, version, topic_filter):
    world = make_world(wildcard_subscription_available=False)
    client = fleeting(world, "c", version)
    assert client.subscribe("t", topic_filter, "u") == [2, 0xA2 if version == 5 else 0x80, 2]
    assert list(world.session("c").subscriptions) == ["t", "u"]


@pytest.mark.spec("MUST-3.2.2.3.11-3", "MUST-3.2.2.3.12-3", "MUST-3.2.2.3.13-3", "MQTT-3.9.3-2", version="5.0")
@pytest.mark.parametrize(
    "ability, topic_filter, properties, code",
    [
        ("wildcard_subscription_available", "t/#", {}, 0xA2),
        ("shared_subscription_available", "$share/g/t", {}, 0x9E),
        ("subscription_identifier_available", "t", {"subscription_identifiers": (1,)}, 0xA1),
    ],
)
def test_an_ability_that_connack_denies_is_refused_by_suback(make_world, ability, topic_filter, properties, code):
    world = make_world(**{ability: False})
    client = fleeting(world, "c", 5)
    assert getattr(client.connack.properties, ability) is False
    assert client.subscribe(topic_filter, **properties) == [code]
    assert list(world.session("c").subscriptions) == []


def test_more_subscriptions_than_allowed_are_refused_and_replacing_is_not(make_world, version):
    world = make_world(subscriptions_max=2)
    client = fleeting(world, "c", version)
    refused = 0x97 if version == 5 else 0x80
    assert client.subscribe("a", "b", "c", "a") == [2, 2, refused, 2]
    assert client.subscribe("c") == [refused]
    assert client.subscribe("b") == [2]


def test_filters_with_too_many_levels_are_refused(make_world, version):
    world = make_world(topic_levels_max=3)
    client = fleeting(world, "c", version)
    assert client.subscribe("a/b/c", "a/b/c/d") == [2, 0x8F if version == 5 else 0x80]


def test_each_filter_is_put_to_the_policy(make_world, version):
    policy = Choosing()
    client = fleeting(make_world(policy=policy), "c", version)
    client.subscribe("a", "no", "b")
    assert policy.asked == ["a", "no", "b"]


def test_what_is_refused_is_not_delivered(make_world, version):
    world = make_world(policy=Choosing())
    client = fleeting(world, "c", version)
    client.subscribe("no", "yes")
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"x", 1, 1, topic="no"), pub(b"y", 1, 2, topic="yes"))
    assert payloads(client.messages()) == [b"y"]


BAD_PLAIN = ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+"]
BAD_SHARED = ["$share/", "$share/g", "$share//t", "$share/g/", "$share/+/t", "$share/g#/t"]


@pytest.mark.spec("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.3-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.1-1", "MQTT-4.7.1-2", version="5.0")
@pytest.mark.parametrize("bad", BAD_PLAIN)
@pytest.mark.parametrize("kind", [0x82, 0xA2], ids=["SUBSCRIBE", "UNSUBSCRIBE"])
def test_an_ill_formed_filter_makes_its_packet_malformed_and_none_of_it_takes_effect(make_world, version, bad, kind):
    nothing_happens_but_an_end(make_world(), version, bad, kind)


@pytest.mark.spec("MQTT-4.8.2-1", "MQTT-4.8.2-2", version="5.0")
@pytest.mark.parametrize("bad", BAD_SHARED)
@pytest.mark.parametrize("kind", [0x82, 0xA2], ids=["SUBSCRIBE", "UNSUBSCRIBE"])
def test_an_ill_formed_shared_filter_is_malformed_too(make_world, version, bad, kind):
    nothing_happens_but_an_end(make_world(), version, bad, kind)


def nothing_happens_but_an_end(world, version, bad, kind):
    """A packet with a bad filter behind a good one."""
    client = lasting(world, "c", version, "kept")

    def entry(topic_filter):
        text = topic_filter.encode()
        return len(text).to_bytes(2, "big") + text + (b"\x00" if kind == 0x82 else b"")

    body = b"\x00\x05" + (b"\x00" if version == 5 else b"") + entry("kept" if kind == 0xA2 else "fine") + entry(bad)
    code = faulted(client, bytes([kind, len(body)]) + body)
    if version == 5:
        assert code in (0x81, 0x8F)
    assert list(world.session("c").subscriptions) == ["kept"]


@pytest.mark.spec("MQTT-4.7.3-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.3-2", version="5.0")
def test_a_filter_with_a_null_character_is_malformed(make_world, version):
    client = fleeting(make_world(), "c", version)
    body = b"\x00\x05" + (b"\x00" if version == 5 else b"") + b"\x00\x03a\x00b\x00"
    assert faulted(client, bytes([0x82, len(body)]) + body) == (0x81 if version == 5 else None)


@pytest.mark.spec("MQTT-3.8.3-4", version="5.0")
def test_no_local_on_a_shared_subscription_is_a_protocol_error(make_world):
    client = fleeting(make_world(), "c", 5)
    assert faulted(client, b"\x82\x10\x00\x05\x00\x00\x0a$share/g/t\x04") == 0x82


@pytest.mark.spec("MQTT-3.8.3-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.3-2", version="5.0")
def test_a_subscribe_without_a_filter_is_refused(make_world, version):
    client = fleeting(make_world(), "c", version)
    body = b"\x00\x05" + (b"\x00" if version == 5 else b"")
    assert faulted(client, bytes([0x82, len(body)]) + body) == (0x82 if version == 5 else None)


def test_a_subscription_identifier_of_zero_is_refused(make_world):
    client = fleeting(make_world(), "c", 5)
    assert faulted(client, b"\x82\x09\x00\x05\x02\x0b\x00\x00\x01t\x00") == 0x82


@pytest.mark.spec("MQTT-3.9.3-2", version="3.1.1")
def test_every_refusal_is_0x80_for_a_3_1_1_client(make_world):
    world = make_world(policy=Choosing(), subscriptions_max=1, topic_levels_max=3, shared_subscription_available=False)
    client = fleeting(world, "c", 4)
    assert client.subscribe("no", "a/b/c/d", "$share/g/t", "fine", "more") == [0x80, 0x80, 0x80, 2, 0x80]


def test_a_suback_too_large_for_its_client_ends_the_connection(make_world):
    world = make_world()
    client = fleeting(world, "c", 5, maximum_packet_size=60)
    client.send(SubscribePacket(1, [at(f"t{n}", 0) for n in range(100)]))
    assert client.closed


@pytest.mark.spec("MQTT-3.8.4-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.8.4-1", version="5.0")
def test_suback_comes_before_anything_the_subscription_brings(make_world, version):
    world = make_world()
    fleeting(world, "p", version).send(pub(b"x", 1, retain=True))
    client = fleeting(world, "c", version)
    client.send(SubscribePacket(1, [at("t", 1)], Properties()))
    assert [type(p) for p in client.received()] == [SubackPacket, PublishPacket]

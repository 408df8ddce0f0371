"""Who gets a message, once, with which QoS and flags, whatever versions meet."""

from __future__ import annotations

import pytest

from mqtt_core.codec import Properties, PublishPacket, UnsubscribePacket
from tests.broker.dialogue import BOTH, at, fleeting, lasting, payloads, pub, seen
from tests.topic_matcher.table import TABLE


@pytest.mark.spec("MQTT-3.3.2-3", "MQTT-4.7.3-4", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.2-3", "MQTT-4.7.3-4", version="5.0")
def test_a_message_reaches_a_subscriber_exactly_when_the_filter_matches(make_world, version):
    world = make_world(topic_levels_max=65_535)
    publisher = fleeting(world, "p", version)
    for row in TABLE:
        if row.topic.startswith("$SYS/"):
            continue
        subscriber = fleeting(world, "s", version)
        assert subscriber.subscribe(at(row.filter, 1)) == [1]
        publisher.send(pub(b"x", 1, topic=row.topic))
        assert [p.topic for p in subscriber.messages()] == ([row.topic] if row.match else []), row
        subscriber.drop()
        publisher.send(pub(b"x", 0, topic=row.topic))


@pytest.mark.spec("MQTT-4.7.2-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.2-1", version="5.0")
def test_filters_that_begin_with_a_wildcard_do_not_see_dollar_topics(make_world, version):
    world = make_world()
    broad = fleeting(world, "broad", version, "#", "+/x")
    narrow = fleeting(world, "narrow", version, "$app/#")
    fleeting(world, "p", version).send(pub(b"x", 1, topic="$app/x"))
    assert broad.received() == []
    assert payloads(narrow.messages()) == [b"x"]


# -- overlapping subscriptions --------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.3.5-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.4-2", version="5.0")
def test_overlapping_subscriptions_bring_one_copy_with_the_highest_qos(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, at("t/#", 0), at("t/+", 2), at("t/x", 1))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"a", 2, 1, topic="t/x"), pub(b"b", 1, 2, topic="t/x"), pub(b"c", 0, topic="t/x"))
    publisher.send(pub(b"d", 2, 3, topic="t"))
    assert seen(subscriber.messages()) == [
        (b"a", 2, False, False),
        (b"b", 1, False, False),
        (b"c", 0, False, False),
        (b"d", 0, False, False),
    ]


@pytest.mark.spec("MQTT-3.3.4-3", "MQTT-3.3.4-4", version="5.0")
def test_one_copy_carries_the_identifiers_of_all_matching_subscriptions(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", 5)
    for packet_id, (topic_filter, identifier) in enumerate((("t/#", 7), ("t/+", 300), ("+/x", None), ("u", 9)), 1):
        fields = {"subscription_identifiers": (identifier,)} if identifier else {}
        assert subscriber.subscribe(at(topic_filter, 1), packet_id=packet_id, **fields) == [1]
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"x", 1, 1, topic="t/x"))
    (message,) = subscriber.messages()
    assert sorted(message.properties.subscription_identifiers) == [7, 300]
    publisher.send(pub(b"x", 1, 1, topic="t"), pub(b"x", 0, topic="a/x"))
    assert [p.properties.subscription_identifiers for p in subscriber.messages()] == [(7,), ()]


@pytest.mark.spec("MQTT-3.3.4-3", version="5.0")
def test_a_largest_subscription_identifier_survives(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5)
    subscriber.subscribe("t", subscription_identifiers=(268_435_455,))
    fleeting(world, "p", 4).send(pub(b"x", 1))
    assert subscriber.messages()[0].properties == Properties(subscription_identifiers=(268_435_455,))


def test_the_same_identifier_twice_is_sent_once(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5)
    subscriber.subscribe("t", "+", subscription_identifiers=(3,))
    fleeting(world, "p", 4).send(pub(b"x", 1))
    assert subscriber.messages()[0].properties.subscription_identifiers == (3,)


def test_subscription_identifiers_are_kept_with_queued_messages_and_over_a_resend(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, receive_maximum=1)
    subscriber.subscribe("t", subscription_identifiers=(3,))
    fleeting(world, "p", 4).send(pub(b"a", 1, 1), pub(b"b", 1, 2))
    subscriber.received()
    subscriber.drop()
    if world.store is not None:
        world.restart()
    subscriber = lasting(world, "s", 5)
    got = subscriber.messages()
    assert payloads(got) == [b"a", b"b"]
    assert [p.properties.subscription_identifiers for p in got] == [(3,), (3,)]


def test_a_replaced_subscription_loses_its_identifier(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5)
    subscriber.subscribe("t", subscription_identifiers=(3,))
    subscriber.subscribe("t")
    fleeting(world, "p", 5).send(pub(b"x", 1))
    assert subscriber.messages()[0].properties.subscription_identifiers == ()


# -- No Local and Retain As Published -------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.8.3-3", version="5.0")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_no_local_keeps_a_clients_own_messages_from_it_and_no_others(make_world, qos):
    world = make_world()
    client = fleeting(world, "c", 5, at("t", 2, no_local=True))
    other = fleeting(world, "o", 5, at("t", 2, no_local=True))
    client.send(pub(b"own", qos, 1))
    assert [p for p in client.received() if isinstance(p, PublishPacket)] == []
    assert payloads(other.messages()) == [b"own"]
    other.send(pub(b"foreign", qos, 1))
    assert payloads([p for p in client.received() if isinstance(p, PublishPacket)]) == [b"foreign"]


@pytest.mark.spec("MQTT-3.8.3-3", version="5.0")
def test_no_local_of_one_subscription_does_not_silence_another(make_world):
    world = make_world()
    client = fleeting(world, "c", 5)
    client.subscribe(at("t/#", 2, no_local=True), subscription_identifiers=(1,))
    client.subscribe(at("t/x", 1), subscription_identifiers=(2,))
    client.send(pub(b"x", 2, 9, topic="t/x"))
    (message,) = [p for p in client.received() if isinstance(p, PublishPacket)]
    assert message.qos == 1
    assert message.properties.subscription_identifiers == (2,)


def test_no_local_holds_for_the_client_identifier_not_for_the_connection(make_world):
    world = make_world()
    client = lasting(world, "c", 5, at("t", 1, no_local=True))
    client.drop()
    client = lasting(world, "c", 5)
    client.send(pub(b"own", 1, 1))
    assert [p for p in client.received() if isinstance(p, PublishPacket)] == []


@pytest.mark.spec("MQTT-3.3.1-9", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.1-12", version="5.0")
@BOTH
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_live_message_has_retain_0_by_default(make_world, pv, sv, qos):
    world = make_world()
    subscriber = fleeting(world, "s", sv, "t")
    fleeting(world, "p", pv).send(pub(b"x", qos, retain=True))
    assert seen(subscriber.messages()) == [(b"x", qos, False, False)]


@pytest.mark.spec("MQTT-3.3.1-13", version="5.0")
@pytest.mark.parametrize("retain", [False, True])
def test_retain_as_published_keeps_the_flag(make_world, version, retain):
    world = make_world()
    subscriber = fleeting(world, "s", 5, at("t", 2, retain_as_published=True))
    fleeting(world, "p", version).send(pub(b"x", 1, retain=retain))
    assert seen(subscriber.messages()) == [(b"x", 1, retain, False)]


# -- everybody ------------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.5.0-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.5.0-1", version="5.0")
@pytest.mark.parametrize("qos", [1, 2])
def test_every_matching_session_gets_the_message_connected_or_not(make_world, version, qos):
    world = make_world()
    online = [lasting(world, f"on{n}", 4 + n % 2, at("t/#", 2)) for n in range(3)]
    for n in range(3):
        lasting(world, f"off{n}", 4 + n % 2, at("t/+", 2)).drop()
    bystander = lasting(world, "by", version, "u")
    fleeting(world, "p", version).send(pub(b"x", qos, topic="t/x"))
    assert [payloads(client.messages()) for client in online] == [[b"x"]] * 3
    for n in range(3):
        assert seen(lasting(world, f"off{n}", 4 + n % 2).messages()) == [(b"x", qos, False, False)]
    assert bystander.received() == []


def test_qos_0_is_not_kept_for_who_is_away(make_world, version):
    world = make_world()
    lasting(world, "s", version, "t").drop()
    fleeting(world, "p", version).send(pub(b"x", 0))
    assert world.session("s").queued() == 0
    assert lasting(world, "s", version).received() == []


@BOTH
def test_a_message_crosses_versions_whole(make_world, pv, sv):
    world = make_world()
    subscriber = fleeting(world, "s", sv, "t/ü")
    payload = bytes(range(256)) * 3
    fleeting(world, "p", pv).send(pub(payload, 1, 5, topic="t/ü"))
    (message,) = subscriber.messages()
    assert message == PublishPacket("t/ü", payload, 1, packet_id=message.packet_id)


def test_subscriptions_made_and_ended_between_messages_count_at_once(make_world, version):
    """Prepared routes follow every change, with plain filters and wildcards."""
    world = make_world()
    publisher = fleeting(world, "p", version)
    subscriber = fleeting(world, "s", version)
    for number, topic_filter in enumerate(("t/x", "t/+", "#", "+/x", "t/#", "$share/g/t/x", "$share/g/t/+")):
        publisher.send(pub(b"%d" % number, 1, topic="t/x"))
        assert subscriber.messages() == []
        subscriber.subscribe(at(topic_filter, 1))
        publisher.send(pub(b"%d" % number, 1, topic="t/x"))
        (message,) = subscriber.messages()
        assert message.payload == b"%d" % number
        subscriber.send(UnsubscribePacket(2, [topic_filter]))
        subscriber.received()


def test_many_routes_survive_a_subscription_that_touches_them_all(make_world, version):
    world = make_world()
    publisher = fleeting(world, "p", version)
    plain = fleeting(world, "s", version, *[f"t/{n}" for n in range(700)])
    everything = [pub(b"%d" % n, 0, topic=f"t/{n}") for n in range(700)]
    publisher.send(*everything)
    assert len(plain.messages()) == 700
    broad = fleeting(world, "b", version, "t/#")
    publisher.send(*everything)
    assert len(plain.messages()) == 700
    assert payloads(broad.messages()) == [b"%d" % n for n in range(700)]


@pytest.mark.parametrize("route_cache_max", [1, 2, 3])
def test_a_small_route_cache_changes_nothing(make_world, version, route_cache_max):
    world = make_world(route_cache_max=route_cache_max)
    subscriber = fleeting(world, "s", version, "t/+")
    publisher = fleeting(world, "p", version)
    for _ in range(2):
        publisher.send(*[pub(b"%d" % n, n % 2, n + 1, topic=f"t/{n % 5}") for n in range(20)])
        assert sorted(payloads(subscriber.messages())) == sorted(b"%d" % n for n in range(20))


def test_a_client_that_comes_back_with_other_limits_gets_what_fits_them(make_world):
    world = make_world()
    publisher = fleeting(world, "p", 5)
    subscriber = lasting(world, "s", 5, at("t", 0))
    publisher.send(pub(b"x" * 100))
    assert len(subscriber.messages()) == 1
    subscriber.drop()
    subscriber = lasting(world, "s", 5, maximum_packet_size=80)
    publisher.send(pub(b"x" * 100), pub(b"y"))
    assert payloads(subscriber.messages()) == [b"y"]
    subscriber.drop()
    subscriber = lasting(world, "s", 5)
    publisher.send(pub(b"x" * 100))
    assert len(subscriber.messages()) == 1


def test_in_process_publish_and_subscribe_meet_clients(make_world, version):
    world = make_world()
    local = world.subscribe("t/#", 1)
    client = fleeting(world, "c", version, at("t/#", 1))
    world.publish("t/a", b"host", 2)
    assert seen(client.messages()) == [(b"host", 1, False, False)]
    client.send(pub(b"client", 1, topic="t/b"))
    assert [(m.topic, m.payload, m.qos) for m in local.take_messages()] == [("t/a", b"host", 1), ("t/b", b"client", 1)]

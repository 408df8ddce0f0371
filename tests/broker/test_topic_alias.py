"""Topic aliases in both directions; they belong to one connection (5.0 section 3.3.2.3.4)."""

from __future__ import annotations

import pytest

from mqtt_core.codec import DisconnectPacket, Properties, PubackPacket, PubrecPacket
from tests.broker.dialogue import at, fleeting, lasting, payloads, pub


def aliased(alias, payload=b"x", qos=0, packet_id=1, topic="", **fields):
    return pub(payload, qos, packet_id, topic=topic, properties=Properties(topic_alias=alias, **fields))


def ended(client):
    """The reason code with which the connection was ended."""
    assert client.closed
    packet = client.received()[-1]
    assert isinstance(packet, DisconnectPacket)
    return packet.reason_code


# -- from a publisher -----------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.3.2-12", version="5.0")
@pytest.mark.parametrize("alias", [1, 2, 99, 100])
def test_every_alias_up_to_the_maximum_stated_in_connack_is_accepted(make_world, alias):
    world = make_world(topic_alias_maximum=100)
    subscriber = fleeting(world, "s", 5, "t")
    publisher = fleeting(world, "p", 5)
    assert publisher.connack.properties.topic_alias_maximum == 100
    publisher.send(aliased(alias, b"set", 1, 1, "t"), aliased(alias, b"used", 2, 2), aliased(alias, b"again", 0))
    assert payloads(subscriber.messages()) == [b"set", b"used", b"again"]
    assert publisher.received() == [PubackPacket(1), PubrecPacket(2)]


@pytest.mark.spec("MUST-3.3.2.3.4-5", "MQTT-3.3.2-9", version="5.0")
@pytest.mark.parametrize("topic", ["t", ""])
@pytest.mark.parametrize("maximum", [0, 10])
def test_an_alias_above_the_maximum_is_answered_with_0x94(make_world, topic, maximum):
    world = make_world(topic_alias_maximum=maximum)
    publisher = fleeting(world, "p", 5)
    publisher.send(aliased(maximum + 1, topic=topic))
    assert ended(publisher) == 0x94


@pytest.mark.spec("MQTT-3.3.2-8", version="5.0")
def test_alias_0_is_answered_with_0x94(make_world):
    publisher = fleeting(make_world(), "p", 5)
    publisher.send_bytes(b"\x30\x08\x00\x01t\x03\x23\x00\x00x")
    assert ended(publisher) == 0x94


@pytest.mark.spec("MUST-3.3.2.3.4-3", version="5.0")
def test_an_alias_that_was_not_set_is_a_protocol_error(make_world):
    publisher = fleeting(make_world(), "p", 5)
    publisher.send(aliased(1, topic="t"), aliased(2))
    assert ended(publisher) == 0x82


@pytest.mark.spec("MUST-3.3.2.3.4-4", version="5.0")
def test_an_alias_can_be_given_another_topic(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "#")
    publisher = fleeting(world, "p", 5)
    publisher.send(aliased(1, topic="a"), aliased(1), aliased(1, topic="b"), aliased(1), aliased(2, topic="a"))
    assert [p.topic for p in subscriber.messages()] == ["a", "a", "b", "b", "a"]


@pytest.mark.spec("MQTT-3.3.2-7", version="5.0")
def test_aliases_end_with_their_connection(make_world):
    world = make_world()
    publisher = lasting(world, "p", 5)
    publisher.send(aliased(1, topic="t"))
    publisher.drop()
    publisher = lasting(world, "p", 5)
    publisher.send(aliased(1))
    assert ended(publisher) == 0x82


@pytest.mark.spec("MQTT-3.3.2-7", version="5.0")
def test_aliases_of_two_connections_have_nothing_to_do_with_each_other(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "#")
    one, two = fleeting(world, "p1", 5), fleeting(world, "p2", 5)
    one.send(aliased(1, topic="a"))
    two.send(aliased(1, topic="b"))
    one.send(aliased(1))
    assert [p.topic for p in subscriber.messages()] == ["a", "b", "a"]


def test_an_alias_is_set_even_by_a_repetition_that_is_not_delivered(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "t")
    publisher = fleeting(world, "p", 5)
    publisher.send(pub(b"x", 2, 7))
    publisher.send(aliased(3, b"x", 2, 7, "t"))
    publisher.send(aliased(3, b"y"))
    assert payloads(subscriber.messages()) == [b"x", b"y"]


@pytest.mark.parametrize("version", [4, 5])
def test_a_subscriber_sees_the_topic_and_no_alias_of_the_publisher(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    publisher = fleeting(world, "p", 5)
    publisher.send(aliased(1, topic="t", content_type="c"), aliased(1, b"y", content_type="c"))
    got = subscriber.messages()
    assert [p.topic for p in got] == ["t", "t"]
    assert [p.properties.topic_alias for p in got] == [None, None]
    assert [p.properties.content_type for p in got] == (["c", "c"] if version == 5 else [None, None])


def test_a_retained_message_keeps_its_full_topic(make_world):
    world = make_world()
    publisher = fleeting(world, "p", 5)
    publisher.send(aliased(1, topic="t"))
    publisher.send(pub(b"kept", 1, 1, topic="", retain=True, properties=Properties(topic_alias=1)))
    late = fleeting(world, "s", 5)
    late.subscribe("t")
    (message,) = late.messages()
    assert (message.topic, message.properties) == ("t", Properties())


# -- to a subscriber ------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.3.2-11", "MQTT-3.3.2-8", version="5.0")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("maximum", [1, 2])
def test_a_subscriber_that_offers_aliases_gets_them_up_to_its_maximum(make_world, version, qos, maximum):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "#", topic_alias_maximum=maximum)
    publisher = fleeting(world, "p", version)
    for number, topic in enumerate(("a", "b", "c", "a", "b", "c"), 1):
        publisher.send(pub(b"x", qos, number, topic=topic))
    known = ["a", "b"][:maximum]
    first = [(t, known.index(t) + 1 if t in known else None) for t in ("a", "b", "c")]
    later = [("" if alias else t, alias) for t, alias in first]
    assert [(p.topic, p.properties.topic_alias) for p in subscriber.messages()] == first + later


@pytest.mark.spec("MQTT-3.3.2-11", version="5.0")
def test_without_an_offer_no_alias_is_sent(make_world, version):
    world = make_world()
    none = fleeting(world, "s", 5, "#")
    zero = fleeting(world, "s0", 5, "#", topic_alias_maximum=0)
    publisher = fleeting(world, "p", version)
    publisher.send(pub(), pub(), pub(b"x", 1, 1))
    for subscriber in (none, zero):
        assert [(p.topic, p.properties.topic_alias) for p in subscriber.messages()] == [("t", None)] * 3


@pytest.mark.spec("MQTT-3.3.2-7", version="5.0")
def test_a_new_connection_starts_with_no_alias_and_resends_full_topics(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, at("t", 1), topic_alias_maximum=5)
    publisher = fleeting(world, "p", 5)
    publisher.send(pub(b"a", 1, 1), pub(b"b", 1, 2))
    assert [p.topic for p in subscriber.messages()] == ["t", ""]
    subscriber.drop()
    subscriber = lasting(world, "s", 5, topic_alias_maximum=5)
    assert [(p.topic, p.properties.topic_alias) for p in subscriber.messages()] == [("t", None), ("t", None)]
    publisher.send(pub(b"c", 1, 3), pub(b"d", 1, 4))
    assert [(p.topic, p.properties.topic_alias) for p in subscriber.messages()] == [("t", 1), ("", 1)]


def test_a_message_that_may_expire_on_the_way_sets_no_alias(make_world):
    world = make_world(send_timeout_s=1000)
    subscriber = fleeting(world, "s", 5, "t", topic_alias_maximum=5, frozen=True)
    publisher = fleeting(world, "p", 5)
    publisher.send(pub(b"late", 1, 1, properties=Properties(message_expiry_interval=5)), pub(b"x", 1, 2), pub(b"y"))
    world.wait(10)
    subscriber.thaw()
    assert [(p.payload, p.topic, p.properties.topic_alias) for p in subscriber.messages()] == [
        (b"x", "t", 1),
        (b"y", "", 1),
    ]


def test_a_message_dropped_at_a_full_outbox_sets_no_alias(make_world):
    world = make_world(outbox_bytes_max=1000)
    subscriber = fleeting(world, "s", 5, "#", topic_alias_maximum=5, frozen=True)
    publisher = fleeting(world, "p", 5)
    publisher.send(pub(b"x" * 1000, topic="full"), pub(b"lost", topic="t"))
    subscriber.thaw()
    publisher.send(pub(b"y", topic="t"), pub(b"z", topic="t"))
    assert [(p.topic, p.properties.topic_alias) for p in subscriber.messages()] == [("full", 1), ("t", 2), ("", 2)]


def test_the_broker_sets_at_most_as_many_aliases_as_it_is_configured_to(make_world):
    world = make_world(outbound_topic_alias_max=2)
    subscriber = fleeting(world, "s", 5, "#", topic_alias_maximum=10)
    publisher = fleeting(world, "p", 5)
    publisher.send(*[pub(topic=f"t{n}") for n in range(4)])
    assert [p.properties.topic_alias for p in subscriber.messages()] == [1, 2, None, None]

"""Properties of a PUBLISH on their way through the broker (5.0 section 3.3.2.3)."""

from __future__ import annotations

import pytest

from mqtt_core.codec import DisconnectPacket, Properties, encode
from tests.broker.dialogue import at, fleeting, lasting, pub

EVERYTHING = Properties(
    user_properties=(("b", "1"), ("a", "2"), ("b", "1"), ("", "")),
    correlation_data=b"\x00\xff",
    response_topic="reply/t",
    content_type="text/plain",
    payload_format_indicator=1,
)

ways = pytest.mark.parametrize("way", ["live", "queued", "resent", "retained", "shared", "restarted"])


def forwarded(world, way, properties, qos=1):
    """The properties a subscriber gets, in one of the ways a message can take."""
    publisher = fleeting(world, "p", 5)
    message = pub(b"x", qos, 1, retain=way == "retained", properties=properties)
    if way == "retained":
        publisher.send(message)
        subscriber = fleeting(world, "s", 5)
        subscriber.subscribe(at("t", 2))
    else:
        subscriber = lasting(world, "s", 5, at("$share/g/t" if way == "shared" else "t", 2))
        if way in ("queued", "restarted"):
            subscriber.drop()
        publisher.send(message)
        if way == "resent":
            assert len(subscriber.received()) == 1
            subscriber.drop()
        if way == "restarted" and world.store is not None:
            world.restart()
        if way in ("queued", "resent", "restarted"):
            subscriber = lasting(world, "s", 5)
    (got,) = subscriber.messages()
    assert got.payload == b"x"
    return got.properties


@pytest.mark.spec("MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-20", version="5.0")
@ways
def test_what_describes_the_payload_arrives_unchanged(make_world, way):
    properties = forwarded(make_world(), way, EVERYTHING)
    assert properties.payload_format_indicator == 1
    assert properties.response_topic == "reply/t"
    assert properties.correlation_data == b"\x00\xff"
    assert properties.content_type == "text/plain"


@pytest.mark.spec("MQTT-3.3.2-17", "MQTT-3.3.2-18", version="5.0")
@ways
def test_user_properties_arrive_all_in_order_repetitions_included(make_world, way):
    properties = forwarded(make_world(), way, EVERYTHING)
    assert properties.user_properties == (("b", "1"), ("a", "2"), ("b", "1"), ("", ""))


@ways
def test_nothing_is_added_and_nothing_lost(make_world, way):
    assert forwarded(make_world(), way, EVERYTHING) == EVERYTHING
    assert forwarded(make_world(), way, Properties()) == Properties()


@pytest.mark.spec("MQTT-3.3.2-4", version="5.0")
@pytest.mark.parametrize("indicator", [0, 1])
def test_the_payload_format_indicator_is_forwarded_also_as_0(make_world, indicator):
    properties = Properties(payload_format_indicator=indicator)
    assert forwarded(make_world(), "live", properties, 0) == properties


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_many_user_properties_pass(make_world, qos):
    many = Properties(user_properties=tuple((f"n{n}", f"v{n}") for n in range(500)))
    assert forwarded(make_world(), "live", many, qos) == many


def test_a_3_1_1_subscriber_gets_the_message_without_properties(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 4, at("t", 1))
    fleeting(world, "p", 5).send(pub(b"x", 1, 3, properties=EVERYTHING))
    assert subscriber.raw() == b"\x32\x06\x00\x01t\x00\x03x"


def test_properties_of_a_3_1_1_session_reach_it_once_it_speaks_5_0(make_world):
    world = make_world()
    lasting(world, "s", 4, at("t", 1)).drop()
    fleeting(world, "p", 5).send(pub(b"x", 1, 3, properties=EVERYTHING))
    (message,) = lasting(world, "s", 5).messages()
    assert message.properties == EVERYTHING


def test_identifiers_of_subscriptions_come_beside_the_publishers_properties(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5)
    subscriber.subscribe("t", subscription_identifiers=(77,))
    fleeting(world, "p", 5).send(pub(b"x", 1, 1, properties=EVERYTHING))
    (message,) = subscriber.messages()
    assert message.properties.subscription_identifiers == (77,)
    assert message.properties.replace(subscription_identifiers=None) == EVERYTHING


@pytest.mark.parametrize(
    "section, code",
    [
        (b"\x0b\x05", 0x82),  # Subscription Identifier: only a server sends it in PUBLISH
        (b"\x1c\x00\x01x", 0x81),  # Server Reference does not belong in PUBLISH
        (b"\x11\x00\x00\x00\x01", 0x81),  # nor does Session Expiry Interval
        (b"\x01\x02", 0x82),  # Payload Format Indicator is 0 or 1
        (b"\x01\x00\x01\x00", 0x82),  # and stands once
        (b"\x02\x00\x00\x00\x01\x02\x00\x00\x00\x01", 0x82),
        (b"\x7f\x00", 0x81),
    ],
    ids=["subscription id", "server reference", "session expiry", "format 2", "format twice", "expiry twice", "0x7f"],
)
def test_a_property_that_may_not_be_there_is_refused_and_never_forwarded(make_world, section, code):
    world = make_world()
    watcher = fleeting(world, "w", 5, "#")
    publisher = fleeting(world, "p", 5)
    body = b"\x00\x01t" + bytes([len(section)]) + section + b"x"
    publisher.send_bytes(bytes([0x30, len(body)]) + body)
    assert publisher.closed
    (goodbye,) = publisher.received()
    assert isinstance(goodbye, DisconnectPacket)
    assert goodbye.reason_code == code
    assert watcher.received() == []


def test_the_same_message_costs_one_encoding_per_variant_and_reads_the_same_for_all(make_world):
    world = make_world()
    plain = [fleeting(world, f"a{n}", 5, at("t", 1)) for n in range(3)]
    low = fleeting(world, "b", 5, at("t", 0))
    old = fleeting(world, "c", 4, at("t", 1))
    fleeting(world, "p", 5).send(pub(b"x", 1, 9, properties=EVERYTHING))
    assert len({client.raw() for client in plain}) == 1
    assert low.raw() == encode(pub(b"x", 0, properties=EVERYTHING), 5)
    assert old.raw() == encode(pub(b"x", 1, 9), 4)

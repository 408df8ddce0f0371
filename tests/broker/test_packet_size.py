"""Maximum Packet Size: what is not sent to a client, and what is left out (5.0 sections 3.1.2.11.4, 3.4 to 3.11)."""

from __future__ import annotations

import pytest

from mqtt_core.broker import Accept
from mqtt_core.codec import (
    Properties,
    PubackPacket,
    PublishPacket,
    PubrecPacket,
    SubackPacket,
    UnsubscribePacket,
    encode,
)
from tests.broker.dialogue import at, fleeting, ids, lasting, payloads, pub

SMALLEST = 40
"""Room for the CONNACK of these tests, and little else."""


class Refusing:
    """A policy that lets everybody in and nobody publish or subscribe."""

    def authenticate(self, connect, peer):
        return Accept()

    def authorize_publish(self, principal, topic, qos, retain):
        return False

    def authorize_subscribe(self, principal, topic_filter, qos):
        return 0x87

    def authorize_deliver(self, principal, topic):
        return True


def fitting(size, version=5, qos=0, topic="t"):
    """A payload that makes a PUBLISH of exactly this many bytes."""
    empty = encode(pub(b"", qos, topic=topic), version)
    payload = b"x" * (size - len(empty))
    for _ in range(3):
        payload = payload[: len(payload) - (len(encode(pub(payload, qos, topic=topic), version)) - size)]
    assert len(encode(pub(payload, qos, topic=topic), version)) == size
    return payload


@pytest.mark.spec("MQTT-3.1.2-25", version="5.0")
@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_that_fits_with_its_topic_and_not_with_the_alias_comes_with_its_topic(make_world, qos):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "t", maximum_packet_size=100, topic_alias_maximum=1)
    publisher = fleeting(world, "p", 5)
    full = fitting(100, 5, qos)
    publisher.send(pub(b"sets it", qos, 1), pub(full, qos, 2), pub(b"uses it", qos, 3))
    got = subscriber.messages()
    assert [(p.topic, p.payload, p.properties.topic_alias) for p in got] == [
        ("t", b"sets it", 1),
        ("t", full, None),
        ("", b"uses it", 1),
    ]


@pytest.mark.spec("MQTT-3.1.2-24", "MQTT-3.1.2-25", version="5.0")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_that_is_too_large_counts_as_delivered(make_world, version, qos):
    world = make_world()
    subscriber = lasting(world, "s", 5, "t", maximum_packet_size=100, receive_maximum=2)
    other = lasting(world, "o", 5, "t")
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"y" * 200, qos, 1), pub(fitting(101, 5, qos), qos, 2), pub(fitting(100, 5, qos), qos, 3))
    got = subscriber.messages()
    assert [len(encode(p, 5)) for p in got] == [100]
    assert len(other.messages()) == 3
    assert world.counters.dropped_too_large == 2
    assert len(world.session("s").inflight) == (1 if qos else 0)
    publisher.send(pub(b"z", 1, 4))
    assert payloads(subscriber.messages()) == [b"z"]


@pytest.mark.spec("MQTT-3.1.2-25", version="5.0")
@pytest.mark.parametrize("extra", ["subscription identifier", "properties", "alias"])
def test_the_size_is_that_of_the_frame_as_it_would_be_sent(make_world, extra):
    world = make_world()
    fields = {"topic_alias_maximum": 5} if extra == "alias" else {}
    subscriber = fleeting(world, "s", 5, maximum_packet_size=100, **fields)
    if extra == "subscription identifier":
        subscriber.subscribe("t", subscription_identifiers=(5,))
    else:
        subscriber.subscribe("t")
    publisher = fleeting(world, "p", 5)
    sent = Properties(content_type="c") if extra == "properties" else Properties()
    payload = fitting(100)
    publisher.send(pub(payload, 0, properties=sent))
    got = subscriber.messages()
    if extra == "alias":
        assert [(p.topic, p.properties.topic_alias, len(encode(p, 5))) for p in got] == [("t", None, 100)]
    else:
        assert got == []
        assert world.counters.dropped_too_large == 1


@pytest.mark.spec("MQTT-3.1.2-25", version="5.0")
def test_a_queued_message_that_does_not_fit_the_new_connection_is_skipped(make_world):
    world = make_world()
    lasting(world, "s", 5, at("t", 1)).drop()
    fleeting(world, "p", 5).send(pub(b"y" * 200, 1, 1), pub(b"small", 1, 2))
    subscriber = lasting(world, "s", 5, maximum_packet_size=100)
    assert payloads(subscriber.messages()) == [b"small"]
    assert len(world.session("s").inflight) == 1
    subscriber.drop()
    if world.store is not None:
        world.restart()
    assert payloads(lasting(world, "s", 5).messages()) == [b"small"]


@pytest.mark.spec("MQTT-3.1.2-24", version="5.0")
def test_a_resend_that_does_not_fit_the_new_connection_is_given_up(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, at("t", 1))
    fleeting(world, "p", 5).send(pub(b"y" * 200, 1, 1), pub(b"small", 1, 2))
    assert len(subscriber.messages()) == 2
    subscriber.drop()
    subscriber = lasting(world, "s", 5, maximum_packet_size=100)
    assert payloads(subscriber.messages()) == [b"small"]
    assert len(world.session("s").inflight) == 1


def test_a_retained_message_that_does_not_fit_is_skipped(make_world):
    world = make_world()
    publisher = fleeting(world, "p", 5)
    publisher.send(pub(b"y" * 200, 1, 1, topic="a", retain=True), pub(b"small", 1, 2, topic="b", retain=True))
    subscriber = fleeting(world, "s", 5, maximum_packet_size=100)
    subscriber.subscribe(at("#", 1))
    assert payloads(subscriber.messages()) == [b"small"]


# -- acknowledgements never carry what could push them over ---------------------------------------------------------


@pytest.mark.spec("MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3", version="5.0")
def test_a_refusing_puback_or_pubrec_has_no_reason_string_or_user_property(make_world):
    client = fleeting(make_world(policy=Refusing()), "c", 5, maximum_packet_size=SMALLEST)
    client.send(pub(b"x", 1, 1), pub(b"x", 2, 2))
    assert client.raw() == b"\x40\x03\x00\x01\x87" + b"\x50\x03\x00\x02\x87"
    assert not client.closed


@pytest.mark.spec("MQTT-3.6.2-2", "MQTT-3.6.2-3", "MQTT-3.7.2-2", "MQTT-3.7.2-3", version="5.0")
def test_a_pubrel_or_pubcomp_for_an_unknown_identifier_has_no_reason_string_or_user_property(make_world):
    client = fleeting(make_world(), "c", 5, maximum_packet_size=SMALLEST)
    client.send(PubrecPacket(1))
    assert client.raw() == b"\x62\x03\x00\x01\x92"
    client.send_bytes(b"\x62\x02\x00\x02")
    assert client.raw() == b"\x70\x03\x00\x02\x92"


@pytest.mark.spec("MQTT-3.9.2-1", "MQTT-3.9.2-2", "MQTT-3.11.2-1", "MQTT-3.11.2-2", version="5.0")
def test_suback_and_unsuback_have_no_reason_string_or_user_property(make_world):
    client = fleeting(make_world(policy=Refusing()), "c", 5, maximum_packet_size=SMALLEST)
    assert client.subscribe("t", packet_id=7) == [0x87]
    client.send(UnsubscribePacket(8, ["t"]))
    assert client.raw() == b"\xb0\x04\x00\x08\x00\x11"


def test_a_suback_that_fits_exactly_is_sent(make_world):
    client = fleeting(make_world(), "c", 5, maximum_packet_size=SMALLEST)
    codes = client.subscribe(*[at(f"{n}", 0) for n in range(SMALLEST - 5)])
    assert codes == [0] * (SMALLEST - 5)
    assert len(encode(SubackPacket(1, codes), 5)) == SMALLEST


# -- what the broker takes ------------------------------------------------------------------------------------------


@pytest.mark.spec("MUST-3.2.2.3.6-3", version="5.0")
def test_a_packet_larger_than_the_broker_takes_is_0x95_from_its_header_alone(make_world):
    world = make_world(max_packet_size=200)
    client = fleeting(world, "c", 5)
    assert client.connack.properties.maximum_packet_size == 200
    watcher = fleeting(world, "w", 5, "t")
    client.send_bytes(b"\x30\xc5\x01")
    client.send_bytes(b"\x00\x01t\x00" + b"x" * 193)
    assert [len(p) for p in payloads(watcher.messages())] == [193]
    client.send_bytes(b"\x30\xc6\x01")
    assert client.closed
    assert client.received()[-1].reason_code == 0x95


def test_the_largest_packet_the_broker_takes_is_delivered(make_world, version):
    world = make_world(max_packet_size=1000)
    subscriber = fleeting(world, "s", version, "t")
    payload = fitting(1000, version, 1)
    publisher = fleeting(world, "p", version)
    publisher.send(pub(payload, 1))
    assert payloads(subscriber.messages()) == [payload]
    assert publisher.received() == [PubackPacket(1)]


def test_versions_that_meet_are_measured_by_the_frame_the_recipient_gets(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "t", maximum_packet_size=100)
    publisher = fleeting(world, "p", 4)
    publisher.send(pub(fitting(99, 4)), pub(fitting(100, 4)))
    got = subscriber.messages()
    assert [len(encode(p, 5)) for p in got] == [100]
    assert ids(got) == [0]
    assert isinstance(got[0], PublishPacket)

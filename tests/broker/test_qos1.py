"""QoS 1 through the broker, as receiver from publishers and as sender to subscribers (section 4.3.2)."""

from __future__ import annotations

import pytest

from mqtt_core.codec import DisconnectPacket, PubackPacket
from tests.broker.dialogue import BOTH, at, fleeting, ids, lasting, payloads, pub, seen


@pytest.mark.spec("MQTT-4.3.2-2", "MQTT-2.3.1-6", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.2-4", "MQTT-2.2.1-5", version="5.0")
def test_a_message_that_was_taken_is_acknowledged_with_its_identifier(make_world, version):
    world = make_world()
    fleeting(world, "s", version, "t")
    client = fleeting(world, "p", version)
    client.send(pub(b"x", 1, 0x1234))
    assert client.raw() == b"\x40\x02\x12\x34"


@pytest.mark.spec("MQTT-4.3.2-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.2-5", version="5.0")
@pytest.mark.parametrize("dup", [False, True])
def test_after_puback_the_same_identifier_is_a_new_message_whatever_its_dup(make_world, version, dup):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    client = fleeting(world, "p", version)
    client.send(pub(b"first", 1, 7))
    client.send(pub(b"second", 1, 7, dup=dup))
    assert client.received() == [PubackPacket(7), PubackPacket(7)]
    assert payloads(subscriber.messages()) == [b"first", b"second"]


@pytest.mark.spec("MQTT-4.3.2-1", "MQTT-2.3.1-4", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-2.2.1-4", version="5.0")
@BOTH
def test_a_subscriber_gets_qos_1_dup_0_and_an_identifier_nothing_else_uses(make_world, pv, sv):
    world = make_world()
    subscriber = fleeting(world, "s", sv, at("t", 1))
    first, second = fleeting(world, "p1", pv), fleeting(world, "p2", pv)
    for client in (first, second):
        client.send(pub(b"a", 1, 1), pub(b"b", 1, 2))
    got = subscriber.messages()
    assert seen(got) == [(b"a", 1, False, False), (b"b", 1, False, False)] * 2
    assert len(set(ids(got))) == 4
    assert 0 not in ids(got)


@pytest.mark.spec("MQTT-4.3.2-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.2-3", version="5.0")
def test_a_message_is_held_until_its_own_puback(make_world, version):
    world = make_world()
    subscriber = lasting(world, "s", version, at("t", 1))
    fleeting(world, "p", version).send(pub(b"a", 1, 1), pub(b"b", 1, 2))
    first, second = ids(subscriber.messages())
    subscriber.send(PubackPacket(second))
    assert list(world.session("s").inflight) == [first]
    subscriber.send(PubackPacket(first))
    assert list(world.session("s").inflight) == []
    subscriber.drop()
    assert lasting(world, "s", version).received() == []


@pytest.mark.spec("MQTT-2.3.1-4", version="3.1.1")
@pytest.mark.spec("MQTT-2.2.1-4", "MQTT-4.3.2-1", version="5.0")
def test_an_identifier_is_not_used_twice_while_its_message_is_open(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, at("t", 1))
    client = fleeting(world, "p", version)
    opened = []
    for round_number in range(5):
        client.send(*[pub(b"x", 1, n) for n in (1, 2, 3)])
        got = ids(subscriber.messages())
        assert not set(got) & set(opened)
        opened += got
        kept = opened[round_number % 2 :: 2]
        subscriber.send(*[PubackPacket(i) for i in opened if i not in kept])
        opened = kept


def test_a_puback_with_a_failure_code_ends_the_message_too(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, at("t", 1))
    fleeting(world, "p", 5).send(pub(b"a", 1))
    (packet_id,) = ids(subscriber.messages())
    subscriber.send(PubackPacket(packet_id, 0x97))
    assert list(world.session("s").inflight) == []
    assert world.counters.dropped_by_client == 1


def test_a_puback_for_an_unknown_identifier_is_ignored(make_world, version):
    world = make_world()
    subscriber = lasting(world, "s", version, at("t", 1))
    fleeting(world, "p", version).send(pub(b"a", 1))
    (packet_id,) = ids(subscriber.messages())
    subscriber.send(PubackPacket(packet_id + 1))
    assert list(world.session("s").inflight) == [packet_id]
    assert not subscriber.closed


def test_a_puback_for_a_qos_2_message_is_a_protocol_error(make_world, version):
    world = make_world()
    subscriber = lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(pub(b"a", 2))
    (packet_id,) = ids(subscriber.messages())
    subscriber.send(PubackPacket(packet_id))
    assert subscriber.closed
    assert [type(p) for p in subscriber.received()] == ([DisconnectPacket] if version == 5 else [])
    assert list(world.session("s").inflight) == [packet_id]


def test_every_recipient_of_a_message_has_its_own_exchange(make_world):
    world = make_world()
    subscribers = [lasting(world, f"s{n}", 4 + n % 2, at("t", 1)) for n in range(4)]
    fleeting(world, "p", 5).send(pub(b"x", 1, 9))
    got = [s.messages() for s in subscribers]
    assert [payloads(g) for g in got] == [[b"x"]] * 4
    subscribers[2].send(PubackPacket(got[2][0].packet_id))
    assert [len(world.session(f"s{n}").inflight) for n in range(4)] == [1, 1, 0, 1]


def test_identifiers_wrap_around_without_a_clash(make_world, version):
    world = make_world(inflight_max=65_535)
    subscriber = lasting(world, "s", version, at("t", 1))
    session = world.session("s")
    session.outgoing.ids.last = 65_533
    client = fleeting(world, "p", version)
    client.send(pub(b"open", 1, 1))
    (blocked,) = ids(subscriber.messages())
    assert blocked == 1
    got = []
    for _ in range(4):
        client.send(pub(b"x", 1, 1))
        got += ids(subscriber.messages())
    assert got == [65_534, 65_535, 2, 3]


def test_a_fresh_publish_and_its_ack_cost_one_round(world):
    """The smallest whole conversation, byte by byte."""
    subscriber = fleeting(world, "s", 4, at("t", 1))
    publisher = fleeting(world, "p", 4)
    publisher.send_bytes(b"\x32\x06\x00\x01t\x00\x03x")
    assert subscriber.raw() == b"\x32\x06\x00\x01t\x00\x03x"
    assert publisher.raw() == b"\x40\x02\x00\x03"
    subscriber.send_bytes(b"\x40\x02\x00\x03")
    assert subscriber.raw() == b""
    assert list(world.session("s").inflight) == []

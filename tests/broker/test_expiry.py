"""Message Expiry Interval: counted down while a message waits, and never after it was sent (5.0 section 3.3.2.3.3)."""

from __future__ import annotations

import pytest

from mqtt_core.codec import Properties, PubackPacket, PubcompPacket, PublishPacket, PubrecPacket, PubrelPacket
from mqtt_core.session import Message
from tests.broker.dialogue import at, fleeting, lasting, payloads, pub
from tests.broker.kit import World


def expiring(payload=b"x", qos=1, packet_id=1, seconds=60, **fields):
    return pub(payload, qos, packet_id, properties=Properties(message_expiry_interval=seconds), **fields)


def left(packet):
    return packet.properties.message_expiry_interval


@pytest.mark.spec("MQTT-3.3.2-6", version="5.0")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_does_not_wait_keeps_its_interval(make_world, qos):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "t")
    fleeting(world, "p", 5).send(expiring(qos=qos, seconds=0xFFFFFFFF))
    assert [left(p) for p in subscriber.messages()] == [0xFFFFFFFF]


@pytest.mark.spec("MQTT-3.3.2-6", version="5.0")
@pytest.mark.parametrize("waits_in", ["session", "quota", "frozen", "retained", "restart"])
def test_the_time_a_message_waited_is_taken_off(make_world, waits_in):
    world = make_world()
    publisher = fleeting(world, "p", 5)
    subscriber = lasting(world, "s", 5, at("t", 1), receive_maximum=1)
    if waits_in == "quota":
        publisher.send(pub(b"first", 1, 9))
        (first,) = subscriber.messages()
    elif waits_in == "frozen":
        subscriber.frozen = True
    else:
        subscriber.drop()
    publisher.send(expiring(retain=waits_in == "retained"))
    if waits_in == "restart" and world.store is not None:
        world.wait(15)
        world.restart(after=10)
    else:
        world.wait(25)
    if waits_in == "quota":
        subscriber.send(PubackPacket(first.packet_id))
    elif waits_in == "frozen":
        subscriber.thaw()
    elif waits_in == "retained":
        subscriber = fleeting(world, "s2", 5, at("t", 1))
    else:
        subscriber = lasting(world, "s", 5)
    (message,) = subscriber.messages()
    assert left(message) == 35


@pytest.mark.spec("MQTT-3.3.2-5", version="5.0")
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("waits_in", ["session", "quota", "frozen", "retained", "restart"])
def test_a_message_whose_time_is_over_before_it_was_sent_is_deleted(make_world, waits_in, version):
    world = make_world(inflight_max=1, send_timeout_s=1000)
    publisher = fleeting(world, "p", 5)
    subscriber = lasting(world, "s", version, at("t", 1))
    if waits_in == "quota":
        publisher.send(pub(b"first", 1, 9))
        (first,) = subscriber.messages()
    elif waits_in == "frozen":
        subscriber.frozen = True
    else:
        subscriber.drop()
    publisher.send(expiring(b"late", retain=waits_in == "retained"))
    world.wait(30)
    publisher.send(pub(b"fresh", 1, 2))
    world.wait(40)
    if waits_in == "restart" and world.store is not None:
        world.restart()
        publisher = fleeting(world, "p", 5)
    if waits_in == "quota":
        subscriber.send(PubackPacket(first.packet_id))
    elif waits_in == "frozen":
        subscriber.thaw()
    elif waits_in == "retained":
        assert world.broker.retained() == []
        assert fleeting(world, "s2", version, at("t", 1)).messages() == []
        subscriber = lasting(world, "s", version)
    else:
        subscriber = lasting(world, "s", version)
    (fresh,) = subscriber.messages()
    assert fresh.payload == b"fresh"
    subscriber.send(PubackPacket(fresh.packet_id))
    assert list(world.session("s").inflight) == []
    publisher.send(pub(b"next", 1, 3))
    assert payloads(subscriber.messages()) == [b"next"]


def test_expired_messages_are_counted(make_world):
    world = make_world()
    lasting(world, "s", 5, at("t", 1)).drop()
    fleeting(world, "p", 5).send(expiring(packet_id=1), expiring(packet_id=2))
    world.wait(60)
    assert lasting(world, "s", 5).messages() == []
    assert world.counters.dropped_expired == 2
    assert world.counters.queued_messages == world.counters.queued_bytes == 0


@pytest.mark.parametrize("qos", [0, 1])
def test_a_frame_that_waits_behind_a_commit_is_dropped_when_its_time_is_over(bulk, qos):
    world = World(stored=True, bulk_path=bulk)
    subscriber = lasting(world, "s", 5, at("t", 1), at("u", 1))
    publisher = fleeting(world, "p", 5)
    world.auto_commit = False
    publisher.send(pub(b"held", 1, 1, topic="u"), expiring(b"late", qos, 2))
    assert subscriber.received() == []
    world.wait(70)
    world.broker.handle_timer(world.now)
    world.auto_commit = True
    world.settle()
    assert payloads(subscriber.messages()) == [b"held"]
    assert world.counters.dropped_expired == 1
    assert len(world.session("s").inflight) == 1


@pytest.mark.spec("MQTT-4.3.3-7", version="5.0")
@pytest.mark.parametrize("qos", [1, 2])
def test_once_sent_a_message_is_sent_again_however_late(make_world, qos):
    world = make_world()
    subscriber = lasting(world, "s", 5, "t")
    fleeting(world, "p", 5).send(expiring(qos=qos))
    (message,) = subscriber.messages()
    subscriber.drop()
    world.wait(600)
    subscriber = lasting(world, "s", 5)
    (again,) = subscriber.messages()
    assert (again.payload, again.dup, again.packet_id) == (b"x", True, message.packet_id)


@pytest.mark.spec("MQTT-4.3.3-13", "MQTT-4.3.3-7", version="5.0")
def test_the_exchange_of_acknowledgements_is_finished_for_an_expired_message(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, "t")
    publisher = lasting(world, "p", 5)
    publisher.send(expiring(qos=2, packet_id=5))
    assert publisher.received() == [PubrecPacket(5)]
    (message,) = subscriber.messages()
    world.wait(600)
    publisher.send(PubrelPacket(5))
    assert publisher.received() == [PubcompPacket(5)]
    subscriber.send(PubrecPacket(message.packet_id))
    assert subscriber.received() == [PubrelPacket(message.packet_id)]
    subscriber.send(PubcompPacket(message.packet_id))
    assert list(world.session("s").inflight) == []


def test_a_repeated_qos_2_publish_that_has_expired_is_still_a_repetition(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "t")
    publisher = fleeting(world, "p", 5)
    publisher.send(expiring(qos=2, packet_id=5))
    world.wait(600)
    publisher.send(expiring(qos=2, packet_id=5, dup=True))
    assert publisher.received() == [PubrecPacket(5), PubrecPacket(5)]
    assert len(subscriber.messages()) == 1


def test_an_interval_of_zero_lets_nothing_out(make_world):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "t")
    publisher = fleeting(world, "p", 5)
    publisher.send(expiring(b"now", 0, seconds=0), expiring(b"now", 1, 1, seconds=0), pub(b"x", 1, 2))
    assert payloads(subscriber.messages()) == [b"x"]
    assert [type(p) for p in publisher.received()] == [PubackPacket, PubackPacket]
    assert len(world.session("s").inflight) == 1


def test_a_3_1_1_publisher_sets_no_interval(make_world):
    world = make_world()
    lasting(world, "s", 5, "t").drop()
    fleeting(world, "p", 4).send(pub(b"x", 1))
    world.wait(3000)
    (message,) = lasting(world, "s", 5).messages()
    assert left(message) is None


@pytest.mark.spec("MUST-3.3.1.3-1", version="5.0")
def test_retained_messages_go_when_their_time_is_over(make_world):
    world = make_world()
    publisher = fleeting(world, "p", 5)
    publisher.send(*[expiring(topic=f"t/{n}", packet_id=n, seconds=10 * n, retain=True) for n in range(1, 4)])
    world.wait(25)
    assert [m.topic for m in world.broker.retained()] == ["t/3"]
    assert len(world.broker._state.retained) == 1
    world.wait(10)
    assert len(world.broker._state.retained) == 0
    if world.store is not None:
        world.restart()
        assert world.broker.retained() == []


def test_many_messages_that_expire_at_once_are_taken_out_in_slices(make_world):
    world = make_world()
    for n in range(2500):
        world.broker.publish(Message(f"t/{n}", b"x", 0, True, Properties(message_expiry_interval=10)), world.now)
    world.now += 11
    world.broker.handle_timer(world.now)
    assert 0 < len(world.broker._state.retained) < 2500
    assert world.broker.next_deadline() <= world.now
    world.settle()
    assert len(world.broker._state.retained) == 0


def test_the_hosts_messages_expire_too(make_world):
    world = make_world()
    lasting(world, "s", 5, "t").drop()
    world.publish("t", b"x", 1, message_expiry_interval=10)
    world.publish("t", b"y", 1, message_expiry_interval=100)
    world.wait(20)
    got = lasting(world, "s", 5).messages()
    assert [(p.payload, left(p)) for p in got] == [(b"y", 80)]
    assert isinstance(got[0], PublishPacket)


@pytest.mark.spec("MQTT-3.3.2-5", version="5.0")
def test_what_expired_before_it_left_is_not_sent_again_though_the_connection_breaks_at_once(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, at("t", 1), frozen=True)
    world.publish("t", b"x", 1, message_expiry_interval=5)
    world.now += 10
    world.broker.handle_timer(world.now)
    assert subscriber.handler.data_to_send() == []
    subscriber.drop()
    assert lasting(world, "s", 5).messages() == []
    assert world.counters.dropped_expired == 1


@pytest.mark.spec("MQTT-3.3.2-5", version="5.0")
@pytest.mark.spec("MQTT-4.6.0-5", version="5.0")
def test_what_expired_before_it_left_a_closed_connection_is_not_sent_behind_newer_messages(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, at("t", 1), frozen=True)
    publisher = fleeting(world, "p", 5)
    publisher.send(expiring(b"old", seconds=2), pub(b"new", 1, 2))
    world.broker.disconnect("s", 0x8D, world.now)
    world.wait(3)
    subscriber.thaw()
    new, farewell = subscriber.received()
    assert (new.payload, farewell.reason_code) == (b"new", 0x8D)
    subscriber.drop()
    assert payloads(lasting(world, "s", 5).messages()) == [b"new"]
    assert world.counters.dropped_expired == 1


@pytest.mark.spec("MQTT-4.3.3-7", version="5.0")
def test_what_a_newer_connection_has_taken_up_does_not_expire_with_the_rest_of_the_older_one(make_world):
    world = make_world()
    older = lasting(world, "s", 5, at("t", 1), frozen=True)
    world.publish("t", b"x", 1, message_expiry_interval=2)
    world.broker.disconnect("s", 0x8D, world.now)
    newer = lasting(world, "s", 5)
    (message,) = newer.messages()
    newer.drop()
    world.wait(3)
    older.thaw()
    assert [(p.payload, p.packet_id) for p in lasting(world, "s", 5).messages()] == [(b"x", message.packet_id)]

"""Receive Maximum in both directions, and who waits for whom (5.0 section 4.9, DESIGN "Flow")."""

from __future__ import annotations

import pytest

from mqtt_core.codec import (
    DisconnectPacket,
    PingreqPacket,
    PingrespPacket,
    PubackPacket,
    PubcompPacket,
    PubrecPacket,
    PubrelPacket,
    SubackPacket,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
    encode,
)
from tests.broker.dialogue import at, fleeting, ids, lasting, payloads, pub
from tests.broker.kit import World

# -- towards a subscriber -------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2", version="5.0")
@pytest.mark.parametrize("maximum", [1, 3])
def test_at_most_receive_maximum_messages_are_open(make_world, version, maximum):
    world = make_world()
    subscriber = lasting(world, "s", 5, "t", receive_maximum=maximum)
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"%d" % n, 1 + n % 2, n) for n in range(1, 9)])
    open_messages = subscriber.messages()
    assert len(open_messages) == maximum
    order = payloads(open_messages)
    while open_messages:
        first = open_messages.pop(0)
        if first.qos == 1:
            subscriber.send(PubackPacket(first.packet_id))
        else:
            subscriber.send(PubrecPacket(first.packet_id))
            assert subscriber.received() == [PubrelPacket(first.packet_id)]
            subscriber.send(PubcompPacket(first.packet_id))
        more = subscriber.messages()
        assert len(more) <= 1
        open_messages += more
        order += payloads(more)
        assert len(open_messages) <= maximum
    assert order == [b"%d" % n for n in range(1, 9)]


@pytest.mark.spec("MQTT-3.3.4-9", version="5.0")
def test_a_refusing_pubrec_gives_quota_back(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, "t", receive_maximum=1)
    fleeting(world, "p", 5).send(pub(b"a", 2, 1), pub(b"b", 2, 2))
    (first,) = subscriber.messages()
    subscriber.send(PubrecPacket(first.packet_id, 0x97))
    assert payloads(subscriber.messages()) == [b"b"]


@pytest.mark.spec("MUST-3.1.2.11.3-3", "MQTT-4.9.0-1", version="5.0")
def test_without_a_receive_maximum_65535_messages_may_be_open(bulk):
    world = World(bulk_path=bulk, inflight_max=65_535)
    subscriber = lasting(world, "s", 5, at("t", 1))
    publisher = fleeting(world, "p", 5)
    for start in range(1, 66_001, 1000):
        publisher.send(*[pub(b"x", 1, n) for n in range(start % 65_535, start % 65_535 + 500)])
        publisher.send(*[pub(b"x", 1, n) for n in range(start % 65_535, start % 65_535 + 500)])
    assert len(set(ids(subscriber.messages()))) == 65_535
    assert world.session("s").queued() == 66_000 - 65_535


def test_the_brokers_own_bound_holds_for_everybody(make_world, version):
    world = make_world(inflight_max=2)
    subscriber = fleeting(world, "s", version, at("t", 1))
    fleeting(world, "p", version).send(*[pub(b"x", 1, n) for n in range(1, 6)])
    assert len(subscriber.messages()) == 2


@pytest.mark.spec("MQTT-3.3.4-10", "MQTT-4.9.0-3", version="5.0")
def test_at_the_limit_nothing_but_publish_is_held_back(make_world):
    world = make_world()
    client = lasting(world, "s", 5, "t", receive_maximum=1)
    fleeting(world, "p", 5).send(pub(b"a", 2, 1), pub(b"b", 1, 2))
    (first,) = client.messages()
    client.send(
        pub(b"x", 1, 11, topic="u"),
        pub(b"x", 2, 12, topic="u"),
        PubrelPacket(12),
        PingreqPacket(),
        SubscribePacket(13, [at("v", 1)]),
        UnsubscribePacket(14, ["v"]),
        PubrecPacket(first.packet_id),
    )
    assert [type(p) for p in client.received() if not isinstance(p, PingrespPacket)] == [
        PubackPacket,
        PubrecPacket,
        PubcompPacket,
        SubackPacket,
        UnsubackPacket,
        PubrelPacket,
    ]
    client.send(PubcompPacket(first.packet_id))
    assert payloads(client.messages()) == [b"b"]


def test_qos_0_may_pass_what_waits_and_later_qos_1_may_not(make_world, version):
    world = make_world(inflight_max=1)
    subscriber = fleeting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"1", 1, 1), pub(b"2", 1, 2), pub(b"0", 0))
    got = subscriber.messages()
    assert payloads(got) == [b"1", b"0"]
    subscriber.send(PubackPacket(got[0].packet_id))
    publisher.send(pub(b"3", 1, 3))
    assert payloads(subscriber.messages()) == [b"2"]
    assert world.session("s").queued() == 1


def test_freed_quota_is_filled_in_the_same_input(make_world, version):
    world = make_world(inflight_max=3)
    subscriber = fleeting(world, "s", version, at("t", 1))
    fleeting(world, "p", version).send(*[pub(b"%d" % n, 1, n) for n in range(1, 7)])
    numbers = ids(subscriber.messages())
    handler = subscriber.handler
    handler.receive_data(b"".join(encode(PubackPacket(n), version) for n in numbers), world.now)
    world.commit()
    data = b"".join(handler.data_to_send())
    assert data.count(b"\x00\x01t") == 3


# -- from a publisher -----------------------------------------------------------------------------------------------


@pytest.mark.spec("MUST-3.3.4-1", "MQTT-3.3.4-7", version="5.0")
@pytest.mark.parametrize("qos", [1, 2])
def test_more_than_receive_maximum_from_a_publisher_is_0x93(make_world, qos):
    world = make_world(receive_maximum=3)
    subscriber = fleeting(world, "s", 5, "t")
    publisher = fleeting(world, "p", 5)
    assert publisher.connack.properties.receive_maximum == 3
    publisher.send(*[pub(b"%d" % n, qos, n) for n in range(1, 6)])
    assert publisher.closed
    *answers, goodbye = publisher.received()
    assert [type(a) for a in answers] == [PubackPacket if qos == 1 else PubrecPacket] * 3
    assert isinstance(goodbye, DisconnectPacket)
    assert goodbye.reason_code == 0x93
    assert payloads(subscriber.messages()) == [b"1", b"2", b"3"]


def test_a_qos_2_message_occupies_the_window_until_pubcomp(make_world):
    world = make_world(receive_maximum=2)
    publisher = fleeting(world, "p", 5)
    publisher.send(pub(b"a", 2, 1))
    publisher.send(pub(b"b", 2, 2))
    publisher.send(PubrelPacket(1))
    publisher.send(pub(b"c", 2, 3))
    assert not publisher.closed
    publisher.send(pub(b"d", 1, 4))
    assert publisher.closed


def test_a_qos_1_message_occupies_the_window_until_its_puback_has_left(make_world):
    world = make_world(receive_maximum=2)
    publisher = fleeting(world, "p", 5)
    for _ in range(5):
        publisher.send(pub(b"a", 1, 1), pub(b"b", 1, 2))
    assert len(publisher.received()) == 10
    publisher.frozen = True
    publisher.send(pub(b"a", 1, 1), pub(b"b", 1, 2))
    publisher.send(pub(b"c", 1, 3))
    publisher.thaw()
    assert publisher.closed
    assert publisher.received()[-1].reason_code == 0x93


def test_a_window_held_up_by_a_commit_is_not_widened(bulk):
    world = World(stored=True, bulk_path=bulk, receive_maximum=2)
    lasting(world, "s", 5, "t")
    publisher = lasting(world, "p", 5)
    world.auto_commit = False
    publisher.send(pub(b"a", 1, 1), pub(b"b", 1, 2))
    assert publisher.received() == []
    publisher.send(pub(b"c", 1, 3))
    world.auto_commit = True
    world.settle()
    *acks, goodbye = publisher.received()
    assert acks == [PubackPacket(1), PubackPacket(2)]
    assert goodbye.reason_code == 0x93


@pytest.mark.parametrize("qos", [1, 2])
def test_a_3_1_1_publisher_is_read_no_further_instead(make_world, qos):
    world = make_world(receive_maximum=3)
    subscriber = fleeting(world, "s", 4, "t")
    publisher = fleeting(world, "p", 4)
    publisher.frozen = True
    publisher.send(*[pub(b"%d" % n, qos, n) for n in range(1, 11)])
    assert payloads(subscriber.messages()) == [b"1", b"2", b"3"]
    assert publisher.handler.reading_paused
    publisher.thaw()
    assert not publisher.closed
    assert not publisher.handler.reading_paused
    assert len(publisher.received()) == 10
    assert len(subscriber.messages()) == 7


def test_a_3_1_1_batch_larger_than_the_window_does_not_block_itself(make_world):
    """PUBREL is behind the PUBLISH packets: it must be reached."""
    world = make_world(receive_maximum=2)
    publisher = fleeting(world, "p", 4)
    numbers = range(1, 11)
    publisher.send(*[pub(b"x", 2, n) for n in numbers], *[PubrelPacket(n) for n in numbers])
    assert publisher.received() == [PubrecPacket(n) for n in numbers] + [PubcompPacket(n) for n in numbers]


# -- slow readers ---------------------------------------------------------------------------------------------------


def test_a_frozen_reader_delays_nobody_and_costs_bounded_memory(make_world, version):
    world = make_world(outbox_bytes_max=10_000, queue_bytes_max=20_000)
    frozen = lasting(world, "frozen", version, "t", frozen=True)
    brisk = lasting(world, "brisk", version, "t")
    publisher = fleeting(world, "p", version)
    for n in range(200):
        publisher.send(pub(b"x" * 400, n % 2, 1))
        assert len(brisk.messages()) == 1
        if n % 2:
            brisk.send(PubackPacket(next(iter(world.session("brisk").inflight))))
        assert not publisher.handler.reading_paused
    assert len(publisher.received()) == 100
    assert frozen.handler.outbox.size <= 11_000
    assert world.session("frozen").queue_bytes <= 20_000
    assert world.counters.dropped_outbox > 0
    assert world.counters.dropped_queue > 0


def test_what_waited_for_the_outbox_goes_on_when_it_is_drained(make_world, version):
    world = make_world(outbox_bytes_max=5000)
    subscriber = lasting(world, "s", version, at("t", 1), frozen=True)
    publisher = fleeting(world, "p", version)
    for n in range(1, 101):
        publisher.send(pub(b"%03d" % n + b"x" * 200, 1, n))
    assert world.session("s").queued() > 50
    subscriber.thaw()
    assert [p.payload[:3] for p in subscriber.messages()] == [b"%03d" % n for n in range(1, 101)]
    assert world.session("s").direct


def test_reading_pauses_for_the_connections_own_undrained_bytes_until_half_is_gone(make_world, version):
    world = make_world(outbox_bytes_max=1000)
    client = fleeting(world, "c", version, "t")
    client.frozen = True
    for _ in range(12):
        client.handler.receive_data(encode(pub(b"x" * 100, 0), version), world.now)
    assert client.handler.reading_paused
    client.thaw()
    assert not client.handler.reading_paused
    client.frozen = True
    world.publish("t", b"x" * 1200)
    client.handler.receive_data(encode(PingreqPacket(), version), world.now)
    assert client.handler.reading_paused


def test_a_connection_that_drains_nothing_is_closed_after_the_send_timeout(make_world, version):
    world = make_world(send_timeout_s=60)
    subscriber = fleeting(world, "s", version, "t", frozen=True)
    publisher = fleeting(world, "p", version)
    publisher.send(pub())
    world.wait(59)
    assert not subscriber.closed
    world.wait(2)
    assert subscriber.closed
    assert subscriber.aborted
    assert world.counters.send_timeouts == 1
    assert not publisher.closed


def test_a_connection_that_drains_in_time_is_not_closed(make_world, version):
    world = make_world(send_timeout_s=60)
    subscriber = fleeting(world, "s", version, "t", frozen=True)
    publisher = fleeting(world, "p", version)
    for _ in range(4):
        publisher.send(pub())
        world.wait(40)
        subscriber.thaw()
        subscriber.frozen = True
    assert not subscriber.closed
    subscriber.thaw()
    assert len(subscriber.messages()) == 4


def test_a_reader_that_is_paused_is_not_judged_by_its_silence(make_world):
    world = make_world(outbox_bytes_max=1000, send_timeout_s=10_000)
    client = fleeting(world, "c", 5, "t", keep_alive_s=10)
    client.frozen = True
    client.handler.receive_data(encode(pub(b"x" * 2000), 5), world.now)
    assert client.handler.reading_paused
    world.wait(300)
    assert not client.closed
    client.thaw()
    assert not client.handler.reading_paused
    world.wait(14)
    assert not client.closed
    world.wait(2)
    assert client.closed
    assert isinstance(client.received()[-1], DisconnectPacket)

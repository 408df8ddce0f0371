"""Retained messages that a subscription has still to bring survive the broker, as the subscription does."""

from __future__ import annotations

import pytest

from mqtt_core.codec import PubackPacket, PublishPacket, UnsubscribePacket
from tests.broker.dialogue import at, lasting, payloads, subscribe
from tests.broker.kit import World

COUNT = 10
KEPT = [b"%d" % number for number in range(COUNT)]


@pytest.fixture
def world(bulk):
    world = World(stored=True, bulk_path=bulk, inflight_max=2, local_queue_max=2)
    for number, payload in enumerate(KEPT):
        world.publish(f"kept/{number}", payload, 1, retain=True)
    return world


def answered(client):
    """Acknowledge whatever comes until nothing comes any more; returns what came."""
    got = []
    while packets := client.messages():
        got += packets
        client.send(*[PubackPacket(packet.packet_id) for packet in packets])
    return got


@pytest.mark.spec("MQTT-3.3.1-6", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.1-9", version="5.0")
def test_a_replay_that_a_crash_cut_off_begins_anew(world, version):
    client = lasting(world, "c", version)
    subscribe(client, at("kept/#", 1))
    early = payloads(client.messages())
    assert len(early) == 2
    world.restart(crash=True)
    client = lasting(world, "c", version)
    client.early, early_again = [], client.early
    client.send(*[PubackPacket(packet.packet_id) for packet in early_again])
    late = answered(client)
    assert [packet.payload for packet in early_again if packet.dup] == early
    assert [packet.payload for packet in early_again + late if not packet.dup] == KEPT
    assert all(packet.retain for packet in early_again + late)


def test_what_was_published_after_the_subscription_does_not_come_as_retained_too(world, version):
    client = lasting(world, "c", version)
    subscribe(client, at("kept/#", 1))
    world.publish("kept/9", b"new", 1, retain=True)
    world.restart(crash=True)
    client = lasting(world, "c", version)
    client.early, early = [], client.early
    client.send(*[PubackPacket(packet.packet_id) for packet in early])
    late = answered(client)
    assert [packet.payload for packet in early + late if not packet.dup and packet.retain] == KEPT[:-1]
    assert [packet.payload for packet in early + late if not packet.retain] == [b"new"]


def test_a_replay_that_is_over_is_not_repeated(world, version):
    client = lasting(world, "c", version)
    subscribe(client, at("kept/#", 1))
    assert payloads(answered(client)) == KEPT
    world.restart(crash=True)
    assert answered(lasting(world, "c", version)) == []


def test_subscribing_again_in_the_same_way_is_remembered_as_well(world, version):
    client = lasting(world, "c", version)
    subscribe(client, at("kept/#", 1))
    answered(client)
    subscribe(client, at("kept/#", 1), packet_id=2)
    client.messages()
    world.restart(crash=True)
    client = lasting(world, "c", version)
    client.send(*[PubackPacket(packet.packet_id) for packet in client.early])
    assert [packet.payload for packet in answered(client) if not packet.dup][-1] == KEPT[-1]


def test_a_replay_that_nobody_wants_any_more_does_not_come_back(world, version):
    client = lasting(world, "c", version)
    subscribe(client, at("kept/#", 1))
    sent = client.messages()
    client.send(UnsubscribePacket(2, ["kept/#"]))
    world.restart(crash=True)
    client = lasting(world, "c", version)
    client.send(*[PubackPacket(packet.packet_id) for packet in sent])
    assert [packet for packet in client.received() if isinstance(packet, PublishPacket) and not packet.dup] == []


def test_a_named_subscriber_of_the_host_is_told_the_rest_after_a_crash(world):
    subscriber = world.subscribe("kept/#", 1, name="host", manual_ack=True)
    assert len(subscriber.take_messages()) == 2
    world.restart(crash=True)
    subscriber = world.subscribe("kept/#", 1, name="host", retain_handling=1)
    got = []
    while messages := subscriber.take_messages():
        got += [message.payload for message in messages]
        world.settle()
    assert set(KEPT) <= set(got)

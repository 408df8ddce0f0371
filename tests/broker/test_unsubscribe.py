"""UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11)."""

from __future__ import annotations

import pytest

from mqtt_core.codec import (
    DisconnectPacket,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    UnsubackPacket,
    UnsubscribePacket,
)
from tests.broker.dialogue import at, fleeting, ids, lasting, payloads, pub


def unsubscribe(client, *filters, packet_id=3):
    client.send(UnsubscribePacket(packet_id, list(filters)))
    (answer,) = client.received()
    assert isinstance(answer, UnsubackPacket)
    assert answer.packet_id == packet_id
    return answer.reason_codes


@pytest.mark.spec("MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-2.3.1-7", version="3.1.1")
def test_a_3_1_1_client_gets_an_unsuback_whether_it_was_subscribed_or_not(make_world):
    client = fleeting(make_world(), "c", 4, "t")
    client.send(UnsubscribePacket(0x0102, ["t"]))
    assert client.raw() == b"\xb0\x02\x01\x02"
    client.send(UnsubscribePacket(0x0103, ["t"]))
    assert client.raw() == b"\xb0\x02\x01\x03"


@pytest.mark.spec("MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-2.2.1-6", version="5.0")
def test_a_5_0_client_is_told_whether_it_was_subscribed(make_world):
    client = fleeting(make_world(), "c", 5, "t")
    client.send(UnsubscribePacket(0x0102, ["t"]))
    assert client.raw() == b"\xb0\x04\x01\x02\x00\x00"
    client.send(UnsubscribePacket(0x0103, ["t"]))
    assert client.raw() == b"\xb0\x04\x01\x03\x00\x11"


@pytest.mark.spec("MQTT-3.10.4-1", "MQTT-3.10.4-2", version="3.1.1")
@pytest.mark.spec("MQTT-3.10.4-1", "MQTT-3.10.4-2", version="5.0")
def test_exactly_the_identical_filter_goes(make_world, version):
    world = make_world()
    client = fleeting(world, "c", version, at("t/+", 1), at("t/#", 1), at("T/+", 1), at("t/x", 1))
    unsubscribe(client, "t/+", "+/x", "#", "t/y")
    assert list(world.session("c").subscriptions) == ["t/#", "T/+", "t/x"]
    unsubscribe(client, "t/#")
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"no", 1, 1, topic="t/z"), pub(b"yes", 1, 2, topic="t/x"), pub(b"also", 1, 3, topic="T/q"))
    assert payloads(client.messages()) == [b"yes", b"also"]


@pytest.mark.spec("MQTT-3.10.4-2", version="3.1.1")
@pytest.mark.spec("MQTT-3.10.4-2", version="5.0")
def test_no_new_message_is_queued_after_an_unsubscribe(make_world, version):
    world = make_world()
    client = lasting(world, "c", version, at("t", 1))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"before", 1, 1))
    assert payloads(client.messages()) == [b"before"]
    unsubscribe(client, "t")
    client.drop()
    publisher.send(pub(b"after", 1, 2))
    assert world.session("c").queued() == 0
    client = lasting(world, "c", version)
    assert payloads(client.messages()) == [b"before"]


@pytest.mark.spec("MQTT-3.10.4-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.10.4-3", version="5.0")
def test_deliveries_that_have_begun_are_finished(make_world, version):
    world = make_world()
    client = lasting(world, "c", version, "t")
    fleeting(world, "p", version).send(pub(b"one", 1, 1), pub(b"two", 2, 2), pub(b"three", 2, 3))
    one, two, three = ids(client.messages())
    client.send(PubrecPacket(three))
    client.received()
    unsubscribe(client, "t")
    client.send(PubrecPacket(two), PubcompPacket(three))
    assert client.received() == [PubrelPacket(two)]
    client.drop()
    client = lasting(world, "c", version)
    assert client.received() == [PubrelPacket(two), PublishPacket("t", b"one", 1, False, True, one)]
    client.send(PubackPacket(one), PubcompPacket(two))
    assert list(world.session("c").inflight) == []


@pytest.mark.spec("MQTT-3.10.4-6", version="3.1.1")
@pytest.mark.spec("MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2", version="5.0")
def test_many_filters_in_one_packet_have_the_effect_of_one_after_the_other(make_world, version):
    world = make_world()
    client = fleeting(world, "c", version, "a", "b", "c")
    codes = unsubscribe(client, "a", "x", "c", "a")
    assert codes == ([0, 0x11, 0, 0x11] if version == 5 else [])
    assert list(world.session("c").subscriptions) == ["b"]


@pytest.mark.spec("MQTT-3.10.3-2", version="3.1.1")
@pytest.mark.spec("MQTT-3.10.3-2", version="5.0")
def test_an_unsubscribe_without_a_filter_is_refused(make_world, version):
    client = fleeting(make_world(), "c", version)
    body = b"\x00\x05" + (b"\x00" if version == 5 else b"")
    client.send_bytes(bytes([0xA2, len(body)]) + body)
    assert client.closed
    packets = client.received()
    if version == 5:
        assert [type(p) for p in packets] == [DisconnectPacket]
        assert packets[0].reason_code == 0x82
    else:
        assert packets == []


def test_a_plain_unsubscribe_leaves_the_shared_subscription_alone_and_the_other_way_round(make_world, version):
    world = make_world()
    client = fleeting(world, "c", version, "$share/g/t", "t")
    unsubscribe(client, "t")
    assert list(world.session("c").subscriptions) == ["$share/g/t"]
    fleeting(world, "p", version).send(pub(b"x", 1))
    assert payloads(client.messages()) == [b"x"]
    unsubscribe(client, "$share/g/t")
    assert list(world.session("c").subscriptions) == []


def test_a_pending_replay_of_retained_messages_ends_with_the_subscription(make_world, version):
    world = make_world(inflight_max=1)
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"x", 1, n, topic=f"t/{n}", retain=True) for n in range(1, 5)])
    client = fleeting(world, "c", version, at("t/#", 1))
    (first,) = client.received()
    client.send(UnsubscribePacket(3, ["t/#"]))
    client.send(PubackPacket(first.packet_id))
    assert [type(p) for p in client.received()] == [UnsubackPacket]

"""QoS 2 through the broker, as receiver from publishers and as sender to subscribers (section 4.3.3)."""

from __future__ import annotations

import pytest

from mqtt_core.codec import DisconnectPacket, PubackPacket, PubcompPacket, PublishPacket, PubrecPacket, PubrelPacket
from tests.broker.dialogue import BOTH, fleeting, ids, lasting, payloads, pub, seen

# -- the broker receives --------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.3.3-2", "MQTT-2.3.1-6", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.3-8", "MQTT-4.3.3-11", "MQTT-2.2.1-5", version="5.0")
def test_a_message_is_received_and_completed_under_its_identifier(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    client = fleeting(world, "p", version)
    client.send(pub(b"x", 2, 0x0304))
    assert client.raw() == b"\x50\x02\x03\x04"
    assert payloads(subscriber.messages()) == [b"x"]
    client.send_bytes(b"\x62\x02\x03\x04")
    assert client.raw() == b"\x70\x02\x03\x04"
    assert subscriber.received() == []


@pytest.mark.spec("MQTT-4.3.3-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.3-10", version="5.0")
@pytest.mark.parametrize("dup", [False, True])
def test_until_pubrel_a_repetition_is_answered_but_not_delivered_again(make_world, version, dup):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    client = fleeting(world, "p", version)
    client.send(pub(b"x", 2, 7))
    client.send(pub(b"x", 2, 7, dup=dup))
    client.send(pub(b"x", 2, 7, dup=dup), pub(b"x", 2, 7, dup=dup))
    assert client.received() == [PubrecPacket(7)] * 4
    assert payloads(subscriber.messages()) == [b"x"]


@pytest.mark.spec("MQTT-4.3.3-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.3-12", version="5.0")
@pytest.mark.parametrize("dup", [False, True])
def test_after_pubcomp_the_identifier_is_a_new_message(make_world, version, dup):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    client = fleeting(world, "p", version)
    client.send(pub(b"first", 2, 7))
    client.send(PubrelPacket(7))
    client.send(pub(b"second", 2, 7, dup=dup))
    assert client.received() == [PubrecPacket(7), PubcompPacket(7), PubrecPacket(7)]
    assert payloads(subscriber.messages()) == [b"first", b"second"]


@pytest.mark.spec("MQTT-4.3.3-10", version="5.0")
@pytest.mark.spec("MQTT-4.3.3-2", version="3.1.1")
def test_a_repetition_over_another_connection_is_still_the_same_message(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    client = lasting(world, "p", version)
    client.send(pub(b"x", 2, 7))
    client.drop()
    client = lasting(world, "p", version)
    client.send(pub(b"x", 2, 7, dup=True))
    assert client.received() == [PubrecPacket(7)]
    client.send(PubrelPacket(7))
    assert client.received() == [PubcompPacket(7)]
    assert payloads(subscriber.messages()) == [b"x"]


def test_a_pubrel_for_an_unknown_identifier_is_completed_all_the_same(make_world, version):
    client = fleeting(make_world(), "p", version)
    client.send(PubrelPacket(9))
    assert client.received() == [PubcompPacket(9, 0x92 if version == 5 else 0)]


def test_a_qos_1_message_may_use_an_identifier_that_waits_for_pubrel(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    client = fleeting(world, "p", version)
    client.send(pub(b"two", 2, 7), pub(b"one", 1, 7), PubrelPacket(7))
    assert client.received() == [PubrecPacket(7), PubackPacket(7), PubcompPacket(7)]
    assert payloads(subscriber.messages()) == [b"two", b"one"]


# -- the broker sends -----------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.3.3-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.3.3-4", "MQTT-4.3.3-5", version="5.0")
@BOTH
def test_a_subscriber_is_taken_through_all_four_steps(make_world, pv, sv):
    world = make_world()
    subscriber = lasting(world, "s", sv, "t")
    fleeting(world, "p", pv).send(pub(b"x", 2))
    got = subscriber.messages()
    assert seen(got) == [(b"x", 2, False, False)]
    (packet_id,) = ids(got)
    subscriber.send(PubrecPacket(packet_id))
    assert subscriber.received() == [PubrelPacket(packet_id)]
    assert list(world.session("s").inflight) == [packet_id]
    subscriber.send(PubcompPacket(packet_id))
    assert subscriber.received() == []
    assert list(world.session("s").inflight) == []


@pytest.mark.spec("MQTT-4.3.3-1", "MQTT-2.3.1-4", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.3-1", "MQTT-2.2.1-4", version="5.0")
def test_an_identifier_is_free_only_after_pubcomp(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    client = fleeting(world, "p", version)
    client.send(pub(b"a", 2, 1))
    (first,) = ids(subscriber.messages())
    subscriber.send(PubrecPacket(first))
    subscriber.received()
    client.send(PubrelPacket(1), pub(b"b", 2, 1))
    (second,) = ids(subscriber.messages())
    assert second != first
    subscriber.send(PubcompPacket(first))
    client.send(PubrelPacket(1), pub(b"c", 2, 1))
    (third,) = ids(subscriber.messages())
    assert third not in (second, 0)


@pytest.mark.spec("MQTT-4.3.3-3", "MQTT-4.3.3-6", version="5.0")
@pytest.mark.spec("MQTT-4.3.3-1", version="3.1.1")
def test_publish_is_held_until_pubrec_and_never_sent_again_after_pubrel(make_world, version):
    world = make_world()
    subscriber = lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(pub(b"a", 2, 1), pub(b"b", 2, 2))
    first, second = ids(subscriber.messages())
    subscriber.send(PubrecPacket(first))
    subscriber.drop()
    subscriber = lasting(world, "s", version)
    assert subscriber.received() == [PubrelPacket(first), PublishPacket("t", b"b", 2, False, True, second)]
    subscriber.send(PubrecPacket(first))
    assert subscriber.received() == [PubrelPacket(first)]


@pytest.mark.spec("MQTT-4.3.3-5", "MQTT-4.4.0-1", version="5.0")
@pytest.mark.spec("MQTT-4.3.3-1", "MQTT-4.4.0-1", version="3.1.1")
def test_pubrel_is_held_until_pubcomp(make_world, version):
    world = make_world()
    subscriber = lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(pub(b"a", 2))
    (packet_id,) = ids(subscriber.messages())
    subscriber.send(PubrecPacket(packet_id))
    for _ in range(2):
        subscriber.drop()
        subscriber = lasting(world, "s", version)
        assert subscriber.received() == [PubrelPacket(packet_id)]
    subscriber.send(PubcompPacket(packet_id))
    subscriber.drop()
    assert lasting(world, "s", version).received() == []


@pytest.mark.spec("MQTT-4.4.0-2", version="5.0")
def test_a_refused_message_counts_as_acknowledged(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, "t")
    fleeting(world, "p", 5).send(pub(b"a", 2))
    (packet_id,) = ids(subscriber.messages())
    subscriber.send(PubrecPacket(packet_id, 0x83))
    assert subscriber.received() == []
    assert list(world.session("s").inflight) == []
    subscriber.drop()
    assert lasting(world, "s", 5).received() == []
    assert world.counters.dropped_by_client == 1


@pytest.mark.parametrize("code", [0x00, 0x10])
@pytest.mark.spec("MQTT-4.3.3-4", version="5.0")
def test_any_pubrec_below_0x80_is_followed_by_pubrel(make_world, code):
    world = make_world()
    subscriber = lasting(world, "s", 5, "t")
    fleeting(world, "p", 5).send(pub(b"a", 2))
    (packet_id,) = ids(subscriber.messages())
    subscriber.send(PubrecPacket(packet_id, code))
    assert subscriber.received() == [PubrelPacket(packet_id)]


def test_a_pubrec_for_an_unknown_identifier_is_released_so_that_the_peer_can_finish(make_world, version):
    subscriber = fleeting(make_world(), "s", version, "t")
    subscriber.send(PubrecPacket(9))
    assert subscriber.received() == [PubrelPacket(9, 0x92 if version == 5 else 0)]
    subscriber.send(PubcompPacket(9))
    assert subscriber.received() == []


@pytest.mark.parametrize("step", ["pubrec for qos 1", "pubcomp before pubrec", "puback after pubrec"])
def test_an_acknowledgement_out_of_step_is_a_protocol_error(make_world, version, step):
    world = make_world()
    subscriber = lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(pub(b"a", 1 if "qos 1" in step else 2))
    (packet_id,) = ids(subscriber.messages())
    if step == "pubrec for qos 1":
        subscriber.send(PubrecPacket(packet_id))
    elif step == "pubcomp before pubrec":
        subscriber.send(PubcompPacket(packet_id))
    else:
        subscriber.send(PubrecPacket(packet_id))
        subscriber.received()
        subscriber.send(PubackPacket(packet_id))
    assert subscriber.closed
    packets = subscriber.received()
    if version == 5:
        assert [type(p) for p in packets] == [DisconnectPacket]
        assert packets[0].reason_code == 0x82
    else:
        assert packets == []
    assert list(world.session("s").inflight) == [packet_id]


def test_a_long_run_of_all_steps_leaves_nothing_behind(make_world, version):
    world = make_world()
    subscriber = lasting(world, "s", version, "t")
    client = lasting(world, "p", version)
    for start in range(0, 300, 100):
        numbers = range(1, 101)
        client.send(*[pub(b"%d" % (start + n), 2, n) for n in numbers])
        assert client.received() == [PubrecPacket(n) for n in numbers]
        client.send(*[PubrelPacket(n) for n in numbers])
        assert client.received() == [PubcompPacket(n) for n in numbers]
        got = subscriber.messages()
        assert payloads(got) == [b"%d" % (start + n) for n in numbers]
        subscriber.send(*[PubrecPacket(i) for i in ids(got)])
        assert subscriber.received() == [PubrelPacket(i) for i in ids(got)]
        subscriber.send(*[PubcompPacket(i) for i in ids(got)])
    assert list(world.session("s").inflight) == []
    assert list(world.session("p").incoming.received) == []
    if world.store is not None:
        world.restart()
        assert lasting(world, "s", version).received() == []

"""A session outlives its connection: what is kept, what is sent again, and in which order (4.1, 4.4, 4.6)."""

from __future__ import annotations

import pytest

from mqtt_core.codec import PubackPacket, PubcompPacket, PublishPacket, PubrecPacket, PubrelPacket
from mqtt_core.session import Released
from tests.broker.dialogue import at, fleeting, ids, lasting, payloads, pub, seen
from tests.broker.kit import World


@pytest.mark.spec("MQTT-4.4.0-1", "MQTT-3.3.1-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.4.0-1", "MQTT-3.3.1-1", version="5.0")
@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_unacknowledged_is_sent_again_with_dup_and_its_own_identifier(make_world, version, qos):
    world = make_world()
    subscriber = lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(pub(b"a", qos, 1), pub(b"b", qos, 2))
    first, second = ids(subscriber.messages())
    subscriber.drop()
    subscriber = lasting(world, "s", version)
    assert subscriber.received() == [
        PublishPacket("t", b"a", qos, False, True, first),
        PublishPacket("t", b"b", qos, False, True, second),
    ]


@pytest.mark.spec("MQTT-4.4.0-1", version="5.0")
def test_nothing_is_sent_again_while_the_connection_lasts(make_world, version):
    world = make_world()
    subscriber = lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(pub(b"a", 1, 1), pub(b"b", 2, 2))
    assert len(subscriber.messages()) == 2
    world.wait(100_000)
    assert subscriber.received() == []


@pytest.mark.spec("MQTT-4.4.0-1", version="5.0")
def test_a_clean_start_is_sent_nothing_of_before(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, "t")
    fleeting(world, "p", 5).send(pub(b"a", 1, 1))
    subscriber.drop()
    subscriber = world.connect("s", clean=True, session_expiry_interval=100)
    assert subscriber.received() == []
    assert list(world.session("s").inflight) == []


def test_everything_waits_in_its_place(make_world, version):
    """PUBREL first, then the unacknowledged in the order of first sending, then what was queued."""
    world = make_world(inflight_max=4)
    subscriber = lasting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"%d" % n, 1 + n % 2, n) for n in range(1, 7)])
    got = subscriber.messages()
    assert payloads(got) == [b"1", b"2", b"3", b"4"]
    one, two, three, four = ids(got)
    subscriber.send(PubrecPacket(three), PubrecPacket(one))
    assert subscriber.received() == [PubrelPacket(three), PubrelPacket(one)]
    subscriber.drop()
    publisher.send(pub(b"7", 1, 9))
    subscriber = lasting(world, "s", version)
    assert subscriber.received() == [
        PubrelPacket(three),
        PubrelPacket(one),
        PublishPacket("t", b"2", 1, False, True, two),
        PublishPacket("t", b"4", 1, False, True, four),
    ]
    subscriber.send(PubackPacket(four), PubcompPacket(one), PubackPacket(two))
    assert seen(subscriber.messages()) == [(b"5", 2, False, False), (b"6", 1, False, False), (b"7", 1, False, False)]


@pytest.mark.spec("MUST-4.9-1", "MQTT-4.9.0-1", version="5.0")
def test_a_resend_waits_for_the_quota_of_the_new_connection(make_world):
    world = make_world()
    subscriber = lasting(world, "s", 5, "t")
    fleeting(world, "p", 5).send(*[pub(b"%d" % n, 1, n) for n in range(1, 5)])
    numbers = ids(subscriber.messages())
    subscriber.drop()
    subscriber = lasting(world, "s", 5, receive_maximum=2)
    assert ids(subscriber.messages()) == numbers[:2]
    subscriber.send(PubackPacket(numbers[1]))
    assert subscriber.received() == [PublishPacket("t", b"3", 1, False, True, numbers[2])]


@pytest.mark.parametrize("kind", ["PUBACK", "PUBREC"])
def test_what_is_acknowledged_before_it_was_sent_again_is_not_sent_again(make_world, kind):
    qos = 1 if kind == "PUBACK" else 2
    world = make_world()
    subscriber = lasting(world, "s", 5, "t")
    publisher = fleeting(world, "p", 5)
    publisher.send(*[pub(b"%d" % n, qos, n) for n in range(1, 4)])
    one, two, three = ids(subscriber.messages())
    subscriber.drop()
    subscriber = lasting(world, "s", 5, receive_maximum=1)
    assert ids(subscriber.messages()) == [one]
    if kind == "PUBACK":
        subscriber.send(PubackPacket(three), PubackPacket(two), PubackPacket(one))
        assert subscriber.received() == []
    else:
        subscriber.send(PubrecPacket(three), PubrecPacket(two), PubrecPacket(one))
        assert subscriber.received() == [PubrelPacket(three), PubrelPacket(two), PubrelPacket(one)]
        subscriber.send(PubcompPacket(one), PubcompPacket(two), PubcompPacket(three))
    publisher.send(pub(b"new", 1, 9))
    assert payloads(subscriber.messages()) == [b"new"]


@pytest.mark.spec("MUST-4.9-1", version="5.0")
def test_quota_is_not_preserved_across_connections_for_a_publisher(make_world):
    """Section 4.9: identifiers left open by an earlier connection use up nothing of the new one's Receive Maximum."""
    world = make_world(receive_maximum=2)
    client = lasting(world, "p", 5)
    client.send(pub(b"a", 2, 1), pub(b"b", 2, 2))
    assert len(client.received()) == 2
    client.drop()
    client = lasting(world, "p", 5)
    client.send(pub(b"c", 2, 3), pub(b"d", 2, 4))
    assert [type(p) for p in client.received()] == [PubrecPacket] * 2
    client.send(PubrelPacket(1), PubrelPacket(2))
    assert client.received() == [PubcompPacket(1), PubcompPacket(2)]
    client.send(pub(b"e", 1, 5))
    assert client.closed
    assert client.received()[-1].reason_code == 0x93


def test_a_repetition_of_an_older_identifier_counts_towards_the_new_window(make_world):
    world = make_world(receive_maximum=2)
    client = lasting(world, "p", 5)
    client.send(pub(b"a", 2, 1), pub(b"b", 2, 2))
    client.drop()
    client = lasting(world, "p", 5)
    client.send(pub(b"a", 2, 1, dup=True), pub(b"b", 2, 2, dup=True), PubrelPacket(1))
    client.send(pub(b"c", 2, 3))
    assert not client.closed
    client.send(pub(b"d", 2, 4))
    assert client.closed


# -- what a session keeps -------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.1.0-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.1.0-1", version="5.0")
def test_all_parts_of_a_session_are_kept(make_world, version):
    world = make_world()
    client = lasting(world, "s", version, at("t/#", 1))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"unacknowledged", 1, 1, topic="t/1"))
    client.received()
    client.send(pub(b"x", 2, 9, topic="other"))
    client.drop()
    publisher.send(pub(b"queued", 1, 1, topic="t/2"))
    session = world.session("s")
    assert list(session.subscriptions) == ["t/#"]
    assert list(session.inflight) == [1]
    assert list(session.incoming.received) == [9]
    assert session.queued() == 1
    client = lasting(world, "s", version)
    assert client.connack.session_present
    assert seen(client.messages()) == [(b"unacknowledged", 1, False, True), (b"queued", 1, False, False)]
    publisher.send(pub(b"live", 1, 1, topic="t/3"))
    assert payloads(client.messages()) == [b"live"]


@pytest.mark.spec("MQTT-4.1.0-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.1.0-1", version="5.0")
def test_a_session_lasts_at_least_as_long_as_its_connection(make_world, version):
    world = make_world()
    client = world.connect("s", version=version)
    client.subscribe("t")
    world.wait(10_000_000)
    assert world.session("s") is not None
    fleeting(world, "p", version).send(pub(b"x", 1))
    assert payloads(client.messages()) == [b"x"]


@pytest.mark.spec("MUST-4.2-1", version="3.1.1")
def test_a_3_1_1_session_without_clean_session_outlives_the_connection(make_world):
    world = make_world()
    client = lasting(world, "s", 4, "t")
    client.drop()
    world.wait(1_000_000_000)
    fleeting(world, "p", 4).send(pub(b"x", 1))
    client = lasting(world, "s", 4)
    assert client.connack.session_present
    assert payloads(client.messages()) == [b"x"]


def test_a_3_1_1_session_ends_when_the_administrator_says_so(make_world):
    world = make_world(session_expiry_v311_s=60)
    lasting(world, "s", 4, "t").drop()
    world.wait(61)
    assert world.session("s") is None


@pytest.mark.spec("MQTT-4.1.0-2", "MUST-3.1.2.11.2-4", version="5.0")
def test_a_session_is_dropped_when_its_expiry_interval_is_over(make_world):
    world = make_world()
    client = world.connect("s", session_expiry_interval=60)
    client.subscribe("t")
    client.drop()
    world.wait(59)
    assert world.session("s") is not None
    world.wait(2)
    assert world.session("s") is None
    assert not lasting(world, "s", 5).connack.session_present


@pytest.mark.spec("MQTT-4.1.0-2", "MUST-3.1.2.11.2-2", version="5.0")
def test_a_session_without_expiry_is_dropped_with_its_connection(make_world):
    world = make_world()
    client = world.connect("s")
    client.subscribe("t")
    client.drop()
    assert world.session("s") is None


@pytest.mark.spec("MUST-3.1.2.11.2-3", version="5.0")
def test_a_session_that_never_expires_does_not_expire(make_world):
    world = make_world()
    world.connect("s", session_expiry_interval=0xFFFFFFFF).drop()
    world.wait(0xFFFFFFFF + 10.0)
    assert world.session("s") is not None


# -- another version ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before, after", [(4, 5), (5, 4)])
def test_a_session_may_go_on_in_the_other_version(make_world, before, after):
    world = make_world(inflight_max=2)
    subscriber = lasting(world, "s", before, "t")
    publisher = fleeting(world, "p", before)
    publisher.send(pub(b"a", 1, 1), pub(b"b", 2, 2), pub(b"c", 1, 3), pub(b"d", 2, 4))
    one, two = ids(subscriber.messages())
    subscriber.drop()
    publisher.send(pub(b"e", 1, 5))
    subscriber = lasting(world, "s", after)
    assert subscriber.received() == [
        PublishPacket("t", b"a", 1, False, True, one),
        PublishPacket("t", b"b", 2, False, True, two),
    ]
    subscriber.send(PubackPacket(one), PubrecPacket(two), PubcompPacket(two))
    (release, *rest) = subscriber.received()
    assert release == PubrelPacket(two) or rest.pop() == PubrelPacket(two)
    got = [p for p in [release, *rest] if isinstance(p, PublishPacket)]
    assert payloads(got) == [b"c", b"d"]
    publisher.send(pub(b"f", 1, 6))
    subscriber.send(PubackPacket(got[0].packet_id), PubrecPacket(got[1].packet_id), PubcompPacket(got[1].packet_id))
    rest = [p for p in subscriber.received() if isinstance(p, PublishPacket)]
    assert payloads(rest) == [b"e", b"f"]


def test_live_messages_follow_the_new_version_of_a_session(make_world):
    world = make_world()
    publisher = fleeting(world, "p", 5)
    for version in (5, 4, 5, 4):
        subscriber = lasting(world, "s", version, "t")
        publisher.send(pub(b"x", 1, 1))
        (message,) = subscriber.messages()
        subscriber.send(PubackPacket(message.packet_id))
        subscriber.drop()


@pytest.mark.spec("MQTT-3.3.4-3", version="5.0")
@pytest.mark.parametrize("topic_filter", ["t", "$share/g/t"])
def test_what_came_while_the_session_was_of_311_has_its_identifiers_in_50(make_world, topic_filter):
    world = make_world()
    subscriber = lasting(world, "s", 5)
    subscriber.subscribe(at(topic_filter, 1), subscription_identifiers=(7,))
    subscriber.drop()
    subscriber = lasting(world, "s", 4)
    publisher = fleeting(world, "p", 4)
    publisher.send(pub(b"a", 1, 1))
    assert payloads(subscriber.messages()) == [b"a"]
    subscriber.drop()
    publisher.send(pub(b"b", 1, 2))
    subscriber = lasting(world, "s", 5)
    got = subscriber.messages()
    assert [(p.payload, p.dup, p.properties.subscription_identifiers) for p in got] == [
        (b"a", True, (7,)),
        (b"b", False, (7,)),
    ]


# -- order ----------------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.6.0-5", "MQTT-4.6.0-6", version="3.1.1")
@pytest.mark.spec("MQTT-4.6.0-5", "MQTT-4.6.0-6", version="5.0")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_of_one_publisher_topic_and_qos_keep_their_order(make_world, version, qos):
    """Through a small window, a queue and an interruption."""
    world = make_world(inflight_max=3)
    subscriber = lasting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    first_seen = []

    def take():
        for packet in subscriber.received():
            if isinstance(packet, PublishPacket):
                if int(packet.payload) not in first_seen:
                    first_seen.append(int(packet.payload))
                if qos == 1:
                    subscriber.send(PubackPacket(packet.packet_id))
                elif qos == 2:
                    subscriber.send(PubrecPacket(packet.packet_id))
            elif isinstance(packet, PubrelPacket):
                subscriber.send(PubcompPacket(packet.packet_id))

    for start in range(0, 40, 10):
        publisher.send(*[pub(b"%d" % n, qos, n + 1) for n in range(start, start + 10)])
        if start == 10:
            take()
            if qos:
                subscriber.drop()
                subscriber = lasting(world, "s", version)
        if start != 20:
            take()
    for _ in range(100):
        take()
    assert first_seen == list(range(40))


def test_the_record_of_a_released_message_holds_no_message(make_world, version):
    world = make_world()
    subscriber = lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(pub(b"x" * 1000, 2))
    (packet_id,) = ids(subscriber.messages())
    subscriber.send(PubrecPacket(packet_id))
    assert isinstance(world.session("s").inflight[packet_id], Released)


# -- after a restart ------------------------------------------------------------------------------------------------


def test_after_a_restart_everything_is_in_its_place_again(bulk, version):
    world = World(stored=True, bulk_path=bulk, inflight_max=3)
    subscriber = lasting(world, "s", version, "t")
    publisher = lasting(world, "p", version)
    publisher.send(*[pub(b"%d" % n, 1 + n % 2, n) for n in range(1, 7)])
    one, two, three = ids(subscriber.messages())
    subscriber.send(PubrecPacket(three))
    world.restart()
    publisher = lasting(world, "p", version)
    publisher.send(pub(b"3", 2, 3, dup=True), pub(b"8", 1, 8))
    assert publisher.received() == [PubrecPacket(3), PubackPacket(8)]
    subscriber = lasting(world, "s", version)
    assert subscriber.connack.session_present
    assert subscriber.received() == [
        PubrelPacket(three),
        PublishPacket("t", b"1", 2, False, True, one),
        PublishPacket("t", b"2", 1, False, True, two),
    ]
    subscriber.send(PubackPacket(two), PubcompPacket(three), PubrecPacket(one), PubcompPacket(one))
    got = [p for p in subscriber.received() if isinstance(p, PublishPacket)]
    assert seen(got) == [(b"4", 1, False, False), (b"5", 2, False, False), (b"6", 1, False, False)]
    assert not {one, two, three} & set(ids(got)) or len(set(ids(got))) == 3
    subscriber.send(PubackPacket(got[0].packet_id))
    assert payloads(subscriber.messages()) == [b"8"]

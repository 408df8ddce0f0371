"""The broker dies at every kind of moment and is restored from what was committed.

Each test is one sentence of what durability promises: `restart(crash=True)` drops whatever no commit has confirmed, and
the clients that come back see whether anybody was told something untrue.
"""

from __future__ import annotations

import pytest

from mqtt_core.codec import (
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubackPacket,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
    Will,
)
from tests.broker.dialogue import at, fleeting, ids, lasting, payloads, pub, seen
from tests.broker.kit import World, connect_packet


@pytest.fixture
def world(bulk):
    return World(stored=True, bulk_path=bulk)


def commit(world):
    """One batch becomes durable, and what waited for it leaves."""
    assert world.commit()
    world.settle()


def back(world, client_id, version=5, **fields):
    """The client comes back and finds its session."""
    client = lasting(world, client_id, version, **fields)
    assert client.connack.session_present
    return client


# -- packet identifiers ---------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-4.3.2-1", "MQTT-4.3.3-1", version="5.0")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_publish_leaves_after_its_identifier_is_durable(world, version, qos):
    subscriber = lasting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    world.auto_commit = False
    publisher.send(pub(b"x", qos, 7))
    assert subscriber.raw() == b""
    assert publisher.raw() == b""
    commit(world)
    assert seen(subscriber.messages()) == [(b"x", qos, False, False)]
    assert publisher.received() == [PubackPacket(7) if qos == 1 else PubrecPacket(7)]


def test_what_was_not_committed_has_reached_nobody(world, version):
    lasting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    world.auto_commit = False
    publisher.send(pub(b"x", 1, 7))
    assert publisher.raw() == b""
    world.auto_commit = True
    world.restart(crash=True)
    assert back(world, "s", version).messages() == []


def test_a_message_that_waited_leaves_after_a_second_write(world, version):
    subscriber = lasting(world, "s", version, "t", **({"receive_maximum": 1} if version == 5 else {}))
    world.session("s").outgoing.limit = 1
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"1", 1, 1), pub(b"2", 1, 2))
    (first,) = subscriber.messages()
    world.auto_commit = False
    subscriber.send(PubackPacket(first.packet_id))
    assert subscriber.raw() == b""
    commit(world)
    assert seen(subscriber.messages()) == [(b"2", 1, False, False)]
    world.auto_commit = True
    world.restart(crash=True)
    assert seen(back(world, "s", version).messages()) == [(b"2", 1, False, True)]


def test_a_message_without_a_durable_identifier_was_not_sent(world, version):
    """The acknowledgement and the next message's identifier are lost together: first again, second new."""
    subscriber = lasting(world, "s", version, "t")
    world.session("s").outgoing.limit = 1
    fleeting(world, "p", version).send(pub(b"1", 1, 1), pub(b"2", 1, 2))
    (first,) = subscriber.messages()
    world.auto_commit = False
    subscriber.send(PubackPacket(first.packet_id))
    assert subscriber.raw() == b""
    world.auto_commit = True
    world.restart(crash=True)
    again = back(world, "s", version)
    got = again.messages()
    assert seen(got) == [(b"1", 1, False, True), (b"2", 1, False, False)]
    assert got[0].packet_id == first.packet_id != got[1].packet_id


@pytest.mark.spec("MQTT-2.2.1-4", version="5.0")
def test_a_frame_that_reuses_an_identifier_waits_for_the_end_of_its_last_use(world, version):
    subscriber = lasting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"1", 1, 7))
    assert ids(subscriber.messages()) == [7]
    publisher.received()
    world.auto_commit = False
    subscriber.send(PubackPacket(7))
    batch = world.broker.take_writes()  # the end of the first use is under way
    publisher.send(pub(b"2", 1, 7))
    assert world.session("s").inflight.keys() == {7}
    world.broker.writes_committed(batch.number)
    world.settle()
    assert subscriber.raw() == b""
    commit(world)
    assert seen(subscriber.messages()) == [(b"2", 1, False, False)]


def test_a_reused_identifier_never_means_two_messages_after_a_crash(world, version):
    subscriber = lasting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"1", 1, 7))
    subscriber.messages()
    world.auto_commit = False
    subscriber.send(PubackPacket(7))
    publisher.send(pub(b"2", 1, 7))
    assert subscriber.raw() == b""
    world.auto_commit = True
    world.restart(crash=True)
    assert [(p.payload, p.packet_id, p.dup) for p in back(world, "s", version).messages()] == [(b"1", 7, True)]


@pytest.mark.spec("MQTT-4.4.0-1", "MQTT-4.6.0-1", "MQTT-3.3.1-1", version="5.0")
@pytest.mark.spec("MQTT-4.4.0-1", "MQTT-4.6.0-1", version="3.1.1")
def test_all_that_was_sent_comes_again_in_the_order_of_first_sending_before_what_waits(world, version):
    subscriber = lasting(world, "s", version, "t")
    world.session("s").outgoing.limit = 4
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"%d" % n, 1 + n % 2, 900 - 100 * n) for n in range(1, 8)])
    first = subscriber.messages()
    assert payloads(first) == [b"1", b"2", b"3", b"4"]
    subscriber.send(PubackPacket(first[1].packet_id))
    (fifth,) = subscriber.messages()
    world.restart(crash=True)
    got = back(world, "s", version).messages()
    assert seen(got) == [
        (b"1", 2, False, True),
        (b"3", 2, False, True),
        (b"4", 1, False, True),
        (b"5", 2, False, True),
        (b"6", 1, False, False),
        (b"7", 2, False, False),
    ]
    assert ids(got)[:4] == ids([first[0], first[2], first[3], fifth])
    assert len(set(ids(got))) == 6


@pytest.mark.spec("MQTT-2.2.1-3", version="5.0")
@pytest.mark.spec("MQTT-2.3.1-2", version="3.1.1")
def test_new_messages_skip_identifiers_that_were_restored(world, version):
    lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(*[pub(b"old", 1, packet_id) for packet_id in (5, 1, 2, 65535)])
    world.restart(crash=True)
    subscriber = back(world, "s", version)
    assert ids(subscriber.messages()) == [5, 1, 2, 65535]
    fleeting(world, "q", version).send(*[pub(b"new", 1, packet_id) for packet_id in (1, 2, 3, 5, 65535)])
    assert not set(ids(subscriber.messages())) & {5, 1, 2, 65535}


@pytest.mark.spec("MQTT-4.3.3-10", "MQTT-4.3.3-8", version="5.0")
@pytest.mark.spec("MQTT-4.3.3-2", version="3.1.1")
def test_the_receipt_of_a_qos_2_message_and_its_copies_are_one_batch(world, version):
    subscribers = [lasting(world, f"s{n}", version, "t") for n in range(3)]
    publisher = lasting(world, "p", version)
    world.auto_commit = False
    publisher.send(pub(b"x", 2, 7))
    commit(world)
    assert not world.commit()
    assert publisher.received() == [PubrecPacket(7)]
    world.auto_commit = True
    world.restart(crash=True)
    publisher = back(world, "p", version)
    publisher.send(pub(b"x", 2, 7, dup=True), PubrelPacket(7))
    assert publisher.received() == [PubrecPacket(7), PubcompPacket(7)]
    for n in range(len(subscribers)):
        assert payloads(back(world, f"s{n}", version).messages()) == [b"x"]


def test_a_qos_2_message_whose_batch_was_lost_is_a_new_one(world, version):
    lasting(world, "s", version, "t")
    publisher = lasting(world, "p", version)
    world.auto_commit = False
    publisher.send(pub(b"x", 2, 7))
    assert publisher.raw() == b""
    world.auto_commit = True
    world.restart(crash=True)
    subscriber = back(world, "s", version)
    publisher = back(world, "p", version)
    publisher.send(pub(b"x", 2, 7, dup=True))
    assert publisher.received() == [PubrecPacket(7)]
    assert payloads(subscriber.messages()) == [b"x"]


@pytest.mark.spec("MQTT-4.3.3-12", version="5.0")
def test_pubcomp_says_that_the_identifier_is_free_on_disk_too(world, version):
    publisher = lasting(world, "p", version)
    subscriber = lasting(world, "s", version, "t")
    publisher.send(pub(b"1", 2, 7))
    publisher.received()
    subscriber.messages()
    world.auto_commit = False
    publisher.send(PubrelPacket(7))
    assert publisher.raw() == b""
    commit(world)
    assert publisher.received() == [PubcompPacket(7)]
    world.auto_commit = True
    world.restart(crash=True)
    back(world, "p", version).send(pub(b"2", 2, 7))
    assert payloads(back(world, "s", version).messages()) == [b"1", b"2"]


def test_pubrel_says_that_the_message_is_released_on_disk_too(world, version):
    subscriber = lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(pub(b"x", 2, 7))
    (packet_id,) = ids(subscriber.messages())
    world.auto_commit = False
    subscriber.send(PubrecPacket(packet_id))
    assert subscriber.raw() == b""
    commit(world)
    assert subscriber.received() == [PubrelPacket(packet_id)]
    world.auto_commit = True
    world.restart(crash=True)
    subscriber = back(world, "s", version)
    assert subscriber.received() == [PubrelPacket(packet_id)]
    subscriber.send(PubcompPacket(packet_id))
    world.restart(crash=True)
    assert back(world, "s", version).received() == []


def test_a_pubrec_that_was_not_written_down_is_asked_for_again(world, version):
    subscriber = lasting(world, "s", version, "t")
    fleeting(world, "p", version).send(pub(b"x", 2, 7))
    (packet_id,) = ids(subscriber.messages())
    world.auto_commit = False
    subscriber.send(PubrecPacket(packet_id))
    world.auto_commit = True
    world.restart(crash=True)
    assert back(world, "s", version).received() == [PublishPacket("t", b"x", 2, dup=True, packet_id=packet_id)]


def test_the_answer_to_a_repetition_waits_for_the_receipt_of_the_first(world, version):
    publisher = lasting(world, "p", version)
    world.auto_commit = False
    publisher.send(pub(b"x", 2, 7))
    batch = world.broker.take_writes()
    publisher.drop()
    publisher = world.dial(version)
    fields = {"session_expiry_interval": 3600} if version == 5 else {}
    publisher.send(connect_packet("p", version=version, clean=False, **fields))
    publisher.send(pub(b"x", 2, 7, dup=True))
    world.broker.writes_committed(batch.number)
    world.settle()
    assert publisher.raw() == b""  # the end of the first connection and the new CONNECT are in the next batch
    commit(world)
    assert publisher.received()[1:] == [PubrecPacket(7)]


# -- sessions -------------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.2.2-2", "MQTT-3.2.2-3", version="5.0")
def test_session_present_is_true_exactly_when_the_session_was_durable(world, version):
    world.auto_commit = False
    early = world.dial(version)
    fields = {"session_expiry_interval": 3600} if version == 5 else {}
    early.send(connect_packet("c", version=version, clean=False, **fields))
    assert early.raw() == b""
    world.auto_commit = True
    world.restart(crash=True)
    assert not lasting(world, "c", version).connack.session_present
    world.restart(crash=True)
    assert lasting(world, "c", version).connack.session_present


def test_a_session_without_expiry_is_never_written(world, version):
    client = fleeting(world, "c", version, "t")
    fleeting(world, "p", version).send(pub(b"x", 2, 1))
    client.messages()
    assert world.broker.take_writes() is None
    world.restart(crash=True)
    assert world.session("c") is None


def test_what_needs_no_write_does_not_wait_for_one(world, version):
    """A commit is under way for somebody else; QoS 0 and a fleeting session's QoS 1 pass."""
    fleeting(world, "listener", version, at("t", 1))
    publisher = fleeting(world, "p", version)
    listener = world.clients[0]
    world.auto_commit = False
    somebody = world.dial(version)
    fields = {"session_expiry_interval": 3600} if version == 5 else {}
    somebody.send(connect_packet("stored", version=version, clean=False, **fields))
    publisher.send(pub(b"0", 0), pub(b"1", 1, 5))
    assert payloads(listener.messages()) == [b"0", b"1"]
    assert publisher.received() == [PubackPacket(5)]
    assert somebody.raw() == b""


def test_a_retained_qos_0_message_is_written_and_holds_no_frame(world, version):
    listener = fleeting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    world.auto_commit = False
    publisher.send(pub(b"kept", 0, retain=True))
    assert payloads(listener.messages()) == [b"kept"]
    assert world.commit()
    world.auto_commit = True
    world.restart(crash=True)
    assert payloads(fleeting(world, "s", version, "t").messages()) == [b"kept"]


@pytest.mark.spec("MQTT-3.3.1-5", "MQTT-3.3.1-6", version="5.0")
def test_retained_is_what_was_acknowledged_last(world, version):
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"1", 1, 1, retain=True, topic="a"), pub(b"1", 1, 2, retain=True, topic="b"))
    publisher.send(pub(b"2", 1, 3, retain=True, topic="a"), pub(b"", 1, 4, retain=True, topic="b"))
    assert ids(publisher.received()) == [1, 2, 3, 4]
    world.auto_commit = False
    publisher.send(pub(b"3", 1, 5, retain=True, topic="a"), pub(b"3", 1, 6, retain=True, topic="b"))
    assert publisher.raw() == b""
    world.auto_commit = True
    world.restart(crash=True)
    assert [(m.topic, m.payload) for m in world.broker.retained()] == [("a", b"2")]


def test_lower_bounds_take_nothing_away_that_was_acknowledged(bulk):
    world = World(stored=True, bulk_path=bulk)
    lasting(world, "s", 5, "q/#").drop()
    publisher = fleeting(world, "p", 5)
    for n in range(4):
        publisher.send(pub(b"x", 1, 1, topic=f"r/{n}", retain=True), pub(b"%d" % n, 1, 2, topic="q/t"))
    world.restart(retained_messages_max=2, retained_bytes_max=9, queue_messages_max=2, queue_bytes_max=3)
    assert len(world.broker.retained()) == 4
    assert payloads(back(world, "s").messages()) == [b"0", b"1", b"2", b"3"]
    fleeting(world, "p", 5).send(pub(b"x", 1, 1, topic="r/new", retain=True))
    assert len(world.broker.retained()) == 4


def test_a_subscription_that_was_acknowledged_is_there_with_its_options(world):
    client = lasting(world, "c", 5)
    options = {"no_local": True, "retain_as_published": True, "retain_handling": 2}
    assert client.subscribe(at("t/+", 1, **options), subscription_identifiers=(77,)) == [1]
    world.restart(crash=True)
    client = back(world, "c", 5)
    client.send(pub(b"own", 1, 1, topic="t/1"))
    assert [type(p) for p in client.received()] == [PubackPacket]
    fleeting(world, "p", 5).send(pub(b"other", 2, 1, topic="t/1", retain=True))
    (message,) = client.messages()
    assert (message.qos, message.retain, message.properties.subscription_identifiers) == (1, True, (77,))
    client.subscribe(at("t/+", 1, **options))
    assert client.messages() == []  # retain handling 2


def test_a_session_found_connected_was_left_at_the_newest_commit(world, version):
    """Time goes on while the broker is down, and a session expires in it."""
    fields = {"session_expiry_interval": 100} if version == 5 else {}
    world = World(stored=True, session_expiry_v311_s=100)
    world.connect("c", version=version, clean=False, **fields)
    world.wait(50)
    world.connect("other", clean=False, session_expiry_interval=10_000)  # the newest commit
    world.restart(crash=True, after=99)
    assert world.session("c") is not None
    world.wait(0.9)
    assert world.session("c") is not None
    world.wait(0.2)
    assert world.session("c") is None
    world.restart(crash=True)
    assert world.session("c") is None


def test_a_session_that_expired_while_the_broker_was_down_is_not_present(world, version):
    fields = {"session_expiry_interval": 100} if version == 5 else {}
    world = World(stored=True, session_expiry_v311_s=100)
    world.connect("c", version=version, clean=False, **fields)
    world.restart(crash=True, after=101)
    assert not world.connect("c", version=version, clean=False, **fields).connack.session_present


def test_time_never_goes_below_the_newest_stored_one(world):
    """The wall clock was set back while the broker was down: nothing lives longer for it."""
    world.connect("c", clean=False, session_expiry_interval=100)
    world.wait(1000)
    world.connect("other", clean=False, session_expiry_interval=10_000)
    newest = world.now
    world.restart(crash=True, after=-900)
    world.connect("new", clean=False, session_expiry_interval=10_000)
    assert world.session("new").connected_at == newest
    world.wait(900 + 100 - 0.1)
    assert world.session("c") is not None
    world.wait(0.2)
    assert world.session("c") is None


# -- wills ----------------------------------------------------------------------------------------------------------


def will(delay_s=0):
    return Will("will/c", b"gone", 1, properties=Properties(will_delay_interval=delay_s))


def watching(world):
    """What the watcher of wills has been given since the last time; it is away in between."""
    watcher = world.connect("watcher", clean=False, session_expiry_interval=100_000)
    messages = watcher.messages()
    if not watcher.connack.session_present:
        watcher.subscribe("will/#")
    watcher.send(*[PubackPacket(packet_id) for packet_id in ids(messages)])
    watcher.drop()
    return payloads(messages)


@pytest.mark.spec("MQTT-3.1.3-9", "MQTT-3.1.2-8", version="5.0")
def test_the_delay_of_a_will_runs_from_the_newest_commit_if_the_client_was_connected(world):
    watching(world)
    world.connect("c", clean=False, will=will(50), session_expiry_interval=1000)
    world.restart(crash=True, after=49)
    assert watching(world) == []
    world.wait(2)
    assert watching(world) == [b"gone"]
    world.restart(crash=True, after=2000)
    assert watching(world) == []


def test_an_overdue_will_joins_the_end_of_the_queues_it_finds(world):
    world.connect("watcher", clean=False, session_expiry_interval=100_000).subscribe("#")
    world.clients[-1].drop()
    world.connect("c", clean=False, will=will(50), session_expiry_interval=1000).drop()
    world.publish("news", b"before", 1)
    world.restart(crash=True, after=60)
    watcher = world.connect("watcher", clean=False, session_expiry_interval=100_000)
    assert payloads(watcher.early) == [b"before", b"gone"]


def test_the_will_of_a_session_that_expired_while_the_broker_was_down_is_published(world):
    watching(world)
    world.connect("c", clean=False, will=will(500), session_expiry_interval=100).drop()
    world.restart(crash=True, after=101)
    assert world.session("c") is None
    assert watching(world) == [b"gone"]


def test_a_client_that_is_back_within_the_delay_has_no_will_published(world):
    watching(world)
    world.connect("c", clean=False, will=will(50), session_expiry_interval=1000)
    world.restart(crash=True, after=10)
    world.connect("c", clean=False, session_expiry_interval=1000)
    world.restart(crash=True, after=100)
    world.wait(100)
    assert watching(world) == []


def test_publishing_a_will_late_and_forgetting_it_is_one_batch(world):
    watching(world)
    world.connect("c", clean=False, will=will(50), session_expiry_interval=1000).drop()
    world.auto_commit = False
    world.wait(51)
    world.auto_commit = True
    world.restart(crash=True)  # neither was durable: it is published now
    assert watching(world) == [b"gone"]
    world.restart(crash=True)
    assert watching(world) == []


# -- everything at once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", range(12))
def test_an_exchange_cut_off_after_any_commit_ends_the_same(bulk, version, batches):
    """Publisher and subscriber repeat what was not answered; the message arrives exactly once whenever it was cut."""
    world = World(stored=True, bulk_path=bulk)
    sides = {}
    got = []
    known = set()
    progress = []

    def connect_all():
        for name in ("s", "p"):
            sides[name] = world.dial(version)
            fields = {"session_expiry_interval": 3600} if version == 5 else {}
            sides[name].send(connect_packet(name, version=version, clean=False, **fields))

    def answer():
        moved = False
        for packet in [p for side in sides.values() for p in side.received()]:
            moved = True
            if isinstance(packet, PublishPacket) and packet.packet_id not in known:
                known.add(packet.packet_id)
                got.append(packet.payload)
            if isinstance(packet, PublishPacket):
                sides["s"].send(PubrecPacket(packet.packet_id))
            elif isinstance(packet, PubrelPacket):
                known.discard(packet.packet_id)
                sides["s"].send(PubcompPacket(packet.packet_id))
            elif isinstance(packet, PubrecPacket):
                progress.append("received")
                sides["p"].send(PubrelPacket(7))
            elif isinstance(packet, PubcompPacket):
                progress.append("complete")
        return moved

    sides["s"] = lasting(world, "s", version, "t")
    sides["p"] = lasting(world, "p", version)
    world.auto_commit = False
    sides["p"].send(pub(b"x", 2, 7))
    for _ in range(batches):
        if not world.commit():
            break
        world.settle()
        answer()
    world.auto_commit = True
    world.restart(crash=True)
    connect_all()
    if "received" not in progress:
        sides["p"].send(pub(b"x", 2, 7, dup=True))
    elif "complete" not in progress:
        sides["p"].send(PubrelPacket(7))
    while answer():
        pass
    assert got == [b"x"]
    assert "complete" in progress
    assert not world.session("s").inflight


def test_suback_and_unsuback_wait_for_what_they_say(world, version):
    client = lasting(world, "c", version)
    for packet, answer in (
        (SubscribePacket(1, [at("a", 1)]), SubackPacket),
        (UnsubscribePacket(2, ["a"]), UnsubackPacket),
    ):
        world.auto_commit = False
        client.send(packet)
        assert client.raw() == b""
        commit(world)
        assert [type(p) for p in client.received()] == [answer]
        world.auto_commit = True
        world.restart(crash=True)
        assert ("a" in world.session("c").subscriptions) == (answer is SubackPacket)
        client = back(world, "c", version)

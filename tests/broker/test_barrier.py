"""Write, then say: what waits for a commit, in which order it leaves, and what a crash can take (DESIGN law 5, 3b)."""

from __future__ import annotations

import pytest

from mqtt_core.codec import (
    ConnackPacket,
    DisconnectPacket,
    PingreqPacket,
    PingrespPacket,
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
)
from tests.broker.dialogue import LASTING_S, at, fleeting, ids, lasting, payloads, pub, seen
from tests.broker.kit import World, connect_packet, now_or_never


@pytest.fixture
def slow(bulk):
    """Makes a world with a storage on which nothing commits by itself once `hold` was called."""

    def make(**config):
        return World(stored=True, bulk_path=bulk, **config)

    return make


def hold(world):
    """From now on commits are made by hand."""
    world.settle()
    world.auto_commit = False


def commit(world):
    """One commit, and whatever it lets go."""
    done = world.commit()
    world.settle()
    return done


def kinds(packets):
    return [type(p) for p in packets]


# -- what waits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [1, 2])
def test_acknowledgement_and_delivery_wait_for_the_message_to_be_durable(slow, version, qos):
    world = slow()
    subscriber = lasting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", qos, 7))
    assert publisher.received() == []
    assert subscriber.received() == []
    assert commit(world)
    assert publisher.received() == [PubackPacket(7) if qos == 1 else PubrecPacket(7)]
    assert payloads(subscriber.messages()) == [b"x"]


def test_a_publisher_waits_for_what_an_absent_client_is_to_get(slow, version):
    world = slow()
    lasting(world, "s", version, "t").drop()
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 1, 7))
    assert publisher.received() == []
    commit(world)
    assert publisher.received() == [PubackPacket(7)]


def test_a_subscriber_that_is_not_stored_waits_with_the_others(slow, version):
    """Its message would otherwise be delivered although the publisher, after a crash, sends it again as a new one."""
    world = slow()
    lasting(world, "s", version, "t")
    passing = fleeting(world, "f", version, "t")
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 2, 7))
    assert passing.received() == []
    commit(world)
    assert payloads(passing.messages()) == [b"x"]


def test_a_subscriber_that_is_not_stored_waits_also_for_what_its_queue_held(slow, version):
    world = slow(inflight_max=1)
    lasting(world, "stored", version, "t")
    passing = fleeting(world, "s", version, at("t", 1))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"1", 1, 1))
    (first,) = passing.messages()
    publisher.received()
    hold(world)
    publisher.send(pub(b"2", 1, 2), pub(b"3", 1, 3))
    passing.send(PubackPacket(first.packet_id))
    assert passing.raw() == publisher.raw() == b""
    assert commit(world)
    assert payloads(passing.messages()) == [b"2"]


def test_the_host_waits_also_for_what_its_queue_held(slow, version):
    world = slow(local_queue_max=1)
    lasting(world, "stored", version, "t")
    subscriber = world.subscribe("t", 1)
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"1", 1, 1))
    hold(world)
    publisher.send(pub(b"2", 1, 2))
    assert payloads(subscriber.take_messages()) == [b"1"]
    world.settle()
    assert subscriber.take_messages() == []
    assert commit(world)
    assert payloads(subscriber.take_messages()) == [b"2"]


def test_qos_0_waits_for_nothing(slow, version):
    world = slow()
    subscriber = lasting(world, "s", version, "t")
    publisher = lasting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x"))
    assert payloads(subscriber.messages()) == [b"x"]
    assert world.broker.take_writes() is None


def test_what_has_no_durable_consequence_waits_for_nothing(slow, version):
    world = slow()
    passing = fleeting(world, "f", version, "t")
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 1, 7), pub(b"y", 2, 8), pub(b"z", 1, 9, topic="nobody"))
    assert [p.packet_id for p in publisher.received()] == [7, 8, 9]
    got = passing.messages()
    assert payloads(got) == [b"x", b"y"]
    publisher.send(PubrelPacket(8))
    assert publisher.received() == [PubcompPacket(8)]
    passing.send(PubackPacket(got[0].packet_id), PubrecPacket(got[1].packet_id))
    assert passing.received() == [PubrelPacket(got[1].packet_id)]
    assert world.broker.take_writes() is None


def test_without_a_storage_nothing_waits(bulk, version):
    world = World(bulk_path=bulk, auto_commit=False)
    subscriber = lasting(world, "s", version, "t")
    publisher = lasting(world, "p", version)
    publisher.send(pub(b"x", 2, 7, retain=True))
    assert publisher.received() == [PubrecPacket(7)]
    assert payloads(subscriber.messages()) == [b"x"]
    assert world.broker.take_writes() is None


def test_connack_of_a_stored_session_waits_for_the_session(slow, version):
    world = slow()
    hold(world)
    fields = {"session_expiry_interval": LASTING_S} if version == 5 else {}
    client = world.dial(version)
    client.send(connect_packet("c", version=version, clean=False, **fields))
    assert client.received() == []
    commit(world)
    assert kinds(client.received()) == [ConnackPacket]


def test_suback_and_unsuback_wait_for_the_subscriptions_of_a_stored_session(slow, version):
    world = slow()
    client = lasting(world, "c", version)
    hold(world)
    client.send(SubscribePacket(1, [at("t", 1)]))
    assert client.received() == []
    commit(world)
    assert kinds(client.received()) == [SubackPacket]
    client.send(UnsubscribePacket(2, ["t"]))
    assert client.received() == []
    commit(world)
    assert kinds(client.received()) == [UnsubackPacket]


def test_subscribing_again_in_the_same_way_writes_nothing(slow, version):
    world = slow()
    client = lasting(world, "c", version, at("t", 1), at("u", 1))
    hold(world)
    client.send(SubscribePacket(5, [at("t", 1), at("u", 1)]), UnsubscribePacket(6, ["nothing"]))
    assert kinds(client.received()) == [SubackPacket, UnsubackPacket]
    assert not commit(world)
    client.send(SubscribePacket(7, [at("t", 1), at("u", 2)]))
    client.send(SubscribePacket(8, [at("t", 1), at("u", 2)]))
    assert client.received() == []  # the second rests on what the first has written
    assert commit(world)
    assert kinds(client.received()) == [SubackPacket, SubackPacket]
    assert not commit(world)


def test_suback_of_a_passing_session_waits_for_nothing(slow, version):
    world = slow()
    client = fleeting(world, "c", version)
    hold(world)
    client.send(SubscribePacket(1, [at("t", 1)]))
    assert kinds(client.received()) == [SubackPacket]


def test_every_step_of_qos_2_waits_for_its_own_record(slow, version):
    world = slow()
    subscriber = lasting(world, "s", version, "t")
    publisher = lasting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 2, 7))
    commit(world)
    publisher.received()
    (message,) = subscriber.messages()
    publisher.send(PubrelPacket(7))
    assert publisher.received() == []
    subscriber.send(PubrecPacket(message.packet_id))
    assert subscriber.received() == []
    commit(world)
    assert publisher.received() == [PubcompPacket(7)]
    assert subscriber.received() == [PubrelPacket(message.packet_id)]


@pytest.mark.parametrize("qos", [0, 1])
def test_a_retained_message_is_written_and_only_an_acknowledgement_waits_for_it(slow, version, qos):
    world = slow()
    passing = fleeting(world, "f", version, "t")
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", qos, 7, retain=True))
    if qos:
        assert publisher.received() == []
    else:
        assert payloads(passing.messages()) == [b"x"]
    assert commit(world)
    if qos:
        assert publisher.received() == [PubackPacket(7)]
        assert payloads(passing.messages()) == [b"x"]
    world.restart(crash=True)
    assert [m.payload for m in world.broker.retained()] == [b"x"]


# -- the order in which it leaves -----------------------------------------------------------------------------------


def test_frames_behind_a_held_one_wait_and_only_pingresp_overtakes(slow, version):
    world = slow()
    lasting(world, "s", version, "u")
    client = lasting(world, "c", version, "t")
    other = fleeting(world, "o", version)
    hold(world)
    client.send(pub(b"held", 1, 7, topic="u"))
    client.send(SubscribePacket(1, [at("v", 1)]))
    other.send(pub(b"zero", 0))
    client.send(PingreqPacket())
    assert client.received() == [PingrespPacket()]
    commit(world)
    assert kinds(client.received()) == [PubackPacket, SubackPacket, PublishPacket]


def test_another_connection_is_not_held_up(slow, version):
    world = slow()
    lasting(world, "s", version, "t")
    bystander = fleeting(world, "b", version, "u")
    busy, other = fleeting(world, "p", version), fleeting(world, "q", version)
    hold(world)
    busy.send(pub(b"x", 1, 7))
    other.send(pub(b"y", 1, 8, topic="u"))
    assert other.received() == [PubackPacket(8)]
    assert payloads(bystander.messages()) == [b"y"]
    assert busy.received() == []


def test_while_one_commit_is_under_way_the_next_batch_fills(slow, version):
    world = slow()
    subscriber = lasting(world, "s", version, at("t", 1))
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"a", 1, 1))
    first = world.broker.take_writes()
    publisher.send(pub(b"b", 1, 2))
    publisher.send(pub(b"c", 1, 3))
    assert world.broker.take_writes() is None
    world.broker.writes_committed(first.number)
    world.settle()
    assert publisher.received() == [PubackPacket(1)]
    assert payloads(subscriber.messages()) == [b"a"]
    second = world.broker.take_writes()
    assert second.number > first.number
    world.broker.writes_committed(second.number)
    world.settle()
    assert publisher.received() == [PubackPacket(2), PubackPacket(3)]
    assert payloads(subscriber.messages()) == [b"b", b"c"]
    assert world.broker.take_writes() is None


def test_acknowledgements_of_good_packets_precede_the_disconnect_for_a_bad_one(slow, version):
    world = slow()
    lasting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    hold(world)
    good = b"\x32\x07\x00\x01t\x00\x05\x00x" if version == 5 else b"\x32\x06\x00\x01t\x00\x05x"
    publisher.send_bytes(good + b"\x36\x00")
    assert publisher.received() == []
    assert not publisher.closed
    commit(world)
    assert kinds(publisher.received()) == [PubackPacket] + ([DisconnectPacket] if version == 5 else [])
    assert publisher.closed


def test_a_closing_connection_waits_for_its_commit_only_so_long(slow, version):
    world = slow(close_timeout_s=5)
    lasting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 1, 5))
    world.broker.disconnect("p", 0x98, world.now)
    world.settle()
    world.wait(4)
    assert not publisher.closed
    world.wait(2)
    assert publisher.closed
    assert publisher.aborted
    commit(world)
    assert publisher.received() == []


def test_nothing_is_appended_to_a_closing_connection(slow, version):
    world = slow()
    publisher = lasting(world, "p", version, "t")
    other = fleeting(world, "o", version)
    hold(world)
    publisher.send(pub(b"x", 1, 5, topic="t"))
    world.broker.disconnect("p", 0x98, world.now)
    other.send(pub(b"late", 0))
    commit(world)
    got = publisher.received()
    assert payloads([p for p in got if isinstance(p, PublishPacket)]) == [b"x"]
    assert (DisconnectPacket in kinds(got)[-1:]) == (version == 5)


# -- identifiers ----------------------------------------------------------------------------------------------------


def test_a_message_from_the_queue_leaves_when_its_identifier_is_durable(slow, version):
    world = slow(inflight_max=1)
    subscriber = lasting(world, "s", version, at("t", 1))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"a", 1, 1), pub(b"b", 1, 2))
    (first,) = subscriber.messages()
    hold(world)
    subscriber.send(PubackPacket(first.packet_id))
    assert subscriber.received() == []
    commit(world)
    assert payloads(subscriber.messages()) == [b"b"]


def test_a_freed_identifier_is_not_reused_before_the_freeing_is_durable(slow, version):
    world = slow()
    subscriber = lasting(world, "s", version, at("t", 1))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"old", 1, 7))
    assert ids(subscriber.messages()) == [7]
    hold(world)
    subscriber.send(PubackPacket(7))
    publisher.send(pub(b"new", 1, 7))
    assert subscriber.received() == []
    world.auto_commit = True
    world.restart(crash=True)
    assert seen(lasting(world, "s", version).messages()) == [(b"old", 1, False, True)]


def test_a_message_with_a_stored_identifier_counts_as_sent_after_a_crash(slow, version):
    world = slow()
    lasting(world, "s", version, at("t", 1))
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 1, 7))
    batch = world.broker.take_writes()
    now_or_never(world.store.apply(batch))
    world.auto_commit = True
    world.restart(crash=True)
    (message,) = lasting(world, "s", version).messages()
    assert (message.payload, message.packet_id, message.dup) == (b"x", 7, True)


# -- crashes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_acknowledged_survives_a_crash_and_what_was_not_can_be_sent_again(slow, version, qos):
    world = slow()
    for name in ("s1", "s2"):
        lasting(world, name, version, "t").drop()
    publisher = lasting(world, "p", version)
    hold(world)
    publisher.send(pub(b"acknowledged", qos, 1))
    commit(world)
    assert len(publisher.received()) == 1
    publisher.send(pub(b"lost", qos, 2))
    assert publisher.received() == []
    world.auto_commit = True
    world.restart(crash=True)
    publisher = lasting(world, "p", version)
    publisher.send(pub(b"lost", qos, 2, dup=True))
    for name in ("s1", "s2"):
        assert payloads(lasting(world, name, version).messages()) == [b"acknowledged", b"lost"]


def test_all_writes_of_one_input_are_durable_together_or_not_at_all(slow, version):
    world = slow()
    names = [f"s{n}" for n in range(5)]
    for name in names:
        lasting(world, name, version, "t").drop()
    publisher = lasting(world, "p", version)
    hold(world)
    publisher.send(*[pub(b"%d" % n, 1 + n % 2, n, retain=n == 3) for n in range(1, 5)])
    assert commit(world)
    assert not commit(world)
    world.auto_commit = True
    world.restart(crash=True)
    for name in names:
        assert payloads(lasting(world, name, version).messages()) == [b"1", b"2", b"3", b"4"]
    assert list(world.session("p").incoming.received) == [1, 3]
    assert [m.payload for m in world.broker.retained()] == [b"3"]


def test_a_qos_2_message_whose_pubrec_was_lost_in_a_crash_is_not_delivered_twice(slow, version):
    world = slow()
    lasting(world, "s", version, "t").drop()
    publisher = lasting(world, "p", version)
    hold(world)
    publisher.frozen = True
    publisher.send(pub(b"x", 2, 7))
    commit(world)
    world.auto_commit = True
    world.restart(crash=True)
    publisher = lasting(world, "p", version)
    publisher.send(pub(b"x", 2, 7, dup=True), PubrelPacket(7))
    assert publisher.received() == [PubrecPacket(7), PubcompPacket(7)]
    assert payloads(lasting(world, "s", version).messages()) == [b"x"]


def test_an_acknowledgement_of_a_subscriber_may_be_lost_and_only_costs_a_repetition(slow, version):
    world = slow()
    subscriber = lasting(world, "s", version, at("t", 1))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"x", 1, 7))
    (message,) = subscriber.messages()
    hold(world)
    subscriber.send(PubackPacket(message.packet_id))
    world.auto_commit = True
    world.restart(crash=True)
    subscriber = lasting(world, "s", version)
    assert subscriber.messages() == [PublishPacket("t", b"x", 1, False, True, message.packet_id)]
    subscriber.send(PubackPacket(message.packet_id))
    world.restart(crash=True)
    assert lasting(world, "s", version).received() == []


# -- what rests on an earlier write of the same session --------------------------------------------------------------


def test_the_answer_to_a_repetition_waits_as_the_first_answer_does(slow, version):
    world = slow()
    lasting(world, "s", version, "t")
    publisher = lasting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 2, 7))
    publisher.send(pub(b"x", 2, 7, dup=True))
    assert publisher.received() == []
    commit(world)
    assert publisher.received() == [PubrecPacket(7), PubrecPacket(7)]


def test_a_repetition_over_a_new_connection_waits_for_the_same_write(slow, version):
    world = slow()
    lasting(world, "s", version, "t")
    publisher = lasting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 2, 7))
    publisher.drop()
    again = world.dial(version)
    fields = {"session_expiry_interval": LASTING_S} if version == 5 else {}
    again.send(connect_packet("p", version=version, clean=False, **fields))
    again.send(pub(b"x", 2, 7, dup=True))
    assert again.received() == []
    commit(world)
    assert kinds(again.received()) == [ConnackPacket, PubrecPacket]


def test_a_session_taken_over_during_a_commit_moves_at_once_and_loses_nothing(slow, version):
    world = slow()
    old = lasting(world, "s", version, at("t", 1))
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 1, 7))
    new = world.dial(version)
    fields = {"session_expiry_interval": LASTING_S} if version == 5 else {}
    new.send(connect_packet("s", version=version, clean=False, **fields))
    if version == 5:
        (goodbye,) = old.received()
        assert goodbye.reason_code == 0x8E
    assert old.closed
    assert new.received() == []
    commit(world)
    connack, message = new.received()
    assert connack.session_present
    assert (message.payload, message.packet_id, message.dup) == (b"x", 7, True)
    assert old.received() == []


# -- a barrier that was promised is always reached ------------------------------------------------------------------


def released(world, client):
    """What comes of it when everything there is to commit is committed."""
    while commit(world):
        pass
    return client.received()


def test_a_publisher_is_acknowledged_when_the_only_stored_subscriber_is_itself_with_no_local(slow):
    world = slow()
    client = lasting(world, "c", 5, at("t", 1, no_local=True))
    hold(world)
    client.send(pub(b"x", 1, 7))
    assert released(world, client) == [PubackPacket(7)]


def test_a_publisher_is_acknowledged_when_the_queue_is_full(slow, version):
    world = slow(queue_messages_max=0)
    lasting(world, "s", version, "t").drop()
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 1, 7))
    assert released(world, publisher) == [PubackPacket(7)]


def test_a_publisher_is_acknowledged_when_the_message_is_too_large_for_the_only_subscriber(slow):
    world = slow()
    lasting(world, "s", 5, "t", maximum_packet_size=50)
    publisher = fleeting(world, "p", 5)
    hold(world)
    publisher.send(pub(b"x" * 100, 1, 7))
    assert released(world, publisher) == [PubackPacket(7)]


def test_a_publisher_is_acknowledged_when_the_chosen_member_is_not_stored(slow, version):
    world = slow()
    lasting(world, "away", version, at("$share/g/t", 1)).drop()
    member = fleeting(world, "here", version, at("$share/g/t", 1))
    publisher = fleeting(world, "p", version)
    hold(world)
    publisher.send(pub(b"x", 1, 7))
    assert released(world, publisher) == [PubackPacket(7)]
    assert payloads(member.messages()) == [b"x"]


def test_a_frame_that_was_never_promised_a_commit_does_not_wait_for_one(slow, version):
    """A member that is not stored leaves: its message goes on at once."""
    world = slow()
    first = fleeting(world, "m0", version, at("$share/g/t", 1))
    second = fleeting(world, "m1", version, at("$share/g/t", 1))
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"a", 1, 1), pub(b"b", 1, 2))
    assert len(first.messages()) == len(second.messages()) == 1
    hold(world)
    first.drop()
    assert len(second.messages()) == 1


def test_that_there_is_no_session_waits_for_its_deletion_to_be_durable(slow):
    world = slow()
    client = lasting(world, "c", 5, "t")
    hold(world)
    client.send(DisconnectPacket(0, Properties(session_expiry_interval=0)))
    client = world.dial()
    client.send(connect_packet("c", clean=False))
    assert client.received() == []
    while commit(world):
        pass
    (connack,) = client.received()
    assert (connack.reason_code, connack.session_present) == (0, False)


def test_the_second_removal_of_a_retained_message_waits_for_the_first_to_be_durable(slow, version):
    world = slow()
    first = fleeting(world, "first", version)
    second = fleeting(world, "second", version)
    first.send(pub(b"x", 1, retain=True))
    first.received()
    hold(world)
    first.send(pub(b"", 1, retain=True))
    second.send(pub(b"", 1, retain=True))
    assert first.received() == second.received() == []
    commit(world)
    assert kinds(first.received()) == kinds(second.received()) == [PubackPacket]
    second.send(pub(b"", 1, retain=True))
    assert kinds(second.received()) == [PubackPacket]

"""A second connection for a client identifier that is connected (section 3.1.4), and whose session it is."""

from __future__ import annotations

import pytest

from mqtt_core.broker import DEFERRED, Accept, ClientDisconnected, ClientRefused, Refuse
from mqtt_core.codec import DisconnectPacket, Properties, PublishPacket
from tests.broker.kit import Rules, World, connect_packet


@pytest.mark.spec("MQTT-3.1.4-3", version="5.0")
def test_the_older_connection_is_told_and_closed(world):
    older = world.connect("c")
    world.events()
    newer = world.connect("c")
    assert [p.reason_code for p in older.received()] == [0x8E]
    assert older.closed
    assert not newer.closed
    assert newer.connack.reason_code == 0
    assert world.counters.sessions_taken_over == 1
    assert [e.reason_code for e in world.events(ClientDisconnected)] == [0x8E]


@pytest.mark.spec("MQTT-3.1.4-2", version="3.1.1")
def test_the_older_311_connection_is_closed_without_a_word(world):
    older = world.connect("c", version=4)
    newer = world.connect("c", version=4)
    assert older.raw() == b""
    assert older.closed
    assert not newer.closed


@pytest.mark.parametrize("versions", [(4, 5), (5, 4)])
def test_a_session_moves_with_what_is_in_flight_and_waits(world, versions):
    old, new = versions
    kept = {"session_expiry_interval": 100}
    older = world.connect("c", version=old, clean=False, **(kept if old == 5 else {}))
    older.subscribe("t")
    older.frozen = True
    world.publish("t", b"1", 1)
    world.publish("t", b"2", 2)
    newer = world.connect("c", version=new, clean=False, **(kept if new == 5 else {}))
    assert newer.connack.session_present
    assert newer.messages() == [
        PublishPacket("t", b"1", 1, dup=True, packet_id=1),
        PublishPacket("t", b"2", 2, dup=True, packet_id=2),
    ]
    world.publish("t", b"3")
    assert newer.messages() == [PublishPacket("t", b"3")]


def test_a_session_without_expiry_ends_with_the_older_connection(world):
    world.connect("c").subscribe("t")
    newer = world.connect("c", clean=False, session_expiry_interval=10)
    assert not newer.connack.session_present
    world.publish("t", b"x")
    assert newer.messages() == []


def test_what_the_older_connection_still_sends_is_not_read(world):
    older = world.connect("c", session_expiry_interval=100)
    older.frozen = True
    newer = world.connect("c", clean=False, session_expiry_interval=100)
    newer.subscribe("t")
    older.handler.receive_data(b"\x30\x05\x00\x01t\x00x", world.now)
    world.settle()
    assert newer.messages() == []
    older.handler.receive_eof(world.now)
    world.settle()
    world.publish("t", b"y")
    assert newer.messages() == [PublishPacket("t", b"y")]


def test_the_session_has_one_winner_however_fast_they_come(world):
    clients = [world.connect("c", clean=False, session_expiry_interval=100) for _ in range(50)]
    assert [c.closed for c in clients] == [True] * 49 + [False]
    assert len(list(world.broker.sessions())) == 1
    clients[-1].drop()
    assert not world.session("c").connected


def test_a_takeover_during_a_commit_discards_what_was_held_and_speaks_at_once():
    world = World(stored=True)
    older = world.connect("c", session_expiry_interval=100)
    older.subscribe("t")
    world.auto_commit = False
    older.send(PublishPacket("t", b"x", 1, packet_id=9))
    batch = world.broker.take_writes()
    assert older.raw() == b""
    newer = world.dial()
    newer.send(connect_packet("c", clean=False, session_expiry_interval=100))
    assert [p.reason_code for p in older.received()] == [0x8E]
    assert older.closed
    assert newer.raw() == b""
    world.broker.writes_committed(batch.number)
    world.settle()
    assert newer.raw() == b""  # that was the message; the CONNACK rests on the next batch
    world.commit()
    world.settle()
    connack, message = newer.received()
    assert connack.session_present
    assert (message.payload, message.dup) == (b"x", True)
    assert older.raw() == b""


def test_nobody_is_taken_over_before_the_newcomer_is_accepted():
    world = World(policy=Rules(Accept(), DEFERRED, Refuse(0x87)))
    older = world.connect("c")
    waiting = world.dial()
    waiting.send(connect_packet("c"))
    refused = world.connect("c", accepted=False)
    assert refused.closed
    assert not older.closed
    waiting.handler.resume(Refuse(0x86), world.now)
    world.settle()
    assert waiting.closed
    assert not older.closed


# ------------------------------------------------------------------------------------------------------------- identity


def test_a_session_is_not_for_somebody_else(version):
    world = World(policy=Rules())
    kept = {"session_expiry_interval": 100} if version == 5 else {}
    ann = world.connect("c", version=version, clean=False, username="ann", **kept)
    ann.subscribe("t")
    for clean in (True, False):
        bob = world.connect("c", version=version, clean=clean, username="bob", accepted=False)
        assert bob.connack.reason_code == (5 if version == 4 else 0x87)
        assert bob.closed
    assert not ann.closed
    ann.drop()
    assert world.connect("c", version=version, clean=False, username="bob", accepted=False).closed
    assert world.connect("c", version=version, clean=False, username="ann", **kept).connack.session_present
    assert len(world.events(ClientRefused)) == 3


@pytest.mark.parametrize("connected", [True, False])
def test_where_others_may_take_an_identifier_they_never_inherit_the_session(connected):
    world = World(policy=Rules(), session_takeover_by_others=True)
    ann = world.connect("c", username="ann", session_expiry_interval=100)
    ann.subscribe("t")
    if not connected:
        ann.drop()
    world.publish("t", b"secret", 1)
    bob = world.connect("c", username="bob", clean=False, session_expiry_interval=100)
    assert ann.closed
    assert not bob.connack.session_present
    world.publish("t", b"secret", 1)
    assert bob.messages() == []
    assert world.session("c").identity == "bob"


def test_the_identity_survives_a_restart():
    world = World(policy=Rules(), stored=True)
    world.connect("c", username="ann", session_expiry_interval=100)
    world.restart()
    assert world.connect("c", username="bob", clean=False, accepted=False).connack.reason_code == 0x87
    assert world.connect("c", username="ann", clean=False).connack.session_present


def test_a_client_that_left_is_not_taken_over(world):
    older = world.connect("c", session_expiry_interval=100)
    older.send(DisconnectPacket(0, Properties(session_expiry_interval=50)))
    world.connect("c", clean=False)
    assert world.counters.sessions_taken_over == 0


def test_a_client_that_comes_again_and_again_leaves_its_shares_in_order(world):
    """The same identifier, fast, with many shared groups: one member each, whoever was last."""
    groups = [f"$share/g{n}/t" for n in range(48)]
    other = world.connect("other")
    other.subscribe(*groups)
    for turn in range(20):
        client = world.connect("c", clean=turn % 3 == 0, session_expiry_interval=100 * (turn % 2))
        client.received()
        client.subscribe(*groups)
        world.publish("t", b"%d" % turn, 1)
    assert len(world.session("c").subscriptions) == 48
    other.received()
    client.received()
    for _ in range(2):
        world.publish("t", b"x")
    assert len(client.messages()) == len(other.messages()) == 48

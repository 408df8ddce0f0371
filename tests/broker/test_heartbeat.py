"""A crash makes no session older than it is: time is committed while the clients of stored sessions are connected."""

from __future__ import annotations

import pytest

from mqtt_core.codec import Properties, Will
from tests.broker.kit import World

HOUR_S = 3600
NEVER = 0xFFFFFFFF


def commits_in(world, seconds):
    """How many batches a while costs in which nobody says a word."""
    before = world.broker._state.journal.committed
    world.wait(seconds)
    return world.broker._state.journal.committed - before


def delayed(delay_s):
    return Will("gone", b"x", properties=Properties(will_delay_interval=delay_s))


@pytest.mark.spec("MQTT-3.1.2-23", version="5.0")
@pytest.mark.parametrize("expiry_s", [10, 3600])
def test_a_session_outlives_a_crash_after_an_hour_of_silence(expiry_s):
    world = World(stored=True)
    world.connect("c", session_expiry_interval=expiry_s)
    world.wait(HOUR_S)
    world.restart(crash=True, after=expiry_s / 2)
    assert world.connect("c", clean=False, session_expiry_interval=expiry_s).connack.session_present


def test_a_session_is_over_when_the_broker_was_away_for_longer_than_it_lasts():
    world = World(stored=True)
    world.connect("c", session_expiry_interval=10)
    world.wait(HOUR_S)
    world.restart(crash=True, after=11)
    assert not world.connect("c", clean=False).connack.session_present


@pytest.mark.spec("MQTT-3.1.3-9", version="5.0")
def test_a_delayed_will_is_not_overdue_after_an_hour_of_silence():
    world = World(stored=True)
    world.connect("c", session_expiry_interval=NEVER, will=delayed(30))
    world.wait(HOUR_S)
    world.restart(crash=True, after=15)
    watcher = world.connect("w")
    watcher.subscribe("#")
    world.connect("c", clean=False, session_expiry_interval=NEVER)
    world.wait(HOUR_S)
    assert watcher.messages() == []


@pytest.mark.parametrize("expiry_s, commits", [(1, 100), (80, 10), (600, 1), (24 * HOUR_S, 1)])
def test_how_often_depends_on_what_would_be_lost(expiry_s, commits):
    world = World(stored=True)
    world.connect("c", session_expiry_interval=expiry_s)
    assert commits_in(world, 100) == commits


def test_other_commits_serve_as_well():
    world = World(stored=True)
    client = world.connect("c", session_expiry_interval=80)
    client.subscribe("t")
    for _ in range(20):
        assert commits_in(world, 9) == 0
        world.publish("t", b"x", 1)


@pytest.mark.parametrize(
    "session", [{}, {"session_expiry_interval": NEVER}, {"will": delayed(30)}], ids=["clean", "for ever", "will"]
)
def test_nothing_is_written_where_time_does_not_matter(session):
    world = World(stored=True)
    world.connect("c", **session)
    assert commits_in(world, HOUR_S) == 0


def test_nothing_is_written_when_the_clients_have_gone():
    world = World(stored=True)
    clients = [world.connect(name, session_expiry_interval=NEVER - 1) for name in "ab"]
    assert commits_in(world, 600) == 10
    for client in clients:
        client.drop()
    assert commits_in(world, HOUR_S) == 0


def test_nobody_beats_without_a_store():
    world = World()
    world.connect("c", session_expiry_interval=80)
    assert world.broker.next_deadline() is None

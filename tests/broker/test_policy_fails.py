"""A policy that raises: the host hears of it, one connection ends, and nothing else stops or stays behind."""

from __future__ import annotations

import pytest

from mqtt_core.broker import ClientDisconnected
from mqtt_core.broker.handler import PACKETS_MAX
from mqtt_core.codec import NO_PROPERTIES, PingreqPacket, Properties, PublishPacket, Will, encode
from tests.broker.kit import Rules, World


def fails(*about):
    raise ZeroDivisionError(about)


def fails_for(topic):
    return Rules(publish=lambda principal, asked, qos, retain: fails(asked) if asked == topic else True)


class Granting:
    """Rules whose answers about publishing become failures."""

    def __init__(self):
        self.failing = False
        self.rules = Rules(publish=lambda *about: fails(*about) if self.failing else True)


@pytest.fixture
def granting():
    return Granting()


def test_whoever_is_served_in_turns_is_not_stopped_by_anothers_packet_that_a_policy_fails_at():
    world = World(policy=fails_for("bad"), bulk_path=False)
    reader, bad, good = (world.connect(name) for name in ("reader", "bad", "good"))
    reader.subscribe("good")
    pings = encode(PingreqPacket(), 5) * PACKETS_MAX
    for client, topic in ((bad, "bad"), (good, "good")):
        client.handler.receive_data(pings + encode(PublishPacket(topic, b"x"), 5), world.now)
    with pytest.raises(ZeroDivisionError):
        world.broker.handle_timer(world.now)
    world.settle()
    assert [message.topic for message in reader.messages()] == ["good"]
    assert bad.handler.aborted
    assert [session.client_id for session in world.broker.sessions()] == ["reader", "good"]


@pytest.mark.parametrize("expiry_s", [0, 10])
def test_a_connection_ends_though_a_policy_fails_at_its_will(granting, expiry_s, version):
    world = World(policy=granting.rules, session_expiry_v311_s=expiry_s)
    properties = Properties(session_expiry_interval=expiry_s) if version == 5 else NO_PROPERTIES
    client = world.connect(
        "c", version=version, clean=not expiry_s, keep_alive_s=10, will=Will("t", b"gone"), properties=properties
    )
    granting.failing = True
    world.now += 16
    with pytest.raises(ZeroDivisionError):
        world.broker.handle_timer(world.now)
    world.settle()
    assert client.handler.closing
    assert client.closed
    assert [session.connected for session in world.broker.sessions()] == [False] * bool(expiry_s)
    world.wait(expiry_s)
    assert not list(world.broker.sessions())


@pytest.mark.parametrize("expiry_s", [5, 10])
def test_a_session_expires_though_a_policy_fails_at_its_delayed_will(granting, expiry_s):
    world = World(policy=granting.rules)
    client = world.connect(
        "c",
        will=Will("t", b"gone", properties=Properties(will_delay_interval=5)),
        properties=Properties(session_expiry_interval=expiry_s),
    )
    client.drop()
    assert [event.client_id for event in world.events(ClientDisconnected)] == ["c"]
    granting.failing = True
    world.now += 5
    with pytest.raises(ZeroDivisionError):
        world.broker.handle_timer(world.now)
    world.wait(5)
    assert not list(world.broker.sessions())
    assert world.counters.wills_published == 0

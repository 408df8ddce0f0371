from __future__ import annotations

from mqtt_core.codec import PubackPacket, PublishPacket
from tests.broker.kit import World


def test_the_world_works():
    world = World(stored=True)
    a = world.connect("a", session_expiry_interval=100)
    a.subscribe("t")
    a.send(PublishPacket("t", b"x", 1, packet_id=7))
    got = a.received()
    assert PubackPacket(7) in got
    assert PublishPacket("t", b"x", 1, packet_id=1) in got
    a.drop()
    world.restart()
    a = world.connect("a", clean=False, session_expiry_interval=100)
    assert a.connack.session_present
    assert a.received() == [PublishPacket("t", b"x", 1, dup=True, packet_id=1)]
    world.wait(200)

"""The `$SYS` topics: names, values, interval, and that they are the broker's alone."""

from __future__ import annotations

from mqtt_core.codec import PublishPacket
from tests.broker.kit import World

NAMES = {
    *("version", "uptime"),
    *(f"clients/{name}" for name in ("connected", "disconnected", "active", "inactive", "expired", "maximum", "total")),
    *(f"bytes/{name}" for name in ("received", "sent")),
    *(f"messages/{name}" for name in ("received", "sent", "stored")),
    *(f"publish/messages/{name}" for name in ("received", "sent", "dropped")),
    *(f"publish/bytes/{name}" for name in ("received", "sent")),
    *(f"store/messages/{name}" for name in ("count", "bytes")),
    *("retained messages/count", "subscriptions/count", "shared_subscriptions/count"),
}


def values(world):
    retained = world.broker.retained("$SYS/#")
    return {m.topic.removeprefix("$SYS/broker/"): m.payload.decode() for m in retained}


def test_the_names_are_those_that_mosquittos_users_know():
    world = World(sys_interval_s=10)
    world.settle()
    assert set(values(world)) == NAMES


def test_the_values_are_what_has_happened():
    world = World(sys_interval_s=10, session_expiry_max_s=5)
    a = world.connect("a", session_expiry_interval=5)
    b = world.connect("b")
    a.subscribe("t", "$share/g/t")
    b.send(PublishPacket("t", b"12345"), PublishPacket("kept", b"123", retain=True))
    a.drop()
    world.publish("t", b"wait", 1)
    world.wait(10)
    got = values(world)
    assert {
        name: got[name]
        for name in (
            "clients/connected",
            "clients/disconnected",
            "clients/total",
            "clients/maximum",
            "clients/expired",
            "publish/messages/received",
            "publish/messages/sent",
            "publish/bytes/received",
            "publish/bytes/sent",
            "subscriptions/count",
            "messages/received",
            "uptime",
        )
    } == {
        "clients/connected": "1",
        "clients/disconnected": "0",
        "clients/total": "1",
        "clients/maximum": "2",
        "clients/expired": "1",
        "publish/messages/received": "2",
        "publish/messages/sent": "2",
        "publish/bytes/received": "8",
        "publish/bytes/sent": "10",
        "subscriptions/count": "0",
        "messages/received": "5",
        "uptime": "10 seconds",
    }


def test_bytes_are_those_on_the_wire():
    world = World(sys_interval_s=10)
    a = world.connect("a")
    a.send_bytes(b"\xc0\x00")
    answered = len(a.raw())
    before = world.counters.bytes_sent
    assert answered == 2
    a.send_bytes(b"\xc0\x00" * 5)
    assert world.counters.bytes_sent - before == 10
    world.wait(10)
    assert values(world)["bytes/received"] == str(world.counters.bytes_received)


def test_counts_of_subscriptions_and_of_what_is_stored():
    world = World(sys_interval_s=10)
    a = world.connect("a", session_expiry_interval=100)
    a.subscribe("t", "$share/g/u", "$share/h/u")
    a.drop()
    world.publish("t", b"12345", 1)
    world.wait(10)
    got = values(world)
    assert (got["subscriptions/count"], got["shared_subscriptions/count"]) == ("3", "2")
    assert int(got["store/messages/count"]) == int(got["messages/stored"]) == len(NAMES) + 1
    assert int(got["store/messages/bytes"]) > 6
    assert got["retained messages/count"] == str(len(NAMES))


def test_they_come_at_their_interval_and_only_when_changed():
    world = World(sys_interval_s=10)
    watcher = world.connect("w")
    watcher.subscribe("$SYS/broker/clients/total", "$SYS/broker/version", "$SYS/broker/uptime")
    first = watcher.messages()
    assert {m.topic for m in first} == {"$SYS/broker/version", "$SYS/broker/uptime", "$SYS/broker/clients/total"}
    assert all(m.retain and m.qos == 0 for m in first)
    world.wait(9.9)
    assert watcher.messages() == []
    world.connect("x")
    world.wait(0.2)
    assert {(m.topic, m.payload) for m in watcher.messages()} == {
        ("$SYS/broker/clients/total", b"2"),
        ("$SYS/broker/uptime", b"10 seconds"),
    }
    world.wait(10)
    assert [(m.topic, m.payload) for m in watcher.messages()] == [("$SYS/broker/uptime", b"20 seconds")]


def test_they_can_be_turned_off():
    world = World(sys_interval_s=0)
    world.wait(1000)
    assert world.broker.retained("$SYS/#") == []
    assert world.broker.next_deadline() is None


def test_a_wildcard_of_everything_does_not_match_them():
    world = World(sys_interval_s=10)
    client = world.connect("c")
    client.subscribe("#", "+/broker/version")
    world.wait(30)
    assert client.messages() == []


def test_they_are_not_stored():
    world = World(sys_interval_s=10, stored=True)
    world.settle()
    assert values(world)
    world.restart(sys_interval_s=0)
    assert values(world) == {}


def test_nothing_is_published_after_shutdown():
    world = World(sys_interval_s=10)
    local = world.subscribe("$SYS/broker/uptime")
    world.wait(10)
    local.take_messages()
    world.shutdown()
    world.wait(100)
    assert local.take_messages() == []

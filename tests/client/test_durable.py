"""A client with a journal: what it says waits for what it wrote, and what was written comes back."""

from __future__ import annotations

import pytest

from mqtt_core.client import ClientConfig, MessageReceived, MqttClient, OfflinePolicy, PublishCompleted, PublishFailed
from mqtt_core.codec import (
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubackPacket,
    SubscribeFilter,
)
from mqtt_core.persistence import Journal, MemoryStore, load
from tests.client.kit import Dice, Wire

both_versions = pytest.mark.parametrize("version", [4, 5])


def now_or_never(coroutine):
    """Run a coroutine of the memory store, which never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


class Disk:
    """A store, and the processes that use it one after the other."""

    def __init__(self, **config):
        self.store = MemoryStore()
        self.config = {"clean_start": False, "session_expiry_s": 3600, **config}
        if self.config.get("version") == 4:
            self.config["session_expiry_s"] = 0

    def start(self, **config):
        """A new process; what the last one had not committed is lost."""
        snapshot = now_or_never(load(self.store))
        return Wire(journal=Journal(), snapshot=snapshot, **{**self.config, **config})

    def commit(self, wire):
        """Make durable what was written; whether there was anything."""
        batch = wire.client.take_writes()
        if batch is None:
            return False
        now_or_never(self.store.apply(batch))
        wire.client.writes_committed(batch.number)
        return True

    def open(self, wire, **options):
        """Connect, with the commits that takes."""
        wire.client.connect(wire.now)
        self.commit(wire)
        wire.decoder = type(wire.decoder)(wire.version)
        assert wire.sent()
        return wire.open_now(**options)


@both_versions
def test_connect_waits_for_the_session_to_be_stored(version):
    disk = Disk(version=version)
    wire = disk.start()
    wire.client.connect(wire.now)
    assert wire.raw() == b""
    assert disk.commit(wire)
    assert wire.raw()[0] == 0x10
    assert not disk.commit(wire)


@both_versions
@pytest.mark.parametrize("qos", [1, 2])
def test_a_publish_leaves_after_it_is_stored_with_its_identifier(version, qos):
    disk = Disk(version=version)
    wire = disk.start()
    disk.open(wire)
    wire.publish("t", b"p", qos=qos)
    wire.publish("t", b"after", qos=0)
    assert wire.raw() == b""
    disk.commit(wire)
    assert [p.payload for p in wire.sent()] == [b"p", b"after"]


def test_a_ping_overtakes_what_waits_for_a_slow_disk():
    disk = Disk(keep_alive_s=10)
    wire = disk.start()
    disk.open(wire)
    wire.publish("t", qos=1)
    assert [type(p).__name__ for p in wire.wait(9.5)] == ["PingreqPacket"]


@pytest.mark.spec("MQTT-4.1.0-1", "MQTT-3.1.2-23", "MQTT-4.4.0-1", version="5.0")
@pytest.mark.spec("MQTT-4.1.0-1", "MQTT-3.1.2-4", "MQTT-4.4.0-1", version="3.1.1")
@both_versions
def test_unacknowledged_messages_survive_the_process(version):
    disk = Disk(version=version)
    wire = disk.start()
    disk.open(wire)
    tokens = [wire.publish("t", b"%d" % n, qos=qos) for n, qos in enumerate((1, 2, 2, 1))]
    disk.commit(wire)
    wire.sent()
    wire.receive(PubrecPacket(2))
    wire.receive(PubackPacket(4))
    assert wire.sent() == []  # PUBREL too waits
    disk.commit(wire)
    assert wire.sent() == [PubrelPacket(2)]

    wire = disk.start()
    assert wire.client.unacknowledged == 3
    disk.open(wire, present=True)
    assert wire.sent() == [
        PubrelPacket(2),
        PublishPacket("t", b"0", 1, dup=True, packet_id=1),
        PublishPacket("t", b"2", 2, dup=True, packet_id=3),
    ]
    wire.receive(PubcompPacket(2), PubackPacket(1), PubrecPacket(3))
    wire.receive(PubcompPacket(3))
    assert [e.token for e in wire.events()] == [tokens[1], tokens[0], tokens[2]]
    assert wire.publish("t", qos=1) > tokens[2]
    disk.commit(wire)
    wire.receive(PubackPacket(wire.sent()[-1].packet_id))
    disk.commit(wire)
    assert disk.start().client.unacknowledged == 0


def test_what_was_not_committed_was_never_said():
    disk = Disk()
    wire = disk.start()
    disk.open(wire)
    wire.publish("t", b"lost with the process", qos=1)
    assert wire.raw() == b""
    wire = disk.start()
    assert wire.client.unacknowledged == 0


@both_versions
def test_qos_2_reaches_the_host_once_across_processes(version):
    disk = Disk(version=version)
    wire = disk.start()
    disk.open(wire)
    wire.receive(PublishPacket("t", b"once", 2, packet_id=7))
    assert len(wire.events()) == 1
    assert wire.raw() == b""
    disk.commit(wire)
    assert wire.sent() == [PubrecPacket(7)]
    wire = disk.start()
    disk.open(wire, present=True)
    wire.receive(PublishPacket("t", b"once", 2, dup=True, packet_id=7))
    assert [e for e in wire.events() if isinstance(e, MessageReceived)] == []
    assert wire.sent() == [PubrecPacket(7)]
    wire.receive(PubrelPacket(7))
    assert wire.sent() == []
    disk.commit(wire)
    assert wire.sent() == [PubcompPacket(7)]
    wire = disk.start()
    disk.open(wire, present=True)
    wire.receive(PublishPacket("t", b"new", 2, packet_id=7))
    assert [e.payload for e in wire.events()] == [b"new"]


def test_a_repeated_publish_waits_for_the_receipt_of_the_first():
    disk = Disk()
    wire = disk.start()
    disk.open(wire)
    wire.receive(PublishPacket("t", b"", 2, packet_id=7))
    batch = wire.client.take_writes()
    wire.receive(PublishPacket("t", b"", 2, dup=True, packet_id=7))
    assert wire.raw() == b""
    wire.client.writes_committed(batch.number)
    assert wire.sent() == [PubrecPacket(7), PubrecPacket(7)]


def test_with_manual_acknowledgement_the_receipt_is_written_when_the_host_is_done():
    disk = Disk(manual_ack=True)
    wire = disk.start()
    disk.open(wire)
    wire.receive(PublishPacket("t", b"work", 2, packet_id=7))
    (message,) = wire.events()
    wire = disk.start()  # the host died at work
    disk.open(wire, present=True)
    wire.receive(PublishPacket("t", b"work", 2, dup=True, packet_id=7))
    (message,) = wire.events()
    wire.client.acknowledge(message.token, now=wire.now)
    assert wire.raw() == b""
    disk.commit(wire)
    assert wire.sent() == [PubrecPacket(7)]
    wire = disk.start()
    disk.open(wire, present=True)
    wire.receive(PublishPacket("t", b"work", 2, dup=True, packet_id=7))
    assert wire.events() == []


def test_persist_keeps_what_was_published_offline_and_queue_does_not():
    for policy, kept in ((OfflinePolicy.PERSIST, 2), (OfflinePolicy.QUEUE, 0)):
        disk = Disk(offline=policy)
        wire = disk.start()
        wire.publish("t", b"1", qos=1)
        wire.publish("t", b"2", qos=2)
        wire.publish("t", b"0", qos=0)
        disk.commit(wire)
        wire = disk.start()
        assert wire.client.unacknowledged == kept
    disk = Disk(offline=OfflinePolicy.PERSIST)
    wire = disk.start()
    for n in (1, 2, 3):
        wire.publish("t", b"%d" % n, qos=1)
    disk.commit(wire)
    wire = disk.start()
    disk.open(wire, present=True, receive_maximum=2)
    assert wire.raw() == b""  # the identifiers are to be stored first
    disk.commit(wire)
    assert [(p.payload, p.dup) for p in wire.sent()] == [(b"1", False), (b"2", False)]
    wire = disk.start()
    disk.open(wire, present=True)
    disk.commit(wire)
    assert [(p.payload, p.dup) for p in wire.sent()] == [(b"1", True), (b"2", True), (b"3", False)]


def test_messages_queued_for_quota_are_stored():
    disk = Disk()
    wire = disk.start()
    disk.open(wire, receive_maximum=1)
    for n in range(3):
        wire.publish("t", bytes([n]), qos=1)
    disk.commit(wire)
    assert disk.start().client.unacknowledged == 3


def test_subscriptions_survive_and_are_restored_if_the_server_lost_them():
    disk = Disk()
    wire = disk.start()
    disk.open(wire)
    wire.client.subscribe(
        [SubscribeFilter("a", 1, True, True, 2)], properties=Properties(subscription_identifiers=(9,)), now=wire.now
    )
    wire.receive(SubackPacket(wire.sent()[0].packet_id, [1]))
    disk.commit(wire)
    wire = disk.start()
    assert wire.client.subscriptions == ["a"]
    disk.open(wire)
    (packet,) = wire.sent()
    assert packet.subscriptions == [SubscribeFilter("a", 1, True, True, 2)]
    assert packet.properties.subscription_identifiers == (9,)


def test_a_lost_session_is_published_anew_and_that_is_stored():
    disk = Disk()
    wire = disk.start()
    disk.open(wire)
    for n in range(3):
        wire.publish("t", bytes([n]), qos=2)
    disk.commit(wire)
    wire.receive(PubrecPacket(2), PublishPacket("x", b"", 2, packet_id=5))
    disk.commit(wire)
    wire = disk.start()
    events = disk.open(wire, present=False)
    assert [type(e).__name__ for e in events] == ["Connected", "PublishCompleted", "SessionLost"]
    disk.commit(wire)
    anew = wire.sent()
    assert [(p.payload, p.dup) for p in anew] == [(b"\0", False), (b"\2", False)]
    wire = disk.start()
    disk.open(wire, present=True)
    assert [(p.payload, p.dup, p.packet_id) for p in wire.sent()] == [(p.payload, True, p.packet_id) for p in anew]
    wire.receive(PublishPacket("x", b"new", 2, packet_id=5))
    assert [e.payload for e in wire.events()] == [b"new"]


@both_versions
def test_what_is_published_anew_comes_before_what_waited_behind_it_also_after_a_crash(version):
    disk = Disk(version=version, inflight_max=2)
    wire = disk.start()
    disk.open(wire)
    for n in range(4):
        wire.publish("t", b"%d" % n, qos=1)
    disk.commit(wire)
    assert [p.payload for p in wire.sent()] == [b"0", b"1"]
    wire.lose()
    disk.config["inflight_max"] = 1
    wire = disk.start()
    disk.open(wire, present=False)  # the server has lost the session
    disk.commit(wire)
    assert [p.payload for p in wire.sent()] == [b"0"]

    disk.config["inflight_max"] = 4
    wire = disk.start()
    disk.open(wire, present=True)
    disk.commit(wire)
    assert [p.payload for p in wire.sent()] == [b"0", b"1", b"2", b"3"]


def test_a_server_that_assigns_another_identifier_than_asked_for_does_not_move_what_is_stored():
    """The next process would look for it under the name it is configured with."""
    disk = Disk()
    wire = disk.start()
    disk.open(wire, assigned_client_identifier="other")
    assert wire.client.client_id == "c"
    wire.publish("t", b"kept", qos=1)
    disk.commit(wire)
    wire = disk.start()
    disk.open(wire, present=True)
    assert [p.payload for p in wire.sent()] == [b"kept"]


def test_what_is_written_while_the_clock_is_behind_has_the_newest_stored_time():
    """Or time would go back once the older parts of the store are gone."""
    disk = Disk()
    wire = disk.start(now=2000.0)
    disk.open(wire)
    wire.publish("t", qos=1)
    disk.commit(wire)
    wire = disk.start(now=1500.0)
    wire.client.connect(wire.now)
    assert wire.client.take_writes().stamp == 2000.0


def test_a_clean_start_forgets_what_is_stored():
    disk = Disk()
    wire = disk.start()
    disk.open(wire)
    wire.publish("t", qos=1)
    disk.commit(wire)
    wire = disk.start(clean_start=True)
    assert wire.client.unacknowledged == 0
    disk.open(wire)
    assert wire.raw() == b""
    assert disk.start().client.unacknowledged == 0


def test_what_is_given_up_is_forgotten_on_disk_too():
    disk = Disk(offline=OfflinePolicy.PERSIST)
    wire = disk.start()
    wire.publish("t", qos=1, properties=Properties(message_expiry_interval=5))
    disk.commit(wire)
    wire = disk.start(now=1100.0)
    (_,) = [e for e in disk.open(wire, present=True) if isinstance(e, PublishFailed)]
    disk.commit(wire)
    assert disk.start().client.unacknowledged == 0


def test_a_session_that_ends_with_its_connection_is_not_stored():
    store = MemoryStore()
    snapshot = now_or_never(load(store))
    client = MqttClient(ClientConfig("c"), rng=Dice(), journal=Journal(), snapshot=snapshot)
    client.connect(1.0)
    client.publish("t", qos=1, now=1.0)
    assert client.take_writes() is None
    assert client.data_to_send()


def test_goodbye_waits_for_the_disk_but_not_for_ever():
    disk = Disk(close_timeout_s=3)
    wire = disk.start()
    disk.open(wire)
    wire.publish("t", qos=1)
    wire.client.disconnect(wire.now)
    assert wire.raw() == b""
    assert not wire.client.closing
    disk.commit(wire)
    assert [type(p).__name__ for p in wire.sent()] == ["PublishPacket", "DisconnectPacket"]
    assert wire.client.closing
    wire.lose()
    disk.open(wire, present=True)
    wire.sent()
    wire.publish("t", qos=1)
    wire.client.disconnect(wire.now)
    assert list(wire.wait(3)) == []
    assert wire.client.closing


def test_completions_need_no_commit():
    disk = Disk()
    wire = disk.start()
    disk.open(wire)
    token = wire.publish("t", qos=1)
    disk.commit(wire)
    wire.sent()
    wire.receive_bytes(b"\x40\x02\x00\x01")
    assert wire.events() == [PublishCompleted(token)]


def test_a_session_stored_with_5_goes_on_with_311():
    disk = Disk()
    wire = disk.start()
    disk.open(wire)
    wire.client.subscribe(
        [SubscribeFilter("a", 1, True, True, 1)], properties=Properties(subscription_identifiers=(7,)), now=wire.now
    )
    disk.commit(wire)
    wire.receive(SubackPacket(wire.sent()[-1].packet_id, [1]))
    wire.publish("t", b"1", qos=1, properties=Properties(content_type="text"))
    disk.commit(wire)
    again = disk.start(version=4, session_expiry_s=0)
    disk.open(again)
    disk.commit(again)
    assert again.client.connected
    subscribe, publish = again.sent()
    assert subscribe.subscriptions == [SubscribeFilter("a", 1)]
    assert (publish.topic, publish.payload) == ("t", b"1")

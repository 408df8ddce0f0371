"""The will: when it is published, when it is not, and as what (sections 3.1.2.5, 3.1.3.2, 3.14.4)."""

from __future__ import annotations

import pytest

from mqtt_core.broker import SessionEnded
from mqtt_core.codec import DisconnectPacket, Properties, PublishPacket, SubscribeFilter, Will
from mqtt_core.session.message import Message
from tests.broker.kit import Rules, World, connect_packet


@pytest.fixture
def watcher(world):
    client = world.connect("watcher", version=4)
    client.subscribe("will/#")
    return client


def kept(version, seconds=100):
    return {"session_expiry_interval": seconds} if version == 5 else {}


GONE = PublishPacket("will/c", b"gone")


# ---------------------------------------------------------------------------------------------- published, and when not


@pytest.mark.spec("MQTT-3.1.2-8", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-8", version="5.0")
def test_the_will_is_published_when_the_connection_breaks(world, watcher, version):
    client = world.connect("c", version=version, will=Will("will/c", b"gone"))
    world.wait(1000)
    assert watcher.messages() == []
    client.drop()
    assert watcher.messages() == [GONE]
    assert world.counters.wills_published == 1


@pytest.mark.spec("MQTT-3.1.2-10", "MQTT-3.14.4-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-10", "MQTT-3.14.4-3", version="5.0")
def test_disconnect_deletes_the_will(world, watcher, version):
    client = world.connect("c", version=version, will=Will("will/c", b"gone"), **kept(version))
    client.send(DisconnectPacket())
    assert client.closed
    world.wait(1000)
    assert watcher.messages() == []
    assert world.counters.wills_published == 0


@pytest.mark.parametrize("code", [0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x97])
def test_a_disconnect_with_another_code_than_success_leaves_the_will(world, watcher, code):
    client = world.connect("c", will=Will("will/c", b"gone"))
    client.send(DisconnectPacket(code))
    assert watcher.messages() == [GONE]


@pytest.mark.parametrize(
    "fault", [b"\x00\x00", b"\x3e\x05\x00\x01t\x00\x01", b"\x82\x02\x00\x01", b"\x10\x02\x00\x00"], ids=str
)
def test_a_fault_of_the_client_publishes_its_will(world, watcher, version, fault):
    client = world.connect("c", version=version, will=Will("will/c", b"gone"))
    client.send_bytes(fault)
    assert client.closed
    assert watcher.messages() == [GONE]


def test_a_client_disconnected_by_the_host_has_its_will_published(world, watcher):
    world.connect("c", will=Will("will/c", b"gone"))
    world.broker.disconnect("c", 0x98, world.now)
    world.settle()
    assert watcher.messages() == [GONE]


@pytest.mark.spec("MQTT-3.1.2-10", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-10", version="5.0")
def test_a_will_is_published_once(world, watcher, version):
    client = world.connect("c", version=version, clean=False, will=Will("will/c", b"gone"), **kept(version))
    client.drop()
    assert watcher.messages() == [GONE]
    client.handler.receive_eof(world.now)
    client = world.connect("c", version=version, clean=False, **kept(version))
    client.drop()
    world.wait(1000)
    assert watcher.messages() == []


@pytest.mark.spec("MQTT-3.1.2-12", version="3.1.1")
def test_without_a_will_nothing_is_published(world, watcher):
    world.connect("c", version=4, clean=False, will=Will("will/c", b"gone")).send(DisconnectPacket())
    world.connect("c", version=4, clean=False).drop()
    assert watcher.messages() == []


def test_a_new_connection_brings_a_new_will(world, watcher, version):
    client = world.connect("c", version=version, clean=False, will=Will("will/c", b"1"), **kept(version))
    client.send(DisconnectPacket())
    world.connect("c", version=version, clean=False, will=Will("will/c", b"2"), **kept(version)).drop()
    assert watcher.messages() == [PublishPacket("will/c", b"2")]


def test_a_client_that_is_refused_has_no_will(watcher, world):
    policy = Rules(publish=lambda *_: False)
    other = World(policy=policy)
    eyes = other.connect("watcher")
    eyes.subscribe("#")
    client = other.connect("c", will=Will("will/c", b"gone"), accepted=False)
    assert client.connack.reason_code == 0x87
    assert client.closed
    assert eyes.messages() == []


# -------------------------------------------------------------------------------------------------------------- as what


@pytest.mark.spec("MQTT-3.1.2-16", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-14", version="5.0")
def test_a_plain_will_is_not_retained(world, watcher, version):
    world.connect("c", version=version, will=Will("will/c", b"gone")).drop()
    assert watcher.messages() == [GONE]
    assert world.broker.retained() == []


@pytest.mark.spec("MQTT-3.1.2-17", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-15", version="5.0")
def test_a_retained_will_is_retained(world, watcher, version):
    world.connect("c", version=version, will=Will("will/c", b"gone", 1, True)).drop()
    assert watcher.messages() == [PublishPacket("will/c", b"gone", 1, packet_id=1)]
    assert world.broker.retained() == [Message("will/c", b"gone", 1, True)]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_is_published_with_its_qos(world, watcher, version, qos):
    world.connect("c", version=version, will=Will("will/c", b"gone", qos)).drop()
    assert [m.qos for m in watcher.messages()] == [qos]


@pytest.mark.spec("MQTT-3.1.3-10", version="5.0")
def test_the_properties_of_a_will_are_those_of_its_message(world):
    watcher = world.connect("watcher")
    watcher.subscribe("will/c")
    properties = {
        "payload_format_indicator": 1,
        "content_type": "text/plain",
        "response_topic": "answer",
        "correlation_data": b"\x00\x01",
        "user_properties": (("z", "1"), ("a", "2"), ("z", "0")),
    }
    will = Will("will/c", b"gone", properties=Properties(will_delay_interval=0, **properties))
    world.connect("c", will=will).drop()
    assert watcher.messages() == [PublishPacket("will/c", b"gone", properties=Properties(**properties))]


def test_the_expiry_of_a_will_runs_from_its_publication(world):
    properties = Properties(message_expiry_interval=10, will_delay_interval=50)
    late = world.connect("late", clean=False, session_expiry_interval=1000)
    late.subscribe("will/c")
    late.drop()
    world.connect("c", will=Will("will/c", b"gone", 1, properties=properties), session_expiry_interval=100).drop()
    world.wait(55)
    late = world.connect("late", clean=False)
    (message,) = late.early
    assert message.properties == Properties(message_expiry_interval=5)


def test_a_will_is_not_delivered_to_its_own_no_local_subscription(world):
    own = world.connect("c", session_expiry_interval=100, will=Will("will/c", b"gone", 1))
    own.subscribe(SubscribeFilter("will/c", 1, no_local=True))
    own.drop()
    assert world.session("c").queued() == 0


@pytest.mark.parametrize("topic", ["$SYS/x", "$CONTROL/x"])
def test_a_will_on_a_topic_of_the_broker_is_refused(world, topic, version):
    client = world.connect("c", version=version, will=Will(topic, b"x"), accepted=False)
    assert client.connack.reason_code == (5 if version == 4 else 0x87)


@pytest.mark.parametrize("topic", ["a/+/b", "#", "", "a\x00b"])
def test_a_will_topic_that_is_no_topic_name_is_refused(world, topic):
    will_topic = len(topic).to_bytes(2, "big") + topic.encode()
    body = b"\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01c\x00" + will_topic + b"\x00\x00"
    client = world.dial()
    client.send_bytes(bytes([0x10, len(body)]) + body)
    (connack,) = client.received()
    assert connack.reason_code >= 0x80
    assert client.closed


def test_a_will_topic_with_too_many_levels_is_refused(version):
    world = World(topic_levels_max=3)
    assert world.connect("c", version=version, will=Will("a/b/c")).connack.reason_code == 0
    client = world.dial(version)
    client.send(connect_packet("d", version=version, will=Will("a/b/c/d")))
    assert [p.reason_code for p in client.received()] == ([] if version == 4 else [0x90])
    assert client.closed


def test_the_right_to_publish_the_will_is_asked_at_both_ends():
    allowed = []
    world = World(policy=Rules(publish=lambda principal, topic, qos, retain: topic in allowed))
    watcher = world.connect("watcher")
    watcher.subscribe("#")
    assert world.connect("c", will=Will("will/c"), accepted=False).connack.reason_code == 0x87
    allowed.append("will/c")
    client = world.connect("c", will=Will("will/c"))
    allowed.clear()
    client.drop()
    assert watcher.messages() == []
    assert world.counters.dropped_not_authorized == 1


# ------------------------------------------------------------------------------------------------------------ the delay


def delayed(seconds):
    return Will("will/c", b"gone", properties=Properties(will_delay_interval=seconds))


@pytest.mark.spec("MQTT-3.1.2-7", "MQTT-3.1.2-8", "MUST-3.1.3.2.2-2", version="5.0")
def test_a_delayed_will_is_published_when_its_delay_is_over(world, watcher):
    world.connect("c", will=delayed(50), session_expiry_interval=100).drop()
    world.wait(49.9)
    assert watcher.messages() == []
    world.wait(0.2)
    assert watcher.messages() == [GONE]
    world.wait(1000)
    assert watcher.messages() == []
    assert world.session("c") is None


@pytest.mark.spec("MUST-3.1.3.2.2-2", version="5.0")
@pytest.mark.parametrize("expiry_s", [0, 20, 50])
def test_a_delayed_will_is_published_at_the_end_of_its_session_at_the_latest(world, watcher, expiry_s):
    world.connect("c", will=delayed(50), session_expiry_interval=expiry_s).drop()
    world.wait(expiry_s - 0.1 if expiry_s else 0)
    assert watcher.messages() == ([] if expiry_s else [GONE])
    world.wait(0.2)
    assert world.session("c") is None
    assert watcher.messages() == ([GONE] if expiry_s else [])
    world.wait(100)
    assert watcher.messages() == []


@pytest.mark.spec("MQTT-3.1.2-8", version="5.0")
def test_a_client_that_is_back_too_late_has_its_will_published_though_the_timer_has_not_been_served(world, watcher):
    """A loop that is busy sees the bytes of the client before it sees the time."""
    will = Will("will/c", b"gone", properties=Properties(will_delay_interval=10))
    world.connect("c", will=will, session_expiry_interval=100).drop()
    back = world.dial()
    world.now += 10
    back.send(connect_packet("c", clean=False, session_expiry_interval=100))
    assert back.received()[0].session_present
    assert watcher.messages() == [GONE]
    world.wait(1000)
    assert watcher.messages() == []


@pytest.mark.spec("MQTT-3.1.2-8", "MQTT-3.1.3-9", version="5.0")
def test_a_client_that_is_back_in_time_has_no_will_published(world, watcher):
    world.connect("c", will=delayed(50), session_expiry_interval=100).drop()
    world.wait(49)
    back = world.connect("c", clean=False, session_expiry_interval=100)
    world.wait(1000)
    assert watcher.messages() == []
    back.drop()
    world.wait(99)
    assert watcher.messages() == []


def test_a_clean_start_ends_the_session_and_so_the_delay(world, watcher):
    world.connect("c", will=delayed(50), session_expiry_interval=100).drop()
    world.wait(10)
    world.connect("c", session_expiry_interval=100)
    assert watcher.messages() == [GONE]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("delay_s", [0, 50])
def test_a_taken_over_client_has_its_will_published_unless_the_session_goes_on_within_the_delay(
    world, watcher, clean, delay_s
):
    world.connect("c", will=delayed(delay_s), session_expiry_interval=100)
    world.connect("c", clean=clean, session_expiry_interval=100)
    assert watcher.messages() == ([] if delay_s and not clean else [GONE])
    world.wait(1000)
    assert watcher.messages() == []


def test_an_expiry_given_at_disconnect_bounds_the_delay(world, watcher):
    client = world.connect("c", will=delayed(50), session_expiry_interval=100)
    client.send(DisconnectPacket(0x04, Properties(session_expiry_interval=10)))
    world.wait(9.9)
    assert watcher.messages() == []
    world.wait(0.2)
    assert watcher.messages() == [GONE]


def test_a_session_that_ends_says_so(world):
    world.connect("c", will=delayed(5), session_expiry_interval=10).drop()
    world.events()
    world.wait(11)
    assert [(e.client_id, e.reason, e.now) for e in world.events(SessionEnded)] == [("c", "expired", world.now - 1)]


# -------------------------------------------------------------------------------------------------------------- storage


def durable_watcher(world):
    client = world.connect("watcher", session_expiry_interval=10_000)
    client.subscribe("will/#")
    client.drop()


def watch(world):
    return [m.payload for m in world.connect("watcher", clean=False, session_expiry_interval=10_000).early]


def qos1_will(delay_s):
    return Will("will/c", b"gone", 1, properties=Properties(will_delay_interval=delay_s))


def test_a_delayed_will_survives_the_process():
    world = World(stored=True)
    durable_watcher(world)
    world.connect("c", will=qos1_will(50), session_expiry_interval=100).drop()
    world.wait(20)
    world.restart()
    world.wait(29.9)
    assert world.session("watcher").queued() == 0
    world.wait(0.2)
    assert watch(world) == [b"gone"]
    world.restart()
    world.wait(1000)
    assert world.session("watcher").queued() == 0


def test_an_overdue_will_is_published_when_the_broker_is_back():
    world = World(stored=True)
    durable_watcher(world)
    world.connect("c", will=qos1_will(50), session_expiry_interval=100).drop()
    world.restart(after=60)
    assert watch(world) == [b"gone"]


def test_the_will_of_a_client_that_was_connected_when_the_process_died_is_published():
    world = World(stored=True)
    durable_watcher(world)
    world.connect("c", will=qos1_will(0), session_expiry_interval=100)
    world.restart(crash=True)
    assert watch(world) == [b"gone"]


@pytest.mark.spec("MQTT-3.1.2-10", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-10", version="5.0")
def test_a_will_is_published_and_forgotten_in_one_batch(version):
    """A crash between the two would lose the will or publish it twice."""
    world = World(stored=True)
    durable_watcher(world)
    client = world.connect("c", version=version, clean=False, will=Will("will/c", b"gone", 1), **kept(version))
    world.auto_commit = False
    client.drop()
    assert world.commit()
    assert not world.commit()
    world.auto_commit = True
    world.restart(crash=True)
    assert world.session("watcher").queued() == 1
    assert watch(world) == [b"gone"]
    assert world.session("c").will is None


@pytest.mark.parametrize("delay_s", [0, 10])
@pytest.mark.parametrize("expiry_s", [10, 100])
def test_a_will_reaches_nobody_before_it_is_durable_that_it_is_forgotten(version, delay_s, expiry_s):
    """A crash would have it published again."""
    world = World(stored=True)
    watcher = world.connect("watcher", version=version)
    watcher.subscribe("will/#")
    client = world.connect("c", will=qos1_will(delay_s), session_expiry_interval=expiry_s)
    world.auto_commit = False
    client.drop()
    if delay_s:
        world.commit()
        world.wait(delay_s)
    assert watcher.messages() == []
    world.commit()
    world.settle()
    assert watcher.messages() == [PublishPacket("will/c", b"gone", 1, packet_id=1)]


@pytest.mark.spec("MQTT-3.1.2-10", "MQTT-3.14.4-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-10", "MQTT-3.14.4-3", version="5.0")
def test_a_will_deleted_by_disconnect_does_not_come_back(version):
    world = World(stored=True)
    durable_watcher(world)
    client = world.connect("c", version=version, clean=False, will=Will("will/c", b"gone", 1), **kept(version))
    client.send(DisconnectPacket())
    world.restart()
    world.wait(1000)
    assert watch(world) == []

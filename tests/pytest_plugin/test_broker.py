"""The broker that applications are tested against: what it records, the faults it makes, and its time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest

import mqtt_adapters.asyncio
from mqtt_adapters.blocking import Client
from mqtt_adapters.errors import ConnectRefused
from mqtt_adapters.testing import broker as testing_broker
from mqtt_adapters.testing.broker import MqttTestBroker
from mqtt_core.broker import Accept
from mqtt_core.codec import (
    V5,
    ConnectPacket,
    InvalidTopicFilter,
    LocalProtocolError,
    Properties,
    StorageError,
    Will,
    encode,
)
from mqtt_core.persistence import MemoryStore

HOUR = 3600.0


def connect(broker, client_id="lamp", **options):
    return Client(broker.host, broker.port, client_id=client_id, **options)


def hear(client, topic_filter="#", **options):
    """Subscribe; returns the stream of messages."""
    client.subscribe(topic_filter, qos=1, **options)
    return client.messages(timeout=5)


# ------------------------------------------------------------------------------------------------------- what it hears


@pytest.mark.parametrize("bulk_path", [True, False])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_a_client_publishes_is_expected(mqtt_broker_factory, qos, bulk_path):
    broker = mqtt_broker_factory(bulk_path=bulk_path)
    with connect(broker) as lamp:
        lamp.publish("lamp/state", "on", qos=qos, retain=True)
        message = broker.expect("lamp/+", "on")
    assert (message.topic, message.text, message.qos, message.retain, message.publisher) == (
        "lamp/state", "on", qos, True, "lamp",
    )  # fmt: skip
    assert broker.retained() == {"lamp/state": b"on"}


def test_a_message_may_come_before_or_after_it_is_expected(mqtt_broker):
    with connect(mqtt_broker) as lamp:
        lamp.publish("lamp/state", "on", qos=1)
        mqtt_broker.expect("lamp/state")
        caller = threading.Thread(target=lamp.publish, args=("lamp/state", "off"))
        caller.start()
        assert mqtt_broker.expect("lamp/state").text == "off"
        caller.join()


def test_each_message_answers_one_expectation(mqtt_broker):
    with connect(mqtt_broker) as lamp:
        for payload in ("on", "off", "on"):
            lamp.publish("lamp/state", payload, qos=1)
    assert mqtt_broker.expect("lamp/state", "on").text == "on"
    assert mqtt_broker.expect("#").text == "off"
    assert mqtt_broker.expect("lamp/state", b"on").text == "on"
    with pytest.raises(AssertionError):
        mqtt_broker.expect("lamp/state", timeout=0)
    assert [message.text for message in mqtt_broker.received("lamp/#")] == ["on", "off", "on"]
    assert mqtt_broker.received("heater/#") == []


def test_a_failed_expectation_lists_what_came_and_the_nearest_topics(mqtt_broker):
    with connect(mqtt_broker) as lamp:
        lamp.publish("lamp/state", "on", qos=1)
        lamp.publish("lamp/power", b"\0" * 100, qos=1, retain=True)
        lamp.publish("quite/different", qos=1)
    mqtt_broker.expect("quite/different")
    with pytest.raises(AssertionError) as failure:
        mqtt_broker.expect("lamp/stat", "on", timeout=0)
    lines = str(failure.value).splitlines()
    assert lines[0] == ("no message on 'lamp/stat' with payload b'on' within 0 s; what has arrived, oldest first:")
    assert lines[1] == "  lamp/state  b'on'  (QoS 1, from 'lamp')"
    assert lines[2].endswith("... (100 bytes)  (QoS 1, retained, from 'lamp')")
    assert lines[3] == "  quite/different  b''  (QoS 1, from 'lamp', expected before)"
    assert lines[4] == "nearest topics: lamp/state, lamp/power"


def test_a_failed_expectation_of_a_payload_names_no_topics(mqtt_broker):
    with connect(mqtt_broker) as lamp:
        lamp.publish("lamp/state", "on", qos=1)
    with pytest.raises(AssertionError) as failure:
        mqtt_broker.expect("lamp/state", "off", timeout=0)
    assert "topics" not in str(failure.value)


def test_a_failed_expectation_shows_the_newest_of_many(mqtt_broker):
    with connect(mqtt_broker) as lamp:
        for number in range(60):
            lamp.publish("n", str(number), qos=1)
    with pytest.raises(AssertionError) as failure:
        mqtt_broker.expect("xyz", timeout=0)
    lines = str(failure.value).splitlines()
    assert lines[1] == "  (10 more)"
    assert lines[2].startswith("  n  b'10'")
    assert lines[-1] == "no topic is near"


def test_nothing_at_all_is_said_so(mqtt_broker):
    with pytest.raises(AssertionError, match="no message on '#' within 0 s; nothing has arrived"):
        mqtt_broker.expect("#", timeout=0)


@pytest.mark.parametrize("topic_filter", ["$SYS/#", "$share/group/a"])
def test_what_cannot_be_recorded_is_not_expected_in_vain(mqtt_broker, topic_filter):
    with pytest.raises(ValueError, match="not recorded"):
        mqtt_broker.expect(topic_filter)
    with pytest.raises(ValueError, match="not recorded"):
        mqtt_broker.received(topic_filter)


def test_a_payload_that_cannot_be_is_not_expected_in_vain(mqtt_broker):
    with pytest.raises(TypeError, match="a payload is bytes or a string, not float"):
        mqtt_broker.expect("a", 21.5)


def test_a_filter_that_cannot_be_has_no_retained_messages(mqtt_broker):
    for topic_filter in ("", "a/#/b"):
        with pytest.raises(InvalidTopicFilter):
            mqtt_broker.retained(topic_filter)


def test_an_expectation_may_wait_for_ever(mqtt_broker):
    with connect(mqtt_broker) as lamp:
        lamp.publish("lamp/state", "on")
        assert mqtt_broker.expect("lamp/state", "on", timeout=float("inf")).text == "on"
        later = threading.Timer(0.01, lamp.publish, ("lamp/state", "off"))
        later.start()
        assert mqtt_broker.expect("lamp/state", "off", timeout=float("inf")).text == "off"
        later.join()


def test_what_the_test_publishes_reaches_clients_and_is_not_recorded(mqtt_broker):
    with connect(mqtt_broker) as lamp:
        messages = hear(lamp, "lamp/set")
        mqtt_broker.publish("lamp/set", "on", qos=1, properties=Properties(content_type="text/plain"))
        message = next(messages)
    assert (message.payload, message.qos, message.properties.content_type) == (b"on", 1, "text/plain")
    assert mqtt_broker.received() == []


def test_a_coroutine_expects_in_a_thread(mqtt_broker):
    async def test():
        async with mqtt_adapters.asyncio.Client(mqtt_broker.host, mqtt_broker.port) as lamp:
            expected = asyncio.create_task(asyncio.to_thread(mqtt_broker.expect, "lamp/state"))
            await lamp.publish("lamp/state", "on")
            return await expected

    assert asyncio.run(test()).text == "on"


# ------------------------------------------------------------------------------------------------- who is there


def test_clients_are_awaited(mqtt_broker):
    with pytest.raises(AssertionError, match="client 'lamp' has not connected within 0 s; connected: nobody"):
        mqtt_broker.expect_connected("lamp", timeout=0)
    with connect(mqtt_broker):
        mqtt_broker.expect_connected("lamp")
        assert mqtt_broker.clients == ["lamp"]
        with pytest.raises(AssertionError, match="client 'lamp' is still connected after 0 s"):
            mqtt_broker.expect_disconnected("lamp", timeout=0)
    mqtt_broker.expect_disconnected("lamp")


def test_subscriptions_are_awaited(mqtt_broker):
    with connect(mqtt_broker) as lamp:
        caller = threading.Thread(target=lamp.subscribe, args=("lamp/set",))
        caller.start()
        mqtt_broker.expect_subscription("lamp/set")
        caller.join()
        mqtt_broker.expect_subscription("lamp/set", "lamp")
        with pytest.raises(AssertionError, match=r"subscriptions: lamp/set \(lamp\)"):
            mqtt_broker.expect_subscription("lamp/set", "heater", timeout=0)
    mqtt_broker.expect_disconnected("lamp")
    with pytest.raises(AssertionError, match="subscriptions: none"):
        mqtt_broker.expect_subscription("lamp/set", timeout=0)


# ------------------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize("reason_code", [None, 0x98])
def test_a_dropped_client_has_its_will_published_and_connects_again(mqtt_broker, reason_code):
    with connect(mqtt_broker, will=Will("lamp/gone", b"yes"), reconnect_min_s=0.01):
        mqtt_broker.drop("lamp", reason_code)
        assert mqtt_broker.expect("lamp/gone").publisher == "lamp"
        mqtt_broker.expect_connected("lamp")


def test_who_is_not_there_cannot_be_dropped_or_paused(mqtt_broker):
    with connect(mqtt_broker, "heater"):
        for verb in (mqtt_broker.drop, mqtt_broker.pause, mqtt_broker.resume):
            with pytest.raises(LookupError, match="no client 'lamp' is connected; connected: heater"):
                verb("lamp")


def test_new_clients_are_refused_until_they_are_accepted(mqtt_broker):
    mqtt_broker.refuse(0x9F)
    with pytest.raises(ConnectRefused) as refused:
        connect(mqtt_broker).start()
    assert refused.value.reason_code == 0x9F
    mqtt_broker.accept()
    with connect(mqtt_broker):
        assert mqtt_broker.clients == ["lamp"]


@pytest.mark.parametrize("reason_code", [0, 4, 0x8D, 0x100])
def test_a_code_that_refuses_nobody_is_a_mistake(mqtt_broker, reason_code):
    with pytest.raises(ValueError, match="CONNACK does not refuse with"):
        mqtt_broker.refuse(reason_code)
    with connect(mqtt_broker):
        pass


def test_a_code_that_drops_nobody_is_a_mistake(mqtt_broker):
    with connect(mqtt_broker), pytest.raises(LocalProtocolError):
        mqtt_broker.drop("lamp", 0x04)


def test_a_paused_client_hears_nothing_and_is_not_heard_until_it_is_resumed(mqtt_broker):
    with connect(mqtt_broker) as lamp, connect(mqtt_broker, "heater") as heater:
        messages = hear(lamp, "lamp/set")
        mqtt_broker.pause("lamp")
        mqtt_broker.publish("lamp/set", "on")
        lamp.publish("lamp/state", "on")
        heater.publish("heater/state", "on", qos=1)
        assert [message.topic for message in mqtt_broker.received()] == ["heater/state"]
        assert len(messages) == 0
        mqtt_broker.resume("heater")
        mqtt_broker.resume("lamp")
        assert next(messages).payload == b"on"
        mqtt_broker.expect("lamp/state")


def test_everybody_is_paused_newcomers_too(mqtt_broker):
    with connect(mqtt_broker) as lamp:
        mqtt_broker.pause()
        lamp.publish("lamp/state", "on")
        newcomer = connect(mqtt_broker, "heater")
        caller = threading.Thread(target=newcomer.start)
        caller.start()
        mqtt_broker._wait(lambda: mqtt_broker._server.connections == 2, 2, lambda: "the newcomer has not come")
        assert (mqtt_broker.clients, mqtt_broker.received()) == (["lamp"], [])
        mqtt_broker.resume()
        mqtt_broker.expect("lamp/state")
        mqtt_broker.expect_connected("heater")
        caller.join()
        newcomer.close()


def test_a_restart_keeps_the_port_and_clients_come_back(mqtt_broker):
    port = mqtt_broker.port
    with connect(mqtt_broker, reconnect_min_s=0.01) as lamp:
        lamp.publish("lamp/state", "on", qos=1, retain=True)
        mqtt_broker.restart()
        assert mqtt_broker.port == port
        mqtt_broker.expect_connected("lamp")
        assert mqtt_broker.retained() == {}
        lamp.publish("lamp/state", "off", qos=1)
    assert [message.text for message in mqtt_broker.received()] == ["on", "off"]


@pytest.mark.parametrize("kind", ["memory", "file", "storage"])
def test_a_store_survives_the_restart(mqtt_broker_factory, tmp_path, kind):
    store = {"memory": True, "file": tmp_path / "broker.db", "storage": MemoryStore()}[kind]
    broker = mqtt_broker_factory(store=store)
    with connect(broker, clean_start=False, session_expiry_s=60) as lamp:
        lamp.subscribe("lamp/set", qos=1)
        lamp.publish("lamp/state", "on", qos=1, retain=True)
    broker.expect_disconnected("lamp")
    broker.publish("lamp/set", "off", qos=1)
    broker.restart()
    assert broker.retained() == {"lamp/state": b"on"}
    assert len(broker.received()) == 1
    with connect(broker, clean_start=False, session_expiry_s=60) as lamp:
        assert next(lamp.messages(timeout=5)).payload == b"off"


def test_an_outage_lasts_as_long_as_the_test_wants(mqtt_broker):
    with connect(mqtt_broker, reconnect_min_s=0.01) as lamp:
        mqtt_broker.stop()
        with pytest.raises(RuntimeError, match="the broker is not running"):
            mqtt_broker.publish("a")
        lamp.publish_nowait("lamp/state", "on", qos=1)
        mqtt_broker.start()
        mqtt_broker.expect("lamp/state")
    with pytest.raises(RuntimeError, match="the broker is running"):
        mqtt_broker.start()


class Stubborn:
    """Thinks about everybody until the gate opens."""

    def __init__(self):
        self.asked = threading.Event()
        self.gate = threading.Event()

    def authenticate(self, connect, peer):
        self.asked.set()
        self.gate.wait()
        return Accept()


def test_a_broker_that_does_not_stop_says_so(monkeypatch):
    monkeypatch.setattr(testing_broker, "STOP_S", 0.01)
    policy = Stubborn()
    broker = MqttTestBroker(policy=policy)
    broker.start()
    server = broker._server
    with socket.create_connection((broker.host, broker.port)) as sock:
        sock.sendall(encode(ConnectPacket("lamp"), V5))
        policy.asked.wait()
        with pytest.raises(RuntimeError, match=r"the broker has not stopped within 0\.01 s"):
            broker.stop()
        policy.gate.set()
    assert server.stop_within(5)
    assert broker.close() == []


# -------------------------------------------------------------------------------------------------------------- time


def test_an_hour_of_will_delay_passes_at_once(mqtt_broker):
    will = Will("lamp/gone", b"yes", properties=Properties(will_delay_interval=3600))
    lamp = connect(mqtt_broker, will=will, session_expiry_s=7200, reconnect=False).start()
    mqtt_broker.drop("lamp")
    lamp.close()
    mqtt_broker.advance(HOUR - 10)
    assert mqtt_broker.received() == []
    mqtt_broker.advance(10)
    assert [message.topic for message in mqtt_broker.received()] == ["lamp/gone"]


def test_what_is_due_on_the_way_happens_at_its_moment(mqtt_broker):
    """The will is retained for ten seconds from when it is published, not from when the clock has stopped."""
    properties = Properties(will_delay_interval=30, message_expiry_interval=10)
    will = Will("lamp/gone", b"yes", retain=True, properties=properties)
    lamp = connect(mqtt_broker, will=will, session_expiry_s=7200, reconnect=False).start()
    mqtt_broker.drop("lamp")
    lamp.close()
    mqtt_broker.advance(60)
    assert len(mqtt_broker.received()) == 1
    assert mqtt_broker.retained() == {}


def test_time_is_no_reason_to_lose_clients_that_are_there(mqtt_broker):
    with connect(mqtt_broker, keep_alive_s=30, reconnect=False) as lamp:
        messages = hear(lamp, "lamp/set")
        mqtt_broker.advance(HOUR)
        mqtt_broker.advance(10)
        mqtt_broker.publish("lamp/set", "on")
        assert next(messages).payload == b"on"


def test_a_stalled_client_runs_out_of_keep_alive(mqtt_broker):
    with connect(mqtt_broker, keep_alive_s=30, reconnect=False, will=Will("lamp/gone")):
        mqtt_broker.pause("lamp")
        mqtt_broker.advance(30)
        assert mqtt_broker.clients == ["lamp"]
        mqtt_broker.advance(15)
        assert mqtt_broker.clients == []
        mqtt_broker.expect("lamp/gone", timeout=0)


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan"), 2.0**33])
def test_a_step_of_time_that_cannot_be_is_refused_and_time_goes_on(mqtt_broker, seconds):
    with pytest.raises(ValueError, match="time"):
        mqtt_broker.advance(seconds)
    with connect(mqtt_broker) as lamp:
        lamp.publish("lamp/state", "on", qos=1)
    mqtt_broker.advance(0xFFFFFFFF)


def test_time_goes_on_after_a_restart_and_never_back(mqtt_broker_factory):
    broker = mqtt_broker_factory(store=True)
    with connect(broker, session_expiry_s=100):
        pass
    broker.expect_disconnected("lamp")
    broker.publish("a", "x", retain=True, properties=Properties(message_expiry_interval=100))
    broker.advance(90)
    broker.restart()
    assert broker.retained() == {"a": b"x"}
    broker.advance(11)
    assert broker.retained() == {}
    with pytest.raises(ValueError, match="time does not go back"):
        broker.advance(-1)


# --------------------------------------------------------------------------------------------------------- arguments


def test_users_have_passwords(mqtt_broker_factory):
    broker = mqtt_broker_factory(users={"ann": "secret"})
    for credentials in ({}, {"username": "ann"}, {"username": "ann", "password": "x"}, {"username": "bob"}):
        with pytest.raises(ConnectRefused) as refused:
            connect(broker, **credentials).start()
        assert refused.value.reason_code == 0x86
    with connect(broker, username="ann", password="secret"):
        pass


class Gardener:
    """Lets in everybody with a method, and keeps them to the garden."""

    def authenticate(self, connect, peer):
        return Accept("gardener")

    def continue_authentication(self, connect, auth, peer):
        return Accept("gardener", data=b"again")

    def authorize_publish(self, principal, topic, qos, retain):
        return topic.startswith("garden/")

    def authorize_subscribe(self, principal, topic_filter, qos):
        return qos if topic_filter.startswith("garden/") else 0x87

    def authorize_deliver(self, principal, topic):
        return topic != "garden/secret"


def test_a_policy_decides(mqtt_broker_factory):
    broker = mqtt_broker_factory(policy=Gardener())
    with connect(broker, authentication_method="spade", authenticate=lambda data: b"") as lamp:
        lamp.reauthenticate(b"")
        messages = hear(lamp, "garden/#")
        lamp.publish("house/state")
        lamp.publish("garden/secret", "x")
        lamp.publish("garden/state", "y")
        assert next(messages).topic == "garden/state"
    assert [message.topic for message in broker.received()] == ["garden/secret", "garden/state"]


def test_enhanced_authentication_needs_a_policy(mqtt_broker):
    with pytest.raises(ConnectRefused) as refused:
        connect(mqtt_broker, authentication_method="spade", authenticate=lambda data: b"").start()
    assert refused.value.reason_code == 0x8C


def test_users_and_policy_exclude_each_other():
    with pytest.raises(ValueError, match="one of them"):
        MqttTestBroker(users={}, policy=Gardener())


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
def test_tls_and_websocket_by_argument(mqtt_broker_factory, certificates, scheme):
    settings = {}
    if scheme.startswith("ws"):
        settings["websocket"] = True
    context = None
    if scheme.endswith("s") and scheme != "ws":
        settings |= {"tls_cert_file": certificates["server"], "tls_key_file": certificates["server-key"]}
        context = ssl.create_default_context(cafile=certificates["ca"])
    broker = mqtt_broker_factory(**settings)
    assert broker.url == f"{scheme}://127.0.0.1:{broker.port}"
    with Client(broker.url, client_id="lamp", tls=context) as lamp:
        broker.pause("lamp")
        lamp.publish("lamp/state", "on")
        broker.resume("lamp")
        broker.expect("lamp/state", "on")


def test_brokers_share_nothing(mqtt_broker_factory):
    one, other = mqtt_broker_factory(), mqtt_broker_factory()
    with connect(one) as lamp, connect(other, reconnect=False):
        lamp.publish("lamp/state", "on", qos=1)
        other.advance(HOUR)
        assert one.port != other.port
    assert other.received() == []
    assert len(one.received()) == 1


def test_a_setting_that_does_not_exist(mqtt_broker_factory):
    with pytest.raises(TypeError, match="a broker has no setting 'max_packetsize'; did you mean 'max_packet_size'"):
        mqtt_broker_factory(max_packetsize=3)


def test_the_address_is_the_brokers_to_choose():
    with pytest.raises(TypeError, match="leave bind_addr out"):
        MqttTestBroker(bind_addr="127.0.0.1:1883")


def test_a_password_is_text():
    with pytest.raises(TypeError, match="the password of 'ann' is text, not bytes"):
        MqttTestBroker(users={"ann": b"secret"})


def test_a_client_that_has_connected_and_not_said_so_yet_is_stalled_with_everybody(mqtt_broker):
    with socket.create_connection((mqtt_broker.host, mqtt_broker.port)) as early:
        early.settimeout(10)
        while not mqtt_broker._server.connections:
            threading.Event().wait(0.005)
        mqtt_broker.pause()
        early.sendall(encode(ConnectPacket("early"), V5))
        with mqtt_broker._lock:
            mqtt_broker._server.settled(0.05)  # two steps, which see whatever has arrived
        assert mqtt_broker.clients == []
        mqtt_broker.resume()
        mqtt_broker.expect_connected("early")


def test_closing_a_broker_whose_storage_has_failed_takes_no_time():
    class Full(MemoryStore):
        async def apply(self, batch):
            raise OSError("the disk is full")

    waited = []

    class News(threading.Condition):
        def wait(self, timeout=None):
            waited.append(timeout)
            return super().wait(timeout)

    broker = MqttTestBroker(store=Full())
    broker._news = News(broker._lock)
    broker.start()
    with pytest.raises(StorageError):
        broker.publish("t", b"x", qos=1, retain=True)
    broker._server._thread.join()
    assert broker.close() == []
    assert waited == []

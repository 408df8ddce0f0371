from __future__ import annotations

import pytest

from mqtt_core.client import Connected, SessionLost, SubscribeCompleted, SubscriptionsRestored, UnsubscribeCompleted
from mqtt_core.codec import (
    NO_PROPERTIES,
    InvalidTopicFilter,
    LocalProtocolError,
    Properties,
    PubackPacket,
    ReasonCode,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
)
from tests.client.kit import Wire

both_versions = pytest.mark.parametrize("version", [4, 5])


def opened(version=5, **config):
    """A client with an open connection."""
    wire = Wire(version=version, **config)
    wire.open()
    return wire


def subscribe(wire, *filters, properties=NO_PROPERTIES):
    """Ask for filters given as texts or SubscribeFilters."""
    wanted = [SubscribeFilter(f) if isinstance(f, str) else f for f in filters]
    return wire.client.subscribe(wanted, properties=properties, now=wire.now)


def granted(wire, *filters, **options):
    """Subscribe, and let the server grant it."""
    subscribe(wire, *filters, **options)
    packet = wire.sent()[-1]
    wire.receive(SubackPacket(packet.packet_id, [s.qos for s in packet.subscriptions]))
    wire.events()


@pytest.mark.spec("MQTT-2.3.1-2", "MQTT-3.8.3-1", "MQTT-3.8.1-1", "MQTT-2.2.2-1", version="3.1.1")
def test_subscribe_of_311_carries_filters_and_qos():
    old = opened(4)
    old.client.subscribe([SubscribeFilter("é", 1), SubscribeFilter("#", 2)], now=0.0)
    assert old.raw() == b"\x82\x0b\x00\x01\x00\x02\xc3\xa9\x01\x00\x01#\x02"


@pytest.mark.spec("MQTT-2.2.1-3", "MQTT-3.8.3-1", "MQTT-3.8.1-1", "MQTT-2.1.3-1", version="5.0")
def test_subscribe_of_5_carries_filters_and_options():
    new = opened(5)
    new.client.subscribe(
        [SubscribeFilter("é", 1, True, True, 2)], properties=Properties(subscription_identifiers=(7,)), now=0.0
    )
    assert new.raw() == b"\x82\x0a\x00\x01\x02\x0b\x07\x00\x02\xc3\xa9\x2d"


@both_versions
def test_suback_tells_the_codes_in_order(version):
    wire = opened(version)
    token = subscribe(wire, SubscribeFilter("a", 2), "b")
    wire.receive(SubackPacket(1, [1, 0x80]))
    assert wire.events() == [SubscribeCompleted(token, ("a", "b"), (1, 0x80))]
    assert wire.client.subscriptions == ["a"]


@pytest.mark.spec("MQTT-3.10.3-1", "MQTT-3.10.1-1", version="5.0")
@pytest.mark.spec("MQTT-3.10.3-1", "MQTT-3.10.1-1", version="3.1.1")
def test_unsubscribe_gives_filters_back():
    old, new = opened(4), opened(5)
    for wire in (old, new):
        granted(wire, "é", "b")
        token = wire.client.unsubscribe(["é", "b"], now=wire.now)
        raw = wire.raw()
        codes = [] if wire is old else [0, 0x80]
        assert raw == (b"\xa2\x09\x00\x02" if wire is old else b"\xa2\x0a\x00\x02\x00") + b"\x00\x02\xc3\xa9\x00\x01b"
        wire.receive(UnsubackPacket(2, codes))
        assert wire.events() == [UnsubscribeCompleted(token, ("é", "b"), tuple(codes or (0, 0)))]
        assert wire.client.subscriptions == ([] if wire is old else ["b"])


@pytest.mark.spec("MQTT-3.8.3-2", "MQTT-3.10.3-2", "MQTT-3.8.3-4", version="5.0")
@pytest.mark.spec("MQTT-3.8.3-3", "MQTT-3.10.3-2", version="3.1.1")
@both_versions
def test_what_is_no_subscription_is_refused(version):
    wire = opened(version)
    for filters in ([], ["a/#/b"], [""], ["a\0"]):
        with pytest.raises((LocalProtocolError, InvalidTopicFilter)):
            subscribe(wire, *filters)
        with pytest.raises((LocalProtocolError, InvalidTopicFilter)):
            wire.client.unsubscribe(filters, now=wire.now)
    for wanted in (
        SubscribeFilter("a", 3),
        SubscribeFilter("$share/g/a", no_local=True),
        SubscribeFilter("a", 0, False, False, 3),
    ):
        with pytest.raises((LocalProtocolError, InvalidTopicFilter)):
            subscribe(wire, wanted)
    if version == 4:
        with pytest.raises(LocalProtocolError):
            subscribe(wire, SubscribeFilter("a", no_local=True))
        with pytest.raises(LocalProtocolError):
            subscribe(wire, "a", properties=Properties(user_properties=(("a", "b"),)))
    assert wire.raw() == b""
    assert wire.publish("t", qos=1) == 1  # nothing was taken


def test_a_filter_where_a_list_belongs_is_not_taken_for_a_list_of_letters():
    wire = opened()
    for mistake in (wire.client.subscribe, wire.client.unsubscribe):
        with pytest.raises(TypeError, match=r"takes a list of|list object expected"):
            mistake("a/b", now=wire.now)
    with pytest.raises(TypeError, match=r"a list of SubscribeFilter|object expected"):
        wire.client.subscribe(["a/b"], now=wire.now)
    assert wire.raw() == b""


def test_what_the_server_does_not_offer_is_refused():
    wire = Wire()
    wire.open(
        wildcard_subscription_available=False,
        shared_subscription_available=False,
        subscription_identifier_available=False,
        maximum_packet_size=30,
    )
    identifier = Properties(subscription_identifiers=(1,))
    for filters, properties, code in (
        (["a/+"], Properties(), 0xA2),
        (["$share/g/a"], Properties(), 0x9E),
        (["a"], identifier, 0xA1),
        (["x" * 30], Properties(), 0x95),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            subscribe(wire, *filters, properties=properties)
        assert caught.value.reason_code == code
    assert wire.raw() == b""


def test_requests_are_bounded():
    wire = opened(requests_max=2)
    subscribe(wire, "a")
    wire.client.unsubscribe(["b"], now=wire.now)
    with pytest.raises(LocalProtocolError) as caught:
        subscribe(wire, "c")
    assert caught.value.reason_code == ReasonCode.QUOTA_EXCEEDED
    wire.receive(SubackPacket(1, [0]))
    subscribe(wire, "c")


@both_versions
def test_requests_without_an_answer_are_asked_again_on_the_next_connection(version):
    wire = Wire(version=version, session_expiry_s=9 if version == 5 else 0, clean_start=False)
    first = subscribe(wire, "offline")
    wire.open()
    second = wire.client.unsubscribe(["x"], now=wire.now)
    assert [type(p) for p in wire.sent()] == [SubscribePacket, UnsubscribePacket]
    wire.lose()
    third = subscribe(wire, "later")
    wire.open(present=True)
    again = wire.sent()
    assert [type(p) for p in again] == [SubscribePacket, UnsubscribePacket, SubscribePacket]
    wire.receive(SubackPacket(again[0].packet_id, [0]), UnsubackPacket(again[1].packet_id, [0][: version == 5]))
    wire.receive(SubackPacket(again[2].packet_id, [0]))
    assert [e.token for e in wire.events()] == [first, second, third]
    assert wire.client.subscriptions == ["offline", "later"]


@both_versions
def test_subscriptions_are_restored_exactly_when_the_server_has_no_session(version):
    wire = Wire(version=version, session_expiry_s=9 if version == 5 else 0, clean_start=False)
    wire.open()
    granted(wire, SubscribeFilter("a", 2), "b")
    wire.lose()
    wire.open(present=True)
    assert wire.sent() == []
    wire.publish("t", b"waiting", qos=1)
    wire.sent()
    wire.lose()
    assert SessionLost(1, 0, 0) in wire.open()
    restored, publish = wire.sent()
    assert [(s.filter, s.qos) for s in restored.subscriptions] == [("a", 2), ("b", 0)]
    assert publish.payload == b"waiting"
    wire.receive(SubackPacket(restored.packet_id, [1, 0x80]))
    assert wire.events() == [SubscriptionsRestored(("a", "b"), (1, 0x80))]
    assert wire.client.subscriptions == ["a"]


def test_restored_subscriptions_keep_options_and_identifiers():
    wire = opened(session_expiry_s=9)
    for identifier, name in ((1, "a"), (2, "b"), (1, "c")):
        properties = Properties(subscription_identifiers=(identifier,))
        granted(wire, SubscribeFilter(name, 1, True, True, 1), properties=properties)
    granted(wire, "plain")
    wire.lose()
    wire.open()
    packets = wire.sent()
    found = {p.properties.subscription_identifiers: [s.filter for s in p.subscriptions] for p in packets}
    assert found == {(1,): ["a", "c"], (2,): ["b"], (): ["plain"]}
    assert packets[0].subscriptions[0] == SubscribeFilter("a", 1, True, True, 1)


@pytest.mark.spec("MQTT-3.2.2-15", version="5.0")
def test_many_subscriptions_are_restored_in_packets_that_fit():
    wire = opened(session_expiry_s=9)
    names = [f"some/long/filter/{n:03}" for n in range(250)]
    for start in range(0, 250, 50):
        granted(wire, *names[start : start + 50])
    wire.lose()
    wire.open()
    assert [len(p.subscriptions) for p in wire.sent()] == [100, 100, 50]
    wire.lose()
    wire.open(maximum_packet_size=200)
    packets = wire.sent()
    assert [s.filter for p in packets for s in p.subscriptions] == names
    assert max(len(p.subscriptions) for p in packets) == 8


def test_an_interrupted_restoration_is_finished_on_the_next_connection():
    wire = opened(session_expiry_s=9)
    granted(wire, "a")
    wire.lose()
    wire.open()
    assert len(wire.sent()) == 1
    wire.lose()
    wire.open(present=True)
    assert [s.filter for s in wire.sent()[0].subscriptions] == ["a"]
    wire.lose()
    wire.open()
    assert len(wire.sent()) == 1  # asked once, not twice


def test_a_waiting_request_that_does_not_fit_the_server_is_refused_in_its_name():
    wire = Wire()
    token = subscribe(wire, "x" * 50)
    wire.connect()
    events = wire.open_now(maximum_packet_size=30)
    assert events[1:] == [SubscribeCompleted(token, ("x" * 50,), (0x95,))]
    assert wire.sent() == []


def test_subscribing_uses_identifiers_but_no_quota():
    wire = Wire()
    wire.open(receive_maximum=1)
    subscribe(wire, "a")
    wire.publish("t", qos=1)
    subscribe(wire, "b")
    assert [p.packet_id for p in wire.sent()] == [1, 2, 3]
    wire.receive(SubackPacket(1, [0]), SubackPacket(3, [0]))
    wire.publish("t", qos=1)
    assert wire.sent() == []
    wire.receive(PubackPacket(2))
    assert [p.packet_id for p in wire.sent()] == [4]


@pytest.mark.parametrize(
    "topic_filter, identifier, lacking, code",
    [
        ("a/#", 0, "wildcard_subscription_available", 0xA2),
        ("$share/g/a", 0, "shared_subscription_available", 0x9E),
        ("a", 7, "subscription_identifier_available", 0xA1),
    ],
)
def test_a_server_that_lost_a_feature_is_not_asked_for_it_again_and_again(topic_filter, identifier, lacking, code):
    properties = Properties(subscription_identifiers=(identifier,)) if identifier else NO_PROPERTIES
    wire = opened()
    granted(wire, "plain")
    granted(wire, topic_filter, properties=properties)
    wire.lose()
    token = subscribe(wire, topic_filter, properties=properties)
    events = wire.open(**{lacking: False})
    assert SubscriptionsRestored((topic_filter,), (code,)) in events
    assert SubscribeCompleted(token, (topic_filter,), (code,)) in events
    assert [s.filter for p in wire.sent() for s in p.subscriptions] == ["plain"]
    assert wire.client.subscriptions == ["plain"]
    wire.lose()
    wire.open(**{lacking: False})
    assert [s.filter for p in wire.sent() for s in p.subscriptions] == ["plain"]


@pytest.mark.parametrize("asked_first", [False, True])
def test_messages_in_flight_leave_packet_identifiers_for_requests(asked_first):
    wire = Wire(clean_start=False, session_expiry_s=100, inflight_max=65535, requests_max=60000)
    wire.open()
    tokens = [subscribe(wire, "a")] if asked_first else []
    for _ in range(6000):
        wire.publish("t", qos=1)
    wire.lose()
    while len(tokens) < 60000:
        tokens.append(subscribe(wire, "a"))
    assert [type(e) for e in wire.open(present=True)] == [Connected]
    assert wire.client.connected
    assert wire.client.unacknowledged == 6000
    assert sum(isinstance(p, SubscribePacket) for p in wire.sent()) == 60000

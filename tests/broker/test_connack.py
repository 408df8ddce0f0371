"""CONNACK as the broker sends it (section 3.2): its place, its codes, and what a 5.0 server has to state in it."""

from __future__ import annotations

import pytest

from mqtt_core.broker import Accept, Challenge, ClientRefused, Refuse
from mqtt_core.codec import (
    AuthPacket,
    ConnackPacket,
    DisconnectPacket,
    Properties,
    PubackPacket,
    PublishPacket,
    SubscribeFilter,
    Will,
    encode,
)
from tests.broker.kit import Rules, World, connect_packet

CONNACK_CODES = {*range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F}


@pytest.mark.spec("MQTT-3.2.0-1", "MQTT-3.2.2-1", "MQTT-3.1.4-4", version="3.1.1")
def test_a_311_connect_is_answered_by_four_bytes_before_anything_else(world):
    client = world.dial(4)
    assert client.raw() == b""
    client.send(connect_packet("c", version=4))
    assert client.raw() == b"\x20\x02\x00\x00"


@pytest.mark.spec("MQTT-3.1.4-5", "MQTT-3.2.2-1", "MQTT-3.2.2-2", version="5.0")
def test_a_connect_is_answered_with_what_a_default_broker_has_to_state(world):
    client = world.dial()
    client.send(connect_packet("c"))
    # Receive Maximum 1000, Maximum Packet Size 1 MiB, Topic Alias Maximum 100; everything else is as if not said.
    properties = b"\x21\x03\xe8" + b"\x27\x00\x10\x00\x00" + b"\x22\x00\x64"
    data = client.raw()
    assert data[:5] == b"\x20\x0e\x00\x00\x0b"
    assert sorted(data[5:]) == sorted(properties)
    client._decoder.feed(data)
    assert client._decoder.next_packet() == ConnackPacket(
        0, False, Properties(receive_maximum=1000, maximum_packet_size=1_048_576, topic_alias_maximum=100)
    )


@pytest.mark.spec("MQTT-3.2.2-1", "MQTT-3.2.2-2", "MQTT-3.2.2-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.2.2-2", "MQTT-3.2.2-3", version="5.0")
def test_session_present_says_whether_there_was_a_session(world, version):
    kept = {"session_expiry_interval": 50} if version == 5 else {}

    def present(clean):
        client = world.connect("c", version=version, clean=clean, **kept)
        client.drop()
        return client.connack.session_present

    assert [present(clean) for clean in (False, False, True, False)] == [False, True, False, version == 5]


@pytest.mark.spec("MQTT-3.2.0-1", "MQTT-3.2.0-2", version="5.0")
def test_there_is_one_connack_and_only_auth_comes_before_it():
    world = World(policy=Rules(Challenge(b"1"), Challenge(b"2"), Accept(data=b"3")))
    client = world.dial()
    client.send(connect_packet("c", authentication_method="m", session_expiry_interval=9))
    for step in (b"a", b"b"):
        client.send(AuthPacket(0x18, Properties(authentication_method="m", authentication_data=step)))
    client.send(PublishPacket("t", b"x", 1, packet_id=1))
    assert [type(p) for p in client.received()] == [AuthPacket, AuthPacket, ConnackPacket, PubackPacket]
    client.send(connect_packet("c"))
    assert [type(p) for p in client.received()] == [DisconnectPacket]


def test_messages_of_a_resumed_session_come_behind_connack(world):
    a = world.connect("a", version=4, clean=False)
    a.subscribe("t")
    a.drop()
    world.publish("t", b"x", 1)
    client = world.dial(4)
    client.send(connect_packet("a", version=4, clean=False))
    assert client.raw() == b"\x20\x02\x01\x00" + encode(PublishPacket("t", b"x", 1, packet_id=1), 4)


# --------------------------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize("code", range(0x80, 0x100))
@pytest.mark.spec("MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8", "MQTT-4.13.2-1", version="5.0")
def test_a_refusal_is_said_with_a_code_that_connack_may_have(code):
    world = World(policy=Rules(Refuse(code)))
    client = world.connect("c", accepted=False)
    assert client.connack == ConnackPacket(code if code in CONNACK_CODES else 0x80, False)
    assert client.closed
    assert [e.reason_code for e in world.events(ClientRefused)] == [code]
    assert world.counters.connections_refused == 1


RETURN_CODES = {0x84: 1, 0x85: 2, 0x88: 3, 0x89: 3, 0x97: 3, 0x86: 4, 0x87: 5, 0x8A: 5, 0x8C: 5}


@pytest.mark.parametrize("code", RETURN_CODES)
@pytest.mark.spec("MQTT-3.2.2-4", "MQTT-3.2.2-5", version="3.1.1")
def test_a_refusal_of_311_is_said_with_a_return_code_of_its_table(code):
    world = World(policy=Rules(Accept(), Refuse(code)))
    world.connect("c", version=4, clean=False).drop()
    client = world.dial(4)
    client.send(connect_packet("c", version=4, clean=False))
    assert client.raw() == bytes([0x20, 2, 0, RETURN_CODES[code]])
    assert client.closed


@pytest.mark.parametrize("code", [0x80, 0x83, 0x8B, 0x9A, 0x9B, 0x9C, 0x9F])
@pytest.mark.spec("MQTT-3.2.2-6", version="3.1.1")
def test_a_refusal_of_311_for_which_there_is_no_return_code_is_silent(code):
    world = World(policy=Rules(Refuse(code)))
    client = world.dial(4)
    client.send(connect_packet("c", version=4))
    assert client.raw() == b""
    assert client.closed


@pytest.mark.spec("MQTT-3.2.2-6", version="5.0")
def test_a_refused_client_is_not_told_of_its_session():
    world = World(policy=Rules(Accept(), Refuse(0x87)))
    world.connect("c", session_expiry_interval=100).drop()
    client = world.connect("c", clean=False, accepted=False)
    assert not client.connack.session_present
    assert world.session("c") is not None


# ---------------------------------------------------------------------------------------------------------- properties


@pytest.mark.spec("MQTT-3.2.2-9", version="5.0")
@pytest.mark.parametrize("maximum_qos,stated", [(0, 0), (1, 1), (2, None)])
def test_the_highest_qos_is_stated_when_it_is_not_2(maximum_qos, stated):
    world = World(maximum_qos=maximum_qos)
    assert world.connect("c").connack.properties.maximum_qos == stated


@pytest.mark.spec("MQTT-3.2.2-10", version="5.0")
@pytest.mark.parametrize("maximum_qos", [0, 1])
def test_a_broker_of_lesser_qos_accepts_subscriptions_of_any(maximum_qos):
    world = World(maximum_qos=maximum_qos)
    client = world.connect("c")
    codes = client.subscribe(*[SubscribeFilter(f"t{qos}", qos) for qos in range(3)])
    assert [code < 0x80 for code in codes] == [True, True, True]
    for qos in range(3):
        world.publish(f"t{qos}", b"x", 0)
    assert [m.topic for m in client.messages()] == ["t0", "t1", "t2"]


@pytest.mark.spec("MQTT-3.2.2-11", version="5.0")
@pytest.mark.parametrize("maximum_qos", [0, 1])
def test_a_publish_of_a_qos_beyond_what_was_stated_ends_the_connection(maximum_qos):
    world = World(maximum_qos=maximum_qos)
    client = world.connect("c")
    client.send(*[PublishPacket("t", b"x", qos, packet_id=qos) for qos in range(maximum_qos + 1)])
    assert not client.closed
    client.raw()
    client.send(PublishPacket("t", b"x", maximum_qos + 1, packet_id=9))
    assert [p.reason_code for p in client.received()] == [0x9B]
    assert client.closed


@pytest.mark.spec("MQTT-3.2.2-14", version="5.0")
def test_a_retained_publish_where_nothing_is_retained_ends_the_connection():
    world = World(retain_available=False)
    client = world.connect("c")
    client.send(PublishPacket("t", b"x"))
    assert not client.closed
    client.send(PublishPacket("t", b"x", retain=True))
    assert [p.reason_code for p in client.received()] == [0x9A]
    assert world.broker.retained() == []


@pytest.mark.spec("MQTT-3.2.2-12", version="5.0")
def test_a_will_of_a_qos_beyond_the_broker_is_refused():
    world = World(maximum_qos=1)
    client = world.connect("c", will=Will("w", qos=2), accepted=False)
    assert client.connack.reason_code == 0x9B
    assert client.closed
    assert world.connect("d", will=Will("w", qos=1)).connack.reason_code == 0


@pytest.mark.spec("MQTT-3.2.2-13", version="5.0")
def test_a_retained_will_is_refused_where_nothing_is_retained():
    world = World(retain_available=False)
    client = world.connect("c", will=Will("w", retain=True), accepted=False)
    assert client.connack.reason_code == 0x9A
    assert client.closed
    assert world.connect("d", will=Will("w")).connack.properties.retain_available is False


@pytest.mark.parametrize(
    "name",
    [
        "retain_available",
        "wildcard_subscription_available",
        "shared_subscription_available",
        "subscription_identifier_available",
    ],
)
def test_an_ability_is_stated_when_it_is_missing(name):
    assert getattr(World().connect("c").connack.properties, name) is None
    assert getattr(World(**{name: False}).connect("c").connack.properties, name) is False


def test_limits_are_stated_as_configured():
    world = World(receive_maximum=7, max_packet_size=4321, topic_alias_maximum=0)
    stated = world.connect("c").connack.properties
    assert (stated.receive_maximum, stated.maximum_packet_size) == (7, 4321)
    assert not stated.topic_alias_maximum


@pytest.mark.spec("MUST-3.2.2.3.2-2", version="5.0")
@pytest.mark.parametrize("asked,stated", [(None, None), (0, None), (50, None), (51, 50), (0xFFFFFFFF, 50)])
def test_another_session_expiry_than_asked_for_is_stated(asked, stated):
    world = World(session_expiry_max_s=50)
    fields = {} if asked is None else {"session_expiry_interval": asked}
    client = world.connect("c", **fields)
    assert client.connack.properties.session_expiry_interval == stated
    client.drop()
    world.wait(49)
    assert (world.session("c") is None) == (not asked)
    world.wait(2)
    assert world.session("c") is None


@pytest.mark.spec("MQTT-3.1.2-28", version="5.0")
def test_response_information_is_for_those_who_ask_for_it():
    world = World(response_information="reply/to/me")
    for asked in ({}, {"request_response_information": False}):
        assert world.connect("a", **asked).connack.properties.response_information is None
    asked = {"request_response_information": True}
    assert world.connect("a", **asked).connack.properties.response_information == "reply/to/me"
    assert World().connect("a", **asked).connack.properties.response_information is None


@pytest.mark.spec("MQTT-3.2.2-19", version="5.0")
def test_a_reason_string_that_does_not_fit_is_left_out():
    reason = "you may not come in"
    world = World(policy=Rules(Refuse(0x87, reason), Refuse(0x87, reason)))
    size = len(encode(ConnackPacket(0x87, False, Properties(reason_string=reason)), 5))
    fits = world.connect("a", accepted=False, maximum_packet_size=size)
    assert fits.connack.properties.reason_string == reason
    too_small = world.dial()
    too_small.send(connect_packet("a", maximum_packet_size=size - 1))
    assert too_small.raw() == b"\x20\x03\x00\x87\x00"


@pytest.mark.spec("MQTT-3.1.2-24", version="5.0")
def test_a_connack_larger_than_the_client_takes_is_not_sent(world):
    size = len(encode(world.connect("a").connack, 5))
    fits = world.dial()
    fits.send(connect_packet("b", maximum_packet_size=size))
    assert len(fits.raw()) == size
    client = world.dial()
    client.send(connect_packet("b", maximum_packet_size=size - 1))
    assert client.raw() == b""
    assert client.closed
    assert not fits.closed
    assert world.events(ClientRefused)
    assert [s.client_id for s in world.broker.sessions() if s.connected] == ["a", "b"]


@pytest.mark.spec("MQTT-4.12.0-6", version="5.0")
def test_without_an_authentication_method_there_is_none_in_connack():
    world = World(policy=Rules(Accept("ann")))
    client = world.connect("c")
    assert client.connack.properties.authentication_method is None
    assert client.received() == []


def test_session_present_waits_for_the_write_that_makes_it_true():
    world = World(stored=True)
    a = world.connect("a", session_expiry_interval=100)
    a.subscribe("t")
    a.drop()
    world.auto_commit = False
    client = world.dial()
    client.send(connect_packet("a", clean=False, session_expiry_interval=100))
    assert client.raw() == b""
    world.commit()
    world.settle()
    assert client.received()[0].session_present


def test_the_connack_of_a_clean_start_waits_until_the_old_session_is_forgotten():
    """Else a crash would bring back a session that the client was told is gone."""
    world = World(stored=True)
    a = world.connect("a", session_expiry_interval=100)
    a.drop()
    world.auto_commit = False
    client = world.dial()
    client.send(connect_packet("a"))
    assert client.raw() == b""
    world.commit()
    world.settle()
    assert not client.received()[0].session_present
    world.restart(crash=True)
    assert world.session("a") is None


def test_a_connack_without_a_write_is_sent_at_once():
    world = World(stored=True, auto_commit=False)
    assert world.connect("a").connack.reason_code == 0

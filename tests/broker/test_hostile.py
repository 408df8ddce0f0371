"""Known ways to hurt a broker, each survived in the way that is right.

The tests are grouped as the published cases are. Cases about things this core does not have, and so has no test here:

| case | why there is nothing to test |
|---|---|
| user name or client id expanded into an ACL pattern | there are no ACL patterns; a policy gets plain strings |
| a plug-in that rewrites filters | a policy answers with a QoS or a refusal, it cannot rewrite |
| spread settings of zero | there are none; every number of BrokerConfig has a checked range |
| the right of whoever retained a message, withdrawn later | what is retained is its topic's; the host removes it |
| ACL files, password files, reloading them | the core reads no file |
| listeners, default addresses, mount points | the core has no listener and no mount points |
| mode and damage of the state file | a matter of the storage; see its tests |
| a message freed while it is being written | objects are owned by whoever refers to them |
| hostile servers | a matter of the client; see its tests |
| web socket framing | a stream to the core; see "a stream may be cut anywhere" in test_publish.py |
"""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest

from mqtt_core.broker import Accept, ClientRefused, Refuse
from mqtt_core.codec import (
    ConnectPacket,
    DisconnectPacket,
    PingreqPacket,
    PingrespPacket,
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    UnsubscribePacket,
    Will,
    encode,
)
from tests.broker.dialogue import at, fleeting, lasting, payloads, pub
from tests.broker.kit import World, connect_packet


def empty(world):
    """True when the broker remembers no connection and no session."""
    state = world.broker._state
    return not (state.handlers or state.live or state.registry.sessions or len(state.deadlines) or state.resumable)


def witness(world):
    """A well-behaved client with which everything else is compared."""
    return fleeting(world, "witness", 5, at("witness", 1))


def unharmed(world, client):
    """The witness is served as ever."""
    client.send(pub(b"x", 1, 1, topic="witness"))
    assert sorted(type(p).__name__ for p in client.received()) == ["PubackPacket", "PublishPacket"]
    client.send(*[PubackPacket(i) for i in list(world.session("witness").inflight)])


# -- framing and allocation -----------------------------------------------------------------------------------------


def test_a_huge_length_before_connect_is_refused_from_the_header(make_world):
    world = make_world()
    for header in (b"\x10\xff\xff\xff\x7f", b"\x10\x81\x80\x10"):
        client = world.dial()
        client.send_bytes(header)
        assert client.closed
    assert empty(world)


@pytest.mark.parametrize("kind", [k for k in range(16) if k != 1])
def test_a_first_packet_that_is_not_connect_ends_the_connection_at_its_first_byte(make_world, kind):
    world = make_world()
    client = world.dial()
    tracemalloc.start()
    try:
        client.send_bytes(bytes([kind << 4]) + b"\xff\xff\xff\x7f" + bytes(100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert client.closed
    assert client.raw() == b""
    assert peak < 200_000
    client = world.dial()
    client.send_bytes(bytes([kind << 4]))
    assert client.closed
    assert empty(world)


def test_a_puback_as_first_packet_is_survived(make_world):
    world = make_world()
    client = world.dial()
    client.send_bytes(b"\x40\x02\x00\x01")
    assert client.closed


@pytest.mark.parametrize(
    "frame",
    [
        b"\x30\xff\xff\xff\xff\x01",
        b"\x30\x08\x00\x01t\xff\xff\xff\xff\x01",
        b"\x82\x0a\x00\x01\xff\xff\xff\xff\x01\x00\x01t",
    ],
    ids=["remaining length", "property length", "property length of SUBSCRIBE"],
)
def test_a_variable_byte_integer_of_five_bytes_is_malformed(make_world, frame):
    client = fleeting(make_world(), "c", 5)
    client.send_bytes(frame)
    assert client.closed
    assert client.received()[-1].reason_code == 0x81


@pytest.mark.parametrize(
    "frame",
    [
        b"\x32\x03\x00\x01t",  # QoS 1 and no identifier
        b"\x32\x04\x00\x01t\x00",
        b"\x30\x02\x00\x05",  # a topic longer than the packet
        b"\x30\x01\x00",
        b"\x30\x00",
        b"\x82\x06\x00\x01\x00\x00\x09t",
        b"\x82\x01\x00",
        b"\xa2\x05\x00\x01\x00\x00\x09",
        b"\x40\x01\x00",
    ],
)
@pytest.mark.parametrize("version", [4, 5])
def test_a_truncated_packet_is_malformed(make_world, frame, version):
    world = make_world()
    other = witness(world)
    client = fleeting(world, "c", version)
    client.send_bytes(frame)
    assert client.closed
    unharmed(world, other)


def test_a_connect_whose_properties_run_past_its_end_hurts_only_itself(make_world):
    world = make_world()
    other = witness(world)
    client = world.dial()
    client.send_bytes(b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x7f\x11\x00\x00\x00\x00" + b"\xf0\x00" * 10)
    assert client.closed
    unharmed(world, other)


@pytest.mark.parametrize("kind", [0, 15])
def test_packet_types_0_and_15_end_a_3_1_1_connection(make_world, kind):
    client = fleeting(make_world(), "c", 4)
    client.send_bytes(bytes([kind << 4, 0]))
    assert client.closed
    assert client.raw() == b""


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\x00"])
def test_another_protocol_is_closed_without_an_answer_and_with_one_event(make_world, data):
    world = make_world()
    client = world.dial()
    client.send_bytes(data)
    assert client.closed
    assert client.raw() == b""
    assert [type(e) for e in world.events()] == [ClientRefused]


def test_a_flood_of_requests_by_a_client_that_reads_nothing_pauses_its_reading(make_world):
    world = make_world(outbox_bytes_max=10_000)
    other = witness(world)
    client = fleeting(world, "c", 5, frozen=True)
    flood = encode(PingreqPacket(), 5) * 1000 + encode(SubscribePacket(1, [at("t", 0)]), 5) * 100
    rounds = 0
    while not client.handler.reading_paused:
        client.send_bytes(flood)
        rounds += 1
        assert rounds < 10
    assert client.handler.outbox.size < 20_000
    unharmed(world, other)


def test_a_flood_of_repetitions_is_bounded_like_everything_else(make_world):
    world = make_world(outbox_bytes_max=4000)
    client = fleeting(world, "c", 5, frozen=True)
    client.send(pub(b"x", 2, 1))
    for _ in range(100):
        if client.handler.reading_paused:
            break
        client.send(*[pub(b"x", 2, 1, dup=True)] * 100)
    assert client.handler.reading_paused
    assert client.handler.outbox.size < 6000


@pytest.mark.parametrize("data", [b"", b"\x10", b"\x10\x20\x00\x04MQ"])
def test_a_client_that_never_completes_its_connect_is_closed_in_time(make_world, data):
    world = make_world(connect_timeout_s=10)
    client = world.dial()
    for byte in data:
        client.send_bytes(bytes([byte]))
        world.wait(1)
    world.wait(9.9 - len(data))
    assert not client.closed
    world.wait(0.2)
    assert client.closed
    assert empty(world)


@pytest.mark.parametrize("version", [4, 5])
def test_bytes_of_a_packet_that_is_never_complete_keep_nobody_alive(make_world, version):
    world = make_world()
    client = fleeting(world, "c", version, keep_alive_s=10)
    client.send_bytes(b"\x30\xff\x7f")
    for _ in range(14):
        world.wait(1)
        client.send_bytes(b"x")
    assert not client.closed
    world.wait(2)
    assert client.closed


def test_a_packet_that_comes_byte_by_byte_costs_what_it_weighs(make_world):
    client = fleeting(make_world(), "c", 5)
    size = 60_000
    client.send_bytes(b"\x30" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14]))
    handler, now = client.handler, client.world.now
    tracemalloc.start()
    try:
        for number in range(0, 50_000, 2):
            handler.receive_data(bytes([number & 127, 1]), now)
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert current < 150_000


@pytest.mark.parametrize("client_id", [""])
def test_a_refused_connect_is_always_closed(make_world, client_id):
    world = make_world()
    client = world.connect(client_id, version=4, clean=False, accepted=False)
    assert client.connack.reason_code == 2
    assert client.closed
    assert empty(world)


# -- CONNECT and will -----------------------------------------------------------------------------------------------


class Guarding:
    """A policy: user "eve" is refused, identity is the user name, "secret/#" is only for "alice"."""

    def authenticate(self, connect, peer):
        return Refuse(0x86) if connect.username == "eve" else Accept(connect.username or "")

    def authorize_publish(self, principal, topic, qos, retain):
        return principal.identity == "alice" or not topic.startswith("secret/")

    def authorize_subscribe(self, principal, topic_filter, qos):
        return qos

    def authorize_deliver(self, principal, topic):
        return principal.identity == "alice" or not topic.startswith("secret/")


def test_malformed_connects_leave_nothing_behind(make_world):
    world = make_world()
    good = encode(
        ConnectPacket("c", will=Will("w", b"x", properties=Properties(content_type="c")), username="u", password=b"p"),
        5,
    )
    for length in range(1, len(good)):
        client = world.dial()
        client.send_bytes(bytes([0x10, length - 2 if length > 2 else 0]) + good[2:length])
        if not client.closed:
            client.drop()
    world.events()
    assert empty(world)


@pytest.mark.parametrize("delay_s, expiry_s, at_s", [(100, 10, 10), (10, 100, 10), (0xFFFFFFFF, 5, 5)])
def test_a_will_delay_longer_than_the_session_is_cut_to_it(make_world, delay_s, expiry_s, at_s):
    world = make_world()
    watcher = fleeting(world, "w", 5, at("will", 1))
    will = Will("will", b"gone", 1, properties=Properties(will_delay_interval=delay_s))
    world.connect("c", will=will, session_expiry_interval=expiry_s).drop()
    world.wait(at_s - 1)
    assert watcher.received() == []
    world.wait(2)
    assert payloads(watcher.messages()) == [b"gone"]
    world.wait(1000)
    assert watcher.received() == []


@pytest.mark.parametrize("version", [4, 5])
def test_a_will_to_a_topic_the_client_may_not_write_never_appears(make_world, version):
    world = make_world(policy=Guarding())
    watcher = fleeting(world, "w", 5, "#", username="alice")
    client = world.connect("c", version=version, username="bob", will=Will("secret/t", b"x"), accepted=False)
    assert client.connack.reason_code == (0x87 if version == 5 else 5)
    assert client.closed
    assert watcher.received() == []


@pytest.mark.parametrize("version", [4, 5])
def test_a_will_of_a_client_that_failed_to_authenticate_is_not_published(make_world, version):
    world = make_world(policy=Guarding())
    watcher = fleeting(world, "w", 5, "#", username="alice")
    client = world.connect("c", version=version, username="eve", will=Will("will", b"x"), accepted=False)
    assert client.closed
    assert watcher.received() == []
    assert world.session("c") is None


@pytest.mark.parametrize("topic", ["$SYS/broker/load", "$CONTROL/dynamic-security/v1"])
def test_a_will_to_the_brokers_own_topics_is_refused(make_world, topic):
    client = make_world().connect("c", will=Will(topic, b"x"), accepted=False)
    assert client.closed


@pytest.mark.parametrize("version", [4, 5])
def test_another_user_with_a_victims_client_id_gets_nothing_and_harms_nobody(make_world, version):
    world = make_world(policy=Guarding())
    victim = lasting(world, "victim", version, "t", username="alice")
    thief = world.connect("victim", version=version, clean=False, username="bob", accepted=False)
    assert thief.closed
    assert not victim.closed
    world.publish("t", b"x", 1)
    assert payloads(victim.messages()) == [b"x"]
    victim.drop()
    thief = world.connect("victim", version=version, clean=False, username="bob", accepted=False)
    assert thief.received() == []
    assert payloads(lasting(world, "victim", version, username="alice").messages()) == [b"x"]


def test_another_user_that_is_let_in_by_the_settings_inherits_nothing(make_world):
    world = make_world(policy=Guarding(), session_takeover_by_others=True)
    victim = lasting(world, "victim", 5, "t", username="alice")
    victim.drop()
    world.publish("t", b"secret", 1)
    thief = world.connect("victim", clean=False, username="bob")
    assert not thief.connack.session_present
    assert thief.received() == []
    assert world.session("victim").subscriptions == {}


@pytest.mark.parametrize("asked", [0, 65_535])
def test_a_keep_alive_without_end_is_cut_short(make_world, asked):
    world = make_world(keep_alive_max_s=100)
    new = world.connect("new", keep_alive_s=asked)
    old = world.connect("old", version=4, keep_alive_s=asked)
    assert new.connack.properties.server_keep_alive == 100
    world.wait(151)
    assert new.closed
    assert old.closed


def test_a_connect_with_a_great_many_user_properties_is_bounded_and_read_in_linear_time(make_world):
    world = make_world()
    client = world.connect("c", user_properties=tuple((f"{n}", "v") for n in range(20_000)))
    assert client.connack.reason_code == 0
    client = world.dial()
    client.send_bytes(encode(connect_packet("d", user_properties=tuple(("n", "v" * 1000) for _ in range(300))), 5)[:5])
    assert client.closed


@pytest.mark.parametrize("version", [4, 5])
def test_a_connect_with_any_bit_flipped_leaves_nothing_behind(bulk, version):
    world = World(bulk_path=bulk)
    fields = {"session_expiry_interval": 0} if version == 5 else {}
    good = encode(connect_packet("client", version=version, will=Will("w", b"x"), username="u", **fields), version)
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        client = world.dial(version)
        client.send_bytes(bytes(data))
        if not client.closed:
            client.drop()
    for session in list(world.broker.sessions()):
        world.connect(session.client_id, version=4, clean=True).drop()
    assert empty(world)


@pytest.mark.parametrize("version", [4, 5])
def test_one_client_id_that_comes_again_and_again_stays_one_session(make_world, version):
    world = make_world()
    groups = [f"$share/g{n}/t/#" for n in range(48)]
    rng = Random(5)
    clients = []
    for number in range(60):
        client = lasting(world, "same", version)
        clients.append(client)
        client.send(SubscribePacket(1, [at(g, 1) for g in rng.sample(groups, 10)]))
        client.send(pub(b"x", 1, 1, topic="t/x"))
        client.send(UnsubscribePacket(2, rng.sample(groups, 5)))
        if number % 7 == 0:
            client.drop()
    assert [c.closed for c in clients] == [True] * 59 + [False]
    session = world.session("same")
    registry = world.broker._state.registry
    assert registry.subscription_count == len(session.subscriptions)
    assert registry.shared_count() == len(session.subscriptions)
    assert len(registry.sessions) == 1
    clients[-1].drop()
    world.connect("same", version=version, clean=True).drop()
    assert registry.shared_count() == registry.subscription_count == 0
    assert registry.shared_matches("t/x") == []


@pytest.mark.parametrize("version", [4, 5])
def test_a_second_connect_is_a_protocol_error(make_world, version):
    client = fleeting(make_world(), "c", version)
    client.send(connect_packet("c", version=version))
    assert client.closed
    assert [p.reason_code for p in client.received()] == ([0x82] if version == 5 else [])


# -- topics and subscriptions ---------------------------------------------------------------------------------------

DEEP = "/" * 65_400


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("levels_max", [200, 65_535])
def test_a_topic_of_nothing_but_levels_is_no_matter_of_the_stack(make_world, version, levels_max):
    world = make_world(topic_levels_max=levels_max)
    other = witness(world)
    client = fleeting(world, "c", version)
    refused = levels_max == 200
    code = client.subscribe(at(DEEP, 1), at("/#", 1))
    assert code == [(0x8F if version == 5 else 0x80) if refused else 1, 1]
    client.send(pub(b"x", 1, 1, topic=DEEP))
    assert client.closed == refused
    if refused:
        assert [p.reason_code for p in client.received()] == ([0x90] if version == 5 else [])
    else:
        assert [type(p) for p in client.received()].count(PublishPacket) == 1
        client.send(UnsubscribePacket(1, [DEEP]))
        assert list(world.session("c").subscriptions) == ["/#"]
    unharmed(world, other)


@pytest.mark.parametrize("version", [4, 5])
def test_levels_are_bounded_in_publish_subscribe_unsubscribe_and_will(make_world, version):
    world = make_world(topic_levels_max=100)
    deep = "a/" * 100 + "a"
    client = fleeting(world, "c", version)
    assert client.subscribe(at(deep, 0)) == [0x8F if version == 5 else 0x80]
    client.send(UnsubscribePacket(1, [deep]))
    assert not client.closed
    client.send(pub(topic=deep))
    assert client.closed
    dial = world.dial(version)
    dial.send(connect_packet("d", version=version, will=Will(deep, b"x")))
    assert dial.closed


def test_a_client_cannot_fill_the_tries_without_end(make_world):
    world = make_world(subscriptions_max=100, retained_messages_max=100)
    client = fleeting(world, "c", 5)
    for start in range(0, 300, 50):
        client.subscribe(*[at(f"{n}/a/b/c", 0) for n in range(start, start + 50)])
        client.send(*[pub(topic=f"r/{n}", retain=True) for n in range(start, start + 50)])
    assert world.broker._state.registry.subscription_count == 100
    assert len(world.broker._state.retained) == 100
    client.drop()
    assert world.broker._state.registry.subscription_count == 0


def test_wildcards_on_every_level_cost_no_more_than_the_subscriptions_that_match(make_world):
    world = make_world()
    depth = 60
    client = fleeting(world, "c", 5)
    client.subscribe(*[at("/".join("+" if n != m else "a" for n in range(depth)), 0) for m in range(depth)])
    publisher = fleeting(world, "p", 5)
    publisher.send(pub(topic="/".join(["a"] * depth)), pub(topic="/".join(["b"] * depth)))
    assert len(client.messages()) == 1


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("topic", ["$", "$x", "$share/g/t", "$SYSTEM/x"])
def test_a_dollar_topic_is_an_ordinary_one(make_world, version, topic):
    world = make_world()
    client = fleeting(world, "c", version, *([] if topic.startswith("$share") else [topic]))
    client.send(pub(b"x", 1, 1, topic=topic, retain=True))
    assert not client.closed
    got = [p.topic for p in client.received() if isinstance(p, PublishPacket)]
    assert got == ([] if topic.startswith("$share") else [topic])


@pytest.mark.parametrize("version", [4, 5])
def test_a_subscribe_whose_second_filter_is_bad_changes_nothing(make_world, version):
    world = make_world()
    client = lasting(world, "c", version)
    properties = b"\x00" if version == 5 else b""
    body = b"\x00\x01" + properties + b"\x00\x04good\x01" + b"\x00\x03a#b\x01"
    client.send_bytes(bytes([0x82, len(body)]) + body)
    assert client.closed
    assert world.session("c").subscriptions == {}
    assert world.broker._state.registry.subscription_count == 0


def test_a_retained_message_with_everything_in_it_is_replayed_and_breaks_nothing(make_world):
    world = make_world()
    publisher = fleeting(world, "p", 5)
    properties = Properties(
        payload_format_indicator=1,
        message_expiry_interval=1,
        topic_alias=1,
        response_topic="r",
        correlation_data=b"",
        user_properties=(("", ""),),
        content_type="",
    )
    publisher.send(pub(b"\x00", 2, 1, retain=True, properties=properties))
    for version in (4, 5):
        subscriber = fleeting(world, f"s{version}", version)
        subscriber.subscribe("#", "+", "t", "t/#")
        assert set(payloads(subscriber.messages())) == {b"\x00"}
    world.wait(2)
    assert world.broker.retained() == []


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("bad", [b"a\x00b", b"\xed\xa0\x80", b"\xc0\xaf", b"\xff", b"\xf5\x80\x80\x80"])
@pytest.mark.parametrize("field", ["topic", "filter", "client id", "user name", "will topic"])
def test_strings_that_are_no_utf_8_or_hold_a_null_are_malformed_in_every_field(make_world, version, bad, field):
    world = make_world()
    other = witness(world)
    text = len(bad).to_bytes(2, "big") + bad
    none = b"\x00" if version == 5 else b""
    head = b"\x00\x04MQTT" + bytes([version])
    if field in ("topic", "filter"):
        client = fleeting(world, "c", version)
        body = text + none if field == "topic" else b"\x00\x01" + none + text + b"\x00"
        client.send_bytes(bytes([0x30 if field == "topic" else 0x82, len(body)]) + body)
    else:
        client = world.dial(version)
        body = {
            "client id": head + b"\x02\x00\x00" + none + text,
            "user name": head + b"\x82\x00\x00" + none + b"\x00\x01c" + text,
            "will topic": head + b"\x06\x00\x00" + none + b"\x00\x01c" + none + text + b"\x00\x01x",
        }[field]
        client.send_bytes(bytes([0x10, len(body)]) + body)
    assert client.closed
    assert [p.reason_code for p in client.received()] == ([0x81] if version == 5 else [])
    unharmed(world, other)


@pytest.mark.parametrize("text", ["\x01", "\x7f", "\x9f", "\ufdd0", "\uffff", "\U0010ffff", "\ufeff"])
def test_odd_characters_that_may_be_refused_are_carried_as_they_are(make_world, text):
    world = make_world()
    subscriber = fleeting(world, "s", 5, f"{text}/+")
    fleeting(world, "p", 4).send(pub(b"x", 1, 1, topic=f"{text}/{text}"))
    assert [p.topic for p in subscriber.messages()] == [f"{text}/{text}"]


# -- QoS, flow and properties ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 5])
def test_one_identifier_published_without_end_is_kept_once(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    client = lasting(world, "c", version)
    for _ in range(50):
        client.send(*[pub(b"x", 2, 7)] * 20)
    assert client.received() == [PubrecPacket(7)] * 1000
    assert list(world.session("c").incoming.received) == [7]
    assert len(subscriber.messages()) == 1


@pytest.mark.parametrize("version", [4, 5])
def test_identifiers_that_are_never_released_are_bounded(make_world, version):
    world = make_world(receive_maximum=100)
    client = lasting(world, "c", version)
    for start in range(1, 1001, 100):
        if client.closed:
            break
        client.send(*[pub(b"x", 2, n) for n in range(start, start + 100)])
    if version == 5:
        assert client.closed
        assert len(world.session("c").incoming.received) == 100
    else:
        assert len(world.session("c").incoming.received) <= 65_535


@pytest.mark.parametrize("kind", ["CONNACK", "SUBACK", "UNSUBACK", "PINGRESP"])
@pytest.mark.parametrize("version", [4, 5])
def test_a_packet_only_a_server_may_send_is_a_protocol_error(make_world, version, kind):
    frame = {"CONNACK": b"\x20\x02\x00\x00", "SUBACK": b"\x90\x03\x00\x01\x00", "UNSUBACK": b"\xb0\x02\x00\x01"}
    client = fleeting(make_world(), "c", version)
    client.send_bytes(frame.get(kind, b"\xd0\x00"))
    assert client.closed
    assert [p.reason_code for p in client.received()] == ([0x82] if version == 5 else [])


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("packet", [PubackPacket(9), PubrecPacket(9), PubrelPacket(9), PubcompPacket(9)], ids=repr)
def test_an_acknowledgement_of_nothing_changes_nothing(make_world, version, packet):
    world = make_world()
    client = lasting(world, "c", version, "t")
    world.publish("t", b"x", 2)
    (message,) = client.messages()
    client.send(packet)
    assert not client.closed
    answers = client.received()
    missing = 0x92 if version == 5 else 0
    assert answers == {
        "PubrecPacket": [PubrelPacket(9, missing)],
        "PubrelPacket": [PubcompPacket(9, missing)],
    }.get(type(packet).__name__, [])
    assert list(world.session("c").inflight) == [message.packet_id]


@pytest.mark.parametrize("version", [4, 5])
def test_after_a_message_too_large_for_a_client_the_session_goes_on(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", 5, "t", maximum_packet_size=60)
    publisher = fleeting(world, "p", version)
    publisher.send(pub(b"x" * 1000, 2, 1), pub(b"fits", 2, 2))
    assert payloads(subscriber.messages()) == [b"fits"]
    assert not subscriber.closed
    assert world.counters.dropped_too_large == 1


# -- authorisation over time, operation -----------------------------------------------------------------------------


class Revocable(Guarding):
    """A policy whose user "bob" may be denied everything below "t/"."""

    revoked = False

    def authorize_deliver(self, principal, topic):
        return not (self.revoked and principal.identity == "bob" and topic.startswith("t/"))


@pytest.mark.parametrize("version", [4, 5])
def test_withdrawn_access_ends_live_queued_and_retained_delivery(make_world, version):
    policy = Revocable()
    world = make_world(policy=policy)
    world.publish("t/kept", b"kept", 1, True)
    live = lasting(world, "live", version, "t/#", username="bob")
    lasting(world, "away", version, "t/#", username="bob").drop()
    live.received()
    world.publish("t/x", b"before", 1)
    assert payloads(live.messages()) == [b"before"]
    policy.revoked = True
    world.broker.policy_changed()
    world.publish("t/x", b"after", 1)
    live.send(SubscribePacket(5, [at("t/+", 1)]))
    assert [type(p) for p in live.received()] == [SubackPacket]
    away = lasting(world, "away", version, username="bob")
    assert b"before" not in payloads(away.received())
    assert away.received() == []


def test_a_deny_below_a_broad_subscription_holds_for_live_retained_and_queued(make_world):
    world = make_world(policy=Guarding())
    world.publish("secret/kept", b"secret", 1, True)
    client = lasting(world, "c", 5, "#", username="bob")
    assert client.received() == []
    world.publish("secret/live", b"secret", 1)
    assert client.received() == []
    client.drop()
    world.publish("secret/queued", b"secret", 1)
    world.publish("public", b"public", 1)
    assert payloads(lasting(world, "c", 5, username="bob").messages()) == [b"public"]


@pytest.mark.parametrize("version", [4, 5])
def test_an_inbound_qos_2_message_is_authorised_when_it_is_published(make_world, version):
    world = make_world(policy=Guarding())
    watcher = fleeting(world, "w", 5, "#", username="alice")
    client = lasting(world, "c", version, username="bob")
    client.send(pub(b"x", 2, 7, topic="secret/t"))
    client.drop()
    client = lasting(world, "c", version, username="bob")
    client.send(PubrelPacket(7))
    assert watcher.received() == []


def test_a_client_cannot_publish_as_the_broker(make_world):
    world = make_world(sys_interval_s=10)
    watcher = fleeting(world, "w", 5, "$SYS/broker/uptime")
    watcher.received()
    client = fleeting(world, "c", 5)
    client.send(pub(b"forged", 1, 1, topic="$SYS/broker/uptime", retain=True))
    assert client.received() == [PubackPacket(1, 0x87)]
    assert b"forged" not in payloads(watcher.messages())


def test_a_storm_of_connects_that_fail_leaves_nothing(bulk):
    world = World(bulk_path=bulk, policy=Guarding())
    bad = encode(connect_packet("c", username="eve", will=Will("w", b"x")), 5)
    broker = world.broker

    def storm(count):
        for number in range(count):
            handler = broker.connection_made(world.now)
            handler.receive_data(bad if number % 2 else bad[:-1] + b"\xff", world.now)
            handler.data_to_send()
            handler.receive_eof(world.now)
            broker.take_dirty()
            broker.take_events()
            broker.next_deadline()

    storm(2000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        storm(2000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert empty(world)
    assert after - before < 400_000  # what a few hundred dead timers weigh, however long the storm


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("version", [4, 5])
def test_random_bytes_never_raise_into_the_host_and_never_hurt_another_client(make_world, version, seed):
    world = make_world()
    other = witness(world)
    rng = Random(seed)
    frames = [
        encode(packet, version)
        for packet in (
            pub(b"payload", 1, 3),
            pub(b"payload", 2, 4, topic="witness/x"),
            PubrelPacket(4),
            PubackPacket(1),
            SubscribePacket(5, [at("a/+", 1), at("b/#", 2)]),
            UnsubscribePacket(6, ["a/+"]),
            PingreqPacket(),
            DisconnectPacket(),
        )
    ]
    for number in range(150):
        client = world.dial(version) if number % 5 == 0 else lasting(world, f"c{number % 3}", version)
        for _ in range(rng.randrange(1, 6)):
            data = bytearray(rng.choice(frames) if rng.random() < 0.8 else rng.randbytes(rng.randrange(1, 30)))
            for _ in range(rng.randrange(3)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            if client.closed:
                break
            client.send_bytes(bytes(data))
        if not client.closed:
            client.drop()
    unharmed(world, other)


# -- nobody waits long for somebody else ---------------------------------------------------------------------------


def test_a_chunk_of_very_many_packets_is_handled_in_turns(version):
    world = World()
    client = world.connect("c", version=version, keep_alive_s=10)
    handler = client.handler
    handler.receive_data(b"\xc0\x00" * 2500 + b"\xe0\x00", world.now)
    answered = []
    for _ in range(3):
        answered.append(len(b"".join(handler.data_to_send())) // 2)
        assert handler.reading_paused == (len(answered) < 3)
        assert (world.broker.next_deadline() == world.now) == (len(answered) < 3)
        world.broker.handle_timer(world.now)
    assert answered == [1000, 1000, 500]
    assert handler.closing
    world.settle()
    assert world.broker.next_deadline() is None


def test_a_chunk_of_very_many_retained_messages_is_handled_in_turns(version):
    world = World()
    client = world.connect("c", version=version)
    chunk = b"".join([encode(PublishPacket(f"t/{n}", b"x", retain=True), version) for n in range(2500)])
    client.handler.receive_data(chunk, world.now)
    assert 1000 <= world.broker.counters.publish_received <= 1001
    assert world.broker.next_deadline() == world.now
    world.wait(0)
    assert world.broker.counters.publish_received == 2500
    assert not client.handler.reading_paused


def test_bytes_that_arrive_during_such_a_chunk_keep_their_place(version):
    world = World()
    watcher = world.connect("w", version=version)
    watcher.subscribe("t")
    client = world.connect("c", version=version)
    first = encode(SubscribePacket(9, [SubscribeFilter("t", 0)]), version)
    client.handler.receive_data(b"\xc0\x00" * 1500 + first[:-1], world.now)
    client.handler.receive_data(first[-1:] + encode(PublishPacket("t", b"x"), version), world.now)
    world.wait(0)
    kinds = [type(p) for p in client.received()]
    assert kinds == [PingrespPacket] * 1500 + [SubackPacket, PublishPacket]
    assert [p.payload for p in watcher.messages()] == [b"x"]


def test_packets_with_long_answers_are_handled_in_turns(version):
    world = World()
    keeper = world.connect("keeper", version=version)
    keeper.send(*[PublishPacket(f"t/{n}", bytes(500), retain=True) for n in range(900)])
    client = world.connect("c", version=version, frozen=True)
    wanted = encode(SubscribePacket(1, [SubscribeFilter("#", 0)]), version)
    client.handler.receive_data(wanted * 20, world.now)
    assert 256 * 1024 < client.handler.outbox.size < 1024 * 1024
    client.thaw()
    world.wait(0)
    assert [type(p) for p in client.received()].count(SubackPacket) == 20


def test_walking_retained_messages_that_do_not_match_is_work_too(version):
    world = World()
    keeper = world.connect("keeper", version=version)
    for part in range(4):
        keeper.send(*[PublishPacket(f"t/{n}/{part}", b"x", retain=True) for n in range(250)])
    client = world.connect("c", version=version)
    client.handler.receive_data(
        encode(SubscribePacket(1, [SubscribeFilter(f"t/+/x{n}", 0) for n in range(200)]), version), world.now
    )
    assert len(world.session("c").replays) > 150  # each of them walks 250 names, a slice some 4,000
    world.settle()
    world.wait(0)
    assert world.session("c").replays is None

"""CONNECT as the broker takes it (section 3.1): what it refuses, and what it makes of the session."""

from __future__ import annotations

import string

import pytest

from mqtt_core.broker import DEFERRED, Accept, Challenge, ClientConnected, ClientDisconnected, ClientRefused, Refuse
from mqtt_core.codec import (
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    PacketType,
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
    UnsubackPacket,
    UnsubscribePacket,
    Will,
    encode,
)
from mqtt_core.session.connection import ALLOWED, SERVER, ConnectionState
from tests.broker.kit import Rules, World, connect_packet

# One valid packet of each type; the second column is what 3.1.1 may not say.
PACKETS = {
    PacketType.CONNECT: ConnectPacket("other"),
    PacketType.CONNACK: ConnackPacket(),
    PacketType.PUBLISH: PublishPacket("t", b"x"),
    PacketType.PUBACK: PubackPacket(1),
    PacketType.PUBREC: PubrecPacket(1),
    PacketType.PUBREL: PubrelPacket(1),
    PacketType.PUBCOMP: PubcompPacket(1),
    PacketType.SUBSCRIBE: SubscribePacket(1, [SubscribeFilter("t")]),
    PacketType.SUBACK: SubackPacket(1, [0]),
    PacketType.UNSUBSCRIBE: UnsubscribePacket(1, ["t"]),
    PacketType.UNSUBACK: UnsubackPacket(1, [0]),
    PacketType.PINGREQ: PingreqPacket(),
    PacketType.PINGRESP: PingrespPacket(),
    PacketType.DISCONNECT: DisconnectPacket(),
    PacketType.AUTH: AuthPacket(0x19, Properties(authentication_method="m")),
}


def frame_of(kind):
    return b"\x00\x00" if kind == PacketType.RESERVED else encode(PACKETS[kind], 5)


# ---------------------------------------------------------------------------------------------------- the first packet


@pytest.mark.parametrize("kind", [k for k in PacketType if k != PacketType.CONNECT])
@pytest.mark.spec("MQTT-3.1.0-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.0-1", version="5.0")
def test_a_first_packet_that_is_not_connect_ends_the_connection_unanswered(world, kind):
    stranger = world.dial()
    stranger.send_bytes(frame_of(kind))
    assert stranger.closed
    assert stranger.raw() == b""
    assert world.events() == [ClientRefused(world.now, "", "", 0x82, "the first packet is not CONNECT")]
    assert world.counters.protocol_errors == 1


@pytest.mark.parametrize("start", [b"\x00", b"\x30", b"G", b"\xff", b"\x16\x03\x01\x02\x00"])
def test_a_stranger_is_recognised_by_its_first_bytes(world, start):
    """An HTTP request or a TLS hello on the plain port, or a PUBLISH of 256 MB, is not waited for."""
    stranger = world.dial()
    stranger.send_bytes(start)
    assert stranger.closed
    assert stranger.raw() == b""


def test_connect_may_arrive_byte_by_byte(world, version):
    client = world.dial(version)
    for byte in encode(connect_packet("c", version=version), version):
        assert client.raw() == b""
        client.send_bytes(bytes([byte]))
    assert client.received()[0].reason_code == 0
    assert [type(e) for e in world.events()] == [ClientConnected]


@pytest.mark.spec("MQTT-3.1.0-2", version="5.0")
def test_a_second_connect_is_a_protocol_error(world):
    client = world.connect("c")
    client.send(ConnectPacket("c"))
    assert [p.reason_code for p in client.received()] == [0x82]
    assert client.closed


@pytest.mark.spec("MQTT-3.1.0-2", "MQTT-4.8.0-1", version="3.1.1")
def test_a_second_connect_of_311_closes_the_connection(world):
    client = world.connect("c", version=4)
    client.send(ConnectPacket("c", version=4))
    assert client.raw() == b""
    assert client.closed
    assert world.session("c") is None
    assert [e.reason_code for e in world.events(ClientDisconnected)] == [0x82]


# --------------------------------------------------------------------------------- which packet is legal in which phase


def in_phase(world, phase, version):
    """A client whose connection is in a phase, and the world's answer to it taken away."""
    method = {"authentication_method": "m"} if version == 5 else {}
    client = world.dial(version)
    if phase == ConnectionState.NEW:
        return client
    client.send(connect_packet("c", version=version, **method))
    if phase == ConnectionState.CLOSING:
        client.frozen = True
        world.broker.disconnect("c", 0x98, world.now)
        world.settle()
        assert not client.closed
    elif phase == ConnectionState.CLOSED:
        client.drop()
    client.raw()
    assert client.handler.phase == phase
    return client


def decisions_for(phase):
    if phase == ConnectionState.AUTHENTICATING:
        return [Challenge(b"?"), Challenge(b"?")]
    if phase == ConnectionState.WAITING:
        return [DEFERRED]
    return [Accept()]


@pytest.mark.parametrize("kind", list(PacketType))
@pytest.mark.parametrize("phase", [ConnectionState.AUTHENTICATING, ConnectionState.OPEN])
def test_a_packet_is_served_or_ends_the_connection_as_the_table_says(phase, kind):
    world = World(policy=Rules(*decisions_for(phase)))
    client = in_phase(world, phase, 5)
    client.send_bytes(frame_of(kind))
    if ALLOWED[SERVER][phase] >> kind & 1:
        wrong_code = kind == PacketType.AUTH and phase == ConnectionState.AUTHENTICATING  # 0x19 instead of 0x18
        assert client.closed == (wrong_code or kind == PacketType.DISCONNECT)
        assert world.counters.protocol_errors == wrong_code
    else:
        assert client.closed
        assert [p.reason_code for p in client.received()] == [0x82 if kind else 0x81]
        assert world.counters.protocol_errors == 1


@pytest.mark.parametrize("kind", list(PacketType))
def test_while_the_host_decides_no_packet_is_looked_at(kind):
    world = World(policy=Rules(*decisions_for(ConnectionState.WAITING)))
    client = in_phase(world, ConnectionState.WAITING, 5)
    client.send_bytes(frame_of(kind))
    assert not client.closed
    assert client.raw() == b""
    assert client.handler.phase == ConnectionState.WAITING


@pytest.mark.parametrize("kind", list(PacketType))
@pytest.mark.parametrize("phase", [ConnectionState.CLOSING, ConnectionState.CLOSED])
def test_nothing_is_read_from_a_connection_that_is_over(phase, kind):
    world = World(policy=Rules(*decisions_for(phase)))
    client = in_phase(world, phase, 5)
    before = world.counters.as_dict()
    client.handler.receive_data(frame_of(kind), world.now)
    world.settle()
    assert world.counters.as_dict() == before
    assert client.handler.phase == phase


# ---------------------------------------------------------------------------------------------------- name and version


def raw_connect(name=b"MQTT", level=4, flags=0x02, keep_alive_s=0, rest=b"\x00\x01c"):
    body = len(name).to_bytes(2, "big") + name + bytes([level, flags]) + keep_alive_s.to_bytes(2, "big") + rest
    return bytes([0x10, len(body)]) + body


@pytest.mark.parametrize("name", [b"MQTX", b"mqtt", b"", b"MQTTT", b"\xff\xfe"])
@pytest.mark.spec("MQTT-3.1.2-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-1", version="5.0")
def test_another_protocol_is_not_served(world, name):
    for level in (4, 5):
        client = world.dial()
        client.send_bytes(raw_connect(name, level, rest=b"\x00\x00\x01c" if level == 5 else b"\x00\x01c"))
        assert client.closed
        assert client.raw() == b""
    assert list(world.broker.sessions()) == []


@pytest.mark.parametrize(
    "name,level", [(b"MQIsdp", 3), (b"MQTT", 0), (b"MQTT", 3), (b"MQTT", 6), (b"MQTT", 0x84), (b"MQTT", 255)]
)
@pytest.mark.spec("MQTT-3.1.2-2", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-2", version="5.0")
def test_a_version_we_do_not_speak_is_refused_by_return_code_1(world, name, level):
    client = world.dial()
    client.send_bytes(raw_connect(name, level))
    assert client.raw() == b"\x20\x02\x00\x01"
    assert client.closed
    assert [e.reason_code for e in world.events(ClientRefused)] == [0x84]


@pytest.mark.spec("MQTT-3.1.2-3", "MQTT-3.1.4-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.2-3", "MQTT-3.1.4-1", version="5.0")
def test_the_reserved_connect_flag_makes_connect_malformed(world):
    old = world.dial(4)
    old.send_bytes(raw_connect(flags=0x03))
    assert old.raw() == b""
    assert old.closed
    new = world.dial(5)
    new.send_bytes(raw_connect(level=5, flags=0x03, rest=b"\x00\x00\x01c"))
    (connack,) = new.received()
    assert connack.reason_code == 0x81
    assert new.closed


MALFORMED = {
    "ends before the keep alive": b"\x10\x08\x00\x04MQTT\x05\x02",
    "client identifier past the end": raw_connect(level=5, rest=b"\x00\x00\x05c"),
    "bytes left over": raw_connect(level=5, rest=b"\x00\x00\x01cx"),
    "properties past the end": raw_connect(level=5, rest=b"\x1a\x15\x00\x05GS2-K"),
    "five-byte property length": raw_connect(level=5, rest=b"\xff\xff\xff\xff\x01\x00\x01c"),
    "no property length": raw_connect(level=5, rest=b""),
    "will flag without a will": raw_connect(level=5, flags=0x06, rest=b"\x00\x00\x01c"),
}


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.spec("MQTT-3.1.4-1", "MQTT-4.13.1-1", version="5.0")
def test_a_malformed_connect_is_told_so_and_closed(world, frame):
    client = world.dial()
    client.send_bytes(frame)
    (connack,) = client.received()
    assert connack.reason_code == 0x81
    assert client.closed
    assert list(world.broker.sessions()) == []


@pytest.mark.parametrize(
    "frame",
    [
        b"\x10\x08\x00\x04MQTT\x04\x02",
        raw_connect(rest=b"\x00\x05c"),
        raw_connect(rest=b"\x00\x01cx"),
        raw_connect(flags=0x40, rest=b"\x00\x01c\x00\x01p"),
        raw_connect(rest=b"\x00\x01\x00"),
    ],
    ids=["short", "identifier past the end", "bytes left over", "password without user name", "U+0000"],
)
@pytest.mark.spec("MQTT-3.1.4-1", version="3.1.1")
def test_a_malformed_connect_of_311_is_closed_without_connack(world, frame):
    client = world.dial(4)
    client.send_bytes(frame)
    assert client.raw() == b""
    assert client.closed


@pytest.mark.parametrize(
    "properties",
    [b"\x21\x00\x00", b"\x27\x00\x00\x00\x00", b"\x19\x02", b"\x17\x02", b"\x16\x00\x01x", b"\x21\x00\x01\x21\x00\x01"],
    ids=["receive maximum 0", "packet size 0", "response info 2", "problem info 2", "data without method", "twice"],
)
def test_a_protocol_error_in_connect_is_told_so(world, properties):
    client = world.dial()
    client.send_bytes(raw_connect(level=5, rest=bytes([len(properties)]) + properties + b"\x00\x01c"))
    (connack,) = client.received()
    assert connack.reason_code == 0x82
    assert client.closed


def test_a_great_many_user_properties_are_read_in_linear_time():
    world = World(connect_packet_size_max=1024 * 1024)
    pairs = tuple((f"k{n}", "v") for n in range(80_000))
    assert world.connect("c", user_properties=pairs).connack.reason_code == 0


# -------------------------------------------------------------------------------------------------- client identifiers


@pytest.mark.spec("MQTT-3.1.3-5", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.3-5", version="5.0")
def test_every_plain_client_identifier_up_to_23_bytes_is_accepted(world, version):
    letters = string.digits + string.ascii_letters
    names = [letters[i] for i in range(62)] + [(letters * 2)[n : n + n % 23 + 1] for n in range(62)]
    for name in names:
        assert world.connect(name, version=version).connack.reason_code == 0
        assert world.session(name).connected


def test_longer_and_stranger_client_identifiers_are_accepted_too(world, version):
    for name in ("x" * 65_535, "a/+/#", "ä ☃ 𝄞", "$SYS/x"):
        assert world.connect(name, version=version).connack.reason_code == 0


@pytest.mark.spec("MQTT-3.1.3-6", version="3.1.1")
def test_a_311_client_without_identifier_gets_a_session_of_its_own(world):
    first = world.connect("", version=4)
    second = world.connect("", version=4)
    assert not first.closed
    names = [s.client_id for s in world.broker.sessions()]
    assert len(set(names)) == 2
    assert "" not in names
    second.subscribe("t")
    first.send(PublishPacket("t", b"x"))
    assert second.messages() == [PublishPacket("t", b"x")]


@pytest.mark.spec("MQTT-3.1.3-6", "MQTT-3.1.3-7", version="5.0")
def test_an_assigned_identifier_is_told_and_is_the_sessions_key(world):
    client = world.connect("", session_expiry_interval=60)
    name = client.connack.properties.assigned_client_identifier
    assert [s.client_id for s in world.broker.sessions()] == [name]
    client.drop()
    again = world.connect(name, clean=False)
    assert again.connack.session_present
    assert again.connack.properties.assigned_client_identifier is None


@pytest.mark.spec("MQTT-3.2.2-16", version="5.0")
def test_an_assigned_identifier_is_nobody_elses():
    first_choice = World(seed=7).connect("").connack.properties.assigned_client_identifier
    world = World(seed=7)
    owner = world.connect(first_choice)
    assigned = world.connect("").connack.properties.assigned_client_identifier
    assert assigned != first_choice
    assert not owner.closed


@pytest.mark.spec("MQTT-3.1.3-8", "MQTT-3.1.3-9", "MQTT-3.2.2-5", version="3.1.1")
def test_a_311_client_without_identifier_needs_a_clean_session(world):
    client = world.connect("", version=4, clean=False, accepted=False)
    assert client.connack == ConnackPacket(2)
    assert client.closed
    assert list(world.broker.sessions()) == []


@pytest.mark.spec("MQTT-3.1.3-8", version="5.0")
def test_identifiers_of_the_hosts_own_subscribers_are_refused(world):
    client = world.connect("$local/x", accepted=False)
    assert client.connack.reason_code == 0x85
    assert client.closed


@pytest.mark.spec("MQTT-3.1.3-9", version="3.1.1")
def test_identifiers_of_the_hosts_own_subscribers_are_refused_to_311(world):
    client = world.dial(4)
    client.send(ConnectPacket("$local/x", version=4))
    assert client.raw() == b"\x20\x02\x00\x02"
    assert client.closed


# ----------------------------------------------------------------------------------------------- pipelining and refusal


@pytest.mark.spec("MUST-3.1.4-2", version="3.1.1")
@pytest.mark.spec("MUST-3.1.4-2", version="5.0")
def test_packets_right_behind_connect_are_served_after_connack(world, version):
    client = world.dial(version)
    client.send(
        connect_packet("c", version=version),
        SubscribePacket(1, [SubscribeFilter("t", 1)]),
        PublishPacket("t", b"x", 1, packet_id=2),
        PingreqPacket(),
    )
    kinds = [p.packet_type for p in client.received()]
    assert kinds == [PacketType.CONNACK, PacketType.SUBACK, PacketType.PUBLISH, PacketType.PUBACK, PacketType.PINGRESP]


@pytest.mark.spec("MQTT-3.1.4-5", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.4-2", "MQTT-3.1.4-6", version="5.0")
def test_nothing_behind_a_refused_connect_is_served(version):
    world = World(policy=Rules(Refuse(0x87), Refuse(0x87)))
    client = world.dial(version)
    client.send(connect_packet("c", version=version), PublishPacket("t", b"x", retain=True), PingreqPacket())
    (connack,) = client.received()
    assert connack.reason_code == (5 if version == 4 else 0x87)
    assert client.closed
    assert world.broker.retained() == []
    late = world.dial(version)
    late.send(connect_packet("c", version=version))
    assert late.closed


# ------------------------------------------------------------------------------------------------------------- sessions


@pytest.mark.spec("MQTT-3.1.2-4", "MQTT-3.1.3-2", "MQTT-4.1.0-1", "MUST-4.2-1", version="3.1.1")
def test_a_311_session_with_clean_session_0_goes_on_under_its_identifier(world):
    a = world.connect("a", version=4, clean=False)
    a.subscribe("t")
    a.send(DisconnectPacket())
    b = world.connect("b", version=4, clean=False)
    assert not b.connack.session_present
    world.wait(10 * 365 * 86400)
    a = world.connect("a", version=4, clean=False)
    assert a.connack.session_present
    world.publish("t", b"x")
    assert a.messages() == [PublishPacket("t", b"x")]
    assert b.messages() == []


@pytest.mark.spec("MQTT-3.1.2-5", version="3.1.1")
def test_messages_for_an_absent_311_client_are_kept(world):
    a = world.connect("a", version=4, clean=False)
    a.subscribe("t")
    a.drop()
    for qos in (1, 2):
        world.publish("t", b"%d" % qos, qos)
    a = world.connect("a", version=4, clean=False)
    assert a.messages() == [PublishPacket("t", b"1", 1, packet_id=1), PublishPacket("t", b"2", 2, packet_id=2)]


@pytest.mark.spec("MQTT-3.1.2-6", version="3.1.1")
def test_a_clean_session_forgets_what_was_and_is_forgotten(world):
    a = world.connect("a", version=4, clean=False)
    a.subscribe("t")
    a.drop()
    world.publish("t", b"x", 1)
    a = world.connect("a", version=4)
    assert not a.connack.session_present
    world.publish("t", b"y", 1)
    assert a.messages() == []
    assert world.counters.queued_messages == 0
    a.subscribe("u")
    a.drop()
    assert world.session("a") is None
    a = world.connect("a", version=4, clean=False)
    assert not a.connack.session_present
    world.publish("u", b"z", 1)
    assert a.messages() == []


@pytest.mark.spec("MQTT-3.1.2-4", version="5.0")
def test_clean_start_discards_the_session(world):
    a = world.connect("a", session_expiry_interval=100)
    a.subscribe("t")
    a.drop()
    world.publish("t", b"x", 1)
    a = world.connect("a", session_expiry_interval=100)
    world.publish("t", b"y", 1)
    assert not a.connack.session_present
    assert a.messages() == []
    assert world.counters.queued_messages == 0


@pytest.mark.spec("MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.1.3-2", "MQTT-4.1.0-1", version="5.0")
def test_without_clean_start_the_session_goes_on(world):
    a = world.connect("a", session_expiry_interval=100)
    a.subscribe("t")
    world.publish("t", b"1", 2)
    a.drop()
    world.publish("t", b"2", 1)
    world.wait(99)
    a = world.connect("a", clean=False)
    assert a.connack.session_present
    assert a.early == [PublishPacket("t", b"1", 2, dup=True, packet_id=1), PublishPacket("t", b"2", 1, packet_id=2)]


@pytest.mark.spec("MQTT-3.1.2-6", "MQTT-3.2.2-3", version="5.0")
def test_without_clean_start_and_without_a_session_a_new_one_begins(world):
    a = world.connect("a", clean=False)
    assert not a.connack.session_present
    assert a.subscribe("t") == [2]
    assert world.session("a").connected


@pytest.mark.spec("MQTT-3.1.2-7", version="3.1.1")
def test_retained_messages_outlive_every_session(world):
    a = world.connect("a", version=4)
    a.send(PublishPacket("t", b"kept", retain=True))
    a.drop()
    world.connect("a", version=4)
    b = world.connect("b", version=4)
    b.subscribe("t")
    assert b.messages() == [PublishPacket("t", b"kept", retain=True)]


@pytest.mark.spec("MQTT-4.1.0-2", version="3.1.1")
def test_a_session_lasts_as_long_as_its_connection(world):
    a = world.connect("a", version=4)
    a.subscribe("t")
    world.wait(10**7)
    world.publish("t", b"x")
    assert a.messages() == [PublishPacket("t", b"x")]


@pytest.mark.spec("MUST-3.1.2.11.2-2", version="5.0")
@pytest.mark.parametrize("fields", [{}, {"session_expiry_interval": 0}])
def test_a_session_without_expiry_ends_with_its_connection(world, fields):
    a = world.connect("a", **fields)
    a.subscribe("t")
    a.handler.receive_eof(world.now)
    assert world.session("a") is None
    assert not world.connect("a", clean=False).connack.session_present


@pytest.mark.spec("MQTT-4.1.0-2", "MUST-3.1.2.11.2-4", version="5.0")
def test_a_session_ends_when_its_expiry_interval_is_over(world):
    a = world.connect("a", session_expiry_interval=100)
    world.wait(1000)
    a.subscribe("t")
    a.drop()
    world.wait(99.9)
    assert world.session("a") is not None
    world.wait(0.2)
    assert world.session("a") is None
    assert world.counters.sessions_expired == 1
    assert not world.connect("a", clean=False).connack.session_present


def test_a_session_found_expired_before_its_timer_is_not_resumed(world):
    a = world.connect("a", session_expiry_interval=100)
    a.drop()
    world.now += 100
    client = world.dial()
    client.handler.receive_data(encode(connect_packet("a", clean=False), 5), world.now)
    world.settle()
    assert not client.received()[0].session_present


@pytest.mark.spec("MUST-3.1.2.11.2-3", version="5.0")
def test_an_expiry_interval_of_all_ones_never_ends(world):
    a = world.connect("a", session_expiry_interval=0xFFFFFFFF)
    a.drop()
    world.wait(200 * 365 * 86400)
    assert world.connect("a", clean=False).connack.session_present


@pytest.mark.spec("MQTT-3.1.4-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.4-4", version="5.0")
def test_clean_start_is_carried_out_only_for_an_accepted_connect(version):
    world = World(policy=Rules())
    kept = {"session_expiry_interval": 100} if version == 5 else {}
    a = world.connect("a", version=version, clean=False, **kept)
    a.drop()
    world.policy.decisions = [Refuse(0x87)]
    world.connect("a", version=version, clean=True, accepted=False)
    assert world.session("a") is not None
    world.connect("a", version=version, clean=True)
    assert not world.session("a").subscriptions


def test_a_session_may_be_resumed_with_the_other_version(world):
    a = world.connect("a", version=4, clean=False)
    a.subscribe("t")
    a.drop()
    world.publish("t", b"x", 1, content_type="text")
    a = world.connect("a", clean=False, session_expiry_interval=5)
    assert a.connack.session_present
    assert a.early == [PublishPacket("t", b"x", 1, packet_id=1, properties=Properties(content_type="text"))]
    a.drop()
    a = world.connect("a", version=4, clean=False)
    assert a.early == [PublishPacket("t", b"x", 1, dup=True, packet_id=1)]


@pytest.mark.spec("MQTT-3.1.2-9", version="3.1.1")
def test_the_will_of_a_311_connect_is_read_from_flags_and_payload(world):
    watcher = world.connect("w", version=4)
    watcher.subscribe("will/topic")
    client = world.dial(4)
    # Will, will QoS 1, clean session; identifier "c", topic "will/topic", message "gone".
    client.send_bytes(raw_connect(flags=0x0E, rest=b"\x00\x01c\x00\x0awill/topic\x00\x04gone"))
    client.drop()
    assert watcher.messages() == [PublishPacket("will/topic", b"gone", 1, packet_id=1)]


def test_the_policy_sees_who_connects_and_from_where():
    world = World(policy=Rules())
    world.connect("a", username="ann", password=b"secret", peer="127.0.0.1:5", will=Will("w"))
    assert world.policy.asked[0] == ("authenticate", "a", "127.0.0.1:5")
    assert world.session("a").identity == "ann"

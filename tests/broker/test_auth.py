"""Authentication: at once, later (WAITING), in steps (AUTH) and anew (sections 3.1.4, 3.15, 4.12)."""

from __future__ import annotations

import pytest

from mqtt_core.broker import (
    DEFERRED,
    Accept,
    AuthenticationPending,
    Challenge,
    ClientConnected,
    ClientDisconnected,
    ClientRefused,
    Refuse,
)
from mqtt_core.codec import (
    AuthPacket,
    ConnackPacket,
    DisconnectPacket,
    PingreqPacket,
    PingrespPacket,
    Properties,
    PubackPacket,
    PublishPacket,
    Will,
    encode,
)
from mqtt_core.session.connection import ConnectionState
from tests.broker.kit import Rules, World, connect_packet


def auth(code, data=None, method="m"):
    return AuthPacket(code, Properties(authentication_method=method, authentication_data=data))


def begin(world, client_id="c", **fields):
    """A CONNECT with an Authentication Method has been sent."""
    client = world.dial()
    fields.setdefault("authentication_method", "m")
    client.send(connect_packet(client_id, **fields))
    return client


# ---------------------------------------------------------------------------------------------- enhanced, on connecting


@pytest.mark.spec("MQTT-4.12.0-2", "MQTT-4.12.0-3", "MQTT-4.12.0-5", version="5.0")
def test_an_authentication_in_steps():
    world = World(policy=Rules(Challenge(b"who?"), Challenge(b"prove it"), Accept("ann", data=b"welcome")))
    client = begin(world, authentication_data=b"hello")
    assert client.received() == [auth(0x18, b"who?")]
    assert list(world.broker.sessions()) == []
    client.send(auth(0x18, b"ann"))
    assert client.received() == [auth(0x18, b"prove it")]
    client.send(auth(0x18, b"proof"))
    (connack,) = client.received()
    assert connack.reason_code == 0
    assert connack.properties.authentication_method == "m"
    assert connack.properties.authentication_data == b"welcome"
    assert world.policy.asked == [("authenticate", "c", ""), ("continue", 0x18, b"ann"), ("continue", 0x18, b"proof")]
    assert world.session("c").identity == "ann"


@pytest.mark.spec("MQTT-4.12.0-4", "MQTT-4.13.2-1", version="5.0")
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_an_authentication_may_fail_at_any_step(steps):
    world = World(policy=Rules(*[Challenge()] * steps, Refuse(0x86)))
    client = begin(world, will=Will("w"))
    for _ in range(steps):
        client.send(auth(0x18))
    *challenges, connack = client.received()
    assert challenges == [auth(0x18)] * steps
    assert connack == ConnackPacket(0x86)
    assert client.closed
    assert [e.reason_code for e in world.events()] == [0x86]
    assert world.counters.wills_published == 0


@pytest.mark.spec("MQTT-4.12.0-1", version="5.0")
def test_without_a_policy_no_authentication_method_is_supported(world):
    client = begin(world)
    assert client.received() == [ConnackPacket(0x8C, False, Properties(reason_string="no such authentication method"))]
    assert client.closed


@pytest.mark.spec("MQTT-4.12.0-1", version="5.0")
def test_the_policy_may_not_know_the_method():
    world = World(policy=Rules(Refuse(0x8C)))
    client = begin(world)
    assert client.received() == [ConnackPacket(0x8C)]
    assert client.closed


@pytest.mark.spec("MQTT-4.12.0-5", version="5.0")
@pytest.mark.parametrize("method", ["n", "M", ""])
def test_every_auth_has_the_method_of_connect(method):
    world = World(policy=Rules(Challenge()))
    client = begin(world)
    client.raw()
    client.send(auth(0x18, b"", method))
    (connack,) = client.received()
    assert connack.reason_code == 0x82
    assert client.closed


@pytest.mark.spec("MQTT-3.15.2-1", version="5.0")
@pytest.mark.parametrize("code", [0x00, 0x19])
def test_a_challenge_is_answered_with_continue_only(code):
    world = World(policy=Rules(Challenge()))
    client = begin(world)
    client.raw()
    client.send(auth(code))
    (connack,) = client.received()
    assert connack.reason_code == 0x82
    assert client.closed


@pytest.mark.spec("MQTT-3.15.1-1", version="5.0")
@pytest.mark.parametrize("flags", [1, 2, 15])
def test_an_auth_with_reserved_flags_is_malformed(flags):
    world = World(policy=Rules(Challenge()))
    client = begin(world)
    client.raw()
    data = encode(auth(0x18), 5)
    client.send_bytes(bytes([data[0] | flags]) + data[1:])
    (connack,) = client.received()
    assert connack.reason_code == 0x81
    assert client.closed


@pytest.mark.spec("MQTT-3.1.2-30", version="5.0")
@pytest.mark.parametrize("packet", [PublishPacket("t", b"x", retain=True), PingreqPacket(), connect_packet("c")])
def test_nothing_but_auth_and_disconnect_may_come_during_an_authentication(packet):
    world = World(policy=Rules(Challenge()))
    client = begin(world)
    client.raw()
    client.send(packet)
    (connack,) = client.received()
    assert connack.reason_code == 0x82
    assert client.closed
    assert world.broker.retained() == []


def test_a_client_may_give_up_during_an_authentication():
    world = World(policy=Rules(Challenge()))
    client = begin(world, will=Will("w"))
    client.raw()
    client.send(DisconnectPacket(0x04))
    assert client.raw() == b""
    assert client.closed
    assert [type(e) for e in world.events()] == [ClientRefused]
    assert world.counters.wills_published == 0


def test_an_authentication_has_to_end_within_the_connect_timeout():
    world = World(policy=Rules(*[Challenge()] * 10), connect_timeout_s=10)
    client = begin(world)
    for _ in range(3):
        world.wait(3)
        client.send(auth(0x18))
    assert not client.closed
    world.wait(1.1)
    assert client.closed


@pytest.mark.spec("MQTT-4.12.0-6", version="5.0")
@pytest.mark.parametrize("later", [False, True])
def test_a_client_without_a_method_is_never_challenged(later):
    world = World(policy=Rules(DEFERRED if later else Challenge(b"?")))
    client = world.dial()
    client.send(connect_packet("c"))
    if later:
        client.handler.resume(Challenge(b"?"), world.now)
        world.settle()
    (connack,) = client.received()
    assert connack.reason_code == 0x8C
    assert client.closed


def test_a_311_client_is_never_challenged():
    world = World(policy=Rules(Challenge(b"?")))
    client = world.dial(4)
    client.send(connect_packet("c", version=4))
    assert client.raw() == b""
    assert client.closed


@pytest.mark.spec("MQTT-4.12.0-7", "MUST-3.15-1", version="5.0")
@pytest.mark.parametrize("policy", [None, Rules()])
def test_an_auth_without_a_method_in_connect_is_a_protocol_error(policy):
    world = World(policy=policy)
    client = world.connect("c")
    client.send(auth(0x19))
    (disconnect,) = client.received()
    assert disconnect.reason_code == 0x82
    assert client.closed


# ----------------------------------------------------------------------------------------------------------------- anew


@pytest.mark.spec("MQTT-4.12.1-1", version="5.0")
def test_a_client_may_authenticate_anew_and_works_on_meanwhile():
    world = World(policy=Rules(Accept("ann", "old rights"), Challenge(b"who?"), Accept("ann", "new rights", b"ok")))
    client = world.connect("c", authentication_method="m")
    client.send(auth(0x19, b"again"))
    assert client.received() == [auth(0x18, b"who?")]
    client.send(PublishPacket("t", b"x", 1, packet_id=1), PingreqPacket())
    assert client.received() == [PubackPacket(1, 0x10), PingrespPacket()]
    client.send(auth(0x18, b"ann"))
    assert client.received() == [auth(0x00, b"ok")]
    assert world.policy.asked[-1] == ("continue", 0x18, b"ann")
    assert world.session("c").principal.rights == "new rights"
    world.policy.decisions = [Accept("ann")]
    client.send(auth(0x19))
    assert client.received() == [auth(0x00)]


@pytest.mark.spec("MQTT-4.12.1-2", version="5.0")
@pytest.mark.parametrize("code,told", [(0x87, 0x87), (0x89, 0x89), (0x86, 0x87), (0x8C, 0x87)])
@pytest.mark.parametrize("later", [False, True])
def test_a_client_that_fails_to_authenticate_anew_is_disconnected(code, told, later):
    world = World(policy=Rules(Accept(), DEFERRED if later else Refuse(code)))
    client = world.connect("c", authentication_method="m", will=Will("w"))
    client.send(auth(0x19))
    if later:
        client.handler.resume(Refuse(code), world.now)
        world.settle()
    (disconnect,) = client.received()
    assert disconnect.reason_code == told
    assert client.closed
    assert world.counters.wills_published == 1


def test_a_client_may_not_become_somebody_else():
    world = World(policy=Rules(Accept("ann"), Accept("bob")))
    client = world.connect("c", authentication_method="m")
    client.send(auth(0x19))
    (disconnect,) = client.received()
    assert disconnect.reason_code == 0x87
    assert client.closed


@pytest.mark.spec("MQTT-4.12.1-1", "MQTT-3.15.2-1", version="5.0")
@pytest.mark.parametrize("packet", [auth(0x18), auth(0x00), auth(0x19, method="n")])
def test_authenticating_anew_begins_with_the_right_code_and_method(packet):
    world = World(policy=Rules())
    client = world.connect("c", authentication_method="m")
    client.send(packet)
    (disconnect,) = client.received()
    assert disconnect.reason_code == 0x82
    assert client.closed


def test_authenticating_anew_does_not_begin_twice():
    world = World(policy=Rules(Accept(), Challenge()))
    client = world.connect("c", authentication_method="m")
    client.send(auth(0x19))
    client.raw()
    client.send(auth(0x19))
    assert [p.reason_code for p in client.received()] == [0x82]


def test_what_was_allowed_is_asked_again_after_authenticating_anew():
    rights = {"old": True, "new": False}
    decisions = [Accept(), Accept(rights="old"), Accept(rights="new")]
    world = World(policy=Rules(*decisions, publish=lambda principal, *_: rights[principal.rights]))
    other = world.connect("other")
    client = world.connect("c", authentication_method="m")
    other.subscribe("t")
    client.send(PublishPacket("t", b"1"), auth(0x19), PublishPacket("t", b"2"))
    assert [m.payload for m in other.messages()] == [b"1"]


def test_what_may_be_sent_is_asked_again_after_authenticating_anew():
    decisions = [Accept(), Accept(rights="old"), Accept(rights="new")]
    world = World(policy=Rules(*decisions, deliver=lambda principal, _: principal.rights != "new"))
    other = world.connect("other")
    other.subscribe("t")
    client = world.connect("c", authentication_method="m")
    client.subscribe("t")
    other.send(PublishPacket("t", b"1"))
    client.send(auth(0x19))
    other.send(PublishPacket("t", b"2"))
    assert [p.payload for p in client.received() if isinstance(p, PublishPacket)] == [b"1"]


def test_a_decision_on_authenticating_anew_that_does_not_come_ends_the_connection():
    world = World(policy=Rules(Accept(), DEFERRED), connect_timeout_s=10)
    client = world.connect("c", authentication_method="m", will=Will("w"))
    world.wait(100)
    client.send(auth(0x19))
    client.send(PingreqPacket())
    world.wait(9.9)
    assert client.raw() == b""
    assert not client.closed
    world.wait(0.2)
    (disconnect,) = client.received()
    assert disconnect.reason_code == 0x87
    assert client.closed
    assert world.counters.wills_published == 1
    assert [e.reason_code for e in world.events(ClientDisconnected)] == [0x87]


# ------------------------------------------------------------------------------------------------------------- deferred


def test_a_deferred_client_is_announced_waits_and_is_let_in(version):
    world = World(policy=Rules(DEFERRED))
    client = world.dial(version, peer="10.0.0.1:1")
    client.send(connect_packet("c", version=version))
    assert client.raw() == b""
    assert client.handler.phase == ConnectionState.WAITING
    (event,) = world.events()
    assert isinstance(event, AuthenticationPending)
    assert event.handler is client.handler
    assert event.client_id == "c"
    assert list(world.broker.sessions()) == []
    event.handler.resume(Accept("ann"), world.now)
    world.settle()
    assert client.received()[0].reason_code == 0
    assert [type(e) for e in world.events()] == [ClientConnected]


def test_what_came_while_waiting_is_served_afterwards_in_order(version):
    world = World(policy=Rules(DEFERRED))
    client = world.dial(version)
    client.send(connect_packet("c", version=version), PublishPacket("t", b"1", retain=True))
    client.send(PublishPacket("t", b"2", retain=True))
    assert world.broker.retained() == []
    client.handler.resume(Accept(), world.now)
    world.settle()
    assert [m.payload for m in world.broker.retained()] == [b"2"]
    assert world.counters.publish_received == 2


@pytest.mark.spec("MQTT-3.1.4-5", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.4-6", version="5.0")
def test_nothing_kept_is_served_after_a_late_refusal(version):
    world = World(policy=Rules(DEFERRED))
    client = world.dial(version)
    client.send(connect_packet("c", version=version, will=Will("w")), PublishPacket("t", b"1", retain=True))
    client.handler.resume(Refuse(0x87), world.now)
    world.settle()
    (connack,) = client.received()
    assert connack.reason_code == (5 if version == 4 else 0x87)
    assert client.closed
    assert world.broker.retained() == []
    assert world.counters.wills_published == 0


def test_a_second_or_late_decision_changes_nothing():
    world = World(policy=Rules(DEFERRED))
    client = world.dial()
    client.send(connect_packet("c"))
    client.handler.resume(Accept(), world.now)
    client.handler.resume(Refuse(), world.now)
    client.handler.resume(Accept("other"), world.now)
    world.settle()
    assert len(client.received()) == 1
    assert not client.closed
    client.drop()
    client.handler.resume(Accept(), world.now)
    world.settle()
    assert list(world.broker.sessions()) == []


def test_a_decision_for_a_client_that_has_gone_changes_nothing():
    world = World(policy=Rules(DEFERRED))
    client = world.dial()
    client.send(connect_packet("c", will=Will("w")))
    client.drop()
    assert [type(e) for e in world.events()] == [AuthenticationPending, ClientRefused]
    client.handler.resume(Accept(), world.now)
    world.settle()
    assert list(world.broker.sessions()) == []
    assert world.counters.wills_published == 0


def test_waiting_ends_with_the_connect_timeout():
    world = World(policy=Rules(DEFERRED), connect_timeout_s=10)
    client = world.dial()
    world.wait(5)
    client.send(connect_packet("c"))
    world.wait(4.9)
    assert not client.closed
    world.wait(0.2)
    assert client.closed
    client.handler.resume(Accept(), world.now)
    assert list(world.broker.sessions()) == []


def test_a_decision_may_be_deferred_and_then_a_challenge():
    world = World(policy=Rules(DEFERRED, DEFERRED))
    client = begin(world)
    client.handler.resume(Challenge(b"?"), world.now)
    world.settle()
    assert client.received() == [auth(0x18, b"?")]
    client.send(auth(0x18, b"!"))
    assert client.raw() == b""
    client.handler.resume(Accept(), world.now)
    world.settle()
    assert client.received()[0].reason_code == 0


def test_a_decision_may_stay_deferred():
    world = World(policy=Rules(DEFERRED))
    client = world.dial()
    client.send(connect_packet("c"))
    client.handler.resume(DEFERRED, world.now)
    world.settle()
    assert client.handler.phase == ConnectionState.WAITING
    client.handler.resume(Accept(), world.now)
    world.settle()
    assert client.received()[0].reason_code == 0


def test_of_two_waiting_for_one_identifier_the_last_one_accepted_has_it():
    world = World(policy=Rules(DEFERRED, DEFERRED))
    first, second = world.dial(), world.dial()
    first.send(connect_packet("c"))
    second.send(connect_packet("c"))
    second.handler.resume(Accept(), world.now)
    first.handler.resume(Accept(), world.now)
    world.settle()
    assert second.closed
    assert not first.closed
    assert world.session("c").connected


def test_a_client_may_be_taken_over_while_its_new_authentication_is_decided():
    world = World(policy=Rules(Accept(), DEFERRED, Accept()))
    older = world.connect("c", authentication_method="m")
    older.send(auth(0x19))
    newer = world.connect("c")
    assert [p.reason_code for p in older.received()] == [0x8E]
    older.handler.resume(Accept(), world.now)
    world.settle()
    assert older.raw() == b""
    assert not newer.closed

"""The state that outlives a connection: what it says about itself, and what becomes of messages in it."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings

from mqtt_core.codec import Properties
from mqtt_core.persistence.record import decode_session, encode_session
from mqtt_core.session import (
    ALLOWED,
    CLIENT,
    NEVER_EXPIRES,
    SERVER,
    ConnectionState,
    Message,
    Outgoing,
    Session,
    SessionRecord,
    Subscription,
    SubscriptionRecord,
    WillRecord,
)
from mqtt_core.session.connection import keep_alive_limit_s
from mqtt_core.testing.machines import SessionMachine
from mqtt_core.transport import Outbox


def connected(client_id="c"):
    session = Session(client_id)
    session.sink = Outbox(None, [])
    session.connected = True
    session.update_direct()
    return session


def out(qos=1):
    return Outgoing(Message("t", b"x", qos, sequence=1), qos, False)


def test_frames_go_straight_to_a_connected_client_for_whom_nothing_waits():
    assert connected().direct
    assert not Session("c").direct


@pytest.mark.parametrize("waiting", ["queue", "resend", "replay"])
def test_as_long_as_something_waits_new_messages_do_not_pass_it(waiting):
    session = connected()
    if waiting == "queue":
        session.queue = deque([out()])
    elif waiting == "resend":
        session.outgoing.send(out())
        session.outgoing.start_resume()
    else:
        session.replay(Subscription(session, "t", 1), 1)
    session.update_direct()
    assert not session.direct
    assert session.waits_for_outbox()


def test_a_full_quota_is_no_reason_to_wait_for_the_outbox():
    session = connected()
    session.outgoing.limit = 1
    session.outgoing.send(out())
    session.queue = deque([out()])
    session.update_direct()
    assert not session.waits_for_outbox()


def test_a_session_of_the_host_is_never_written_to_as_a_connection():
    session = connected()
    session.local = object()
    session.update_direct()
    assert not session.direct


@pytest.mark.spec("MUST-3.1.2.11.2-2", "MUST-3.1.2.11.2-3", "MUST-3.1.2.11.2-4", version="5.0")
@pytest.mark.spec("MQTT-4.1.0-2", version="3.1.1")
@pytest.mark.parametrize("expiry_s, ends_at", [(0, 500.0), (60, 560.0), (NEVER_EXPIRES, 0.0)])
def test_a_session_ends_its_expiry_interval_after_the_connection(expiry_s, ends_at):
    session = Session("c")
    session.expiry_s = expiry_s
    session.connected = True
    assert session.expires_at() == 0.0
    session.connected = False
    session.disconnected_at = 500.0
    assert session.expires_at() == ends_at


def test_a_live_message_overtakes_the_replays_that_were_pending_and_no_later_one():
    session = connected()
    for since, topic_filter in ((5, "#"), (6, "t")):
        session.replay(Subscription(session, topic_filter, 1), since)
    session.overtake("t", 6)
    session.replay(Subscription(session, "+", 1), 7)
    assert session.replays is not None
    assert [session.overtaken["t"] >= cursor.since for cursor in session.replays.values()] == [True, True, False]


def test_the_replay_of_a_filter_takes_the_place_of_one_that_is_pending():
    session = connected()
    session.replay(Subscription(session, "#", 1), 1)
    session.replay(Subscription(session, "t", 1), 2)
    session.replay(Subscription(session, "#", 2), 3)
    assert session.replays is not None
    assert [(name, cursor.subscription.qos) for name, cursor in session.replays.items()] == [("t", 1), ("#", 2)]


def test_the_end_of_the_last_replay_forgets_what_overtook_it():
    session = connected()
    session.replay(Subscription(session, "#", 1), 1)
    session.overtake("t", 1)
    session.end_replay("other")
    assert session.replays is not None
    session.end_replay("#")
    assert session.replays is None
    assert session.overtaken == {}


def test_without_a_replay_there_is_nothing_to_overtake():
    session = connected()
    session.overtake("t", 1)
    assert session.overtaken == {}
    session.end_replay("t")
    assert session.replays is None


def test_the_record_holds_everything_but_the_messages():
    session = Session("c", "somebody", 5)
    session.expiry_s = 60
    session.will = WillRecord("w", b"gone", 1, True, Properties(content_type="text"), 5, "c")
    session.connected_at = 100.0
    session.disconnected_at = 200.0
    session.subscriptions["a/#"] = Subscription(session, "a/#", 1, True, True, 2, 7)
    session.subscriptions["$share/g/b"] = Subscription(session, "$share/g/b", 2, share="g/b")
    wanted = [SubscriptionRecord("a/#", 1, True, True, 2, 7), SubscriptionRecord("$share/g/b", 2)]
    session.replay(session.subscriptions["a/#"], 1)
    record = SessionRecord("c", "somebody", 5, 60, session.will, wanted, 100.0, 200.0, (("a/#", 1),))
    assert session.to_record() == record


def test_the_record_of_a_connected_client_has_no_time_of_leaving():
    session = connected()
    session.disconnected_at = 200.0
    assert session.to_record().disconnected_at == 0.0


def test_records_that_differ_in_anything_are_not_equal():
    def record(**changes):
        fields = {"client_id": "c", "identity": "i", "version": 5, "expiry_s": 1, "will": None, "subscriptions": []}
        return SessionRecord(**{**fields, "connected_at": 1.0, "disconnected_at": 2.0, **changes})

    assert record() == record()
    assert record() != "record"
    will = WillRecord("w", b"", 0, False, Properties(), 0, "c")
    for change in (
        {"client_id": "d"},
        {"identity": "j"},
        {"version": 4},
        {"expiry_s": 2},
        {"will": will},
        {"subscriptions": [SubscriptionRecord("a")]},
        {"connected_at": 0.0},
        {"disconnected_at": 0.0},
        {"replays": (("a", 1),)},
    ):
        assert record(**change) != record()


def test_messages_are_equal_in_what_a_subscriber_can_see():
    message = Message("t", b"x", 1, True, Properties(content_type="text"), 5.0, "a", 1)
    assert message == Message("t", b"x", 1, True, Properties(content_type="text"), 0.0, "b", 2)
    for other in (
        Message("u", b"x", 1, True, Properties(content_type="text")),
        Message("t", b"y", 1, True, Properties(content_type="text")),
        Message("t", b"x", 2, True, Properties(content_type="text")),
        Message("t", b"x", 1, False, Properties(content_type="text")),
        Message("t", b"x", 1, True),
        "t",
    ):
        assert message != other
    assert "'t'" in repr(message)
    assert "qos=1" in repr(Outgoing(message, 1, False))


# -- which packet may arrive in which phase -------------------------------------------------------------------------

TYPES = {
    "CONNECT": 1,
    "CONNACK": 2,
    "PUBLISH": 3,
    "PUBACK": 4,
    "PUBREC": 5,
    "PUBREL": 6,
    "PUBCOMP": 7,
    "SUBSCRIBE": 8,
    "SUBACK": 9,
    "UNSUBSCRIBE": 10,
    "UNSUBACK": 11,
    "PINGREQ": 12,
    "PINGRESP": 13,
    "DISCONNECT": 14,
    "AUTH": 15,
}
ACKS = "PUBLISH PUBACK PUBREC PUBREL PUBCOMP DISCONNECT AUTH"
LEGAL = {
    (SERVER, ConnectionState.NEW): "CONNECT",
    (SERVER, ConnectionState.AUTHENTICATING): "AUTH DISCONNECT",
    (SERVER, ConnectionState.OPEN): ACKS + " SUBSCRIBE UNSUBSCRIBE PINGREQ",
    (CLIENT, ConnectionState.NEW): "CONNACK AUTH",
    (CLIENT, ConnectionState.AUTHENTICATING): "CONNACK AUTH",
    (CLIENT, ConnectionState.OPEN): ACKS + " SUBACK UNSUBACK PINGRESP",
}


@pytest.mark.parametrize("role", [SERVER, CLIENT], ids=["server", "client"])
@pytest.mark.parametrize("state", list(ConnectionState))
def test_a_role_receives_in_each_phase_what_the_standards_let_the_other_side_send(role, state):
    legal = LEGAL.get((role, state), "").split()
    assert [name for name, number in TYPES.items() if ALLOWED[role][state] >> number & 1] == sorted(
        legal, key=TYPES.__getitem__
    )


def test_the_limit_of_silence_is_one_and_a_half_keep_alives():
    assert keep_alive_limit_s(60) == 90
    assert keep_alive_limit_s(0) == 0


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=80, stateful_step_count=50)


def test_what_is_stored_of_a_subscription_is_made_once_and_anew_for_one_that_replaces_it():
    session = Session("c")
    for number in range(3):
        session.subscriptions[f"t/{number}"] = Subscription(session, f"t/{number}", 1)
    first = encode_session(session.to_record())
    written = [record.encoded for record in session.to_record().subscriptions]
    assert encode_session(session.to_record()) == first
    session.subscriptions["t/1"] = Subscription(session, "t/1", 2, retain_handling=1, subscription_id=5)
    body = encode_session(session.to_record())
    again = [record.encoded for record in session.to_record().subscriptions]
    assert [a is b for a, b in zip(again, written, strict=True)] == [True, False, True]
    assert decode_session(body, "c") == session.to_record()

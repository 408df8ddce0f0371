from __future__ import annotations

import pytest

from mqtt_core.client import (
    AuthChallenge,
    Authenticated,
    ClientConfig,
    Connected,
    ConnectionRefused,
    Disconnected,
    MqttClient,
    SessionLost,
)
from mqtt_core.codec import (
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    LocalProtocolError,
    Properties,
    PublishPacket,
    ReasonCode,
    SubscribeFilter,
    SubscribePacket,
    Will,
)
from tests.client.kit import Dice, Wire

both_versions = pytest.mark.parametrize("version", [4, 5])


@pytest.mark.spec("MQTT-3.1.0-1", "MQTT-3.1.3-3", "MQTT-3.1.3-4", "MQTT-3.1.2-18", version="3.1.1")
def test_the_first_bytes_of_a_connection_of_311_are_connect():
    wire = Wire(version=4, client_id="é", keep_alive_s=10)
    wire.client.connect(wire.now)
    assert wire.raw() == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x0a\x00\x02\xc3\xa9"


@pytest.mark.spec("MQTT-3.1.0-1", "MQTT-3.1.2-1", "MQTT-3.1.3-3", "MQTT-3.1.3-4", "MQTT-3.1.2-16", version="5.0")
def test_the_first_bytes_of_a_connection_of_5_are_connect():
    wire = Wire(client_id="é", keep_alive_s=10, receive_maximum=65535, maximum_packet_size=256, topic_alias_maximum=0)
    wire.client.connect(wire.now)
    assert wire.raw() == b"\x10\x14\x00\x04MQTT\x05\x02\x00\x0a\x05\x27\x00\x00\x01\x00\x00\x02\xc3\xa9"


UNCONFIGURED = {
    4: pytest.mark.spec("MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-15", "MQTT-3.1.2-20", version="3.1.1"),
    5: pytest.mark.spec("MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-18", version="5.0"),
}


@pytest.mark.parametrize("version", [pytest.param(v, marks=mark) for v, mark in UNCONFIGURED.items()])
def test_what_is_not_configured_leaves_its_flags_and_fields_out(version):
    wire = Wire(version=version, keep_alive_s=0)
    wire.client.connect(wire.now)
    frame = wire.raw()
    assert frame[9] == 0x02  # Clean Start alone
    assert frame.endswith(b"\x00\x01c")


@pytest.mark.spec("MQTT-3.1.2-9", "MQTT-3.1.2-12", "MQTT-3.1.3-1", "MQTT-3.1.3-11", "MQTT-3.1.3-12", version="5.0")
def test_will_and_credentials_of_5_follow_in_order():
    will = Will("w/é", b"gone", 2, True, Properties(will_delay_interval=5))
    wire = Wire(will=will, username="ü", password=b"\x00p")
    wire.client.connect(wire.now)
    frame = wire.raw()
    assert frame[9] == 0x02 | 0x04 | 2 << 3 | 0x20 | 0x40 | 0x80
    assert frame.endswith(
        b"\x00\x01c\x05\x18\x00\x00\x00\x05\x00\x04w/\xc3\xa9\x00\x04gone\x00\x02\xc3\xbc\x00\x02\x00p"
    )


@pytest.mark.spec("MQTT-3.1.2-17", "MQTT-3.1.2-19", version="5.0")
@pytest.mark.spec("MQTT-3.1.2-19", "MQTT-3.1.2-21", version="3.1.1")
@both_versions
def test_credentials_set_their_flags_and_fields(version):
    wire = Wire(version=version, username="u", password=b"p")
    wire.client.connect(wire.now)
    frame = wire.raw()
    assert frame[9] == 0xC2
    assert frame.endswith(b"\x00\x01c\x00\x01u\x00\x01p")


@pytest.mark.spec("MQTT-3.1.2-9", "MQTT-3.1.2-14", "MQTT-3.1.3-1", "MQTT-3.1.3-10", "MQTT-3.1.3-11", version="3.1.1")
def test_will_and_credentials_of_311_follow_in_order():
    wire = Wire(version=4, will=Will("w/é", b"gone", 1, True), username="ü", password=b"p")
    wire.client.connect(wire.now)
    frame = wire.raw()
    assert frame[9] == 0x02 | 0x04 | 1 << 3 | 0x20 | 0x40 | 0x80
    assert frame.endswith(b"\x00\x01c\x00\x04w/\xc3\xa9\x00\x04gone\x00\x02\xc3\xbc\x00\x01p")


@pytest.mark.spec("MQTT-3.1.2-22", "MQTT-3.1.3-7", version="3.1.1")
@pytest.mark.parametrize(
    "fields",
    [
        {"version": 4, "client_id": "", "clean_start": False},
        {"version": 4, "password": b"p"},
        {"version": 4, "authentication_method": "m"},
        {"authentication_data": b"d"},
        {"version": 3},
        {"keep_alive_s": 65536},
        {"receive_maximum": 0},
        {"inflight_max": 0},
        {"reconnect_min_s": 5, "reconnect_max_s": 4},
    ],
)
def test_settings_that_contradict_the_standard_are_refused(fields):
    with pytest.raises(LocalProtocolError):
        ClientConfig(**fields)


@pytest.mark.spec("MQTT-3.1.3-7", version="3.1.1")
def test_a_311_client_without_identifier_asks_for_a_clean_session_every_time():
    wire = Wire(version=4, client_id="")
    assert wire.connect() == ConnectPacket("", version=4, clean_start=True)
    wire.receive(ConnackPacket())
    wire.lose()
    assert wire.connect().clean_start is True


@pytest.mark.spec("MQTT-3.1.2-4", "MQTT-3.1.2-23", version="5.0")
def test_clean_start_is_asked_for_until_it_was_granted_once():
    wire = Wire(session_expiry_s=100)
    assert wire.connect().clean_start is True
    wire.lose()
    assert wire.connect().clean_start is True
    wire.receive(ConnackPacket())
    wire.lose()
    again = wire.connect()
    assert again.clean_start is False
    assert again.properties.session_expiry_interval == 100


@pytest.mark.spec("MQTT-3.1.2-4", "MQTT-3.1.2-6", version="3.1.1")
@pytest.mark.parametrize("clean", [True, False])
def test_a_311_client_asks_for_the_same_kind_of_session_every_time(clean):
    wire = Wire(version=4, clean_start=clean)
    assert wire.connect().clean_start is clean
    wire.receive(ConnackPacket())
    wire.lose()
    assert wire.connect().clean_start is clean


def test_the_connection_reports_what_the_server_said():
    wire = Wire()
    connected = wire.open(server_keep_alive=7, reason_string="hello")[0]
    assert connected == Connected(False, "c", 7, Properties(server_keep_alive=7, reason_string="hello"))
    assert wire.client.connected


@pytest.mark.spec("MQTT-3.1.3-2", version="5.0")
@pytest.mark.spec("MQTT-3.1.3-2", version="3.1.1")
def test_an_assigned_identifier_is_the_key_of_the_session_from_then_on():
    wire = Wire(client_id="", session_expiry_s=60)
    connected = wire.open(assigned_client_identifier="auto-1")[0]
    assert connected.client_id == wire.client.client_id == "auto-1"
    wire.lose()
    again = wire.connect()
    assert (again.client_id, again.clean_start) == ("auto-1", False)
    old = Wire(version=4, client_id="mine", clean_start=False)
    assert old.connect().client_id == "mine"
    old.lose()
    assert old.connect().client_id == "mine"


@pytest.mark.parametrize(
    "setting", [{"will": Will("a/#")}, {"username": "\0"}, {"client_id": "\ud800"}, {"user_properties": (("\0", ""),)}]
)
def test_a_connect_that_cannot_be_said_changes_nothing(setting):
    wire = Wire(**setting)
    for _ in range(2):  # a second attempt is told the same
        with pytest.raises(LocalProtocolError, match=r"wildcard|surrogate|U\+0000"):
            wire.client.connect(wire.now)
        assert wire.client.next_deadline() is None
        assert wire.raw() == b""
    assert wire.lose() == []


@pytest.mark.spec("MQTT-3.2.2-4", version="5.0")
def test_a_session_that_was_not_asked_for_ends_the_connection():
    wire = Wire()
    wire.connect()
    wire.receive(ConnackPacket(0, True))
    assert [type(e) for e in wire.events()] == [Disconnected]
    assert wire.sent()[0].reason_code == ReasonCode.PROTOCOL_ERROR
    assert wire.client.closing


def test_a_session_of_an_unknown_past_starts_at_a_random_identifier():
    wire = Wire(clean_start=False, rng=Dice(0.5))
    wire.open(present=True)
    wire.publish("t", qos=2)
    assert wire.sent()[0].packet_id == 32768


@pytest.mark.parametrize(
    "version,said,code",
    [(4, 1, 0x84), (4, 2, 0x85), (4, 3, 0x88), (4, 4, 0x86), (4, 5, 0x87), (5, 0x87, 0x87), (5, 0x97, 0x97)],
)
@pytest.mark.spec("MQTT-4.13.2-1", version="5.0")
def test_a_refusal_is_one_event_and_closes(version, said, code):
    wire = Wire(version=version)
    wire.connect()
    wire.receive(ConnackPacket(said))
    (event,) = wire.events()
    assert isinstance(event, ConnectionRefused)
    assert event.reason_code == code
    assert wire.raw() == b""
    assert wire.client.closing
    wire.client.receive_eof(wire.now)
    assert wire.events() == []


def test_refusals_that_may_pass_are_tried_again_and_others_are_not():
    for code, again in ((0x88, True), (0x89, True), (0x97, True), (0x86, False), (0x87, False), (0x9C, False)):
        wire = Wire()
        wire.connect()
        wire.receive(ConnackPacket(code))
        (event,) = wire.events()
        assert (event.reconnect_at is not None) is again
        assert event.reconnect_at == wire.client.reconnect_at


def test_a_redirection_says_where_to():
    wire = Wire()
    wire.connect()
    wire.receive(ConnackPacket(ReasonCode.SERVER_MOVED, False, Properties(server_reference="other:1883")))
    (event,) = wire.events()
    assert (event.reason_code, event.properties.server_reference) == (0x9D, "other:1883")


def test_a_server_that_does_not_answer_connect_is_left():
    wire = Wire(connack_timeout_s=3)
    wire.connect()
    assert wire.client.next_deadline() == wire.now + 3
    assert list(wire.wait(3)) == []
    (event,) = wire.events()
    assert isinstance(event, Disconnected)
    assert event.reconnect_at is not None
    assert wire.client.closing


def test_connecting_twice_is_refused():
    wire = Wire()
    wire.connect()
    with pytest.raises(LocalProtocolError):
        wire.client.connect(wire.now)


def test_a_failed_attempt_is_reported_with_the_time_of_the_next():
    wire = Wire(reconnect_min_s=2)
    wire.client.connect_failed("refused", wire.now)
    (event,) = wire.events()
    assert event == Disconnected(ReasonCode.SERVER_UNAVAILABLE, "refused", reconnect_at=wire.now + 2)
    wire.connect()
    wire.client.connect_failed("too late", wire.now)
    assert wire.events() == []


def test_pauses_double_up_to_a_maximum_with_jitter_and_start_again_after_a_lasting_connection():
    wire = Wire(reconnect_min_s=1, reconnect_max_s=5, rng=Dice(0.5))
    pauses = []
    for _ in range(4):
        wire.client.connect_failed("no", wire.now)
        pauses.append(wire.client.reconnect_at - wire.now)
    assert pauses == [0.75, 1.5, 3.0, 3.75]
    wire.open()
    wire.now += 5
    wire.lose()
    assert wire.client.reconnect_at == wire.now + 3.75  # it did not last
    wire.open()
    wire.now += 50
    wire.lose()
    assert wire.client.reconnect_at == wire.now + 0.75


def test_without_reconnecting_no_time_is_named():
    wire = Wire(reconnect=False)
    wire.open()
    (event,) = wire.lose()
    assert event.reconnect_at is None
    wire.client.connect_failed("no", wire.now)
    assert wire.events()[0].reconnect_at is None


def test_who_took_the_session_over_is_not_thrown_out():
    wire = Wire()
    wire.open()
    wire.receive(DisconnectPacket(ReasonCode.SESSION_TAKEN_OVER, Properties(reason_string="you again")))
    (event,) = wire.events()
    assert event == Disconnected(
        0x8E, "you again", by_server=True, properties=Properties(reason_string="you again"), reconnect_at=None
    )


@pytest.mark.spec("MQTT-3.14.4-1", "MQTT-3.14.4-2", version="5.0")
@pytest.mark.spec("MQTT-3.14.4-1", "MQTT-3.14.4-2", version="3.1.1")
@both_versions
def test_disconnect_is_the_last_packet_and_closes(version):
    wire = Wire(version=version)
    wire.open()
    wire.client.disconnect(wire.now)
    wire.publish("t", qos=0)
    wire.client.subscribe([SubscribeFilter("t")], now=wire.now)
    assert wire.raw() == b"\xe0\x00"
    assert wire.client.closing
    wire.receive(PublishPacket("t", b"late"))
    (event,) = wire.events()
    assert event == Disconnected(0, "disconnected by the host")
    wire.client.receive_eof(wire.now)
    assert (wire.raw(), wire.events(), wire.client.reconnect_at) == (b"", [], None)


def test_disconnect_without_a_connection_only_stops_reconnecting():
    wire = Wire()
    wire.client.connect_failed("no", wire.now)
    wire.events()
    wire.client.disconnect(wire.now)
    assert (wire.raw(), wire.events(), wire.client.reconnect_at) == (b"", [], None)


@pytest.mark.spec("MQTT-3.14.2-1", version="5.0")
def test_a_disconnect_a_client_may_not_send_is_refused():
    wire = Wire()
    wire.open()
    for code in (0x8B, 0x9D, 0x05):
        with pytest.raises(LocalProtocolError):
            wire.client.disconnect(wire.now, reason_code=code)
    with pytest.raises(LocalProtocolError):
        wire.client.disconnect(wire.now, properties=Properties(session_expiry_interval=5))
    wire.client.disconnect(wire.now, reason_code=0x04)
    assert wire.raw() == b"\xe0\x01\x04"


@pytest.mark.spec("MQTT-3.14.2-3", "MQTT-3.14.2-4", version="5.0")
def test_disconnect_leaves_out_what_does_not_fit():
    wire = Wire()
    wire.open(maximum_packet_size=20)
    wire.client.disconnect(
        wire.now, reason_code=0x80, properties=Properties(reason_string="x" * 30, user_properties=(("a", "b"),))
    )
    assert wire.sent() == [DisconnectPacket(0x80)]


@pytest.mark.spec("MQTT-3.1.2-20", version="5.0")
@pytest.mark.spec("MQTT-3.1.2-23", version="3.1.1")
@both_versions
def test_an_idle_client_pings_within_the_keep_alive(version):
    wire = Wire(version=version, keep_alive_s=20)
    wire.open()
    start = wire.now
    deadline = wire.client.next_deadline()
    assert start < deadline < start + 20
    wire.client.handle_timer(deadline - 0.5)
    assert wire.raw() == b""
    wire.client.handle_timer(deadline)
    assert wire.raw() == b"\xc0\x00"


def test_a_busy_sender_still_asks_whether_anybody_is_there():
    wire = Wire(keep_alive_s=20)
    wire.open()
    for _ in range(30):
        wire.now += 1
        wire.publish("t")
        wire.client.handle_timer(wire.now)
        if b"\xc0\x00" in wire.raw():
            break
    assert wire.now == 1019


@pytest.mark.spec("MQTT-3.1.2-20", version="5.0")
def test_pings_go_on_while_their_answers_are_slow():
    wire = Wire(keep_alive_s=10, ping_timeout_s=30)
    wire.open()
    times = []
    for _ in range(25):
        wire.now += 1
        wire.client.handle_timer(wire.now)
        if wire.raw():
            times.append(wire.now)
    assert times == [1009, 1018]


def test_silence_after_a_ping_ends_the_connection_and_an_answer_keeps_it():
    wire = Wire(keep_alive_s=20, ping_timeout_s=5)
    wire.open()
    assert len(list(wire.wait(19.5))) == 1
    wire.receive_bytes(b"\xd0\x00")
    assert len(list(wire.wait(19.5))) == 1
    wire.now += 2
    wire.receive(PublishPacket("t"))  # not the answer, but a sign of life
    wire.events()
    assert wire.client.next_deadline() == wire.now + 5
    assert list(wire.wait(5)) == []
    (event,) = wire.events()
    assert event.reason_code == ReasonCode.KEEP_ALIVE_TIMEOUT
    assert event.reconnect_at is not None
    assert wire.client.closing


def test_a_host_that_does_not_read_does_not_take_silence_for_death():
    wire = Wire(keep_alive_s=20, ping_timeout_s=5)
    wire.open()
    wire.client.reading_held = True
    sent = list(wire.wait(100))
    assert len(sent) >= 5
    assert wire.client.connected
    wire.client.reading_held = False
    list(wire.wait(30))
    assert not wire.client.connected


@pytest.mark.spec("MQTT-3.1.2-21", "MQTT-3.2.2-21", version="5.0")
def test_the_keep_alive_of_the_server_counts():
    wire = Wire(keep_alive_s=60)
    wire.open(server_keep_alive=10)
    assert wire.client.next_deadline() == wire.now + 9
    wire.lose()
    wire.open(server_keep_alive=0)
    assert wire.client.next_deadline() is None


def test_keep_alive_zero_sends_no_ping():
    wire = Wire(keep_alive_s=0)
    wire.open()
    assert wire.client.next_deadline() is None
    wire.client.handle_timer(wire.now + 10**6)
    assert wire.raw() == b""


@pytest.mark.spec("MQTT-3.1.2-30", version="5.0")
def test_nothing_but_auth_follows_connect_before_connack():
    wire = Wire(authentication_method="m", keep_alive_s=2)
    wire.connect()
    wire.publish("t", qos=1)
    wire.publish("t", qos=0)
    wire.client.subscribe([SubscribeFilter("t")], now=wire.now)
    assert list(wire.wait(5)) == []
    wire.receive(AuthPacket(0x18, Properties(authentication_method="m", authentication_data=b"1")))
    wire.client.authenticate(b"2", now=wire.now)
    assert [type(p) for p in wire.sent()] == [AuthPacket]
    wire.receive(ConnackPacket(0, False, Properties(authentication_method="m")))
    assert {type(p) for p in wire.sent()} == {SubscribePacket, PublishPacket}


@pytest.mark.spec("MQTT-4.12.0-3", "MQTT-4.12.0-5", "MQTT-3.15.2-1", version="5.0")
def test_the_authentication_exchange():
    wire = Wire(authentication_method="m", authentication_data=b"0")
    connect = wire.connect()
    assert connect.properties.authentication_method == "m"
    assert connect.properties.authentication_data == b"0"
    for step in (b"1", b"2"):
        properties = Properties(authentication_method="m", authentication_data=step)
        wire.receive(AuthPacket(0x18, properties))
        assert wire.events() == [AuthChallenge(step, properties)]
        wire.client.authenticate(step * 2, now=wire.now)
        assert wire.sent() == [AuthPacket(0x18, Properties(authentication_method="m", authentication_data=step * 2))]
    wire.receive(ConnackPacket(0, False, Properties(authentication_method="m")))
    assert wire.client.connected


def test_every_step_of_the_exchange_has_its_own_patience():
    wire = Wire(authentication_method="m", connack_timeout_s=4)
    wire.connect()
    wire.now += 3
    wire.receive(AuthPacket(0x18, Properties(authentication_method="m")))
    wire.client.authenticate(b"", now=wire.now)
    assert wire.client.next_deadline() == wire.now + 4


@pytest.mark.spec("MQTT-4.12.0-7", version="5.0")
def test_without_a_method_the_client_sends_no_auth():
    wire = Wire()
    wire.open()
    with pytest.raises(LocalProtocolError, match="the server has asked for no authentication step"):
        wire.client.authenticate(b"x", now=wire.now)
    with pytest.raises(LocalProtocolError, match="needs an open connection that was authenticated by a method"):
        wire.client.reauthenticate(b"x", now=wire.now)
    assert wire.raw() == b""


@pytest.mark.spec("MQTT-4.12.1-1", version="5.0")
def test_reauthentication_uses_the_method_of_connect():
    wire = Wire(authentication_method="m")
    wire.connect()
    wire.receive(ConnackPacket(0, False, Properties(authentication_method="m")))
    wire.events()
    wire.client.reauthenticate(b"again", now=wire.now)
    assert wire.sent() == [AuthPacket(0x19, Properties(authentication_method="m", authentication_data=b"again"))]
    with pytest.raises(LocalProtocolError):
        wire.client.reauthenticate(b"twice", now=wire.now)
    wire.receive(AuthPacket(0x18, Properties(authentication_method="m", authentication_data=b"?")))
    wire.client.authenticate(b"!", now=wire.now)
    wire.receive(AuthPacket(0, Properties(authentication_method="m", authentication_data=b"ok")))
    challenge, done = wire.events()
    assert (challenge.data, done.data) == (b"?", b"ok")
    assert isinstance(done, Authenticated)
    assert wire.client.connected


@pytest.mark.spec("MQTT-4.12.1-2", version="5.0")
def test_a_failed_reauthentication_ends_the_connection():
    wire = Wire(authentication_method="m")
    wire.connect()
    wire.receive(ConnackPacket(0, False, Properties(authentication_method="m")))
    wire.client.reauthenticate(b"again", now=wire.now)
    wire.sent()
    wire.receive(AuthPacket(0x18, Properties(authentication_method="other")))
    assert wire.sent()[0].reason_code == ReasonCode.PROTOCOL_ERROR
    assert wire.client.closing


@pytest.mark.spec("MQTT-3.15.2-2", "MQTT-3.15.2-3", version="5.0")
def test_auth_leaves_out_what_does_not_fit():
    wire = Wire(authentication_method="m")
    wire.connect()
    wire.receive(ConnackPacket(0, False, Properties(authentication_method="m", maximum_packet_size=30)))
    extra = Properties(reason_string="r" * 20, user_properties=(("k", "v"),))
    wire.client.reauthenticate(b"d", properties=extra, now=wire.now)
    assert wire.sent() == [AuthPacket(0x19, Properties(authentication_method="m", authentication_data=b"d"))]


@pytest.mark.parametrize(
    "packets",
    [
        [AuthPacket(0x18, Properties(authentication_method="m"))],
        [ConnackPacket(0, False, Properties(authentication_method="m"))],
    ],
)
@pytest.mark.spec("MQTT-4.12.0-5", version="5.0")
def test_authentication_nobody_asked_for_is_a_protocol_error(packets):
    wire = Wire()
    wire.connect()
    wire.receive(*packets)
    assert wire.sent()[0].reason_code == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "packets",
    [
        [ConnackPacket()],
        [ConnackPacket(0, False, Properties(authentication_method="other"))],
        [AuthPacket(0x18, Properties(authentication_method="other"))],
        [AuthPacket(0x00, Properties(authentication_method="m"))],
        [AuthPacket(0x19, Properties(authentication_method="m"))],
        [ConnackPacket(0, False, Properties(authentication_method="m")), AuthPacket(0)],
    ],
)
@pytest.mark.spec("MQTT-4.12.0-5", "MQTT-3.15.2-1", version="5.0")
def test_steps_out_of_turn_are_protocol_errors(packets):
    wire = Wire(authentication_method="m")
    wire.connect()
    wire.receive(*packets)
    assert wire.sent()[0].reason_code == ReasonCode.PROTOCOL_ERROR
    assert wire.client.closing


@pytest.mark.spec("MQTT-3.2.2-5", version="5.0")
def test_the_loss_of_a_kept_session_is_reported():
    wire = Wire(session_expiry_s=60, clean_start=False)
    assert len(wire.open()) == 1
    wire.lose()
    assert wire.open(present=True)[1:] == []
    wire.lose()
    assert wire.open()[1:] == [SessionLost(0, 0, 0)]


def test_a_stored_session_needs_an_identifier_and_persist_needs_a_store():
    from mqtt_core.client import OfflinePolicy
    from mqtt_core.persistence import Journal

    with pytest.raises(LocalProtocolError):
        MqttClient(ClientConfig(), rng=Dice(), journal=Journal())
    with pytest.raises(LocalProtocolError):
        MqttClient(ClientConfig("c", offline=OfflinePolicy.PERSIST), rng=Dice())

from __future__ import annotations

import pytest

from mqtt_core.client import OfflinePolicy, PublishCompleted, PublishFailed, SessionLost
from mqtt_core.codec import (
    InvalidTopic,
    LocalProtocolError,
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    ReasonCode,
    SubscribeFilter,
    SubscribePacket,
)
from tests.client.kit import Wire

both_versions = pytest.mark.parametrize("version", [4, 5])


def opened(version=5, present=False, **config):
    """A client with an open connection."""
    wire = Wire(version=version, **config)
    wire.open(present=present)
    return wire


@pytest.mark.spec("MQTT-4.3.1-1", "MQTT-2.2.1-2", "MQTT-3.3.1-2", "MQTT-3.3.2-1", version="5.0")
@pytest.mark.spec("MQTT-4.3.1-1", "MQTT-2.3.1-5", "MQTT-3.3.1-2", "MQTT-3.3.2-1", version="3.1.1")
@both_versions
def test_qos_0_leaves_at_once_without_an_identifier(version):
    wire = opened(version)
    none = b"" if version == 4 else b"\x00"  # the properties
    assert wire.publish("é/x", b"p") == 0
    assert wire.raw() == bytes([0x30, 7 + len(none)]) + b"\x00\x04\xc3\xa9/x" + none + b"p"
    assert wire.publish("t", b"", retain=True) == 0
    assert wire.raw() == bytes([0x31, 3 + len(none)]) + b"\x00\x01t" + none
    assert wire.events() == []


@pytest.mark.spec("MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.2-3", "MQTT-2.2.1-3", version="5.0")
@pytest.mark.spec("MQTT-4.3.2-1", "MQTT-2.3.1-1", "MQTT-2.3.1-2", "MQTT-2.3.1-3", version="3.1.1")
@both_versions
def test_qos_1_is_unacknowledged_until_puback(version):
    wire = opened(version)
    assert wire.publish("t", b"1", qos=1) == 1
    assert wire.publish("t", b"2", qos=1, retain=True) == 2
    if version == 4:
        assert wire.raw() == b"\x32\x06\x00\x01t\x00\x011" + b"\x33\x06\x00\x01t\x00\x022"
    else:
        assert wire.raw() == b"\x32\x07\x00\x01t\x00\x01\x001" + b"\x33\x07\x00\x01t\x00\x02\x002"
    assert wire.client.unacknowledged == 2
    wire.receive(PubackPacket(2))
    assert wire.events() == [PublishCompleted(2)]
    assert wire.client.unacknowledged == 1
    wire.publish("t", b"3", qos=1)
    assert wire.sent()[0].packet_id == 3


@pytest.mark.spec("MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.3.3-3", "MQTT-4.3.3-4", "MQTT-4.3.3-5", version="5.0")
@pytest.mark.spec("MQTT-4.3.3-1", "MQTT-2.3.1-6", version="3.1.1")
@both_versions
def test_qos_2_goes_through_all_four_packets(version):
    wire = opened(version)
    token = wire.publish("t", b"p", qos=2)
    (publish,) = wire.sent()
    assert (publish.packet_id, publish.qos, publish.dup) == (1, 2, False)
    wire.receive(PubrecPacket(1))
    assert wire.raw() == b"\x62\x02\x00\x01"
    assert wire.events() == []
    assert wire.client.unacknowledged == 1
    wire.receive(PubcompPacket(1))
    assert wire.events() == [PublishCompleted(token)]
    assert wire.client.unacknowledged == 0


@pytest.mark.spec("MQTT-2.2.1-5", "MQTT-4.6.0-4", version="5.0")
@pytest.mark.spec("MQTT-4.6.0-4", version="3.1.1")
@both_versions
def test_pubrels_leave_in_the_order_of_the_pubrecs(version):
    wire = opened(version)
    for _ in range(3):
        wire.publish("t", qos=2)
    wire.raw()
    wire.receive(PubrecPacket(3), PubrecPacket(1), PubrecPacket(2))
    assert wire.sent() == [PubrelPacket(3), PubrelPacket(1), PubrelPacket(2)]


@pytest.mark.spec("MQTT-4.4.0-2", version="5.0")
def test_a_refusal_ends_the_exchange():
    wire = opened(session_expiry_s=9)
    one, two = wire.publish("t", qos=1), wire.publish("t", qos=2)
    wire.raw()
    why = Properties(reason_string="no", user_properties=(("a", "b"),))
    wire.receive(PubackPacket(1, 0x87, why), PubrecPacket(2, 0x97))
    assert wire.events() == [PublishCompleted(one, 0x87, why), PublishCompleted(two, 0x97)]
    wire.lose()
    wire.open(present=True)
    assert wire.sent() == []


def test_the_reason_of_a_pubrec_is_reported_at_the_end():
    wire = opened()
    token = wire.publish("t", qos=2)
    wire.receive(PubrecPacket(1, 0x10))
    wire.receive(PubcompPacket(1))
    assert wire.events() == [PublishCompleted(token, 0x10)]


def test_an_unknown_pubrec_is_answered_and_a_late_pubcomp_ignored():
    wire = opened()
    wire.receive(PubrecPacket(9))
    assert wire.sent() == [PubrelPacket(9, 0x92)]
    wire.receive(PubcompPacket(9))
    wire.receive(PubrecPacket(9, 0x80))
    assert wire.sent() == []
    assert wire.client.connected
    old = opened(4)
    old.receive(PubrecPacket(9))
    assert old.raw() == b"\x62\x02\x00\x09"


@pytest.mark.spec("MQTT-3.6.2-1", "MQTT-3.6.2-2", "MQTT-3.6.2-3", version="5.0")
def test_pubrel_says_no_more_than_it_has_to():
    wire = opened()
    wire.receive(PubrecPacket(9))
    assert wire.raw() == b"\x62\x03\x00\x09\x92"


@pytest.mark.spec("MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-4.9.0-3", "MQTT-3.3.4-7", "MQTT-3.3.4-8", version="5.0")
def test_the_receive_maximum_of_the_server_bounds_what_is_in_flight():
    wire = Wire()
    wire.open(receive_maximum=2)
    tokens = [wire.publish("t", bytes([n]), qos=1 + n % 2) for n in range(5)]
    assert [p.payload for p in wire.sent()] == [b"\0", b"\1"]
    wire.publish("t", b"q0")
    wire.client.subscribe([SubscribeFilter("t")], now=wire.now)
    assert [type(p) for p in wire.sent()] == [PublishPacket, SubscribePacket]
    wire.receive(PublishPacket("x", b"", 1, packet_id=5))
    assert wire.sent() == [PubackPacket(5)]
    wire.receive(PubrecPacket(2))
    assert wire.sent() == [PubrelPacket(2)]  # still occupied until PUBCOMP
    wire.receive(PubackPacket(1))
    assert [p.payload for p in wire.sent()] == [b"\2"]
    wire.receive(PubcompPacket(2))
    assert [p.payload for p in wire.sent()] == [b"\3"]
    wire.receive(PubrecPacket(5, 0x80))
    assert [p.payload for p in wire.sent()] == [b"\4"]
    assert tokens == [1, 2, 3, 4, 5]


def test_the_own_bound_of_messages_in_flight_holds_too():
    wire = opened(inflight_max=1)
    wire.publish("t", b"1", qos=1)
    wire.publish("t", b"2", qos=1)
    assert len(wire.sent()) == 1


def test_a_311_server_is_not_flooded_by_default():
    wire = opened(4)
    for _ in range(30):
        wire.publish("t", qos=2)
    assert len(wire.sent()) == 20


@pytest.mark.spec("MQTT-3.2.2-11", "MQTT-3.2.2-14", "MQTT-3.2.2-15", version="5.0")
def test_what_the_server_does_not_take_is_refused_before_anything_happens():
    wire = Wire()
    wire.open(maximum_qos=1, retain_available=False, maximum_packet_size=20)
    for options, code in (
        ({"qos": 2}, ReasonCode.QOS_NOT_SUPPORTED),
        ({"retain": True}, ReasonCode.RETAIN_NOT_SUPPORTED),
        ({"payload": b"x" * 20}, ReasonCode.PACKET_TOO_LARGE),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            wire.publish("t", **options)
        assert caught.value.reason_code == code
    assert (wire.raw(), wire.client.unacknowledged) == (b"", 0)
    wire.publish("t", b"x" * 14)  # 2 + 3 + 1 + 14: exactly
    assert len(wire.raw()) == 20
    with pytest.raises(LocalProtocolError):
        wire.publish("t", b"x" * 15)


@pytest.mark.spec("MQTT-3.2.2-11", "MQTT-3.2.2-14", "MQTT-3.2.2-15", version="5.0")
def test_what_waited_and_the_server_does_not_take_is_given_up():
    wire = Wire()
    tokens = [
        wire.publish("t", qos=2),
        wire.publish("t", qos=1, retain=True),
        wire.publish("t", b"x" * 30, qos=1),
        wire.publish("t", b"ok", qos=1),
    ]
    wire.connect()
    events = wire.open_now(maximum_qos=1, retain_available=False, maximum_packet_size=20)
    failed = [(e.token, e.reason_code) for e in events if isinstance(e, PublishFailed)]
    assert failed == list(zip(tokens, (0x9B, 0x9A, 0x95), strict=False))
    assert [p.payload for p in wire.sent()] == [b"ok"]


@pytest.mark.spec("MQTT-3.3.2-2", "MQTT-3.3.4-6", version="5.0")
@pytest.mark.spec("MQTT-3.3.2-2", version="3.1.1")
def test_what_is_no_publish_is_refused():
    wire, old = opened(), opened(4)
    for topic in ("", "a/+", "#", "a\0", "x" * 65536):
        with pytest.raises(InvalidTopic):
            wire.publish(topic)
    for qos in (-1, 3):
        with pytest.raises(LocalProtocolError):
            wire.publish("t", qos=qos)
        with pytest.raises(LocalProtocolError):
            Wire().publish("t", qos=qos)
    for properties in (Properties(subscription_identifiers=(1,)), Properties(topic_alias=1)):
        with pytest.raises(LocalProtocolError):
            wire.publish("t", properties=properties)
    with pytest.raises(LocalProtocolError):
        old.publish("t", properties=Properties(content_type="x"))
    assert wire.raw() == old.raw() == b""


@pytest.mark.parametrize("qos", [1.0, 1.5])
def test_a_qos_that_is_no_whole_number_is_refused_before_anything_has_changed(qos):
    wire = opened()
    for _ in range(2):
        with pytest.raises(TypeError):  # the compiled core has words of its own for it
            wire.publish("t", qos=qos)
        assert wire.client.unacknowledged == 0
        wire.lose()
    wire.open()
    assert wire.sent() == []


@pytest.mark.parametrize("payload", ["text", 5, [1, 2], None, True], ids=repr)
def test_a_payload_that_is_not_bytes_is_refused_and_not_taken_for_a_number_of_zeros(payload):
    wire = Wire()
    wire.open()
    wire.raw()
    with pytest.raises(TypeError, match="a payload is bytes, not"):
        wire.client.publish("t", payload, qos=1, now=wire.now)
    assert wire.raw() == b""


@pytest.mark.spec("MQTT-3.3.2-13", "MQTT-3.3.2-14", "MQTT-3.3.2-19", version="5.0")
def test_properties_of_a_message_are_sent():
    wire = opened()
    properties = Properties(response_topic="é", content_type="ü", correlation_data=b"c", user_properties=(("a", "b"),))
    wire.publish("t", b"p", properties=properties)
    frame = wire.raw()
    assert b"\x08\x00\x02\xc3\xa9" in frame
    assert b"\x03\x00\x02\xc3\xbc" in frame
    assert frame.endswith(b"p")
    with pytest.raises(LocalProtocolError):
        Properties(response_topic="a/+")


@pytest.mark.spec("MQTT-3.2.2-17", "MQTT-3.2.2-18", "MQTT-3.3.2-8", "MQTT-3.3.2-9", version="5.0")
def test_aliases_are_used_up_to_the_servers_maximum_and_recycled():
    wire = Wire()
    wire.open()
    wire.publish("one/one", b"")
    assert wire.sent()[0].properties.topic_alias is None
    wire.lose()
    wire.open(topic_alias_maximum=2)
    for topic in ("one/one", "two/two", "one/one", "three/3", "two/two", "one/one"):
        wire.publish(topic)
    seen = [(p.topic, p.properties.topic_alias) for p in wire.sent()]
    assert seen == [("one/one", 1), ("two/two", 2), ("", 1), ("three/3", 2), ("two/two", 1), ("one/one", 2)]


@pytest.mark.spec("MQTT-3.3.2-7", version="5.0")
def test_an_alias_ends_with_its_connection_and_a_resent_message_has_its_topic():
    wire = Wire(session_expiry_s=9)
    wire.open(topic_alias_maximum=5)
    wire.publish("some/topic", qos=1)
    wire.publish("some/topic", qos=1)
    assert wire.sent()[1].topic == ""
    wire.lose()
    wire.open(present=True, topic_alias_maximum=5)
    assert [(p.topic, p.properties.topic_alias, p.dup) for p in wire.sent()] == [
        ("some/topic", 1, True),
        ("", 1, True),
    ]
    wire.lose()
    wire.open(present=True)
    assert [(p.topic, p.properties.topic_alias) for p in wire.sent()] == [("some/topic", None)] * 2


@pytest.mark.spec("MQTT-3.2.2-15", version="5.0")
@pytest.mark.parametrize("room", range(7))
def test_an_alias_that_makes_two_lengths_longer_does_not_make_the_packet_too_large(room):
    """Three bytes more turn 127 bytes of properties into a longer length, and that 16,383 bytes of the packet."""
    properties = Properties(content_type="c" * 122)
    wire = Wire()
    wire.open()
    wire.publish("topic", b"x" * 16246, qos=1, properties=properties)
    plain = wire.raw()
    assert len(plain) == 16384
    wire = Wire()
    wire.open(topic_alias_maximum=1, maximum_packet_size=len(plain) + room)
    wire.publish("topic", b"x" * 16246, qos=1, properties=properties)
    sent = wire.raw()
    assert len(sent) == len(plain) + (5 if room >= 5 else 0)


def test_an_alias_goes_before_other_properties_and_never_makes_a_packet_too_large():
    wire = Wire()
    wire.open(topic_alias_maximum=5, maximum_packet_size=40)
    properties = Properties(content_type="c" * 10)
    wire.publish("a/b/c", b"1", properties=properties)
    wire.publish("a/b/c", b"2", properties=properties)
    wire.publish("x/y", b"x" * 30)
    first, second, third = wire.sent()
    assert (first.topic, first.properties.topic_alias, first.properties.content_type) == ("a/b/c", 1, "c" * 10)
    assert (second.topic, second.properties.topic_alias) == ("", 1)
    assert third.properties.topic_alias is None
    long = Properties(content_type="c" * 200)
    wire = Wire()
    wire.open(topic_alias_maximum=5)
    wire.publish("a/b/c", b"1", properties=long)
    assert wire.sent()[0].properties == long.replace(topic_alias=1)


def test_offline_messages_wait_in_order_and_are_reported():
    wire = Wire()
    tokens = [wire.publish("t", b"%d" % n, qos=n) for n in (0, 1, 2)]
    assert all(tokens)
    assert wire.client.unacknowledged == 3
    events = wire.open()
    assert [p.payload for p in wire.sent()] == [b"0", b"1", b"2"]
    assert events[1:] == [PublishCompleted(tokens[0])]


def test_the_offline_policy_fail_refuses():
    wire = Wire(offline=OfflinePolicy.FAIL)
    for verb in (
        lambda: wire.publish("t", qos=1),
        lambda: wire.client.subscribe([SubscribeFilter("t")], now=wire.now),
        lambda: wire.client.unsubscribe(["t"], now=wire.now),
    ):
        with pytest.raises(LocalProtocolError):
            verb()
    wire.open(receive_maximum=1)
    wire.publish("t", qos=1)
    wire.publish("t", qos=1)  # for want of quota, not of a connection
    assert wire.client.unacknowledged == 2


def test_the_queue_is_bounded_in_messages_and_bytes():
    wire = Wire(queue_messages_max=2, queue_bytes_max=10)
    wire.publish("t", b"1234")
    with pytest.raises(LocalProtocolError) as caught:
        wire.publish("t", b"123456", qos=1)
    assert caught.value.reason_code == ReasonCode.QUOTA_EXCEEDED
    wire.publish("t", b"1", qos=1)
    with pytest.raises(LocalProtocolError):
        wire.publish("t", b"", qos=1)
    wire.open()
    assert [p.payload for p in wire.sent()] == [b"1234", b"1"]
    wire.lose()
    wire.publish("t", b"123456789", qos=1)  # the space is free again


def test_a_message_that_expired_while_it_waited_is_given_up_and_others_count_down():
    wire = Wire()
    soon = wire.publish("t", b"soon", qos=1, properties=Properties(message_expiry_interval=5))
    later = wire.publish("t", b"later", qos=1, properties=Properties(message_expiry_interval=60))
    wire.now += 10
    events = wire.open()
    assert [type(e) for e in events[1:]] == [PublishFailed]
    assert events[1].token == soon
    (packet,) = wire.sent()
    assert (packet.payload, packet.properties.message_expiry_interval) == (b"later", 50)
    wire.receive(PubackPacket(packet.packet_id))
    assert wire.events() == [PublishCompleted(later)]


@pytest.mark.spec("MQTT-4.3.3-7", version="5.0")
def test_once_sent_a_message_does_not_expire():
    wire = opened(session_expiry_s=9)
    wire.publish("t", qos=2, properties=Properties(message_expiry_interval=5))
    wire.lose()
    wire.now += 100
    wire.open(present=True)
    (packet,) = wire.sent()
    assert (packet.packet_id, packet.dup, packet.properties.message_expiry_interval) == (1, True, 0)


@pytest.mark.spec("MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1", "MQTT-4.3.3-6", version="5.0")
@pytest.mark.spec("MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1", "MQTT-4.3.3-1", "MQTT-2.3.1-3", version="3.1.1")
@both_versions
def test_a_resumed_session_sends_again_what_was_not_acknowledged(version):
    wire = Wire(version=version, session_expiry_s=9 if version == 5 else 0, clean_start=False)
    wire.open(present=False)
    for n, qos in enumerate((1, 2, 2, 1), 1):
        wire.publish("t", bytes([n]), qos=qos)
    wire.sent()
    wire.receive(PubrecPacket(2))
    wire.receive(PubackPacket(4))
    wire.sent()
    assert list(wire.wait(20)) == []  # nothing is sent again on the same connection
    wire.lose()
    wire.publish("t", b"new", qos=1)
    wire.open(present=True)
    assert wire.sent() == [
        PubrelPacket(2),
        PublishPacket("t", b"\1", 1, dup=True, packet_id=1),
        PublishPacket("t", b"\3", 2, dup=True, packet_id=3),
        PublishPacket("t", b"new", 1, packet_id=5),
    ]


def test_a_resend_respects_the_quota_of_the_new_connection():
    wire = opened(session_expiry_s=9)
    for n in range(3):
        wire.publish("t", bytes([n]), qos=1)
    wire.lose()
    wire.open(present=True, receive_maximum=1)
    assert [p.payload for p in wire.sent()] == [b"\0"]
    assert wire.client.next_deadline() != wire.now
    wire.receive(PubackPacket(1))
    wire.receive(PubackPacket(2))
    assert [p.payload for p in wire.sent()] == [b"\1", b"\2"]


@pytest.mark.spec("MQTT-3.2.2-15", version="5.0")
def test_a_resend_that_became_too_large_is_given_up():
    wire = opened(session_expiry_s=9)
    token = wire.publish("t", b"x" * 100, qos=1)
    wire.lose()
    events = wire.open(present=True, maximum_packet_size=50)
    assert [(e.token, e.reason_code) for e in events[1:]] == [(token, ReasonCode.PACKET_TOO_LARGE)]
    assert wire.sent() == []


def test_a_qos2_resend_that_became_too_large_is_released_so_that_its_identifier_means_no_other_message():
    wire = opened(session_expiry_s=9)
    token = wire.publish("t", b"x" * 100, qos=2)
    wire.lose()  # the server may have it: another PUBLISH under its identifier would be a repetition there
    assert wire.open(present=True, maximum_packet_size=50)[1:] == []
    assert wire.sent() == [PubrelPacket(1)]
    wire.lose()
    wire.open(present=True)
    assert wire.sent() == [PubrelPacket(1)]
    wire.receive(PubcompPacket(1, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))
    assert wire.events() == [PublishCompleted(token, ReasonCode.PACKET_TOO_LARGE)]
    assert wire.client.unacknowledged == 0


def test_a_release_whose_session_is_lost_ends_with_its_reason_code():
    wire = opened(session_expiry_s=9)
    token = wire.publish("t", qos=2)
    wire.receive(PubrecPacket(1, ReasonCode.NO_MATCHING_SUBSCRIBERS))
    wire.lose()
    assert wire.open()[1] == PublishCompleted(token, ReasonCode.NO_MATCHING_SUBSCRIBERS)


@pytest.mark.spec("MQTT-3.2.2-5", "MQTT-4.1.0-1", version="5.0")
@pytest.mark.spec("MQTT-3.1.2-6", "MQTT-4.1.0-1", "MQTT-4.1.0-2", version="3.1.1")
@both_versions
def test_without_a_session_messages_are_published_anew(version):
    wire = Wire(version=version, session_expiry_s=9 if version == 5 else 0)
    wire.open()
    tokens = [wire.publish("t", bytes([n]), qos=qos) for n, qos in enumerate((1, 2, 2))]
    wire.receive(PubrecPacket(2))
    wire.sent()
    wire.lose()
    events = wire.open()
    assert events[1:] == [PublishCompleted(tokens[1]), SessionLost(2, 1, 0)]
    anew = wire.sent()
    assert [(p.payload, p.dup) for p in anew] == [(b"\0", False), (b"\2", False)]
    wire.receive(PubackPacket(anew[0].packet_id))
    assert wire.events() == [PublishCompleted(tokens[0])]


def test_a_large_queue_leaves_in_slices():
    wire = Wire()
    for _ in range(2500):
        wire.publish("t")
    wire.open()
    sizes = [len(wire.sent())]
    while wire.client.next_deadline() == wire.now:
        wire.client.handle_timer(wire.now)
        sizes.append(len(wire.sent()))
    assert sizes == [1000, 1000, 500]


def test_nothing_more_is_sent_than_the_outbox_may_hold():
    wire = Wire(queue_messages_max=5)
    wire.open()
    big = b"x" * 1_000_000
    while wire.publish("t", big, qos=0) == 0:
        pass
    assert 8_000_000 < wire.client.outbox_bytes < 10_000_000
    wire.publish("t", b"last")
    wire.sent()
    assert wire.client.next_deadline() == wire.now
    wire.client.handle_timer(wire.now)
    assert [p.payload[:4] for p in wire.sent()] == [b"xxxx", b"last"]


def test_a_queue_of_large_messages_stops_at_a_full_outbox():
    wire = Wire(maximum_packet_size=2**20)
    for n in range(20):
        wire.publish("t", bytes([n]) * 1_000_000, qos=n % 2)
    wire.open()
    assert 8_000_000 < wire.client.outbox_bytes < 10_000_000
    assert wire.client.next_deadline() != wire.now
    seen = []
    wire.client.handle_timer(wire.now)
    while packets := wire.client.data_to_send():
        seen += [packet[-1] for packet in packets]
        wire.client.handle_timer(wire.now)
    assert seen == list(range(20))


def test_properties_that_say_nothing_are_no_properties():
    wire, old = opened(), opened(4)
    wire.publish("t", b"p", properties=Properties())
    old.publish("t", b"p", properties=Properties())
    assert wire.raw() == b"\x30\x05\x00\x01t\x00p"
    assert old.raw() == b"\x30\x04\x00\x01tp"
    waiting = Wire()
    waiting.publish("t", b"p", properties=Properties(content_type="x"))
    waiting.open()
    assert waiting.sent()[0].properties == Properties(content_type="x")


def test_bytes_like_payloads_are_copied():
    wire = opened()
    data = bytearray(b"abc")
    wire.publish("t", data, qos=1)
    data[:] = b"xyz"
    wire.publish("t", memoryview(b"def"))
    assert [p.payload for p in wire.sent()] == [b"abc", b"def"]

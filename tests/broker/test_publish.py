"""PUBLISH as such: who answers what, what is never copied from it, and what is refused."""

from __future__ import annotations

import pytest

from mqtt_core.broker import Accept
from mqtt_core.codec import DisconnectPacket, PubackPacket, PubcompPacket, PublishPacket, PubrecPacket, PubrelPacket
from tests.broker.dialogue import BOTH, fleeting, payloads, pub, seen


class Denying:
    """A policy under which nobody may publish below "forbidden/"."""

    def authenticate(self, connect, peer):
        return Accept()

    def authorize_publish(self, principal, topic, qos, retain):
        return not topic.startswith("forbidden/")

    def authorize_subscribe(self, principal, topic_filter, qos):
        return qos

    def authorize_deliver(self, principal, topic):
        return True


def fault(client, data):
    """What a 5.0 client is told on a fault: the reason code of DISCONNECT; None for a 3.1.1 client."""
    client.send_bytes(data)
    assert client.closed
    packets = client.received()
    if client.version == 4:
        assert packets == []
        return None
    assert [type(p) for p in packets] == [DisconnectPacket]
    return packets[0].reason_code


@pytest.mark.spec("MQTT-3.3.4-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.4-1", version="5.0")
def test_the_answer_to_a_publish_follows_its_qos(make_world, version):
    world = make_world()
    fleeting(world, "s", version, "t")
    client = fleeting(world, "p", version)
    client.send(pub(b"0"))
    assert client.raw() == b""
    client.send(pub(b"1", 1, 11))
    assert client.raw() == b"\x40\x02\x00\x0b"
    client.send(pub(b"2", 2, 12))
    assert client.raw() == b"\x50\x02\x00\x0c"


@pytest.mark.spec("MQTT-4.3.1-1", "MQTT-3.3.1-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.3.1-1", "MQTT-3.3.1-2", version="5.0")
@BOTH
def test_a_qos_0_message_goes_out_as_qos_0_without_dup(make_world, pv, sv):
    world = make_world()
    subscriber = fleeting(world, "s", sv, "t")
    fleeting(world, "p", pv).send(pub(b"x"))
    assert subscriber.raw() == b"\x30\x05\x00\x01t\x00x" if sv == 5 else b"\x30\x04\x00\x01tx"


@pytest.mark.spec("MQTT-3.3.1-3", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.1-3", version="5.0")
@pytest.mark.parametrize("qos", [1, 2])
@BOTH
def test_dup_is_never_copied_from_the_publisher(make_world, pv, sv, qos):
    world = make_world()
    subscriber = fleeting(world, "s", sv, "t")
    fleeting(world, "p", pv).send(pub(b"x", qos, dup=True))
    assert seen(subscriber.messages()) == [(b"x", qos, False, False)]


def test_many_messages_in_one_chunk_all_arrive_in_order(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    publisher.send(*[pub(b"%d" % n, n % 3, n + 1) for n in range(60)])
    got = subscriber.messages()
    for qos in range(3):
        assert payloads([p for p in got if p.qos == qos]) == [b"%d" % n for n in range(60) if n % 3 == qos]
    assert len(publisher.received()) == 40


def test_a_stream_may_be_cut_anywhere(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    publisher = fleeting(world, "p", version)
    suffix = b"\x00" if version == 5 else b""
    stream = b"".join(
        bytes([0x30 | qos << 1, 4 + len(suffix) + (2 if qos else 0)])
        + b"\x00\x01t"
        + (bytes([0, n + 1]) if qos else b"")
        + suffix
        + b"%d" % n
        for n, qos in enumerate([0, 1, 2, 0, 1, 2])
    )
    for size in (1, 2, 3, 5, 7):
        for start in range(0, len(stream), size):
            publisher.send_bytes(stream[start : start + size])
        publisher.send(PubrelPacket(3), PubrelPacket(6))
        assert payloads(subscriber.received()) == [b"0", b"1", b"2", b"3", b"4", b"5"]
        subscriber.drop()
        subscriber = fleeting(world, "s", version, "t")
    assert world.counters.publish_received == 30


# -- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.spec("MQTT-3.3.2-2", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.2-2", version="5.0")
@pytest.mark.parametrize("topic", [b"t/+", b"#", b"t/#/x", b"a+"])
def test_a_topic_name_with_a_wildcard_ends_the_connection(make_world, version, topic):
    world = make_world()
    watcher = fleeting(world, "w", version, "#")
    client = fleeting(world, "p", version)
    body = len(topic).to_bytes(2, "big") + topic + (b"\x00" if version == 5 else b"")
    assert fault(client, bytes([0x30, len(body)]) + body) == (0x90 if version == 5 else None)
    assert watcher.received() == []


@pytest.mark.spec("MQTT-4.7.3-1", version="3.1.1")
def test_a_3_1_1_publish_with_an_empty_topic_ends_the_connection(make_world):
    assert fault(fleeting(make_world(), "p", 4), b"\x30\x03\x00\x00x") is None


@pytest.mark.spec("MQTT-4.7.3-1", version="5.0")
def test_a_5_0_publish_with_neither_topic_nor_alias_is_a_protocol_error(make_world):
    assert fault(fleeting(make_world(), "p", 5), b"\x30\x04\x00\x00\x00x") == 0x82


@pytest.mark.spec("MQTT-4.7.3-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.3-2", version="5.0")
def test_a_topic_with_a_null_character_is_malformed(make_world, version):
    body = b"\x00\x03a\x00b" + (b"\x00" if version == 5 else b"")
    assert fault(fleeting(make_world(), "p", version), bytes([0x30, len(body)]) + body) == (
        0x81 if version == 5 else None
    )


@pytest.mark.spec("MQTT-3.3.2-14", version="5.0")
@pytest.mark.parametrize("response_topic", [b"r/+", b"r/#"])
def test_a_response_topic_with_a_wildcard_is_refused(make_world, response_topic):
    world = make_world()
    watcher = fleeting(world, "w", 5, "#")
    properties = b"\x08" + len(response_topic).to_bytes(2, "big") + response_topic
    body = b"\x00\x01t" + bytes([len(properties)]) + properties
    assert fault(fleeting(world, "p", 5), bytes([0x30, len(body)]) + body) == 0x90
    assert watcher.received() == []


@pytest.mark.spec("MQTT-3.3.1-4", version="3.1.1")
@pytest.mark.spec("MQTT-3.3.1-4", version="5.0")
def test_qos_3_does_not_exist(make_world, version):
    body = b"\x00\x01t\x00\x01" + (b"\x00" if version == 5 else b"")
    assert fault(fleeting(make_world(), "p", version), bytes([0x36, len(body)]) + body) == (
        0x81 if version == 5 else None
    )


@pytest.mark.spec("MQTT-2.2.2-2", "MQTT-4.8.0-1", version="3.1.1")
@pytest.mark.parametrize(
    "frame",
    [
        b"\x41\x02\x00\x01",
        b"\x52\x02\x00\x01",
        b"\x60\x02\x00\x01",
        b"\x63\x02\x00\x01",
        b"\x71\x02\x00\x01",
        b"\x80\x06\x00\x01\x00\x01t\x00",
        b"\xa0\x05\x00\x01\x00\x01t",
        b"\xc1\x00",
        b"\xe1\x00",
    ],
    ids=["PUBACK", "PUBREC", "PUBREL 0", "PUBREL 3", "PUBCOMP", "SUBSCRIBE", "UNSUBSCRIBE", "PINGREQ", "DISCONNECT"],
)
def test_reserved_flags_with_another_value_close_the_connection(make_world, frame):
    world = make_world()
    client = fleeting(world, "c", 4)
    assert fault(client, frame) is None
    assert world.session("c") is None


@pytest.mark.parametrize("kind", [0, 2, 9, 11, 13, 15], ids=["0", "CONNACK", "SUBACK", "UNSUBACK", "PINGRESP", "AUTH"])
@pytest.mark.spec("MQTT-4.8.0-1", version="3.1.1")
def test_a_packet_that_only_a_server_sends_closes_the_connection(make_world, version, kind):
    fault(fleeting(make_world(), "c", version), bytes([kind << 4, 2, 0, 1]))


@pytest.mark.spec("MQTT-3.3.4-6", version="5.0")
def test_a_publish_of_a_client_with_a_subscription_identifier_is_a_protocol_error(make_world):
    world = make_world()
    watcher = fleeting(world, "w", 5, "#")
    assert fault(fleeting(world, "c", 5), b"\x30\x06\x00\x01t\x02\x0b\x01") == 0x82
    assert watcher.received() == []


@pytest.mark.spec("MQTT-4.8.0-2", version="3.1.1")
def test_a_passing_inability_to_serve_a_packet_closes_the_connection_it_came_on(make_world):
    world = make_world(sessions_max=1)
    first = fleeting(world, "first", 4)
    second = world.connect("second", version=4, accepted=False)
    assert second.connack.reason_code == 3
    assert second.closed
    first.drop()
    assert fleeting(world, "second", 4).connack.reason_code == 0


@pytest.mark.spec("MQTT-3.3.5-2", version="3.1.1")
def test_a_3_1_1_publish_that_is_not_allowed_is_acknowledged_and_dropped(make_world):
    world = make_world(policy=Denying())
    watcher = fleeting(world, "w", 4, "#")
    client = fleeting(world, "p", 4)
    for qos in range(3):
        client.send(pub(b"x", qos, topic="forbidden/t", packet_id=qos, retain=True))
    assert client.received() == [PubackPacket(1), PubrecPacket(2)]
    client.send(PubrelPacket(2))
    assert client.received() == [PubcompPacket(2)]
    assert watcher.received() == []
    assert world.broker.retained() == []
    assert world.counters.dropped_not_authorized == 3


def test_a_5_0_publish_that_is_not_allowed_is_answered_with_0x87_and_dropped(make_world):
    world = make_world(policy=Denying())
    watcher = fleeting(world, "w", 5, "#")
    client = fleeting(world, "p", 5)
    for qos in range(3):
        client.send(pub(b"x", qos, topic="forbidden/t", packet_id=qos, retain=True))
    assert client.raw() == b"\x40\x03\x00\x01\x87" + b"\x50\x03\x00\x02\x87"
    assert watcher.received() == []
    assert world.broker.retained() == []
    assert world.counters.dropped_not_authorized == 3


@pytest.mark.spec("MQTT-4.3.3-9", version="5.0")
def test_after_a_refusing_pubrec_the_identifier_is_free_for_a_new_message(make_world):
    world = make_world(policy=Denying())
    watcher = fleeting(world, "w", 5, "#")
    client = fleeting(world, "p", 5)
    client.send(pub(b"x", 2, 5, topic="forbidden/t"))
    assert client.received() == [PubrecPacket(5, 0x87)]
    client.send(pub(b"y", 2, 5))
    assert client.received() == [PubrecPacket(5)]
    assert payloads(watcher.messages()) == [b"y"]


def test_nobody_publishes_below_sys(make_world, version):
    world = make_world()
    watcher = fleeting(world, "w", version, "$SYS/#")
    client = fleeting(world, "p", version)
    client.send(pub(b"x", 1, topic="$SYS/broker/uptime"))
    assert client.received() == [PubackPacket(1, 0x87 if version == 5 else 0)]
    assert watcher.received() == []


def test_without_a_subscriber_a_5_0_publisher_is_told_so(make_world):
    client = fleeting(make_world(), "p", 5)
    client.send(pub(b"x", 1, 1), pub(b"x", 2, 2))
    assert client.raw() == b"\x40\x03\x00\x01\x10" + b"\x50\x03\x00\x02\x10"


def test_the_limits_stated_in_connack_hold_for_publish(make_world):
    world = make_world(maximum_qos=1, retain_available=False)
    assert fault(fleeting(world, "a", 5), b"\x34\x07\x00\x01t\x00\x01\x00x") == 0x9B
    assert fault(fleeting(world, "b", 5), b"\x31\x05\x00\x01t\x00x") == 0x9A


def test_packets_before_a_faulty_one_in_the_same_chunk_take_full_effect(make_world, version):
    world = make_world()
    subscriber = fleeting(world, "s", version, "t")
    client = fleeting(world, "p", version)
    good = b"\x32\x07\x00\x01t\x00\x05\x00x" if version == 5 else b"\x32\x06\x00\x01t\x00\x05x"
    client.send_bytes(good + b"\x36\x00")
    assert payloads(subscriber.messages()) == [b"x"]
    packets = client.received()
    assert packets[0] == PubackPacket(5)
    assert [p.reason_code for p in packets[1:]] == ([0x81] if version == 5 else [])
    assert client.closed


def test_a_publisher_that_is_subscribed_gets_its_own_message(make_world, version):
    client = fleeting(make_world(), "c", version, "t")
    client.send(pub(b"x", 1, 3))
    assert [type(p) for p in client.received()] in (
        [PublishPacket, PubackPacket],
        [PubackPacket, PublishPacket],
    )

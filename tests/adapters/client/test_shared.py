"""What the clients share: addresses, settings, streams, errors."""

from __future__ import annotations

import ssl

import pytest

from mqtt_adapters.client.settings import make_settings
from mqtt_adapters.client.streams import MessageBuffer, Overflow, Routes
from mqtt_adapters.client.url import Address, parse_address
from mqtt_adapters.errors import ClientError, ConnectRefused, OperationTimeout, StreamOverflow, SubscribeError
from mqtt_core.client import MessageReceived, OfflinePolicy
from mqtt_core.codec import InvalidTopicFilter, LocalProtocolError, MqttError, Properties
from mqtt_core.persistence import MemoryStore


@pytest.mark.parametrize(
    "text,address",
    [
        ("host", Address("mqtt", "host", 1883)),
        ("::1", Address("mqtt", "::1", 1883)),
        ("mqtt://host", Address("mqtt", "host", 1883)),
        ("tcp://host:1", Address("mqtt", "host", 1)),
        ("mqtts://host/a/b", Address("mqtts", "host", 8883, "a/b")),
        ("ssl://[::1]:7", Address("mqtts", "::1", 7)),
        ("ws://host", Address("ws", "host", 80, "/")),
        ("wss://host/mqtt", Address("wss", "host", 443, "/mqtt")),
        ("mqtt://u%40x:p%3A@host:2/t%20t", Address("mqtt", "host", 2, "t t", "u@x", "p:")),
        ("unix:/run/mqtt", Address("unix", path="/run/mqtt")),
        ("unix:///run/mqtt", Address("unix", path="/run/mqtt")),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "http://host", "mqtt://", "mqtt://host?x=1", "mqtt://host#f", "unix:", "mqtt://host:99999"]
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError):
        parse_address(text)


def test_an_address_reads_as_people_write_it_but_without_the_password():
    assert str(parse_address("mqtt://u:secret@[::1]:9/topic")) == "mqtt://[::1]:9"
    assert str(parse_address("ws://host/mqtt")) == "ws://host:80/mqtt"
    assert str(parse_address("unix:/x")) == "unix:/x"


def test_settings_take_what_the_url_says_unless_told_otherwise():
    assert make_settings("mqtt://u:p@h", None, {}).config.username == "u"
    assert make_settings("mqtt://u:p@h", None, {}).config.password == b"p"
    assert make_settings("mqtt://u:p@h", None, {"username": "other"}).config.username == "other"
    assert make_settings("h", 5, {"password": "é", "username": ""}).config.password == b"\xc3\xa9"


def test_settings_choose_tls_by_scheme_or_argument():
    assert make_settings("h", None, {}).tls is None
    assert make_settings("h", None, {"tls": True}).address == Address("mqtts", "h", 8883)
    context = ssl.create_default_context()
    assert make_settings("mqtts://h", None, {"tls": context}).tls is context
    assert make_settings("wss://h", None, {}).tls.verify_mode is ssl.CERT_REQUIRED


def test_settings_with_a_store_persist_what_is_published_offline():
    assert make_settings("h", None, {}).config.offline is OfflinePolicy.QUEUE
    assert make_settings("h", None, {"store": MemoryStore()}).config.offline is OfflinePolicy.PERSIST
    assert make_settings("h", None, {"offline": "fail"}).config.offline is OfflinePolicy.FAIL
    assert make_settings("h", None, {"ack_timeout_s": None}).ack_timeout_s is None


def test_settings_that_do_not_exist_or_fit_are_refused():
    with pytest.raises(TypeError):
        make_settings("h", None, {"no_such": 1})
    with pytest.raises(LocalProtocolError):
        make_settings("h", None, {"keep_alive_s": -1})


def messages(count):
    return [MessageReceived("t", b"%d" % n) for n in range(count)]


def test_a_paused_buffer_is_free_at_half():
    buffer = MessageBuffer(4, 1000, Overflow.PAUSE)
    for message in messages(5):
        buffer.push(message)
    assert buffer.full
    for _ in range(2):
        buffer.pop()
        assert buffer.full
    buffer.pop()
    assert not buffer.full
    assert [m.payload for m in buffer.items] == [b"3", b"4"]


def test_a_buffer_is_bounded_in_bytes():
    buffer = MessageBuffer(100, 10, Overflow.DROP_NEWEST)
    for _ in range(5):
        buffer.push(MessageReceived("t", b"x" * 6))
    assert (len(buffer.items), buffer.size, buffer.dropped) == (2, 12, 3)


def test_a_strict_buffer_ends_and_takes_no_more_even_when_read():
    buffer = MessageBuffer(1, 1000, Overflow.RAISE)
    for message in messages(2):
        buffer.push(message)
    assert isinstance(buffer.error, StreamOverflow)
    buffer.pop()
    buffer.push(MessageReceived("t", b"late"))
    assert not buffer.items


def test_routes_follow_filters_as_they_come_and_go():
    default, one, shared = [], [], []
    routes = Routes(default.append)

    def give(topic):
        for sink in routes.sinks(topic):
            sink(topic)

    give("a/b")
    row = routes.add("a/+", one.append)
    routes.add("$share/g/a/#", shared.append)
    give("a/b")
    routes.remove(row)
    routes.remove(row)
    give("a/b")
    give("$SYS/x")
    assert (default, one, shared) == (["a/b", "$SYS/x"], ["a/b"], ["a/b", "a/b"])
    with pytest.raises(InvalidTopicFilter):
        routes.add("a/#/b", one.append)


def test_routes_remember_a_bounded_number_of_topics():
    seen = []
    routes = Routes(seen.append)
    for n in range(9000):
        assert len(routes.sinks(f"t/{n}")) == 1
    assert len(routes._known) <= 4096


def test_errors_carry_what_the_server_said():
    properties = Properties(reason_string="why", user_properties=(("a", "b"),), server_reference="other")
    refused = ConnectRefused(0x9C, "moved", properties)
    assert (refused.reason_code, refused.reason_string, refused.server_reference) == (0x9C, "why", "other")
    assert refused.user_properties == (("a", "b"),)
    subscribe = SubscribeError(("a", "b"), (1, 0x87), properties)
    assert str(subscribe) == "refused: 'b' (not authorized)"
    assert isinstance(OperationTimeout("late"), TimeoutError)
    for error in (refused, subscribe, OperationTimeout("late")):
        assert isinstance(error, ClientError)
        assert isinstance(error, MqttError)

"""What people get wrong in their first hour, and what they are told: one line that says what to do."""

from __future__ import annotations

import re

import pytest

from mqtt_adapters.client.url import parse_address
from mqtt_adapters.errors import ClientError, ConnectError, ConnectRefused
from mqtt_core.broker import Refuse
from mqtt_core.codec import LocalProtocolError, ReasonCode, Will
from tests.adapters.client.conftest import StrictPolicy
from tests.adapters.client.kit import OwnBroker, contract, free_port


async def why(style, kind, *where, **options):
    """What a client that cannot connect says."""
    with pytest.raises(kind) as caught:
        async with style.client(*where, reconnect=False, **options):
            raise AssertionError("that should not have worked")
    return caught.value.reason if isinstance(caught.value, ClientError) else str(caught.value)


@contract
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_no_broker_runs(style, host):
    port = free_port()
    told = await why(style, ConnectError, host, port)
    assert told == f"mqtt://{host}:{port}: connection refused: nobody listens there"


@contract
async def test_tls_to_a_plain_port(style, own_broker):
    told = await why(style, ConnectError, "127.0.0.1", own_broker.port, tls=True)
    assert re.fullmatch(r"mqtts://\S+: no TLS connection \(.+\): does it speak TLS on this port\?", told)


@contract
async def test_a_plain_connection_to_a_port_with_tls(style, certificates):
    files = {"tls_cert_file": str(certificates["server"]), "tls_key_file": str(certificates["server-key"])}
    with OwnBroker(**files) as broker:
        told = await why(style, ConnectError, "127.0.0.1", broker.port)
    assert re.fullmatch(r"mqtt://\S+: .+ does it speak MQTT without TLS on this port\?", told)


@contract
async def test_what_the_server_says_about_a_refusal_is_in_the_text(style):
    class Closed(StrictPolicy):
        def authenticate(self, connect, peer):
            return Refuse(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "ask ann")

    with OwnBroker(policy=Closed()) as broker:
        told = await why(style, ConnectRefused, "127.0.0.1", broker.port)
    assert told == "the server refused the connection: bad user name or password (ask ann)"


@contract
@pytest.mark.parametrize("payload", [21.5, 3, {"on": True}, None, ["a"]])
async def test_a_payload_that_is_neither_bytes_nor_text(style, own_broker, payload):
    async with style.client("127.0.0.1", own_broker.port) as client:
        with pytest.raises(TypeError, match="a payload is bytes or a string, not "):
            await client.publish("t", payload)


@contract
async def test_a_setting_that_does_not_exist(style):
    with pytest.raises(TypeError, match="no setting 'keepalive'; did you mean 'keep_alive_s'"):
        style.client("127.0.0.1", keepalive=5)


@pytest.mark.parametrize(
    "address, told",
    [
        ("127.0.0.1:1883", "give the port as an argument of its own, or write mqtt://127.0.0.1:1883"),
        ("http://broker", "http: an address begins with mqtt, mqtts, ws or wss and ://, or with unix:"),
        ("mqtt://ann:secret@broker:99999", "broker:99999: a port is a number from 0 to 65535"),
        ("mqtt://ann:secret@broker:abc", "broker:abc: a port is a number from 0 to 65535"),
    ],
)
def test_an_address_that_is_none(address, told):
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        parse_address(address)
    assert "secret" not in str(caught.value)


@contract
@pytest.mark.parametrize(
    "kind, setting, told",
    [
        (LocalProtocolError, {"will": Will("a/#")}, "will topic is empty or contains a wildcard"),
        (LocalProtocolError, {"username": "\0"}, "user name contains U+0000"),
        (LocalProtocolError, {"offline": "persist"}, "PERSIST needs a journal"),
        (TypeError, {"client_id": 5}, ""),  # the compiled core has words of its own for it
        (ValueError, {"connect_timeout_s": 0}, "connect_timeout_s is 0, not above 0"),
        (ValueError, {"ack_timeout_s": -1}, "ack_timeout_s is -1, not above 0"),
        (ValueError, {"buffer_messages": 0}, "a buffer holds 1 message and 1 byte at least, not 0 and "),
        (ValueError, {"buffer_bytes": 0}, "a buffer holds 1 message and 1 byte at least, not 10000 and 0"),
        (ValueError, {"overflow": "drop"}, "'drop' is not a valid Overflow"),
    ],
)
async def test_a_setting_that_cannot_be_is_told_when_the_client_is_made(style, kind, setting, told):
    with pytest.raises(kind, match="^" + re.escape(told)):
        style.client("127.0.0.1", **setting)


@contract
async def test_an_overflow_may_be_named(style, own_broker):
    async with style.client("127.0.0.1", own_broker.port, overflow="drop newest", buffer_messages=1) as client:
        with client.stream("a", overflow="drop oldest", buffer_messages=1) as stream:
            for number in range(3):
                await client.subscribe("a", no_local=False)
                await client.publish("a", str(number), qos=1)
            await client.publish("a", "last", qos=1)
        for wrong in ({"buffer_messages": 0}, {"buffer_bytes": 0}, {"overflow": "drop"}):
            with pytest.raises(ValueError, match="not"):
                client.stream("a", **wrong)
    assert stream.dropped >= 1


@pytest.mark.parametrize(
    "where, kind, told",
    [
        ((None,), TypeError, "a host is a string, not NoneType"),
        (("broker", "1883"), ValueError, "'1883': a port is a number from 0 to 65535"),
        (("broker", 1.5), ValueError, "1.5: a port is a number from 0 to 65535"),
    ],
)
def test_a_host_or_a_port_that_is_none(where, kind, told):
    with pytest.raises(kind, match="^" + re.escape(told)):
        parse_address(*where)


def test_an_ipv6_address_is_no_host_with_a_port():
    assert parse_address("::1", 1884).port == 1884

"""What a host of a server gets wrong in its first hour, and what it is told."""

from __future__ import annotations

import asyncio

import pytest

import mqtt_adapters.asyncio
import mqtt_adapters.blocking
from mqtt_adapters.config import ConfigError, ServerConfig
from mqtt_adapters.server_verbs import ServerStoppedError

CONFIG = ServerConfig(bind_addr="127.0.0.1:0")
VERBS = {
    "publish": lambda server: server.publish("t", b""),
    "subscribe": lambda server: server.subscribe("t"),
    "disconnect": lambda server: server.disconnect("c"),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
@pytest.mark.parametrize("style", [mqtt_adapters.asyncio, mqtt_adapters.blocking], ids=["asyncio", "blocking"])
def test_a_server_that_was_not_started(style, verb):
    async def ask():
        verb(style.MqttServer(CONFIG))

    with pytest.raises(ServerStoppedError, match="the server was not started: use it in a with block, or call start"):
        asyncio.run(ask())


def test_a_server_that_has_stopped():
    async def ask():
        async with mqtt_adapters.asyncio.MqttServer(CONFIG) as server:
            server.publish("t", "text is a payload too")
        server.publish("t", b"too late")

    with pytest.raises(ServerStoppedError, match="the server has stopped"):
        asyncio.run(ask())


@pytest.mark.parametrize("payload", [21.5, {"on": True}, None])
def test_a_payload_that_is_neither_bytes_nor_text(payload):
    async def ask():
        async with mqtt_adapters.asyncio.MqttServer(CONFIG) as server:
            server.publish("t", payload)

    with pytest.raises(TypeError, match="a payload is bytes or a string, not "):
        asyncio.run(ask())


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"max_packet_size": "3"}, r"max_packet_size: expected an integer \(bytes\), got '3'"),
        ({"max_packet_size": True}, r"max_packet_size: expected an integer \(bytes\), got True"),
        ({"send_timeout_s": "5"}, r"send_timeout_s: expected a number \(s\), got '5'"),
        ({"websocket": 1}, "websocket: expected true or false, got 1"),
        ({"bind_addr": 1883}, "bind_addr: expected a string, got 1883"),
        ({"proxy_networks": "10.0.0.0/8"}, "proxy_networks: expected a list, each entry a string, got '10.0.0.0/8'"),
        ({"listeners": (CONFIG, "127.0.0.1:1884")}, "listeners: expected a list, each entry a table"),
    ],
)
def test_a_setting_of_the_wrong_type(settings, told):
    with pytest.raises(ConfigError, match=told):
        ServerConfig(**settings)


def test_whole_numbers_will_do_where_a_number_is_expected():
    assert ServerConfig(send_timeout_s=5).send_timeout_s == 5

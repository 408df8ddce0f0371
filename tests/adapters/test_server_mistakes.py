"""What a host of a server gets wrong in its first hour, and what it is told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import mqtt_adapters.anyio
import mqtt_adapters.asyncio
import mqtt_adapters.blocking
from mqtt_adapters.config import ConfigError, ServerConfig
from mqtt_adapters.server.verbs import ServerStoppedError
from mqtt_core.codec import StorageError
from mqtt_core.persistence import MemoryStore

ROOT = Path(__file__).parents[2]
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


def test_a_server_whose_disk_is_full_says_so_to_whoever_goes_on():
    class Full(MemoryStore):
        async def apply(self, batch):
            raise OSError("the disk is full")

    async def ask():
        async with mqtt_adapters.asyncio.MqttServer(CONFIG, store=Full()) as server:
            server.publish("t", b"x", retain=True)
            with pytest.raises(StorageError, match="the disk is full"):
                await server.wait_stopped()
            server.publish("t", b"x", retain=True)

    with pytest.raises(ServerStoppedError, match="the server has stopped") as caught:
        asyncio.run(ask())
    assert "the disk is full" in str(caught.value.__cause__)


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


class HalfPolicy:
    def authenticate(self, connect, peer): ...


@pytest.mark.parametrize("style", [mqtt_adapters.asyncio, mqtt_adapters.anyio, mqtt_adapters.blocking])
@pytest.mark.parametrize(
    "parts, told",
    [
        ({"policy": HalfPolicy()}, "policy: HalfPolicy has no continue_authentication; it needs the methods of"),
        ({"store": "broker.db"}, r"store: str has no open; for a file write SqliteStore\(path\)"),
        ({"store": object()}, "store: object has no open; see mqtt_core.persistence.Storage"),
        ({"polcy": None}, "a server has no setting 'polcy'; did you mean 'policy'"),
    ],
)
def test_a_wrong_argument(style, parts, told):
    with pytest.raises(TypeError, match=told):
        style.MqttServer(CONFIG, **parts)


def test_a_client_with_a_store_that_is_none():
    with pytest.raises(TypeError, match=r"for a file write SqliteStore\(path\)"):
        mqtt_adapters.blocking.Client(client_id="c", store="client.db")


def test_a_transport_for_a_server_that_was_not_started():
    with pytest.raises(ServerStoppedError, match="was not started"):
        mqtt_adapters.blocking.MqttServer(CONFIG).serve_transport(None)
    with pytest.raises(ServerStoppedError, match="was not started"):
        mqtt_adapters.asyncio.MqttServer(CONFIG).new_protocol()


def test_an_extra_that_is_not_installed():
    program = "import sys; sys.modules['anyio'] = None; import mqtt_adapters.anyio"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: anyio is not installed (pip install 'mqtt-core[anyio]')"
    )


def test_files_that_hold_no_certificate(tmp_path, certificates):
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for files, told in (
        ((text, None), "there is no certificate, or no private key to it, in PEM form"),
        ((certificates["server"], None), "there is no certificate, or no private key to it, in PEM form"),
        (
            (certificates["server"], certificates["client-key"]),
            "certificate and the private key do not belong together",
        ),
    ):
        names = [None if name is None else str(name) for name in files]
        config = ServerConfig(tls_cert_file=names[0], tls_key_file=names[1])
        with pytest.raises(ConfigError, match=told):
            config.ssl_context()

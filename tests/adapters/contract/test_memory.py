"""A client and a server in one process with no network, and transports that the host brings itself."""

from __future__ import annotations

import contextlib
import socket
import threading

import anyio
import pytest

import mqtt_adapters.anyio
import mqtt_adapters.asyncio
import mqtt_adapters.blocking
from mqtt_adapters.anyio.memory import memory_pair
from mqtt_adapters.config import ServerConfig
from mqtt_adapters.errors import ConnectError
from mqtt_adapters.memory import connect_in_memory
from mqtt_core.broker import ClientConnected
from tests.adapters.client.kit import Style, take

CONFIG = ServerConfig(bind_addr="127.0.0.1:0", sys_interval_s=0.0)


@contextlib.asynccontextmanager
async def serving(style):
    """A server of the client's own style."""
    if style.name in {"blocking", "pump"}:
        with mqtt_adapters.blocking.MqttServer(CONFIG) as server:
            yield server
    else:
        module = mqtt_adapters.asyncio if style.name == "asyncio" else mqtt_adapters.anyio
        async with module.MqttServer(CONFIG) as server:
            yield server


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("name", ["asyncio", "anyio", "trio", "blocking", "pump"])
def test_a_client_talks_to_a_server_in_the_same_process(name, version):
    async def talk(style):
        async with serving(style) as server:
            connector = connect_in_memory(server)
            async with style.client(connector=connector, version=version) as client:
                await client.subscribe("a/#", 2)
                for qos in (0, 1, 2):
                    await client.publish(f"a/{qos}", b"x" * 100_000, qos=qos)
                found = await take(client.messages, 3)
                assert [(m.topic, len(m.payload)) for m in found] == [(f"a/{qos}", 100_000) for qos in (0, 1, 2)]
                assert server.connections == 1
        with pytest.raises(ConnectError, match="the server is not running"):
            async with style.client(connector=connector):
                pass

    style = Style(name)
    style.run(talk, style)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_memory_stream_behaves_like_a_stream(backend):
    async def check():
        one, other = memory_pair()
        await one.send(b"abcdef")
        assert await other.receive(4) == b"abcd"
        assert await other.receive(4) == b"ef"
        for _ in range(16):
            await one.send(b"x")
        with anyio.move_on_after(0.01) as scope:
            await one.send(b"too much")
        assert scope.cancelled_caught
        await one.send_eof()
        await other.send(b"still")
        assert await one.receive() == b"still"
        for _ in range(16):
            assert await other.receive() == b"x"
        with pytest.raises(anyio.EndOfStream):
            await other.receive()
        await other.aclose()
        await one.aclose()

    anyio.run(check, backend=backend)


def test_a_blocking_server_can_be_pumped_by_its_caller():
    server = mqtt_adapters.blocking.MqttServer(CONFIG, background=False).start()
    subscription = server.subscribe("a", qos=1)
    ours, theirs = socket.socketpair()
    server.serve_transport(theirs, "pair")
    ours.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x" + b"\x30\x04\x00\x01ab")
    message = subscription.get(timeout_s=20)
    assert message.payload == b"b"
    with pytest.raises(TimeoutError):
        subscription.get(timeout_s=0)
    server.pump()
    assert ours.recv(10) == b"\x20\x02\x00\x00"
    server.stop()
    assert ours.recv(10) == b""
    ours.close()
    assert server.connections == 0


def test_pumping_where_a_thread_serves_is_a_mistake():
    with mqtt_adapters.blocking.MqttServer(CONFIG) as server, pytest.raises(RuntimeError, match="serves already"):
        server.pump()


def test_a_callback_may_stop_the_server_it_is_called_by():
    def on_event(event):
        if isinstance(event, ClientConnected):
            server.stop()

    for background in (True, False):
        server = mqtt_adapters.blocking.MqttServer(CONFIG, background=background, on_event=on_event)
        ours, theirs = socket.socketpair()
        if background:
            server.start()
            server.serve_transport(theirs)
        else:
            ready = {"on_ready": lambda up, end=theirs: up.serve_transport(end)}
            thread = threading.Thread(target=server.run, kwargs=ready)
            thread.start()
        ours.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x")
        assert server.wait_stopped(20)
        ours.close()
        server.stop()
        if not background:
            thread.join()
    assert [t for t in threading.enumerate() if "mqtt" in t.name] == []

"""mqtt.js over WebSocket against our listener, as a browser would come, beside a client over TCP."""

from __future__ import annotations

import pytest

from mqtt_adapters.asyncio import Client, ListenerConfig, MqttServer, ServerConfig
from tests.interop.libraries import MqttJs
from tests.interop.partner import Message, Options

pytestmark = pytest.mark.anyio


class MqttJsOverWebSocket(MqttJs):
    """mqtt.js, told a URL."""

    async def call(self, name, **args):
        if name == "connect":
            args["protocol"] = "ws"
            args["path"] = "/mqtt"
        return await super().call(name, **args)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_mqtt_js_talks_to_our_websocket_listener(version, qos):
    listeners = (ListenerConfig(bind_addr="127.0.0.1:0", websocket=True), ListenerConfig(bind_addr="127.0.0.1:0"))
    async with MqttServer(ServerConfig(listeners=listeners)) as server:
        web, tcp = (int(address.split()[0].rpartition(":")[2]) for address in server.addresses)
        browser = MqttJsOverWebSocket("127.0.0.1", web)
        await browser.connect(Options("browser", version))
        await browser.subscribe("to/browser/#", qos)
        async with Client("127.0.0.1", tcp) as ours:
            await ours.subscribe("from/browser", qos=qos)
            for size in (0, 1, 40_000):
                payload = bytes(range(256)) * (size // 256) if size > 1 else b"x" * size
                await ours.publish("to/browser/a", payload, qos=qos)
                assert await browser.receive() == [Message("to/browser/a", payload, qos)]
                await browser.publish(Message("from/browser", payload, qos))
                async for message in ours.messages:
                    assert (message.payload, message.qos) == (payload, qos)
                    break
        await browser.disconnect()

"""Our own clients as partners: they go through the same scenarios, against mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

from mqtt_adapters.asyncio import Client as AsyncioClient
from mqtt_core.codec import Will
from tests.interop.partner import PATIENCE_S, SESSION_EXPIRY_S, Client, Message, Options
from tests.interop.tools import Mosquitto


class OurClient(Client):
    """mqtt_adapters.asyncio.Client."""

    ours = True

    async def open(self, options: Options) -> bool | None:
        five, will = options.version == "5.0", options.will
        self.client = AsyncioClient(
            self.host,
            self.port,
            connector=self.connect_transport,
            client_id=options.client_id,
            version=5 if five else 4,
            clean_start=options.clean,
            session_expiry_s=SESSION_EXPIRY_S if five and options.keep else 0,
            will=Will(will.topic, will.payload, will.qos, will.retain) if will else None,
            reconnect=False,
            ack_timeout_s=PATIENCE_S,
        )
        await self.client.start()
        self.reader = asyncio.create_task(self.read(self.client.messages))
        return None

    async def connect_transport(self, factory: Any) -> Any:
        made = await asyncio.get_running_loop().create_connection(factory, self.host, self.port)
        self.transport = made[0]
        return made

    async def read(self, messages: Any) -> None:
        async for m in messages:
            self.inbox.put_nowait(Message(m.topic, m.payload, m.qos, m.retain))

    async def subscribe(self, pattern: str, qos: int) -> None:
        await self.client.subscribe(pattern, qos=qos)

    async def publish(self, message: Message) -> None:
        await self.client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)

    async def close(self, *, abrupt: bool) -> None:
        if abrupt:
            self.transport.abort()
        with contextlib.suppress(ConnectionError) if abrupt else contextlib.nullcontext():
            await self.client.close()
        self.reader.cancel()
        await asyncio.wait([self.reader])


class OurTools(Mosquitto):
    """mqtt-producer and mqtt-consumer: the options are those of mosquitto's tools. They show topic and payload."""

    ours = True
    asks_for_will = frozenset()

    def shown(self, message: Message) -> Message:
        return Message(message.topic, message.payload, -1)

    def output_options(self) -> list[str]:
        return ["-d", "-v"]

    def on_output(self, line: str) -> None:
        topic, _, payload = line.partition(" ")
        self.inbox.put_nowait(Message(topic, payload.encode(), -1))

    def on_error(self, line: str) -> None:
        if line.startswith("SubscribeCompleted"):
            self.ready.set()

    def common(self, program: str, client_id: str) -> list[str]:
        name = {"mosquitto_pub": "producer", "mosquitto_sub": "consumer"}[program]
        command = [sys.executable, "-m", f"mqtt_adapters.bin.{name}", "-h", self.host, "-p", str(self.port)]
        return [*command, "-V", self.options.version, "-i", client_id]

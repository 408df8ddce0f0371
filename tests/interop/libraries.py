"""Partners that are Python libraries (paho-mqtt, aiomqtt, gmqtt), and mqtt.js behind its driver program."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import aiomqtt
import gmqtt
import paho.mqtt.client as paho
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.interop.partner import PATIENCE_S, SESSION_EXPIRY_S, Client, Message, Options, end_process


def expiry_properties(options: Options) -> Properties | None:
    """CONNECT properties of paho and of what is built on it."""
    if options.version != "5.0" or not options.keep:
        return None
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    return properties


def shut_down(sock: Any) -> None:
    """End a connection under a library's feet."""
    assert isinstance(sock, socket.socket)
    sock.shutdown(socket.SHUT_RDWR)


class Paho(Client):
    """paho-mqtt with its own network thread."""

    async def open(self, options: Options) -> bool | None:
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[bool] = loop.create_future()
        self.subscribed: asyncio.Queue[list[Any]] = asyncio.Queue()
        five = options.version == "5.0"
        self.client = client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=None if five else options.clean,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            reconnect_on_failure=False,
        )

        def on_connect(_client, _userdata, flags, reason, _properties):
            assert reason == 0, reason
            loop.call_soon_threadsafe(connected.set_result, flags.session_present)

        def on_message(_client, _userdata, m):
            message = Message(m.topic, m.payload, m.qos, m.retain)
            loop.call_soon_threadsafe(self.inbox.put_nowait, message)

        def on_subscribe(_client, _userdata, _mid, reasons, _properties):
            loop.call_soon_threadsafe(self.subscribed.put_nowait, reasons)

        client.on_connect, client.on_message, client.on_subscribe = on_connect, on_message, on_subscribe
        if options.will:
            will = options.will
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        extra = {"clean_start": options.clean, "properties": expiry_properties(options)} if five else {}
        client.connect(self.host, self.port, **extra)
        client.loop_start()
        return await asyncio.wait_for(connected, PATIENCE_S)

    async def subscribe(self, pattern: str, qos: int) -> None:
        self.client.subscribe(pattern, qos)
        reasons = await asyncio.wait_for(self.subscribed.get(), PATIENCE_S)
        assert [r.value for r in reasons] == [qos]

    async def publish(self, message: Message) -> None:
        info = self.client.publish(message.topic, message.payload, message.qos, message.retain)
        await asyncio.to_thread(info.wait_for_publish, PATIENCE_S)
        assert info.is_published()

    async def close(self, *, abrupt: bool) -> None:
        if abrupt:
            shut_down(self.client.socket())
        else:
            self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


class Aiomqtt(Client):
    """aiomqtt: paho's protocol on asyncio."""

    async def open(self, options: Options) -> bool | None:
        five = options.version == "5.0"
        will = options.will and aiomqtt.Will(**vars(options.will))
        self.client = aiomqtt.Client(
            self.host,
            self.port,
            identifier=options.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
            will=will,
            clean_session=None if five else options.clean,
            clean_start=options.clean if five else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=expiry_properties(options),
            timeout=PATIENCE_S,
        )
        await self.client.__aenter__()
        self.reader = asyncio.create_task(self.read())
        return None

    async def read(self) -> None:
        with contextlib.suppress(aiomqtt.MqttError):
            async for m in self.client.messages:
                self.inbox.put_nowait(Message(str(m.topic), bytes(m.payload), m.qos, bool(m.retain)))

    async def subscribe(self, pattern: str, qos: int) -> None:
        granted = await self.client.subscribe(pattern, qos)
        assert [getattr(g, "value", g) for g in granted] == [qos]

    async def publish(self, message: Message) -> None:
        await self.client.publish(message.topic, message.payload, message.qos, message.retain)

    async def close(self, *, abrupt: bool) -> None:
        if abrupt:
            shut_down(self.client._client.socket())
        else:
            self.reader.cancel()
        await asyncio.wait([self.reader])
        with contextlib.suppress(aiomqtt.MqttError) if abrupt else contextlib.nullcontext():
            await self.client.__aexit__(None, None, None)


class Gmqtt(Client):
    """gmqtt: its own codec, on asyncio."""

    async def open(self, options: Options) -> bool | None:
        five = options.version == "5.0"
        will = options.will and gmqtt.Message(
            options.will.topic, options.will.payload, options.will.qos, options.will.retain
        )
        expiry = {"session_expiry_interval": SESSION_EXPIRY_S} if five and options.keep else {}
        self.client = client = gmqtt.Client(
            options.client_id,
            clean_session=options.clean,
            will_message=will,
            optimistic_acknowledgement=False,
            **expiry,
        )
        client.set_config({"reconnect_retries": 0, "reconnect_delay": 0})
        present: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.subscribed: asyncio.Queue[Any] = asyncio.Queue()

        def on_message(_client, topic, payload, qos, properties):
            self.inbox.put_nowait(Message(topic, bytes(payload), qos, bool(properties["retain"])))
            return 0

        client.on_connect = lambda _client, flags, _rc, _properties: present.set_result(bool(flags & 1))
        client.on_message = on_message
        client.on_subscribe = lambda _client, _mid, granted, _properties: self.subscribed.put_nowait(granted)
        await client.connect(self.host, self.port, keepalive=60, version=MQTTv50 if five else MQTTv311)
        return await asyncio.wait_for(present, PATIENCE_S)

    async def subscribe(self, pattern: str, qos: int) -> None:
        self.client.subscribe(pattern, qos=qos)
        granted = await asyncio.wait_for(self.subscribed.get(), PATIENCE_S)
        assert list(granted) == [qos]

    async def publish(self, message: Message) -> None:
        self.client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)
        await asyncio.wait_for(self.client._persistent_storage.wait_empty(), PATIENCE_S)

    async def close(self, *, abrupt: bool) -> None:
        if not abrupt:
            await self.client.disconnect()
            return
        self.client._is_active = False  # or it connects again
        connection = self.client._connection
        connection._keep_connection_callback.cancel()
        connection._transport.abort()
        await asyncio.wait([connection._protocol.closed])


class MqttJs(Client):
    """mqtt.js in a node process; see client.mjs."""

    process: asyncio.subprocess.Process | None = None

    async def open(self, options: Options) -> bool | None:
        here = Path(__file__).parent
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec("node", here / "client.mjs", stdin=pipe, stdout=pipe)
        self.answers: dict[int, asyncio.Future[Any]] = {}
        self.reader = asyncio.create_task(self.read(self.process))
        will = options.will
        return await self.call(
            "connect",
            host=self.host,
            port=self.port,
            id=options.client_id,
            version=options.version,
            clean=options.clean,
            expiry=SESSION_EXPIRY_S if options.keep else 0,
            will=vars(will) | {"payload": base64.b64encode(will.payload).decode()} if will else None,
        )

    async def read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        async for line in process.stdout:
            said = json.loads(line)
            if m := said.get("message"):
                self.inbox.put_nowait(Message(m["topic"], base64.b64decode(m["payload"]), m["qos"], m["retain"]))
            elif "error" in said:
                self.answers[said["id"]].set_exception(AssertionError(said["error"]))
            else:
                self.answers[said["id"]].set_result(said.get("value"))

    async def call(self, name: str, **args: Any) -> Any:
        assert self.process
        assert self.process.stdin
        number = len(self.answers)
        self.answers[number] = asyncio.get_running_loop().create_future()
        self.process.stdin.write(json.dumps({"id": number, "name": name, "args": args}).encode() + b"\n")
        return await asyncio.wait_for(self.answers[number], PATIENCE_S)

    async def subscribe(self, pattern: str, qos: int) -> None:
        assert await self.call("subscribe", filter=pattern, qos=qos) == qos

    async def publish(self, message: Message) -> None:
        payload = base64.b64encode(message.payload).decode()
        await self.call("publish", **(vars(message) | {"payload": payload}))

    async def close(self, *, abrupt: bool) -> None:
        assert self.process
        assert self.process.stdin
        await self.call("drop" if abrupt else "disconnect")
        self.process.stdin.close()
        await end_process(self.process)
        await self.reader

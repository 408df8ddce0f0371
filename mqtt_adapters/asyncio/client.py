"""An MQTT client on asyncio.

    async with Client("127.0.0.1", client_id="thermostat") as client:
        await client.subscribe("house/+/temperature", qos=1)
        await client.publish("house/kitchen/heating", b"on", qos=1)
        async for message in client.messages:
            print(message.topic, message.payload)

Laws: packets do not pass through this module. A cancelled verb changes nothing but who waits: the message stays in
flight, a subscription may still be granted. After `close`, no task, timer or socket is left.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self, Unpack

from mqtt_adapters.asyncio.client_link import Connector
from mqtt_adapters.asyncio.client_loop import ClientLoop
from mqtt_adapters.client.async_client import SENT, AsyncClient
from mqtt_adapters.client.settings import ClientOptions, make_settings
from mqtt_adapters.payload import Payload
from mqtt_core.client import PublishCompleted
from mqtt_core.codec import NO_PROPERTIES, Properties

__all__ = ["Client"]


class Client(AsyncClient[asyncio.Future[Any]]):
    """An MQTT client: connects, reconnects, publishes, subscribes.

    host: name or address of the server, or a URL (mqtt, mqtts, ws, wss, unix). port: default of the scheme. connector:
    makes the transport instead, like `loop.create_connection` does from a protocol factory. All other settings are
    described in `ClientConfig` and `ClientSettings`.

    Use it as an async context manager, or call `start` and `close`. Everything belongs to one event loop.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | None = None,
        *,
        connector: Connector | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        settings = make_settings(host, port, options)
        self._loop: ClientLoop = ClientLoop(settings, connector)
        super().__init__(settings, self._loop)

    async def start(self) -> Self:
        """Open the store, connect, and wait for the server's CONNACK, which `start_offline` leaves for later.

        Raises:
            ConnectRefused: the server said no. ConnectError: there is no connection.
            StorageError: the store cannot be read.
        """
        await self._loop.start()
        return self

    async def close(self) -> None:
        """Disconnect and give everything back. QoS 1 and 2 messages not acknowledged yet stay in the store, if any.

        Takes at most `close_timeout_s`. Verbs and streams that wait end with ClientClosed, or the end of the stream.
        """
        await self._loop.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def publish_nowait(
        self,
        topic: str,
        payload: Payload = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
    ) -> asyncio.Future[PublishCompleted]:
        """As `publish`, without waiting: returns a future of the acknowledgement, with the reason code as it came.

        For programs that keep many messages in flight without a task for each. Nothing slows them down but the bound of
        the queue: await a result now and then.
        """
        waiter = self._publish(topic, payload, qos, retain, properties, None)
        if waiter is None:
            waiter = self._loop.new_waiter()
            waiter.set_result(SENT)
        return waiter

"""An MQTT client on anyio, for asyncio and trio.

    async with Client("127.0.0.1", client_id="thermostat") as client:
        await client.subscribe("house/+/temperature", qos=1)
        await client.publish("house/kitchen/heating", b"on", qos=1)
        async for message in client.messages:
            print(message.topic, message.payload)

Laws: packets do not pass through this module. A cancelled verb changes nothing but who waits: the message stays in
flight, a subscription may still be granted. After `close`, no task, timer or socket is left.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self, Unpack

from mqtt_adapters.anyio.client_link import Connector
from mqtt_adapters.anyio.client_loop import ClientLoop
from mqtt_adapters.anyio.waiting import TaskWaiter
from mqtt_adapters.client.async_client import SENT, AsyncClient
from mqtt_adapters.client.settings import ClientOptions, make_settings
from mqtt_adapters.payload import Payload
from mqtt_core.codec import NO_PROPERTIES, Properties

__all__ = ["Client"]


class Client(AsyncClient[TaskWaiter]):
    """An MQTT client: connects, reconnects, publishes, subscribes.

    host: name or address of the server, or a URL (mqtt, mqtts, ws, wss, unix). port: default of the scheme. connector:
    connects a byte stream instead. All other settings are described in `ClientConfig` and `ClientSettings`.

    Use it as an async context manager; its tasks live in a task group of its own, entered and left with it.
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

    async def __aenter__(self) -> Self:
        """Open the store, connect, and wait for the server's CONNACK, which `start_offline` leaves for later.

        Raises:
            ConnectRefused: the server said no. ConnectError: there is no connection.
            StorageError: the store cannot be read.
        """
        await self._loop.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Disconnect and give everything back; takes at most `close_timeout_s`."""
        return await self._loop.close(kind, error, traceback)

    def publish_nowait(
        self,
        topic: str,
        payload: Payload = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
    ) -> TaskWaiter:
        """As `publish`, without waiting: returns what ``await ….wait()`` gives the acknowledgement of, as it came.

        For programs that keep many messages in flight without a task for each. Nothing slows them down but the bound of
        the queue: wait for a result now and then.
        """
        waiter = self._publish(topic, payload, qos, retain, properties, None)
        if waiter is None:
            waiter = self._loop.new_waiter()
            waiter.set_result(SENT)
        return waiter

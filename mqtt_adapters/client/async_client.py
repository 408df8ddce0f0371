"""The verbs of a client for event loops, the same on asyncio and on anyio.

Law: a cancelled verb changes nothing but who waits: the message stays in flight, a subscription may still be granted.
What waiting means is the business of the `AsyncLoop` below; packets do not pass through this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar, Unpack, overload

from mqtt_adapters.client.async_streams import MessageStream
from mqtt_adapters.client.driver import FLUSH_BYTES, ClientDriver, granted, published, unsubscribed
from mqtt_adapters.client.settings import ClientSettings
from mqtt_adapters.client.streams import BUFFER_BYTES, BUFFER_MESSAGES, Overflow
from mqtt_adapters.client.verbs import (
    Answers,
    SubscribeOptions,
    response_properties,
    subscribe_filters,
)
from mqtt_adapters.payload import Payload, payload_bytes
from mqtt_adapters.waiter import Waiter
from mqtt_core.client import Event, MessageReceived, PublishCompleted
from mqtt_core.codec import NO_PROPERTIES, Properties, SubscribeFilter

__all__ = ["SENT", "AsyncClient", "AsyncLoop"]

SENT: Final = PublishCompleted(0)
"""The result of a QoS 0 publish."""

W = TypeVar("W", bound=Waiter)


class AsyncLoop(Protocol[W]):
    """What the verbs need of an I/O style."""

    started: bool
    driver: ClientDriver

    def open_driver(self) -> ClientDriver:
        """The driver of a client that is open; raises if it is not."""
        ...

    def new_waiter(self) -> W:
        """Something to wait on."""
        ...

    async def wait(self, waiter: W, timeout: float | None) -> Any:
        """Wait for a result. Raises OperationTimeout after `timeout` seconds."""
        ...

    def wake(self) -> None:
        """Something has changed: write soon."""
        ...

    async def make_room(self) -> None:
        """Wait while the network is slower than the program."""
        ...

    def reading_resumed(self) -> None:
        """A stream has room again."""
        ...


class AsyncClient(Generic[W]):
    """Verbs, streams and callbacks of `Client`."""

    def __init__(self, settings: ClientSettings, loop: AsyncLoop[W]) -> None:
        self.settings = settings
        self._loop = loop
        self._messages: MessageStream | None = None
        self._answers: Answers | None = None

    # -- looks -------------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """The server has accepted the connection, and it has not ended."""
        return self._loop.started and self._loop.driver.core.connected

    @property
    def client_id(self) -> str:
        """The client identifier in use, assigned by the server perhaps."""
        return self._loop.driver.core.client_id if self._loop.started else self.settings.config.client_id

    @property
    def unacknowledged(self) -> int:
        """Messages that were published and not acknowledged yet, those of earlier processes in the store included."""
        return self._loop.driver.core.unacknowledged if self._loop.started else 0

    @property
    def messages(self) -> MessageStream:
        """The messages that no other stream and no callback matches."""
        stream = self._messages
        if stream is None:
            if not self._loop.started:
                self._loop.open_driver()
            stream = self._messages = MessageStream(self._loop, self._loop.driver.messages)
        return stream

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until there is a connection; returns at once when there is. timeout: seconds.

        Raises OperationTimeout, or whatever ended the client for good.
        """
        driver = self._loop.open_driver()
        if not driver.core.connected:
            waiter = self._loop.new_waiter()
            driver.connected_waiters.append(waiter)
            try:
                await self._loop.wait(waiter, timeout)
            finally:
                driver.connected_waiters = [one for one in driver.connected_waiters if one is not waiter]

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def publish(
        self,
        topic: str,
        payload: Payload = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
        timeout: float | None = None,
    ) -> PublishCompleted:
        """Publish a message; returns when the server has acknowledged it, QoS 0 when it is on its way.

        Without a connection the setting `offline` decides; waiting goes on across reconnects. timeout: seconds, default
        `ack_timeout_s`. The result has the reason code and properties of the acknowledgement.

        Raises:
            PublishError: the server refused it. OperationTimeout: no acknowledgement in time; the message stays.
            LocalProtocolError, InvalidTopic: it cannot be sent, or the queue is full; nothing has happened.
            ConnectionLost, ClientClosed: it will not be acknowledged any more while this client lives.
        """
        waiter = self._publish(topic, payload, qos, retain, properties, timeout)
        if waiter is not None:
            return published(await self._loop.wait(waiter, timeout))
        if self._loop.driver.core.outbox_bytes > FLUSH_BYTES:
            await self._loop.make_room()
        return SENT

    def _publish(
        self,
        topic: str,
        payload: Payload,
        qos: int,
        retain: bool,
        properties: Properties,
        timeout: float | None,
    ) -> W | None:
        loop = self._loop
        driver = loop.open_driver()
        if not isinstance(payload, bytes):
            payload = payload_bytes(payload)
        token = driver.core.publish(topic, payload, qos=qos, retain=retain, properties=properties, now=driver.clock())
        waiter = None
        if token:
            waiter = loop.new_waiter()
            driver.expect(token, waiter, timeout)
        loop.wake()
        return waiter

    @overload
    async def subscribe(  # type: ignore[overload-overlap]  # a str is a sequence of str too, but the first line wins
        self, topic_filter: str, qos: int = 0, **options: Unpack[SubscribeOptions]
    ) -> int: ...

    @overload
    async def subscribe(
        self, topic_filter: Sequence[str | SubscribeFilter], qos: int = 0, **options: Unpack[SubscribeOptions]
    ) -> list[int]: ...

    async def subscribe(
        self, topic_filter: str | Sequence[str | SubscribeFilter], qos: int = 0, **options: Unpack[SubscribeOptions]
    ) -> int | list[int]:
        """Subscribe to one topic filter, or to several in one packet; returns the granted QoS of each.

        qos: 0 to 2. options: see `SubscribeOptions`. The subscription is restored after a reconnect if the server has
        lost it. Raises SubscribeError when one is refused; otherwise as `publish`.
        """
        driver = self._loop.open_driver()
        filters = subscribe_filters(topic_filter, qos, options)
        properties = options.get("properties", NO_PROPERTIES)
        token = driver.core.subscribe(filters, properties=properties, now=driver.clock())
        timeout = options.get("timeout")
        codes = granted(await self._end_of(driver, token, timeout))
        return codes[0] if isinstance(topic_filter, str) else codes

    async def unsubscribe(
        self,
        topic_filter: str | Sequence[str],
        *,
        properties: Properties = NO_PROPERTIES,
        timeout: float | None = None,
    ) -> list[int]:
        """Give one or several topic filters back; returns the reason code of each. Raises as `subscribe`."""
        driver = self._loop.open_driver()
        names = [topic_filter] if isinstance(topic_filter, str) else list(topic_filter)
        token = driver.core.unsubscribe(names, properties=properties, now=driver.clock())
        return unsubscribed(await self._end_of(driver, token, timeout))

    def acknowledge(
        self, message: MessageReceived, *, reason_code: int = 0, properties: Properties = NO_PROPERTIES
    ) -> None:
        """Say that a message has been dealt with (setting `manual_ack`). A second time, or too late, does nothing."""
        driver = self._loop.open_driver()
        driver.core.acknowledge(message.token, reason_code=reason_code, properties=properties, now=driver.clock())
        self._loop.wake()

    async def committed(self, timeout: float | None = None) -> None:
        """Wait until all that was done so far is in the store: messages that were published, acknowledgements that
        were given. Without a store that is at once. timeout: seconds.

        Raises OperationTimeout, or whatever ended the client: its storage failed, or it was closed.
        """
        driver = self._loop.open_driver()
        waiter = self._loop.new_waiter()
        driver.expect_commit(waiter)
        self._loop.wake()
        await self._loop.wait(waiter, timeout)

    async def reauthenticate(self, data: bytes) -> None:
        """Start a new authentication on the open connection (5.0 section 4.12.1); the outcome is an event."""
        driver = self._loop.open_driver()
        driver.core.reauthenticate(data, now=driver.clock())
        self._loop.wake()

    async def request(
        self,
        topic: str,
        payload: bytes | str = b"",
        *,
        qos: int = 1,
        properties: Properties = NO_PROPERTIES,
        timeout: float = 10.0,
    ) -> MessageReceived:
        """Publish a request and wait for its answer (5.0 section 4.10). timeout: seconds for the answer."""
        driver = self._loop.open_driver()
        if self._answers is None:
            self._answers = Answers(driver)
        answers = self._answers
        if not answers.subscribed:
            await self.subscribe(answers.topic, qos=qos)
            answers.subscribed = True
        waiter = self._loop.new_waiter()
        correlation = answers.expect(waiter)
        try:
            await self.publish(topic, payload, qos=qos, properties=answers.properties(properties, correlation))
            return answers.answer(await self._loop.wait(waiter, timeout))
        finally:
            answers.forget(correlation)

    async def respond(self, request: MessageReceived, payload: bytes | str = b"", *, qos: int = 1) -> None:
        """Answer a request: publish to its response topic, with its correlation data. Raises as `publish`."""
        topic, properties = response_properties(request)
        await self.publish(topic, payload, qos=qos, properties=properties)

    # -- streams and callbacks ---------------------------------------------------------------------------------------

    def stream(
        self,
        topic_filter: str,
        *,
        buffer_messages: int = BUFFER_MESSAGES,
        buffer_bytes: int = BUFFER_BYTES,
        overflow: Overflow | str = Overflow.RAISE,
    ) -> MessageStream:
        """A stream of its own for messages that match a filter; subscribing is apart. Close it, or use it in a `with`.

        buffer_messages, buffer_bytes: what it holds for a program that is busy, 1 or more each. What happens when that
        is not enough is `overflow`, see `Overflow`.
        """
        driver = self._loop.open_driver()
        buffer, row = driver.new_buffer(topic_filter, buffer_messages, buffer_bytes, overflow)
        return MessageStream(self._loop, buffer, row)

    def on_message(self, topic_filter: str, callback: Callable[[MessageReceived], None]) -> Callable[[], None]:
        """Call a function with each message that matches; returns a function that ends it.

        What it raises is for the I/O style to report: asyncio tells the loop's exception handler, anyio ends the
        client.
        """
        return self._loop.open_driver().on_message(topic_filter, callback)

    def on_event(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call a function with every event but messages and finished publishes; returns a function that ends it."""
        return self._loop.open_driver().on_event(callback)

    async def _end_of(self, driver: ClientDriver, token: int, timeout: float | None) -> Any:
        waiter = self._loop.new_waiter()
        driver.expect(token, waiter, timeout)
        self._loop.wake()
        return await self._loop.wait(waiter, timeout)

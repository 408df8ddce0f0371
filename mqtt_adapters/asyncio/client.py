"""An MQTT client on asyncio.

    async with Client("127.0.0.1", client_id="thermostat") as client:
        await client.subscribe("house/+/temperature", qos=1)
        await client.publish("house/kitchen/heating", b"on", qos=1)
        async for message in client.messages:
            print(message.topic, message.payload)

Laws: bytes and time pass through this module, packets do not. What a program writes in one turn of the loop leaves in
one piece at its end; a publisher that is faster than the network waits. After `close`, no task, timer or socket is
left. A cancelled verb changes nothing but who waits: the message stays in flight, a subscription may still be
granted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Final, Self, Unpack, cast, overload

from mqtt_adapters.asyncio.client_link import ClientLink, Connector, open_transport
from mqtt_adapters.asyncio.client_streams import MessageStream
from mqtt_adapters.client_driver import FLUSH_BYTES, ClientDriver, granted, published, unsubscribed
from mqtt_adapters.client_settings import ClientOptions, make_settings
from mqtt_adapters.client_verbs import (
    Answers,
    SubscribeOptions,
    publish_payload,
    response_properties,
    subscribe_filters,
)
from mqtt_adapters.errors import ClientClosed, ConnectError, OperationTimeout
from mqtt_adapters.streams import BUFFER_BYTES, BUFFER_MESSAGES, MessageBuffer, Overflow
from mqtt_core.client import Event, MessageReceived, PublishCompleted
from mqtt_core.codec import NO_PROPERTIES, Properties, ReasonCode, SubscribeFilter
from mqtt_core.persistence import load

__all__ = ["Client"]

_SENT: Final = PublishCompleted(0)


class Client:
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
        self.settings = make_settings(host, port, options)
        self._connector = connector
        self._loop: asyncio.AbstractEventLoop
        self._driver: ClientDriver | None = None
        self._link: ClientLink | None = None
        self._link_gone = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._commit: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flush_due = False
        self._answers: Answers | None = None
        self._messages: MessageStream | None = None

    # -- opening and closing -----------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Open the store, connect, and wait for the server's CONNACK.

        Raises:
            ConnectRefused: the server said no. ConnectError: there is no connection.
            StorageError: the store cannot be read.
        """
        if self._driver is not None:
            raise ClientClosed("a client starts once; make another one")
        self._loop = asyncio.get_running_loop()
        store = self.settings.store
        snapshot = await load(store) if store is not None else None
        driver = self._driver = ClientDriver(self.settings, self, snapshot)
        self._messages = MessageStream(self, driver.messages)
        opening: asyncio.Future[Any] = self._loop.create_future()
        driver.opening = opening
        self._link_gone.set()
        try:
            await self._connect()
            await opening
        except BaseException:
            opening.cancel()
            await self.close()
            raise
        self._keeper = self._loop.create_task(self._keep_connected())
        return self

    async def close(self) -> None:
        """Disconnect and give everything back. QoS 1 and 2 messages not acknowledged yet stay in the store, if any.

        Takes at most `close_timeout_s`. Verbs and streams that wait end with ClientClosed, or the end of the stream.
        """
        driver = self._driver
        if driver is None or (driver.error is not None and self._keeper is None and self._link is None):
            await self._finish()
            return
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        driver.core.disconnect(driver.clock())
        driver.dispatch()
        driver.end(ClientClosed(), None)
        self._flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.config.close_timeout_s):
                await self._link_gone.wait()
        if self._link is not None:
            self._link.abort()
            await self._link_gone.wait()
        await self._finish()

    async def _finish(self) -> None:
        driver = self._driver
        while driver is not None:
            driver.commit()
            if self._commit is None:
                break
            await asyncio.wait([self._commit])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.settings.store is not None:
            await self.settings.store.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _connect(self) -> None:
        """One attempt: a transport, and CONNECT on it. Raises ConnectError."""
        driver = self._open_driver()
        settings = self.settings
        link = ClientLink(self, settings)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await open_transport(link, settings, self._connector)
        except TimeoutError as error:
            link.abort()
            raise ConnectError(
                ReasonCode.SERVER_UNAVAILABLE, f"{settings.address}: no connection in {settings.connect_timeout_s:g} s"
            ) from error
        except (OSError, ValueError) as error:
            link.abort()
            raise ConnectError(ReasonCode.SERVER_UNAVAILABLE, f"{settings.address}: {error}") from error
        except BaseException:
            link.abort()
            raise
        self._link = link
        self._link_gone.clear()
        driver.core.connect(driver.clock())
        self._flush()

    async def _keep_connected(self) -> None:
        """Connect again whenever the core says so, until it says no more."""
        driver = self._open_driver()
        while True:
            await self._link_gone.wait()
            reconnect_at = driver.core.reconnect_at
            if reconnect_at is None:
                return
            await asyncio.sleep(max(0.0, reconnect_at - driver.clock()))
            try:
                await self._connect()
            except ConnectError as error:
                driver.core.connect_failed(error.reason, driver.clock())
                driver.dispatch()

    # -- looks -------------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """The server has accepted the connection, and it has not ended."""
        return self._driver is not None and self._driver.core.connected

    @property
    def client_id(self) -> str:
        """The client identifier in use, assigned by the server perhaps."""
        return self.settings.config.client_id if self._driver is None else self._driver.core.client_id

    @property
    def messages(self) -> MessageStream:
        """The messages that no other stream and no callback matches."""
        if self._messages is None:
            raise ClientClosed("the client was not started")
        return self._messages

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until there is a connection; returns at once when there is. timeout: seconds.

        Raises OperationTimeout, or whatever ended the client for good.
        """
        driver = self._open_driver()
        if not driver.core.connected:
            waiter = self._loop.create_future()
            driver.connected_waiters.append(waiter)
            await self._wait(waiter, timeout)

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def publish(
        self,
        topic: str,
        payload: bytes | bytearray | memoryview | str = b"",
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
        driver = self._driver
        if driver is None or driver.error is not None:
            driver = self._open_driver()
        if not isinstance(payload, bytes):
            payload = publish_payload(payload)
        core = driver.core
        token = core.publish(topic, payload, qos=qos, retain=retain, properties=properties, now=driver.clock())
        if not self._flush_due:
            self._flush_soon()
        if token:
            return published(await self._result(driver, token, timeout))
        if core.outbox_bytes > FLUSH_BYTES:
            await self._make_room(driver)
        return _SENT

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
        driver = self._open_driver()
        filters = subscribe_filters(topic_filter, qos, options)
        properties = options.get("properties", NO_PROPERTIES)
        token = driver.core.subscribe(filters, properties=properties, now=driver.clock())
        self._flush_soon()
        codes = granted(await self._result(driver, token, options.get("timeout")))
        return codes[0] if isinstance(topic_filter, str) else codes

    async def unsubscribe(
        self,
        topic_filter: str | Sequence[str],
        *,
        properties: Properties = NO_PROPERTIES,
        timeout: float | None = None,
    ) -> list[int]:
        """Give one or several topic filters back; returns the reason code of each. Raises as `subscribe`."""
        driver = self._open_driver()
        names = [topic_filter] if isinstance(topic_filter, str) else list(topic_filter)
        token = driver.core.unsubscribe(names, properties=properties, now=driver.clock())
        self._flush_soon()
        return unsubscribed(await self._result(driver, token, timeout))

    def acknowledge(
        self, message: MessageReceived, *, reason_code: int = 0, properties: Properties = NO_PROPERTIES
    ) -> None:
        """Say that a message has been dealt with (setting `manual_ack`). A second time, or too late, does nothing."""
        driver = self._open_driver()
        driver.core.acknowledge(message.token, reason_code=reason_code, properties=properties, now=driver.clock())
        self._flush_soon()

    async def reauthenticate(self, data: bytes) -> None:
        """Start a new authentication on the open connection (5.0 section 4.12.1); the outcome is an event."""
        driver = self._open_driver()
        driver.core.reauthenticate(data, now=driver.clock())
        self._flush_soon()

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
        driver = self._open_driver()
        if self._answers is None:
            self._answers = Answers(driver)
        answers = self._answers
        if not answers.subscribed:
            await self.subscribe(answers.topic, qos=qos)
            answers.subscribed = True
        waiter: asyncio.Future[Any] = self._loop.create_future()
        correlation = answers.expect(waiter)
        try:
            await self.publish(topic, payload, qos=qos, properties=answers.properties(properties, correlation))
            return cast("MessageReceived", await self._wait(waiter, timeout))
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
        overflow: Overflow = Overflow.RAISE,
    ) -> MessageStream:
        """A stream of its own for messages that match a filter; subscribing is apart. Close it, or use it in a `with`.

        What happens when nobody reads it fast enough is `overflow`, see `Overflow`.
        """
        driver = self._open_driver()
        buffer, row = driver.new_buffer(topic_filter, buffer_messages, buffer_bytes, overflow)
        return MessageStream(self, buffer, row)

    def on_message(self, topic_filter: str, callback: Callable[[MessageReceived], None]) -> Callable[[], None]:
        """Call a function with each message that matches; returns a function that ends it.

        What it raises goes to the loop's exception handler.
        """
        return self._open_driver().on_message(topic_filter, callback)

    def on_event(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call a function with every event but messages and finished publishes; returns a function that ends it."""
        return self._open_driver().on_event(callback)

    # -- the driver's host -------------------------------------------------------------------------------------------

    def run_commit(self, commit: Coroutine[Any, Any, None]) -> None:
        """See `ClientHost`."""
        self._commit = self._loop.create_task(commit)
        self._commit.add_done_callback(self._commit_done)

    def _commit_done(self, task: asyncio.Task[None]) -> None:
        if self._commit is task:
            self._commit = None

    def callback_failed(self, error: Exception) -> None:
        """See `ClientHost`."""
        self._loop.call_exception_handler({"message": "a callback of an MQTT client failed", "exception": error})

    def wake(self) -> None:
        """See `ClientHost`."""
        self._flush_soon()

    # -- the transport -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of the server have arrived."""
        driver = self._open_driver(even_closed=True)
        driver.core.receive_data(data, driver.clock())
        driver.dispatch()
        self._flush()

    def link_lost(self, link: ClientLink) -> None:
        """The transport is closed, by whichever side."""
        if self._link is not link:
            return
        self._link = None
        driver = self._open_driver(even_closed=True)
        driver.core.receive_eof(driver.clock())
        self._link_gone.set()
        driver.dispatch()
        driver.commit()

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        if self._flush_due:
            self._flush()

    def _flush(self) -> None:
        """Commit, write, follow the core's wish to pause or close, and set the one timer."""
        self._flush_due = False
        driver = self._open_driver(even_closed=True)
        driver.commit()
        core = driver.core
        link = self._link
        if link is not None:
            if driver.failure is not None:
                link.abort()
                return
            if link.writable:
                chunks = core.data_to_send()
                if chunks:
                    link.write(b"".join(chunks))
                if core.closing:
                    link.close()
            link.set_reading(not (core.reading_held or core.reading_paused))
        deadline = driver.next_deadline()
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_later(max(0.0, deadline - driver.clock()), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        driver = self._open_driver(even_closed=True)
        driver.handle_timer()
        driver.dispatch()
        self._flush()

    def drop_stream(self, buffer: MessageBuffer, row: Any) -> None:
        """A stream was closed."""
        self._open_driver(even_closed=True).drop_buffer(buffer, row)
        self.reading_resumed()

    def reading_resumed(self) -> None:
        """A stream has room again."""
        if not self._open_driver(even_closed=True).follow_buffers():
            self._flush_soon()

    # -- waiting -----------------------------------------------------------------------------------------------------

    def _open_driver(self, *, even_closed: bool = False) -> ClientDriver:
        driver = self._driver
        if driver is None:
            raise ClientClosed("the client was not started")
        if not even_closed:
            driver.check_open()
        return driver

    async def _result(self, driver: ClientDriver, token: int, timeout: float | None) -> Any:
        waiter = self._loop.create_future()
        driver.expect(token, waiter, timeout)
        if timeout is None:
            return await waiter
        try:
            return await self._wait(waiter, timeout)
        finally:
            driver.waiters.pop(token, None)

    async def _wait(self, waiter: Awaitable[Any], timeout: float | None) -> Any:
        if timeout is None:
            return await waiter
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except TimeoutError as error:
            if isinstance(error, OperationTimeout):
                raise
            raise OperationTimeout(f"no answer within {timeout:g} s") from None

    async def _make_room(self, driver: ClientDriver) -> None:
        """Write now, and let others run; wait while the transport is full."""
        self._flush()
        await asyncio.sleep(0)
        link = self._link
        if link is not None and not link.writable and driver.core.outbox_bytes > FLUSH_BYTES:
            await link.wait_writable()

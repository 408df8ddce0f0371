"""An MQTT client for programs without an event loop.

    with Client("127.0.0.1", client_id="thermostat") as client:
        client.subscribe("house/+/temperature", qos=1)
        client.publish("house/kitchen/heating", b"on", qos=1)
        for message in client.messages(timeout=60):
            print(message.topic, message.payload)

One background thread reads, writes, pings and reconnects; every verb may be called from any thread. With
``background=False`` there is no thread: verbs that wait, streams, and `pump` do its work in the caller's.

Laws: packets do not pass through this module. After `close`, no thread and no socket is left. Callbacks run where the
work is done, in the background thread or the caller of `pump`; they may call verbs, but those that wait for an answer
refuse to be called there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, Unpack, overload

from mqtt_adapters.blocking.client_link import Connector
from mqtt_adapters.blocking.client_loop import ClientLoop
from mqtt_adapters.blocking.client_streams import MessageStream
from mqtt_adapters.blocking.waiting import Publication, ThreadWaiter
from mqtt_adapters.client.driver import FLUSH_BYTES, granted, unsubscribed
from mqtt_adapters.client.settings import ClientOptions, make_settings
from mqtt_adapters.client.streams import BUFFER_BYTES, BUFFER_MESSAGES, Overflow
from mqtt_adapters.client.verbs import (
    Answers,
    SubscribeOptions,
    response_properties,
    subscribe_filters,
)
from mqtt_adapters.payload import Payload, payload_bytes
from mqtt_core.client import Event, MessageReceived, PublishCompleted
from mqtt_core.codec import NO_PROPERTIES, LocalProtocolError, Properties, SubscribeFilter

__all__ = ["Client"]


class Client:
    """An MQTT client: connects, reconnects, publishes, subscribes.

    host: name or address of the server, or a URL (mqtt, mqtts, ws, wss, unix). port: default of the scheme. background:
    whether a thread does the work. connector: makes the transport instead, see `Connector`. All other settings are
    described in `ClientConfig` and `ClientSettings`.

    Use it as a context manager, or call `start` and `close`.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | None = None,
        *,
        background: bool = True,
        connector: Connector | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        self.settings = make_settings(host, port, options)
        self._loop = ClientLoop(self.settings, connector, background)
        self._answers: Answers | None = None

    def start(self) -> Self:
        """Open the store, connect, and wait for the server's CONNACK, which `start_offline` leaves for later.

        Raises:
            ConnectRefused: the server said no. ConnectError: there is no connection.
            StorageError: the store cannot be read.
        """
        self._loop.start()
        return self

    def close(self) -> None:
        """Disconnect and give everything back. QoS 1 and 2 messages not acknowledged yet stay in the store, if any.

        Takes at most `close_timeout_s`, and the time of an attempt to connect under way. Verbs and streams that wait
        end with ClientClosed, or the end of the stream.
        """
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def pump(self, timeout: float = 0.0) -> None:
        """Do what is due, waiting up to `timeout` seconds for something to come up (without a background thread).

        Call it often: it reads, writes, pings and reconnects. Raises LocalProtocolError when a thread does that.
        """
        if self._loop.background:
            raise LocalProtocolError("the background thread does this; make the client with background=False")
        self._loop.open_driver()
        self._loop.step(timeout)

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

    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until there is a connection; returns at once when there is. timeout: seconds.

        Raises OperationTimeout, or whatever ended the client for good.
        """
        with self._loop.lock:
            driver = self._loop.open_driver()
            if driver.core.connected:
                return
            waiter = ThreadWaiter()
            driver.connected_waiters.append(waiter)
        try:
            self._loop.wait(waiter, timeout)
        finally:
            with self._loop.lock:
                driver.connected_waiters = [one for one in driver.connected_waiters if one is not waiter]

    # -- verbs -------------------------------------------------------------------------------------------------------

    def publish(
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
        return self.publish_nowait(
            topic, payload, qos=qos, retain=retain, properties=properties, timeout=timeout
        ).result(timeout)

    def publish_nowait(
        self,
        topic: str,
        payload: Payload = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
        timeout: float | None = None,
    ) -> Publication:
        """As `publish`, without waiting for the acknowledgement: ask the result for it, or forget it.

        Still waits while the network is slower than the program.
        """
        if not isinstance(payload, bytes):
            payload = payload_bytes(payload)
        loop = self._loop
        with loop.lock:
            driver = loop.open_driver()
            core = driver.core
            token = core.publish(topic, payload, qos=qos, retain=retain, properties=properties, now=driver.clock())
            waiter = None
            if token:
                waiter = ThreadWaiter()
                driver.expect(token, waiter, timeout)
            loop.done()
            if core.outbox_bytes > FLUSH_BYTES:
                loop.make_room()
        return Publication(loop, waiter)

    @overload
    def subscribe(  # type: ignore[overload-overlap]  # a str is a sequence of str too, but the first line wins
        self, topic_filter: str, qos: int = 0, **options: Unpack[SubscribeOptions]
    ) -> int: ...

    @overload
    def subscribe(
        self, topic_filter: Sequence[str | SubscribeFilter], qos: int = 0, **options: Unpack[SubscribeOptions]
    ) -> list[int]: ...

    def subscribe(
        self, topic_filter: str | Sequence[str | SubscribeFilter], qos: int = 0, **options: Unpack[SubscribeOptions]
    ) -> int | list[int]:
        """Subscribe to one topic filter, or to several in one packet; returns the granted QoS of each.

        qos: 0 to 2. options: see `SubscribeOptions`. The subscription is restored after a reconnect if the server has
        lost it. Raises SubscribeError when one is refused; otherwise as `publish`.
        """
        filters = subscribe_filters(topic_filter, qos, options)
        properties = options.get("properties", NO_PROPERTIES)
        timeout = options.get("timeout")
        waiter = ThreadWaiter()
        with self._loop.lock:
            driver = self._loop.open_driver()
            token = driver.core.subscribe(filters, properties=properties, now=driver.clock())
            driver.expect(token, waiter, timeout)
            self._loop.done()
        codes = granted(self._loop.wait(waiter, timeout))
        return codes[0] if isinstance(topic_filter, str) else codes

    def unsubscribe(
        self,
        topic_filter: str | Sequence[str],
        *,
        properties: Properties = NO_PROPERTIES,
        timeout: float | None = None,
    ) -> list[int]:
        """Give one or several topic filters back; returns the reason code of each. Raises as `subscribe`."""
        names = [topic_filter] if isinstance(topic_filter, str) else list(topic_filter)
        waiter = ThreadWaiter()
        with self._loop.lock:
            driver = self._loop.open_driver()
            token = driver.core.unsubscribe(names, properties=properties, now=driver.clock())
            driver.expect(token, waiter, timeout)
            self._loop.done()
        return unsubscribed(self._loop.wait(waiter, timeout))

    def acknowledge(
        self, message: MessageReceived, *, reason_code: int = 0, properties: Properties = NO_PROPERTIES
    ) -> None:
        """Say that a message has been dealt with (setting `manual_ack`). A second time, or too late, does nothing."""
        with self._loop.lock:
            driver = self._loop.open_driver()
            driver.core.acknowledge(message.token, reason_code=reason_code, properties=properties, now=driver.clock())
            self._loop.done()

    def committed(self, timeout: float | None = None) -> None:
        """Wait until all that was done so far is in the store: messages that were published, acknowledgements that
        were given. Without a store that is at once. timeout: seconds.

        Raises OperationTimeout, or whatever ended the client: its storage failed, or it was closed.
        """
        waiter = ThreadWaiter()
        with self._loop.lock:
            self._loop.open_driver().expect_commit(waiter)
            self._loop.done()
        self._loop.wait(waiter, timeout)

    def reauthenticate(self, data: bytes) -> None:
        """Start a new authentication on the open connection (5.0 section 4.12.1); the outcome is an event."""
        with self._loop.lock:
            driver = self._loop.open_driver()
            driver.core.reauthenticate(data, now=driver.clock())
            self._loop.done()

    def request(
        self,
        topic: str,
        payload: bytes | str = b"",
        *,
        qos: int = 1,
        properties: Properties = NO_PROPERTIES,
        timeout: float = 10.0,
    ) -> MessageReceived:
        """Publish a request and wait for its answer (5.0 section 4.10). timeout: seconds for the answer."""
        with self._loop.lock:
            driver = self._loop.open_driver()
            if self._answers is None:
                self._answers = Answers(driver)
            answers = self._answers
        if not answers.subscribed:
            self.subscribe(answers.topic, qos=qos)
            answers.subscribed = True
        waiter = ThreadWaiter()
        with self._loop.lock:
            correlation = answers.expect(waiter)
        try:
            self.publish(topic, payload, qos=qos, properties=answers.properties(properties, correlation))
            return answers.answer(self._loop.wait(waiter, timeout))
        finally:
            with self._loop.lock:
                answers.forget(correlation)

    def respond(self, request: MessageReceived, payload: bytes | str = b"", *, qos: int = 1) -> None:
        """Answer a request: publish to its response topic, with its correlation data. Raises as `publish`."""
        topic, properties = response_properties(request)
        self.publish(topic, payload, qos=qos, properties=properties)

    # -- streams and callbacks ---------------------------------------------------------------------------------------

    def messages(self, timeout: float | None = None) -> MessageStream:
        """The messages that no other stream and no callback matches. timeout: seconds without one end the iteration."""
        if not self._loop.started:
            self._loop.open_driver()
        return MessageStream(self._loop, self._loop.driver.messages, None, timeout)

    def stream(
        self,
        topic_filter: str,
        *,
        timeout: float | None = None,
        buffer_messages: int = BUFFER_MESSAGES,
        buffer_bytes: int = BUFFER_BYTES,
        overflow: Overflow | str = Overflow.RAISE,
    ) -> MessageStream:
        """A stream of its own for messages that match a filter; subscribing is apart. Close it, or use it in a `with`.

        timeout: seconds without a message that end an iteration. buffer_messages, buffer_bytes: what it holds for a
        program that is busy, 1 or more each. What happens when that is not enough is `overflow`, see `Overflow`.
        """
        with self._loop.lock:
            driver = self._loop.open_driver()
            buffer, row = driver.new_buffer(topic_filter, buffer_messages, buffer_bytes, overflow)
        return MessageStream(self._loop, buffer, row, timeout)

    def on_message(self, topic_filter: str, callback: Callable[[MessageReceived], None]) -> Callable[[], None]:
        """Call a function with each message that matches; returns a function that ends it.

        What it raises goes to `threading.excepthook`, without a thread to `sys.excepthook`.
        """
        with self._loop.lock:
            return self._loop.open_driver().on_message(topic_filter, callback)

    def on_event(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call a function with every event but messages and finished publishes; returns a function that ends it."""
        with self._loop.lock:
            return self._loop.open_driver().on_event(callback)

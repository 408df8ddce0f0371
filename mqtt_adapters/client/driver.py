"""What the three I/O styles of the client share: everything but the waiting.

A `ClientDriver` owns the core, gives its events to whoever waits for them (a publish, a subscribe, a stream, a
callback), takes its writes to the storage, and says how long nothing has to be done. The style around it moves bytes
and time, and knows what it means to wait. Laws:

- Every wait ends: by the answer, by its timeout, or because the client is closed or lost for good. A wait that was
  given up leaves the core alone: the message stays in flight, the answer finds nobody.
- A callback that raises is reported to the style, and hurts nobody else.
- A storage failure is fatal: nothing more is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from mqtt_adapters.client.settings import ClientSettings
from mqtt_adapters.client.streams import MessageBuffer, Overflow, Routes
from mqtt_adapters.committing import Committing
from mqtt_adapters.errors import (
    ClientClosed,
    ClientError,
    ConnectError,
    ConnectionLost,
    ConnectRefused,
    OperationTimeout,
    PublishError,
    SubscribeError,
    UnsubscribeError,
    reason_name,
)
from mqtt_adapters.waiter import Waiter
from mqtt_core.client import (
    AuthChallenge,
    Connected,
    ConnectionRefused,
    Disconnected,
    Event,
    MessageReceived,
    MqttClient,
    PublishCompleted,
    PublishFailed,
    SubscribeCompleted,
    UnsubscribeCompleted,
)
from mqtt_core.codec import ReasonCode
from mqtt_core.persistence import Batch, Journal, Snapshot

__all__ = ["FLUSH_BYTES", "ClientDriver", "ClientHost", "granted", "published", "unsubscribed"]

FLUSH_BYTES: Final = 64 * 1024
"""Bytes waiting to be written from which on a publisher makes room first."""


class ClientHost(Protocol):
    """What the driver needs of the style around it."""

    def run_commit(self, commit: Coroutine[object, object, None]) -> None:
        """Run to its end a commit that could not be finished on the spot. It never raises."""
        ...

    def callback_failed(self, error: Exception) -> None:
        """A callback of the program raised."""
        ...

    def wake(self) -> None:
        """There may be something to write, or another deadline."""
        ...


class ClientDriver(Committing):
    """One client between its core and an I/O style: see the module's text.

    messages: the default stream. error: why the connection is lost for good, None while it is not. failure: of
    something the client cannot do without, such as the storage. apply: makes a batch durable in the style's own way;
    without it, and with a store, the store's coroutine is stepped here, so that a commit that need not wait is finished
    on the spot.
    requests: correlation data -> who waits for that answer, finished with None when there will be none.
    opening: waits for the outcome of the attempt to connect under way. connected_waiters: wait for a connection.
    """

    def __init__(
        self,
        settings: ClientSettings,
        host: ClientHost,
        snapshot: Snapshot | None,
        apply: Callable[[Batch], Coroutine[object, object, None]] | None = None,
    ) -> None:
        super().__init__(host.run_commit, apply)
        self.settings = settings
        self._ack_timeout_s = settings.ack_timeout_s
        self.clock = settings.clock
        if snapshot is not None and (behind := snapshot.stamp - self.clock()) > 0:
            clock = self.clock
            self.clock = lambda: clock() + behind  # the wall clock was set back since the last commit
        journal = Journal() if snapshot is not None else None
        self.core = MqttClient(settings.config, rng=settings.rng, journal=journal, snapshot=snapshot)
        self.messages = MessageBuffer(settings.buffer_messages, settings.buffer_bytes, settings.overflow)
        self.buffers: list[MessageBuffer] = [self.messages]
        self.routes = Routes(self.messages.push)
        self.event_sinks: list[Callable[[Event], None]] = []
        self.waiters: dict[int, Waiter] = {}
        self._timed: dict[int, float] = {}
        self.connected_waiters: list[Waiter] = []
        self.requests: dict[bytes, Waiter] = {}
        self.opening: Waiter | None = None
        self.error: ClientError | None = None
        self.failure: Exception | None = None
        self.response_information: str | None = None
        self._abort_at: float | None = None
        self._host = host
        self._commit_waiters: list[tuple[int, Waiter]] = []

    def connect_in_background(self) -> None:
        """The first connection is made like one after a loss: at once, and again after a pause if it cannot be."""
        self.core.reconnect_at = self.clock()

    # -- waiting -----------------------------------------------------------------------------------------------------

    def expect(self, token: int, waiter: Waiter, timeout_s: float | None) -> None:
        """Finish `waiter` when the verb with this token is over. timeout_s None: the setting's default applies.

        A given timeout is for the style to watch; the default, the same for all, costs nothing to watch here.
        """
        if self.error is not None:
            waiter.set_exception(self.error)
            return
        self.waiters[token] = waiter
        if timeout_s is None and self._ack_timeout_s is not None:
            # The core has just been told the time.
            self._timed[token] = self.core.now + self._ack_timeout_s

    def expect_commit(self, waiter: Waiter) -> None:
        """Finish `waiter` when all that was done so far is in the store."""
        barrier = self.core.barrier
        if barrier:
            self._commit_waiters.append((barrier, waiter))
        else:
            waiter.set_result(None)

    def next_deadline(self) -> float | None:
        """When `handle_timer` is to be called (epoch seconds)."""
        deadline = self.core.next_deadline()
        if self._abort_at is not None and (deadline is None or self._abort_at < deadline):
            deadline = self._abort_at
        for oldest in self._timed.values():
            return oldest if deadline is None or oldest < deadline else deadline
        return deadline

    def link_ended(self) -> None:
        """The transport is gone, by whatever way."""
        self.core.receive_eof(self.clock())
        self._without_link()

    def connect_failed(self, reason: str) -> None:
        """No transport could be made."""
        self.core.connect_failed(reason, self.clock())
        self._without_link()

    def _without_link(self) -> None:
        """Tell what has happened; there is nothing to cut, and a deadline for that would stay in the past."""
        self.dispatch()
        self._abort_at = None
        if self.failure is not None:
            self.core.reconnect_at = None

    def out_of_patience(self) -> bool:
        """The connection is over and its last bytes have had their time: cut the transport."""
        return self.failure is not None or (self._abort_at is not None and self.clock() >= self._abort_at)

    def handle_timer(self) -> None:
        """The time of `next_deadline` has come."""
        now = self.clock()
        self.core.handle_timer(now)
        while self._timed:
            token, deadline = next(iter(self._timed.items()))
            if deadline > now:
                break
            self._answer(token, OperationTimeout(f"no answer within {self.settings.ack_timeout_s:g} s"))

    # -- events ------------------------------------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Give the core's events to those who wait for them."""
        waiters = self.waiters
        timed = self._timed
        sinks = self.routes.sinks
        while events := self.core.take_events():
            for event in events:
                if isinstance(event, MessageReceived):
                    for sink in sinks(event.topic):
                        sink(event)
                elif isinstance(event, PublishCompleted):
                    waiter = waiters.pop(event.token, None)
                    if waiter is not None:
                        timed.pop(event.token, None)
                        if not waiter.done():
                            waiter.set_result(event)
                else:
                    self._handle(event)
        self.follow_buffers()

    def follow_buffers(self) -> bool:
        """Hold reading while a stream with the policy PAUSE is full; returns whether reading is held."""
        held = False
        for buffer in self.buffers:
            held = held or buffer.full
        self.core.reading_held = held
        return held

    def _handle(self, event: Event) -> None:
        if isinstance(event, SubscribeCompleted | UnsubscribeCompleted):
            self._answer(event.token, event)
        elif isinstance(event, PublishFailed):
            self._answer(event.token, PublishError(event.reason_code, event.reason))
        elif isinstance(event, Connected):
            self._connected(event)
        elif isinstance(event, ConnectionRefused):
            said = event.properties.reason_string
            text = f"the server refused the connection: {reason_name(event.reason_code)}{f' ({said})' if said else ''}"
            self._not_connected(ConnectRefused(event.reason_code, text, event.properties), event.reconnect_at)
        elif isinstance(event, Disconnected):
            text = event.reason if self.opening is None else self._no_answer(event.reason)
            self._not_connected(ConnectError(event.reason_code, text, event.properties), event.reconnect_at)
        elif isinstance(event, AuthChallenge):
            self._authenticate(event)
        for sink in list(self.event_sinks):
            try:
                sink(event)
            except Exception as error:  # noqa: BLE001 - see the laws
                self._host.callback_failed(error)

    def _answer(self, token: int, answer: object) -> None:
        waiter = self.waiters.pop(token, None)
        self._timed.pop(token, None)
        if waiter is not None and not waiter.done():
            if isinstance(answer, Exception):
                waiter.set_exception(answer)
            else:
                waiter.set_result(answer)

    def _connected(self, event: Connected) -> None:
        self.response_information = event.properties.response_information
        for waiter in [*self.connected_waiters, *([self.opening] if self.opening is not None else [])]:
            if not waiter.done():
                waiter.set_result(event)
        self.connected_waiters.clear()
        self.opening = None

    def _no_answer(self, reason: str) -> str:
        """Why the first connection ended before CONNACK, for somebody who may have got the port wrong."""
        settings = self.settings
        how = "with TLS" if settings.tls is not None else "without TLS"
        return f"{settings.address}: {reason}; does it speak MQTT {how} on this port?"

    def _not_connected(self, error: ConnectError, reconnect_at: float | None) -> None:
        self._abort_at = self.clock() + self.settings.config.close_timeout_s
        opening, self.opening = self.opening, None
        if opening is not None and not opening.done():
            opening.set_exception(error)
        if reconnect_at is None:
            lost = (
                error
                if isinstance(error, ConnectRefused)
                else ConnectionLost(error.reason_code, error.reason, error.properties)
            )
            self.end(lost, None if error.reason_code == 0 else lost)

    def _authenticate(self, event: AuthChallenge) -> None:
        answer = self.settings.authenticate
        now = self.clock()
        if answer is None:
            self.core.disconnect(now, reason_code=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
            return
        try:
            self.core.authenticate(answer(event.data), now=now)
        except Exception as error:  # noqa: BLE001 - see the laws
            self._host.callback_failed(error)
            self.core.disconnect(now, reason_code=ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)

    def end(self, error: ClientError, stream_error: Exception | None) -> None:
        """Nothing will come any more: tell everybody who waits. stream_error None ends the streams in good order."""
        if self.error is None:
            self.error = error
        waiting = [*self.waiters.values(), *self.connected_waiters, *[waiter for _, waiter in self._commit_waiters]]
        self.waiters.clear()
        self._timed.clear()
        self.connected_waiters = []
        self._commit_waiters = []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(error)
        for waiter in self.requests.values():
            if not waiter.done():
                waiter.set_result(None)
        for buffer in self.buffers:
            buffer.end(stream_error)

    def close(self) -> None:
        """The program is done: say goodbye to the server, and tell everybody who waits."""
        self.end(ClientClosed(), None)
        self.core.disconnect(self.clock(), properties=self.settings.disconnect_properties)
        self.dispatch()

    def check_open(self) -> None:
        """Raise if the client is closed, lost, or its storage failed."""
        if self.error is not None:
            raise self.error

    # -- streams and callbacks ---------------------------------------------------------------------------------------

    def new_buffer(
        self, pattern: str, limit: int, bytes_max: int, overflow: Overflow | str
    ) -> tuple[MessageBuffer, Any]:
        """A buffer for messages that match a filter, and the row to undo it with."""
        buffer = MessageBuffer(limit, bytes_max, overflow)
        row = self.routes.add(pattern, buffer.push)
        self.buffers.append(buffer)
        if self.error is not None:
            buffer.end(self.error)
        return buffer, row

    def drop_buffer(self, buffer: MessageBuffer, row: Any) -> None:
        """Undo `new_buffer`; who still reads it gets the end."""
        self.routes.remove(row)
        if buffer in self.buffers:
            self.buffers.remove(buffer)
        buffer.end()
        self.follow_buffers()

    def on_message(self, pattern: str, callback: Callable[[MessageReceived], None]) -> Callable[[], None]:
        """Call `callback` with each message that matches; returns what undoes it."""

        def call(message: MessageReceived) -> None:
            try:
                callback(message)
            except Exception as error:  # noqa: BLE001 - see the laws
                self._host.callback_failed(error)

        row = self.routes.add(pattern, call)
        return lambda: self.routes.remove(row)

    def on_event(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call `callback` with each event that is neither a message nor the end of a publish; returns what undoes
        it."""
        self.event_sinks.append(callback)
        return lambda: self.event_sinks.remove(callback) if callback in self.event_sinks else None

    # -- storage -----------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Take what was written to the storage; what waits for it leaves when it is durable."""
        store = self.settings.store
        if store is None or self.committing or self.failure is not None:
            return
        self.commit_batches(store, self.core.take_writes)

    def batch_committed(self, number: int) -> None:
        """See `Committing`."""
        self.core.writes_committed(number)
        waiting, self._commit_waiters = self._commit_waiters, []
        for barrier, waiter in waiting:
            if barrier > number:
                self._commit_waiters.append((barrier, waiter))
            elif not waiter.done():
                waiter.set_result(None)

    def commit_failed(self, error: Exception) -> None:
        """See `Committing`."""
        self.fail("the storage failed", error)

    def fail(self, what: str, error: Exception) -> None:
        """Something the client cannot do without has failed: it ends here, and who waits is told why."""
        self.failure = error
        self.core.reconnect_at = None
        failure = ClientError(ReasonCode.UNSPECIFIED_ERROR, f"{what}: {error}")
        failure.__cause__ = error
        self.end(failure, failure)
        self._host.wake()

    def commit_over(self) -> None:
        """See `Committing`."""
        self._host.wake()


def published(event: PublishCompleted) -> PublishCompleted:
    """The result of a publish. Raises PublishError when the server refused it."""
    if event.reason_code >= 0x80:
        text = f"the server refused the message: {reason_name(event.reason_code)}"
        raise PublishError(event.reason_code, text, event.properties)
    return event


def granted(event: SubscribeCompleted) -> list[int]:
    """The granted QoS of each filter. Raises SubscribeError when one was refused."""
    if max(event.reason_codes) >= 0x80:
        raise SubscribeError(event.filters, event.reason_codes, event.properties)
    return list(event.reason_codes)


def unsubscribed(event: UnsubscribeCompleted) -> list[int]:
    """The reason code of each filter. Raises UnsubscribeError when one was refused."""
    if max(event.reason_codes) >= 0x80:
        raise UnsubscribeError(event.filters, event.reason_codes, event.properties)
    return list(event.reason_codes)

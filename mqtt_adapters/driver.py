"""The tick shared by every broker adapter: commit, flush, re-arm.

After any number of inputs an adapter calls `BrokerDriver.tick` once. The tick hands the broker's writes to the storage,
reports what is durable, lets every connection with something to say write it in one piece, and moves the one timer when
the next deadline came nearer. Two laws:

- *Write, then say.* How batches become durable is in `mqtt_adapters/committing.py`. A storage failure is fatal: the
  driver commits nothing more, flushes nothing more, and tells the host to stop.
- *A bug stays with its connection.* An exception while one connection is served is logged and ends that connection
  only.

The driver opens no socket, starts no task and reads no clock but the one it is given; it knows nothing about packets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from mqtt_adapters.committing import Committing
from mqtt_core.broker import Broker, ClientHandler, Event
from mqtt_core.persistence import Batch, Storage

__all__ = ["BrokerDriver", "DriverHost", "Link"]

log = logging.getLogger("mqtt_adapters")

_PASSES_MAX = 4
"""Rounds of commit and flush within one tick; what is left then takes its turn after the other callbacks of the
loop."""

_LATE_S: Final = 0.05
_READ_FIRST_S: Final = 0.01
"""A timer so late means that the process was stopped for a while, and a loop that goes on may look at its timers before
its sockets. What has arrived meanwhile is read first, in that time, or clients would be closed for a silence that was
ours."""


class DriverHost(Protocol):
    """What the driver needs of the adapter around it."""

    def arm_timer(self, deadline: float) -> None:
        """Call `BrokerDriver.timer_fired` at `deadline` (epoch seconds), or at once if that has passed; replaces the
        timer armed before."""
        ...

    def run_commit(self, commit: Coroutine[object, object, None]) -> None:
        """Run to its end a commit that could not be finished on the spot. It never raises."""
        ...

    def committed_up_to(self, number: int) -> None:
        """Every batch up to this number is durable."""
        ...

    def storage_failed(self, error: Exception) -> None:
        """The storage failed: stop without another word to any client."""
        ...


class Link:
    """The adapter's side of one connection: what moves between a transport and a `ClientHandler`.

    A subclass has the four transport verbs; everything that is the same for all transports is here. `writable` is False
    while the transport is full: undrained bytes then wait in the core's bounded outbox.
    """

    __slots__ = ("finished", "handler", "reading", "writable")

    handler: ClientHandler

    def __init__(self) -> None:
        self.writable = True
        self.reading = True
        self.finished = False

    def write(self, data: bytes) -> None:
        """Give `data` to the transport."""
        raise NotImplementedError

    def set_reading(self, reading: bool) -> None:
        """Pause or resume reading from the transport."""
        raise NotImplementedError

    def finish(self, wrote: bool) -> None:
        """Nothing more will be written: let the rest drain for a bounded time, then close, and set `finished`.

        wrote: whether the last bytes were given to the transport just now.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once, and set `finished`."""
        raise NotImplementedError

    def flush(self) -> None:
        """Move what the handler has to say into the transport, and follow its wish to pause, close or abort."""
        if self.finished:
            return
        handler = self.handler
        writable = self.writable
        wrote = False
        if writable:
            chunks = handler.data_to_send()
            if chunks:
                wrote = True
                self.write(b"".join(chunks))
        if not handler.leaving:
            if handler.reading_paused is self.reading:
                self.follow_reading()
        elif handler.aborted:
            self.abort()
        elif handler.closing:
            if writable:
                self.finish(wrote)
        else:
            self.follow_reading()

    def follow_reading(self) -> None:
        """Read as long as the handler wants input."""
        if self.handler.reading_paused is self.reading:
            self.reading = not self.reading
            self.set_reading(self.reading)


class BrokerDriver(Committing):
    """Drives one `Broker`: see the module's text for the laws.

    clock: returns epoch seconds, never going back. store: where the broker's writes go, or None for a broker whose
    journal records nothing. on_event: called with each event of the broker, None to leave them in its bounded ring.
    apply: makes a batch durable in the adapter's own way; without it the store's coroutine is stepped here, so that a
    commit that need not wait is finished on the spot. over: the store is closed or has failed, nothing is committed or
    flushed any more; the host sets it when it has stopped.
    """

    __slots__ = (
        "_armed_at", "_host", "_on_event", "_overslept", "_store", "broker", "clock", "committed", "over",
    )  # fmt: skip

    def __init__(
        self,
        broker: Broker,
        host: DriverHost,
        clock: Callable[[], float],
        store: Storage | None,
        on_event: Callable[[Event], None] | None = None,
        apply: Callable[[Batch], Coroutine[object, object, None]] | None = None,
    ) -> None:
        super().__init__(host.run_commit, apply)
        self.broker = broker
        self.clock = clock
        self.committed = 0
        self.over = False
        self._on_event = on_event
        self._host = host
        self._store = store
        self._armed_at: float | None = None
        self._overslept = False

    def tick(self) -> None:
        """Commit, flush, re-arm. Call it after one input or after many."""
        broker = self.broker
        for _ in range(_PASSES_MAX):
            if self.over:
                return
            if self._store is not None and not self.committing:
                self.commit_batches(self._store, broker.take_writes)
            dirty = broker.take_dirty()
            if not dirty:
                break
            for pulled in dirty:
                self.flush(pulled.owner)
        else:
            self._arm(self.clock())
            return
        if self._on_event is not None:
            self._tell_events(self._on_event)
        deadline = broker.next_deadline()
        if deadline is not None:
            self._arm(deadline)

    # -------------------------------------------------------------------------------------------- one connection

    def receive(self, link: Link, data: bytes | memoryview) -> None:
        """Hand over bytes that have arrived. A tick has to follow, at once or after more input."""
        try:
            handler = link.handler
            handler.receive_data(data, self.clock())
            if handler.reading_paused is link.reading:
                link.follow_reading()
        except Exception as bug:  # noqa: BLE001 - see the laws
            self._drop(link, bug)

    def end_of_input(self, link: Link) -> None:
        """The other end sends no more; it may still read. A tick has to follow."""
        try:
            link.handler.end_of_input(self.clock())
        except Exception as bug:  # noqa: BLE001 - see the laws
            self._drop(link, bug)

    def receive_eof(self, link: Link) -> None:
        """The connection is over, its transport not yet. A tick has to follow."""
        try:
            link.handler.receive_eof(self.clock())
        except Exception as bug:  # noqa: BLE001 - see the laws
            self._drop(link, bug)

    def link_gone(self, link: Link) -> None:
        """The transport is gone. A tick has to follow.

        Link and handler let go of each other, so that what was not written is freed at once: it may be megabytes, and
        the garbage collector, which counts objects and not bytes, may come for them after hours.
        """
        link.finished = True
        try:
            link.handler.receive_eof(self.clock())
            del link.handler
        except Exception as bug:  # noqa: BLE001 - see the laws
            self._drop(link, bug)

    def flush(self, owner: Any) -> None:
        """Flush one connection or in-process subscriber."""
        try:
            owner.flush()
        except Exception as bug:  # noqa: BLE001 - see the laws
            self._drop(owner, bug)

    @staticmethod
    def _drop(owner: Any, bug: Exception) -> None:
        log.error("a bug while serving %r, which is dropped", owner, exc_info=bug)
        owner.abort()

    # ------------------------------------------------------------------------------------------ events and time

    def _tell_events(self, on_event: Callable[[Event], None]) -> None:
        for event in self.broker.take_events():
            try:
                on_event(event)
            except Exception:
                log.exception("on_event failed with %r", event)

    def _arm(self, deadline: float) -> None:
        # A deadline that moved later costs nothing: the timer fires once in vain and is armed anew.
        if self._armed_at is None or deadline < self._armed_at:
            self._armed_at = deadline
            self._host.arm_timer(deadline)

    def timer_fired(self) -> None:
        """The timer armed last has come due."""
        armed_at, self._armed_at = self._armed_at, None
        if self.over:
            return
        now = self.clock()
        self._overslept = not self._overslept and armed_at is not None and now > armed_at + _LATE_S
        if self._overslept:
            self._arm(now + _READ_FIRST_S)
            return
        try:
            self.broker.handle_timer(now)
        except Exception:
            log.exception("a bug in a timer of the broker")
            self._arm(self.clock() + 1.0)
        self.tick()

    # ------------------------------------------------------------------------------------------------ storage

    def batch_committed(self, number: int) -> None:
        """See `Committing`."""
        self.committed = number
        self.broker.writes_committed(number)
        self._host.committed_up_to(number)

    def commit_failed(self, error: Exception) -> None:
        """See `Committing`."""
        self.over = True
        self._host.storage_failed(error)

    def commit_over(self) -> None:
        """See `Committing`."""
        self.tick()

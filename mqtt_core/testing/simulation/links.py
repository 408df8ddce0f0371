"""Network connections as TCP has them: bytes in order, or not at all.

A `Link` joins two ends by two `Pipe`s. Bytes are never changed, reordered or doubled; they are delayed, cut anywhere,
held back (a stall, a partition, a receiver that does not read) and, when the link is reset, lost from some byte on. A
pipe holds so many bytes as a socket buffer does; then its writer has to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from mqtt_core.testing.simulation.schedule import Schedule

__all__ = ["End", "Link", "Pipe", "Weather"]


class End(Protocol):
    """Who sits at an end of a link."""

    def receive(self, data: bytes) -> None:
        """Bytes have arrived."""
        ...

    def lost(self) -> None:
        """The other end has closed, or the connection is gone."""
        ...

    def writable(self) -> None:
        """There is room again after there was none."""
        ...


class Weather:
    """How all links of a world behave.

    delay_from, delay_to: seconds that bytes are under way, 0 or more. chunk_chance: of cutting a delivery, 0 to 1.
    buffer_bytes: of each direction.
    """

    __slots__ = ("buffer_bytes", "chunk_chance", "delay_from", "delay_spread", "random")

    def __init__(self, rng: Random, delay_from: float, delay_to: float, chunk_chance: float, buffer_bytes: int) -> None:
        self.random: Callable[[], float] = rng.random
        self.delay_from = delay_from
        self.delay_spread = delay_to - delay_from
        self.chunk_chance = chunk_chance
        self.buffer_bytes = buffer_bytes


class Pipe:
    """One direction of a link, from `writer` to `reader`. `reading` False: the receiver does not want bytes now."""

    __slots__ = (
        "_chunks",
        "_due",
        "_full",
        "_schedule",
        "closed",
        "frozen",
        "reader",
        "reading",
        "size",
        "weather",
        "writer",
    )

    def __init__(self, schedule: Schedule, weather: Weather, writer: End, reader: End) -> None:
        self._schedule = schedule
        self.weather = weather
        self.writer = writer
        self.reader = reader
        self._chunks: list[bytes] = []
        self.size = 0
        self._due = False
        self._full = False
        self.frozen = False
        self.reading = True
        self.closed = False

    def room(self) -> bool:
        """May the writer write? It is told by `writable` when it may again."""
        if self.size >= self.weather.buffer_bytes:
            self._full = True
            return False
        return True

    def write(self, data: bytes) -> None:
        """Take bytes from the writer; after the link's end they go nowhere. No bytes are nothing, and no end."""
        if self.closed or not data:
            return
        self._chunks.append(data)
        self.size += len(data)
        self.go()

    def finish(self) -> None:
        """The writer closes: the reader hears of it behind the last byte."""
        if not self.closed:
            self._chunks.append(b"")
            self.go()

    def go(self) -> None:
        """See to it that what is here gets delivered."""
        if self._chunks and not self._due and not self.frozen and self.reading:
            self._due = True
            weather = self.weather
            self._schedule.at(
                self._schedule.now + weather.delay_from + weather.delay_spread * weather.random(), self._deliver
            )

    def cut(self) -> None:
        """The link is gone: nothing is delivered any more."""
        self.closed = True
        self._chunks = []
        self.size = 0

    def _deliver(self, _: object) -> None:
        self._due = False
        if self.frozen or not self.reading or not self._chunks:
            return
        chunks, self._chunks = self._chunks, []
        if chunks[0] == b"":
            self.closed = True
            self.reader.lost()
            return
        data = chunks[0]
        if len(chunks) > 1:
            if chunks[-1] == b"":
                self._chunks.append(b"")
            data = b"".join(chunks)
        weather = self.weather
        if len(data) > 1 and weather.random() < weather.chunk_chance:
            at = 1 + int(weather.random() * (len(data) - 1))
            self._chunks.insert(0, data[at:])
            data = data[:at]
        self.size -= len(data)
        self.go()
        self.reader.receive(data)
        if self._full and self.size * 2 < weather.buffer_bytes and not self.closed:
            self._full = False
            self.writer.writable()


class Link:
    """A connection between a client's end and a server's end."""

    __slots__ = ("client", "down", "server", "up")

    def __init__(self, schedule: Schedule, weather: Weather, client: End, server: End) -> None:
        self.client = client
        self.server = server
        self.up = Pipe(schedule, weather, client, server)
        self.down = Pipe(schedule, weather, server, client)

    def freeze(self, frozen: bool) -> None:
        """Stall both directions, or let them go on."""
        for pipe in (self.up, self.down):
            pipe.frozen = frozen
            pipe.go()

    def cut(self) -> None:
        """The connection is gone; who is told, and when, is the caller's affair."""
        self.up.cut()
        self.down.cut()

    @property
    def gone(self) -> bool:
        """Nothing goes either way any more."""
        return self.up.closed and self.down.closed

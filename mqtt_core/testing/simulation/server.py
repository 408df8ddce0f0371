"""The broker as a process: it is started from a storage, serves links, commits, flushes, crashes.

Law: this is a driver like those in `mqtt_adapters`, in virtual time: inputs, then commit, flush, re-arm. It adds no
rule of the protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from mqtt_core.broker import Broker, BrokerConfig, ClientDisconnected, ClientHandler, ClientRefused, QueueOverflow
from mqtt_core.persistence import Journal
from mqtt_core.router.local import LocalSubscriber
from mqtt_core.session.connection import CLOSING
from mqtt_core.testing.simulation.disk import Committer
from mqtt_core.testing.simulation.links import Link
from mqtt_core.testing.simulation.storage import SimStorage
from mqtt_core.testing.simulation.tap import Tap
from mqtt_core.testing.simulation.wire import Cutter

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.world import World

__all__ = ["Server", "ServerEnd"]


class ServerEnd:
    """The broker's end of one link. tap: None for a client whose bytes are not watched (a hostile one)."""

    __slots__ = ("cutter", "gone", "handler", "link", "name", "server", "tap")

    link: Link

    def __init__(self, server: Server, name: str, tap: Tap | None) -> None:
        self.server = server
        self.name = name
        self.tap = tap
        self.gone = False
        self.cutter = Cutter()
        assert server.broker is not None
        self.handler: ClientHandler = server.broker.connection_made(server.world.schedule.now, self, name)

    def receive(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.gone:
            return
        world = self.server.world
        if self.tap is None:
            world.transcript.note(world.schedule.now, self.name, "to broker", data)
        else:
            frames = self.cutter.feed(data)
            said: object = b"".join(frames) if frames else f"{len(data)} bytes of a packet"
            world.transcript.note(world.schedule.now, self.name, "to broker", said)
            self.tap.inbound(frames)
        if self.handler.phase < CLOSING:  # a connection that is over tells the broker nothing, not even the time
            world.oracle.told_at = world.schedule.now
        self.handler.receive_data(data, world.schedule.now)
        self.follow_reading()
        self.server.wake()

    def lost(self) -> None:
        """The client has closed, or the broker's machine has noticed that it is gone."""
        if self.gone:
            return
        world = self.server.world
        world.transcript.note(world.schedule.now, self.name, "lost")
        self.handler.receive_eof(world.schedule.now)
        self._forget()
        self.server.wake()

    def writable(self) -> None:
        """The link has room again. Time may have passed without an input, so the broker is told."""
        broker = self.server.broker
        if not self.gone and broker is not None:
            self.server.world.oracle.told_at = self.server.world.schedule.now
            broker.handle_timer(self.server.world.schedule.now)
            self.flush()
            self.server.wake()

    def follow_reading(self) -> None:
        """Read as the handler wishes."""
        pipe = self.link.up
        if pipe.reading is self.handler.reading_paused:
            pipe.reading = not pipe.reading
            if pipe.reading:
                pipe.go()
            else:
                self.server.world.oracle.count("broker pauses reading")

    def flush(self) -> None:
        """Let go what may leave."""
        if self.gone:
            return
        handler = self.handler
        pipe = self.link.down
        if pipe.room():
            chunks = handler.data_to_send()
            if chunks:
                data = b"".join(chunks)
                world = self.server.world
                world.transcript.note(world.schedule.now, self.name, "from broker", data)
                if self.tap is not None and data:
                    self.tap.outbound(data)
                pipe.write(data)
            if handler.closing and not handler.aborted:
                pipe.finish()
                handler.receive_eof(self.server.world.schedule.now)
                self._forget()
                return
        if handler.aborted:
            handler.receive_eof(self.server.world.schedule.now)
            self.link.cut()
            self.server.world.tell_lost(self.link)
            self._forget()
            return
        self.follow_reading()

    def _forget(self) -> None:
        self.gone = True
        self.link.up.cut()
        self.server.ends.pop(self, None)
        if self.tap is not None:
            self.server.world.oracle.ended(self.tap)


class Server:
    """One broker over all its lives. broker: None while it is down."""

    def __init__(self, world: World, config: BrokerConfig, storage: SimStorage | None, rng: Random) -> None:
        self.world = world
        self.config = config
        self.storage = storage
        self.rng = rng
        self.broker: Broker | None = None
        self.committer: Committer | None = None
        self.ends: dict[ServerEnd, None] = {}
        self.life = 0
        self.dropped = 0
        self.commits = 0
        self._woken = False
        self._armed = 0.0
        self.tick_s = world.options.tick_s

    def start(self) -> None:
        """Boot from the storage."""
        self.life += 1
        storage = self.storage
        if storage is None:
            self.broker = Broker(self.config, rng=self.rng)
        else:
            self.broker = Broker(self.config, journal=Journal(), rng=self.rng, snapshot=storage.load())
            self.committer = Committer(self.world.schedule, self.broker, storage, self.wake, self._storage_failed)
        self._woken = False
        self._armed = 0.0
        self.world.transcript.note(self.world.schedule.now, "broker", "starts", f"life {self.life}")
        self.wake()

    def accept(self, name: str, tap: Tap | None, make_link: Callable[[ServerEnd], Link]) -> ServerEnd:
        """A client's transport has connected."""
        end = ServerEnd(self, name, tap)
        end.link = make_link(end)
        self.ends[end] = None
        self.wake()
        return end

    # -- the tick ----------------------------------------------------------------------

    def wake(self) -> None:
        """There is work: do it now, or with whatever else comes within a tick."""
        if self.tick_s and not self._woken:
            self._woken = True
            self.world.schedule.at(self.world.schedule.now + self.tick_s, self._tick_later, self.life)
        elif not self.tick_s:
            self.tick()

    def _tick_later(self, life: int) -> None:
        if life == self.life:
            self._woken = False
            self.tick()

    def tick(self) -> None:
        """Commit, flush, re-arm."""
        broker = self.broker
        if broker is None:
            return
        while True:
            if self.committer is not None:
                self.committer.pump()
                if self.broker is not broker:
                    return
            dirty = broker.take_dirty()
            if not dirty:
                break
            for pulled in dirty:
                assert not isinstance(pulled, LocalSubscriber)
                end = pulled.owner
                assert isinstance(end, ServerEnd)
                end.flush()
        for event in broker.take_events():
            if isinstance(event, QueueOverflow):
                self.world.oracle.overflow(event.client_id)
            elif isinstance(event, (ClientDisconnected, ClientRefused)):
                self.world.connection_over(event.client_id, event.reason_code, event.reason)
                for end in self.ends:
                    # What is left to write may take its time; for the session it is over now.
                    if end.name == event.client_id and end.handler.phase >= CLOSING and end.tap is not None:
                        self.world.oracle.ended(end.tap)
        deadline = broker.next_deadline()
        if deadline is not None and (not self._armed or deadline < self._armed):
            self._armed = deadline
            self.world.schedule.at(deadline, self._timer, (self.life, deadline))

    def _timer(self, argument: tuple[int, float]) -> None:
        life, deadline = argument
        if life != self.life or self.broker is None or deadline != self._armed:
            return
        self._armed = 0.0
        self.world.oracle.told_at = self.world.schedule.now
        self.broker.handle_timer(self.world.schedule.now)
        self.tick()

    # -- its end ----------------------------------------------------------------------

    def crash(self, why: str) -> None:
        """The process ends at once; its links break, its clients find out later."""
        world = self.world
        broker = self.broker
        if broker is None:
            return
        self.dropped += broker.counters.dropped_queue
        self.broker = None
        self.life += 1
        stamp = 0.0
        kept = False
        if self.committer is not None:
            self.commits += self.committer.commits
            self.committer.crash()
            self.committer = None
        if self.storage is not None:
            kept = self.storage.crash()
            stamp = self.storage.stamp
        world.transcript.note(world.schedule.now, "broker", "crashes", f"{why}; batch in flight kept: {kept}")
        world.oracle.crashed(stamp)
        for end in list(self.ends):
            end.gone = True
            end.link.up.cut()
            world.break_link(end.link)
        self.ends.clear()

    def dropped_total(self) -> int:
        """Messages dropped from full queues, over all lives."""
        return self.dropped + (self.broker.counters.dropped_queue if self.broker is not None else 0)

    def _storage_failed(self) -> None:
        self.world.oracle.count("storage failure")
        self.world.broker_crash("storage failure")

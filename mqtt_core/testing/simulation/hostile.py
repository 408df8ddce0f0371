"""Clients that mean no good, beside the others: garbage, broken packets, floods, and readers that never read.

Law: they keep to their own client identifiers and to topics below `hh/`, so whatever they do must not touch
anybody else. Their bytes are watched by nobody; the oracle judges by what the others see.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from mqtt_core.codec import ConnectPacket, PublishPacket, SubscribeFilter, SubscribePacket, encode
from mqtt_core.testing.simulation.links import Link

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.server import ServerEnd
    from mqtt_core.testing.simulation.world import World

__all__ = ["Hostile"]


class Hostile:
    """One of them: connects, does one bad thing after another, and connects again."""

    def __init__(self, world: World, name: str, rng: Random) -> None:
        self.world = world
        self.name = name
        self.rng = rng
        self.link: Link | None = None
        self.active = True

    def act(self, _: object = None) -> None:
        """Do something bad, and more of it later."""
        if not self.active:
            return
        schedule = self.world.schedule
        schedule.at(schedule.now + self.rng.random() * 2 * self.world.options.pause_s, self.act)
        if self.world.server.broker is None:
            return
        if self.link is None:
            self.world.server.accept(self.name, None, self._make_link)
            if self.rng.random() < 0.8:
                self._write(self._connect())
            return
        data = self._bad()
        if data and self.link is not None:
            self._write(data)

    def stop(self) -> None:
        """No more of it."""
        self.active = False
        self._leave()

    def _make_link(self, end: ServerEnd) -> Link:
        self.link = Link(self.world.schedule, self.world.weather, self, end)
        self.link.down.reading = self.rng.random() < 0.7
        return self.link

    def _write(self, data: bytes) -> None:
        assert self.link is not None
        self.link.up.write(data)

    def _connect(self) -> bytes:
        version = 5 if self.rng.random() < 0.5 else 4
        packet = ConnectPacket(self.name, version=version, clean_start=True, keep_alive_s=int(self.rng.random() * 3))
        return encode(packet, version)

    def _bad(self) -> bytes:
        rng = self.rng
        kind = int(rng.random() * 8)
        count = "hostile"
        if kind == 0:
            data = bytes(int(rng.random() * 256) for _ in range(int(rng.random() * 50)))
        elif kind == 1:
            data = b"\xc0\x00" * int(rng.random() * 500)
        elif kind == 2:
            data = encode(SubscribePacket(1, [SubscribeFilter("#", 2)]), 4)
            count = "hostile subscribes to everything"
        elif kind == 3:
            one = [
                encode(PublishPacket("hh/x", b"hostile", 2, packet_id=1 + i), 4) for i in range(int(rng.random() * 80))
            ]
            data = b"".join(one)
            count = "hostile floods"
        elif kind == 4:
            data = self._mutated(encode(PublishPacket("hhhh/x", b"hostile", 1, packet_id=7), 5))
        elif kind == 5:
            data = self._mutated(encode(SubscribePacket(1, [SubscribeFilter("hh/#", 1)]), 5))
        elif kind == 6:
            data = b"\x30\xff\xff\xff\x7f" + b"hostile" * 3
        else:
            self._leave()
            return b""
        self.world.oracle.count(count)
        return data

    def _mutated(self, data: bytes) -> bytes:
        at = int(self.rng.random() * len(data))
        return data[:at] + bytes([int(self.rng.random() * 256)]) + data[at + 1 :]

    def _leave(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.down.cut()
            link.up.finish()

    def receive(self, data: bytes) -> None:
        """It does not care."""

    def lost(self) -> None:
        """The broker has had enough."""
        self._leave()

    def writable(self) -> None:
        """It does not care."""

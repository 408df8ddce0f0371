"""What goes wrong in a world, when, and how it is healed.

Law: a fault is something that machines and networks really do. Bytes are delayed, held and lost from some byte on; a
process ends between two of its steps; a disk fails before or after it has written. Nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from mqtt_core.testing.simulation.links import Link

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.client import Client
    from mqtt_core.testing.simulation.server import ServerEnd
    from mqtt_core.testing.simulation.world import World

__all__ = ["Faults"]


class Faults:
    """Strikes at the rates of the options, from `start` to `stop`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = Random(f"faults/{world.options.seed}")
        self.active = False
        self.frozen: list[Link] = []

    def start(self) -> None:
        """Begin to strike."""
        self.active = True
        options = self.world.options
        for rate, strike in (
            (options.reset_rate, self._reset),
            (options.stall_rate, self._stall),
            (options.half_open_rate, self._half_open),
            (options.partition_rate, self._partition),
            (options.clog_rate, self._clog),
            (options.broker_crash_rate, self._crash_broker),
            (options.client_crash_rate, self._crash_client),
            (options.storage_fault_rate, self._fail_storage),
            (options.takeover_rate, self._take_over),
        ):
            if rate:
                self._plan(rate, strike)

    def stop(self) -> None:
        """Heal everything."""
        self.active = False
        for link in self.frozen:
            link.freeze(False)
        self.frozen.clear()
        self.world.cut_off.clear()
        if self.world.server.storage is not None:
            self.world.server.storage.fail_next = False
        for client in self.world.clients:
            if client.storage is not None:
                client.storage.fail_next = False
            if client.link is not None and (client.link.up.closed or client.link.down.closed):
                client.lost()
            elif client.server_end is not None and not client.server_end.gone and client.link is None:
                client.server_end.lost()

    def _plan(self, rate: float, strike: Callable[[], None]) -> None:
        self.world.schedule.at(self.world.schedule.now + self.rng.random() * 2.0 / rate, self._strike, (rate, strike))

    def _strike(self, argument: tuple[float, Callable[[], None]]) -> None:
        if self.active:
            rate, strike = argument
            self._plan(rate, strike)
            strike()

    def _client(self) -> Client:
        return self.world.clients[int(self.rng.random() * len(self.world.clients))]

    def _note(self, who: str, what: str) -> None:
        self.world.oracle.count(what)
        self.world.transcript.note(self.world.schedule.now, who, "FAULT", what)

    # -- the network ----------------------------------------------------------------------

    def _reset(self) -> None:
        """A connection breaks; both ends find out, each at its own time, and what was on its way is lost."""
        client = self._client()
        link = client.link
        if link is None:
            return
        self._note(client.name, "reset")
        link.cut()
        now = self.world.schedule.now
        self.world.schedule.at(now + self.rng.random() * 0.1, self.world.tell_lost, link)
        self.world.schedule.at(now + self.rng.random() * 0.1, _tell_server, client.server_end)

    def _half_open(self) -> None:
        """A connection breaks and one end does not notice."""
        client = self._client()
        link = client.link
        if link is None:
            return
        link.cut()
        if self.rng.random() < 0.5:
            self._note(client.name, "half-open at the broker")
            self.world.tell_lost(link)
        else:
            self._note(client.name, "half-open at the client")
            _tell_server(client.server_end)

    def _stall(self) -> None:
        link = self._client().link
        if link is not None:
            self._freeze([link], "stall", 0.1 + self.rng.random() * 20.0)

    def _clog(self) -> None:
        """Some links stop one by one, and go on in another order."""
        for client in self.world.clients:
            if client.link is not None and self.rng.random() < 0.5:
                self._freeze([client.link], "clog", 0.05 + self.rng.random() * 2.0)

    def _partition(self) -> None:
        """Some clients are cut off: nothing gets through, no new connection either."""
        names = [client.name for client in self.world.clients if self.rng.random() < 0.5]
        links = [client.link for client in self.world.clients if client.link is not None and client.name in names]
        self.world.cut_off.update(dict.fromkeys(names))
        seconds = self.rng.random() * 30.0
        self._freeze(links, "partition", seconds)
        self.world.schedule.at(self.world.schedule.now + seconds, self._join, names)

    def _join(self, names: list[str]) -> None:
        for name in names:
            self.world.cut_off.pop(name, None)

    def _freeze(self, links: list[Link], what: str, seconds: float) -> None:
        self._note("network", what)
        for link in links:
            link.freeze(True)
        self.frozen += links
        self.world.schedule.at(self.world.schedule.now + seconds, self._thaw, links)

    def _thaw(self, links: list[Link]) -> None:
        for link in links:
            if link in self.frozen:
                self.frozen.remove(link)
                if link not in self.frozen:
                    link.freeze(False)

    # -- processes and disks ----------------------------------------------------------------------

    def _crash_broker(self) -> None:
        self.world.broker_crash("fault")

    def _crash_client(self) -> None:
        client = self._client()
        if client.core is not None:
            self._note(client.name, "client crash" if client.storage is None else "client crash with a store")
            client.crash()
            self.world.restart_client(client)

    def _fail_storage(self) -> None:
        stores = [client.storage for client in self.world.clients if client.storage is not None]
        if self.world.server.storage is not None and (not stores or self.rng.random() < 0.5):
            self.world.server.storage.fail_next = True
        elif stores:
            stores[int(self.rng.random() * len(stores))].fail_next = True

    def _take_over(self) -> None:
        """A client gives its connection up without a word and connects again; the broker knows of the new one first."""
        client = self._client()
        link = client.link
        if link is not None and client.core is not None:
            self._note(client.name, "connection replaced")
            link.cut()
            self.world.tell_lost(link)


def _tell_server(end: ServerEnd | None) -> None:
    if end is not None:
        end.lost()

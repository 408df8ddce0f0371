"""A world: one broker, its clients, their links and storages, in virtual time, from one seed.

First the safety phase: the workload runs and faults strike, and no rule may ever be broken. Then the liveness phase:
all faults are healed, everybody comes back, and within bounded time everything owed has to be delivered. Then everybody
leaves for good, and nothing may be left.

    World(7).run()                                # all options drawn from the seed
    World(replace(draw(7), clients=2)).run()      # or one of them changed
"""

from __future__ import annotations

from random import Random

from mqtt_core.broker import BrokerConfig
from mqtt_core.testing.simulation.client import Client, make_config
from mqtt_core.testing.simulation.endings import check_limits, check_nothing_left, check_retained, roll_call
from mqtt_core.testing.simulation.faults import Faults
from mqtt_core.testing.simulation.hostile import Hostile
from mqtt_core.testing.simulation.links import Link, Weather
from mqtt_core.testing.simulation.options import Options, draw
from mqtt_core.testing.simulation.oracle import Oracle
from mqtt_core.testing.simulation.schedule import Schedule, Transcript
from mqtt_core.testing.simulation.server import Server
from mqtt_core.testing.simulation.storage import SimStorage
from mqtt_core.testing.simulation.workload import Workload

__all__ = ["World"]

EPOCH = 1_700_000_000.0
LIMIT_CHECKS = 10
SETTLE_S = 20.0
STILL_ROUNDS_MAX = 100
REST_STEPS_MAX = 5_000_000
"""Nothing is as slow as that: whoever is still busy then goes round in circles."""
HEALTHY_BUFFER_BYTES = 65_536

_EXPECTED_REASONS = {
    "connection closed by the peer",
    "DISCONNECT received",
    "session taken over",
    "keep alive timeout",
    "no CONNECT in time",
    "nothing drained within the send timeout",
}


class World:
    """Everything of one run. options: those of the world, or a seed to draw them from; its text names all that differ
    from the plain ones. cut_off: names of clients whose new connections fail."""

    def __init__(self, options: Options | int, transcript: Transcript | None = None) -> None:
        self.options = options = draw(options) if isinstance(options, int) else options
        self.transcript = transcript or Transcript(50)
        self.schedule = Schedule(EPOCH)
        self.cut_off: dict[str, None] = {}
        self.oracle = Oracle(
            self.schedule,
            durable=options.storage != "none",
            strict_resends=not options.client_packet_size,
            in_order=not (options.receive_maximum or options.outbox_bytes_max),
            expiry_v311_s=options.session_expiry_s,
            inflight_max=options.inflight_max or 1000,
        )
        self.weather = Weather(
            Random(f"weather/{options.seed}"),
            options.delay_from,
            options.delay_to,
            options.chunk_chance,
            options.buffer_bytes,
        )
        self.workload = Workload(self)
        storage = None
        if options.storage != "none":
            rng = Random(f"disk/{options.seed}")
            storage = SimStorage(rng, rows=options.storage == "rows", commit_s=options.commit_s)
        self.server = Server(self, _broker_config(options), storage, Random(f"broker/{options.seed}"))
        self.clients: list[Client] = []
        self.hostile = [
            Hostile(self, f"hostile{i}", Random(f"hostile/{options.seed}/{i}")) for i in range(options.hostile)
        ]
        self.faults = Faults(self)

    # -- the phases ----------------------------------------------------------------------

    def run(self) -> None:
        """Both phases; raises Violation, or whatever the core raised, when something is wrong."""
        self.server.start()
        rng = Random(f"clients/{self.options.seed}")
        for number in range(self.options.clients):
            self._add_client(f"c{number}", rng)
        for client in self.clients:
            client.start()
            self.schedule.at(self.schedule.now, self.workload.act, client)
        for hostile in self.hostile:
            self.schedule.at(self.schedule.now, hostile.act)
        self.faults.start()
        for _ in range(LIMIT_CHECKS):
            self.schedule.run(EPOCH + 1e9, self.options.steps // LIMIT_CHECKS)
            check_limits(self)
        self.transcript.note(self.schedule.now, "world", "heals")
        self.heal()
        self.rest()
        self.oracle.check_settled(self.server)
        if not self.options.outbox_bytes_max:
            roll_call(self)
        check_retained(self)
        check_nothing_left(self)

    def _add_client(self, name: str, rng: Random) -> None:
        options = self.options
        version = 5 if rng.random() < options.share_v5 else 4
        persistent = rng.random() < options.share_persistent
        stored = persistent and rng.random() < options.share_stored
        own = Random(f"client/{options.seed}/{name}")
        config = make_config(self, name, own, version=version, persistent=persistent, stored=stored)
        storage = None
        if stored:
            storage = SimStorage(own, rows=own.random() < 0.5, commit_s=options.commit_s)
        self.clients.append(Client(self, name, config, storage, own))

    def heal(self) -> None:
        """No fault any more; everybody comes back.

        Buffers get the size that real ones have: two ends that both wait for room to write before they read on would
        otherwise keep each other waiting, until one hangs up, and come back to the same.
        """
        self.workload.active = False
        self.faults.stop()
        self.weather.buffer_bytes = max(self.weather.buffer_bytes, HEALTHY_BUFFER_BYTES)
        for hostile in self.hostile:
            hostile.stop()
        if self.server.broker is None:
            self.server.start()
        for client in self.clients:
            if client.core is None:
                client.start()
            client.wake()

    def rest(self) -> None:
        """Let everything that is under way come to its end, however slow it is; standing still is what is wrong."""
        still = 0
        progress = -1
        last_step = self.schedule.steps + REST_STEPS_MAX
        while still < STILL_ROUNDS_MAX and self.schedule.steps < last_step:
            steps = self.schedule.steps
            self.schedule.run(self.schedule.now + SETTLE_S, 1_000_000)
            check_limits(self)
            if self._quiet() and self.schedule.steps - steps < 200 * (len(self.clients) + 1):
                return
            before, progress = progress, self._progress()
            still = still + 1 if progress == before else 0
        self.oracle.fault("the world does not come to rest: " + (self._unrest() or "it is busy with nothing"))

    def _progress(self) -> int:
        """Rises or falls with everything that gets done."""
        counts = self.oracle.counts
        done = sum(counts[f"delivered qos {qos}"] for qos in range(3)) + len(self.oracle.sessions)
        return done - sum(client.core.unacknowledged for client in self.clients if client.core is not None)

    def _quiet(self) -> bool:
        return not self._unrest()

    def _unrest(self) -> str:
        broker = self.server.broker
        assert broker is not None
        for client in self.clients:
            core = client.core
            if core is None or not core.connected:
                return f"{client.name} is not connected"
            if core.unacknowledged:
                return f"{client.name} has {core.unacknowledged} messages unacknowledged"
            session = self.oracle.sessions[client.name]
            if session.inflight and self.oracle.strict_resends:
                return f"{client.name} is still to answer {list(session.inflight.items())[:5]}"
        committer = self.server.committer
        if committer is not None and committer.owing:
            return "the broker is committing"
        for held in broker.sessions():
            if held.inflight and held.sink is not None:
                return f"{held.client_id} is still to answer {len(held.inflight)} messages"
        if broker.counters.queued_messages:
            return f"{broker.counters.queued_messages} messages are queued"
        return ""

    # -- what others need ----------------------------------------------------------------------

    def break_link(self, link: Link) -> None:
        """The other end of a link is dead: the client finds out, after the bytes that are on their way or without."""
        if self.faults.rng.random() < 0.5:
            link.down.finish()
        else:
            link.down.cut()
            self.schedule.at(self.schedule.now + self.faults.rng.random() * 0.1, self.tell_lost, link)

    @staticmethod
    def tell_lost(link: Link) -> None:
        """The client's end of a link learns that it is gone, unless it has another link by now."""
        client = link.client
        if isinstance(client, Client | Hostile) and client.link is link:
            client.lost()

    def broker_crash(self, why: str) -> None:
        """The broker dies, and comes back after a while."""
        self.oracle.count("broker crash")
        self.server.crash(why)
        life = self.server.life
        self.schedule.at(self.schedule.now + self.faults.rng.random() * 3.0, self._broker_back, life)

    def _broker_back(self, life: int) -> None:
        if self.server.broker is None and self.server.life == life:
            self.server.start()

    def restart_client(self, client: Client) -> None:
        """A client's process is down; it comes back after a while."""
        self.schedule.at(self.schedule.now + self.faults.rng.random() * 3.0, self._client_back, client)

    @staticmethod
    def _client_back(client: Client) -> None:
        if client.core is None:
            client.start()

    def connection_over(self, client_id: str, reason_code: int, reason: str) -> None:
        """The broker says that a connection is over: no client of the workload may be the cause."""
        if client_id.startswith("c") and client_id[1:].isdigit() and reason not in _EXPECTED_REASONS:
            self.oracle.fault(f"the broker dropped {client_id}: {reason_code:#04x} {reason}")


def _broker_config(options: Options) -> BrokerConfig:
    changed: dict[str, int] = {}
    for name in ("receive_maximum", "inflight_max", "queue_messages_max", "outbox_bytes_max", "max_packet_size"):
        value = getattr(options, name)
        if value:
            changed[name] = value
    return BrokerConfig(
        bulk_path=options.bulk,
        sys_interval_s=0,
        session_expiry_v311_s=options.session_expiry_s,
        topic_alias_maximum=options.topic_alias_maximum,
        outbound_topic_alias_max=options.topic_alias_maximum,
        **changed,  # type: ignore[arg-type]  # the fields of these names are numbers
    )

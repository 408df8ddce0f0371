"""A client as a process: a real `MqttClient`, its transport, its storage, and an application on top.

Law: this is a driver in virtual time, and an application that keeps to the documentation of `MqttClient`; what it is
given goes to the oracle at once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

from mqtt_core.client import (
    ClientConfig,
    Connected,
    ConnectionRefused,
    Disconnected,
    MessageReceived,
    MqttClient,
    OfflinePolicy,
    PublishCompleted,
    PublishFailed,
    SessionLost,
)
from mqtt_core.codec.error import LocalProtocolError
from mqtt_core.codec.packet import SubscribeFilter
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.types import V5, ReasonCode
from mqtt_core.persistence import Journal
from mqtt_core.testing.simulation.disk import Committer
from mqtt_core.testing.simulation.links import Link
from mqtt_core.testing.simulation.model import MessageModel
from mqtt_core.testing.simulation.storage import SimStorage
from mqtt_core.testing.simulation.tap import Tap

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.server import ServerEnd
    from mqtt_core.testing.simulation.world import World

__all__ = ["Client", "make_config"]

_EXPECTED_ENDS: Final = {
    "the connection was closed by the peer",
    "disconnected by the host",
    "no CONNACK in time",
    "no answer to PINGREQ in time",
    "connection refused",
}
_EXPECTED_CODES: Final = {
    ReasonCode.SESSION_TAKEN_OVER.value,
    ReasonCode.KEEP_ALIVE_TIMEOUT.value,
    ReasonCode.SERVER_SHUTTING_DOWN.value,
    ReasonCode.UNSPECIFIED_ERROR.value,
}


class Client:
    """One client of the workload over all its lives. core: None while its process is down.

    awake: it wants to be connected. config: of all its lives, but that one without storage starts clean after a crash.
    """

    def __init__(self, world: World, name: str, config: ClientConfig, storage: SimStorage | None, rng: Random) -> None:
        self.world = world
        self.name = name
        self.config = config
        self.storage = storage
        self.rng = rng
        self.core: MqttClient | None = None
        self.committer: Committer | None = None
        self.link: Link | None = None
        self.server_end: ServerEnd | None = None
        self.tap: Tap | None = None
        self.awake = True
        self.purging = False
        self.life = 0
        self.tokens: dict[int, MessageModel] = {}
        self._earlier: dict[int, MessageModel] = {}
        self._completed: list[MessageModel] = []
        self._completing: list[MessageModel] = []
        self.received: Counter[int] = Counter()
        self._unsaved: Counter[int] = Counter()
        self._saving: Counter[int] = Counter()
        self._armed = 0.0

    # -- its process ----------------------------------------------------------------------

    def start(self) -> None:
        """Boot, from the storage if it has one."""
        self.life += 1
        self._armed = 0.0
        self.tokens = {}
        if self.storage is None:
            config = self.config
            if self.life > 1 and config.persistent:
                # What the server kept for an earlier life means nothing to this one: it is discarded first.
                self.purging = config.version != V5
                config = replace(config, clean_start=True)
            self.core = MqttClient(config, rng=self.rng)
        else:
            self.core = MqttClient(self.config, rng=self.rng, journal=Journal(), snapshot=self.storage.load())
            self.committer = Committer(self.world.schedule, self.core, self.storage, self._saved, self._storage_failed)
        self.world.transcript.note(self.world.schedule.now, self.name, "starts", f"life {self.life}")
        self.try_connect((self.life, True))

    def crash(self) -> None:
        """The process ends at once. The operating system closes its transport, behind what it has taken."""
        if self.core is None:
            return
        self.world.transcript.note(self.world.schedule.now, self.name, "crashes")
        self.core = None
        self.life += 1
        if self.committer is not None:
            self.committer.crash()
            self.committer = None
        if self.storage is not None:
            self.storage.crash()
            # What it had published it publishes on, in its next life, if it remembers; its tokens it does not.
            unsettled = (*self.tokens.values(), *self._completed, *self._completing)
            self._earlier.update({message.number: message for message in unsettled})
            self._completed = []
            self._completing = []
            self.world.oracle.forgive(self.name, self._unsaved + self._saving + self.received)
        self._unsaved = Counter()
        self._saving = Counter()
        self.received = Counter()
        self.drop_link()

    def _storage_failed(self) -> None:
        self.world.oracle.count("client storage failure")
        self.crash()
        self.world.restart_client(self)

    def _saved(self) -> None:
        self._saving = Counter()
        self._completing = []
        self.tick()

    def drop_link(self) -> None:
        """This end closes."""
        link, self.link = self.link, None
        if link is not None:
            link.down.cut()
            link.up.finish()

    # -- its transport ----------------------------------------------------------------------

    def try_connect(self, argument: tuple[int, bool]) -> None:
        """Connect, if this life still wants to and has no connection."""
        life, first = argument
        core = self.core
        if core is None or life != self.life or not self.awake or self.link is not None:
            return
        now = self.world.schedule.now
        if not first and (core.reconnect_at is None or now < core.reconnect_at):
            return
        server = self.world.server
        if server.broker is None or self.name in self.world.cut_off:
            core.connect_failed("connection refused", now)
            self.world.oracle.count("connect failed")
        else:
            self.tap = Tap(self.world.oracle)
            self.server_end = server.accept(self.name, self.tap, self._make_link)
            self.world.transcript.note(now, self.name, "connects")
            core.connect(now)
        self.tick()

    def _make_link(self, end: ServerEnd) -> Link:
        self.link = Link(self.world.schedule, self.world.weather, self, end)
        return self.link

    def receive(self, data: bytes) -> None:
        """Bytes from the broker."""
        core = self.core
        if core is None or self.link is None:
            return
        self.world.transcript.note(self.world.schedule.now, self.name, "receives", f"{len(data)} bytes")
        core.receive_data(data, self.world.schedule.now)
        self.tick()

    def lost(self) -> None:
        """The connection is gone."""
        if self.core is None or self.link is None:
            return
        self.world.transcript.note(self.world.schedule.now, self.name, "lost link")
        self.drop_link()
        self.core.receive_eof(self.world.schedule.now)
        self._come_back(self.core)
        self.tick()

    def _come_back(self, core: MqttClient) -> None:
        """Connect again, if that is wanted; the core says when, unless this end had said goodbye."""
        if self.awake:
            when = core.reconnect_at or self.world.schedule.now + 0.5
            self.world.schedule.at(when, self.try_connect, (self.life, True))

    def writable(self) -> None:
        """The link has room again."""
        self.tick()

    # -- the tick ----------------------------------------------------------------------

    def tick(self) -> None:
        """Tell the application, commit, flush, re-arm."""
        core = self.core
        while core is not None:
            for event in core.take_events():
                if isinstance(event, MessageReceived):
                    self._on_message(event)
                elif isinstance(event, PublishCompleted):
                    self._on_completed(event)
                else:
                    self._on_rare(event)
                if self.core is not core:
                    return
            if self.committer is not None:
                self._commit(self.committer)
                if self.core is not core:
                    return
            link = self.link
            if link is None or not self._flush(core, link):
                break
        if core is None:
            return
        if self.link is not None:
            pipe = self.link.down
            if pipe.reading is core.reading_paused:
                pipe.reading = not pipe.reading
                pipe.go()
                self.world.oracle.count("client pauses reading")
        deadline = core.next_deadline()
        if deadline is not None and (not self._armed or deadline < self._armed):
            self._armed = deadline
            self.world.schedule.at(deadline, self._timer, (self.life, deadline))

    def _commit(self, committer: Committer) -> None:
        """Start a commit; what it holds is safe when it has ended."""
        taken = committer.taken
        committer.pump()
        if committer.taken != taken:
            self._saving, self._unsaved = self._unsaved, Counter()
            self._completing, self._completed = self._completed, []
            if not committer.busy:
                self._saving = Counter()
                self._completing = []

    def _flush(self, core: MqttClient, link: Link) -> bool:
        """Write what may leave; True when that was the end of the connection, of which there is something to tell."""
        if not link.up.room():
            return False
        chunks = core.data_to_send()
        if chunks:
            link.up.write(b"".join(chunks))
        if not core.closing:
            return False
        now = self.world.schedule.now
        self.drop_link()
        core.receive_eof(now)
        self._come_back(core)
        return True

    def _timer(self, argument: tuple[int, float]) -> None:
        life, deadline = argument
        if self.core is None or life != self.life or deadline != self._armed:
            return
        self._armed = 0.0
        self.core.handle_timer(self.world.schedule.now)
        self.tick()

    # -- its application ----------------------------------------------------------------------

    def _on_message(self, event: MessageReceived) -> None:
        assert self.tap is not None
        oracle = self.world.oracle
        oracle.deliveries.delivered(self.tap, event)
        if event.qos == 2 and self.storage is not None and event.payload:
            number = oracle.number_of(event.payload)
            (self.received if event.token else self._unsaved)[number] += 1
        if event.token:
            self.world.schedule.at(
                self.world.schedule.now + self.rng.random() * 2 * self.world.options.pause_s,
                self._acknowledge,
                (self.life, event.token, oracle.number_of(event.payload)),
            )

    def _acknowledge(self, argument: tuple[int, int, int]) -> None:
        life, token, number = argument
        if self.core is not None and life == self.life:
            if self.received[number]:
                self.received[number] -= 1
                self._unsaved[number] += 1
            self.core.acknowledge(token, now=self.world.schedule.now)
            self.tick()

    def _on_completed(self, event: PublishCompleted) -> None:
        message = self.tokens.pop(event.token, None)
        if message is not None and message.qos and not message.acks:
            self.world.oracle.fault(f"{self.name}: {message!r} is complete, but was never acknowledged")
        if message is not None and self.storage is not None:
            self._completed.append(message)

    def _on_rare(self, event: object) -> None:
        oracle = self.world.oracle
        core = self.core
        assert core is not None
        if isinstance(event, Disconnected):
            if event.reason not in _EXPECTED_ENDS and not (event.by_server and event.reason_code in _EXPECTED_CODES):
                oracle.fault(f"{self.name} was disconnected: {event}")
            oracle.count(f"disconnected {event.reason_code:#04x}")
        elif isinstance(event, ConnectionRefused):
            oracle.fault(f"{self.name} was refused: {event}")
        elif isinstance(event, SessionLost):
            oracle.publisher_lost_session([*self.tokens.values(), *self._earlier.values()])
            self._earlier = {}
        elif isinstance(event, PublishFailed):
            oracle.count("publish failed")
        if isinstance(event, Connected) and self.tap is not None and self.tap.session is not None:
            self.tap.session.told = True
        if isinstance(event, Connected) and self.purging:
            self.purging = False
            core.disconnect(self.world.schedule.now)
            self.world.schedule.at(self.world.schedule.now, self._purged, self.life)
            return
        if isinstance(event, (Disconnected, ConnectionRefused)) and self.awake:
            if core.reconnect_at is None:
                # Taken over by itself, or told to go: the application wants to be connected all the same.
                self.world.schedule.at(self.world.schedule.now + 1.0, self.try_connect, (self.life, True))
            else:
                self.world.schedule.at(core.reconnect_at, self.try_connect, (self.life, False))

    def _purged(self, life: int) -> None:
        if life == self.life and self.core is not None:
            self.core = MqttClient(self.config, rng=self.rng)
            self.tokens = {}
            self.life += 1
            self._armed = 0.0
            self.drop_link()
            self.try_connect((self.life, True))

    def publish(self, message: MessageModel, properties: Properties = NO_PROPERTIES, *, empty: bool = False) -> None:
        """Publish a message of the workload, or (empty) delete what is retained on its topic."""
        core = self.core
        if core is None:
            return
        payload = b"" if empty else message.payload
        try:
            token = core.publish(
                message.topic,
                payload,
                qos=message.qos,
                retain=message.retain,
                properties=properties,
                now=self.world.schedule.now,
            )
        except LocalProtocolError:
            self.world.oracle.count("publish not accepted")
            return
        self.world.transcript.note(self.world.schedule.now, self.name, "publish", repr(message))
        if message.qos and not empty:
            self.tokens[token] = message
        self.tick()

    def subscribe(self, wanted: SubscribeFilter, identifier: int) -> None:
        """Subscribe to one filter."""
        core = self.core
        if core is None:
            return
        properties = Properties(subscription_identifiers=(identifier,)) if identifier else NO_PROPERTIES
        self.world.transcript.note(self.world.schedule.now, self.name, "subscribe", repr(wanted))
        core.subscribe([wanted], properties=properties, now=self.world.schedule.now)
        self.tick()

    def unsubscribe(self, name: str) -> None:
        """Give one filter back."""
        if self.core is not None:
            self.world.transcript.note(self.world.schedule.now, self.name, "unsubscribe", name)
            self.core.unsubscribe([name], now=self.world.schedule.now)
            self.tick()

    def sleep(self, seconds: float) -> None:
        """Say goodbye, and come back later."""
        if self.core is None:
            return
        self.awake = False
        self.core.disconnect(self.world.schedule.now)
        self.tick()
        self.world.schedule.at(self.world.schedule.now + seconds, self.wake)

    def wake(self, _: object = None) -> None:
        """Want to be connected."""
        if not self.awake:
            self.awake = True
            self.try_connect((self.life, True))


def make_config(world: World, name: str, rng: Random, *, version: int, persistent: bool, stored: bool) -> ClientConfig:
    """The settings of a client, drawn from the options of its world."""
    options = world.options
    will = None
    if rng.random() < options.wills:
        will = world.workload.make_will(name, rng, version)
    small = options.client_receive_maximum
    return ClientConfig(
        client_id=name,
        version=version,
        clean_start=not persistent if version != V5 else not stored and rng.random() < 0.5,
        session_expiry_s=options.session_expiry_s if persistent and version == V5 else 0,
        keep_alive_s=options.keep_alive_s,
        will=will,
        receive_maximum=small or 1000,
        maximum_packet_size=(version == V5 and options.client_packet_size) or 1 << 20,
        topic_alias_maximum=options.topic_alias_maximum,
        outbound_aliases_max=options.topic_alias_maximum,
        manual_ack=rng.random() < options.share_manual,
        offline=OfflinePolicy.PERSIST if stored and rng.random() < 0.5 else OfflinePolicy.QUEUE,
        inbound_messages_max=options.client_inbound_max or 10_000,
        reconnect_max_s=5.0,
        reconnect_min_s=0.1,
    )

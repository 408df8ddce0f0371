"""The broker: several clients, right and wrong ones, towards one `Broker` whose storage commits when it likes.

What must hold, whatever is sent and in whatever order writes, reads, commits and time come: nothing raises, what leaves
can be decoded by its client and is not larger than the client takes, no limit of the configuration is passed, and a 5.0
client that is thrown out is told with a reason code that a server may use.

Half of the inputs run under small limits. The others run under limits that are never reached, against two brokers, of
which one gets every chunk byte by byte: both have to say the same. (What waits for room or to be replayed goes on at
the end of a chunk, so that a frame which makes room ends one here.)
"""

from __future__ import annotations

from random import Random
from typing import Any

from mqtt_core.broker import Broker, BrokerConfig
from mqtt_core.codec import (
    ConnackPacket,
    DisconnectPacket,
    MqttDecoder,
    MqttError,
    Packet,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    encode,
)
from mqtt_core.codec.reason_codes import DISCONNECT_BY_SERVER, REASON_CODES
from mqtt_core.codec.types import CONNACK, CONNECT, PUBACK, PUBCOMP, PUBREC, SUBSCRIBE, V5
from mqtt_core.persistence import Journal
from mqtt_core.session.message import Message
from tests.fuzz.choices import Choices
from tests.fuzz.packets import PAYLOADS, TOPICS, client_packet, connect, wire

NAMES = ["one", "two", "three"]
CONNECTIONS_MAX = 5
STEPS_MAX = 200
SLACK = 4096  # bytes that an outbox may be above its limit, beside four for each byte that came in since it was emptied
CONNACK_ROOM = 100  # a client that takes smaller packets may have to be refused without a word


class Line:
    """One connection, towards one broker (`sides` 1) or the same towards both."""

    def __init__(self, scene: Scene, version: int) -> None:
        self.scene = scene
        self.version = version
        self.handlers = [broker.connection_made(scene.now) for broker in scene.brokers]
        self.decoder = MqttDecoder(version)
        self.owed: list[Packet] = []
        self.last: Packet | None = None
        self.fed = 0
        self.gone = False

    def feed_parts(self, parts: list[bytes]) -> None:
        """Several frames, in one chunk where the two brokers can be compared."""
        if len(self.handlers) > 1 and any(self.makes_room(part) for part in parts):
            for part in parts:
                self.feed(part)
        else:
            self.feed(b"".join(parts))

    def makes_room(self, part: bytes) -> bool:
        """Behind this frame a broker goes on with what waits, at the end of the chunk: nothing may come in between."""
        if part[:1] and part[0] >> 4 in {CONNECT, SUBSCRIBE}:
            return True
        session = self.handlers[0].session
        if session is None or self.handlers[0].reader.pending:
            return True
        return session.outgoing.limit <= 10 and bool(part) and part[0] >> 4 in {PUBACK, PUBREC, PUBCOMP}

    def feed(self, data: bytes) -> None:
        first = self.handlers[0]
        if self.gone or not data or first.reading_paused or first.closing:
            return
        self.fed += len(data)
        first.receive_data(data, self.scene.now)
        for other in self.handlers[1:]:
            for i in range(len(data)):
                other.receive_data(data[i : i + 1], self.scene.now)

    def read(self) -> None:
        """Take what leaves, look at it and note the answers it asks for."""
        if self.gone:
            return
        news = [b"".join(handler.data_to_send()) for handler in self.handlers]
        assert all(other == news[0] for other in news), news
        self.fed = 0
        handler = self.handlers[0]
        self.decoder.version = handler.version or 4  # a version it does not speak is answered in 3.1.1
        self.decoder.feed(news[0])
        while (packet := self.decoder.next_packet()) is not None:
            self.look(packet, handler.packet_size_max)
        assert self.decoder.reader.pending == 0, "half a packet"
        assert all(other.closing == handler.closing for other in self.handlers)
        if handler.closing:
            self.check_end()
            self.leave()

    def look(self, packet: Packet, size_max: int) -> None:
        assert self.last is not None or isinstance(packet, ConnackPacket) or packet.packet_type == 15, packet
        assert not isinstance(self.last, DisconnectPacket), "a packet behind DISCONNECT"
        self.last = packet
        if size_max:
            assert len(encode(packet, self.decoder.version)) <= size_max, packet
        if isinstance(packet, PublishPacket) and packet.qos:
            self.owed.append((PubackPacket if packet.qos == 1 else PubrecPacket)(packet.packet_id))
        elif isinstance(packet, PubrecPacket) and packet.reason_code < 0x80:
            self.owed.append(PubrelPacket(packet.packet_id))
        elif isinstance(packet, PubrelPacket):
            self.owed.append(PubcompPacket(packet.packet_id))

    def check_end(self) -> None:
        """A 5.0 connection that the broker ended got a code for it."""
        handler = self.handlers[0]
        last = self.last
        if handler.version != V5 or handler.aborted or 0 < handler.packet_size_max < CONNACK_ROOM:
            return
        if isinstance(last, ConnackPacket) and last.reason_code:
            assert last.reason_code in REASON_CODES[CONNACK], last
            return
        if isinstance(last, DisconnectPacket):
            assert last.reason_code in DISCONNECT_BY_SERVER, last
            assert last.reason_code >= 0x80, last
            return
        # Left without a word: the client ended it itself, or has been taken over before its CONNACK was committed.
        assert handler.reason == "DISCONNECT received" or self.ended_by_client(), (handler.reason, last)

    def ended_by_client(self) -> bool:
        handler = self.handlers[0]
        return handler.reason_code < 0x80 or (self.last is None and handler.reason == "session taken over")

    def answer(self) -> list[bytes]:
        owed, self.owed = self.owed, []
        return [encode(packet, self.version) for packet in owed]

    def leave(self) -> None:
        """The transport goes away."""
        if not self.gone:
            self.gone = True
            for handler in self.handlers:
                handler.receive_eof(self.scene.now)


class Scene:
    """The brokers of one input, their time and the connections."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        shape = choices.byte()
        small = bool(shape & 1)
        limits: dict[str, Any] = {}
        if small:
            limits = {
                "outbox_bytes_max": choices.pick([300, 2000]),
                "queue_messages_max": choices.pick([2, 20]),
                "queue_bytes_max": choices.pick([400, 4000]),
                "all_queues_bytes_max": choices.pick([500, 8000]),
                "inflight_max": choices.pick([1, 2, 10]),
                "receive_maximum": choices.pick([1, 3, 20]),
                "retained_messages_max": 2,
                "sessions_max": choices.pick([3, 10]),
                "subscriptions_max": choices.pick([2, 10]),
                "max_connections": choices.pick([2, 10]),
                "max_packet_size": choices.pick([300, 10_000]),
                "connect_packet_size_max": 300,
                "topic_alias_maximum": 2,
                "route_cache_max": 2,
                "events_max": 5,
                "waiting_bytes_max": 200,
                "maximum_qos": choices.pick([2, 2, 1]),
            }
        stored = bool(shape & 2)
        self.brokers = [
            Broker(BrokerConfig(sys_interval_s=0.0, **limits), journal=Journal(stored), rng=Random(1))
            for _ in range(1 if small else 2)
        ]
        self.now = 1000.0
        self.lines: list[Line] = []

    def connect(self) -> None:
        """A new client; nearly always it says CONNECT, nearly always a right one."""
        choices = self.choices
        version = choices.pick([5, 4])
        line = Line(self, version)
        self.lines.append(line)
        if not choices.one_in(16):
            line.feed(wire(choices, version, connect(choices, version, NAMES)))

    def step(self) -> None:
        choices = self.choices
        action = choices.below(16)
        lines = self.lines
        if not lines or (action == 0 and len(lines) < CONNECTIONS_MAX):
            self.connect()
            return
        line = lines[choices.below(len(lines))]
        if action < 7:
            parts = [self.frame(line) for _ in range(choices.pick([1, 1, 2, 6]))]
            line.feed_parts(parts)
        elif action < 10:
            line.read()
        elif action == 10:
            line.feed_parts(line.answer())
        elif action < 13:
            self.commit()
        elif action == 13:
            self.wait(choices.pick([0.001, 1.0, 100.0]))
        elif action == 14:
            topic, payload = choices.pick(TOPICS[:5]), choices.pick(PAYLOADS)
            qos, retain = choices.below(3), choices.one_in(3)
            for broker in self.brokers:
                broker.publish(Message(topic, payload, qos, retain), self.now)
        elif choices.one_in(3):
            line.leave()
        self.lines = [line for line in lines if not line.gone]

    def frame(self, line: Line) -> bytes:
        packet = client_packet(self.choices, line.version, NAMES)
        return wire(self.choices, line.version, packet)

    def commit(self) -> None:
        for broker in self.brokers:
            batch = broker.take_writes()
            if batch is not None:
                broker.writes_committed(batch.number)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for broker in self.brokers:
            broker.take_dirty()
            broker.next_deadline()
            broker.handle_timer(self.now)

    def check(self) -> None:
        """No limit has been passed."""
        broker = self.brokers[0]
        config = broker.config
        waiting = 0
        for session in broker.sessions():
            assert session.queued() <= config.queue_messages_max, session
            assert session.queue_bytes <= config.queue_bytes_max, session
            assert len(session.inflight) <= config.inflight_max, session
            if session.version == V5:
                assert session.incoming.occupied() <= config.receive_maximum, session
            assert len(session.subscriptions) <= config.subscriptions_max, session
            waiting += session.queue_bytes
        assert waiting <= config.all_queues_bytes_max, waiting
        assert len(list(broker.sessions())) <= config.sessions_max
        assert len(broker.retained()) <= config.retained_messages_max
        for line in self.lines:
            outbox = line.handlers[0].outbox
            assert outbox.size <= config.outbox_bytes_max + SLACK + 4 * line.fed, outbox.size

    def settle(self) -> None:
        """Everything that can leave leaves, and the brokers are in the same state."""
        for _ in range(6):
            self.commit()
            for line in self.lines:
                line.read()
                line.feed_parts(line.answer())
            self.wait(0.001)
        self.check()
        views = [
            [(s.client_id, sorted(s.inflight), s.queued(), sorted(s.subscriptions)) for s in broker.sessions()]
            for broker in self.brokers
        ]
        assert all(view == views[0] for view in views), views
        for broker in self.brokers:
            broker.shutdown(self.now)
            broker.take_events()
        self.commit()
        for line in self.lines:
            line.read()


def run(data: bytes) -> None:
    choices = Choices(data)
    scene = Scene(choices)
    scene.connect()
    scene.connect()
    for _ in range(STEPS_MAX):
        if not choices.more():
            break
        try:
            scene.step()
        except MqttError as error:
            raise AssertionError("an input of the broker raised") from error
        scene.check()
    scene.settle()


def seeds() -> list[bytes]:
    """Bytes of chance: half of them under small limits."""
    rng = Random(1)
    return [bytes([kind]) + rng.randbytes(size) for kind in range(4) for size in (50, 200, 600)]

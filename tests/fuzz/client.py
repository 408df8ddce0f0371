"""The client: an `MqttClient` whose host asks for what it likes and whose server is not to be trusted.

What must hold: no input of the server raises, a verb of the host raises nothing but an MqttError, what leaves can be
decoded, every attempt to connect ends in one event, queues and windows stay within their limits, and a client that is
fed byte by byte says and reports what another says that gets everything in one chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mqtt_core.client import ClientConfig, ConnectionRefused, Disconnected, MessageReceived, MqttClient
from mqtt_core.codec import ConnectPacket, MqttDecoder, MqttError, SubscribeFilter
from mqtt_core.persistence import Journal
from tests.fuzz.choices import Choices
from tests.fuzz.packets import FILTERS, PAYLOADS, TOPICS, connack, server_packet, wire

STEPS_MAX = 200
SLACK = 4096


class Pair:
    """The same client twice: one is fed whole chunks, the other single bytes."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        shape = choices.byte()
        self.version = 5 if shape & 1 else 4
        keep = bool(shape & 2)
        self.stored = keep and bool(shape & 4)
        self.config = ClientConfig(
            client_id="c",
            version=self.version,
            clean_start=not keep,
            session_expiry_s=100 if keep and self.version == 5 else 0,
            keep_alive_s=choices.pick([60, 0, 1]),
            manual_ack=bool(shape & 8),
            receive_maximum=choices.pick([2, 10, 1000]),
            maximum_packet_size=choices.pick([300, 10_000]),
            topic_alias_maximum=choices.pick([2, 0]),
            inflight_max=choices.pick([1, 5]),
            outbound_aliases_max=choices.pick([2, 0]),
            queue_messages_max=choices.pick([3, 20]),
            queue_bytes_max=1000,
            requests_max=choices.pick([1, 10]),
            authentication_method="M" if self.version == 5 and shape & 16 else None,
        )
        self.clients = [MqttClient(self.config, rng=Random(1), journal=Journal(self.stored)) for _ in range(2)]
        self.decoder = MqttDecoder(self.version)
        self.now = 1000.0
        self.fed = 0
        self.linked = False
        self.attempts = 0
        self.ends = 0
        self.tokens: list[int] = []

    def both(self, verb: Callable[[MqttClient], object]) -> None:
        """The host asks for something; it may be refused."""
        answers: list[object] = []
        for client in self.clients:
            try:
                answers.append(verb(client))
            except MqttError as error:
                answers.append((type(error), error.reason_code))
        assert answers[0] == answers[1], answers

    def connect(self) -> None:
        self.linked = True
        self.attempts += 1
        self.decoder = MqttDecoder(self.version)
        for client in self.clients:
            client.connect(self.now)
        self.read()

    def feed(self, data: bytes) -> None:
        if not data or self.clients[0].reading_paused:
            return
        self.fed += len(data)
        self.clients[0].receive_data(data, self.now)
        for i in range(len(data)):
            self.clients[1].receive_data(data[i : i + 1], self.now)

    def read(self) -> None:
        news = [b"".join(client.data_to_send()) for client in self.clients]
        assert news[0] == news[1], news
        self.fed = 0
        self.decoder.feed(news[0])
        while (packet := self.decoder.next_packet()) is not None:
            assert packet.packet_type not in {2, 9, 11, 13}, packet
            assert self.config.authentication_method or not isinstance(packet, ConnectPacket) or packet.client_id
        assert self.decoder.reader.pending == 0, "half a packet"
        assert self.clients[0].closing == self.clients[1].closing
        if self.clients[0].closing:
            self.leave()

    def leave(self) -> None:
        self.linked = False
        for client in self.clients:
            client.receive_eof(self.now)
        self.events()

    def events(self) -> None:
        events = [client.take_events() for client in self.clients]
        assert events[0] == events[1], events
        for event in events[0]:
            if isinstance(event, ConnectionRefused | Disconnected):
                self.ends += 1
            elif isinstance(event, MessageReceived) and event.token:
                self.tokens.append(event.token)
        assert self.ends <= self.attempts, events

    def host(self) -> None:
        """One wish of the host."""
        choices = self.choices
        now = self.now
        wish = choices.below(8)
        if wish < 3:
            topic, payload = choices.pick(TOPICS), choices.pick(PAYLOADS)
            qos, retain = choices.below(3), choices.one_in(4)
            self.both(lambda client: client.publish(topic, payload, qos=qos, retain=retain, now=now))
        elif wish < 5:
            wanted = [(choices.pick(FILTERS), choices.below(3)) for _ in range(choices.pick([1, 2]))]
            self.both(lambda client: client.subscribe([SubscribeFilter(*each) for each in wanted], now=now))
        elif wish == 5:
            names = [choices.pick(FILTERS)]
            self.both(lambda client: client.unsubscribe(names, now=now))
        elif wish == 6:
            token = self.tokens.pop(choices.below(len(self.tokens))) if self.tokens else choices.byte()
            code = choices.pick([0, 0, 0x80, 0x92])
            self.both(lambda client: client.acknowledge(token, reason_code=code, now=now))
        elif choices.one_in(3):
            code = choices.pick([0, 4, 0x8D])
            self.both(lambda client: client.disconnect(now, reason_code=code))
        elif choices.one_in(2):
            self.both(lambda client: client.authenticate(b"d", now=now))
        else:
            self.both(lambda client: client.reauthenticate(b"d", now=now))

    def step(self) -> None:
        choices = self.choices
        action = choices.below(16)
        if action < 6:
            parts = [
                wire(choices, self.version, server_packet(choices, self.version))
                for _ in range(choices.pick([1, 1, 3]))
            ]
            self.feed(b"".join(parts))
        elif action < 10:
            self.host()
        elif action < 12:
            self.read()
        elif action == 12:
            self.events()
        elif action == 13:
            self.commit()
        elif action == 14:
            self.now += choices.pick([0.001, 1.0, 100.0])
            for client in self.clients:
                client.handle_timer(self.now)
        elif self.linked:
            if choices.one_in(3):
                self.leave()
        else:
            self.connect()
            self.feed(wire(choices, self.version, connack(choices, self.version)))

    def commit(self) -> None:
        for client in self.clients:
            batch = client.take_writes()
            if batch is not None:
                client.writes_committed(batch.number)

    def check(self) -> None:
        config = self.config
        for client in self.clients:
            assert client.unacknowledged <= config.queue_messages_max + config.inflight_limit, client.unacknowledged
            kept = config.queue_bytes_max + 1000 * config.inflight_limit
            assert client.outbox_bytes <= kept + SLACK * 8 + 4 * self.fed, client.outbox_bytes
            assert (client.next_deadline() or self.now) > 0


def run(data: bytes) -> None:
    choices = Choices(data)
    pair = Pair(choices)
    pair.connect()
    pair.feed(wire(choices, pair.version, connack(choices, pair.version)))
    for _ in range(STEPS_MAX):
        if not choices.more():
            break
        pair.step()
        pair.check()
    for _ in range(3):
        pair.commit()
        pair.read()
        pair.events()
    pair.leave()
    pair.events()
    assert pair.ends == pair.attempts, "an attempt without an end"


def seeds() -> list[bytes]:
    """Bytes of chance for every shape of a client."""
    rng = Random(2)
    return [bytes([shape]) + rng.randbytes(size) for shape in range(32) for size in (100, 400)]

"""Two paths, one meaning: the same traffic through the bulk path and through the object path alone.

Each run drives two brokers, equal but for `bulk_path`, with the same random inputs, cut and joined at random, under
small limits, with readers that pause, commits that are late and subscriptions that change, and demands the same
bytes on every connection, the same state of every session and the same counters.
"""

from __future__ import annotations

from random import Random

import pytest

from mqtt_core.broker import Broker, BrokerConfig, ClientHandler
from mqtt_core.codec import (
    ConnectPacket,
    DisconnectPacket,
    MqttDecoder,
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubscribeFilter,
    SubscribePacket,
    UnsubscribePacket,
    encode,
)
from mqtt_core.persistence import Journal

TOPICS = ["a", "a/b", "a/b/c", "long/" + "x" * 200]
FILTERS = [*TOPICS, "a/#", "+/b", "#", "$share/g/a", "$share/g/#"]


class Twins:
    """The same broker twice, with and without the bulk path."""

    def __init__(self, rng: Random, stored: bool) -> None:
        limits = {
            "sys_interval_s": 0.0,
            "outbox_bytes_max": rng.choice([300, 2000, 100_000]),
            "queue_messages_max": rng.choice([3, 50]),
            "inflight_max": rng.choice([2, 10, 1000]),
            "receive_maximum": rng.choice([3, 20, 1000]),
        }
        self.brokers = [
            Broker(BrokerConfig(bulk_path=bulk, **limits), journal=Journal(stored), rng=Random(1))
            for bulk in (True, False)
        ]
        self.handlers: list[list[ClientHandler]] = [[], []]
        self.output: list[list[bytes]] = [[], []]
        self.now = 1000.0

    def connect(self, packet: ConnectPacket) -> int:
        for side, broker in enumerate(self.brokers):
            handler = broker.connection_made(self.now)
            handler.receive_data(encode(packet, packet.version), self.now)
            self.handlers[side].append(handler)
            self.output[side].append(b"")
        return len(self.handlers[0]) - 1

    def feed(self, index: int, data: bytes) -> None:
        for side in (0, 1):
            self.handlers[side][index].receive_data(data, self.now)

    def pull(self, index: int) -> bytes:
        news = [b"".join(self.handlers[side][index].data_to_send()) for side in (0, 1)]
        for side in (0, 1):
            self.output[side][index] += news[side]
        assert news[0] == news[1], (index, news)
        return news[0]

    def commit(self) -> None:
        for broker in self.brokers:
            batch = broker.take_writes()
            if batch is not None:
                broker.writes_committed(batch.number)

    def timer(self) -> None:
        self.now += 0.001
        for broker in self.brokers:
            broker.handle_timer(self.now)

    def compare_state(self) -> None:
        views = []
        for broker in self.brokers:
            view = {
                session.client_id: (
                    sorted(session.inflight),
                    [session.outgoing.state(i) for i in sorted(session.inflight)],
                    session.queued(),
                    session.queue_bytes,
                    list(session.incoming.received),
                    sorted(session.subscriptions),
                    session.direct,
                )
                for session in broker.sessions()
            }
            counters = broker.counters.as_dict()
            del counters["bulk_frames"]
            retained = [(m.topic, m.payload, m.qos, m.publisher) for m in broker.retained()]
            views.append((view, counters, retained))
        assert views[0] == views[1]


class Peer:
    """A client that answers what it is sent, some of it later."""

    def __init__(self, rng: Random, twins: Twins, name: str) -> None:
        self.rng = rng
        self.twins = twins
        self.version = rng.choice([4, 5])
        self.ids = 0
        self.backlog = b""
        properties = Properties()
        if self.version == 5:
            properties = Properties(
                session_expiry_interval=rng.choice([0, 100]),
                receive_maximum=rng.choice([None, 2, 5]),
                maximum_packet_size=rng.choice([None, None, None, 150]),
                topic_alias_maximum=rng.choice([None, None, None, 3]),
            )
        packet = ConnectPacket(
            name, version=self.version, clean_start=rng.random() < 0.5, keep_alive_s=0, properties=properties
        )
        self.index = twins.connect(packet)
        self.decoder = MqttDecoder(self.version)

    def subscribe(self) -> None:
        rng = self.rng
        wanted = SubscribeFilter(rng.choice(FILTERS), rng.choice([0, 1, 2]))
        if self.version == 5 and not wanted.filter.startswith("$") and rng.random() < 0.2:
            wanted.no_local = True
        ids = (rng.randint(1, 5),) if self.version == 5 and rng.random() < 0.2 else ()
        packet = SubscribePacket(1, [wanted], Properties(subscription_identifiers=ids))
        self.twins.feed(self.index, encode(packet, self.version))

    def unsubscribe(self) -> None:
        self.twins.feed(self.index, encode(UnsubscribePacket(2, [self.rng.choice(FILTERS)]), self.version))

    def publish(self) -> None:
        rng = self.rng
        frames = []
        topic, qos = rng.choice(TOPICS), rng.choice([0, 0, 1, 1, 2])
        retain = rng.choice([0.0, 0.05, 1.0]) if rng.random() < 0.3 else 0.02
        for _ in range(rng.choice([1, 1, 3, 10])):
            if rng.random() < 0.1:
                topic, qos = rng.choice(TOPICS), rng.choice([0, 1, 2])
            packet = PublishPacket(topic, b"p" * rng.choice([0, 5, 5, 5, 130]), qos, rng.random() < retain)
            if qos:
                self.ids = self.ids % 30 + 1
                packet.packet_id = self.ids
            if self.version == 5 and rng.random() < 0.05:
                packet.properties = Properties(user_properties=(("k", "v"),))
            frames.append(encode(packet, self.version))
        if rng.random() < 0.02:
            frames.append(encode(PubackPacket(999), self.version))
        self.backlog += b"".join(frames)

    def send(self) -> None:
        cut = self.rng.choice([len(self.backlog), len(self.backlog), self.rng.randint(0, len(self.backlog))])
        data, self.backlog = self.backlog[:cut], self.backlog[cut:]
        if data:
            self.twins.feed(self.index, data)

    def read(self) -> None:
        self.decoder.feed(self.twins.pull(self.index))
        while (packet := self.decoder.next_packet()) is not None:
            if isinstance(packet, PublishPacket) and packet.qos:
                reply = PubackPacket if packet.qos == 1 else PubrecPacket
                self.backlog += encode(reply(packet.packet_id), self.version)
            elif isinstance(packet, PubrecPacket):
                self.backlog += encode(PubrelPacket(packet.packet_id), self.version)
            elif isinstance(packet, PubrelPacket):
                self.backlog += encode(PubcompPacket(packet.packet_id), self.version)


def step(rng: Random, twins: Twins, peers: list[Peer]) -> None:
    """One thing that somebody does."""
    peer = rng.choice(peers)
    action = rng.random()
    if action < 0.12:
        peer.subscribe()
    elif action < 0.15:
        peer.unsubscribe()
    elif action < 0.5:
        peer.publish()
        peer.send()
    elif action < 0.7:
        peer.read()
    elif action < 0.8:
        peer.send()
    elif action < 0.9:
        twins.commit()
    elif action < 0.97:
        twins.timer()
    else:
        last_word = encode(DisconnectPacket(), peer.version)
        twins.feed(peer.index, last_word) if rng.random() < 0.5 else None
        for side in (0, 1):
            twins.handlers[side][peer.index].receive_eof(twins.now)
        name = f"c{peers.index(peer)}"
        peers[peers.index(peer)] = Peer(rng, twins, name)
    twins.compare_state()


def settle(twins: Twins, peers: list[Peer]) -> None:
    """Everything that waits is done."""
    for _ in range(5):
        twins.commit()
        twins.timer()
        for peer in peers:
            peer.send()
            peer.read()
    twins.compare_state()


def run(seed: int, stored: bool) -> tuple[int, int]:
    rng = Random(seed)
    twins = Twins(rng, stored)
    peers = [Peer(rng, twins, f"c{i}") for i in range(rng.randint(2, 5))]
    twins.commit()
    for _ in range(150):
        step(rng, twins, peers)
    settle(twins, peers)
    counters = twins.brokers[0].counters
    return counters.bulk_frames, counters.messages_received


@pytest.mark.parametrize("stored", [False, True])
def test_both_paths_say_the_same(stored):
    bulk = total = 0
    for seed in range(150):
        served, received = run(seed, stored)
        bulk += served
        total += received
    assert bulk > total * 0.2, "the bulk path was hardly taken"
    assert bulk < total * 0.9, "the object path was hardly taken"


def test_what_was_queued_as_frames_leaves_with_the_aliases_of_a_later_connection():
    twins = Twins(Random(1), stored=False)
    kept = Properties(session_expiry_interval=100)
    away = twins.connect(ConnectPacket("away", version=5, clean_start=False, properties=kept))
    sender = twins.connect(ConnectPacket("sender", version=5))
    twins.feed(away, encode(SubscribePacket(1, [SubscribeFilter("a/b", 1)]), 5))
    twins.feed(away, encode(DisconnectPacket(), 5))
    for packet_id in (1, 2):
        twins.feed(sender, encode(PublishPacket("a/b", b"x", 1, packet_id=packet_id), 5))
    assert twins.brokers[0].counters.bulk_frames > 0
    offers = kept.replace(topic_alias_maximum=3)
    back = twins.connect(ConnectPacket("away", version=5, clean_start=False, properties=offers))
    said = twins.pull(back)
    assert said.endswith(b"\x32\x0c\x00\x03a/b\x00\x01\x03\x23\x00\x01x" + b"\x32\x09\x00\x00\x00\x02\x03\x23\x00\x01x")

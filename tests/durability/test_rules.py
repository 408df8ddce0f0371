"""The two rules of the write barrier, each switched off in turn, and a model that notices.

A publisher and a subscriber that never forget talk to a broker that dies at any moment, over a disk in virtual time.
With both rules kept nothing acknowledged is lost and no QoS 2 message comes twice. A driver that lets acknowledgements
out before their commit, one that lets deliveries out, and a disk that keeps a part of a batch are each caught by the
same check. The product has no switch for any of this: the driver and the disk here do it.

MQTT_RULE_RUNS sets how many seeds are run (500).
"""

from __future__ import annotations

import os
from collections import deque
from random import Random

import pytest

from mqtt_core.broker import Broker, BrokerConfig
from mqtt_core.codec import (
    ConnackPacket,
    ConnectPacket,
    MqttCodec,
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubscribeFilter,
    SubscribePacket,
)
from mqtt_core.codec.types import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from mqtt_core.persistence import Journal
from mqtt_core.testing.simulation import SimStorage

RUNS = int(os.environ.get("MQTT_RULE_RUNS", "500"))
STEPS = 60
OPEN_MAX = 6
ACKNOWLEDGEMENTS = frozenset({PUBACK, PUBREC, PUBREL, PUBCOMP})


class Peer:
    """A client with a perfect memory, and its connection of the moment."""

    name = ""

    def __init__(self, trial):
        self.trial = trial
        self.connected = False
        self.faults = []

    def connect(self):
        trial = self.trial
        self.connected = False
        self.inbox = []
        self.codec = MqttCodec(trial.version)
        self.handler = trial.broker.connection_made(trial.now)
        properties = Properties(session_expiry_interval=100_000) if trial.version == 5 else Properties()
        self.send(ConnectPacket(self.name, version=trial.version, clean_start=False, properties=properties))

    def send(self, packet):
        self.handler.receive_data(self.codec.encode(packet), self.trial.now)

    def read(self, data):
        self.codec.feed(data)
        while (packet := self.codec.next_packet()) is not None:
            self.inbox.append(packet)

    def answer(self):
        """Deal with everything that has arrived; whether there was anything."""
        inbox, self.inbox = self.inbox, []
        for packet in inbox:
            if isinstance(packet, ConnackPacket):
                self.connected = True
                if not packet.session_present and self.trial.started:
                    self.faults.append("the session is lost")
                self.resume()
            else:
                self.handle(packet)
        return bool(inbox)

    def resume(self):
        pass


class Publisher(Peer):
    """open: packet identifier -> [number, QoS, released]. told: numbers whose acknowledgement has arrived."""

    name = "publisher"

    def __init__(self, trial):
        super().__init__(trial)
        self.open = {}
        self.sent = []
        self.told = set()

    def publish(self, qos):
        if not self.connected or len(self.open) >= OPEN_MAX:
            return
        packet_id = next(n for n in range(1, OPEN_MAX + 2) if n not in self.open)
        number = len(self.sent)
        self.sent.append(qos)
        self.open[packet_id] = [number, qos, False]
        self.send(PublishPacket("t", b"%d" % number, qos, packet_id=packet_id))

    def resume(self):
        for packet_id, (number, qos, released) in self.open.items():
            if released:
                self.send(PubrelPacket(packet_id))
            else:
                self.send(PublishPacket("t", b"%d" % number, qos, dup=True, packet_id=packet_id))

    def handle(self, packet):
        entry = self.open.get(packet.packet_id)
        if isinstance(packet, PubrecPacket):
            if entry is not None:
                entry[2] = True
                self.told.add(entry[0])
            self.send(PubrelPacket(packet.packet_id))
        elif entry is not None:
            self.told.add(entry[0])
            del self.open[packet.packet_id]


class Subscriber(Peer):
    """got: numbers in the order of arrival, those of QoS 2 as the standard tells them apart."""

    name = "subscriber"

    def __init__(self, trial):
        super().__init__(trial)
        self.known = set()
        self.got = []

    def handle(self, packet):
        if isinstance(packet, PublishPacket):
            if packet.qos == 1:
                self.got.append(int(packet.payload))
                self.send(PubackPacket(packet.packet_id))
                return
            if packet.packet_id not in self.known:
                self.known.add(packet.packet_id)
                self.got.append(int(packet.payload))
            self.send(PubrecPacket(packet.packet_id))
        elif isinstance(packet, PubrelPacket):
            self.known.discard(packet.packet_id)
            self.send(PubcompPacket(packet.packet_id))


class Trial:
    """One seed. leak: kinds of packets that leave before their commit. tear: a crash may keep a part of a batch."""

    def __init__(self, seed, leak=frozenset(), tear=False):
        self.rng = Random(seed)
        self.version = self.rng.choice((4, 5))
        self.config = BrokerConfig(sys_interval_s=0, bulk_path=self.rng.random() < 0.5)
        self.storage = SimStorage(Random(seed + 1), rows=self.rng.random() < 0.5, commit_s=1.0, tear=tear)
        self.leak = leak
        self.now = 1000.0
        self.started = False
        self.publisher, self.subscriber = Publisher(self), Subscriber(self)
        self.peers = (self.publisher, self.subscriber)
        self.boot()
        self.rest()
        self.subscriber.send(SubscribePacket(1, [SubscribeFilter("t", 2)]))
        self.begin_commit()
        self.finish_commit()
        self.subscriber.inbox = []
        self.started = True

    def boot(self):
        self.commit = None
        snapshot = self.storage.load()
        self.broker = Broker(self.config, journal=Journal(), rng=Random(1), snapshot=snapshot)
        for peer in self.peers:
            peer.connect()

    # -- the driver

    def flush(self):
        for peer in self.peers:
            if self.leak:
                peer.read(self.leaked(peer.handler.outbox))
            peer.read(b"".join(peer.handler.data_to_send()))
            if peer.handler.closing:
                peer.faults.append(f"{peer.name} was disconnected")
                peer.handler.receive_eof(self.now)
                peer.connect()

    def leaked(self, outbox):
        """What a driver without the rule would have sent."""
        out, kept = [], deque()
        for item in outbox.held or ():
            kind = item[1][0] >> 4
            if kind in self.leak and not (kept and kept[0][1][0] >> 4 == CONNACK):
                out.append(item[1])
            else:
                kept.append(item)
        size = sum(map(len, out))
        outbox.held = kept or None
        outbox.size -= size
        outbox.held_size -= size
        return b"".join(out)

    def begin_commit(self):
        if self.commit is None and (batch := self.broker.take_writes()) is not None:
            coroutine = self.storage.apply(batch)
            coroutine.send(None)
            self.commit = (coroutine, batch.number)

    def finish_commit(self):
        if self.commit is None:
            return
        (coroutine, number), self.commit = self.commit, None
        with pytest.raises(StopIteration):
            coroutine.send(None)
        self.broker.writes_committed(number)
        self.flush()

    def rest(self):
        """Commit and answer until nothing happens any more."""
        for _ in range(1000):
            self.begin_commit()
            busy = self.commit is not None
            self.finish_commit()
            self.flush()
            for peer in self.peers:
                busy |= peer.answer()
            self.broker.handle_timer(self.now)
            if not busy:
                return
        raise AssertionError("it never rests")

    # -- the faults

    def reconnect(self, peer):
        peer.handler.receive_eof(self.now)
        peer.connect()

    def crash(self):
        if self.commit is not None:
            self.commit[0].close()
        self.storage.crash()
        self.boot()

    def step(self):
        draw = self.rng.random()
        if draw < 0.3:
            self.publisher.publish(self.rng.choice((1, 2)))
        elif draw < 0.5:
            self.begin_commit()
        elif draw < 0.68:
            self.finish_commit()
        elif draw < 0.9:
            self.rng.choice(self.peers).answer()
        elif draw < 0.95:
            self.reconnect(self.rng.choice(self.peers))
        else:
            self.crash()
        self.flush()

    def run(self):
        """What went wrong, "" for nothing."""
        for _ in range(STEPS):
            self.step()
        self.crash()
        self.rest()
        return self.verdict()

    def verdict(self):
        faults = [fault for peer in self.peers for fault in peer.faults]
        publisher, got = self.publisher, self.subscriber.got
        if missing := publisher.told - set(got):
            faults.append(f"acknowledged and lost: {sorted(missing)}")
        twice = [n for n in set(got) if publisher.sent[n] == 2 and got.count(n) > 1]
        if twice:
            faults.append(f"QoS 2 came twice: {sorted(twice)}")
        for qos in (1, 2):
            first = list(dict.fromkeys(n for n in got if publisher.sent[n] == qos))
            if first != sorted(first):
                faults.append(f"QoS {qos} out of order: {first}")
        if publisher.open or set(got) != set(range(len(publisher.sent))):
            faults.append("not everything arrived in the end")
        return "; ".join(faults)


@pytest.mark.timeout(3600)
def test_with_both_rules_nothing_is_lost_and_nothing_comes_twice():
    for seed in range(RUNS):
        assert Trial(seed).run() == "", seed


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "broken",
    [
        {"leak": ACKNOWLEDGEMENTS},
        {"leak": frozenset({PUBLISH})},
        {"leak": ACKNOWLEDGEMENTS | {PUBLISH}},
        {"tear": True},
    ],
    ids=["acknowledgements are not held", "deliveries are not held", "nothing is held", "batches are split"],
)
def test_without_a_rule_the_same_check_fails(broken):
    found = [fault for seed in range(RUNS) if (fault := Trial(seed, **broken).run())]
    print(f"{len(found)} of {RUNS} runs fail")
    assert any("lost" in fault or "twice" in fault for fault in found)
    assert len(found) >= RUNS // 100

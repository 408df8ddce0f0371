"""A broker in virtual time and the clients that talk to it, for tests that read like a conversation.

    world = World(receive_maximum=10)               # keywords are fields of BrokerConfig
    alice = world.connect("alice")                  # CONNECT accepted; alice.connack is the answer
    alice.send(PublishPacket("a", b"x", 1, packet_id=1))
    assert alice.received() == [PubackPacket(1)]
    world.wait(90)                                  # every deadline on the way is handled in its time

After every step the world comes to rest: batches are committed (unless `auto_commit` is off), everything that is ready
is written to every client that reads (unless `frozen`), and a connection that the broker wants closed is closed. What a
client has been sent is kept as bytes until a test takes it, as packets or raw. The broker is reached through its public
doors only.
"""

from __future__ import annotations

from random import Random

from mqtt_core.broker import Accept, Broker, BrokerConfig, ClientHandler
from mqtt_core.codec import (
    NO_PROPERTIES,
    ConnackPacket,
    ConnectPacket,
    MqttDecoder,
    Properties,
    PublishPacket,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    encode,
)
from mqtt_core.persistence import Journal, MemoryStore, load
from mqtt_core.session.message import Message

START = 1_000_000.0
ROUNDS_MAX = 10_000


def now_or_never(coroutine):
    """The result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


class World:
    """One broker, its clock and its clients. stored: with a MemoryStore; other keywords are fields of BrokerConfig."""

    def __init__(self, *, policy=None, stored=False, auto_commit=True, seed=1, now=START, **config):
        config.setdefault("sys_interval_s", 0)
        self.config = BrokerConfig(**config)
        self.policy = policy
        self.store = MemoryStore() if stored else None
        self.auto_commit = auto_commit
        self.now = now
        self.seed = seed
        self.clients = []
        self.woken = []  # local subscribers that the broker said have something to take
        self.broker = self._boot(None)

    def _boot(self, snapshot):
        return Broker(
            self.config,
            policy=self.policy,
            journal=Journal() if self.store is not None else None,
            rng=Random(self.seed),
            snapshot=snapshot,
        )

    # -- clients

    def dial(self, version=5, peer=""):
        """A connection on which nothing has been said."""
        client = Client(self, version, peer)
        self.clients.append(client)
        client.handler = self.broker.connection_made(self.now, client, peer)
        self.settle()
        return client

    def connect(self, client_id="", *, version=5, clean=True, accepted=True, peer="", frozen=False, **fields):
        """A client whose CONNECT has been answered.

        Keywords that are no field of ConnectPacket become properties of CONNECT; keep_alive_s defaults to 0.
        """
        client = self.dial(version, peer)
        client.send(connect_packet(client_id, version=version, clean=clean, **fields))
        answers = client.received()
        assert answers, "no answer to CONNECT"
        client.connack = answers.pop(0)
        assert isinstance(client.connack, ConnackPacket), client.connack
        assert (client.connack.reason_code == 0) == accepted, client.connack
        client.early = answers  # what came right behind CONNACK
        client.frozen = frozen
        return client

    def publish(self, topic, payload=b"", qos=0, retain=False, **properties):
        """The host publishes; returns the barrier."""
        message = Message(topic, payload, qos, retain, Properties(**properties) if properties else NO_PROPERTIES)
        barrier = self.broker.publish(message, self.now)
        self.settle()
        return barrier

    def subscribe(self, topic_filter, qos=2, name=None, manual_ack=False, **options):
        """The host subscribes; returns the LocalSubscriber."""
        wanted = SubscribeFilter(topic_filter, qos, **options)
        subscriber = self.broker.subscribe(topic_filter, wanted, self.now, name, manual_ack)
        self.settle()
        return subscriber

    def shutdown(self):
        self.broker.shutdown(self.now)
        self.settle()

    def session(self, client_id):
        """The broker's session of this client identifier, None when it has none."""
        return next((s for s in self.broker.sessions() if s.client_id == client_id), None)

    def events(self, *kinds):
        """Events since the last call, only those of some kinds if any are named."""
        events = self.broker.take_events()
        return [e for e in events if isinstance(e, kinds)] if kinds else events

    @property
    def counters(self):
        return self.broker.counters

    # -- time

    def wait(self, seconds):
        """Time passes; the timer is handled at each deadline on the way."""
        end = self.now + seconds
        for _ in range(ROUNDS_MAX):
            deadline = self.broker.next_deadline()
            if deadline is None or deadline > end:
                self.now = end
                return
            self.now = max(self.now, deadline)
            self.broker.handle_timer(self.now)
            self.settle()
        raise AssertionError("the timer never rests")

    # -- storage

    def commit(self):
        """Make one batch durable; False when there was none."""
        batch = self.broker.take_writes()
        if batch is None:
            return False
        if self.store is not None:
            now_or_never(self.store.apply(batch))
        self.broker.writes_committed(batch.number)
        return True

    def restart(self, *, crash=False, after=0.0, **config):
        """Another broker on what is stored. crash: without what is not committed. config: changed settings."""
        if not crash:
            while self.commit():
                pass
        self.now += after
        if config:
            settings = {name: getattr(self.config, name) for name in self.config.__dataclass_fields__}
            self.config = BrokerConfig(**{**settings, **config})
        for client in self.clients:
            client.closed = True
        self.clients = []
        self.woken = []
        self.broker = self._boot(now_or_never(load(self.store)))
        self.settle()

    # -- what an adapter does

    def settle(self):
        """Commit, flush, close and serve what is due now, until nothing is left to do."""
        for _ in range(ROUNDS_MAX):
            committed = self.auto_commit and self.commit()
            dirty = self.broker.take_dirty()
            for owner in dirty:
                if isinstance(owner, ClientHandler):
                    owner.owner.flush()
                else:
                    self.woken.append(owner)
            deadline = self.broker.next_deadline()
            if deadline is not None and deadline <= self.now:
                self.broker.handle_timer(self.now)
            elif not committed and not dirty:
                return
        raise AssertionError("the broker never rests")


class Client:
    """The other end of one connection. version: of what it sends and reads. frozen: it reads nothing.

    closed: the connection is gone. aborted: it was cut without waiting for what had not been written.
    """

    def __init__(self, world, version, peer):
        self.world = world
        self.version = version
        self.peer = peer
        self.handler = None
        self.connack = None
        self.early = []
        self.frozen = False
        self.closed = False
        self.aborted = False
        self._unread = b""
        self._decoder = MqttDecoder(version)

    # -- to the broker

    def send(self, *packets):
        """Packets to the broker, all in one chunk."""
        self.send_bytes(b"".join([encode(packet, self.version) for packet in packets]))

    def send_bytes(self, data):
        assert not self.closed, "the broker has closed this connection"
        self.handler.receive_data(data, self.world.now)
        self.world.settle()

    def drop(self):
        """The connection breaks."""
        self.closed = True
        self.handler.receive_eof(self.world.now)
        self.world.settle()

    def subscribe(self, *filters, packet_id=1, **properties):
        """SUBSCRIBE to filters given as text (QoS 2) or SubscribeFilter; returns the codes of SUBACK.

        What arrives behind the SUBACK is left to `received`.
        """
        wanted = [SubscribeFilter(f, 2) if isinstance(f, str) else f for f in filters]
        self.send(SubscribePacket(packet_id, wanted, Properties(**properties) if properties else NO_PROPERTIES))
        packets = self.received()
        suback = packets.pop(0)
        assert isinstance(suback, SubackPacket), suback
        self.early = packets
        return suback.reason_codes

    # -- from the broker

    def flush(self):
        """What the adapter does for this connection."""
        handler = self.handler
        if self.closed or (self.frozen and not handler.aborted):
            return
        if not self.frozen:
            self._unread += b"".join(handler.data_to_send())
        if handler.closing or handler.aborted:
            self.aborted = handler.aborted
            self.closed = True
            handler.receive_eof(self.world.now)

    def thaw(self):
        """Read again; as an adapter does, the broker is told the time before it is asked for bytes."""
        self.frozen = False
        self.world.broker.handle_timer(self.world.now)
        self.flush()
        self.world.settle()

    def raw(self):
        """The bytes that came since the last look."""
        data, self._unread = self._unread, b""
        return data

    def received(self):
        """The packets that came since the last look (`early` ones included)."""
        packets, self.early = self.early, []
        self._decoder.feed(self.raw())
        while (packet := self._decoder.next_packet()) is not None:
            packets.append(packet)
        return packets

    def messages(self):
        """The PUBLISH packets among `received`; nothing else may be there."""
        packets = self.received()
        assert all(isinstance(packet, PublishPacket) for packet in packets), packets
        return packets


def connect_packet(client_id="", *, version=5, clean=True, **fields):
    """A CONNECT; keywords that are no field of ConnectPacket become its properties. keep_alive_s defaults to 0."""
    fields.setdefault("keep_alive_s", 0)
    own = {name: fields.pop(name) for name in list(fields) if name in ConnectPacket.fields}
    properties = own.pop("properties", Properties(**fields) if fields else NO_PROPERTIES)
    return ConnectPacket(client_id, version=version, clean_start=clean, properties=properties, **own)


class Rules:
    """A policy that writes down what it is asked (`asked`) and answers what a test told it.

    decisions: answers to authentication questions, one after the other; when they are used up, everybody is accepted
    under the user name. publish, subscribe, deliver: functions of the question's arguments; without one, yes.
    """

    def __init__(self, *decisions, publish=None, subscribe=None, deliver=None):
        self.decisions = list(decisions)
        self.asked = []
        self.publish = publish
        self.subscribe = subscribe
        self.deliver = deliver

    def authenticate(self, connect, peer):
        self.asked.append(("authenticate", connect.client_id, peer))
        return self.decisions.pop(0) if self.decisions else Accept(connect.username or "")

    def continue_authentication(self, connect, auth, peer):
        self.asked.append(("continue", auth.reason_code, auth.properties.authentication_data))
        return self.decisions.pop(0) if self.decisions else Accept(connect.username or "")

    def authorize_publish(self, principal, topic, qos, retain):
        self.asked.append(("publish", principal.client_id, topic, qos, retain))
        return self.publish is None or self.publish(principal, topic, qos, retain)

    def authorize_subscribe(self, principal, topic_filter, qos):
        self.asked.append(("subscribe", principal.client_id, topic_filter, qos))
        return qos if self.subscribe is None else self.subscribe(principal, topic_filter, qos)

    def authorize_deliver(self, principal, topic):
        self.asked.append(("deliver", principal.client_id, topic))
        return self.deliver is None or self.deliver(principal, topic)

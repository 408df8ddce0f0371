"""A state machine that runs a broker and two clients, byte by byte, over links that break at any place.

One client publishes, one with a session subscribes, a storage commits when the machine says so, and the broker may
crash. The promise under test: what was acknowledged arrives, at QoS 2 exactly once, in the order of publishing.

To test another broker with the doors of `Broker`, subclass and override `make_broker`. Needs the extra `hypothesis`.
"""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mqtt_core.broker import Broker, BrokerConfig, ClientHandler
from mqtt_core.client import ClientConfig, MessageReceived, MqttClient, PublishCompleted
from mqtt_core.codec import SubscribeFilter
from mqtt_core.persistence import Journal, Snapshot
from mqtt_core.testing.simulation.storage import SimStorage

__all__ = ["BrokerMachine"]

ROUNDS_MAX = 500


class _Line:
    """A client and its link: bytes on their way up and down, and the broker's end of it."""

    def __init__(self, client: MqttClient) -> None:
        self.client = client
        self.handler: ClientHandler | None = None
        self.up = b""
        self.down = b""


class BrokerMachine(RuleBasedStateMachine):
    """Publishes, passes bytes, cuts links, commits, crashes; at the end everything heals and is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.storage = SimStorage(Random(1))
        self.broker = self.make_broker(None)
        self.sent: dict[int, tuple[bytes, int]] = {}
        self.acknowledged: list[tuple[bytes, int]] = []
        self.received: list[tuple[bytes, int]] = []
        self.lines: list[_Line] = []

    def make_broker(self, snapshot: Snapshot | None) -> Broker:
        """The broker under test, from what is stored; None for the first start."""
        return Broker(BrokerConfig(sys_interval_s=0), journal=Journal(), rng=Random(2), snapshot=snapshot)

    @initialize(versions=st.tuples(st.sampled_from([4, 5]), st.sampled_from([4, 5])))
    def start(self, versions: tuple[int, int]) -> None:
        """Both clients, connected, one subscribed."""
        for name, version in zip(("publisher", "subscriber"), versions, strict=True):
            config = ClientConfig(
                client_id=name,
                version=version,
                clean_start=False,
                session_expiry_s=0xFFFFFFFF if version == 5 else 0,
                keep_alive_s=0,
            )
            self.lines.append(_Line(MqttClient(config, rng=Random(3))))
        self._settle()
        self.lines[1].client.subscribe([SubscribeFilter("t", 2)], now=self.now)
        self._settle()

    @rule(qos=st.sampled_from([1, 2]))
    def publish(self, qos: int) -> None:
        """A message, connected or not."""
        payload = b"%d" % (len(self.sent) + 1)
        self.sent[self.lines[0].client.publish("t", payload, qos=qos, now=self.now)] = (payload, qos)

    @rule(which=st.integers(0, 1), upward=st.booleans(), size=st.integers(1, 40))
    def move(self, which: int, upward: bool, size: int) -> None:
        """Some bytes arrive."""
        self._collect()
        self._move(self.lines[which], upward, size)

    @rule()
    def commit(self) -> None:
        """The storage makes a batch durable."""
        batch = self.broker.take_writes()
        if batch is not None:
            try:
                self.storage.apply(batch).send(None)
            except StopIteration:
                self.broker.writes_committed(batch.number)

    @rule(which=st.integers(0, 1))
    def cut(self, which: int) -> None:
        """A link breaks: what was on its way is lost."""
        self._cut(self.lines[which], tell_broker=True)

    @rule()
    def connect(self) -> None:
        """Clients without a link get one."""
        for line in self.lines:
            self._connect(line)

    @rule()
    def crash(self) -> None:
        """The broker ends without warning and comes back."""
        for line in self.lines:
            self._cut(line, tell_broker=False)
        self.storage.crash()
        self.broker = self.make_broker(self.storage.load())

    def _connect(self, line: _Line) -> None:
        if line.handler is None:
            line.handler = self.broker.connection_made(self.now)
            line.client.connect(self.now)

    def _cut(self, line: _Line, *, tell_broker: bool) -> None:
        handler, line.handler = line.handler, None
        line.up = line.down = b""
        if handler is not None:
            if tell_broker:
                handler.receive_eof(self.now)
            line.client.receive_eof(self.now)

    def _collect(self) -> None:
        """What both sides have to say is on its way now; what clients have to tell is noted."""
        self.broker.handle_timer(self.now)
        self.broker.take_dirty()
        for line in self.lines:
            line.client.handle_timer(self.now)
            if line.handler is not None:
                line.up += b"".join(line.client.data_to_send())
                line.down += b"".join(line.handler.data_to_send())
            for event in line.client.take_events():
                if isinstance(event, MessageReceived):
                    self.received.append((event.payload, event.qos))
                elif isinstance(event, PublishCompleted):
                    self.acknowledged.append(self.sent[event.token])

    def _move(self, line: _Line, upward: bool, size: int) -> bool:
        if line.handler is None:
            return False
        if upward:
            data, line.up = line.up[:size], line.up[size:]
            if data:
                line.handler.receive_data(data, self.now)
        else:
            data, line.down = line.down[:size], line.down[size:]
            if data:
                line.client.receive_data(data, self.now)
        return bool(data)

    def _settle(self) -> None:
        """Links hold, the storage commits, until there is nothing more to say."""
        self.connect()
        for _ in range(ROUNDS_MAX):
            self._collect()
            moved = [self._move(line, upward, 1 << 20) for line in self.lines for upward in (True, False)]
            before = len(self.received) + len(self.acknowledged)
            self.commit()
            self._collect()
            quiet = not any(line.up or line.down for line in self.lines)
            if not any(moved) and quiet and before == len(self.received) + len(self.acknowledged):
                return
        raise AssertionError("it does not come to rest")

    def teardown(self) -> None:
        """Everything heals: all that was published arrives, as often as its QoS says, in order."""
        if not self.lines:
            return
        self._settle()
        assert len(self.acknowledged) == len(self.sent), "a publish was never acknowledged"
        for qos in (1, 2):
            wanted = [payload for payload, of in self.sent.values() if of == qos]
            got = [payload for payload, of in self.received if of == qos]
            assert list(dict.fromkeys(got)) == wanted, (qos, got, wanted)
            assert qos == 1 or got == wanted, (got, wanted)

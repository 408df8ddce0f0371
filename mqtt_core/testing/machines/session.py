"""A state machine that moves messages through one session: sent, queued, acknowledged, interrupted, resumed.

The model is a list of what is in flight, a list of what waits, and the rules of both standards in a few lines. Every
frame that comes out is predicted: which, in which order, with which identifier and DUP flag.

To test another way of moving messages, subclass and override `make_sender`:

    class MySessionMachine(SessionMachine):
        def make_sender(self, queue_max):
            return MySender(queue_max)

    TestMySession = MySessionMachine.TestCase
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mqtt_core.codec import MqttDecoder, Packet, PublishPacket, PubrelPacket
from mqtt_core.persistence import Journal
from mqtt_core.router import Counters, EventRing, RetainStore, Sender, SessionQueues
from mqtt_core.router.draining import drain, resume
from mqtt_core.session import ABSENT, Message, Outgoing, Released, Session
from mqtt_core.transport import Outbox

__all__ = ["SessionMachine"]

QUEUE_MAX = 5
QUOTA_MAX = 3
NOW = 1000.0


class _Sent:
    """What the model knows of one message in flight: payload, QoS, whether it is released or waits to be resent."""

    def __init__(self, packet_id: int, payload: bytes, qos: int) -> None:
        self.packet_id = packet_id
        self.payload = payload
        self.qos = qos
        self.released = False
        self.waits = False


class SessionMachine(RuleBasedStateMachine):
    """One session with a small queue and a small quota, whose client comes, acknowledges and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.counters = Counters()
        self.sender = self.make_sender(QUEUE_MAX)
        self.session = Session("c")
        self.sink: Outbox | None = None
        self.number = 0
        self.quota = QUOTA_MAX
        self.flight: list[_Sent] = []
        self.queue: list[tuple[bytes, int]] = []
        self.dropped = 0

    def make_sender(self, queue_max: int) -> Sender:
        """What moves messages, with a queue of `queue_max` messages, no journal, and no other bound in reach."""
        events = EventRing(10, self.counters)
        retained = RetainStore(10, 1000)
        journal = Journal(False)
        queues = SessionQueues(journal, self.counters, events, queue_max, 1 << 20, 1 << 20)
        return Sender(journal, self.counters, queues, retained, 1 << 20)

    def came_out(self) -> list[Packet]:
        """The packets written since the last look."""
        assert self.sink is not None
        decoder = MqttDecoder(5)
        decoder.feed(b"".join(self.sink.take(NOW)))
        packets: list[Packet] = []
        while (packet := decoder.next_packet()) is not None:
            packets.append(packet)
        return packets

    def room(self) -> int:
        """How many more messages the model may send."""
        return self.quota - sum(not sent.waits for sent in self.flight)

    def expect_drained(self, packets: list[Packet]) -> None:
        """What freed quota brings forth: resends with DUP, then the queue, each while there is quota."""
        for packet in packets:
            assert isinstance(packet, PublishPacket)
            assert self.room() > 0
            waiting = [sent for sent in self.flight if sent.waits]
            if waiting:
                sent = waiting[0]
                assert packet == PublishPacket("t", sent.payload, sent.qos, False, True, sent.packet_id)
                sent.waits = False
            else:
                payload, qos = self.queue.pop(0)
                self.expect_new(packet, payload, qos)
        assert self.room() <= 0 or not (self.queue or any(sent.waits for sent in self.flight))

    def expect_new(self, packet: Packet, payload: bytes, qos: int) -> None:
        """A message that is sent for the first time, under an identifier that was free."""
        assert isinstance(packet, PublishPacket)
        assert packet == PublishPacket("t", payload, qos, False, False, packet.packet_id)
        assert packet.packet_id not in [sent.packet_id for sent in self.flight]
        self.flight.append(_Sent(packet.packet_id, payload, qos))

    @rule(qos=st.integers(0, 2))
    def deliver(self, qos: int) -> None:
        """A message for this session."""
        self.number += 1
        payload = b"%d" % self.number
        out = Outgoing(Message("t", payload, qos, sequence=self.number), qos, False)
        self.sender.deliver(self.session, out, 0, NOW)
        self.sender.end_fan_out()
        packets = self.came_out() if self.sink is not None else []
        if qos == 0:
            wanted = [PublishPacket("t", payload)] if self.sink is not None else []
            assert packets == wanted
        elif self.sink is not None and not self.queue and self.room() > 0:
            (packet,) = packets
            self.expect_new(packet, payload, qos)
        else:
            assert packets == []
            if len(self.queue) < QUEUE_MAX:
                self.queue.append((payload, qos))
            else:
                self.dropped += 1

    @precondition(lambda self: self.sink is not None and self.flight)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """The client takes the next step for one message."""
        sent = data.draw(st.sampled_from(self.flight))
        flow = self.session.outgoing
        if sent.qos == 2 and not sent.released:
            entry = flow.on_pubrec(sent.packet_id)
            sent.released, sent.waits = True, False
            self.flight.remove(sent)
            self.flight.append(sent)
        else:
            entry = flow.on_pubcomp(sent.packet_id) if sent.released else flow.on_puback(sent.packet_id)
            self.flight.remove(sent)
            self.sender.finished(self.session, sent.packet_id, entry)
        assert entry is not ABSENT
        if not self.session.direct:
            drain(self.sender, self.session, NOW)
        self.expect_drained(self.came_out())

    @precondition(lambda self: self.sink is not None)
    @rule()
    def disconnect(self) -> None:
        """The connection breaks."""
        session = self.session
        session.sink = self.sink = None
        session.connected = False
        session.outgoing.resend = None
        session.update_direct()
        for sent in self.flight:
            sent.waits = False

    @precondition(lambda self: self.sink is None)
    @rule(quota=st.integers(1, QUOTA_MAX))
    def connect(self, quota: int) -> None:
        """The client comes back, with a Receive Maximum of its own."""
        session = self.session
        session.sink = self.sink = Outbox(None, [])
        session.connected = True
        session.outgoing.limit = self.quota = quota
        resume(self.sender, session, session.version, NOW)
        session.update_direct()
        for sent in self.flight:
            sent.waits = not sent.released
        packets = self.came_out()
        released = [PubrelPacket(sent.packet_id) for sent in self.flight if sent.released]
        assert packets[: len(released)] == released
        self.expect_drained(packets[len(released) :])

    @invariant()
    def agrees_with_the_model(self) -> None:
        """The same in flight, the same in the queue, the same counted as dropped."""
        session = self.session
        assert list(session.inflight) == [sent.packet_id for sent in self.flight]
        assert [isinstance(e, Released) for e in session.inflight.values()] == [sent.released for sent in self.flight]
        queued = [(out.message.payload, out.qos) for out in session.queue or () if isinstance(out, Outgoing)]
        assert queued == self.queue
        assert session.queue_bytes == sum(1 + len(payload) for payload, _ in self.queue)
        assert self.counters.queued_messages == len(self.queue)
        assert self.counters.queued_bytes == session.queue_bytes
        assert self.counters.dropped_queue == self.dropped
        waits = bool(self.queue) or any(sent.waits for sent in self.flight)
        assert session.direct == (self.sink is not None and not waits)

"""State machines that run the two halves of the QoS 1 and 2 handshakes against a list of what is open.

To test other flows with the interface of `OutgoingFlow` or `IncomingFlow`, subclass and override `make_flow`:

    class MyFlowMachine(OutgoingFlowMachine):
        def make_flow(self, limit):
            return MyFlow(limit)

    TestMyFlow = MyFlowMachine.TestCase
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mqtt_core.codec import ProtocolError
from mqtt_core.session import ABSENT, IncomingFlow, Message, Outgoing, OutgoingFlow, Qos1State, Qos2State, Released

__all__ = ["IncomingFlowMachine", "OutgoingFlowMachine"]

IDS = st.integers(1, 12)
PUBLISHED, RELEASED = "published", "released"


class _Open:
    """What the model knows of one message: QoS, step, whether this connection has seen it, and the entry itself."""

    def __init__(self, packet_id: int, entry: Outgoing) -> None:
        self.packet_id = packet_id
        self.entry = entry
        self.qos = entry.qos
        self.step = PUBLISHED
        self.seen = True


class OutgoingFlowMachine(RuleBasedStateMachine):
    """A sender with a small quota, a peer that acknowledges rightly and wrongly, and connections that break.

    The model is a list of open messages in the order of sending; a message whose PUBREL was sent moves to the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flow = self.make_flow(4)
        self.model: list[_Open] = []
        self.sequence = 0

    def make_flow(self, limit: int) -> OutgoingFlow:
        """The flow under test, with nothing in flight. limit: messages it may have there, 1 to 65,535."""
        return OutgoingFlow(limit)

    @initialize(last=st.sampled_from([0, 65_533]))
    def start(self, last: int) -> None:
        """Begin anywhere in the range of identifiers."""
        self.flow.ids.last = last

    def find(self, packet_id: int) -> _Open | None:
        """The open message with this identifier."""
        return next((o for o in self.model if o.packet_id == packet_id), None)

    def some_id(self, data: st.DataObject) -> int:
        """Most often an identifier in use."""
        used = [o.packet_id for o in self.model]
        return data.draw(st.one_of(st.sampled_from(used), st.sampled_from(used), IDS) if used else IDS)

    @rule(qos=st.integers(1, 2))
    def send(self, qos: int) -> None:
        """A new message, if there is quota and nothing older waits to be resent."""
        if self.flow.room() > 0 and self.flow.resend is None:
            self.sequence += 1
            entry = Outgoing(Message("t", b"x", qos, sequence=self.sequence), qos, False)
            packet_id = self.flow.send(entry)
            assert 1 <= packet_id <= 65_535
            assert self.find(packet_id) is None
            self.model.append(_Open(packet_id, entry))

    @rule()
    def resend(self) -> None:
        """The next message that this connection has not seen, if there is quota."""
        waiting = [o for o in self.model if not o.seen]
        if self.flow.room() <= 0:
            return
        packet_id = self.flow.next_resend()
        assert packet_id == (waiting[0].packet_id if waiting else 0)
        if waiting:
            waiting[0].seen = True

    @rule()
    def reconnect(self) -> None:
        """A connection broke, another one resumes."""
        assert self.flow.start_resume() == [o.packet_id for o in self.model if o.step == RELEASED]
        for known in self.model:
            known.seen = known.step == RELEASED

    @rule(data=st.data(), verb=st.sampled_from(["on_puback", "on_pubrec", "on_pubrec_refused", "on_pubcomp", "forget"]))
    def acknowledge(self, data: st.DataObject, verb: str) -> None:
        """The peer acknowledges, or the message is given up."""
        packet_id = self.some_id(data)
        known = self.find(packet_id)
        flow = self.flow
        if known is None:
            assert getattr(flow, verb)(packet_id) is ABSENT
            return
        step = known.qos, known.step
        fits = {
            "on_puback": step == (1, PUBLISHED),
            "on_pubrec": known.qos == 2,
            "on_pubrec_refused": step == (2, PUBLISHED),
            "on_pubcomp": known.step == RELEASED,
            "forget": True,
        }
        before = flow.inflight[packet_id]
        try:
            found = getattr(flow, verb)(packet_id)
        except ProtocolError:
            assert not fits[verb]
            return
        assert fits[verb]
        assert found is before
        if verb != "on_pubrec":
            self.model.remove(known)
        elif known.step == PUBLISHED:
            known.step, known.seen = RELEASED, True
            self.model.remove(known)
            self.model.append(known)

    @invariant()
    def agrees_with_the_model(self) -> None:
        """The same messages in the same order, states as they follow from the steps, quota as it follows from both."""
        flow = self.flow
        assert list(flow.inflight) == [o.packet_id for o in self.model]
        for known in self.model:
            entry = flow.inflight[known.packet_id]
            if known.step == RELEASED:
                assert isinstance(entry, Released)
                assert entry.sequence == known.entry.message.sequence
                assert flow.state(known.packet_id) is Qos2State.AWAITING_PUBCOMP
            else:
                assert entry is known.entry
                wanted = Qos1State.AWAITING_PUBACK if known.qos == 1 else Qos2State.AWAITING_PUBREC
                assert flow.state(known.packet_id) is wanted
        waiting = [o.packet_id for o in self.model if not o.seen]
        assert (list(flow.resend) if flow.resend is not None else []) == waiting
        assert (flow.resend is None) == (not waiting)
        assert flow.room() == flow.limit - len(self.model) + len(waiting)


class IncomingFlowMachine(RuleBasedStateMachine):
    """A receiver of QoS 2 messages against the set of identifiers that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = self.make_flow()
        self.model: set[int] = set()

    def make_flow(self) -> IncomingFlow:
        """The flow under test, empty."""
        return IncomingFlow()

    @rule(packet_id=IDS)
    def publish(self, packet_id: int) -> None:
        """PUBLISH, new or repeated."""
        assert self.flow.on_publish(packet_id) == (packet_id not in self.model)
        self.model.add(packet_id)

    @rule(packet_id=IDS)
    def pubrel(self, packet_id: int) -> None:
        """PUBREL, for an identifier that is open or not."""
        assert self.flow.on_pubrel(packet_id) == (packet_id in self.model)
        self.model.discard(packet_id)

    @invariant()
    def agrees_with_the_model(self) -> None:
        """The same identifiers are open."""
        assert sorted(self.flow.received) == sorted(self.model)
        for packet_id in range(1, 13):
            wanted = Qos2State.AWAITING_PUBREL if packet_id in self.model else None
            assert self.flow.state(packet_id) is wanted

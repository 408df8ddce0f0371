"""Gives one message to one session: sends it now, lets it wait, or drops it and counts that.

Laws. Write, then say: the journal's verb stands above the frame it allows, and the frame carries the barrier. While a
session's queue is not empty every new QoS 1/2 message joins its end (queues.py), so order is kept; freed quota is
filled from the head in the same input (draining.py). QoS 0 never waits; where it cannot leave it is dropped. A message
that is too large for its client counts as delivered.

Nothing here depends on any other session, so a slow subscriber delays nobody (fan-out never waits).
"""

from __future__ import annotations

from collections.abc import Callable

from mqtt_core.codec.types import PACKET_ID, V5
from mqtt_core.persistence.journal import Journal
from mqtt_core.router.counters import Counters
from mqtt_core.router.frames import PublishParts, publish_parts
from mqtt_core.router.local import LocalSubscriber, deliver_local
from mqtt_core.router.queues import SessionQueues
from mqtt_core.router.retain import RetainStore
from mqtt_core.session.message import Message, Outgoing
from mqtt_core.session.qos import ABSENT, Released
from mqtt_core.session.session import Session
from mqtt_core.transport.outbox import Countdown, Outbox

__all__ = ["Sender"]


class Sender:
    """Moves messages into sessions and out of them (sections 4.3 and 4.4; 5.0 sections 4.6 and 4.9).

    retained: the messages that replays are made of. outbox_bytes_max: limit of `BrokerConfig`.
    holding: outboxes with frames that wait for a commit, so that a commit visits only those. unfinished: sessions with
    more to send than one input allows. sequence: number of the newest message; every message gets the next one.
    borrow: packet identifier of the publisher, which a recipient gets where it is free; 0 for none.
    authorize_deliver: what the router asks of the policy, asked for replays as well; None when everything is allowed.
    """

    __slots__ = (
        "_cached",
        "_parts4",
        "_parts5",
        "authorize_deliver",
        "borrow",
        "counters",
        "holding",
        "journal",
        "outbox_bytes_max",
        "queues",
        "retained",
        "sequence",
        "unfinished",
    )

    def __init__(
        self,
        journal: Journal,
        counters: Counters,
        queues: SessionQueues,
        retained: RetainStore,
        outbox_bytes_max: int,
    ) -> None:
        self.journal = journal
        self.counters = counters
        self.queues = queues
        self.retained = retained
        self.outbox_bytes_max = outbox_bytes_max
        self.authorize_deliver: Callable[[Session, str], bool] | None = None
        self.sequence = 0
        self.borrow = 0
        self.holding: dict[Outbox, None] = {}
        self.unfinished: dict[Session, None] = {}
        self._cached: Outgoing | None = None
        self._parts4: PublishParts | None = None
        self._parts5: PublishParts | None = None

    # -- new messages ------------------------------------------------------------------------------------------------

    def deliver(self, session: Session, out: Outgoing, barrier: int, now: float) -> None:
        """A message for a session: QoS 0 leaves or is dropped, QoS 1/2 leaves or waits (section 4.3).

        barrier: number of the batch with the writes of the input that caused it, 0 when there are none.
        """
        sink = session.sink
        if out.qos == 0 and session.local is None:
            if sink is not None and self._send_qos0(session, sink, out, now) and session.replays is not None:
                self.overtake(session, out.message.topic)
            return
        if session.replays is not None:
            self.overtake(session, out.message.topic)
        local = session.local
        if local is not None:
            assert isinstance(local, LocalSubscriber)
            deliver_local(self, session, local, out, barrier, now)
            return
        if session.direct and session.outgoing.room() > 0 and sink is not None and sink.size < self.outbox_bytes_max:
            self._start_acked(session, sink, out, barrier, now)
        else:
            self.queues.enqueue(session, out, now, barrier)

    def overtake(self, session: Session, topic: str) -> None:
        """A live message goes out: pending replays forget an older message that is retained on its topic."""
        if self.retained.holds(topic):
            session.overtake(topic, self.sequence)

    def send_frame(
        self, sink: Outbox, frame: bytes, barrier: int, credits: int = 0, countdown: Countdown | None = None
    ) -> None:
        """Put a frame into the outbox `sink`, behind its barrier unless that is committed already."""
        if barrier <= self.journal.committed:
            barrier = 0
        sink.send(frame, barrier, credits, countdown)
        if sink.held is not None:
            self.holding[sink] = None

    def release(self, committed: int) -> None:
        """A batch is durable: let the frames go that waited for it (law 5)."""
        holding, self.holding = self.holding, {}
        for sink in holding:
            sink.release(committed)
            if sink.held is not None:
                self.holding[sink] = None

    def _send_qos0(self, session: Session, sink: Outbox, out: Outgoing, now: float) -> bool:
        """Send a QoS 0 message, or drop it: False."""
        if sink.size >= self.outbox_bytes_max:
            self.counters.dropped_outbox += 1
            return False
        parts = self.parts(session, out, now)
        if session.packet_size_max and parts.size > session.packet_size_max:
            self.counters.dropped_too_large += 1  # [MQTT-3.1.2-24 v5] [MQTT-3.1.2-25 v5]
            return False
        countdown = None
        if out.message.expires_at:
            countdown = self._countdown(parts, len(parts.head), out.message.expires_at, 0)
        sink.send(parts.head + parts.tail, 0, 0, countdown)  # [MQTT-4.3.1-1]
        self.counters.publish_sent += 1
        self.counters.publish_bytes_sent += len(out.message.payload)
        return True

    def start(self, session: Session, sink: Outbox, out: Outgoing, barrier: int, now: float) -> None:
        """Send a new message for which there is room, through the outbox `sink`."""
        if out.qos == 0:
            self._send_qos0(session, sink, out, now)
        else:
            self._start_acked(session, sink, out, barrier, now)

    def _start_acked(self, session: Session, sink: Outbox, out: Outgoing, barrier: int, now: float) -> None:
        """Take a new QoS 1/2 message into flight, unless it is too large for the client and counts as delivered."""
        parts = self.parts(session, out, now)
        if session.packet_size_max and parts.size > session.packet_size_max:
            self.counters.dropped_too_large += 1  # [MQTT-3.1.2-25 v5]
            return
        message = out.message
        packet_id = session.outgoing.send(out, self.borrow)  # [MQTT-4.9.0-2 v5]
        if session.stored:
            barrier = self.journal.enqueue(
                session.client_id, message, out.qos, out.retain, out.subscription_ids, packet_id, out.shared
            )
            session.barrier = barrier
        self.put(sink, parts, packet_id, message, barrier)

    def put(self, sink: Outbox, parts: PublishParts, packet_id: int, message: Message, barrier: int) -> None:
        """Send the frame of a message that is in flight, through the outbox `sink`."""
        countdown = None
        if message.expires_at:
            countdown = self._countdown(parts, len(parts.head) + 2, message.expires_at, packet_id)
        self.send_frame(sink, b"%b%b%b" % (parts.head, PACKET_ID[packet_id], parts.tail), barrier, 0, countdown)
        self.counters.publish_sent += 1
        self.counters.publish_bytes_sent += len(message.payload)

    @staticmethod
    def _countdown(parts: PublishParts, tail_at: int, deadline: float, packet_id: int) -> Countdown:
        offset = tail_at + parts.expiry_offset if parts.expiry_offset >= 0 else -1
        return Countdown(offset, deadline, packet_id)

    def parts(self, session: Session, out: Outgoing, now: float) -> PublishParts:
        """The encoded variant for a session; recipients in a row that get the same share one encoding."""
        if session.alias_max:
            return self._aliased_parts(session, out, now)
        if self._cached is not out:
            self._cached = out
            self._parts4 = self._parts5 = None
        version = session.version
        parts = self._parts5 if version == V5 else self._parts4
        if parts is None:
            parts = publish_parts(out.message, version, out.qos, out.retain, out.subscription_ids, now)
            if version == V5:
                self._parts5 = parts
            else:
                self._parts4 = parts
        return parts

    def _aliased_parts(self, session: Session, out: Outgoing, now: float) -> PublishParts:
        """The variant for a client that offered topic aliases; they belong to its connection (5.0 section 3.3.2.3.4).

        A message that may expire before it leaves sets no alias, since the client might never see it. An alias is no
        reason not to fit: it takes more bytes than a very short topic.
        """
        topic = out.message.topic
        aliases = session.aliases
        assert aliases is not None
        alias = aliases.get(topic, 0)
        if alias:
            parts = publish_parts(out.message, V5, out.qos, out.retain, out.subscription_ids, now, alias, "")
        elif len(aliases) >= session.alias_max or out.message.expires_at:
            return publish_parts(out.message, V5, out.qos, out.retain, out.subscription_ids, now)
        else:
            alias = len(aliases) + 1  # [MQTT-3.1.2-26 v5] [MQTT-3.3.2-11 v5] [MQTT-3.3.2-8 v5]
            parts = publish_parts(out.message, V5, out.qos, out.retain, out.subscription_ids, now, alias)
        if session.packet_size_max and parts.size > session.packet_size_max:
            return publish_parts(out.message, V5, out.qos, out.retain, out.subscription_ids, now)
        aliases[topic] = alias
        return parts

    def end_fan_out(self) -> None:
        """The message has been given to all recipients; its encodings are forgotten."""
        self._cached = self._parts4 = self._parts5 = None
        self.borrow = 0

    # -- the end of a message ----------------------------------------------------------------------------------------

    def next_sequence(self) -> int:
        """Number for a new message."""
        self.sequence += 1
        return self.sequence

    def next_sequences(self, count: int) -> int:
        """Numbers for `count` new messages in a row; returns the first."""
        first = self.sequence + 1
        self.sequence += count
        return first

    def store_run(
        self, session: Session, sequence: int, version: int, frames: list[bytes], ids: list[int], qos: int
    ) -> None:
        """Write PUBLISH frames that a stored session took into flight: numbers from `sequence`, one for each of `ids`.

        frames: at least as many as ids. version, qos: theirs.
        """
        session.barrier = self.journal.enqueue_frames(session.client_id, sequence, version, frames, ids, qos)
        if session.sequences is None:
            session.sequences = {}
        session.sequences.update(zip(ids, range(sequence, sequence + len(ids)), strict=True))

    def renumbered(self, message: Message) -> Message:
        """A copy of a message with the next number."""
        return Message(
            message.topic,
            message.payload,
            message.qos,
            message.retain,
            message.properties,
            message.expires_at,
            message.publisher,
            self.next_sequence(),
        )

    def finished(self, session: Session, packet_id: int, entry: object) -> None:
        """The client has acknowledged the message `entry` (or it was given up): the journal forgets it."""
        if session.stored:
            session.barrier = self.journal.dequeue(session.client_id, self.sequence_of(session, packet_id, entry))

    def finish_run(self, session: Session, packet_ids: list[int]) -> None:
        """`finished` for messages, `packet_ids` in order, of a stored session whose entries were mere frames."""
        numbers = session.sequences
        sequences = [numbers.pop(packet_id, 0) for packet_id in packet_ids] if numbers is not None else []
        session.barrier = self.journal.dequeue_run(session.client_id, sequences)

    def sequence_of(self, session: Session, packet_id: int, entry: object) -> int:
        """The journal's number of an in-flight entry; a number kept beside a mere frame is taken out."""
        if isinstance(entry, Outgoing):
            return entry.message.sequence
        if isinstance(entry, Released):
            return entry.sequence
        if session.sequences is None:
            return 0
        return session.sequences.pop(packet_id, 0)

    def forget(self, session: Session, packet_id: int) -> None:
        """Give up an unacknowledged message: its identifier is free, the journal forgets it."""
        entry = session.outgoing.forget(packet_id)
        if entry is not ABSENT:
            self.finished(session, packet_id, entry)

    def forget_queued(self, session: Session, out: Outgoing) -> None:
        """Give up a message that waited: the journal forgets it."""
        if session.stored:
            session.barrier = self.journal.dequeue(session.client_id, out.message.sequence)

    def expire_unsent(self, session: Session, packet_ids: list[int]) -> None:
        """Messages whose time ran out before their frame left: drop and count them, free their `packet_ids`."""
        for packet_id in packet_ids:
            self.counters.dropped_expired += 1
            if packet_id:
                self.forget(session, packet_id)

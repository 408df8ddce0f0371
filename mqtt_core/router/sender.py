"""Gives one message to one session: sends it now, lets it wait, or drops it and counts that.

Laws. Write, then say: the journal's verb stands above the frame it allows, and the frame carries the barrier. While a
session's queue is not empty every new QoS 1/2 message joins its end, so order is kept; freed quota is filled from the
head in the same input: first what a resumed connection has to see again, then the queue, then retained messages. QoS 0
never waits; where it cannot leave it is dropped. A message that is too large for its client counts as delivered.

Nothing here depends on any other session, so a slow subscriber delays nobody (fan-out never waits).
"""
from __future__ import annotations

from collections import deque
from typing import Final

from mqtt_core.codec.types import PACKET_ID, PUBREL_FRAMES, V5
from mqtt_core.persistence.journal import Journal
from mqtt_core.router.counters import Counters
from mqtt_core.router.events import EventRing, QueueOverflow
from mqtt_core.router.frames import PublishParts, content_size, id_offset, message_of_frame, publish_parts, with_dup
from mqtt_core.router.local import LocalSubscriber
from mqtt_core.router.retain import RetainStore
from mqtt_core.session.message import Message, Outgoing
from mqtt_core.session.qos import ABSENT, Released
from mqtt_core.session.session import ReplayCursor, Session
from mqtt_core.transport.outbox import Countdown, Outbox

__all__ = ["Sender"]

SLICE_MAX: Final = 1000
"""Messages that one input moves from a queue or a replay towards one session at most."""


class Sender:
    """Moves messages into sessions and out of them.

    outbox_bytes_max, queue_messages_max, queue_bytes_max, all_queues_bytes_max: limits of `BrokerConfig`.
    holding: outboxes with frames that wait for a commit, so that a commit visits only those. unfinished: sessions with
    more to send than one input allows. sequence: number of the newest message; every message gets the next one.
    borrow: packet identifier of the publisher, which a recipient gets where it is free; 0 for none.
    """

    __slots__ = (
        "_cached",
        "_parts4",
        "_parts5",
        "all_queues_bytes_max",
        "borrow",
        "counters",
        "events",
        "holding",
        "journal",
        "outbox_bytes_max",
        "queue_bytes_max",
        "queue_messages_max",
        "retained",
        "sequence",
        "unfinished",
    )

    def __init__(
        self,
        journal: Journal,
        counters: Counters,
        events: EventRing,
        retained: RetainStore,
        outbox_bytes_max: int,
        queue_messages_max: int,
        queue_bytes_max: int,
        all_queues_bytes_max: int,
    ) -> None:
        self.journal = journal
        self.counters = counters
        self.events = events
        self.retained = retained
        self.outbox_bytes_max = outbox_bytes_max
        self.queue_messages_max = queue_messages_max
        self.queue_bytes_max = queue_bytes_max
        self.all_queues_bytes_max = all_queues_bytes_max
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
        local = session.local
        if local is not None:
            assert isinstance(local, LocalSubscriber)
            self._deliver_local(session, local, out, barrier, now)
            return
        sink = session.sink
        if session.replays is not None:
            session.overtake(out.message.topic)
        if out.qos == 0:
            if sink is not None:
                self._send_qos0(session, sink, out, now)
            return
        if session.direct and session.outgoing.room() > 0 and sink is not None and sink.size < self.outbox_bytes_max:
            self._start(session, sink, out, barrier, now)
        else:
            self._enqueue(session, out, now)

    def send_frame(
        self, sink: Outbox, frame: bytes, barrier: int, credits: int = 0, countdown: Countdown | None = None
    ) -> None:
        """Put a frame into an outbox, behind its barrier unless that is committed already."""
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

    def _send_qos0(self, session: Session, sink: Outbox, out: Outgoing, now: float) -> None:
        if sink.size >= self.outbox_bytes_max:
            self.counters.dropped_outbox += 1
            return
        parts = self._parts(session, out, now)
        if session.packet_size_max and parts.size > session.packet_size_max:
            self.counters.dropped_too_large += 1  # [MQTT-3.1.2-24 v5] [MQTT-3.1.2-25 v5]
            return
        countdown = None
        if out.message.expires_at:
            countdown = self._countdown(parts, len(parts.head), out.message.expires_at, 0)
        sink.send(parts.head + parts.tail, 0, 0, countdown)  # [MQTT-4.3.1-1]
        self.counters.publish_sent += 1
        self.counters.publish_bytes_sent += len(out.message.payload)

    def _start(self, session: Session, sink: Outbox, out: Outgoing, barrier: int, now: float) -> bool:
        """Take a new QoS 1/2 message into flight; False when it is too large and counts as delivered."""
        parts = self._parts(session, out, now)
        if session.packet_size_max and parts.size > session.packet_size_max:
            self.counters.dropped_too_large += 1  # [MQTT-3.1.2-25 v5]
            return False
        message = out.message
        packet_id = session.outgoing.send(out, self.borrow)  # [MQTT-4.9.0-2 v5]
        if session.stored:
            barrier = self.journal.enqueue(
                session.client_id, message, out.qos, out.retain, out.subscription_ids, packet_id, out.shared
            )
            session.barrier = barrier
        self._put(sink, parts, packet_id, message, barrier)
        return True

    def _put(self, sink: Outbox, parts: PublishParts, packet_id: int, message: Message, barrier: int) -> None:
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

    def _parts(self, session: Session, out: Outgoing, now: float) -> PublishParts:
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

        A message that may expire before it leaves sets no alias, since the client might never see it.
        """
        topic = out.message.topic
        aliases = session.aliases
        assert aliases is not None
        alias = aliases.get(topic, 0)
        if alias:
            return publish_parts(out.message, V5, out.qos, out.retain, out.subscription_ids, now, alias, "")
        if len(aliases) >= session.alias_max or out.message.expires_at:
            return publish_parts(out.message, V5, out.qos, out.retain, out.subscription_ids, now)
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

    # -- the queue ---------------------------------------------------------------------------------------------------

    def _enqueue(self, session: Session, out: Outgoing, now: float) -> None:
        size = len(out.message.topic) + len(out.message.payload)
        if not self._has_room(session, size, now):
            return
        if session.stored:
            session.barrier = self.journal.enqueue(
                session.client_id, out.message, out.qos, out.retain, out.subscription_ids, 0, out.shared
            )
        self._append(session, out, size)

    def enqueue_frame(self, session: Session, frame: bytes, now: float) -> None:
        """A plain frame waits as it came: `deliver` for a session that cannot take it now and is not stored."""
        if session.replays is not None:
            session.overtake(message_of_frame(frame, session.version).topic)
        size = content_size(frame, session.version)
        if self._has_room(session, size, now):
            self._append(session, frame, size)

    def _has_room(self, session: Session, size: int, now: float) -> bool:
        """Is there room for one more waiting message? Counts the drop if not, with one event per episode."""
        queued = session.queued()
        counters = self.counters
        if (
            queued < self.queue_messages_max
            and session.queue_bytes + size <= self.queue_bytes_max
            and counters.queued_bytes + size <= self.all_queues_bytes_max
        ):
            session.dropping = False
            return True
        counters.dropped_queue += 1
        if not session.dropping:
            session.dropping = True
            self.events.add(QueueOverflow(now, session.client_id, queued, session.queue_bytes))
        return False

    def _append(self, session: Session, entry: Outgoing | bytes, size: int) -> None:
        if session.queue is None:
            session.queue = deque()
        session.queue.append(entry)  # [MQTT-4.5.0-1] [MQTT-3.1.2-5 v3.1.1]
        session.queue_bytes += size
        self.counters.queued_bytes += size
        self.counters.queued_messages += 1
        session.direct = False

    def _popped(self, session: Session, size: int) -> None:
        """Keep the books: a message of this size has left the queue."""
        if not session.queue:
            session.queue = None
        session.queue_bytes -= size
        self.counters.queued_bytes -= size
        self.counters.queued_messages -= 1

    def clear_queue(self, session: Session) -> list[Outgoing]:
        """Empty the queue of a session that ends; the messages given to it as a member of a share are returned."""
        queue = session.queue or ()
        self.counters.queued_bytes -= session.queue_bytes
        self.counters.queued_messages -= len(queue)
        session.queue = None
        session.queue_bytes = 0
        return [entry for entry in queue if isinstance(entry, Outgoing) and entry.shared]

    # -- filling freed room -------------------------------------------------------------------------------------------

    def drain(self, session: Session, now: float) -> None:
        """Send what waits, as quota and outbox allow: resends, then the queue, then retained replays.

        At most SLICE_MAX messages; a session with more to send is put on `unfinished` and the broker comes back to it.
        """
        if session.local is not None:
            self._drain_local(session, now)
            return
        sink = session.sink
        if sink is None:
            return
        flow = session.outgoing
        budget = SLICE_MAX
        while budget > 0 and sink.size < self.outbox_bytes_max and flow.room() > 0:
            budget -= 1
            if flow.resend is not None:
                self._resend(session, sink, flow.next_resend(), now)
            elif session.queue:
                entry = session.queue[0]
                if isinstance(entry, bytes):
                    budget -= self._send_frames(session, sink, session.queue, budget)
                else:
                    session.queue.popleft()
                    self._send_queued(session, sink, entry, now)
            elif session.replays is None:
                break
            else:
                budget -= self._replay(session, sink, session.replays[0], budget, now)
        session.update_direct()
        if budget <= 0 and not session.direct:
            self.unfinished[session] = None

    def _send_frames(self, session: Session, sink: Outbox, queue: deque[Outgoing | bytes], limit: int) -> int:
        """Send the frames at the head of the queue, each with an identifier of its own; returns how many were taken."""
        flow = session.outgoing
        chunks: list[bytes] = []
        room = min(flow.room(), limit)
        space = self.outbox_bytes_max - sink.size
        taken = content = 0
        while taken < room and space > 0 and queue:
            frame = queue[0]
            if not isinstance(frame, bytes):
                break
            queue.popleft()
            taken += 1
            size = content_size(frame, session.version)
            content += size
            if session.packet_size_max and len(frame) > session.packet_size_max:
                self.counters.dropped_too_large += 1  # [MQTT-3.1.2-25 v5]
                continue
            packet_id = flow.send(frame)
            at = id_offset(frame)
            chunks += (frame[:at], PACKET_ID[packet_id], frame[at + 2 :])
            space -= len(frame)
            self.counters.publish_sent += 1
            self.counters.publish_bytes_sent += len(frame) - at - (3 if session.version == V5 else 2)
        self.counters.queued_messages -= taken - 1
        self._popped(session, content)
        if chunks:
            self.send_frame(sink, b"".join(chunks), session.barrier)
        return taken

    def _send_queued(self, session: Session, sink: Outbox, out: Outgoing, now: float) -> None:
        message = out.message
        self._popped(session, len(message.topic) + len(message.payload))
        if message.expires_at and message.expires_at <= now:
            self._drop_queued(session, out)  # [MQTT-3.3.2-5 v5]
            self.counters.dropped_expired += 1
            return
        parts = self._parts(session, out, now)
        if session.packet_size_max and parts.size > session.packet_size_max:
            self._drop_queued(session, out)  # [MQTT-3.1.2-25 v5]
            self.counters.dropped_too_large += 1
            return
        packet_id = session.outgoing.send(out)
        if session.stored:
            session.barrier = self.journal.assign(session.client_id, message.sequence, packet_id)
        self._put(sink, parts, packet_id, message, session.barrier)

    def _drop_queued(self, session: Session, out: Outgoing) -> None:
        if session.stored:
            session.barrier = self.journal.dequeue(session.client_id, out.message.sequence)

    def _resend(self, session: Session, sink: Outbox, packet_id: int, now: float) -> None:
        """Send an unacknowledged message again, with DUP 1 and its own identifier [MQTT-4.4.0-1]."""
        entry = session.inflight[packet_id]
        if isinstance(entry, bytes):
            frame = with_dup(entry, packet_id)
        else:
            assert isinstance(entry, Outgoing)
            parts = publish_parts(
                entry.message, session.version, entry.qos, entry.retain, entry.subscription_ids, now
            )
            frame = with_dup(b"%b%b%b" % (parts.head, PACKET_ID[packet_id], parts.tail), packet_id)
        if session.packet_size_max and len(frame) > session.packet_size_max:
            self.counters.dropped_too_large += 1
            self.forget(session, packet_id)
            return
        self.send_frame(sink, frame, session.barrier)
        self.counters.publish_sent += 1

    # -- retained replays ---------------------------------------------------------------------------------------------

    def _replay(self, session: Session, sink: Outbox, cursor: ReplayCursor, limit: int, now: float) -> int:
        """Send a piece of the retained messages a new subscription asks for; returns how many topics were visited."""
        subscription = cursor.subscription
        room = min(limit, session.outgoing.room(), 64)
        found, position = self.retained.matching_slice(subscription.filter, cursor.position, room)
        ids = (subscription.subscription_id,) if subscription.subscription_id else ()
        for topic, message in found:
            if (
                message.sequence > cursor.since
                or topic in cursor.overtaken
                or (message.expires_at and message.expires_at <= now)
            ):
                continue
            out = Outgoing(self._own_copy(session, message), min(message.qos, subscription.qos), True, ids)
            if out.qos == 0:
                self._send_qos0(session, sink, out, now)
            else:
                self._start(session, sink, out, 0, now)
        self.end_fan_out()
        if position is None:
            assert session.replays is not None
            session.replays.remove(cursor)
            if not session.replays:
                session.replays = None
        else:
            cursor.position = position
        return len(found)

    def _own_copy(self, session: Session, message: Message) -> Message:
        """The same message under a number of its own, where the journal has to tell apart two deliveries of it."""
        return self.renumbered(message) if session.stored else message

    def next_sequence(self) -> int:
        """Number for a new message."""
        self.sequence += 1
        return self.sequence

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

    # -- the end of a message ----------------------------------------------------------------------------------------

    def finished(self, session: Session, packet_id: int, entry: object) -> None:
        """The client has acknowledged a message (or it was given up): the journal forgets it."""
        if session.stored:
            session.barrier = self.journal.dequeue(session.client_id, self.sequence_of(session, packet_id, entry))

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

    def expire_unsent(self, session: Session, packet_ids: list[int]) -> None:
        """Messages whose time ran out before their frame left: drop and count them, free their identifiers."""
        for packet_id in packet_ids:
            self.counters.dropped_expired += 1
            if packet_id:
                self.forget(session, packet_id)

    # -- resuming -----------------------------------------------------------------------------------------------------

    def resume(self, session: Session, version_before: int, now: float) -> None:
        """A connection resumes the session: PUBREL again at once, then the unacknowledged messages, then the queue."""
        sink = session.sink
        assert sink is not None
        if version_before != session.version:
            self._convert_frames(session, version_before)
        for packet_id in session.outgoing.start_resume():
            self.send_frame(sink, PUBREL_FRAMES[packet_id], session.barrier)  # [MQTT-4.4.0-1]
        self.drain(session, now)

    def _convert_frames(self, session: Session, version: int) -> None:
        """Frames kept as they were passed on belong to one version; make messages of them for the other."""
        for packet_id, entry in session.inflight.items():
            if isinstance(entry, bytes):
                sequence = session.sequences.pop(packet_id, 0) if session.sequences is not None else 0
                session.inflight[packet_id] = _as_outgoing(entry, version, sequence)
        if session.queue is not None:
            session.queue = deque(
                [_as_outgoing(entry, version, 0) if isinstance(entry, bytes) else entry for entry in session.queue]
            )

    # -- sessions of the host -----------------------------------------------------------------------------------------

    def _deliver_local(
        self, session: Session, local: LocalSubscriber, out: Outgoing, barrier: int, now: float
    ) -> None:
        if out.qos == 0:
            if not local.push(out, 0, 0):
                self.counters.dropped_local += 1
            return
        if session.queue or local.full() or session.outgoing.room() <= 0:
            self._enqueue(session, out, now)
            return
        packet_id = session.outgoing.send(out)
        if session.stored:
            barrier = session.barrier = self.journal.enqueue(
                session.client_id, out.message, out.qos, out.retain, out.subscription_ids, packet_id, out.shared
            )
        local.push(out, packet_id, barrier)

    def _drain_local(self, session: Session, now: float) -> None:
        local = session.local
        assert isinstance(local, LocalSubscriber)
        flow = session.outgoing
        budget = SLICE_MAX
        while budget > 0 and not local.full() and flow.room() > 0:
            budget -= 1
            if flow.resend is not None:
                packet_id = flow.next_resend()
                entry = session.inflight[packet_id]
                assert isinstance(entry, Outgoing)
                local.push(entry, packet_id, session.barrier)
            elif session.queue:
                out = session.queue.popleft()
                assert isinstance(out, Outgoing)
                self._popped(session, len(out.message.topic) + len(out.message.payload))
                if out.message.expires_at and out.message.expires_at <= now:
                    self.counters.dropped_expired += 1
                    self._drop_queued(session, out)
                    continue
                packet_id = flow.send(out)
                if session.stored:
                    session.barrier = self.journal.assign(session.client_id, out.message.sequence, packet_id)
                local.push(out, packet_id, session.barrier)
            elif session.replays is None:
                break
            else:
                budget -= 1 + self._replay_local(session, local, session.replays[0], now)
        if budget <= 0:
            self.unfinished[session] = None

    def _replay_local(self, session: Session, local: LocalSubscriber, cursor: ReplayCursor, now: float) -> int:
        subscription = cursor.subscription
        found, position = self.retained.matching_slice(subscription.filter, cursor.position, 64)
        for topic, message in found:
            expired = message.expires_at and message.expires_at <= now
            if message.sequence > cursor.since or topic in cursor.overtaken or expired:
                continue
            out = Outgoing(self._own_copy(session, message), min(message.qos, subscription.qos), True)
            self._deliver_local(session, local, out, 0, now)
        if position is None:
            assert session.replays is not None
            session.replays.remove(cursor)
            if not session.replays:
                session.replays = None
        else:
            cursor.position = position
        return len(found)


def _as_outgoing(frame: bytes, version: int, sequence: int) -> Outgoing:
    message = message_of_frame(frame, version, sequence)
    return Outgoing(message, message.qos, False)

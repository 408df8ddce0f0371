"""Filling freed room: what waits for a session leaves as its quota and outbox allow.

Laws. The order is: what a resumed connection has to see again, then the queue, then retained messages. PUBREL waits for
nobody. One input moves at most SLICE_MAX messages; a session with more to send is put on `sender.unfinished` and the
broker comes back to it at once. Retained replays do not count against the queue limit: they are walked with a
cursor, and a newer live message on a topic cancels its pending replay. That there is one is stored with the session,
how far it got is not: after a crash it begins anew.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from mqtt_core.codec.encode import encode_publish
from mqtt_core.codec.types import PACKET_ID, PUBREL_FRAMES, V5
from mqtt_core.router.frames import (
    content_size,
    id_offset,
    message_of_frame,
    property_section,
    publish_parts,
    with_dup,
    with_identifiers,
)
from mqtt_core.router.local import LocalSubscriber, deliver_local
from mqtt_core.router.sender import Sender
from mqtt_core.session.message import Message, Outgoing
from mqtt_core.session.session import ReplayCursor, Session
from mqtt_core.transport.outbox import Outbox

__all__ = ["SLICE_MAX", "drain", "resume"]

SLICE_MAX: Final = 1000
"""Messages that one input moves from a queue or a replay towards one session at most."""

REPLAY_MAX: Final = 64
"""Retained messages looked at in one step of a replay."""

VISITS_PER_MESSAGE: Final = 4
"""Names walked to find them, or none, that count as much as one message of a slice."""


def drain(sender: Sender, session: Session, now: float) -> None:
    """Send what waits for a session, as far as quota, outbox and SLICE_MAX allow."""
    local = session.local
    if local is not None:
        assert isinstance(local, LocalSubscriber)
        _drain_local(sender, session, local, now)
        return
    sink = session.sink
    if sink is None:
        return
    flow = session.outgoing
    budget = SLICE_MAX
    while budget > 0 and sink.size < sender.outbox_bytes_max and flow.room() > 0:
        if flow.resend is not None:
            budget -= 1
            _resend(sender, session, sink, flow.next_resend(), now)
        elif session.queue:
            entry = session.queue[0]
            if isinstance(entry, bytes) and sender.authorize_deliver is None and not session.alias_max:
                budget -= _send_frames(sender, session, sink, session.queue, budget)
            else:
                budget -= 1
                session.queue.popleft()
                out = _as_outgoing(entry, session.version, 0) if isinstance(entry, bytes) else entry
                _send_queued(sender, session, sink, out, now)
        elif session.replays is None:
            break
        else:
            budget -= _replay(sender, session, next(iter(session.replays.values())), budget, now)
    session.update_direct()
    if budget <= 0 and not session.direct:
        sender.unfinished[session] = None


def resume(sender: Sender, session: Session, version_before: int, now: float) -> None:
    """A connection resumes the session: PUBREL again at once, then the unacknowledged messages, then the queue."""
    sink = session.sink
    assert sink is not None
    if version_before != session.version:
        _convert_frames(session, version_before)
    for packet_id in session.outgoing.start_resume():
        sender.send_frame(sink, PUBREL_FRAMES[packet_id], session.barrier)  # [MQTT-4.4.0-1]
    drain(sender, session, now)


def _send_frames(sender: Sender, session: Session, sink: Outbox, queue: deque[Outgoing | bytes], limit: int) -> int:
    """Send frames from the head of the queue under identifiers of their own; returns how many were taken.

    Neighbours of one topic and one size are numbered together.
    """
    counters = sender.counters
    version = session.version
    room = min(session.outgoing.room(), limit)
    space = sender.outbox_bytes_max - sink.size
    chunks: list[bytes] = []
    taken = content = 0
    while taken < room and space > 0 and queue:
        first = queue[0]
        if not isinstance(first, bytes):
            break
        frame_size = len(first)
        head = first[: id_offset(first)]
        most = min(room - taken, (space + frame_size - 1) // frame_size)
        frames: list[bytes] = []
        while queue and len(frames) < most:
            frame = queue[0]
            if not isinstance(frame, bytes) or not frame.startswith(head):
                break
            frames.append(frame)
            queue.popleft()
        count = len(frames)
        taken += count
        content += count * content_size(first, version)
        if session.packet_size_max and frame_size > session.packet_size_max:
            counters.dropped_too_large += count  # [MQTT-3.1.2-25 v5]
            continue
        ids = session.outgoing.send_run(frames, [])
        chunks.append(with_identifiers(b"".join(frames), len(head), frame_size, ids))
        space -= count * frame_size
        counters.publish_sent += count
        counters.publish_bytes_sent += count * (frame_size - len(head) - (3 if version == V5 else 2))
    sender.queues.taken(session, taken, content)
    if chunks:
        sender.send_frame(sink, b"".join(chunks), session.barrier)
    return taken


def _send_queued(sender: Sender, session: Session, sink: Outbox, out: Outgoing, now: float) -> None:
    message = out.message
    sender.queues.taken(session, 1, message.size())
    if message.expires_at and message.expires_at <= now:  # [MQTT-3.3.2-5 v5]
        sender.forget_queued(session, out)
        sender.counters.dropped_expired += 1
        return
    if sender.authorize_deliver is not None and not sender.authorize_deliver(session, message.topic):
        sender.forget_queued(session, out)
        sender.counters.dropped_not_authorized += 1
        return
    parts = sender.parts(session, out, now)
    if session.packet_size_max and parts.size > session.packet_size_max:
        sender.forget_queued(session, out)  # [MQTT-3.1.2-25 v5]
        sender.counters.dropped_too_large += 1
        return
    packet_id = session.outgoing.send(out)
    if session.stored:
        session.barrier = sender.journal.assign(session.client_id, message.sequence, packet_id)
    sender.put(sink, parts, packet_id, message, session.barrier)


def _resend(sender: Sender, session: Session, sink: Outbox, packet_id: int, now: float) -> None:
    """Send an unacknowledged message again, with DUP 1 and its own identifier [MQTT-4.4.0-1]."""
    entry = session.inflight[packet_id]
    if isinstance(entry, bytes):
        frame = with_dup(entry, packet_id)
    else:
        assert isinstance(entry, Outgoing)
        parts = publish_parts(entry.message, session.version, entry.qos, entry.retain, entry.subscription_ids, now)
        frame = with_dup(b"%b%b%b" % (parts.head, PACKET_ID[packet_id], parts.tail), packet_id)
    if session.packet_size_max and len(frame) > session.packet_size_max:
        sender.counters.dropped_too_large += 1
        sender.forget(session, packet_id)
        return
    sender.send_frame(sink, frame, session.barrier)  # [MQTT-4.3.3-7 v5]
    sender.counters.publish_sent += 1


def _replay(sender: Sender, session: Session, cursor: ReplayCursor, limit: int, now: float) -> int:
    """Send some of the retained messages a new subscription asks for; returns how much of `limit` that used up."""
    subscription = cursor.subscription
    used = 1
    if not cursor.found and not cursor.walked:
        walked = sender.retained.visits
        cursor.found, cursor.position = sender.retained.matching_slice(subscription.filter, cursor.position, REPLAY_MAX)
        cursor.found.reverse()
        cursor.walked = cursor.position is None
        cursor.changes = sender.retained.changes
        used += (sender.retained.visits - walked) // VISITS_PER_MESSAGE
    ids = (subscription.subscription_id,) if subscription.subscription_id and session.version == V5 else ()
    local = session.local
    if session.sink is not None and not (session.stored or session.alias_max or session.packet_size_max):
        used += _replay_plain(sender, session, session.sink, cursor, ids, limit, now)
    while cursor.found and used <= limit and _has_room(sender, session):
        topic, message = cursor.found.pop()
        used += 1
        if not _is_due(sender, session, cursor, topic, message, now):
            continue
        # [MQTT-3.3.1-8 v3.1.1] [MUST-3.8.3.1-3 v5]
        out = Outgoing(_own_copy(sender, session, message), min(message.qos, subscription.qos), True, ids)
        if local is not None:
            assert isinstance(local, LocalSubscriber)
            deliver_local(sender, session, local, out, 0, now)
        elif session.sink is not None:
            sender.start(session, session.sink, out, 0, now)
    sender.end_fan_out()
    if cursor.walked and not cursor.found:
        session.end_replay(subscription.filter)
        if session.stored:
            session.barrier = sender.journal.store_session(session)
    return used


def _replay_plain(
    sender: Sender,
    session: Session,
    sink: Outbox,
    cursor: ReplayCursor,
    ids: tuple[int, ...],
    limit: int,
    now: float,
) -> int:
    """Send the retained messages at hand in one piece, up to the first that may expire before it leaves.

    For a session that is not stored, whose client set no limit to packets and no topic aliases. Returns how many
    messages were looked at.
    """
    subscription = cursor.subscription
    counters = sender.counters
    room = session.outgoing.room()
    space = sender.outbox_bytes_max - sink.size
    found = cursor.found
    chunks: list[bytes] = []
    used = payload_bytes = 0
    while found and used < limit and room > 0 and space > 0:
        topic, message = found[-1]
        if message.expires_at:
            break
        found.pop()
        used += 1
        if not _is_due(sender, session, cursor, topic, message, now):
            continue
        qos = min(message.qos, subscription.qos)
        packet_id = 0
        if qos:
            packet_id = session.outgoing.send(Outgoing(message, qos, True, ids))
            room -= 1
        properties = property_section(message.properties, ids) if session.version == V5 else None
        # [MQTT-3.3.1-8 v3.1.1] [MUST-3.8.3.1-3 v5]
        frame = encode_publish(topic.encode(), message.payload, qos, True, False, packet_id, properties)
        chunks.append(frame)
        space -= len(frame)
        payload_bytes += len(message.payload)
    if chunks:
        counters.publish_sent += len(chunks)
        counters.publish_bytes_sent += payload_bytes
        sender.send_frame(sink, b"".join(chunks), 0)
    return used


def _is_due(sender: Sender, session: Session, cursor: ReplayCursor, topic: str, message: Message, now: float) -> bool:
    """Whether a message that was found is to be sent: still retained, allowed, not told already, not their own."""
    subscription = cursor.subscription
    if message.sequence > cursor.since or session.overtaken.get(topic, 0) >= cursor.since:
        return False
    if subscription.no_local and message.publisher == session.client_id:
        return False  # [MQTT-3.8.3-3 v5]
    if cursor.changes != sender.retained.changes or message.expires_at:
        if sender.retained.get(topic, now) is not message:
            return False
    allowed = sender.authorize_deliver
    return allowed is None or allowed(session, topic)


def _has_room(sender: Sender, session: Session) -> bool:
    """Is there quota, and room where the messages of this session go?"""
    if session.outgoing.room() <= 0:
        return False
    local = session.local
    if local is not None:
        assert isinstance(local, LocalSubscriber)
        return not local.full()
    return session.sink is not None and session.sink.size < sender.outbox_bytes_max


def _own_copy(sender: Sender, session: Session, message: Message) -> Message:
    """The same message under a number of its own, where the journal has to tell apart two deliveries of it."""
    return sender.renumbered(message) if session.stored else message


def _convert_frames(session: Session, version: int) -> None:
    """Frames kept as they were passed on belong to one version; make messages of them for the other."""
    for packet_id, entry in session.inflight.items():
        if isinstance(entry, bytes):
            sequence = session.sequences.pop(packet_id, 0) if session.sequences is not None else 0
            session.inflight[packet_id] = _as_outgoing(entry, version, sequence)
    if session.queue is not None:
        session.queue = deque(
            [_as_outgoing(entry, version, 0) if isinstance(entry, bytes) else entry for entry in session.queue]
        )


def _as_outgoing(frame: bytes, version: int, sequence: int) -> Outgoing:
    message = message_of_frame(frame, version, sequence)
    return Outgoing(message, message.qos, False)


def _drain_local(sender: Sender, session: Session, local: LocalSubscriber, now: float) -> None:
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
            message = out.message
            sender.queues.taken(session, 1, message.size())
            if message.expires_at and message.expires_at <= now:
                sender.counters.dropped_expired += 1
                sender.forget_queued(session, out)
                continue
            packet_id = flow.send(out)
            if session.stored:
                session.barrier = sender.journal.assign(session.client_id, message.sequence, packet_id)
            local.push(out, packet_id, session.barrier)
        elif session.replays is None:
            break
        else:
            budget -= _replay(sender, session, next(iter(session.replays.values())), budget, now)
    if budget <= 0:
        sender.unfinished[session] = None

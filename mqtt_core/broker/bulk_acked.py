"""The bulk path for PUBLISH of QoS 1 and 2: into flight, to the outboxes and into the journal without an object.

Law: the frame that came in is the in-flight record and, where the publisher's identifier is free at the subscriber,
also what goes out. A recipient whom it does not suit gets it with another identifier, or as a message that waits.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_core.broker.bulk_frames import body_at, end_at, may_pass
from mqtt_core.codec.types import PACKET_ID, PUBACK_FRAMES, PUBREC_FRAMES, V5
from mqtt_core.router.frames import id_offset, message_of_frame
from mqtt_core.router.router import Route
from mqtt_core.session.message import Outgoing
from mqtt_core.session.session import Session

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["forward_acked"]


def forward_acked(handler: ClientHandler, chunk: bytes, pos: int, size: int, now: float) -> int:
    """Forward QoS 1/2 frames of one topic; long because it is the innermost loop of fan-out."""
    first = chunk[pos]
    qos = first >> 1 & 3
    v5 = 1 if handler.version == V5 else 0
    body = pos + 2
    if chunk[pos + 1] > 127:
        body = body_at(chunk, pos, size)
        if not body:
            return pos
        end = end_at(chunk, pos, body)
    else:
        end = body + chunk[pos + 1]
    if end > size or body + 4 > end:
        return pos
    after = body + 2 + (chunk[body] << 8 | chunk[body + 1])
    if after + 2 + v5 > end:
        return pos
    state = handler.state
    route = state.router.routes.get(chunk[body + 2 : after])
    frame_size = end - pos
    if route is None or not route.plain or not may_pass(handler, route, qos, frame_size):
        return pos
    publisher = handler.session
    assert publisher is not None
    plain = route.plain
    if publisher.subscriptions and publisher in plain:
        return pos
    limit = state.sender.outbox_bytes_max
    room = limit
    stored: list[Session] = []
    for session in plain:
        if session.sink is not None and limit - session.sink.size < room:
            room = limit - session.sink.size
        if session.stored:
            stored.append(session)
    received = publisher.incoming.received
    quota = handler.config.receive_maximum - handler.unacked - (publisher.incoming.occupied() if v5 else 0)
    keeps_receipt = qos == 2 and publisher.stored
    barrier = state.journal.claim() if stored or keeps_receipt else 0
    prefix = chunk[pos:after]
    id_at = after - pos
    payload = frame_size - id_at - 2 - v5
    table = PUBACK_FRAMES if qos == 1 else PUBREC_FRAMES
    acks: list[bytes] = []
    parts: list[bytes] = []
    alone = len(plain) == 1
    start = run = pos
    missed = sequence = 0
    startswith = chunk.startswith
    while pos - start < room and quota > 0 and pos + frame_size <= size and startswith(prefix, pos):
        at = pos + id_at
        packet_id = chunk[at] << 8 | chunk[at + 1]
        if not packet_id or (v5 and chunk[at + 2]) or (qos == 2 and packet_id in received):
            break
        if qos == 2:
            received[packet_id] = None
            if keeps_receipt:
                publisher.barrier = state.journal.store_receipt(publisher.client_id, packet_id)
        frame = chunk[pos : pos + frame_size]
        misfits: list[Session] | None = None
        for session in plain:
            inflight = session.inflight
            if session.direct and packet_id not in inflight and len(inflight) < session.outgoing.limit:
                inflight[packet_id] = frame
            elif misfits is None:
                misfits = [session]
            else:
                misfits.append(session)
        acks.append(table[packet_id])
        if misfits is not None and alone and session.direct and len(inflight) < session.outgoing.limit:
            # Only the identifier is in use there: it alone is exchanged, and the run goes on behind it.
            packet_id = session.outgoing.send(frame)
            parts.append(chunk[run:at])
            parts.append(PACKET_ID[packet_id])
            run = at + 2
            misfits = None
        if stored:
            sequence = state.sender.next_sequence()
            _store(handler, stored, sequence, packet_id, frame, qos)
        if misfits is not None:
            if run < pos or parts:
                parts.append(chunk[run:pos])
                _emit(handler, plain, b"".join(parts), barrier)
                parts = []
            if len(misfits) < len(plain):
                _emit(handler, [s for s in plain if s.inflight.get(packet_id) is frame], frame, barrier)
            _deliver(handler, route, misfits, frame, sequence, barrier, now)
            missed += len(misfits)
            run = pos + frame_size
        quota -= 1
        pos += frame_size
    count = len(acks)
    if count:
        parts.append(chunk[run:pos])
        _emit(handler, plain, b"".join(parts), barrier)
        counters = state.counters
        counters.bulk_frames += count
        counters.messages_received += count
        counters.publish_received += count
        counters.publish_bytes_received += count * payload
        counters.publish_sent += count * len(plain) - missed
        counters.publish_bytes_sent += (count * len(plain) - missed) * payload
        credits = count if qos == 1 or not v5 else 0
        handler.acknowledge_run(b"".join(acks), count, credits, barrier)
    return pos


def _emit(handler: ClientHandler, sessions: list[Session], run: bytes, barrier: int) -> None:
    """Append a run of frames, which are in flight already, to the outboxes of sessions that are connected."""
    if not run:
        return
    sender = handler.state.sender
    length = len(run)
    for session in sessions:
        sink = session.sink
        if sink is None:
            continue
        if barrier == 0 and sink.held is None:
            sink.size += length
            sink.ready.append(run)
            if not sink.dirty:
                sink.mark_dirty()
        else:
            sender.send_frame(sink, run, barrier)


def _store(
    handler: ClientHandler, stored: list[Session], sequence: int, packet_id: int, frame: bytes, qos: int
) -> None:
    """Write the entries of the stored sessions that took the frame as it is; the others are written when delivered."""
    journal = handler.state.journal
    version = handler.version
    for session in stored:
        if session.inflight.get(packet_id) is frame:
            session.barrier = journal.enqueue_frame(session.client_id, sequence, version, frame, packet_id, qos)
            if session.sequences is None:
                session.sequences = {packet_id: sequence}
            else:
                session.sequences[packet_id] = sequence


def _deliver(
    handler: ClientHandler,
    route: Route,
    misfits: list[Session],
    frame: bytes,
    sequence: int,
    barrier: int,
    now: float,
) -> None:
    """Recipients that cannot take the frame as it is: with another identifier, or as a message that has to wait."""
    sender = handler.state.sender
    out: Outgoing | None = None
    for session in misfits:
        sink = session.sink
        if session.direct and sink is not None and session.outgoing.room() > 0 and sink.size < sender.outbox_bytes_max:
            packet_id = session.outgoing.send(frame)
            if session.stored:
                _store(handler, [session], sequence, packet_id, frame, frame[0] >> 1 & 3)
            at = id_offset(frame)
            head, tail = frame[:at], frame[at + 2 :]
            sender.send_frame(sink, b"%b%b%b" % (head, PACKET_ID[packet_id], tail), barrier)
            counters = handler.state.counters
            counters.publish_sent += 1
            counters.publish_bytes_sent += len(tail) - (1 if handler.version == V5 else 0)
            continue
        if session.replays is not None:
            sender.overtake(session, route.topic)
        if not session.stored:
            sender.queues.enqueue_frame(session, frame, now)
            continue
        if out is None:
            message = message_of_frame(frame, handler.version, sequence or sender.next_sequence())
            message.publisher = handler.client_id
            out = Outgoing(message, message.qos, False)
        sender.deliver(session, out, barrier, now)
    sender.end_fan_out()

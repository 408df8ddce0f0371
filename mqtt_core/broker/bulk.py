"""The bulk path: what a broker does a million times, by index arithmetic over the bytes of one read.

It serves a PUBLISH on an open connection to a known route with nothing special about it (DUP 0, RETAIN 0, no property,
all recipients plain and of the publisher's version, allowed by the policy, within every limit), and runs of four-byte
acknowledgements. There is no object per message: the frame that came in goes out unchanged, contiguous frames of one
route as one slice. A QoS 1/2 frame keeps the publisher's packet identifier where that is free at the subscriber
("borrowing"), and is itself the in-flight record; the identifier inside such a record means nothing.

Laws. Two paths, one meaning: whatever is decided here comes out as the object path would have it, byte for byte and
count for count. Anything else is left where it is: `serve` moves the reader to the first frame it may not serve, and the
object path takes that one. Counters and limits are kept per run, not per message.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mqtt_core.codec.types import PACKET_ID, PUBACK_FRAMES, PUBCOMP_FRAMES, PUBREC_FRAMES, PUBREL_FRAMES, V5
from mqtt_core.router.frames import id_offset, message_of_frame
from mqtt_core.router.router import Route
from mqtt_core.session.message import Outgoing
from mqtt_core.session.qos import Released
from mqtt_core.session.session import Session
from mqtt_core.transport.outbox import Outbox

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["serve"]

_PUBLISH_QOS0: Final = 0x30
_PUBLISH_QOS1: Final = 0x32
_PUBLISH_QOS2: Final = 0x34
_PUBACK: Final = 0x40
_PUBREC: Final = 0x50
_PUBREL: Final = 0x62
_PUBCOMP: Final = 0x70
_NOT_STORED: Final = Released(0)


def serve(handler: ClientHandler, now: float) -> None:
    """Serve the frames at the reader's position as long as they are plain."""
    if 0 < handler.packet_size_max < 4:
        return
    reader = handler.reader
    chunk = reader.chunk
    start = pos = reader.position
    size = len(chunk)
    paced = handler.version != V5
    while size - pos >= 4:
        if paced and handler.window_full():
            break
        first = chunk[pos]
        if first == _PUBLISH_QOS0:
            after = _forward_qos0(handler, chunk, pos, size)
        elif first == _PUBLISH_QOS1 or first == _PUBLISH_QOS2:
            after = _forward_acked(handler, chunk, pos, size, now)
        elif first == _PUBACK or first == _PUBCOMP:
            after = _finish(handler, chunk, pos, size)
        elif first == _PUBREC:
            after = _release(handler, chunk, pos, size)
        elif first == _PUBREL:
            after = _complete(handler, chunk, pos, size)
        else:
            break
        if after == pos:
            break
        pos = after
    if pos != start:
        reader.position = pos


def _body_at(chunk: bytes, pos: int, size: int) -> int:
    """Where the body of the frame at `pos` begins, whose remaining length has more than one byte; 0 if unclear."""
    if size - pos < 5:
        return 0
    if chunk[pos + 2] < 128:
        return pos + 3 if chunk[pos + 2] else 0
    if chunk[pos + 3] < 128:
        return pos + 4 if chunk[pos + 3] else 0
    return pos + 5 if 0 < chunk[pos + 4] < 128 else 0


def _end_at(chunk: bytes, pos: int, body: int) -> int:
    """Where the frame at `pos` ends whose body begins at `body`."""
    remaining = 0
    for at in range(body - 1, pos, -1):
        remaining = remaining << 7 | (chunk[at] & 127)
    return body + remaining


def _may(handler: ClientHandler, route: Route, qos: int, frame_size: int) -> bool:
    """May frames like this one go along this route unchanged? Asked once per run."""
    if route.version != handler.version or qos > route.qos_min and qos:
        return False
    if frame_size > handler.reader.max_size or (route.size_max and frame_size > route.size_max):
        return False
    if qos > handler.config.maximum_qos:
        return False
    if handler.state.policy is None:
        return True
    verdicts = handler.verdicts
    if verdicts is None or handler.epoch != handler.state.policy_epoch:
        return False
    return verdicts.get((route.topic, qos, False), False)


# -- QoS 0 ------------------------------------------------------------------------------------------------------------


def _forward_qos0(handler: ClientHandler, chunk: bytes, pos: int, size: int) -> int:
    """Forward QoS 0 frames as slices; longer than others because it is the innermost loop of fan-out."""
    routes = handler.state.router.routes
    v5 = 1 if handler.version == V5 else 0
    route: Route | None = None
    run = pos
    frames = payload = total = 0
    startswith = chunk.startswith
    while size - pos >= 4 and chunk[pos] == _PUBLISH_QOS0:
        body = pos + 2
        if chunk[pos + 1] > 127:
            body = _body_at(chunk, pos, size)
            if not body:
                break
            end = _end_at(chunk, pos, body)
        else:
            end = body + chunk[pos + 1]
        topic = body + 2
        if end > size or topic > end:
            break
        after = topic + (chunk[body] << 8 | chunk[body + 1])
        if after + v5 > end or (v5 and chunk[after]):
            break
        found = routes.get(chunk[topic:after])
        if found is None:
            break
        frame_size = end - pos
        if not _may(handler, found, 0, frame_size):
            break
        if found is not route:
            if route is not None:
                _emit_qos0(handler, route, chunk[run:pos], frames, payload)
                total += frames
            route = found
            run = pos
            frames = payload = 0
        prefix = chunk[pos : after + v5]
        before = pos
        pos = end
        while startswith(prefix, pos) and pos + frame_size <= size:
            pos += frame_size
        count = (pos - before) // frame_size
        frames += count
        payload += count * (end - after - v5)
    if route is None:
        return pos
    _emit_qos0(handler, route, chunk[run:pos], frames, payload)
    total += frames
    counters = handler.state.counters
    counters.messages_received += total
    counters.bulk_frames += total
    return pos


def _emit_qos0(handler: ClientHandler, route: Route, run: bytes, frames: int, payload: int) -> None:
    """Give a run of QoS 0 frames to the route's recipients; those whose outbox is about full get it frame by frame."""
    state = handler.state
    counters = state.counters
    counters.publish_received += frames
    counters.publish_bytes_received += payload
    limit = state.sender.outbox_bytes_max
    length = len(run)
    given = 0
    for session in route.plain:
        sink = session.sink
        if session.replays is not None:
            state.sender.overtake(session, route.topic)
        if sink is None:
            continue
        if sink.size + length > limit:
            _emit_each(handler, sink, run, len(route.topic_bytes))
            continue
        given += 1
        if sink.held is None:
            sink.size += length
            sink.ready.append(run)
            if not sink.dirty:
                sink.mark_dirty()
        else:
            sink.send(run)
    counters.publish_sent += frames * given
    counters.publish_bytes_sent += payload * given


def _emit_each(handler: ClientHandler, sink: Outbox, run: bytes, topic_size: int) -> None:
    """A run of QoS 0 frames for an outbox that has room for only some of them: the rest is dropped and counted."""
    counters = handler.state.counters
    limit = handler.state.sender.outbox_bytes_max
    overhead = topic_size + 2 + (1 if handler.version == V5 else 0)
    pos = 0
    while pos < len(run):
        body = pos + 2 if run[pos + 1] < 128 else _body_at(run + bytes(4), pos, len(run) + 4)
        end = _end_at(run, pos, body)
        if sink.size >= limit:
            counters.dropped_outbox += 1
        else:
            sink.send(run[pos:end])
            counters.publish_sent += 1
            counters.publish_bytes_sent += end - body - overhead
        pos = end


# -- QoS 1 and 2 ------------------------------------------------------------------------------------------------------


def _forward_acked(handler: ClientHandler, chunk: bytes, pos: int, size: int, now: float) -> int:
    """Forward QoS 1/2 frames of one topic; longer than others because it is the innermost loop of fan-out."""
    first = chunk[pos]
    qos = first >> 1 & 3
    v5 = 1 if handler.version == V5 else 0
    body = pos + 2
    if chunk[pos + 1] > 127:
        body = _body_at(chunk, pos, size)
        if not body:
            return pos
        end = _end_at(chunk, pos, body)
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
    if route is None or not route.plain or not _may(handler, route, qos, frame_size):
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


# -- acknowledgements -------------------------------------------------------------------------------------------------


def _finish(handler: ClientHandler, chunk: bytes, pos: int, size: int) -> int:
    """A run of PUBACK, or of PUBCOMP: the messages are over."""
    session = handler.session
    assert session is not None
    if session.outgoing.resend is not None:
        return pos
    inflight = session.inflight
    sender = handler.state.sender
    stored = session.stored
    start = pos
    first = chunk[pos]
    while pos + 4 <= size and chunk[pos] == first and chunk[pos + 1] == 2:
        packet_id = chunk[pos + 2] << 8 | chunk[pos + 3]
        entry = inflight.get(packet_id)
        if first == _PUBCOMP:
            if not isinstance(entry, Released):
                break
        elif isinstance(entry, bytes):
            if entry[0] & 0x06 != 0x02:
                break
        elif not isinstance(entry, Outgoing) or entry.qos != 1:
            break
        del inflight[packet_id]
        if stored:
            sender.finished(session, packet_id, entry)
        pos += 4
    _count_acks(handler, (pos - start) >> 2)
    return pos


def _release(handler: ClientHandler, chunk: bytes, pos: int, size: int) -> int:
    """A run of PUBREC: PUBREL for each."""
    session = handler.session
    assert session is not None
    if session.outgoing.resend is not None:
        return pos
    state = handler.state
    inflight = session.inflight
    replies: list[bytes] = []
    while pos + 4 <= size and chunk[pos] == _PUBREC and chunk[pos + 1] == 2:
        packet_id = chunk[pos + 2] << 8 | chunk[pos + 3]
        entry = inflight.get(packet_id)
        if isinstance(entry, bytes):
            if entry[0] & 0x06 != 0x04:
                break
        elif not isinstance(entry, Outgoing) or entry.qos != 2:
            break
        del inflight[packet_id]
        if session.stored:
            sequence = state.sender.sequence_of(session, packet_id, entry)
            session.barrier = state.journal.release(session.client_id, sequence)
            inflight[packet_id] = Released(sequence)
        else:
            inflight[packet_id] = _NOT_STORED
        replies.append(PUBREL_FRAMES[packet_id])
        pos += 4
    if replies:
        _count_acks(handler, len(replies))
        handler.acknowledge_run(b"".join(replies), len(replies), 0, session.barrier)
    return pos


def _complete(handler: ClientHandler, chunk: bytes, pos: int, size: int) -> int:
    """A run of PUBREL: the identifiers are free for new messages, PUBCOMP for each."""
    session = handler.session
    assert session is not None
    received = session.incoming.received
    replies: list[bytes] = []
    earlier = session.incoming.earlier
    if handler.version != V5:
        size = min(size, pos + 4 * (handler.config.receive_maximum - handler.unacked))
    while pos + 4 <= size and chunk[pos] == _PUBREL and chunk[pos + 1] == 2:
        packet_id = chunk[pos + 2] << 8 | chunk[pos + 3]
        if packet_id not in received or (earlier is not None and packet_id in earlier):
            break
        del received[packet_id]
        if session.stored:
            session.barrier = handler.state.journal.forget_receipt(session.client_id, packet_id)
        replies.append(PUBCOMP_FRAMES[packet_id])
        pos += 4
    if replies:
        _count_acks(handler, len(replies))
        handler.acknowledge_run(b"".join(replies), len(replies), len(replies), session.barrier)
    return pos


def _count_acks(handler: ClientHandler, count: int) -> None:
    counters = handler.state.counters
    counters.bulk_frames += count
    counters.messages_received += count

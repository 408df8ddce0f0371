"""The bulk path for PUBLISH of QoS 1 and 2: into flight, to the outboxes and into the journal without an object.

Law: the frame that came in is the in-flight record and, where the publisher's identifier is free at the subscriber,
also what goes out. A recipient whom it does not suit gets it with another identifier, or as a message that waits.

A run is frames of one topic and one size, so it can be looked at in columns: the identifiers of a thousand frames are
two strided slices of it, and so are their places in a run of acknowledgements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mqtt_core.broker.bulk_frames import body_at, end_at, may_pass
from mqtt_core.codec.types import PUBACK_FRAMES, PUBREC_FRAMES, V5
from mqtt_core.router.frames import message_of_frame, with_identifiers
from mqtt_core.router.router import Route
from mqtt_core.session.message import Outgoing
from mqtt_core.session.session import Session

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["forward_acked"]

_PUBACK: Final = b"\x40\x02\x00\x00"
_PUBREC: Final = b"\x50\x02\x00\x00"


class _Run:
    """Frames of one publisher, topic and size, one behind the other.

    id_at: where in a frame its identifier is. ids, frames: one entry per frame. stored: a recipient's session is kept
    in the store. barrier: of the writes the run needs, 0 for none. sequence: that of the first frame, if stored.
    messages: the frames as objects, made when the first recipient needs them.
    """

    __slots__ = (
        "barrier", "data", "frame_size", "frames", "id_at", "ids", "messages", "publisher", "qos", "route",
        "sequence", "stored",
    )  # fmt: skip

    def __init__(self, publisher: Session, route: Route, qos: int, id_at: int, frame_size: int) -> None:
        self.publisher = publisher
        self.route = route
        self.qos = qos
        self.id_at = id_at
        self.frame_size = frame_size
        self.data = b""
        self.ids: list[int] = []
        self.frames: list[bytes] = []
        self.stored = False
        self.barrier = 0
        self.sequence = 0
        self.messages: list[Outgoing] = []


def forward_acked(handler: ClientHandler, chunk: bytes, pos: int, size: int, now: float) -> int:
    """Forward the run of QoS 1/2 frames at `pos`; returns where it ends, `pos` when there is none that may pass."""
    run = _find(handler, chunk, pos, size)
    if run is None or not _cut(handler, run, chunk, pos, size):
        return pos
    _record(handler, run)
    count = len(run.ids)
    sent = _fan_out(handler, run, now)
    payload = run.frame_size - run.id_at - (3 if handler.version == V5 else 2)
    counters = handler.state.counters
    counters.bulk_frames += count
    counters.messages_received += count
    counters.publish_received += count
    counters.publish_bytes_received += count * payload
    counters.publish_sent += sent
    counters.publish_bytes_sent += sent * payload
    credits = count if run.qos == 1 or handler.version != V5 else 0
    handler.acknowledge_run(_acknowledgements(run), count, credits, run.barrier)
    return pos + len(run.data)


def _find(handler: ClientHandler, chunk: bytes, pos: int, size: int) -> _Run | None:
    """The run that begins with the frame at `pos`, not cut out yet; None when this frame may not pass."""
    qos = chunk[pos] >> 1 & 3
    body = pos + 2
    if chunk[pos + 1] > 127:
        body = body_at(chunk, pos, size)
        if not body:
            return None
        end = end_at(chunk, pos, body)
    else:
        end = body + chunk[pos + 1]
    if end > size or body + 4 > end:
        return None
    id_at = body + 2 + (chunk[body] << 8 | chunk[body + 1])
    if id_at + (3 if handler.version == V5 else 2) > end:
        return None
    route = handler.state.router.routes.get(chunk[body + 2 : id_at])
    if route is None or not route.plain or not may_pass(handler, route, qos, end - pos):
        return None
    publisher = handler.session
    assert publisher is not None
    if publisher.subscriptions and publisher in route.plain:
        return None
    return _Run(publisher, route, qos, id_at - pos, end - pos)


def _cut(handler: ClientHandler, run: _Run, chunk: bytes, pos: int, size: int) -> bool:
    """Cut out as many frames as there is room for, all with identifiers that may pass; False when there is none."""
    frame_size = run.frame_size
    room = _room(handler, run)
    if room <= 0:
        return False
    end = pos + frame_size
    if room > 1 and size - end >= frame_size:
        prefix = chunk[pos : pos + run.id_at]
        most = pos + min(room, (size - pos) // frame_size) * frame_size
        startswith = chunk.startswith
        while end < most and startswith(prefix, end):
            end += frame_size
    data = chunk[pos:end]
    received = run.publisher.incoming.received if run.qos == 2 else None
    ids = _identifiers(data, run.id_at, frame_size, handler.version == V5, received)
    length = len(ids) * frame_size
    if length < len(data):
        data = data[:length]
    run.ids = ids
    run.data = data
    run.frames = [data] if length == frame_size else [data[at : at + frame_size] for at in range(0, length, frame_size)]
    return length > 0


def _room(handler: ClientHandler, run: _Run) -> int:
    """How many frames the publisher's quota and the recipients' outboxes have room for."""
    limit = room = handler.state.sender.outbox_bytes_max
    for session in run.route.plain:
        sink = session.sink
        if sink is not None and limit - sink.size < room:
            room = limit - sink.size
        if session.stored:
            run.stored = True
    quota = handler.config.receive_maximum - handler.unacked
    if handler.version == V5:
        quota -= run.publisher.incoming.occupied()
    return min(quota, (room + run.frame_size - 1) // run.frame_size)


def _record(handler: ClientHandler, run: _Run) -> None:
    """Note the identifiers of QoS 2, give the run its barrier and its place among all messages."""
    state = handler.state
    publisher = run.publisher
    if run.stored or (run.qos == 2 and publisher.stored):
        run.barrier = state.journal.claim()
    if run.qos == 2:
        publisher.incoming.received.update(dict.fromkeys(run.ids))
        if publisher.stored:
            for packet_id in run.ids:
                publisher.barrier = state.journal.store_receipt(publisher.client_id, packet_id)
    if run.stored:
        run.sequence = state.sender.next_sequences(len(run.ids))


def _fan_out(handler: ClientHandler, run: _Run, now: float) -> int:
    """Give the run to every recipient; returns how many messages were sent here."""
    sender = handler.state.sender
    data = run.data
    ids = run.ids
    frames = run.frames
    count = len(ids)
    sent = 0
    for session in run.route.plain:
        inflight = session.inflight
        sink = session.sink
        if (
            session.direct
            and sink is not None
            and len(inflight) + count <= session.outgoing.limit
            and inflight.keys().isdisjoint(ids)
        ):
            inflight.update(zip(ids, frames, strict=True))
            if session.stored:
                sender.store_run(session, run.sequence, handler.version, frames, ids, run.qos)
            if run.barrier == 0 and sink.held is None:
                sink.size += len(data)
                sink.ready.append(data)
                if not sink.dirty:
                    sink.mark_dirty()
            else:
                sender.send_frame(sink, data, run.barrier)
            sent += count
        else:
            sent += _deliver(handler, run, session, now)
    return sent


def _deliver(handler: ClientHandler, run: _Run, session: Session, now: float) -> int:
    """A recipient that cannot take the run as it is: with other identifiers as far as it has room, the rest waits."""
    sender = handler.state.sender
    frames = run.frames
    sink = session.sink
    taken = 0
    if session.direct and sink is not None:
        taken = max(min(len(frames), session.outgoing.room()), 0)
        if taken:
            used = session.outgoing.send_run(frames[:taken], run.ids)
            if session.stored:
                sender.store_run(session, run.sequence, handler.version, frames, used, run.qos)
            sender.send_frame(sink, with_identifiers(run.data, run.id_at, run.frame_size, used), run.barrier)
    if taken == len(frames):
        return taken
    if session.replays is not None:
        sender.overtake(session, run.route.topic)
    if not session.stored:
        sender.queues.enqueue_frames(session, frames[taken:], now, run.barrier)
        return taken
    if not run.messages:
        for offset, frame in enumerate(frames):
            message = message_of_frame(frame, handler.version, run.sequence + offset)
            message.publisher = handler.client_id
            run.messages.append(Outgoing(message, message.qos, False))
    for out in run.messages[taken:]:
        sender.deliver(session, out, run.barrier, now)
    sender.end_fan_out()
    return taken


def _identifiers(run: bytes, id_at: int, frame_size: int, v5: bool, received: dict[int, None] | None) -> list[int]:
    """The identifiers of the frames at the front that are plain: no property, no identifier twice or 0.

    received: identifiers of QoS 2 that may not come again, None for QoS 1.
    """
    if len(run) == frame_size:
        packet_id = run[id_at] << 8 | run[id_at + 1]
        if not packet_id or (v5 and run[id_at + 2]) or (received is not None and packet_id in received):
            return []
        return [packet_id]
    ids = [high << 8 | low for high, low in zip(run[id_at::frame_size], run[id_at + 1 :: frame_size], strict=True)]
    if v5:
        lengths = run[id_at + 2 :: frame_size]
        ids = ids[: len(lengths) - len(lengths.lstrip(b"\0"))]
    if 0 in ids:
        ids = ids[: ids.index(0)]
    if len(set(ids)) == len(ids) and (received is None or received.keys().isdisjoint(ids)):
        return ids
    fresh: dict[int, None] = {}
    for packet_id in ids:
        if packet_id in fresh or (received is not None and packet_id in received):
            break
        fresh[packet_id] = None
    return list(fresh)


def _acknowledgements(run: _Run) -> bytes:
    """The answers to the frames of a run, one behind the other."""
    ids = run.ids
    if len(ids) == 1:
        return (PUBACK_FRAMES if run.qos == 1 else PUBREC_FRAMES)[ids[0]]
    answers = bytearray((_PUBACK if run.qos == 1 else _PUBREC) * len(ids))
    answers[2::4] = run.data[run.id_at :: run.frame_size]
    answers[3::4] = run.data[run.id_at + 1 :: run.frame_size]
    return bytes(answers)

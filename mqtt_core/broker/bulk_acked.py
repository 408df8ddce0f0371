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


def forward_acked(handler: ClientHandler, chunk: bytes, pos: int, size: int, now: float) -> int:
    """Forward a run of QoS 1/2 frames of one topic; long because it is the loop of fan-out and all that leads there."""
    qos = chunk[pos] >> 1 & 3
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
    sender = state.sender
    room = sender.outbox_bytes_max
    stored = False
    for session in plain:
        if session.sink is not None and sender.outbox_bytes_max - session.sink.size < room:
            room = sender.outbox_bytes_max - session.sink.size
        if session.stored:
            stored = True
    quota = handler.config.receive_maximum - handler.unacked - (publisher.incoming.occupied() if v5 else 0)
    count = min(quota, (room + frame_size - 1) // frame_size)
    if count <= 0:
        return pos
    id_at = after - pos
    if size - end >= frame_size and count > 1:
        prefix = chunk[pos:after]
        most = pos + min(count, (size - pos) // frame_size) * frame_size
        startswith = chunk.startswith
        while end < most and startswith(prefix, end):
            end += frame_size
    run = chunk[pos:end]
    received = publisher.incoming.received
    ids = _identifiers(run, id_at, frame_size, v5, received if qos == 2 else None)
    count = len(ids)
    if not count:
        return pos
    if count * frame_size < len(run):
        run = run[: count * frame_size]
    frames = [run] if count == 1 else [run[at : at + frame_size] for at in range(0, len(run), frame_size)]
    barrier = state.journal.claim() if stored or (qos == 2 and publisher.stored) else 0
    if qos == 2:
        received.update(dict.fromkeys(ids))
        if publisher.stored:
            for packet_id in ids:
                publisher.barrier = state.journal.store_receipt(publisher.client_id, packet_id)
    sequence = sender.next_sequences(count) if stored else 0
    messages: list[Outgoing] = []
    sent = 0
    for session in plain:
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
                sender.store_run(session, sequence, handler.version, frames, ids, qos)
            if barrier == 0 and sink.held is None:
                sink.size += len(run)
                sink.ready.append(run)
                if not sink.dirty:
                    sink.mark_dirty()
            else:
                sender.send_frame(sink, run, barrier)
            sent += count
        else:
            sent += _deliver(handler, route, session, run, id_at, ids, frames, sequence, messages, barrier, now)
    payload = frame_size - id_at - 2 - v5
    counters = state.counters
    counters.bulk_frames += count
    counters.messages_received += count
    counters.publish_received += count
    counters.publish_bytes_received += count * payload
    counters.publish_sent += sent
    counters.publish_bytes_sent += sent * payload
    credits = count if qos == 1 or not v5 else 0
    handler.acknowledge_run(_acknowledgements(qos, run, id_at, frame_size, ids), count, credits, barrier)
    return pos + len(run)


def _identifiers(run: bytes, id_at: int, frame_size: int, v5: int, received: dict[int, None] | None) -> list[int]:
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


def _acknowledgements(qos: int, run: bytes, id_at: int, frame_size: int, ids: list[int]) -> bytes:
    """The answers to the frames of a run, one behind the other."""
    if len(ids) == 1:
        return (PUBACK_FRAMES if qos == 1 else PUBREC_FRAMES)[ids[0]]
    answers = bytearray((_PUBACK if qos == 1 else _PUBREC) * len(ids))
    answers[2::4] = run[id_at::frame_size]
    answers[3::4] = run[id_at + 1 :: frame_size]
    return bytes(answers)


def _deliver(
    handler: ClientHandler,
    route: Route,
    session: Session,
    run: bytes,
    id_at: int,
    ids: list[int],
    frames: list[bytes],
    sequence: int,
    messages: list[Outgoing],
    barrier: int,
    now: float,
) -> int:
    """A recipient that cannot take the run as it is: with other identifiers as far as it has room, the rest waits.

    messages: those of the run, made when the first recipient needs them. Returns how many were sent here.
    """
    sender = handler.state.sender
    sink = session.sink
    taken = 0
    if session.direct and sink is not None:
        taken = min(len(frames), session.outgoing.room())
        if taken > 0:
            used = session.outgoing.send_run(frames[:taken], ids)
            if session.stored:
                sender.store_run(session, sequence, handler.version, frames, used, frames[0][0] >> 1 & 3)
            sender.send_frame(sink, with_identifiers(run, id_at, len(frames[0]), used), barrier)
        taken = max(taken, 0)
    if taken == len(frames):
        return taken
    if session.replays is not None:
        sender.overtake(session, route.topic)
    if not session.stored:
        sender.queues.enqueue_frames(session, frames[taken:], now)
        return taken
    if not messages:
        for offset, frame in enumerate(frames):
            message = message_of_frame(frame, handler.version, sequence + offset)
            message.publisher = handler.client_id
            messages.append(Outgoing(message, message.qos, False))
    for out in messages[taken:]:
        sender.deliver(session, out, barrier, now)
    sender.end_fan_out()
    return taken

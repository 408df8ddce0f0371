"""The bulk path: what a broker does a million times, by index arithmetic over the bytes of one read.

It serves a PUBLISH on an open connection to a known route with nothing special about it (DUP 0, RETAIN 0, no property,
all recipients plain and of the publisher's version, allowed by the policy, within every limit), and runs of four-byte
acknowledgements. There is no object per message: the frame that came in goes out unchanged, contiguous frames of one
route as one slice. A QoS 1/2 frame keeps the publisher's packet identifier where that is free at the subscriber
("borrowing"), and is itself the in-flight record; the identifier inside such a record means nothing.

Laws. Two paths, one meaning: whatever is decided here comes out as the object path would have it, byte for byte and
count for count. Anything else is left where it is: `serve` moves the reader to the first frame it may not serve, and
the object path takes that one. Counters and limits are kept per run, not per message.

Here are the door and QoS 0; QoS 1/2 is in bulk_acked.py, acknowledgements in bulk_acks.py, retained messages in
bulk_retained.py, the frame arithmetic in bulk_frames.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mqtt_core.broker.bulk_acked import forward_acked
from mqtt_core.broker.bulk_acks import PUBACK, PUBCOMP, PUBREC, PUBREL, complete_run, finish_run, release_run
from mqtt_core.broker.bulk_frames import body_at, end_at, may_pass
from mqtt_core.broker.bulk_retained import retain_run
from mqtt_core.codec.types import V5
from mqtt_core.router.router import Route
from mqtt_core.transport.outbox import Outbox

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["serve"]

_PUBLISH_QOS0: Final = 0x30
_PUBLISH_QOS1: Final = 0x32
_RETAINED_QOS0: Final = 0x31
_RETAINED_QOS1: Final = 0x33
_PUBLISH_QOS2: Final = 0x34
_STORED_MAX: Final = 1000
"""Retained messages that are stored in one go; others want to be served too."""


def serve(handler: ClientHandler, now: float) -> int:
    """Serve the frames at the reader's position as long as they are plain, and not too many of those that are stored.

    Returns how many of these there were: each is as much work as a packet of the object path.
    """
    if 0 < handler.packet_size_max < 4:
        return 0
    reader = handler.reader
    chunk = reader.chunk
    start = pos = reader.position
    size = len(chunk)
    paced = handler.version != V5
    receive_maximum = handler.config.receive_maximum
    stored = 0
    while size - pos >= 4:
        if paced and handler.unacked >= receive_maximum:
            break
        first = chunk[pos]
        if first == _PUBLISH_QOS0:
            after = _forward_qos0(handler, chunk, pos, size)
        elif first in (_PUBLISH_QOS1, _PUBLISH_QOS2):
            after = forward_acked(handler, chunk, pos, size, now)
        elif first in (PUBACK, PUBCOMP):
            after = finish_run(handler, chunk, pos, size)
        elif first == PUBREC:
            after = release_run(handler, chunk, pos, size)
        elif first == PUBREL:
            after = complete_run(handler, chunk, pos, size)
        elif first in (_RETAINED_QOS0, _RETAINED_QOS1) and stored < _STORED_MAX:
            before = handler.state.counters.bulk_frames
            after = retain_run(handler, chunk, pos, size, _STORED_MAX - stored)
            stored += handler.state.counters.bulk_frames - before
        else:
            break
        if after == pos:
            break
        pos = after
    if pos == size and not reader.later_size:
        reader.chunk = b""
        reader.position = 0
    elif pos != start:
        reader.position = pos
    return stored


def _forward_qos0(handler: ClientHandler, chunk: bytes, pos: int, size: int) -> int:
    """Forward QoS 0 frames as slices; returns where they end.

    A slice ends where the recipients change: for a single one it goes on over frames of other topics.
    """
    routes = handler.state.router.routes
    v5 = 1 if handler.version == V5 else 0
    route: Route | None = None
    run = pos
    frames = payload = total = 0
    startswith = chunk.startswith
    while size - pos >= 4 and chunk[pos] == _PUBLISH_QOS0:
        body = pos + 2
        if chunk[pos + 1] > 127:
            body = body_at(chunk, pos, size)
            if not body:
                break
            end = end_at(chunk, pos, body)
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
        if not may_pass(handler, found, 0, frame_size):
            break
        if found is not route:
            only = found.only
            if route is None or only is None or only is not route.only or only.replays is not None:
                if route is not None:
                    _emit_qos0(handler, route, chunk[run:pos], frames, payload)
                    total += frames
                run = pos
                frames = payload = 0
            route = found
        before = pos
        pos = end
        if size - end >= frame_size:
            prefix = chunk[before : after + v5]
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
        if sink is None:
            continue
        if session.replays is not None and sink.size < limit:
            state.sender.overtake(session, route.topic)
        if sink.size + length > limit:
            _emit_each(handler, sink, run)
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


def _emit_each(handler: ClientHandler, sink: Outbox, run: bytes) -> None:
    """A run of QoS 0 frames for an outbox that has room for only some of them: the rest is dropped and counted."""
    counters = handler.state.counters
    limit = handler.state.sender.outbox_bytes_max
    overhead = 3 if handler.version == V5 else 2
    pos = 0
    while pos < len(run):
        body = pos + 2 if run[pos + 1] < 128 else body_at(run + bytes(4), pos, len(run) + 4)
        end = end_at(run, pos, body)
        if sink.size >= limit:
            counters.dropped_outbox += 1
        else:
            sink.send(run[pos:end])
            counters.publish_sent += 1
            counters.publish_bytes_sent += end - body - overhead - (run[body] << 8 | run[body + 1])
        pos = end

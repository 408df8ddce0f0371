"""The bulk path for runs of four-byte acknowledgements: PUBACK, PUBREC, PUBREL, PUBCOMP.

Law: an acknowledgement of something that is not in flight, or in another state, ends the run; the object path says what
is wrong with it. Answers to one run are one chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mqtt_core.codec.types import PUBCOMP_FRAMES, PUBREL_FRAMES, V5
from mqtt_core.session.message import Outgoing
from mqtt_core.session.qos import Released
from mqtt_core.session.session import Session

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["PUBACK", "PUBCOMP", "PUBREC", "PUBREL", "complete_run", "finish_run", "release_run"]

PUBACK: Final = 0x40
PUBREC: Final = 0x50
PUBREL: Final = 0x62
PUBCOMP: Final = 0x70
_PUBLISH_QOS1: Final = 0x32
_NOT_STORED: Final = Released(0)


def finish_run(handler: ClientHandler, chunk: bytes, pos: int, size: int) -> int:
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
    if first == PUBACK and size - pos > 4:
        pos = _finish_frames(handler, session, chunk, pos, size)
    while pos + 4 <= size and chunk[pos] == first and chunk[pos + 1] == 2:
        packet_id = chunk[pos + 2] << 8 | chunk[pos + 3]
        entry = inflight.get(packet_id)
        if first == PUBCOMP:
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


def _finish_frames(handler: ClientHandler, session: Session, chunk: bytes, pos: int, size: int) -> int:
    """A run of PUBACK as a whole, or nothing of it: for QoS 1 only, and for a stored session for mere frames only."""
    count = (size - pos) >> 2
    heads = chunk[pos : pos + 4 * count : 4]
    count -= len(heads.lstrip(b"\x40"))
    lengths = chunk[pos + 1 : pos + 4 * count : 4]
    count -= len(lengths.lstrip(b"\x02"))
    stop = pos + 4 * count
    ids = [high << 8 | low for high, low in zip(chunk[pos + 2 : stop : 4], chunk[pos + 3 : stop : 4], strict=True)]
    inflight = session.inflight
    for packet_id in ids:
        entry = inflight.get(packet_id)
        if isinstance(entry, bytes):
            if entry[0] != _PUBLISH_QOS1:
                return pos
        elif session.stored or not isinstance(entry, Outgoing) or entry.qos != 1:
            return pos
    if len(set(ids)) < count:
        return pos
    if count == len(inflight):
        inflight.clear()
    else:
        for packet_id in ids:
            del inflight[packet_id]
    if session.stored:
        handler.state.sender.finish_run(session, ids)
    return stop


def release_run(handler: ClientHandler, chunk: bytes, pos: int, size: int) -> int:
    """A run of PUBREC: PUBREL for each."""
    session = handler.session
    assert session is not None
    if session.outgoing.resend is not None:
        return pos
    state = handler.state
    inflight = session.inflight
    replies: list[bytes] = []
    while pos + 4 <= size and chunk[pos] == PUBREC and chunk[pos + 1] == 2:
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


def complete_run(handler: ClientHandler, chunk: bytes, pos: int, size: int) -> int:
    """A run of PUBREL: the identifiers are free for new messages, PUBCOMP for each."""
    session = handler.session
    assert session is not None
    received = session.incoming.received
    replies: list[bytes] = []
    earlier = session.incoming.earlier
    if handler.version != V5:
        size = min(size, pos + 4 * (handler.config.receive_maximum - handler.unacked))
    while pos + 4 <= size and chunk[pos] == PUBREL and chunk[pos + 1] == 2:
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

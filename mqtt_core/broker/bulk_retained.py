"""The bulk path for PUBLISH with RETAIN 1 on topics nobody listens to: what filling a retained store consists of.

Law: QoS 0 and 1, no property, no policy to ask and no journal to write to; a message that has a recipient, or anything
else to it, is left to the object path. The store is the same one, and so are its bounds and counters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_core.broker.bulk_frames import body_at, end_at
from mqtt_core.codec.error import InvalidTopic
from mqtt_core.codec.properties import NO_PROPERTIES
from mqtt_core.codec.types import PUBACK_FRAMES, V5
from mqtt_core.router.retain import REFUSED
from mqtt_core.router.router import NOBODY
from mqtt_core.session.message import Message
from mqtt_core.topic_matcher.validation import check_topic

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["retain_run"]


def retain_run(handler: ClientHandler, chunk: bytes, pos: int, size: int, most: int) -> int:
    """Store a run of at most `most` retained messages of one QoS; returns where it ends, `pos` when there is none."""
    state = handler.state
    config = handler.config
    first = chunk[pos]
    qos = first >> 1 & 3
    v5 = 1 if handler.version == V5 else 0
    if not _may_retain(handler, qos):
        return pos
    quota = min(most, config.receive_maximum - handler.unacked) if qos else most
    router = state.router
    retained = router.retained
    sequence = state.sender.sequence
    publisher = handler.client_id
    acks: list[bytes] = []
    count = payload_bytes = refused = 0
    while quota > 0 and size - pos >= 4 and chunk[pos] == first:
        body = pos + 2
        if chunk[pos + 1] > 127:
            body = body_at(chunk, pos, size)
            if not body:
                break
            end = end_at(chunk, pos, body)
        else:
            end = body + chunk[pos + 1]
        if end > size or body + 2 > end or end - pos > handler.reader.max_size:
            break
        after = body + 2 + (chunk[body] << 8 | chunk[body + 1])
        start = after + (2 if qos else 0) + v5
        if start > end or (v5 and chunk[start - 1]):
            break
        try:
            topic = chunk[body + 2 : after].decode()
            check_topic(topic, config.topic_levels_max)
        except (UnicodeDecodeError, InvalidTopic):
            break
        if topic.startswith("$SYS/") or router.route(topic) is not NOBODY:
            break
        if qos:
            packet_id = chunk[after] << 8 | chunk[after + 1]
            if not packet_id:
                break
            acks.append(PUBACK_FRAMES[packet_id])
        sequence += 1
        payload_bytes += end - start
        message = Message(topic, chunk[start:end], qos, True, NO_PROPERTIES, 0.0, publisher, sequence)
        if retained.store(message) == REFUSED:
            refused += 1
        count += 1
        quota -= 1
        pos = end
    if count:
        state.sender.sequence = sequence
        state.counters.dropped_retained += refused
        _count(handler, count, payload_bytes)
        if acks:
            handler.acknowledge_run(b"".join(acks), count, count, 0)
    return pos


def _may_retain(handler: ClientHandler, qos: int) -> bool:
    """May this connection's retained messages be stored here at all?"""
    state = handler.state
    config = handler.config
    if state.policy is not None or state.journal.enabled or not config.retain_available or qos > config.maximum_qos:
        return False
    return not qos or handler.version != V5  # 5.0 tells that nobody listens, in a longer PUBACK


def _count(handler: ClientHandler, count: int, payload_bytes: int) -> None:
    counters = handler.state.counters
    counters.bulk_frames += count
    counters.messages_received += count
    counters.publish_received += count
    counters.publish_bytes_received += payload_bytes

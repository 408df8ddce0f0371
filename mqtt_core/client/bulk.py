"""The bulk path of a client: what a busy connection consists of, without an object but the event per message.

It serves PUBLISH of QoS 0 and 1 without properties (automatic acknowledgement, known limits) and four-byte PUBACKs, by
index over the chunk, and leaves everything else where it stands, for the object path to take. One meaning: a frame that
is served here has the same effect there, and the tests run both.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.client.events import MessageReceived, PublishCompleted
from mqtt_core.client.state import ClientState, Link
from mqtt_core.codec.types import PUBACK_FRAMES
from mqtt_core.session.message import Outgoing

__all__ = ["Bulk"]

_TOPICS_MAX: Final = 4096
"""Topics whose text is remembered for their bytes."""

_PUBACK: Final = 0x40


class Bulk:
    """Scans chunks; `topics` remembers valid topics by their bytes. `enabled` False leaves all to the object path."""

    __slots__ = ("enabled", "state", "topics")

    def __init__(self, state: ClientState) -> None:
        self.state = state
        self.topics: dict[bytes, str] = {}
        self.enabled = True

    def run(self, link: Link) -> bool:
        """Consume what can be served from the chunk's front; True when there were acknowledgements of our messages."""
        if not self.enabled:
            return False
        acked = False
        while True:
            reader = link.reader
            chunk = reader.chunk
            position = reader.position
            if len(chunk) - position < 4:
                return acked
            first = chunk[position]
            if first == _PUBACK:
                if not self._run_pubacks(link, chunk, position):
                    return acked
                acked = True
            elif not (0x30 <= first <= 0x33 and self._run_publishes(link, chunk, position)):
                return acked

    def _run_pubacks(self, link: Link, chunk: bytes, position: int) -> bool:
        """A run of successful PUBACKs; True when at least one was consumed."""
        state = self.state
        flow = state.session.outgoing
        if flow.resend is not None:
            return False
        inflight = flow.inflight
        start = position
        last = len(chunk) - 4
        append = state.events.append
        while position <= last and chunk[position] == _PUBACK and chunk[position + 1] == 2:
            packet_id = chunk[position + 2] << 8 | chunk[position + 3]
            entry = inflight.get(packet_id)
            if not isinstance(entry, Outgoing) or entry.qos != 1:
                break
            flow.on_puback(packet_id)
            token = entry.message.sequence
            if state.durable:
                state.session.barrier = state.journal.dequeue(state.session.client_id, token)
            append(PublishCompleted(token))
            position += 4
        link.reader.position = position
        return position > start

    def _run_publishes(self, link: Link, chunk: bytes, position: int) -> bool:
        """A run of plain PUBLISHes; True when at least one was consumed."""
        state = self.state
        config = state.config
        size = len(chunk)
        room = config.inbound_messages_max - state.unread_messages
        ack_room = self._ack_room(link, size)
        unread_bytes = state.unread_bytes
        acks: list[bytes] = []
        append = state.events.append
        taken = 0
        while taken < room and unread_bytes < config.inbound_bytes_max and position + 4 <= size:
            first = chunk[position]
            length = chunk[position + 1]
            body = position + 2
            if length > 127:
                high = chunk[body]
                if not 0 < high < 128:
                    break
                length = length & 127 | high << 7
                body += 1
            end = body + length
            if not 0x30 <= first <= 0x33 or end > size or length < 5 or end - position > link.reader.max_size:
                break
            payload_at = body + 2 + (chunk[body] << 8 | chunk[body + 1])
            name = chunk[body + 2 : payload_at]
            packet_id = 0
            if first > 0x31:
                if payload_at + 2 > end or len(acks) >= ack_room:
                    break
                packet_id = chunk[payload_at] << 8 | chunk[payload_at + 1]
                if packet_id == 0:
                    break
                payload_at += 2
            if state.version5:
                if payload_at >= end or chunk[payload_at]:
                    break
                payload_at += 1
            if payload_at > end:
                break
            topic = self.topics.get(name)
            if topic is None:
                topic = self._learn(name)
                if not topic:
                    break
            if packet_id:
                acks.append(PUBACK_FRAMES[packet_id])
                append(MessageReceived(topic, chunk[payload_at:end], 1, first == 0x33))
            else:
                append(MessageReceived(topic, chunk[payload_at:end], 0, first == 0x31))
            unread_bytes += len(topic) + end - payload_at
            taken += 1
            position = end
        state.unread_messages += taken
        state.unread_bytes = unread_bytes
        link.reader.position = position
        if acks:
            link.open_in += len(acks)
            link.outbox.send(b"".join(acks), 0, len(acks))
        return taken > 0

    def _ack_room(self, link: Link, unlimited: int) -> int:
        """How many messages may be acknowledged here."""
        config = self.state.config
        if config.manual_ack:
            return 0
        return config.receive_maximum - link.open_in if self.state.version5 else unlimited

    def _learn(self, name: bytes) -> str:
        """The text of a topic's bytes, remembered; "" for what the object path has to judge."""
        try:
            topic = name.decode()
        except UnicodeDecodeError:
            return ""
        if "\x00" in topic or "+" in topic or "#" in topic:
            return ""
        if len(self.topics) >= _TOPICS_MAX:
            self.topics.clear()
        self.topics[name] = topic
        return topic

"""The publishing half: messages from the host to the server.

Laws. Write, then say: a stored message leaves behind the barrier of the write that holds it and its packet identifier
(law 5). Order is kept: while anything waits, everything of its kind joins the end; freed quota is filled in the same
input, first with what a resumed session has to see again, then from the queue. A stored message keeps its full topic;
an alias is chosen when a frame is written and never outlives the connection. What the server said it cannot take is
refused before anything has changed, or, if it waited in the queue, given up with `PublishFailed`.

The QoS handshakes themselves are `OutgoingFlow`'s; nothing here reads bytes.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from mqtt_core.client.config import OfflinePolicy
from mqtt_core.client.events import PublishCompleted, PublishFailed
from mqtt_core.client.state import PACKET_SIZE_LIMIT, ClientState, Link
from mqtt_core.codec.encode import encode_publish
from mqtt_core.codec.error import LocalProtocolError, ProtocolError
from mqtt_core.codec.packet import PubackPacket, PubcompPacket, PubrecPacket, PubrelPacket
from mqtt_core.codec.properties import NO_PROPERTIES, Properties, encode_properties
from mqtt_core.codec.types import PACKET_ID, PUBLISH, PUBREL_FRAMES, ReasonCode
from mqtt_core.codec.varint import encode_varint
from mqtt_core.session.connection import OPEN
from mqtt_core.session.message import Message, Outgoing
from mqtt_core.session.qos import ABSENT, Released
from mqtt_core.topic_matcher.validation import check_topic

__all__ = ["OUTBOX_BYTES_MAX", "Sending"]

OUTBOX_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes in the outbox from which on new messages wait in the queue."""

SLICE_MAX: Final = 1000
"""Messages that one input moves from the queue at most; the rest follows in the next (law 11)."""

_TOPICS_MAX: Final = 4096
"""Checked topics whose bytes are remembered."""

_NO_SECTION: Final = b"\x00"

_HEAD_MAX: Final = 9
"""Bytes of a PUBLISH around topic, property section and payload, at most."""

_ALIAS_MAX: Final = 5
"""Bytes a topic alias adds to a PUBLISH, at most: its own three, and one to each of two lengths."""


class Sending:
    """Takes messages from the host, sends them, and says when they are over.

    queue: messages that wait for a connection or for quota, without a packet identifier; queue_bytes of topic and
    payload, queued_qos0 of them of QoS 0. topics: checked topics and their bytes. pubrec_codes: what PUBCOMP will
    complete messages with, where it is not 0x00.
    """

    __slots__ = ("pubrec_codes", "queue", "queue_bytes", "queued_qos0", "state", "topics")

    def __init__(self, state: ClientState) -> None:
        self.state = state
        self.topics: dict[str, bytes] = {}
        self.queue: deque[Outgoing] = deque()
        self.queue_bytes = 0
        self.queued_qos0 = 0
        self.pubrec_codes: dict[int, int] = {}

    # -- from the host -----------------------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties, now: float) -> int:
        """Send or queue a message; return its token, 0 for a QoS 0 message that went into the outbox at once."""
        state = self.state
        link = state.link
        name = self.topics.get(topic)
        if name is None:
            name = self._check_topic(topic)
        if properties is not NO_PROPERTIES:
            self._check_properties(properties)
        if link.phase == OPEN:
            section = _NO_SECTION if properties is NO_PROPERTIES else encode_properties(properties, PUBLISH)
            if (
                not 0 <= qos <= link.maximum_qos
                or (retain and not link.retain_available)
                or len(name) + len(payload) + len(section) + _HEAD_MAX > link.packet_size_max
            ):
                self._check_allowed(link, qos, retain, _size(name, payload, qos, section))
            if link.outbox.size < OUTBOX_BYTES_MAX:
                if qos == 0:
                    if not self.queued_qos0:
                        self._send(link, name, payload, 0, retain, False, 0, section)  # [MQTT-4.3.1-1]
                        return 0
                else:
                    flow = state.session.outgoing
                    if not self.queue and flow.resend is None and len(flow.inflight) < flow.limit:
                        out = self._outgoing(topic, payload, qos, retain, properties, now)
                        self._start(link, out, name, section)
                        return out.message.sequence
        elif not 0 <= qos <= 2:
            raise LocalProtocolError(f"QoS is 0, 1 or 2, not {qos}")
        return self._enqueue(topic, name, payload, qos, retain, properties, now)

    def _check_topic(self, topic: str) -> bytes:
        check_topic(topic)  # [MQTT-3.3.2-2]
        name = topic.encode()
        if len(self.topics) >= _TOPICS_MAX:
            self.topics.clear()
        self.topics[topic] = name
        return name

    def _check_properties(self, properties: Properties) -> None:
        if properties and not self.state.version5:
            raise LocalProtocolError("3.1.1 has no properties")
        if properties.subscription_identifiers:
            raise LocalProtocolError("a client publishes no subscription identifier")  # [MQTT-3.3.4-6 v5]
        if properties.topic_alias is not None:
            raise LocalProtocolError("topic aliases are set by the client itself")
        encode_properties(properties, PUBLISH)

    @staticmethod
    def _check_allowed(link: Link, qos: int, retain: bool, size: int) -> None:
        """Raise for what this server does not take."""
        if not 0 <= qos <= 2:
            raise LocalProtocolError(f"QoS is 0, 1 or 2, not {qos}")
        if qos > link.maximum_qos:  # [MQTT-3.2.2-11 v5]
            raise LocalProtocolError(f"the server takes no QoS above {link.maximum_qos}", ReasonCode.QOS_NOT_SUPPORTED)
        if retain and not link.retain_available:  # [MQTT-3.2.2-14 v5]
            raise LocalProtocolError("the server does not retain messages", ReasonCode.RETAIN_NOT_SUPPORTED)
        if size > link.packet_size_max:  # [MQTT-3.2.2-15 v5]
            raise LocalProtocolError(
                f"PUBLISH of {size} bytes, the server takes {link.packet_size_max}", ReasonCode.PACKET_TOO_LARGE
            )

    def _outgoing(
        self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties, now: float
    ) -> Outgoing:
        if not isinstance(qos, int):
            raise TypeError(f"QoS is 0, 1 or 2, not {qos}")
        interval = properties.message_expiry_interval if properties is not NO_PROPERTIES else None
        expires_at = 0.0 if interval is None else now + interval
        token = self.state.next_token()
        return Outgoing(Message(topic, payload, qos, retain, properties, expires_at, "", token), qos, retain)

    def _start(self, link: Link, out: Outgoing, name: bytes, section: bytes) -> None:
        """Take a new QoS 1/2 message into flight."""
        state = self.state
        session = state.session
        message = out.message
        packet_id = session.outgoing.send(out)  # [MQTT-2.2.1-3 v5] [MQTT-2.3.1-2 v3.1.1] [MQTT-4.9.0-2 v5]
        if state.durable:
            session.barrier = state.journal.enqueue(session.client_id, message, out.qos, out.retain, (), packet_id)
        # [MQTT-4.3.2-2 v5] [MQTT-4.3.3-2 v5] [MQTT-4.3.2-1 v3.1.1] [MQTT-4.3.3-1 v3.1.1]
        self._send(link, name, message.payload, out.qos, out.retain, False, packet_id, section)

    # -- frames ------------------------------------------------------------------------------------------------------

    def _send(
        self, link: Link, name: bytes, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int, section: bytes
    ) -> None:
        """Write a PUBLISH frame into the outbox, with a topic alias if the server takes them."""
        state = self.state
        if not state.version5:
            frame = encode_publish(name, payload, qos, retain, dup, packet_id, None)
        elif link.aliases_out_max:
            frame = self._aliased(link, name, payload, qos, retain, dup, packet_id, section)
        else:
            frame = encode_publish(name, payload, qos, retain, dup, packet_id, section)
        if qos:
            state.send(frame, state.session.barrier)
        else:
            link.outbox.send(frame)

    @staticmethod
    def _aliased(
        link: Link, name: bytes, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int, section: bytes
    ) -> bytes:
        """A PUBLISH frame that uses or sets an alias (5.0 section 3.3.2.3.4); the least recently used makes room."""
        if _size(name, payload, qos, section) + _ALIAS_MAX > link.packet_size_max:
            return encode_publish(name, payload, qos, retain, dup, packet_id, section)
        aliases = link.aliases_out
        alias = aliases.pop(name, 0)
        if alias:
            aliases[name] = alias
            return encode_publish(b"", payload, qos, retain, dup, packet_id, _with_alias(section, alias))
        if len(aliases) < link.aliases_out_max:
            alias = len(aliases) + 1  # [MQTT-3.3.2-8 v5] [MQTT-3.3.2-9 v5] [MQTT-3.2.2-17 v5] [MQTT-3.2.2-18 v5]
        else:
            alias = aliases.pop(next(iter(aliases)))
        aliases[name] = alias
        return encode_publish(name, payload, qos, retain, dup, packet_id, _with_alias(section, alias))

    def _section(self, message: Message, now: float) -> bytes:
        """The property section of a message that waited: its expiry says what is left."""
        properties = message.properties
        if not properties:
            return _NO_SECTION
        if message.expires_at:
            left_s = max(int(message.expires_at - now + 0.999), 0)
            properties = properties.replace(message_expiry_interval=left_s)
        return encode_properties(properties, PUBLISH)

    # -- the queue ---------------------------------------------------------------------------------------------------

    def _enqueue(
        self, topic: str, name: bytes, payload: bytes, qos: int, retain: bool, properties: Properties, now: float
    ) -> int:
        state = self.state
        session = state.session
        config = state.config
        if state.link.phase != OPEN:
            if config.offline is OfflinePolicy.FAIL:
                raise LocalProtocolError("not connected, and the offline policy is to fail")
            if _size(name, payload, qos, _NO_SECTION) > PACKET_SIZE_LIMIT:
                raise LocalProtocolError("the message does not fit into a packet", ReasonCode.PACKET_TOO_LARGE)
        size = len(name) + len(payload)
        queue = self.queue
        if len(queue) >= config.queue_messages_max or self.queue_bytes + size > config.queue_bytes_max:
            raise LocalProtocolError(
                f"the queue is full ({len(queue)} messages, {self.queue_bytes} bytes)", ReasonCode.QUOTA_EXCEEDED
            )
        out = self._outgoing(topic, payload, qos, retain, properties, now)
        if qos == 0:
            self.queued_qos0 += 1
        elif self._stores_queue():
            session.barrier = state.journal.enqueue(session.client_id, out.message, qos, retain, ())
        queue.append(out)
        self.queue_bytes += size
        return out.message.sequence

    def _stores_queue(self) -> bool:
        """Waiting messages are in the journal: always while connected, and offline if the policy says so."""
        state = self.state
        return state.durable and (state.link.phase == OPEN or state.config.offline is OfflinePolicy.PERSIST)

    def drain(self, now: float) -> None:
        """Send what waits on an open connection, as quota, outbox and slice allow: resends, then the queue."""
        state = self.state
        link = state.link
        flow = state.session.outgoing
        for _ in range(SLICE_MAX):
            if link.outbox.size >= OUTBOX_BYTES_MAX:
                return
            if flow.resend is not None:
                if flow.room() <= 0:
                    return
                self._resend(link, flow.next_resend(), now)
            elif not self._send_head(link, now):
                return

    def unfinished(self) -> bool:
        """There is more to send at once than the last input could."""
        state = self.state
        link = state.link
        if link.phase != OPEN or link.outbox.size >= OUTBOX_BYTES_MAX:
            return False
        session = state.session
        if session.outgoing.resend is not None:
            return session.outgoing.room() > 0
        return len(self.queue) > 0 and (self.queue[0].qos == 0 or session.outgoing.room() > 0)

    def _send_head(self, link: Link, now: float) -> bool:
        """Send the first waiting message; False when there is none or no quota for it."""
        state = self.state
        session = state.session
        queue = self.queue
        if not queue:
            return False
        out = queue[0]
        qos = out.qos
        if qos and session.outgoing.room() <= 0:  # [MQTT-3.3.4-7 v5]
            return False
        queue.popleft()
        message = out.message
        name = message.topic.encode()
        self.queue_bytes -= len(name) + len(message.payload)
        if qos == 0:
            self.queued_qos0 -= 1
        if message.expires_at and message.expires_at <= now:
            self._give_up(out, ReasonCode.UNSPECIFIED_ERROR, "it expired before it could be sent")
            return True
        section = self._section(message, now)
        try:
            self._check_allowed(link, qos, out.retain, _size(name, message.payload, qos, section))
        except LocalProtocolError as refusal:
            self._give_up(out, refusal.reason_code, refusal.reason)
            return True
        if qos == 0:
            self._send(link, name, message.payload, 0, out.retain, False, 0, section)
            state.events.append(PublishCompleted(message.sequence))
            return True
        packet_id = session.outgoing.send(out)
        if state.durable:
            # Written now, or once more if it was stored while it waited: with its identifier.
            session.barrier = state.journal.enqueue(session.client_id, message, qos, out.retain, (), packet_id)
        self._send(link, name, message.payload, qos, out.retain, False, packet_id, section)
        return True

    def _give_up(self, out: Outgoing, reason_code: int, reason: str) -> None:
        state = self.state
        if out.qos and state.durable:
            state.session.barrier = state.journal.dequeue(state.session.client_id, out.message.sequence)
        state.events.append(PublishFailed(out.message.sequence, reason_code, reason))

    # -- acknowledgements --------------------------------------------------------------------------------------------

    def on_puback(self, packet: PubackPacket, now: float) -> None:
        """A QoS 1 message is over (section 4.3.2)."""
        entry = self.state.session.outgoing.on_puback(packet.packet_id)
        if entry is ABSENT:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"PUBACK for unknown identifier {packet.packet_id}")
        self.finished(entry, packet.reason_code, packet.properties)
        self.drain(now)

    def on_pubrec(self, packet: PubrecPacket, now: float) -> None:
        """A QoS 2 message has arrived, or was refused (section 4.3.3)."""
        state = self.state
        session = state.session
        packet_id = packet.packet_id
        if packet.reason_code >= 0x80:
            entry = session.outgoing.on_pubrec_refused(packet_id)  # [MQTT-4.4.0-2 v5]
            if entry is not ABSENT:
                self.finished(entry, packet.reason_code, packet.properties)
                self.drain(now)
            return
        entry = session.outgoing.on_pubrec(packet_id)
        if entry is ABSENT:
            state.send_packet(PubrelPacket(packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND if state.version5 else 0))
            return
        self._release(packet_id, entry, packet.reason_code)

    def _release(self, packet_id: int, entry: object, reason_code: int) -> None:
        """Send PUBREL; PUBCOMP will complete the message with this reason code."""
        state = self.state
        session = state.session
        if isinstance(entry, Outgoing) and state.durable:
            session.barrier = state.journal.release(session.client_id, entry.message.sequence)
        if reason_code:
            self.pubrec_codes[packet_id] = reason_code
        # [MQTT-4.3.3-4 v5] [MQTT-4.6.0-4] [MQTT-2.2.1-5 v5] [MQTT-4.3.3-1 v3.1.1]
        state.send(PUBREL_FRAMES[packet_id], session.barrier)

    def on_pubcomp(self, packet: PubcompPacket, now: float) -> None:
        """A QoS 2 message is over. An identifier that is not in flight was completed by an earlier PUBCOMP."""
        entry = self.state.session.outgoing.on_pubcomp(packet.packet_id)
        if entry is not ABSENT:
            self.finished(entry, self.pubrec_codes.pop(packet.packet_id, 0), packet.properties)
            self.drain(now)

    def finished(self, entry: object, reason_code: int, properties: Properties) -> None:
        """The exchange of an in-flight entry has ended: the journal forgets it, the host hears of it."""
        state = self.state
        if isinstance(entry, Released):
            token = entry.sequence
        else:
            assert isinstance(entry, Outgoing)
            token = entry.message.sequence
        if state.durable:
            state.session.barrier = state.journal.dequeue(state.session.client_id, token)
        state.events.append(PublishCompleted(token, reason_code, properties))

    # -- sessions ----------------------------------------------------------------------------------------------------

    def resume(self, now: float) -> None:
        """The server has the session: send again what it has not acknowledged (section 4.4), then what waits."""
        state = self.state
        for packet_id in state.session.outgoing.start_resume():
            state.send(PUBREL_FRAMES[packet_id], state.session.barrier)  # [MQTT-4.4.0-1]
        self.drain(now)

    def _resend(self, link: Link, packet_id: int, now: float) -> None:
        state = self.state
        entry = state.session.inflight[packet_id]
        assert isinstance(entry, Outgoing)
        message = entry.message
        name = message.topic.encode()
        section = self._section(message, now)
        try:
            self._check_allowed(link, entry.qos, entry.retain, _size(name, message.payload, entry.qos, section))
        except LocalProtocolError as refusal:
            if entry.qos == 2:
                # The server may have it: until the release another message under its identifier would be lost there.
                self._release(packet_id, state.session.outgoing.on_pubrec(packet_id), refusal.reason_code)
                return
            state.session.outgoing.forget(packet_id)
            self._give_up(entry, refusal.reason_code, refusal.reason)
            return
        # [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-2.3.1-3 v3.1.1]
        self._send(link, name, message.payload, entry.qos, entry.retain, True, packet_id, section)

    def start_anew(self) -> tuple[int, int]:
        """The server has no session: unacknowledged messages become new ones at the head of the queue.

        Returns how many those are, and how many QoS 2 messages that waited for PUBCOMP are reported complete.
        """
        state = self.state
        session = state.session
        flow = session.outgoing
        again: list[Outgoing] = []
        completed = 0
        for packet_id, entry in list(flow.inflight.items()):
            if isinstance(entry, Outgoing):
                flow.forget(packet_id)
                again.append(entry)
            else:
                assert isinstance(entry, Released)  # requests were taken back when their connection ended
                flow.forget(packet_id)
                self.finished(entry, self.pubrec_codes.pop(packet_id, 0), NO_PROPERTIES)
                completed += 1
        flow.resend = None
        self.pubrec_codes.clear()
        if again:
            self.queue.extendleft(reversed(again))
            for out in again:
                self.queue_bytes += len(out.message.topic.encode()) + len(out.message.payload)
                if state.durable:
                    session.barrier = state.journal.enqueue(session.client_id, out.message, out.qos, out.retain, ())
        return len(again), completed

    def restore_queued(self, out: Outgoing) -> None:
        """A message that was stored before it had an identifier waits again."""
        self.queue.append(out)
        self.queue_bytes += len(out.message.topic.encode()) + len(out.message.payload)


def _size(name: bytes, payload: bytes, qos: int, section: bytes) -> int:
    """Bytes of the whole PUBLISH, at most (3.1.1 has no property section)."""
    remaining = 2 + len(name) + len(payload) + len(section)
    if qos:
        remaining += 2
    if remaining < 128:
        return remaining + 2
    if remaining < 16384:
        return remaining + 3
    return remaining + 4 if remaining < 2_097_152 else remaining + 5


def _with_alias(section: bytes, alias: int) -> bytes:
    """A property section with a Topic Alias added in front."""
    if section == _NO_SECTION:
        return b"\x03\x23" + PACKET_ID[alias]
    start = 1
    length = section[0] & 0x7F
    while section[start - 1] & 0x80:
        length |= (section[start] & 0x7F) << 7 * start
        start += 1
    return encode_varint(length + 3) + b"\x23" + PACKET_ID[alias] + section[start:]

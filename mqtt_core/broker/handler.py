"""One network connection of a broker: bytes in, bytes out, and one short method per packet.

Laws. Inputs take `now` and return nothing; what they cause is pulled with `data_to_send`, `closing` and
`reading_paused`. A peer can never raise into the host: `_process` holds the one `except MqttError` of the server role,
which turns a fault into DISCONNECT (5.0) or a closed connection, the will rule and an event. Packets before a faulty
one take full effect. After `closing` nothing is appended; what is held still goes out once it is committed.

What CONNECT and AUTH do is in handshake.py, subscribing in subscribing.py, what happens to the session in sessions.py,
and the traffic that needs no object in bulk.py. Receive Maximum: a QoS 1/2 PUBLISH occupies the broker's window until
its last acknowledgement has left `data_to_send`; excess is 0x93 for 5.0, a 3.1.1 client is read no further until there
is room.
"""

from __future__ import annotations

from math import inf
from typing import Final

from mqtt_core.broker import bulk, handshake, subscribing
from mqtt_core.broker.connection import Connection
from mqtt_core.broker.policy import Decision
from mqtt_core.codec.decode import decode
from mqtt_core.codec.encode import encode
from mqtt_core.codec.error import MqttError, ProtocolError
from mqtt_core.codec.packet import (
    AckPacket,
    AuthPacket,
    ConnectPacket,
    DisconnectPacket,
    Packet,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubscribePacket,
    UnsubscribePacket,
)
from mqtt_core.codec.sender import check_disconnect
from mqtt_core.codec.types import (
    CONNECT,
    PINGREQ,
    PUBACK,
    PUBACK_FRAMES,
    PUBCOMP_FRAMES,
    PUBREC,
    PUBREC_FRAMES,
    PUBREL,
    PUBREL_FRAMES,
    V5,
    ReasonCode,
)
from mqtt_core.router.draining import drain
from mqtt_core.session.connection import ALLOWED, CLOSING, NEW, OPEN, SERVER, WAITING
from mqtt_core.session.message import Message
from mqtt_core.session.qos import ABSENT, Released
from mqtt_core.session.session import Session
from mqtt_core.topic_matcher.validation import check_topic

__all__ = ["ClientHandler"]

PINGRESP_FRAME: Final = b"\xd0\x00"
PACKETS_MAX: Final = 1000
ANSWERS_MAX: Final = 256 * 1024
"""Packets that one input handles one by one, and bytes of answers to them, before others get their turn: what is left
follows with the next timer, which is due at once."""
VERDICTS_MAX: Final = 1024
VERDICT_TOPIC_MAX: Final = 1024
"""Publish verdicts kept per connection, then they are asked anew; characters of a topic whose verdict is kept."""


class ClientHandler(Connection):
    """The broker's side of one connection (sections 3 and 4). Made by `Broker.connection_made`; owner: the adapter's.

    Inputs: `receive_data`, `end_of_input`, `receive_eof`, `resume`. Pulls: `data_to_send`, `closing`, `aborted`,
    `reading_paused`.
    """

    __slots__ = ()

    # -- inputs -------------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes have arrived; any cut of the stream will do. Never raises for what they contain."""
        if self.phase >= CLOSING:
            return
        reader = self.reader
        reader.feed(data)
        unread = reader.pending
        state = self.state
        if now < state.now:
            now = state.now
        else:
            state.now = now
        heard, self.last_received = self.last_received, now
        state.counters.bytes_received += len(data)
        self._process(now)
        if reader.position < len(reader.chunk) and reader.pending == unread:
            self.last_received = heard  # no whole packet: [MQTT-3.1.2-22 v5] [MQTT-3.1.2-24 v3.1.1]

    def receive_eof(self, now: float) -> None:
        """The peer has closed, or the transport is gone: nothing leaves any more. Idempotent."""
        now = self.state.moment(now)
        if self.phase < CLOSING:
            self.reason = "connection closed by the peer"
            self.leave(now, True)
        if self.phase == CLOSING:
            self.abort()

    def end_of_input(self, now: float) -> None:
        """The peer sends no more, but may still read (it has closed its half of a TCP connection). Idempotent.

        The connection is over as with `receive_eof`, which an adapter may call instead; but answers that wait for a
        commit still leave.
        """
        if self.outbox.held is None:
            self.receive_eof(now)
        elif self.phase < CLOSING:
            self.reason = "connection closed by the peer"
            self.leave(self.state.moment(now), True)

    def resume(self, decision: Decision, now: float) -> None:
        """The answer to a deferred authentication. A late or second one changes nothing."""
        now = self.state.moment(now)
        if self.phase != WAITING:
            return
        self.last_received = now
        try:
            handshake.decided(self, decision, now)
        except MqttError as error:
            self.fail(error, now)
        if self.phase < CLOSING:
            self._process(now)

    def continue_reading(self, now: float) -> None:
        """Go on with what was kept: room was made in the outbox or in the receive window."""
        if self.outbox.late:
            self.drop_late(self.session)
        if self.session is not None and not self.session.direct:
            drain(self.state.sender, self.session, now)
        if self.stalled:
            self.stalled = False
            self.last_received = now
            self._process(now)
            if not self.reading_paused:
                self.outbox.mark_dirty()  # nothing to write perhaps, but the adapter has to read again
        if self.last_received == inf:
            self.last_received = now
            self.arm()

    # -- what arrives -------------------------------------------------------------------------------------------------

    def _process(self, now: float) -> None:
        """Handle the whole packets that are there: in bulk where that is possible, one by one elsewhere."""
        reader = self.reader
        outbox = self.outbox
        packets = 0
        answers = outbox.size
        in_flight = len(self.session.inflight) if self.session is not None else 0
        try:
            while self.phase < CLOSING and self.phase != WAITING:  # [MQTT-3.1.4-5 v3.1.1] [MQTT-3.1.4-6 v5]
                if self.phase == OPEN and self.config.bulk_path:
                    packets += bulk.serve(self, now)
                    if not reader.chunk and not reader.later_size:
                        break
                if self.version != V5 and self.window_full():
                    self.stalled = reader.pending > 0
                    break
                frame = reader.next_frame()
                if frame is None:
                    break
                self._handle_frame(frame, now)  # [MUST-3.1.4-2]
                packets += 1
                if (packets >= PACKETS_MAX or outbox.size - answers > ANSWERS_MAX) and self.phase == OPEN:
                    if reader.pending:
                        self.stalled = True
                        self.state.resumable[self] = None
                    break
        except MqttError as error:
            self.fail(error, now)
        session = self.session
        if session is not None and self.undrained_since and len(session.inflight) < in_flight:
            self.undrained_since = now  # it gets on with what it has read, and will read the rest
        if session is not None and not session.direct:
            drain(self.state.sender, session, now)  # acknowledgements have made room for what waits
        if self.phase == NEW and reader.pending and reader.chunk[reader.position] >> 4 != CONNECT:
            self._refuse_stranger(now)
        if self.phase != OPEN or self.stalled or self.reading_paused or outbox.size >= self.config.outbox_bytes_max:
            self.update_pause()

    def _handle_frame(self, frame: bytes, now: float) -> None:
        kind = frame[0] >> 4
        self.state.counters.messages_received += 1
        if not ALLOWED[SERVER][self.phase] >> kind & 1:
            if self.phase == NEW:
                self._refuse_stranger(now)  # [MQTT-3.1.0-1]
                return
            code = ReasonCode.PROTOCOL_ERROR if kind else ReasonCode.MALFORMED_PACKET  # [MUST-2.1.2-1 v5]
            # [MQTT-3.1.0-2] [MQTT-4.8.0-1 v3.1.1]
            raise ProtocolError(code, f"packet type {kind} is not allowed here")
        if kind == CONNECT:
            self.version = handshake.peek_version(frame)
        packet = decode(frame, self.version)
        if isinstance(packet, PublishPacket):
            self.handle_publish(packet, now)
        elif isinstance(packet, AckPacket):
            self._handle_ack(kind, packet)
        else:
            self._handle_rare(kind, packet, now)

    def _handle_rare(self, kind: int, packet: Packet, now: float) -> None:
        if kind == PINGREQ:
            if self.unanswered():
                self.outbox.send(PINGRESP_FRAME)  # [MQTT-3.2.0-1]
            else:
                self.outbox.send_now(PINGRESP_FRAME)  # [MQTT-3.12.4-1]
            self.state.counters.messages_sent += 1
        elif isinstance(packet, SubscribePacket):
            self.handle_subscribe(packet, now)
        elif isinstance(packet, UnsubscribePacket):
            self.handle_unsubscribe(packet)
        elif isinstance(packet, DisconnectPacket):
            self.handle_disconnect(packet, now)
        elif isinstance(packet, AuthPacket):
            handshake.handle_auth(self, packet, now)
        elif isinstance(packet, ConnectPacket):
            self.handle_connect(packet, now)

    def _refuse_stranger(self, now: float) -> None:
        """The first packet is no CONNECT: no answer, at the first byte [MQTT-3.1.0-1]."""
        self.state.counters.protocol_errors += 1
        self.close(ReasonCode.PROTOCOL_ERROR, "the first packet is not CONNECT", now)

    # -- packets ------------------------------------------------------------------------------------------------------

    def handle_connect(self, packet: ConnectPacket, now: float) -> None:
        """CONNECT (section 3.1)."""
        handshake.handle_connect(self, packet, now)

    def handle_subscribe(self, packet: SubscribePacket, now: float) -> None:
        """SUBSCRIBE (section 3.8)."""
        subscribing.handle_subscribe(self, packet, now)

    def handle_unsubscribe(self, packet: UnsubscribePacket) -> None:
        """UNSUBSCRIBE (section 3.10)."""
        subscribing.handle_unsubscribe(self, packet)

    def handle_publish(self, packet: PublishPacket, now: float) -> None:
        """PUBLISH (section 3.3): check, authorise, store and route, then acknowledge.

        Raises:
            ProtocolError: QoS or RETAIN the broker has refused to serve (0x9B, 0x9A), more messages than its Receive
                Maximum (0x93). `receive_data` turns it into a DISCONNECT or the end of the connection.
        """
        state = self.state
        session = self.session
        assert session is not None
        qos = packet.qos
        packet_id = packet.packet_id
        counters = state.counters
        counters.publish_received += 1
        counters.publish_bytes_received += len(packet.payload)
        if packet.properties:
            self._check_publish_properties(packet)
        check_topic(packet.topic, self.config.topic_levels_max)
        if qos > self.config.maximum_qos:  # [MQTT-3.2.2-11 v5]
            raise ProtocolError(ReasonCode.QOS_NOT_SUPPORTED, f"QoS {qos} is above the maximum of this broker")
        if packet.retain and not self.config.retain_available:  # [MQTT-3.2.2-14 v5]
            raise ProtocolError(ReasonCode.RETAIN_NOT_SUPPORTED, "retained messages are not available")
        again = qos == 2 and packet_id in session.incoming.received
        if again and not (self.version == V5 and self.window_full() and session.incoming.is_earlier(packet_id)):
            session.incoming.on_publish(packet_id)
            # [MQTT-4.3.3-10 v5] [MQTT-4.3.3-2 v3.1.1]
            self.send(PUBREC_FRAMES[packet_id], session.barrier)
            return
        if qos and self.version == V5 and self.window_full():  # [MQTT-3.3.4-7 v5]
            raise ProtocolError(  # [MUST-3.3.4-1 v5]
                ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
                f"more than {self.config.receive_maximum} unacknowledged messages",
            )
        if not self.may_publish(packet.topic, qos, packet.retain):  # [MQTT-3.3.5-2 v3.1.1]
            counters.dropped_not_authorized += 1
            self._acknowledge(packet, ReasonCode.NOT_AUTHORIZED if self.version == V5 else 0, 0)
            return
        barrier = 0
        if qos == 2:
            session.incoming.on_publish(packet_id)
            if session.stored:
                barrier = session.barrier = state.journal.store_receipt(session.client_id, packet_id)
        route = state.router.route(packet.topic)
        code: int = 0
        if qos and self.version == V5 and route.empty():
            code = ReasonCode.NO_MATCHING_SUBSCRIBERS
        barrier = state.router.publish(self._message_of(packet, now), now, barrier, packet_id, route)
        self._acknowledge(packet, code, barrier)

    def _check_publish_properties(self, packet: PublishPacket) -> None:
        """Topic alias (5.0 section 3.3.2.3.4) and properties a client may not send."""
        properties = packet.properties
        if properties.subscription_identifiers:  # [MQTT-3.3.4-6 v5]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a client sent a Subscription Identifier in PUBLISH")
        alias = properties.topic_alias
        if alias is None:
            return
        if not 0 < alias <= self.config.topic_alias_maximum:  # [MQTT-3.3.2-9 v5]
            # [MUST-3.3.2.3.4-5 v5]
            raise ProtocolError(ReasonCode.TOPIC_ALIAS_INVALID, f"topic alias {alias} is out of range")
        if self.aliases is None:
            self.aliases = {}  # [MQTT-3.3.2-7 v5]
        if packet.topic:
            self.aliases[alias] = packet.topic  # [MQTT-3.3.2-12 v5] [MUST-3.3.2.3.4-4 v5]
        else:
            topic = self.aliases.get(alias)
            if topic is None:  # [MUST-3.3.2.3.4-3 v5]
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"topic alias {alias} has not been set")
            packet.topic = topic
        packet.properties = properties.replace(topic_alias=None)

    def _message_of(self, packet: PublishPacket, now: float) -> Message:
        expiry_s = packet.properties.message_expiry_interval if packet.properties else None
        return Message(
            packet.topic,
            packet.payload,
            packet.qos,
            packet.retain,
            # [MQTT-3.3.2-4 v5] [MQTT-3.3.2-15 v5] [MQTT-3.3.2-16 v5] [MQTT-3.3.2-17 v5] [MQTT-3.3.2-18 v5]
            packet.properties,  # [MQTT-3.3.2-20 v5]
            now + expiry_s if expiry_s is not None else 0.0,
            self.client_id,
            self.state.sender.next_sequence(),
        )

    def _acknowledge(self, packet: PublishPacket, code: int, barrier: int) -> None:
        """Answer a PUBLISH as its QoS asks [MQTT-3.3.4-1]; the answer waits for the message's writes."""
        packet_id = packet.packet_id
        if packet.qos == 1:
            self.unacked += 1
            frame = PUBACK_FRAMES[packet_id] if not code else encode(PubackPacket(packet_id, code), V5)
            # [MQTT-4.3.2-4 v5] [MQTT-4.3.2-2 v3.1.1] [MQTT-2.2.1-5 v5] [MQTT-2.3.1-6 v3.1.1] [MQTT-3.3.4-1]
            self.send(frame, barrier, 1)
        elif packet.qos == 2:
            credits = 1 if code >= 0x80 or self.version != V5 else 0
            self.unacked += credits
            frame = PUBREC_FRAMES[packet_id] if not code else encode(PubrecPacket(packet_id, code), V5)
            self.send(frame, barrier, credits)  # [MQTT-4.3.3-8 v5] [MQTT-4.3.3-2 v3.1.1] [MQTT-3.3.4-1]

    def _handle_ack(self, kind: int, packet: AckPacket) -> None:
        """PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7)."""
        session = self.session
        assert session is not None
        packet_id = packet.packet_id
        flow = session.outgoing
        sender = self.state.sender
        if kind == PUBREL:
            self.handle_pubrel(packet_id)
            return
        if kind == PUBREC and packet.reason_code < 0x80:
            self._handle_pubrec(session, packet_id)
            return
        if kind == PUBACK:
            entry = flow.on_puback(packet_id)
        elif kind == PUBREC:
            entry = flow.on_pubrec_refused(packet_id)  # [MQTT-4.4.0-2 v5] [MQTT-4.8.2-6 v5]
        else:
            entry = flow.on_pubcomp(packet_id)
        if entry is ABSENT:
            return
        if packet.reason_code >= 0x80:
            self.state.counters.dropped_by_client += 1
        sender.finished(session, packet_id, entry)

    def _handle_pubrec(self, session: Session, packet_id: int) -> None:
        sequence = session.sequences.get(packet_id, 0) if session.sequences is not None else 0
        entry = session.outgoing.on_pubrec(packet_id, sequence)
        if entry is ABSENT:
            if self.version == V5:
                self.send(encode(PubrelPacket(packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND), V5), 0)
            else:
                self.send(PUBREL_FRAMES[packet_id], 0)
            return
        if session.stored and not isinstance(entry, Released):
            sequence = self.state.sender.sequence_of(session, packet_id, entry)
            session.barrier = self.state.journal.release(session.client_id, sequence)
        self.send(PUBREL_FRAMES[packet_id], session.barrier)  # [MQTT-4.3.3-4 v5]

    def handle_pubrel(self, packet_id: int) -> None:
        """PUBREL (section 3.6): the identifier is free for a new message."""
        session = self.session
        assert session is not None
        occupied = session.incoming.occupied()
        if session.incoming.on_pubrel(packet_id):
            credits = occupied - session.incoming.occupied()
            self.unacked += credits
            if session.stored:
                session.barrier = self.state.journal.forget_receipt(session.client_id, packet_id)
            self.send(PUBCOMP_FRAMES[packet_id], session.barrier, credits)  # [MQTT-4.3.3-11 v5]
        elif self.version == V5:
            code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            self.send(encode(PubcompPacket(packet_id, code), V5), session.barrier)
        else:
            self.send(PUBCOMP_FRAMES[packet_id], session.barrier)

    def handle_disconnect(self, packet: DisconnectPacket, now: float) -> None:
        """DISCONNECT (section 3.14): reason code 0x00 deletes the will.

        Raises:
            ProtocolError: a session expiry where CONNECT had none (0x82).
        """
        check_disconnect(packet, False)
        session = self.session
        expiry_s = packet.properties.session_expiry_interval
        if session is not None and expiry_s is not None:
            assert self.connect is not None
            if expiry_s and not self.connect.properties.session_expiry_interval:  # [MUST-3.14.2.2.2-2 v5]
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "DISCONNECT sets an expiry the CONNECT did not have")
            session.expiry_s = min(expiry_s, self.config.session_expiry_max_s)  # [MUST-3.14.2.2.2-3 v5]
        self.reason_code = packet.reason_code
        self.reason = packet.properties.reason_string or "DISCONNECT received"
        self.leave(now, packet.reason_code != 0)  # [MQTT-3.14.4-3] [MQTT-3.1.2-10]

    # -- faults and verdicts ------------------------------------------------------------------------------------------

    def fail(self, error: MqttError, now: float) -> None:
        """The peer broke a rule: say so as far as its version and the phase allow, and close."""
        self.state.counters.protocol_errors += 1
        if self.session is not None:
            self.disconnect(error.reason_code, error.reason, now)
        elif self.phase < CLOSING:
            handshake.refuse_fault(self, error, now)

    def may_publish(self, topic: str, qos: int, retain: bool) -> bool:
        """The policy's verdict, kept per connection until the policy changes; `$SYS` is the broker's own."""
        if topic.startswith("$SYS/"):
            return False
        state = self.state
        policy = state.policy
        if policy is None:
            return True
        verdicts = self.verdicts
        if verdicts is None or self.epoch != state.policy_epoch or len(verdicts) >= VERDICTS_MAX:
            verdicts = self.verdicts = {}
            self.epoch = state.policy_epoch
        key = (topic, qos, retain)
        verdict = verdicts.get(key)
        if verdict is None:
            assert self.session is not None
            verdict = policy.authorize_publish(state.principal(self.session), topic, qos, retain)
            if len(topic) <= VERDICT_TOPIC_MAX:
                verdicts[key] = verdict
        return verdict

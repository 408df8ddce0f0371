"""The subscribing half: messages from the server to the host.

Laws. A message is acknowledged on arrival or, with manual acknowledgement, when the host says so; either way PUBACKs
leave in the order in which the QoS 1 messages came, and PUBRECs in that of the QoS 2 messages: an acknowledgement
given early waits for those before it. QoS 2 messages go to the host once, whatever the server repeats on however many
connections. Messages the host has not taken, or not acknowledged, are counted; at the limit the client asks for a
pause of reading and processes nothing more, so that memory is bounded and nothing is dropped.
"""

from __future__ import annotations

from collections import deque

from mqtt_core.client.events import MessageReceived
from mqtt_core.client.state import ClientState, Link, fitting
from mqtt_core.codec.error import LocalProtocolError, ProtocolError
from mqtt_core.codec.packet import PubackPacket, PubcompPacket, PublishPacket, PubrecPacket, PubrelPacket
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.types import PUBACK_FRAMES, PUBCOMP_FRAMES, PUBREC_FRAMES, ReasonCode

__all__ = ["Receiving", "Unacknowledged"]


class Unacknowledged:
    """A QoS 1 or 2 message that the host has and has not acknowledged yet, or whose turn has not come.

    ack: the packet to be sent, None until the host has acknowledged. link: the connection that waits for it, None when
    that connection is gone. size: bytes of topic and payload.
    """

    __slots__ = ("ack", "link", "packet_id", "qos", "size")

    def __init__(self, packet_id: int, qos: int, size: int, link: Link) -> None:
        self.packet_id = packet_id
        self.qos = qos
        self.size = size
        self.link: Link | None = link
        self.ack: PubackPacket | PubrecPacket | None = None


class Receiving:
    """Gives messages to the host, and acknowledgements to the server.

    unacknowledged: token -> message, for manual acknowledgement. paused: the limit of such messages is reached.
    """

    __slots__ = ("_by_id", "_order1", "_order2", "paused", "state", "unacknowledged", "unacknowledged_bytes")

    def __init__(self, state: ClientState) -> None:
        self.state = state
        self.unacknowledged: dict[int, Unacknowledged] = {}
        self.unacknowledged_bytes = 0
        self.paused = False
        self._order1: deque[Unacknowledged] = deque()
        self._order2: deque[Unacknowledged] = deque()
        self._by_id: dict[int, Unacknowledged] = {}

    # -- from the server ---------------------------------------------------------------------------------------------

    def on_publish(self, packet: PublishPacket) -> None:
        """A message arrived (section 3.3)."""
        state = self.state
        link = state.link
        topic = packet.topic
        if packet.properties is not NO_PROPERTIES:
            alias = packet.properties.topic_alias
            if alias is not None:
                topic = self._resolve_alias(link, alias, topic)
        qos = packet.qos
        if qos == 0:
            self.deliver(topic, packet, 0)
            return
        if qos == 1:
            self._open(link)
            self._on_qos1(link, topic, packet)
            return
        if packet.packet_id not in link.open_qos2:
            link.open_qos2[packet.packet_id] = None
            self._open(link)
        self._on_qos2(link, topic, packet)

    def _resolve_alias(self, link: Link, alias: int, topic: str) -> str:
        if not 0 < alias <= self.state.config.topic_alias_maximum:
            raise ProtocolError(ReasonCode.TOPIC_ALIAS_INVALID, f"topic alias {alias} was not allowed")
        if topic:
            link.aliases_in[alias] = topic  # [MQTT-3.3.2-10 v5]
            return topic
        known = link.aliases_in.get(alias)
        if known is None:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"topic alias {alias} was never set")
        return known

    def _open(self, link: Link) -> None:
        """One more QoS 1/2 message is open: it occupies our Receive Maximum until its last ack has left."""
        link.open_in += 1
        if self.state.version5 and link.open_in > self.state.config.receive_maximum:
            raise ProtocolError(
                ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
                f"{link.open_in} messages open, {self.state.config.receive_maximum} were announced",
            )

    def deliver(self, topic: str, packet: PublishPacket, token: int) -> None:
        """Put the message among the events."""
        state = self.state
        state.unread_messages += 1
        state.unread_bytes += len(topic) + len(packet.payload)
        state.events.append(
            MessageReceived(topic, packet.payload, packet.qos, packet.retain, packet.dup, packet.properties, token)
        )

    def _on_qos1(self, link: Link, topic: str, packet: PublishPacket) -> None:
        state = self.state
        if not state.config.manual_ack:
            self.deliver(topic, packet, 0)
            # [MQTT-3.3.4-1] [MQTT-4.3.2-4 v5] [MQTT-4.3.2-2 v3.1.1] [MQTT-4.6.0-2] [MQTT-2.2.1-5 v5]
            link.outbox.send(PUBACK_FRAMES[packet.packet_id], 0, 1)
            return
        waiting = Unacknowledged(packet.packet_id, 1, len(topic) + len(packet.payload), link)
        self._order1.append(waiting)
        self.deliver(topic, packet, self._expect(waiting))  # [MQTT-4.3.2-5 v5]

    def _on_qos2(self, link: Link, topic: str, packet: PublishPacket) -> None:
        state = self.state
        packet_id = packet.packet_id
        first = state.session.incoming.on_publish(packet_id)
        if not state.config.manual_ack:
            if first:
                self.deliver(topic, packet, 0)
                self._store_receipt(packet_id)
            # [MQTT-4.3.3-8 v5] [MQTT-4.3.3-10 v5] [MQTT-4.3.3-2 v3.1.1] [MQTT-4.6.0-3]
            state.send(PUBREC_FRAMES[packet_id], state.session.barrier)
            return
        if first:
            waiting = Unacknowledged(packet_id, 2, len(topic) + len(packet.payload), link)
            self._by_id[packet_id] = waiting
            self._order2.append(waiting)
            self.deliver(topic, packet, self._expect(waiting))
            return
        known = self._by_id.get(packet_id)
        if known is None:
            state.send(PUBREC_FRAMES[packet_id], state.session.barrier)
        elif known.link is not link:
            # The host has the message from an earlier connection; this one gets the PUBREC, once it is due.
            known.link = link
            self._order2.append(known)
            self._send_due(self._order2)

    def on_pubrel(self, packet: PubrelPacket) -> None:
        """The server released a QoS 2 message: its identifier is free for a new one (section 4.3.3)."""
        state = self.state
        session = state.session
        packet_id = packet.packet_id
        if packet_id in self._by_id:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"PUBREL for {packet_id} before its PUBREC")
        if not session.incoming.on_pubrel(packet_id):
            code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND if state.version5 else 0
            state.send_packet(PubcompPacket(packet_id, code), session.barrier)
            return
        if state.durable:
            session.barrier = state.journal.forget_receipt(session.client_id, packet_id)
        # [MQTT-4.3.3-11 v5] [MQTT-4.3.3-2 v3.1.1] [MQTT-2.2.1-5 v5]
        state.send(PUBCOMP_FRAMES[packet_id], session.barrier, _closes(state.link, packet_id))

    def _store_receipt(self, packet_id: int) -> None:
        state = self.state
        if state.durable:
            state.session.barrier = state.journal.store_receipt(state.session.client_id, packet_id)

    # -- from the host -----------------------------------------------------------------------------------------------

    def _expect(self, waiting: Unacknowledged) -> int:
        token = self.state.next_token()
        self.unacknowledged[token] = waiting
        self.unacknowledged_bytes += waiting.size
        self._update_paused()
        return token

    def acknowledge(self, token: int, reason_code: int, properties: Properties) -> None:
        """The host is done with a message; its acknowledgement leaves when those before it have left.

        A token that is not waiting (acknowledged before, or a QoS 1 message of an earlier connection) changes nothing.
        """
        state = self.state
        if not state.version5 and (reason_code or properties):
            raise LocalProtocolError("3.1.1 acknowledges without a reason code and properties")
        waiting = self.unacknowledged.get(token)
        if waiting is None:
            return
        ack: PubackPacket | PubrecPacket
        if waiting.qos == 1:
            ack = PubackPacket(waiting.packet_id, reason_code, properties)
        else:
            ack = PubrecPacket(waiting.packet_id, reason_code, properties)
        fitting(ack, state.config.version, 1 << 30)
        waiting.ack = ack
        del self.unacknowledged[token]
        self.unacknowledged_bytes -= waiting.size
        self._update_paused()
        if waiting.qos == 2 and reason_code < 0x80:
            self._store_receipt(waiting.packet_id)
        self._send_due(self._order1 if waiting.qos == 1 else self._order2)

    def _send_due(self, order: deque[Unacknowledged]) -> None:
        """Send the acknowledgements whose turn has come [MQTT-4.6.0-2] [MQTT-4.6.0-3]."""
        state = self.state
        while order and order[0].ack is not None:  # [MQTT-4.6.0-2] [MQTT-4.6.0-3]
            waiting = order.popleft()
            ack = waiting.ack
            assert ack is not None
            if waiting.qos == 1:
                state.send_packet(ack, 0, 1)
                continue
            del self._by_id[waiting.packet_id]
            if ack.reason_code >= 0x80:
                state.session.incoming.on_pubrel(waiting.packet_id)  # [MQTT-4.3.3-9 v5]
                state.send_packet(ack, state.session.barrier, _closes(state.link, waiting.packet_id))
            else:
                state.send_packet(ack, state.session.barrier)

    def _update_paused(self) -> None:
        config = self.state.config
        count, size = len(self.unacknowledged), self.unacknowledged_bytes
        if self.paused:
            if count <= config.inbound_messages_max // 2 and size <= config.inbound_bytes_max // 2:
                self.paused = False
        elif count >= config.inbound_messages_max or size >= config.inbound_bytes_max:
            self.paused = True

    def full(self) -> bool:
        """No further message may be processed before the host has taken or acknowledged some."""
        state = self.state
        return (
            self.paused
            or state.unread_messages >= state.config.inbound_messages_max
            or state.unread_bytes >= state.config.inbound_bytes_max
        )

    # -- sessions ----------------------------------------------------------------------------------------------------

    def link_ended(self) -> None:
        """Acknowledgements of the old connection are void. The server sends QoS 1 messages again as new ones; QoS 2
        messages stay with the host, and a repetition finds them."""
        self._order1.clear()
        self._order2.clear()
        for token, waiting in list(self.unacknowledged.items()):
            if waiting.qos == 1:
                del self.unacknowledged[token]
                self.unacknowledged_bytes -= waiting.size
        for waiting in self._by_id.values():
            waiting.link = None
        self._update_paused()

    def start_anew(self) -> int:
        """The server has no session: forget what it was to release; returns how many messages those are."""
        state = self.state
        received = state.session.incoming.received
        forgotten = len(received)
        if state.durable:
            for packet_id in received:
                state.session.barrier = state.journal.forget_receipt(state.session.client_id, packet_id)
        received.clear()
        self._by_id.clear()
        self.unacknowledged.clear()
        self.unacknowledged_bytes = 0
        self._update_paused()
        return forgotten


def _closes(link: Link, packet_id: int) -> int:
    """Units of the receive window that the end of a QoS 2 exchange gives back on this connection."""
    if packet_id not in link.open_qos2:
        return 0
    del link.open_qos2[packet_id]
    return 1

"""The wire of one connection, seen from the broker's end, and the rules of the protocol that can be told from it.

Law: a tap never looks into the broker. What arrives is noted before the broker sees it, what leaves after; every rule
broken is reported to the oracle, which knows the sessions.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from mqtt_core.codec import (
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    SubackPacket,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
    decode,
)
from mqtt_core.testing.simulation.model import MessageModel, SessionModel, SubscriptionModel
from mqtt_core.testing.simulation.wire import Cutter, Publish, parse_publish

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.oracle import Oracle

__all__ = ["Tap"]


class Tap:
    """One connection of a client of the workload.

    session: what its CONNACK gave it, None before. over: the broker has surely noticed its end; what was on its way out
    may still leave, but concerns the session no more. leaving: a DISCONNECT has arrived, which the broker may not have
    come to yet.
    """

    __slots__ = (
        "_acks1",
        "_acks2",
        "_aliases_in",
        "_aliases_out",
        "_open",
        "_oracle",
        "_releases",
        "_requests",
        "_resends",
        "_resent",
        "connect",
        "expected",
        "expiry_low",
        "goodbye",
        "leaving",
        "over",
        "session",
        "session_before",
        "version",
    )

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.connect: ConnectPacket | None = None
        self.version = 0
        self.session: SessionModel | None = None
        self.session_before: SessionModel | None = None
        self.expected = 0
        self.expiry_low = 0xFFFFFFFF
        self.goodbye = False
        self.leaving = False
        self.over = False
        self._acks1: deque[tuple[int, MessageModel | None]] = deque()
        self._acks2: deque[tuple[int, MessageModel | None]] = deque()
        self._releases: deque[int] = deque()
        self._requests: dict[int, list[SubscriptionModel]] = {}
        self._aliases_in: dict[int, bytes] = {}
        self._aliases_out: dict[int, bytes] = {}
        self._open: dict[int, None] = {}
        self._resends: deque[int] = deque()
        self._resent: list[int] = []

    # -- what arrives at the broker ----------------------------------------------------------------------

    def inbound(self, frames: list[bytes]) -> None:
        """Packets that will be whole with the bytes the broker is about to be given."""
        for frame in frames:
            if self.over:
                return
            oracle = self._oracle
            oracle.index += 1
            kind = frame[0] >> 4
            if kind == 3:
                self._publish_in(parse_publish(frame, self.version))
            elif 4 <= kind <= 7:
                self._ack_in(kind, frame)
            elif kind == 1:
                self._connect_in(frame)
            elif kind in {8, 10, 14}:
                self._rare_in(frame)

    def _connect_in(self, frame: bytes) -> None:
        self.version = frame[frame.index(b"MQTT") + 4]
        packet = decode(frame, self.version)
        assert isinstance(packet, ConnectPacket)
        self.connect = packet
        self._oracle.connect_arrived(self, packet)

    def _publish_in(self, publish: Publish) -> None:
        topic = publish.topic
        if publish.alias:
            if topic:
                self._aliases_in[publish.alias] = topic
            else:
                topic = self._aliases_in[publish.alias]
        message = self._oracle.published(self, publish, topic.decode())
        if publish.qos == 1:
            self._acks1.append((publish.packet_id, message))
        elif publish.qos == 2:
            self._acks2.append((publish.packet_id, message))

    def _ack_in(self, kind: int, frame: bytes) -> None:
        packet_id = frame[2] << 8 | frame[3]
        session = self.session
        if kind == 6:
            self._releases.append(packet_id)
        if session is None:
            return
        if kind == 5 and (len(frame) == 4 or frame[4] < 0x80):
            known = session.inflight.get(packet_id)
            if known is not None:
                session.inflight[packet_id] = (known[0], True)
        elif kind != 6:
            session.inflight.pop(packet_id, None)
            self._open.pop(packet_id, None)

    def _rare_in(self, frame: bytes) -> None:
        packet = decode(frame, self.version)
        oracle = self._oracle
        session = self.session
        if isinstance(packet, DisconnectPacket):
            oracle.disconnect_arrived(self, packet)
        elif session is None:
            return
        elif isinstance(packet, SubscribePacket):
            ids = packet.properties.subscription_identifiers
            asked = []
            for wanted in packet.subscriptions:
                model = SubscriptionModel(wanted.filter, wanted.qos, oracle.index)
                model.no_local = wanted.no_local
                model.retain_as_published = wanted.retain_as_published
                model.retain_handling = wanted.retain_handling
                model.identifier = ids[0] if ids else 0
                oracle.end_subscription(session, wanted.filter)
                session.subscriptions.setdefault(wanted.filter, []).append(model)
                session.subscribes += 1
                asked.append(model)
            self._requests[packet.packet_id] = asked
        elif isinstance(packet, UnsubscribePacket):
            ending = []
            for name in packet.filters:
                ending += oracle.end_subscription(session, name)
            self._requests[packet.packet_id] = ending

    # -- what leaves the broker ----------------------------------------------------------------------

    def outbound(self, data: bytes) -> None:
        """Bytes the broker has just let go."""
        oracle = self._oracle
        cutter = Cutter()
        for frame in cutter.feed(data):
            oracle.index += 1
            kind = frame[0] >> 4
            if self.goodbye:
                oracle.fault(f"{self!r}: packet type {kind} after DISCONNECT")
            if self.session is None and kind != 2:
                oracle.fault(f"{self!r}: packet type {kind} before CONNACK")
            elif kind == 3:
                self._publish_out(frame)
            elif kind == 4:
                self._ack_out(self._acks1, "PUBACK", frame)
            elif kind == 5:
                self._ack_out(self._acks2, "PUBREC", frame)
            elif kind == 6:
                self._pubrel_out(frame)
            elif kind == 7:
                self._pubcomp_out(frame)
            elif kind in {2, 9, 11}:
                self._rare_out(frame)
            elif kind == 14:
                self.goodbye = True
        if cutter.rest:
            oracle.fault(f"{self!r}: {len(cutter.rest)} bytes that are no packet")

    def _ack_out(self, waiting: deque[tuple[int, MessageModel | None]], name: str, frame: bytes) -> None:
        packet_id = frame[2] << 8 | frame[3]
        if not waiting or waiting[0][0] != packet_id:
            self._oracle.fault(f"{self!r}: {name} {packet_id}, next is {waiting[0] if waiting else 'none'}")
            return
        _, message = waiting.popleft()
        if message is not None:
            self._oracle.acknowledged(message, frame[4] if len(frame) > 4 else 0)

    def _pubcomp_out(self, frame: bytes) -> None:
        packet_id = frame[2] << 8 | frame[3]
        if not self._releases or self._releases[0] != packet_id:
            self._oracle.fault(f"{self!r}: PUBCOMP {packet_id}, next is {list(self._releases)[:1]}")
            return
        self._releases.popleft()

    def _pubrel_out(self, frame: bytes) -> None:
        packet_id = frame[2] << 8 | frame[3]
        known = None if self.session is None or self.over else self.session.inflight.get(packet_id)
        if known is not None and not known[1]:
            self._oracle.fault(f"{self!r}: PUBREL {packet_id}, but no PUBREC has come for message {known[0]}")

    def _rare_out(self, frame: bytes) -> None:
        packet = decode(frame, self.version)
        oracle = self._oracle
        if isinstance(packet, ConnackPacket):
            if self.session is not None:
                oracle.fault(f"{self!r}: a second CONNACK")
            elif packet.reason_code:
                oracle.refused(self, packet.reason_code)
            else:
                self.session = session = oracle.accepted(self, packet)
                if packet.session_present:
                    self._resends = deque([i for i, known in session.inflight.items() if not known[1]])
            return
        assert isinstance(packet, (SubackPacket, UnsubackPacket))
        models = self._requests.pop(packet.packet_id, None)
        if models is None:
            oracle.fault(f"{self!r}: an answer to no request: {packet}")
        elif isinstance(packet, SubackPacket):
            if len(models) != len(packet.reason_codes):
                oracle.fault(f"{self!r}: {packet} for {len(models)} filters")
                return
            for model, code in zip(models, packet.reason_codes, strict=True):
                if code != model.qos:
                    oracle.fault(f"{self!r}: {code:#04x} for {model.filter}, asked for with QoS {model.qos}")
                if not model.ending:
                    assert self.session is not None
                    model.sure = oracle.index
                    oracle.retained.asked(self.session, model)
        else:
            for model in models:
                model.ended = model.ended or oracle.index

    def _publish_out(self, frame: bytes) -> None:
        oracle = self._oracle
        publish = parse_publish(frame, self.version)
        session = self.session
        assert session is not None
        assert self.connect is not None
        limit = self.connect.properties.maximum_packet_size
        if limit and len(frame) > limit:
            oracle.fault(f"{self!r}: a packet of {len(frame)} bytes for a client that takes {limit}")
        if publish.alias:
            if not publish.topic and publish.alias not in self._aliases_out:
                oracle.fault(f"{self!r}: alias {publish.alias} was never set")
                return
            if publish.topic:
                self._aliases_out[publish.alias] = publish.topic
            oracle.count("outbound alias")
        elif not publish.topic:
            oracle.fault(f"{self!r}: neither topic nor alias")
        oracle.deliveries.check_expiry(self, publish)
        if publish.qos and not self.over:
            self._check_flight(session, publish)
        if publish.qos == 2 and session.misled:
            oracle.sent_to_misled(session, oracle.number_of(publish.payload))

    def _check_flight(self, session: SessionModel, publish: Publish) -> None:
        """Packet identifiers, DUP, quota and the order of resending."""
        oracle = self._oracle
        packet_id = publish.packet_id
        number = oracle.number_of(publish.payload)
        known = session.inflight.get(packet_id)
        if not packet_id:
            oracle.fault(f"{self!r}: packet identifier 0")
        if packet_id in self._open:
            oracle.fault(f"{self!r}: identifier {packet_id} is in use on this connection")
        if known is not None and (not publish.dup or known[0] != number):
            if session.too_large(oracle.messages[known[0]]):
                del session.inflight[packet_id]  # it went with an alias; without that it does not go, and is given up
                known = None
        if known is not None and known[0] != number:
            oracle.fault(f"{self!r}: identifier {packet_id} still belongs to message {known[0]}")
        if known is not None and not publish.dup:
            oracle.fault(f"{self!r}: message {number} again without DUP")
        if self._resends and packet_id in self._resends:
            oracle.count("resent")
            while self._resends[0] != packet_id:
                skipped = self._resends.popleft()
                if skipped in session.inflight and oracle.strict_resends:
                    oracle.fault(f"{self!r}: {packet_id} was sent again before {skipped}")
            self._resends.popleft()
        elif not publish.dup and oracle.strict_resends and any(i in session.inflight for i in self._resends):
            oracle.fault(f"{self!r}: new message {number} before {list(self._resends)} were sent again")
        if known is None:
            session.fly(packet_id, number, self._resent if publish.dup else None)
        if publish.dup:
            self._resent.append(packet_id)
        self._open[packet_id] = None
        assert self.connect is not None
        quota = min(self.connect.properties.receive_maximum or 65535, oracle.inflight_max)
        if len(self._open) > quota:
            oracle.fault(f"{self!r}: {len(self._open)} messages in flight, {quota} are allowed")

    # -- its end ----------------------------------------------------------------------

    def unanswered(self) -> list[MessageModel]:
        """Messages that came and were not answered here."""
        return [m for _, m in (*self._acks1, *self._acks2) if m is not None]

    def __repr__(self) -> str:
        return f"connection of {self.connect.client_id if self.connect is not None else '?'}"

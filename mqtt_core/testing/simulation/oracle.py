"""The judge of a run: what must be delivered, what may be, and what must not.

It sees every packet at the broker's end (`Tap`), every message an application is given, and the crashes. It has its own
matcher, its own reading of the wire and its own idea of a session; it never asks the broker. The rules:

- a QoS 1 or 2 publish that was acknowledged reaches every session that was surely subscribed, at least once, at QoS 2
  exactly once; counted drops of a full queue are exempt, and only those;
- nothing is delivered without a subscription that may have matched, nor with another QoS, topic, payload or property;
- messages of one publisher, topic and QoS come in order; retained messages are the last acknowledged write;
- Session Present is said exactly when the session exists; a will is published exactly when it is due.

A broken rule is a `Violation`, raised where it is seen.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING
from zlib import crc32

from mqtt_core.codec import ConnackPacket, ConnectPacket, DisconnectPacket
from mqtt_core.testing.simulation.deliveries import Deliveries
from mqtt_core.testing.simulation.groups import Groups
from mqtt_core.testing.simulation.model import (
    GONE,
    MAYBE,
    NEVER,
    SURE,
    MessageModel,
    SessionModel,
    SubscriptionModel,
    filter_matches,
)
from mqtt_core.testing.simulation.schedule import Schedule
from mqtt_core.testing.simulation.slots import Slots
from mqtt_core.testing.simulation.tap import Tap
from mqtt_core.testing.simulation.wills import Wills
from mqtt_core.testing.simulation.wire import Publish

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.server import Server

__all__ = ["Oracle", "Violation"]

NUMBER_DIGITS = 8


class Violation(AssertionError):
    """The broker or a client broke a rule."""


class Oracle:
    """Everything that is known of one world. index: number of packets seen at the broker's end.

    told_at: time of the broker's newest input. durable: the broker has a storage. strict_resends: no client limits
    packets so that a resend could be too large. in_order: the broker handles packets in the order in which they arrive,
    on whatever connection; with small limits it lets some wait, until there is room. inflight_max: messages the broker
    has in flight to one client at the most. expiry_v311_s: seconds that a persistent session of 3.1.1 is kept.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        durable: bool,
        strict_resends: bool,
        in_order: bool,
        inflight_max: int,
        expiry_v311_s: int,
    ) -> None:
        self.schedule = schedule
        self.in_order = in_order
        self.durable = durable
        self.strict_resends = strict_resends
        self.inflight_max = inflight_max
        self.expiry_v311_s = expiry_v311_s
        self.index = 0
        self.crashes = 0
        self.ended_index = 0
        self.told_at = 0.0
        self.counts: Counter[str] = Counter()
        self.messages: dict[int, MessageModel] = {}
        self.sessions: dict[str, SessionModel] = {}
        self.taps: dict[str, Tap] = {}
        self.retained = Slots(self)
        self.wills = Wills(self)
        self.groups = Groups(self)
        self.deliveries = Deliveries(self)
        self._filters: dict[str, dict[str, SessionModel]] = {}
        self._matching: dict[str, list[str]] = {}
        self._known_filters = 0

    def fault(self, text: str) -> None:
        """A rule is broken. Raises Violation, always."""
        raise Violation(text)

    def count(self, what: str) -> None:
        """A situation has occurred, for the table of coverage."""
        self.counts[what] += 1

    # -- messages ----------------------------------------------------------------------

    def new_message(self, publisher: str, topic: str, size: int, qos: int, retain: bool) -> MessageModel:
        """A message for the workload, to be sent by the client `publisher`.

        size: bytes of its payload, at least as many as its number needs.
        """
        number = len(self.messages) + 1
        payload = b"%08d" % number
        payload += b"." * (size - len(payload))
        message = self.messages[number] = MessageModel(number, publisher, topic, payload, qos, retain)
        return message

    @staticmethod
    def number_of(payload: bytes) -> int:
        """The number in a payload, 0 when it is empty (a deletion), below 0 when it is not one of the workload."""
        digits = payload[:NUMBER_DIGITS]
        if digits.isdigit():
            return int(digits)
        return -1 - crc32(payload) if payload else 0

    def published(self, tap: Tap, publish: Publish, topic: str) -> MessageModel | None:
        """A PUBLISH arrived at the broker."""
        if publish.retain:
            self.retained.written(self.number_of(publish.payload), topic, publish.qos, dup=publish.dup)
        if not publish.payload:
            return None
        message = self.messages.get(self.number_of(publish.payload))
        if message is None:
            self.fault(f"{tap!r}: the client sent {publish.payload[:20]!r}, which nobody published")
            return None
        if topic != message.topic or publish.payload != message.payload or publish.qos != message.qos:
            self.fault(f"{tap!r}: the client sent something else than {message!r}")
        message.arrivals += 1
        message.came = self.index
        if not message.arrived:
            message.arrived = self.index
            message.arrived_at = self.schedule.now
        message.done = 0
        if publish.expiry_s >= 0:
            deadline = self.schedule.now + publish.expiry_s
            message.deadline = deadline if message.arrivals == 1 else max(deadline, message.deadline)
        if message.arrivals > 1:
            self.count("published again")
        if message.calm:
            self.charge(message)
        return message

    def acknowledged(self, message: MessageModel, code: int) -> None:
        """PUBACK or PUBREC for a message left the broker. code: its reason code."""
        message.acks += 1
        message.done = self.index
        if message.retain:
            self.retained.acknowledged(message)
        if code >= 0x80:
            self.fault(f"{message!r} was refused with {code:#04x}")
        if code == 0x10:
            self.count("no matching subscribers")
        if message.charged:
            return
        message.charged = True
        self.charge(message, code != 0x10)

    def charge(self, message: MessageModel, somebody: bool = True) -> None:
        """The broker has taken a message over: every session that was surely subscribed has a right to it.

        somebody: False when the broker said that there was nobody.
        """
        for name in self.matching_filters(message.topic):
            members = []
            unsure = False
            for session in self._filters[name].values():
                history = session.subscriptions.get(name)
                if not history:
                    continue
                subscription = history[-1]
                if subscription.share:
                    unsure = unsure or any(not s.ended and not s.covers(message) for s in history)
                if not subscription.covers(message) or session.present_at(self.schedule.now) != SURE:
                    continue
                if subscription.no_local and message.publisher == session.client_id:
                    continue
                if not somebody:
                    self.fault(f"{message!r}: answered 0x10, but {session.client_id} is subscribed to {name}")
                if subscription.share:
                    members.append(session)
                elif session.too_large(message):
                    self.count("too large for a client")
                elif message.number in session.seen or message.number in session.swallowed:
                    continue
                elif message.calm or min(message.qos, subscription.qos):
                    session.owed[message.number] = 1
            if members and not unsure:
                self.groups.charge(name, message, members)

    def members(self, name: str) -> list[SessionModel]:
        """Sessions that have subscribed to a filter."""
        return list(self._filters.get(name, {}).values())

    def matching_filters(self, topic: str) -> list[str]:
        """Filters of anybody that match a topic, found with the naive matcher."""
        if len(self._filters) != self._known_filters:
            self._known_filters = len(self._filters)
            self._matching.clear()
        found = self._matching.get(topic)
        if found is None:
            found = self._matching[topic] = [name for name in self._filters if filter_matches(_inner(name), topic)]
        return found

    # -- sessions ----------------------------------------------------------------------

    def connect_arrived(self, tap: Tap, packet: ConnectPacket) -> None:
        """CONNECT arrived: an older connection ends, and what Session Present has to say is decided."""
        now = self.schedule.now
        client_id = packet.client_id
        older = self.taps.get(client_id)
        if older is not None:
            self.count("taken over")
            self.ended(older)
        self.taps[client_id] = tap
        session = self.sessions.get(client_id)
        gone = packet.clean_start or session is None or session.present_at(now) == GONE
        self.wills.returned(client_id, session_ends=gone)
        tap.session_before = session
        tap.expected = GONE if session is None or packet.clean_start else session.present_at(now)
        if session is not None:
            if packet.clean_start and session.state != GONE:
                self.count("session discarded")
            if packet.clean_start or tap.expected == MAYBE:
                self._doubt(session)
            elif tap.expected == GONE:
                self._end(session)

    def accepted(self, tap: Tap, packet: ConnackPacket) -> SessionModel:
        """A CONNACK of success left the broker."""
        connect = tap.connect
        assert connect is not None
        client_id = connect.client_id
        if packet.session_present and tap.expected == GONE:
            self.fault(f"{tap!r}: session present, but there can be none")
        if not packet.session_present and tap.expected == SURE:
            self.fault(f"{tap!r}: no session present, but it must be there")
        session = tap.session_before
        if not packet.session_present or session is None:
            if session is not None:
                self._end(session)
            session = self.sessions[client_id] = SessionModel(client_id, connect.version, session is not None)
        elif session.heir and not session.told and not session.misled:
            self._mislead(session)
        self.count("session present" if packet.session_present else "session new")
        session.state = SURE
        session.connected = True
        session.connects += 1
        session.version = connect.version
        session.packet_size_max = connect.properties.maximum_packet_size or 0
        if connect.version == 5:
            expiry_s = connect.properties.session_expiry_interval or 0
            given = packet.properties.session_expiry_interval
            session.expiry_low = session.expiry_high = expiry_s if given is None else given
        else:
            session.expiry_low = session.expiry_high = 0 if connect.clean_start else self.expiry_v311_s
        if tap.over:
            # Its end had arrived before this answer left.
            session.expiry_low = min(session.expiry_low, tap.expiry_low)
            self._lost(session)
            if tap.leaving:
                self._leaving(tap)
        return session

    def _mislead(self, session: SessionModel) -> None:
        """A CONNACK with Session Present 0 never reached the client, and now it is told that a session is present.

        It takes this for the session it remembers, new messages of QoS 2 for those it has under the same identifiers,
        and goes on with publishes the broker knows nothing of.
        """
        session.misled = True
        self.count("client misled by a lost CONNACK")
        self.publisher_lost_session([m for m in self.messages.values() if m.publisher == session.client_id])

    def sent_to_misled(self, session: SessionModel, number: int) -> None:
        """A message of QoS 2 left for a client that was misled: it may take it for another."""
        session.swallowed[number] = None
        session.given(number)
        self.groups.sent_to_misled(session, number)

    def refused(self, tap: Tap, code: int) -> None:
        """A CONNACK of refusal left. code: its reason code."""
        self.fault(f"{tap!r} was refused with {code:#04x}")

    def disconnect_arrived(self, tap: Tap, packet: DisconnectPacket) -> None:
        """DISCONNECT arrived."""
        expiry_s = packet.properties.session_expiry_interval
        if expiry_s is not None:
            tap.expiry_low = expiry_s
            if tap.session is not None:
                tap.session.expiry_low = min(tap.session.expiry_low, expiry_s)
                tap.session.expiry_high = expiry_s
        if packet.reason_code == 0 and not self.in_order and tap.connect is not None:
            # It may wait behind messages for which there is no room, and be lost with them when the client comes back.
            self.wills.may_come(tap.connect)
        self.ended(tap, deleted=packet.reason_code == 0)
        if not self.in_order:
            self._leaving(tap)

    def _leaving(self, tap: Tap) -> None:
        """A DISCONNECT may wait behind messages without room; the time of its session begins behind it."""
        assert tap.connect is not None
        tap.leaving = True
        self.sessions[tap.connect.client_id].lost_high = inf

    def ended(self, tap: Tap, *, deleted: bool = False, crash: bool = False) -> None:
        """The broker has surely noticed that a connection is over; deleted: its will is. crash: it was the broker's."""
        connect = tap.connect
        if connect is not None and tap.leaving:
            tap.leaving = False
            session = self.sessions[connect.client_id]
            session.lost_high = min(session.lost_high, self.schedule.now)
        if connect is None or self.taps.get(connect.client_id) is not tap:
            return
        del self.taps[connect.client_id]
        tap.over = True
        expiry_s = tap.session.expiry_high if tap.session is not None else 0
        if crash:
            self.wills.may_come(connect)
        else:
            self.wills.ended(tap, connect, deleted=deleted, expiry_s=expiry_s)
        if tap.session is None:
            self._unanswered(tap, connect)
        else:
            self._lost(tap.session)

    def _lost(self, session: SessionModel) -> None:
        """The connection of a session is over."""
        session.connected = False
        session.lost_low = session.lost_high = self.schedule.now
        if session.expiry_high == 0:
            self._end(session)
        elif session.expiry_low == 0:
            self._doubt(session)
        self.retained.doubt()

    def _end(self, session: SessionModel) -> None:
        self._members_left(session)
        session.end(self.index, self.schedule.now)
        self.ended_index = self.index

    def _doubt(self, session: SessionModel) -> None:
        self._members_left(session)
        session.doubt(self.index)
        self.ended_index = self.index

    def _members_left(self, session: SessionModel) -> None:
        for name in session.subscriptions:
            if name.startswith("$share/"):
                self.groups.left(name)

    def _unanswered(self, tap: Tap, connect: ConnectPacket) -> None:
        """A connection ended before its CONNACK left: the broker may have a session of it."""
        session = tap.session_before
        now = self.schedule.now
        if session is None:
            session = self.sessions[connect.client_id] = SessionModel(connect.client_id, tap.version, False)
            session.state = MAYBE
        elif tap.expected != SURE:
            self._doubt(session)
            session.heir = True
            session.told = False
        expiry_s = (connect.properties.session_expiry_interval or 0) if connect.version == 5 else self.expiry_v311_s
        if connect.version != 5 and connect.clean_start:
            expiry_s = 0
        session.expiry_low = min(session.expiry_low, expiry_s)
        session.expiry_high = max(session.expiry_high, expiry_s)
        session.lost_low = min(session.lost_low, now)
        session.lost_high = now
        if session.expiry_low == 0:
            self._doubt(session)

    def crashed(self, stamp: float) -> None:
        """The broker's process is gone. stamp: newest time in its storage (epoch seconds)."""
        self.crashes += 1
        self.index += 1
        self.wills.crashed(stamp)
        for tap in list(self.taps.values()):
            self.ended(tap, crash=True)
        for session in self.sessions.values():
            if not self.durable:
                self._end(session)
                continue
            session.lost_low = min(session.lost_low, stamp)
            session.lost_high = min(session.lost_high, self.schedule.now)
            if session.state == GONE and session.ended_at >= stamp:
                session.state = MAYBE
                session.expiry_high = NEVER
        self.retained.crashed()

    def overflow(self, client_id: str) -> None:
        """The broker says that the queue of a session is full."""
        self.count("queue overflow")
        session = self.sessions.get(client_id)
        if session is not None:
            session.overflowed = True

    def forgive(self, client_id: str, numbers: Counter[int]) -> None:
        """A client crashed before it had stored the receipt of the messages `numbers`: these copies may come again."""
        session = self.sessions.get(client_id)
        if session is not None:
            session.forgiven.update(numbers)

    def check_settled(self, server: Server) -> None:
        """Everything has come to rest: is anything missing?"""
        missing: list[str] = []
        exempt = 0
        for session in self.sessions.values():
            for number in session.owed:
                message = self.messages[number]
                if message.deadline <= self.schedule.now:
                    continue
                if session.overflowed:
                    exempt += 1
                    continue
                missing.append(f"{session.client_id} never got {message!r}")
        missing += self.groups.missing() + self.retained.missing()
        if missing:
            self.fault("; ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""))
        if exempt > server.dropped_total():
            self.fault(f"{exempt} messages are missing after overflows, {server.dropped_total()} were counted")

    def end_subscription(self, session: SessionModel, name: str) -> list[SubscriptionModel]:
        """Something arrived that ends or replaces the subscriptions with the filter `name`; returns them."""
        self._filters.setdefault(name, {})[session.client_id] = session
        history = session.subscriptions.setdefault(name, [])
        ending = [subscription for subscription in history if not subscription.ended]
        if ending and name.startswith("$share/"):
            self.groups.left(name)
        for subscription in ending:
            subscription.ending = subscription.ending or self.index
        return ending

    def publisher_lost_session(self, messages: list[MessageModel]) -> None:
        """A client was told that its session is gone: it publishes these anew, since it has no answer to them."""
        self.count("publisher lost its session")
        for message in messages:
            message.doubled = True


def _inner(name: str) -> str:
    return name.split("/", 2)[2] if name.startswith("$share/") else name

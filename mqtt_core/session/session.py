"""The state of one client that outlives its connections, as both roles keep it.

Law: a session holds facts. It knows its subscriptions, both halves of its QoS flows, its offline queue, will and
expiry; it sends nothing and writes nothing. The broker's sender (router/sender.py) and the client move messages
through it and decide what goes to journal and outbox.

`sink` is where a delivery goes: the outbox of the live connection, or None while the client is away. A route names
sessions, never connections; connecting and disconnecting swap the sink in place. `direct` is the hot path's one
test: the client is connected, nothing of its messages waits (no queue, no resend, no replay), and frames may simply
be appended.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from math import inf
from typing import Final

from mqtt_core.codec.types import V5
from mqtt_core.session.message import Message, Outgoing
from mqtt_core.session.qos import IncomingFlow, OutgoingFlow
from mqtt_core.session.record import SessionRecord, SubscriptionRecord, WillRecord
from mqtt_core.topic_matcher.names import Cursor
from mqtt_core.transport.outbox import Outbox

__all__ = ["NEVER_EXPIRES", "ReplayCursor", "Session", "Subscription"]

NEVER_EXPIRES: Final = 0xFFFFFFFF
"""Session Expiry Interval that means "never" (5.0 section 3.1.2.11.2)."""


class Subscription:
    """One subscription of one session (5.0 section 3.8.3.1).

    filter: as the client wrote it, `$share/group/` included. qos: 0 to 2, as granted. retain_handling: 0 to 2.
    subscription_id: 1 to 268,435,455, or 0 for none. share: "group/filter" of a shared subscription, else "".
    It is never changed, only replaced; so what is stored of it is made once.
    """

    __slots__ = (
        "_record",
        "filter",
        "no_local",
        "qos",
        "retain_as_published",
        "retain_handling",
        "session",
        "share",
        "subscription_id",
    )

    def __init__(
        self,
        session: Session,
        topic_filter: str,
        qos: int,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        subscription_id: int = 0,
        share: str = "",
    ) -> None:
        self.session = session
        self.filter = topic_filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.retain_handling = retain_handling
        self.subscription_id = subscription_id
        self.share = share
        self._record: SubscriptionRecord | None = None

    def __repr__(self) -> str:
        return f"Subscription({self.session.client_id!r}, {self.filter!r}, qos={self.qos})"

    def to_record(self) -> SubscriptionRecord:
        """The subscription as it is stored."""
        record = self._record
        if record is None:
            record = self._record = SubscriptionRecord(
                self.filter,
                self.qos,
                self.no_local,
                self.retain_as_published,
                self.retain_handling,
                self.subscription_id,
            )
        return record


class ReplayCursor:
    """Retained messages still to be sent because of one new subscription.

    `found` are those that the walk has come upon last, in reverse; `position` is where it goes on, and `walked` says
    that it is over. `since` is its number among the broker's messages: what was retained later has been delivered live.
    `changes` is the store's count of changes when `found` was filled: while it is the same, so are they.
    """

    __slots__ = ("changes", "found", "position", "since", "subscription", "walked")

    def __init__(self, subscription: Subscription, since: int) -> None:
        self.subscription = subscription
        self.since = since
        self.position: Cursor | None = None
        self.walked = False
        self.changes = -1
        self.found: list[tuple[str, Message]] = []


class Session:
    """What is kept of one client under its client identifier (5.0 section 4.1).

    client_id: the key. limit: packet identifiers in use at a time, 1 to 65,535.
    identity: who created it (user name or what the policy said); nobody else may resume it.
    version: 4 or 5, of the last connection. expiry_s: seconds kept after the connection, NEVER_EXPIRES for ever.
    stored: the journal keeps this session. barrier: number of the newest batch that holds something of this session.
    packet_size_max: Maximum Packet Size of the client (bytes, 0 for none). alias_max: its Topic Alias Maximum;
    aliases: the aliases set on the live connection (5.0 section 3.3.2.3.4).
    purge_at: nothing in the queue expires before (epoch seconds), or it has been looked through just now.
    sequences: packet identifier -> journal number, for stored messages whose in-flight record is a mere frame.
    replays: filter -> the retained messages still to be sent for it; None when there are none. overtaken: topics on
    which a live message went out meanwhile, each with the broker's newest message number of that time.
    ended: it is over, only its subscriptions are still being removed, a slice at a time.
    will_at: when the delayed will is due (0.0: none is pending). local: the LocalSubscriber that is the sink of a
    session of the host, None for a client.
    """

    __slots__ = (
        "alias_max",
        "aliases",
        "barrier",
        "client_id",
        "connected",
        "connected_at",
        "direct",
        "disconnected_at",
        "dropping",
        "ended",
        "expiry_s",
        "identity",
        "incoming",
        "inflight",
        "local",
        "outgoing",
        "overtaken",
        "packet_size_max",
        "principal",
        "purge_at",
        "queue",
        "queue_bytes",
        "replays",
        "sequences",
        "sink",
        "stored",
        "subscriptions",
        "timer",
        "version",
        "will",
        "will_at",
    )

    def __init__(self, client_id: str, identity: str = "", version: int = V5, limit: int = 65535) -> None:
        self.client_id = client_id
        self.identity = identity
        self.version = version
        self.expiry_s = 0
        self.stored = False
        self.barrier = 0
        self.connected = False
        self.connected_at = 0.0
        self.disconnected_at = 0.0
        self.direct = False
        self.sink: Outbox | None = None
        self.principal: object = None
        self.local: object = None
        self.packet_size_max = 0
        self.alias_max = 0
        self.aliases: dict[str, int] | None = None
        self.outgoing = OutgoingFlow(limit)
        self.inflight = self.outgoing.inflight
        self.incoming = IncomingFlow()
        self.sequences: dict[int, int] | None = None
        self.queue: deque[Outgoing | bytes] | None = None
        self.queue_bytes = 0
        self.purge_at = inf
        self.dropping = False
        self.ended = False
        self.replays: OrderedDict[str, ReplayCursor] | None = None
        self.overtaken: dict[str, int] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.will: WillRecord | None = None
        self.will_at = 0.0
        self.timer: object = None

    def __repr__(self) -> str:
        return f"Session({self.client_id!r}, connected={self.connected}, queued={self.queued()})"

    def queued(self) -> int:
        """Number of messages waiting without a packet identifier."""
        return len(self.queue) if self.queue is not None else 0

    def update_direct(self) -> None:
        """Recompute `direct` after anything that it depends on has changed."""
        self.direct = (
            self.sink is not None
            and self.local is None
            and not self.queue
            and self.outgoing.resend is None
            and self.replays is None
        )

    def waits_for_outbox(self) -> bool:
        """True when messages wait although the quota has room, so that only the outbox can have stopped them."""
        return not self.direct and self.outgoing.room() > 0

    def expires_at(self) -> float:
        """When the session of an absent client ends (epoch seconds); 0.0 for never or while connected."""
        if self.connected or self.expiry_s == NEVER_EXPIRES:  # [MUST-3.1.2.11.2-3 v5]
            return 0.0  # [MQTT-4.1.0-2 v3.1.1] [MUST-3.1.2.11.2-3 v5]
        return self.disconnected_at + self.expiry_s

    def replay(self, subscription: Subscription, since: int) -> None:
        """Retained messages are to be sent for a subscription; `since`: a message number of its own."""
        if self.replays is None:
            self.replays = OrderedDict()
        else:
            self.replays.pop(subscription.filter, None)
        self.replays[subscription.filter] = ReplayCursor(subscription, since)
        self.direct = False

    def change_replay(self, subscription: Subscription) -> None:
        """A subscription has replaced that of its filter: what is still to be sent for the filter goes by it
        [MQTT-3.8.4-3]."""
        cursor = self.replays.get(subscription.filter) if self.replays is not None else None
        if cursor is not None:
            cursor.subscription = subscription

    def end_replay(self, topic_filter: str) -> None:
        """Everything retained has been sent for a filter, or the client does not want it any more."""
        if self.replays is not None and self.replays.pop(topic_filter, None) is not None and not self.replays:
            self.replays = None
            self.overtaken = {}

    def overtake(self, topic: str, sequence: int) -> None:
        """A live message goes out while `sequence` is the newest number: pending replays forget an older message that
        is retained on its topic."""
        if self.replays is not None:
            self.overtaken[topic] = sequence

    def to_record(self) -> SessionRecord:
        """The session as it is stored; the messages in flight and in the queue are stored one by one."""
        return SessionRecord(
            self.client_id,
            self.identity,
            self.version,
            self.expiry_s,
            self.will,
            [s.to_record() for s in self.subscriptions.values()],
            self.connected_at,
            0.0 if self.connected else self.disconnected_at,
            () if self.replays is None else tuple([(f, cursor.since) for f, cursor in self.replays.items()]),
        )

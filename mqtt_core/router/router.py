"""Who gets a message: the prepared route of each topic, and the fan-out along it.

Laws. A route is built once per topic and cached, never per message; it names sessions, not connections, so that clients
come and go without touching it. A subscription to a plain topic invalidates that topic's entry, one with wildcards the
entries it matches, found through a tree of the cached names; where that would be many, the whole cache is dropped
instead. Fan-out is a plain loop over rows; what differs between recipients was settled when the route was built.

One client gets one copy of a message however many of its subscriptions match: with the highest of their QoS and all
their subscription identifiers [MQTT-3.3.4-2 v5] [MQTT-3.3.4-4 v5] [MQTT-3.3.5-1 v3.1.1].
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from mqtt_core.persistence.journal import Journal
from mqtt_core.router.counters import Counters
from mqtt_core.router.registry import Registry, SharedGroup
from mqtt_core.router.retain import REFUSED, REMOVED, STORED, RetainStore
from mqtt_core.router.sender import Sender
from mqtt_core.session.message import Message, Outgoing
from mqtt_core.session.qos import is_qos1
from mqtt_core.session.session import Session, Subscription
from mqtt_core.topic_matcher.names import TopicTree

__all__ = ["NOBODY", "Delivery", "Route", "Router"]

INVALIDATE_MAX: Final = 512
"""Cached routes a wildcard subscription invalidates one by one; where it matches more, all are dropped."""

WALK_MIN: Final = 4096
WALK_PER_ROUTE: Final = 32
"""Names that may be walked in search of routes to invalidate, in all and for each route made, before all are dropped:
beyond that making them anew is cheaper than sparing them."""
CACHED_TOPIC_MAX: Final = 1024
CACHED_LEVELS_MAX: Final = 64
"""Characters and levels of a topic whose route is kept; a larger one is matched with every message, so that the cache,
which is bounded by number, is bounded in memory too."""

ENDING_MAX: Final = 1000
"""Plain subscriptions of an ended session that are removed at once; of more, so many with every timer."""

EVICT_MAX: Final = 64
"""Routes that leave a full cache together: finding the oldest entries of a dict takes longer than removing one."""


class Delivery:
    """One recipient of a route: what this session gets of each message on the topic.

    qos: the highest granted by its matching subscriptions. no_local: the row differs when the client is itself the
    publisher; `own` is then what it gets, None for nothing.
    """

    __slots__ = ("no_local", "own", "qos", "retain_as_published", "session", "subscription_ids")

    def __init__(
        self, session: Session, qos: int, retain_as_published: bool, subscription_ids: tuple[int, ...]
    ) -> None:
        self.session = session
        self.qos = qos
        self.retain_as_published = retain_as_published
        self.subscription_ids = subscription_ids
        self.no_local = False
        self.own: Delivery | None = None


class Route:
    """A topic's prepared recipients: rows, and the shared groups of which one member each gets a copy.

    The last five are for the bulk path. plain: the rows' sessions when frames may pass through unchanged; only: the one
    of them when there is just one. version: the version all of them speak, 0 when they differ or the route needs the
    object path. qos_min: the lowest granted QoS. size_max: the smallest Maximum Packet Size of a recipient (0: none).
    """

    __slots__ = ("groups", "only", "plain", "qos_min", "rows", "size_max", "topic", "topic_bytes", "version")

    def __init__(self, topic: str, topic_bytes: bytes, rows: list[Delivery], groups: list[SharedGroup]) -> None:
        self.topic = topic
        self.topic_bytes = topic_bytes
        self.rows = rows
        self.groups = groups
        self.plain: list[Session] = []
        self.only: Session | None = None
        self.version = 0
        self.qos_min = 2
        self.size_max = 0
        self._prepare()

    def _prepare(self) -> None:
        for row in self.rows:
            session = row.session
            self.qos_min = min(self.qos_min, row.qos)
            if session.packet_size_max and (not self.size_max or session.packet_size_max < self.size_max):
                self.size_max = session.packet_size_max
        if self.groups or not self.rows or self.topic.startswith("$SYS/"):
            return
        version = self.rows[0].session.version
        for row in self.rows:
            session = row.session
            if (
                row.no_local
                or row.subscription_ids
                or session.local is not None
                or session.alias_max
                or session.version != version
            ):
                return
        self.plain = [row.session for row in self.rows]
        if len(self.plain) == 1:
            self.only = self.plain[0]
        self.version = version

    def empty(self) -> bool:
        """True when nobody is subscribed (Reason Code 0x10 of 5.0)."""
        return not self.rows and not self.groups


NOBODY: Final = Route("", b"", [], [])
"""The route of a topic without subscribers."""


def _row(session: Session, subscriptions: list[Subscription]) -> Delivery:
    qos = 0
    retain_as_published = False
    ids: dict[int, None] = {}
    for subscription in subscriptions:
        qos = max(qos, subscription.qos)  # [MQTT-3.3.4-2 v5] [MQTT-3.3.5-1 v3.1.1]
        retain_as_published = retain_as_published or subscription.retain_as_published
        if subscription.subscription_id:
            ids[subscription.subscription_id] = None  # [MQTT-3.3.4-3 v5] [MQTT-3.3.4-4 v5]
    return Delivery(session, qos, retain_as_published, tuple(ids))


class Router:
    """Subscriptions, retained messages and routes of one broker (sections 3.3.1.3, 3.8.4 and 4.7; 5.0 section 4.8).

    authorize_deliver: the policy's question, None when everything is allowed. cache_max: number of cached routes.
    ending: sessions that are over and had so many subscriptions that removing them takes several inputs.
    """

    __slots__ = (
        "_names",
        "_walk_left",
        "authorize_deliver",
        "cache_max",
        "counters",
        "ending",
        "journal",
        "registry",
        "retained",
        "routes",
        "sender",
    )

    def __init__(
        self,
        registry: Registry,
        retained: RetainStore,
        sender: Sender,
        journal: Journal,
        counters: Counters,
        cache_max: int,
        authorize_deliver: Callable[[Session, str], bool] | None = None,
    ) -> None:
        self.registry = registry
        self.retained = retained
        self.sender = sender
        self.journal = journal
        self.counters = counters
        self.cache_max = max(cache_max, 1)
        self.authorize_deliver = sender.authorize_deliver = authorize_deliver
        self.routes: dict[bytes, Route] = {}
        self.ending: dict[Session, None] = {}
        self._names: TopicTree[bytes] = TopicTree()
        self._walk_left = WALK_MIN

    # -- subscriptions ------------------------------------------------------------------------------------------------

    def subscribe(self, subscription: Subscription) -> bool:
        """Enter a subscription; True when the session had no identical filter before (section 3.8.4)."""
        fresh = self.registry.add(subscription)
        if subscription.session.replays is not None:
            subscription.session.change_replay(subscription)
        self._invalidate(subscription)
        return fresh

    def unsubscribe(self, session: Session, topic_filter: str) -> bool:
        """Delete a subscription; False when the session has none with exactly this filter (section 3.10.4)."""
        subscription = self.registry.remove(session, topic_filter)
        if subscription is None:
            return False
        if session.replays is not None:
            session.end_replay(topic_filter)
            session.update_direct()
        self._invalidate(subscription)  # [MQTT-3.10.4-2]
        return True

    def replay(self, subscription: Subscription) -> None:
        """Send the retained messages that match a subscription, from the session's next drain on."""
        subscription.session.replay(subscription, self.sender.next_sequence())

    def session_changed(self, session: Session) -> None:
        """The session's client speaks another version or has other limits now: its routes are built anew."""
        if len(session.subscriptions) > INVALIDATE_MAX:
            self.invalidate_all()
            return
        for subscription in session.subscriptions.values():
            self._invalidate(subscription)

    def invalidate_all(self) -> None:
        """Forget all prepared routes."""
        self.routes = {}
        self._names = TopicTree()
        self._walk_left = WALK_MIN

    def _invalidate(self, subscription: Subscription) -> None:
        topic_filter = subscription.filter
        if subscription.share:
            topic_filter = subscription.share[subscription.share.index("/") + 1 :]
        if "+" not in topic_filter and "#" not in topic_filter:
            if self.routes.pop(topic_filter.encode(), None) is not None:
                self._names.pop(topic_filter)
            return
        if not self.routes:
            return
        names = self._names
        walked = names.visits
        found, more = names.matching_slice(topic_filter, None, INVALIDATE_MAX)
        left = min(self._walk_left, WALK_MIN + WALK_PER_ROUTE * len(self.routes))
        self._walk_left = left - (names.visits - walked)
        if more is not None or self._walk_left < 0:
            self.invalidate_all()
            return
        for topic, key in found:
            del self.routes[key]
            names.pop(topic)

    # -- routes -------------------------------------------------------------------------------------------------------

    def route(self, topic: str) -> Route:
        """The prepared route of a valid topic name, from the cache or built now."""
        key = topic.encode()
        route = self.routes.get(key)
        return route if route is not None else self._build(topic, key)

    def _build(self, topic: str, key: bytes) -> Route:
        found = self.registry.matches(topic)
        groups = self.registry.shared_matches(topic)
        if not found and not groups:
            return NOBODY  # not worth a place in the cache
        allowed = self.authorize_deliver
        by_session: dict[Session, list[Subscription]] = {}
        for subscription in found:
            if subscription.session.ended:
                continue
            mine = by_session.get(subscription.session)
            if mine is None:
                if allowed is None or allowed(subscription.session, topic):
                    by_session[subscription.session] = [subscription]
            else:
                mine.append(subscription)
        rows = []
        for session, subscriptions in by_session.items():
            row = _row(session, subscriptions)
            foreign = [s for s in subscriptions if not s.no_local]
            if len(foreign) != len(subscriptions):
                row.no_local = True
                row.own = _row(session, foreign) if foreign else None  # [MQTT-3.8.3-3 v5]
            rows.append(row)
        if not rows and not groups:
            return NOBODY
        route = Route(topic, key, rows, groups)
        if len(topic) > CACHED_TOPIC_MAX or topic.count("/") >= CACHED_LEVELS_MAX:
            return route
        if len(self.routes) >= self.cache_max:
            for oldest in list(islice(self.routes, EVICT_MAX)):
                self._names.pop(self.routes.pop(oldest).topic)
        self.routes[key] = route
        self._names.set(topic, key)
        self._walk_left += WALK_PER_ROUTE
        return route

    # -- messages -----------------------------------------------------------------------------------------------------

    def retain(self, message: Message) -> int:
        """Keep, replace or delete the retained message of a topic (section 3.3.1.3); the barrier of that write."""
        outcome = self.retained.store(message)
        if outcome == REFUSED:
            self.counters.dropped_retained += 1
        if message.topic.startswith("$SYS/"):
            return 0
        if outcome == STORED:
            return self.journal.store_retained(message.topic, message)
        if outcome in (REMOVED, REFUSED):
            return self.journal.store_retained(message.topic, None)
        return self.journal.pending()  # nothing is retained, which may rest on a removal that is not durable yet

    def publish(
        self, message: Message, now: float, barrier: int = 0, packet_id: int = 0, route: Route | None = None
    ) -> int:
        """Give a message to everybody who is subscribed, and to the retained store when RETAIN is set.

        barrier: of writes that the same input has caused already. packet_id: the publisher's, which recipients get too
        where it is free, so that a frame can pass through unchanged. route: of the message's topic, if known. Returns
        the barrier that the publisher's acknowledgement and all frames of this input have to wait for; 0 when nothing
        was written.
        """
        if message.retain:  # [MQTT-3.3.1-8 v5] [MQTT-3.3.1-12 v3.1.1]
            barrier = max(barrier, self.retain(message))
        if route is None:
            route = self.route(message.topic)
        if route is NOBODY:
            return barrier
        members = [self._member(group, message.topic, None) for group in route.groups]
        if message.qos and self.journal.enabled and self._stores(route, members):
            barrier = self.journal.claim()
        held = barrier if message.qos else 0
        sender = self.sender
        sender.borrow = packet_id
        variants: dict[tuple[int, bool, tuple[int, ...]], Outgoing] = {}
        for row in route.rows:
            delivery = row
            if row.no_local and row.session.client_id == message.publisher:
                if row.own is None:
                    continue
                delivery = row.own
            qos = min(message.qos, delivery.qos)  # [MQTT-3.8.4-8 v5] [MQTT-3.8.4-6 v3.1.1]
            # [MQTT-3.3.1-9 v3.1.1] [MQTT-3.3.1-12 v5] [MQTT-3.3.1-13 v5]
            retain = message.retain and delivery.retain_as_published
            key = (qos, retain, delivery.subscription_ids)
            out = variants.get(key)
            if out is None:
                out = variants[key] = Outgoing(message, qos, retain, delivery.subscription_ids)
            sender.deliver(row.session, out, held if qos else 0, now)
        for group, member in zip(route.groups, members, strict=True):
            self._give_to_member(group, member, message, held, now)
        sender.end_fan_out()
        return barrier

    @staticmethod
    def _stores(route: Route, members: list[Subscription | None]) -> bool:
        for row in route.rows:
            if row.qos and row.session.stored:
                return True
        return any(member is not None and member.qos and member.session.stored for member in members)

    def _give_to_member(
        self, group: SharedGroup, member: Subscription | None, message: Message, barrier: int, now: float
    ) -> None:
        """One member of a shared group gets the message, at its own granted QoS [MQTT-4.8.2-3 v5]."""
        if member is None:
            return
        session = member.session
        copy = self.sender.renumbered(message)
        qos = min(message.qos, member.qos)  # [MQTT-4.8.2-3 v5]
        retain = message.retain and member.retain_as_published
        ids = (member.subscription_id,) if member.subscription_id else ()
        self.sender.deliver(session, Outgoing(copy, qos, retain, ids, group.key), barrier if qos else 0, now)

    def _member(self, group: SharedGroup, topic: str, refused: Session | None) -> Subscription | None:
        """Whose turn it is among the members that may see the topic, those online first."""
        allowed = self.authorize_deliver
        if allowed is None:
            return group.choose(refused)
        for members in (group.online, group.absent):
            for _ in range(len(members)):
                member = group.next_of(members, refused)
                if member is not None and allowed(member.session, topic):
                    return member
        return None

    # -- the end of a session ------------------------------------------------------------------------------------------

    def continue_ending(self) -> None:
        """Remove some of the subscriptions of sessions that have ended; to be called while `ending` has any."""
        session = next(iter(self.ending))
        for topic_filter in list(islice(reversed(session.subscriptions), ENDING_MAX)):
            self.registry.remove(session, topic_filter)
        if not session.subscriptions:
            del self.ending[session]

    def session_ended(self, session: Session, now: float) -> None:
        """Remove a session's subscriptions; shared messages it has not taken go to another member of their group.

        That is its queue and its unacknowledged QoS 1; a QoS 2 message that was sent goes to nobody [MQTT-4.8.2-5 v5].
        """
        # [MQTT-4.8.2-5 v5]
        waiting = [e for e in session.inflight.values() if isinstance(e, Outgoing) and is_qos1(e)]
        waiting.extend(self.sender.queues.clear(session))
        barrier = self.journal.claim() if session.stored else 0
        many = len(session.subscriptions) > ENDING_MAX
        for subscription in list(session.subscriptions.values()):
            if not many:
                self.unsubscribe(session, subscription.filter)
            elif subscription.share:
                self.registry.remove(session, subscription.filter)
        if many:
            self.invalidate_all()
        if session.subscriptions:
            session.ended = True
            self.ending[session] = None
        for out in waiting:
            group = self.registry.group(out.shared) if out.shared else None
            if group is not None:
                member = self._member(group, out.message.topic, session)
                self._give_to_member(group, member, out.message, barrier, now)
        self.sender.end_fan_out()

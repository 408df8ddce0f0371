"""Who is subscribed to what: sessions by client identifier, subscriptions by filter, shared groups by name.

Laws: a filter matches through the trie only. Plain and shared subscriptions live in separate tries, so that
`$share/g/x` and `x` never touch each other. Members of a shared group stand in two lines, those online and those
away, and the turn goes round the first while it has anybody (5.0 section 4.8.2). To join, to leave, to change lines and
to be chosen takes the same time however many members there are.
"""

from __future__ import annotations

from collections import OrderedDict

from mqtt_core.session.session import Session, Subscription
from mqtt_core.topic_matcher.trie import TopicTrie

__all__ = ["Registry", "SharedGroup"]


class SharedGroup:
    """The members of one shared subscription, by turns. `key` is "group/filter"."""

    __slots__ = ("absent", "key", "online", "topic_filter")

    def __init__(self, key: str, topic_filter: str) -> None:
        self.key = key
        self.topic_filter = topic_filter
        self.online: OrderedDict[Session, Subscription] = OrderedDict()
        self.absent: OrderedDict[Session, Subscription] = OrderedDict()

    def choose(self, refused: Session | None = None) -> Subscription | None:
        """The member whose turn it is, one that is online if there is any; None when only `refused` is left."""
        return self.next_of(self.online, refused) or self.next_of(self.absent, refused)

    def next_of(self, members: OrderedDict[Session, Subscription], refused: Session | None) -> Subscription | None:
        """The member whose turn it is among those online, or among those away; None when only `refused` is left."""
        for _ in range(min(len(members), 2)):
            session = next(iter(members))
            members.move_to_end(session)
            if session is not refused:
                return members[session]  # [MUST-4.8.2-2 v5]
        return None

    def place(self, subscription: Subscription) -> None:
        """Put a member into the line it belongs to, and out of the other."""
        session = subscription.session
        here, there = (self.online, self.absent) if session.connected else (self.absent, self.online)
        there.pop(session, None)
        here[session] = subscription

    def drop(self, session: Session) -> Subscription | None:
        """Take the member with this session out; returns its subscription."""
        return self.online.pop(session, None) or self.absent.pop(session, None)

    def __bool__(self) -> bool:
        return bool(self.online) or bool(self.absent)


class Registry:
    """Sessions and their subscriptions. `sessions` maps client identifier to session, in order of creation."""

    __slots__ = ("_groups", "_plain", "_shared", "_shares", "sessions", "subscription_count")

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.subscription_count = 0
        self._plain: TopicTrie[Subscription] = TopicTrie()
        self._shared: TopicTrie[SharedGroup] = TopicTrie()
        self._groups: dict[str, SharedGroup] = {}
        self._shares: dict[str, dict[str, SharedGroup]] = {}  # client id -> its groups

    def add(self, subscription: Subscription) -> bool:
        """Enter a subscription in place of an identical filter of its session; True when there was none."""
        session = subscription.session
        fresh = subscription.filter not in session.subscriptions
        session.subscriptions[subscription.filter] = subscription  # [MQTT-3.8.4-3]
        if fresh:
            self.subscription_count += 1
        if subscription.share:
            self._join(subscription)
        else:
            self._plain.insert(subscription.filter, session.client_id, subscription)
        return fresh

    def remove(self, session: Session, topic_filter: str) -> Subscription | None:
        """Take a subscription out; None when the session has no such filter [MQTT-3.10.4-1]."""
        subscription = session.subscriptions.pop(topic_filter, None)  # [MQTT-3.10.4-1]
        if subscription is None:
            return None
        self.subscription_count -= 1
        if not subscription.share:
            removed = self._plain.remove(topic_filter, session.client_id)
            if removed is not None and removed is not subscription:
                # Of a later session of this client, while the one that has ended is still being cleared away.
                self._plain.insert(topic_filter, session.client_id, removed)
            return subscription
        group = self._groups[subscription.share]
        group.drop(session)
        mine = self._shares[session.client_id]
        del mine[subscription.share]
        if not mine:
            del self._shares[session.client_id]
        if not group:
            del self._groups[group.key]
            self._shared.remove(group.topic_filter, group.key)
        return subscription

    def matches(self, topic: str) -> list[Subscription]:
        """The plain subscriptions whose filter matches a topic, in order of the trie."""
        return self._plain.matches(topic)

    def shared_matches(self, topic: str) -> list[SharedGroup]:
        """The shared groups whose filter matches a topic."""
        return self._shared.matches(topic)

    def group(self, key: str) -> SharedGroup | None:
        """The shared group with this "group/filter", None when it has no member."""
        return self._groups.get(key)

    def presence_changed(self, session: Session) -> None:
        """The session's client has come or gone: its shared memberships change lists."""
        mine = self._shares.get(session.client_id)
        if mine is not None:
            for group in mine.values():
                member = group.drop(session)
                if member is not None:
                    group.place(member)

    def shared_count(self) -> int:
        """Number of shared subscriptions."""
        return sum(len(mine) for mine in self._shares.values())

    def _join(self, subscription: Subscription) -> None:
        key = subscription.share
        group = self._groups.get(key)
        if group is None:
            topic_filter = key[key.index("/") + 1 :]
            group = self._groups[key] = SharedGroup(key, topic_filter)
            self._shared.insert(topic_filter, key, group)
        group.place(subscription)
        self._shares.setdefault(subscription.session.client_id, {})[key] = group

"""What an application is given: has its session a right to it, as it is, that often, in that order?

Exactly once is demanded of what was delivered with QoS 2; elsewhere a copy needs a reason: a repeated publish, a new
connection of either side, a crash.

Law: every delivery is checked when it happens, against what the oracle knows; nothing is put off to the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_core.client.events import MessageReceived
from mqtt_core.testing.simulation.model import MessageModel, SessionModel, SubscriptionModel
from mqtt_core.testing.simulation.tap import Tap
from mqtt_core.testing.simulation.wire import Publish

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.oracle import Oracle

__all__ = ["Deliveries"]


class Deliveries:
    """Judges deliveries for one oracle."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def delivered(self, tap: Tap, event: MessageReceived) -> None:
        """An application was given a message."""
        session = tap.session
        if session is None:
            self._oracle.fault(f"{tap!r}: a message before CONNACK")
            return
        self._oracle.count(f"delivered qos {event.qos}")
        if not event.topic.startswith(("t/", "s/")):
            known = self._oracle.messages.get(self._oracle.number_of(event.payload))
            if known is not None and known.payload == event.payload:
                self._oracle.fault(f"{session.client_id} got {known!r} on {event.topic!r}")
            return  # of a hostile client
        if not event.payload:
            if event.retain and not self._as_published(session, event.topic):
                self._oracle.fault(f"{session.client_id} got a deletion on {event.topic} as a retained message")
            return
        number = self._oracle.number_of(event.payload)
        if number not in self._oracle.messages:
            self._oracle.fault(f"{session.client_id} got {event!r}, which nobody published")
        message = self._oracle.messages[number]
        if event.topic != message.topic or event.payload != message.payload:
            self._oracle.fault(f"{session.client_id} got {event!r}, published was {message!r}")
        if session.version == 5 and event.properties.content_type != message.content:
            self._oracle.fault(f"{session.client_id} got {event!r} with other properties than {message!r}")
        rights = self._rights(session, message)
        if not rights and not event.retain:
            self._oracle.fault(f"{session.client_id} got {message!r} without a matching subscription")
        if event.retain:
            self._oracle.retained.check_replay(session, message, rights)
        if rights and not event.retain:
            if message.retain and all(s.retain_as_published for s in rights):
                self._oracle.fault(
                    f"{session.client_id} got {message!r} without RETAIN, subscribed with Retain As Published"
                )
            low = min(s.qos for s in rights)
            sure = [s.qos for s in rights if s.covers(message)]
            low = max(sure) if sure else low
            high = max(s.qos for s in rights)
            if not min(message.qos, low) <= event.qos <= min(message.qos, high):
                self._oracle.fault(f"{session.client_id} got {message!r} with QoS {event.qos}, granted {low} to {high}")
        self._check_identifiers(session, message, event, rights)
        self._check_count(session, message, event)
        if not event.retain and not message.will:
            self._check_order(session, message, event.qos)
        session.given(message.number)
        if message.topic.startswith("s/"):
            self._oracle.groups.delivered(session, message, event.qos)

    def _check_identifiers(
        self, session: SessionModel, message: MessageModel, event: MessageReceived, rights: list[SubscriptionModel]
    ) -> None:
        """A live message names every subscription it is for, a retained one that which asked for it (section 3.3.4)."""
        found = event.properties.subscription_identifiers
        known = [
            subscription.identifier
            for name in self._oracle.matching_filters(message.topic)
            for subscription in session.subscriptions.get(name, ())
        ]
        wanted = [] if event.retain else [s.identifier for s in rights if s.identifier and s.covers(message)]
        if len({*found}) < len(found) or not {*wanted} <= {*found} <= {*known}:
            self._oracle.fault(f"{session.client_id} got {message!r} for subscriptions {found}, due were {wanted}")
        if found:
            self._oracle.count("subscription identifiers")

    def _as_published(self, session: SessionModel, topic: str) -> bool:
        """Any subscription of the session to the topic asked for Retain As Published."""
        return any(
            subscription.retain_as_published
            for name in self._oracle.matching_filters(topic)
            for subscription in session.subscriptions.get(name, ())
        )

    def _rights(self, session: SessionModel, message: MessageModel) -> list[SubscriptionModel]:
        return [
            subscription
            for name in self._oracle.matching_filters(message.topic)
            for subscription in session.subscriptions.get(name, ())
            if subscription.possible(message) and not (subscription.no_local and message.publisher == session.client_id)
        ]

    def _check_count(self, session: SessionModel, message: MessageModel, event: MessageReceived) -> None:
        number = message.number
        if event.qos == 0:
            session.seen_qos0[number] = None
        count = session.seen[number] = session.seen.get(number, 0) + 1
        if message.will:
            self._check_will_count(session, message, event.qos)
            return
        if count == 1 or message.doubled:
            return
        if number in session.forgiven:
            self._oracle.count("doubled by a client's crash")
            return
        allowed = session.subscribes if message.retain else 0
        if event.qos == 2:
            allowed += 1
        else:
            allowed += (1 if message.qos == 2 else message.arrivals) * session.connects
        if number in session.seen_qos0:
            allowed += self._oracle.crashes
        if count > allowed:
            self._oracle.fault(f"{session.client_id} got {message!r} {count} times, at last with QoS {event.qos}")
        self._oracle.count(f"repeated qos {event.qos}")

    def _check_will_count(self, session: SessionModel, message: MessageModel, qos: int) -> None:
        """One will may be published many times, for one connection after the other.

        Each time it has the QoS that was granted then. With QoS 2 it is delivered once, whatever was delivered with
        another QoS before; with QoS 1 again on every connection until it is acknowledged. What its client crashed with,
        before the receipt was stored, comes once more.
        """
        number = message.number
        crashes = self._oracle.crashes
        count = session.seen[number]
        if count > message.wills * session.connects + crashes:
            self._oracle.fault(f"{session.client_id} got the will {message!r} {count} times, due were {message.wills}")
        if qos == 2:
            count = session.wills_qos2[number] = session.wills_qos2.get(number, 0) + 1
            if count > message.wills + crashes + session.forgiven[number]:
                self._oracle.fault(
                    f"{session.client_id} got the will {message!r} {count} times with QoS 2, due were {message.wills}"
                )

    def _check_order(self, session: SessionModel, message: MessageModel, qos: int) -> None:
        if session.seen[message.number] > 1 or message.arrivals > 1:
            return
        key = (message.publisher, message.topic, message.qos, qos)
        newest = session.newest.get(key, 0)
        moved = message.topic.startswith("s/") and (
            self._oracle.ended_index >= message.arrived
            or (newest > message.number and self._oracle.groups.handed_on(session, message))
        )
        # Dropped in its turn because it had expired, and back because a crash lost that: it then counts as sent.
        revived = self._oracle.crashes > 0 and message.deadline <= self._oracle.schedule.now
        if newest > message.number and not (message.doubled or moved or revived):
            self._oracle.fault(f"{session.client_id} got {message!r} after message {newest}")
        session.newest[key] = message.number

    def check_expiry(self, tap: Tap, publish: Publish) -> None:
        """A PUBLISH leaves: what does it say about its time?"""
        number = self._oracle.number_of(publish.payload)
        message = self._oracle.messages.get(number)
        if message is None or message.deadline == float("inf"):
            return
        left = message.deadline - self._oracle.schedule.now
        if message.deadline <= self._oracle.told_at and not publish.dup:
            self._oracle.fault(f"{tap!r}: {message!r} left {-left} s after it expired")
        if (
            publish.expiry_s >= 0
            and message.arrivals == 1
            and not publish.dup
            and not (left - 1 < publish.expiry_s < left + 1 + self._oracle.schedule.now - self._oracle.told_at)
        ):
            self._oracle.fault(f"{tap!r}: {message!r} says {publish.expiry_s} s, {left} s are left")
        self._oracle.count("sent with expiry")

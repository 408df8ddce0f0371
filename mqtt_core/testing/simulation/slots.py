"""What is retained on each topic, as far as the wire tells (section 3.3.1.3).

Law: the last write that was acknowledged replaces all before it. A write that is not acknowledged is possible from its
arrival on, and a crash makes every possible write the current one, perhaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_core.testing.simulation.model import (
    MessageModel,
    SessionModel,
    SlotModel,
    SubscriptionModel,
    filter_matches,
)

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.oracle import Oracle

__all__ = ["Slots"]


class Slots:
    """The retained messages of one world. slots: by topic."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.slots: dict[str, SlotModel] = {}

    def written(self, number: int, topic: str, qos: int, *, dup: bool) -> None:
        """A PUBLISH with RETAIN arrived; number 0 deletes."""
        oracle = self._oracle
        slot = self.slots.get(topic)
        if slot is None:
            slot = self.slots[topic] = SlotModel()
        message = oracle.messages.get(number)
        if message is not None and qos == 2 and message.arrivals:
            # A repetition, which is no write; unless the first was lost in a crash, or its session with all receipts.
            if not message.acks or message.doubled:
                slot.unsure = True
                message.superseded = 0
                if number in slot.writes:
                    slot.writes.remove(number)
                slot.writes.append(number)
            return
        if message is None and qos == 2 and dup:
            # A deletion again, which cannot be told from the first: perhaps it is none.
            slot.unsure = True
            slot.writes.append(-oracle.index)
            return
        if number in slot.writes:
            slot.writes.remove(number)
        slot.writes.append(number or -oracle.index)
        if message is not None:
            message.superseded = 0
        slot.unsure = not oracle.in_order

    def acknowledged(self, message: MessageModel) -> None:
        """A retained message was acknowledged: what was written before it is gone."""
        oracle = self._oracle
        slot = self.slots[message.topic]
        if message.qos == 2 and message.arrivals > 1:
            return
        if not oracle.in_order:
            for number in [n for n in slot.writes if n > 0 and 0 < oracle.messages[n].done < message.came]:
                self._supersede(number)
                slot.writes.remove(number)
        elif message.number in slot.writes:
            at = slot.writes.index(message.number)
            for number in slot.writes[:at]:
                self._supersede(number)
            slot.writes = slot.writes[at:]
            if len(slot.writes) == 1:
                slot.unsure = False

    def doubt(self) -> None:
        """A connection ended: what it wrote last may not have been handled."""
        for slot in self.slots.values():
            slot.unsure = slot.unsure or len(slot.writes) > 1

    def crashed(self) -> None:
        """The broker crashed."""
        oracle = self._oracle
        for slot in self.slots.values():
            if not oracle.durable:
                for number in slot.writes:
                    self._supersede(number)
                slot.writes = [0]
            slot.unsure = len(slot.writes) > 1 or not oracle.in_order

    def _supersede(self, number: int) -> None:
        if number > 0:
            self._oracle.messages[number].superseded = self._oracle.index

    def asked(self, session: SessionModel, subscription: SubscriptionModel) -> None:
        """A subscription was acknowledged: what was surely retained when it was asked for is due, as long as it is."""
        oracle = self._oracle
        if subscription.share or subscription.retain_handling:
            return
        for topic, slot in self.slots.items():
            number = slot.writes[-1]
            if number <= 0 or not filter_matches(subscription.filter, topic):
                continue
            message = oracle.messages[number]
            if (
                self._current(message)
                and 0 < message.done < subscription.asked
                and min(message.qos, subscription.qos)
                and not (subscription.no_local and message.publisher == session.client_id)
                and not session.too_large(message)
                and number not in session.swallowed
            ):
                session.asked[number] = subscription
                oracle.count("retained asked for")

    def missing(self) -> list[str]:
        """Retained messages that were asked for and never came, though nothing has replaced them, not even themselves:
        one that was published again is a live message, which a full queue may drop."""
        return [
            f"{session.client_id} never got the retained {message!r}"
            for session in self._oracle.sessions.values()
            for message, subscription in [(self._oracle.messages[n], s) for n, s in session.asked.items()]
            if self._current(message) and message.came < subscription.asked and not subscription.ending
        ]

    def _current(self, message: MessageModel) -> bool:
        """It is surely what is retained on its topic."""
        slot = self.slots[message.topic]
        expired = message.deadline <= self._oracle.schedule.now
        return slot.writes == [message.number] and not slot.unsure and not expired

    def check_replay(self, session: SessionModel, message: MessageModel, rights: list[SubscriptionModel]) -> None:
        """An application was given a message with RETAIN."""
        oracle = self._oracle
        if not message.retain:
            oracle.fault(f"{session.client_id} got {message!r} with RETAIN, published without")
        if any(s.retain_as_published for s in rights):
            return
        oracle.count("retained replay")
        asked = [
            subscription.asked
            for name in oracle.matching_filters(message.topic)
            for subscription in session.subscriptions.get(name, ())
        ]
        if oracle.in_order and all(index < message.arrived for index in asked):
            oracle.fault(f"{session.client_id} got {message!r} with RETAIN, but had subscribed before it was published")
        if message.superseded and all(index > message.superseded for index in asked):
            oracle.fault(f"{session.client_id} got {message!r} as retained, which it was no more when it subscribed")

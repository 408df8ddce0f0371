"""What members of shared subscriptions must be given (5.0 section 4.8.2).

Law: of every acknowledged message each shared subscription gives one copy to one member. It stays with that member's
session; when the session ends it goes to another, but a QoS 2 message that was sent goes to nobody. So while no member
has left, exactly one member gets it, sooner or later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_core.testing.simulation.model import GONE, SURE, MessageModel, SessionModel

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.oracle import Oracle

__all__ = ["Groups"]


class Groups:
    """Shared subscriptions by their filter, "$share/group/filter"."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._owed: dict[tuple[str, int], int] = {}
        self._given: dict[tuple[str, int], str] = {}
        self._left: dict[str, int] = {}
        self._dropped: dict[str, None] = {}

    def left(self, name: str) -> None:
        """A member has left, or may have."""
        self._left[name] = self._oracle.index

    def charge(self, name: str, message: MessageModel, members: list[SessionModel]) -> None:
        """The broker has taken a message over; these were surely members."""
        if any(message.number in session.swallowed for session in members):
            return
        if (name, message.number) not in self._given and all(
            min(message.qos, session.subscriptions[name][-1].qos) for session in members
        ):
            self._owed[name, message.number] = message.arrived
            self._oracle.count("owed to a shared subscription")

    def delivered(self, session: SessionModel, message: MessageModel, qos: int) -> None:
        """A member was given a message."""
        for name in session.subscriptions:
            if name.startswith("$share/"):
                key = (name, message.number)
                self._owed.pop(key, None)
                other = self._given.setdefault(key, session.client_id)
                disturbed = self._left.get(name, 0) >= message.arrived or message.doubled or message.arrivals > 1
                if other != session.client_id and qos == 2 and not disturbed and not self._oracle.crashes:
                    self._oracle.fault(f"{name}: {message!r} went to {other} and to {session.client_id}")

    def sent_to_misled(self, session: SessionModel, number: int) -> None:
        """A member may have taken a message for another."""
        for name in session.subscriptions:
            self._owed.pop((name, number), None)

    def handed_on(self, session: SessionModel, message: MessageModel) -> bool:
        """Another member may have had a message that `session` was given, and have lost its session since.

        The message then comes behind what `session` was given meanwhile, which is in order: a topic is an ordered one
        for subscriptions that are not shared [MQTT-4.6.0-6 v5]. Who was a member, but is absent, may have expired
        without any packet that tells; who had expired for sure before the message came has not had it.
        """
        oracle = self._oracle
        return any(
            subscription.share and subscription.possible(message)
            for name in oracle.matching_filters(message.topic)
            for other in oracle.members(name)
            if other is not session
            and other.present_at(message.arrived_at) != GONE
            and other.present_at(oracle.schedule.now) != SURE
            for subscription in other.subscriptions.get(name, ())
        )

    def forget(self, message: MessageModel) -> None:
        """No group has a right to a message any more."""
        self._owed = {key: arrived for key, arrived in self._owed.items() if key[1] != message.number}

    def missing(self) -> list[str]:
        """Messages that no member has been given although none has left and none's queue was full."""
        oracle = self._oracle
        missing = []
        for (name, number), arrived in self._owed.items():
            message = oracle.messages[number]
            members = oracle.members(name)
            if self._left.get(name, 0) >= arrived or message.deadline <= oracle.schedule.now:
                continue
            if any(session.overflowed or session.too_large(message) for session in members):
                continue
            missing.append(f"{name}: no member got {message!r}")
        return missing

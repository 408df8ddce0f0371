"""When a will has to be published, and when it must not be (5.0 section 3.1.2.5).

Law: a will is due when its connection ends without a DISCONNECT that deletes it: at once, or after its delay, or with
its session if that ends first; it is void when the session's client comes back before. A crash of the broker is an
end of all connections, at the newest time it had stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_core.codec import ConnectPacket
from mqtt_core.testing.simulation.model import MessageModel

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.oracle import Oracle
    from mqtt_core.testing.simulation.tap import Tap

__all__ = ["Wills"]


class _Pending:
    """A will whose delay runs. sure: nothing but the client's return or a crash can keep it from being published."""

    __slots__ = ("due", "message", "sure")

    def __init__(self, message: MessageModel, due: float, sure: bool) -> None:
        self.message = message
        self.due = due
        self.sure = sure


class Wills:
    """The wills of one world, by client identifier."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._pending: dict[str, _Pending] = {}
        self._recent: list[tuple[float, MessageModel, bool]] = []

    def ended(self, tap: Tap, connect: ConnectPacket, *, deleted: bool, expiry_s: int) -> None:
        """A connection is over. deleted: by a normal DISCONNECT. expiry_s: what is left of its session after it."""
        will = connect.will
        if will is None or deleted:
            return
        oracle = self._oracle
        message = oracle.messages[oracle.number_of(will.payload)]
        delay_s = min(will.properties.will_delay_interval or 0, expiry_s)
        sure = tap.session is not None
        if not delay_s:
            self._publish(message, sure, expiry_s > 0)
            return
        pending = self._pending[connect.client_id] = _Pending(message, oracle.schedule.now + delay_s, sure)
        oracle.schedule.at(pending.due, self._due, (connect.client_id, pending))

    def returned(self, client_id: str, *, session_ends: bool) -> None:
        """CONNECT of this client arrived: its waiting will is void, or due with the session that it discards."""
        pending = self._pending.pop(client_id, None)
        if pending is None:
            return
        if session_ends or pending.due <= self._oracle.schedule.now:
            self._publish(pending.message, pending.sure and pending.due > self._oracle.schedule.now)
        else:
            self._oracle.count("will void by return")

    def crashed(self, stamp: float) -> None:
        """The broker crashed: what was published since its newest stamp may be published again.

        Nothing is left of the will of a session that ended with its connection, unless its publication is stored.
        """
        for when, message, lasting in self._recent:
            if when >= stamp:
                message.wills += 1
                if not lasting:
                    for session in self._oracle.sessions.values():
                        session.owed.pop(message.number, None)
                    self._oracle.groups.forget(message)
        self._recent.clear()
        for pending in self._pending.values():
            pending.sure = False
            pending.message.wills += 1

    def may_come(self, connect: ConnectPacket) -> None:
        """The will of a connection may be published, once and some time: a crash ended it, or the broker may never see
        the DISCONNECT that deletes it."""
        if connect.will is not None:
            oracle = self._oracle
            message = oracle.messages[oracle.number_of(connect.will.payload)]
            message.wills += 1
            message.arrived = message.arrived or oracle.index

    def _due(self, argument: tuple[str, _Pending]) -> None:
        client_id, pending = argument
        if self._pending.get(client_id) is pending:
            del self._pending[client_id]
            self._publish(pending.message, pending.sure)

    def _publish(self, message: MessageModel, sure: bool, lasting: bool = True) -> None:
        oracle = self._oracle
        oracle.index += 1
        message.wills += 1
        message.arrived = message.arrived or oracle.index  # a delivery may be of any of its publications
        oracle.count("will due" if sure else "will possible")
        self._recent.append((oracle.schedule.now, message, lasting))
        if sure:
            oracle.charge(message)

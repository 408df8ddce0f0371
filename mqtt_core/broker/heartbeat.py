"""Time is committed now and then, so that a crash makes no session older than it is.

A session whose client was connected when the broker died counts as disconnected at the newest committed time. Where
clients only listen nothing else is written for hours, and that time would be hours old: the session would have
expired, and its delayed will would be published, although the client was there a moment ago. So while the client of a
stored session is connected whose end or will depends on time, a batch is committed every minute, or as often as is
precise to an eighth of the shortest such interval, at most once a second. Other batches serve as well.

Not here: what becomes of a session at recovery (`restore`), and how a batch is committed (`persistence`).
"""

from __future__ import annotations

from typing import Final

from mqtt_core.persistence.journal import Journal
from mqtt_core.session.session import NEVER_EXPIRES, Session
from mqtt_core.timers import Deadlines, Timer

__all__ = ["HEARTBEAT_TIMER", "Heartbeat"]

HEARTBEAT_TIMER: Final = 2
"""Kind of the timer of the heartbeat."""

INTERVAL_MIN_S: Final = 1.0
INTERVAL_MAX_S: Final = 60.0
PRECISION: Final = 8
"""What part of an interval of a session may be lost in a crash."""


class Heartbeat:
    """Commits the time while it matters to a connected client's session."""

    __slots__ = ("_deadlines", "_intervals", "_journal", "_timer")

    def __init__(self, journal: Journal, deadlines: Deadlines) -> None:
        self._journal = journal
        self._deadlines = deadlines
        self._intervals: dict[Session, float] = {}
        self._timer = Timer(self, HEARTBEAT_TIMER)

    def connected(self, session: Session, now: float) -> None:
        """The client of a stored session is there."""
        life_s = session.expiry_s
        if session.will is not None and session.will.delay_s:
            life_s = min(life_s, session.will.delay_s)
        if life_s in {0, NEVER_EXPIRES}:
            return
        interval = self._intervals[session] = min(max(life_s / PRECISION, INTERVAL_MIN_S), INTERVAL_MAX_S)
        if now + interval < self._timer.deadline:
            self._deadlines.arm(self._timer, now + interval)

    def disconnected(self, session: Session) -> None:
        """It has gone: what is written of that says when."""
        self._intervals.pop(session, None)

    def beat(self, now: float) -> None:
        """The timer has gone off."""
        if not self._intervals:
            return
        interval = min(self._intervals.values())
        if self._journal.stamped + interval <= now:
            self._journal.claim()
            self._deadlines.arm(self._timer, now + interval)
        else:
            self._deadlines.arm(self._timer, self._journal.stamped + interval)

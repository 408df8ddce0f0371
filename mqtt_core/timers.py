"""The deadline heap: many timers in, one deadline out.

A `Timer` belongs to an owner (a session, a connection) and has a kind that only the owner understands. `Deadlines`
keeps the armed ones in a binary heap and hands out those that are due, in the order of (deadline, order of arming).

The law: arming a timer that is already armed for an earlier time is O(1). The heap keeps the earlier entry, and when
that entry surfaces it goes back into the heap with the true deadline. A keep-alive timer that every packet moves by
a minute therefore costs heap work once a minute, not once a packet.

Two consequences for the caller. `next_deadline` may be too early (never too late): at that time nothing may be due,
and a later deadline follows. And one call of `pop_due` restores a bounded number of moved timers; if more are
waiting it returns None while `next_deadline` stays at or before `now`, which brings the caller back at once.

There is no clock here. Times are floats of whatever clock the caller passes to every other verb; `math.inf` is "off".
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import Final

__all__ = ["Deadlines", "Timer"]

RESTORES_MAX: Final = 1024
"""Moved timers that one call of `Deadlines.pop_due` puts back at most."""

STALE_MIN: Final = 64
"""Below this number of dead heap entries a compaction is not worth its while."""


class Timer:
    """One alarm of one owner; armed, moved and cancelled through `Deadlines`.

    Args:
        owner: whatever the caller wants to find again when the timer is due.
        kind: which of the owner's timers this is; any int.

    `deadline` is the time it is armed for, `math.inf` while it is off. Read it freely, change it through `Deadlines`,
    which also keeps its book in `armed_as`, `entry_as` and `entry_when`. A timer belongs to one `Deadlines`.
    """

    __slots__ = ("armed_as", "deadline", "entry_as", "entry_when", "kind", "owner")

    def __init__(self, owner: object, kind: int) -> None:
        self.owner = owner
        self.kind = kind
        self.deadline: float = inf
        self.armed_as: int = 0  # the place in line given by the last arm()
        self.entry_as: int = 0  # which heap entry speaks for this timer ...
        self.entry_when: float = inf  # ... and when it surfaces; inf: none does

    def __repr__(self) -> str:
        return f"Timer(kind={self.kind}, deadline={self.deadline})"


class Deadlines:
    """All timers of one broker or client, ordered by deadline; equal deadlines in the order of arming."""

    __slots__ = ("_armed", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._sequence: int = 0
        self._armed: int = 0

    def __len__(self) -> int:
        """The number of armed timers."""
        return self._armed

    @property
    def entries(self) -> int:
        """Heap entries, dead ones included: at most twice the armed timers, or `STALE_MIN` more than them."""
        return len(self._heap)

    def arm(self, timer: Timer, when: float) -> None:
        """Set the timer to go off at `when` (seconds), whether it is off, armed earlier or armed later.

        `math.inf` cancels it. Moving a timer to a later time is O(1), everything else O(log n).
        """
        if when == inf:
            self.cancel(timer)
            return
        if timer.deadline == inf:
            self._armed += 1
        timer.deadline = when
        self._sequence += 1
        timer.armed_as = self._sequence
        if timer.entry_when > when:
            timer.entry_as = self._sequence
            timer.entry_when = when
            heappush(self._heap, (when, self._sequence, timer))
            self._bound_heap()

    def cancel(self, timer: Timer) -> None:
        """Switch the timer off; one that is off already stays so. Its owner is forgotten at the latest when its
        entry surfaces, or when dead entries outnumber the armed timers."""
        if timer.deadline != inf:
            timer.deadline = inf
            self._armed -= 1
            self._bound_heap()

    def pop_due(self, now: float) -> Timer | None:
        """The next timer whose deadline is at or before `now`, switched off; None when there is none.

        Call it until it gives None. A call restores at most `RESTORES_MAX` timers that were moved to a later time;
        where more wait, it gives None although timers may be due, and `next_deadline` is still at or before `now`.
        """
        heap = self._heap
        restored = 0
        while heap:
            when, entry, timer = heap[0]
            if when > now:
                break
            if entry != timer.entry_as or timer.deadline == inf:
                heappop(heap)
                if entry == timer.entry_as:
                    timer.entry_when = inf
            elif timer.armed_as == entry:
                heappop(heap)
                timer.deadline = timer.entry_when = inf
                self._armed -= 1
                self._bound_heap()
                return timer
            elif restored == RESTORES_MAX:
                break
            else:
                restored += 1
                timer.entry_as = timer.armed_as
                timer.entry_when = timer.deadline
                heapreplace(heap, (timer.deadline, timer.armed_as, timer))
        return None

    def next_deadline(self) -> float | None:
        """A time not after the earliest deadline, None when no timer is armed. Calling it changes nothing a caller
        can see."""
        if not self._armed:
            return None
        heap = self._heap
        while True:
            when, entry, timer = heap[0]
            if entry == timer.entry_as and timer.deadline != inf:
                return when
            heappop(heap)
            if entry == timer.entry_as:
                timer.entry_when = inf

    def _bound_heap(self) -> None:
        """Drop the dead entries once they outnumber the armed timers: amortized O(1) a call."""
        heap = self._heap
        if len(heap) > 2 * self._armed and len(heap) - self._armed > STALE_MIN:
            alive: list[tuple[float, int, Timer]] = []
            for item in heap:
                timer = item[2]
                if item[1] != timer.entry_as:
                    continue
                if timer.deadline == inf:
                    timer.entry_when = inf
                else:
                    alive.append(item)
            heapify(alive)
            self._heap = alive

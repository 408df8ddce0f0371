"""Virtual time: a heap of (time, sequence, action), and the transcript of what was done.

Law: nothing happens outside an action, and two actions of one moment happen in the order in which they were asked for;
so a seed decides everything. There is no cancelling: an action that has become void finds that out itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

__all__ = ["Schedule", "Transcript"]


class Transcript:
    """The newest steps, each `(time, who, what, detail)`; they become text only when somebody wants to read them.

    size: how many are kept. A `sink` gets every line at once, for `--trace`.
    """

    __slots__ = ("sink", "steps")

    def __init__(self, size: int, sink: Callable[[str], None] | None = None) -> None:
        self.steps: deque[tuple[float, str, str, object]] = deque(maxlen=size)
        self.sink = sink

    def note(self, now: float, who: str, what: str, detail: object = "") -> None:
        """Write down one step."""
        step = (now, who, what, detail)
        self.steps.append(step)
        if self.sink is not None:
            self.sink(_line(step))

    def lines(self, count: int) -> list[str]:
        """The newest `count` steps as text, oldest first."""
        return [_line(step) for step in list(self.steps)[-count:]]


def _line(step: tuple[float, str, str, object]) -> str:
    now, who, what, detail = step
    text = detail if isinstance(detail, str) else _describe(detail)
    return f"{now:12.6f}  {who:<10} {what:<12} {text}".rstrip()


def _describe(detail: object) -> str:
    from mqtt_core.testing.simulation.wire import describe  # noqa: PLC0415 - only when somebody reads

    return describe(detail) if isinstance(detail, bytes) else str(detail)


class Schedule:
    """The clock of a world and what is to happen. now: epoch seconds. steps: actions done."""

    __slots__ = ("_heap", "_sequence", "now", "steps")

    def __init__(self, now: float) -> None:
        self.now = now
        self.steps = 0
        self._sequence = 0
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []

    def at(self, when: float, action: Callable[[Any], None], argument: object = None) -> None:
        """Do `action(argument)` at the time `when`; one that has passed means now, behind what is due already."""
        self._sequence += 1
        heappush(self._heap, (max(when, self.now), self._sequence, action, argument))

    def run(self, until: float, steps_max: int) -> None:
        """Do what is due up to `until` (epoch seconds), at most `steps_max` steps; the clock then shows that time."""
        heap = self._heap
        end = self.steps + steps_max
        while heap and self.steps < end:
            if heap[0][0] > until:
                break
            when, _, action, argument = heappop(heap)
            self.now = when
            self.steps += 1
            action(argument)
        else:
            if heap:
                return
        self.now = max(self.now, until)

    def __len__(self) -> int:
        return len(self._heap)

"""How many messages have been published, for whoever watches a long run of ``mqtt-producer``.

Law: it speaks to a terminal only, on stderr, and only when the work takes longer than a second. One line is drawn over,
and wiped away at the end, so that nothing of it is left in what a program has written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TextIO

__all__ = ["MessageProgress"]

AFTER_S: Final = 1.0
EVERY_S: Final = 0.1


class MessageProgress:
    """Counts. program: what the line begins with. stream: where to; silent if that is no terminal, or None.
    clock: seconds."""

    def __init__(self, program: str, stream: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._program = program
        self._stream = stream
        self._clock = clock
        self._speaks = stream is not None and stream.isatty()
        self._began = clock()
        self._next = self._began + AFTER_S
        self._messages = 0
        self._width = 0

    def count(self, messages: int) -> None:
        """So many more."""
        self._messages += messages
        if not self._speaks:
            return
        now = self._clock()
        if now >= self._next:
            self._next = now + EVERY_S
            rate = self._messages / (now - self._began)
            text = f"{self._program}: {self._messages} messages, {rate:.0f} a second"
            self._draw(text)

    def finish(self) -> None:
        """It is over: clear the line."""
        if self._width:
            self._draw("")
            print(end="\r", file=self._stream, flush=True)

    def _draw(self, text: str) -> None:
        padding = " " * (self._width - len(text))
        self._width = len(text)
        print(f"\r{text}{padding}", end="", file=self._stream, flush=True)

"""How far a long recovery is, for whoever waits for a broker to start.

On a terminal one line that is drawn over and wiped away at the end; elsewhere, when it takes longer than a second, a
line now and then for the log. A quick start says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TextIO

__all__ = ["RecoveryProgress"]

TERMINAL_AFTER_S: Final = 0.2
TERMINAL_EVERY_S: Final = 0.1
LOG_AFTER_S: Final = 1.0
LOG_EVERY_S: Final = 5.0


class RecoveryProgress:
    """Called with work done and work there is, as `mqtt_core.persistence.load` does; `finish` when all is restored.

    title: what the line begins with. stream: where to, standard error for a program. clock: seconds.
    """

    def __init__(self, title: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._began = clock()
        self._next = self._began + (TERMINAL_AFTER_S if self._terminal else LOG_AFTER_S)
        self._width = 0
        self._said = False

    def __call__(self, done: int, total: int) -> None:
        """So much of the work is done."""
        now = self._clock()
        if now < self._next or not total:
            return
        self._said = True
        text = f"{self._title}: {100 * done // total} %"
        if self._terminal:
            self._next = now + TERMINAL_EVERY_S
            self._draw(text)
        else:
            self._next = now + LOG_EVERY_S
            print(text, file=self._stream, flush=True)

    def finish(self) -> None:
        """It is over, well or badly: clear the terminal's line; a log that was told of it is told how long it took."""
        if not self._said:
            return
        self._said = False
        if self._terminal:
            self._draw("")
            print(end="\r", file=self._stream, flush=True)
        else:
            print(f"{self._title}: {self._clock() - self._began:.1f} s", file=self._stream, flush=True)

    def _draw(self, text: str) -> None:
        padding = " " * (self._width - len(text))
        self._width = len(text)
        print(f"\r{text}{padding}", end="", file=self._stream, flush=True)

"""Epoch seconds that never go back: the clock every adapter gives to the core unless it is given another.

Law: the wall clock is asked once, when the clock is made; from then on only the monotonic one counts. Two clocks of one
process may differ by what the wall clock was set by between them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["epoch_clock"]


def epoch_clock() -> Callable[[], float]:
    """A function that returns epoch seconds and never goes back, whatever happens to the wall clock."""
    start = time.time() - time.monotonic()
    monotonic = time.monotonic
    return lambda: start + monotonic()

"""What the parts without I/O know of whoever waits for them.

An asyncio.Future is a waiter as it is; the other styles have a small class of their own. Law: a waiter that is done,
because its owner gave up, is not finished again.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Waiter"]


class Waiter(Protocol):
    """Something one side waits on and the other side finishes; an asyncio.Future is one."""

    def done(self) -> bool:
        """It was finished or given up."""
        ...

    def set_result(self, result: object, /) -> None:
        """Finish it."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Finish it with an error."""
        ...

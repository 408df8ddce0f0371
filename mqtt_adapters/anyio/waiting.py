"""What a task waits on: one result, set by another task.

Law: a waiter is finished once; what comes after that is ignored. Whoever gives up waiting changes nothing: the result
finds a waiter that nobody looks at.
"""

from __future__ import annotations

from typing import Any

import anyio

from mqtt_adapters.errors import OperationTimeout

__all__ = ["TaskWaiter"]


class TaskWaiter:
    """A future for either event loop."""

    __slots__ = ("_error", "_event", "_result")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        """It has a result or an error."""
        return self._event.is_set()

    def set_result(self, result: object, /) -> None:
        """Finish it."""
        if not self.done():
            self._result = result
            self._event.set()

    def set_exception(self, exception: BaseException, /) -> None:
        """Finish it with an error."""
        if not self.done():
            self._error = exception
            self._event.set()

    async def wait(self, timeout: float | None = None) -> Any:
        """Wait for the result. Raises the error, or OperationTimeout after `timeout` seconds."""
        with anyio.move_on_after(timeout):
            await self._event.wait()
        if not self._event.is_set():
            raise OperationTimeout(f"no answer within {timeout:g} s")
        if self._error is not None:
            raise self._error
        return self._result

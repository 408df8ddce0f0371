"""What a thread waits on: one result, set by another thread.

Law: a waiter is finished once; what comes after that is ignored. Whoever gives up waiting changes nothing: the result
finds a waiter that nobody looks at.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from mqtt_adapters.client.driver import published
from mqtt_core.client import PublishCompleted

if TYPE_CHECKING:
    from mqtt_adapters.blocking.client_loop import ClientLoop

__all__ = ["Publication", "ThreadWaiter"]


class ThreadWaiter:
    """The future of one thread, as small as can be: a lock that is open when there is a result."""

    __slots__ = ("_error", "_lock", "_result", "finished")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._result: Any = None
        self._error: BaseException | None = None
        self.finished = False

    def done(self) -> bool:
        """It has a result or an error."""
        return self.finished

    def set_result(self, result: object, /) -> None:
        """Finish it."""
        if not self.finished:
            self._result = result
            self.finished = True
            self._lock.release()

    def set_exception(self, exception: BaseException, /) -> None:
        """Finish it with an error."""
        if not self.finished:
            self._error = exception
            self.finished = True
            self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end; False when `timeout` seconds were not enough."""
        if not self._lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            return False
        self._lock.release()
        return True

    def result(self) -> Any:
        """The result, or the error raised."""
        if self._error is not None:
            raise self._error
        return self._result


class Publication:
    """A publish that is under way; see `Client.publish_nowait`."""

    __slots__ = ("_loop", "_waiter")

    def __init__(self, loop: ClientLoop, waiter: ThreadWaiter | None) -> None:
        self._loop = loop
        self._waiter = waiter

    def done(self) -> bool:
        """It is acknowledged, refused or given up."""
        return self._waiter is None or self._waiter.done()

    def result(self, timeout: float | None = None) -> PublishCompleted:
        """Wait for the acknowledgement; returns and raises as `Client.publish`. timeout: seconds."""
        if self._waiter is None:
            return PublishCompleted(0)
        return published(self._loop.wait(self._waiter, timeout))

"""Batches into the storage, one after the other: the part that the drivers of broker and client share.

Law: one commit is in flight at a time; while it runs the next batch fills (group commit). A storage whose coroutine
never suspends is finished on the spot, with no task and no further turn of the loop. What comes after a commit, and
after a failure, is the driver's business; no batch follows one that failed.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial

from mqtt_core.persistence import Batch, Storage

__all__ = ["Committing", "resumed"]


class Committing:
    """Base of a driver that writes. committing: a commit is under way.

    run: runs to its end a coroutine that never raises. apply: makes a batch durable in the adapter's own way; without
    it the store's coroutine is stepped here.
    """

    __slots__ = ("_apply", "_run", "committing")

    def __init__(
        self,
        run: Callable[[Coroutine[object, object, None]], None],
        apply: Callable[[Batch], Coroutine[object, object, None]] | None,
    ) -> None:
        self._run = run
        self._apply = apply
        self.committing = False

    def batch_committed(self, number: int) -> None:
        """The batch of this number is durable."""
        raise NotImplementedError

    def commit_failed(self, error: Exception) -> None:
        """Nothing more becomes durable."""
        raise NotImplementedError

    def commit_over(self) -> None:
        """A commit that took its time is done: there may be more to write, and something to say."""
        raise NotImplementedError

    def commit_batches(self, store: Storage, take: Callable[[], Batch | None]) -> None:
        """Commit what `take` gives until there is nothing, or until one commit takes its time."""
        while (batch := take()) is not None:
            if self._apply is not None:
                self._begin(self._apply(batch), batch.number)
                return
            coroutine = store.apply(batch)
            try:
                suspended = coroutine.send(None)
            except StopIteration:
                self.batch_committed(batch.number)
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing is durable
                self.commit_failed(error)
                return
            else:
                self._begin(resumed(coroutine, suspended), batch.number)
                return

    def _begin(self, commit: Awaitable[None], number: int) -> None:
        self.committing = True
        self._run(self._finish(commit, number))

    async def _finish(self, commit: Awaitable[None], number: int) -> None:
        try:
            await commit
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is durable
            self.commit_failed(error)
            return
        finally:
            self.committing = False
        self.batch_committed(number)
        self.commit_over()


@types.coroutine
def resumed(coroutine: Coroutine[object, object, None], suspended: object) -> Generator[object, object, None]:
    """Go on with a coroutine whose first step was made by hand and ended in `suspended`."""
    while True:
        try:
            answer = yield suspended
        except BaseException as raised:  # noqa: BLE001 - passed on to the coroutine, which decides
            step = partial(coroutine.throw, raised)
        else:
            step = partial(coroutine.send, answer)
        try:
            suspended = step()
        except StopIteration:
            return

"""The machine's side of a storage: commits that take virtual time, crashes in the middle of them, and failures.

A `Committer` does for one core (broker or client) what a driver does: it takes a batch, gives it to the storage, and
reports the commit when its time has come. The storage is a coroutine that says how long it wants to sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Protocol

from mqtt_core.codec.error import StorageError
from mqtt_core.persistence import Batch
from mqtt_core.testing.simulation.schedule import Schedule
from mqtt_core.testing.simulation.storage import SimStorage

__all__ = ["Committer", "Writer"]


class Writer(Protocol):
    """A core with something to write: `Broker` or `MqttClient`."""

    def take_writes(self) -> Batch | None:
        """The next batch."""
        ...

    def writes_committed(self, number: int) -> None:
        """It is durable."""
        ...


class Committer:
    """Moves the batches of one core into its storage.

    committed: called after a commit that took time; failed: after a failure. taken, commits: batches begun and ended.
    """

    __slots__ = (
        "_committed",
        "_core",
        "_coroutine",
        "_dead",
        "_failed",
        "_number",
        "_schedule",
        "_writes",
        "commits",
        "storage",
        "taken",
    )

    def __init__(
        self,
        schedule: Schedule,
        core: Writer,
        storage: SimStorage,
        committed: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self._schedule = schedule
        self._core = core
        self.storage = storage
        self._committed = committed
        self._failed = failed
        self._coroutine: Coroutine[float, None, None] | None = None
        self._number = 0
        self._writes = False
        self._dead = False
        self.commits = 0
        self.taken = 0

    @property
    def busy(self) -> bool:
        """A commit is under way."""
        return self._coroutine is not None

    @property
    def owing(self) -> bool:
        """What is being committed says more than the time: somebody may wait for it."""
        return self.busy and self._writes

    def pump(self) -> None:
        """Start the next commit, unless one is under way or there is nothing to write."""
        while self._coroutine is None and not self._dead:
            batch = self._core.take_writes()
            if batch is None:
                return
            self._number = batch.number
            self._writes = bool(batch.clients or batch.retained)
            self.taken += 1
            self._coroutine = self.storage.apply(batch)
            self._go_on(self._coroutine, False)

    def _resume(self, coroutine: object) -> None:
        if coroutine is self._coroutine:
            assert self._coroutine is not None
            self._go_on(self._coroutine, True)

    def _go_on(self, coroutine: Coroutine[float, None, None], later: bool) -> None:
        try:
            seconds = coroutine.send(None)
        except StopIteration:
            self._coroutine = None
            self.commits += 1
            self._core.writes_committed(self._number)
            if later:
                self._committed()
        except StorageError:
            self._dead = True
            self._failed()
        else:
            self._schedule.at(self._schedule.now + seconds, self._resume, coroutine)

    def crash(self) -> None:
        """The process is gone; what it was committing is in the storage's hands."""
        self._dead = True
        if self._coroutine is not None:
            self._coroutine.close()
            self._coroutine = None

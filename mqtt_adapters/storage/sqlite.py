"""The durable `Storage`: an SQLite file, written by one thread at a time.

Acknowledged means on disk: `apply` returns after COMMIT. Two durability levels: `strict` survives a power cut (each
commit waits for the disk), `process` the end of the process, however violent (the kernel has the data). All the logic
is in `SqliteFile`, which blocks; this class gives it a thread and the async verbs. A host without asyncio uses the
`_sync` methods, from any thread but one at a time.

The thread is for disks that take their time. Handing a batch over and back costs more than a fast disk needs to
sync it, so as long as commits have been quicker than `QUICK_S` of late, they are made where they are asked for; one
slow commit sends the next ones to the thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from mqtt_adapters.storage.sqlite_file import SqliteFile
from mqtt_core.codec.error import StorageError
from mqtt_core.persistence import Batch, Progress, Replay, Snapshot, VerbJournal
from mqtt_core.persistence.record import decode_session
from mqtt_core.persistence.recovery import StoredClient
from mqtt_core.session.message import Message
from mqtt_core.session.record import EntryRecord, SessionRecord

__all__ = ["SqliteStore"]

T = TypeVar("T")

QUICK_S: Final = 0.001
"""Seconds that a commit may take, as a mean of the newest, to be made in the caller's thread."""

_NEWEST: Final = 0.1  # weight of the newest commit in that mean
_UNKNOWN_S: Final = 0.005  # the mean to begin with: some commits in the thread show what the disk can do


class SqliteStore:
    """Sessions, queued and retained messages in one SQLite file.

    path: of the file, made (mode 0600) if it does not exist. durability: "strict" (default) or "process". The file
    stays below three times the live bytes and 64 MiB. Raises StorageError if the file cannot be used; see
    `SqliteFile`.
    """

    def __init__(self, path: str | os.PathLike[str], durability: str = "strict") -> None:
        self._file = SqliteFile(path, durability)
        self._verbs = VerbJournal()
        self._thread: ThreadPoolExecutor | None = None
        self._tidying: Future[None] | None = None
        self._commit_s = _UNKNOWN_S

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._file.path)!r}, {self._file.durability!r})"

    @property
    def file(self) -> SqliteFile:
        """The blocking core, for its figures."""
        return self._file

    # -------------------------------------------------------------------------------------------- blocking

    def open_sync(self, progress: Progress | None = None) -> None:
        """Open, check and read the file."""
        self._file.open(progress)

    def close_sync(self) -> None:
        """Give the file back."""
        self._file.close()

    def apply_sync(self, batch: Batch) -> None:
        """Make a batch durable."""
        began = time.perf_counter()
        self._file.apply(batch)
        self._file.replay = None
        self._commit_s += _NEWEST * (time.perf_counter() - began - self._commit_s)

    def tidy_sync(self) -> bool:
        """Do a little of the housekeeping that is due; whether more is. For hosts that have idle time."""
        if self._file.untidy:
            self._file.tidy()
        return self._file.untidy

    def snapshot_sync(self, progress: Progress | None = None) -> Snapshot:
        """Everything that is in the file."""
        return self._replay().snapshot(progress)

    def _replay(self) -> Replay:
        if self._file.replay is None:
            self._file.reread()
        assert self._file.replay is not None
        return self._file.replay

    # -------------------------------------------------------------------------------------------- async

    async def open(self, progress: Progress | None = None) -> None:
        """See `Storage`. progress: called from the thread that reads, with segments read and segments there are."""
        await self._run(lambda: self.open_sync(progress))

    async def close(self) -> None:
        """See `Storage`."""
        await self._run(self.close_sync)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()

    async def apply(self, batch: Batch) -> None:
        """See `Storage`."""
        if self._commit_s < QUICK_S and (self._tidying is None or self._tidying.done()):
            self.apply_sync(batch)
        else:
            await self._run(lambda: self.apply_sync(batch))
        self._tidy_later()

    async def load_snapshot(self, progress: Progress | None = None) -> Snapshot:
        """See `Storage`."""
        return await self._run(lambda: self.snapshot_sync(progress))

    async def _run(self, work: Callable[[], T]) -> T:
        """Run in the store's thread; without an asyncio loop, here and now."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return work()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="mqtt-store")
        return await loop.run_in_executor(self._thread, work)

    def _tidy_later(self) -> None:
        """Let the thread make the file smaller, a slice at a time so that a commit never waits long."""
        if not self._file.untidy:
            return
        if self._thread is None:
            self.tidy_sync()
        elif self._tidying is None or self._tidying.done():
            self._tidying = self._thread.submit(self._tidy_slice)

    def _tidy_slice(self) -> None:
        # A failure is kept by the file and raised by the next commit, which has somebody to tell.
        with contextlib.suppress(StorageError):
            more = self.tidy_sync()
            if more and self._thread is not None:
                self._tidying = self._thread.submit(self._tidy_slice)

    # -------------------------------------------------------------------------------------------- verbs

    async def store_session(self, record: SessionRecord) -> None:
        """See `Storage`."""
        self._verbs.store_session(record)

    async def load_session(self, client_id: str) -> SessionRecord | None:
        """See `Storage`."""
        session = (await self._client(client_id)).session
        return None if session is None else decode_session(session, client_id)

    async def delete_session(self, client_id: str) -> None:
        """See `Storage`."""
        self._verbs.delete_session(client_id)

    async def enqueue(self, client_id: str, entry: EntryRecord) -> None:
        """See `Storage`."""
        self._verbs.enqueue(client_id, entry)

    async def dequeue(self, client_id: str, sequence: int) -> None:
        """See `Storage`."""
        self._verbs.dequeue(client_id, sequence)

    async def store_retained(self, topic: str, message: Message | None) -> None:
        """See `Storage`."""
        self._verbs.store_retained(topic, message)

    async def load_retained(self) -> dict[str, Message]:
        """See `Storage`."""
        replay = await self._run(self._replay)
        return {topic: stored.body.message() for topic, stored in replay.retained.items()}

    async def commit(self, stamp: float) -> None:
        """See `Storage`."""
        batch = self._verbs.take(stamp)
        if batch is not None:
            await self.apply(batch)

    async def client_ids(self) -> list[str]:
        """See `Storage`."""
        replay = await self._run(self._replay)
        return [client_id for client_id, client in replay.clients.items() if client.session is not None]

    async def load_entry(self, client_id: str, sequence: int) -> EntryRecord | None:
        """See `Storage`."""
        entry = (await self._client(client_id)).entries.get(sequence)
        return None if entry is None else entry.to_record({})

    async def load_queue(self, client_id: str) -> list[EntryRecord]:
        """See `Storage`."""
        return (await self._client(client_id)).queue()

    async def load_stamp(self) -> float:
        """See `Storage`."""
        return (await self._run(self._replay)).stamp

    async def _client(self, client_id: str) -> StoredClient:
        replay = await self._run(self._replay)
        return replay.clients.get(client_id) or StoredClient()

"""A storage in virtual time, with a pending and a durable half: it is slow, fails when told to, and crashes.

Whoever drives `apply` gets the seconds to sleep from the coroutine (`Sleep`) and goes on with it when they have
passed; a storage whose commits take no time never suspends. It keeps its data either as rows (through the verbs) or
as the log of batches that a segment store keeps; both kinds are storages in the full sense, and pass the contract.

Law: what `apply` has returned for is durable; what it was doing when the machine crashed is there whole or not at
all, as the random numbers decide; nothing else survives. With `tear` it breaks this law on purpose, as a store
would that cannot commit at once: of the batch in flight a part may survive. Tests show that this is noticed.
"""

from __future__ import annotations

from collections.abc import Generator
from random import Random

from mqtt_core.codec.error import StorageError
from mqtt_core.persistence import Batch, LogReader, MemoryStore, Progress, Replay, Snapshot, VerbJournal
from mqtt_core.persistence.log import LogWriter
from mqtt_core.persistence.record import decode_session
from mqtt_core.persistence.recovery import StoredClient
from mqtt_core.session.message import Message
from mqtt_core.session.record import EntryRecord, SessionRecord

__all__ = ["SimStorage", "Sleep"]


class Sleep:
    """Await it to let virtual time pass; whoever drives the coroutine gets the seconds."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator[float, None, None]:
        yield self.seconds


class SimStorage:
    """One place for data, as a machine sees it.

    rows: kept as dictionaries through the verbs, else as the log of batches, replayed at boot. commit_s: mean time of a
    commit in virtual seconds. tear: a crash may leave a part of a batch. fail_next: the next commit fails, before or
    after it reached the disk; from then on the store refuses everything until it has crashed. stamp: newest time of a
    commit (epoch seconds).
    """

    __slots__ = ("_failed", "_log", "_pending", "_rng", "_rows", "_verbs", "commit_s", "fail_next", "stamp", "tear")

    def __init__(self, rng: Random, *, rows: bool = True, commit_s: float = 0.0, tear: bool = False) -> None:
        self._rng = rng
        self._rows = MemoryStore() if rows else None
        self._log: list[bytes] = []
        self._pending: Batch | None = None
        self._verbs = VerbJournal()
        self._failed = False
        self.commit_s = commit_s
        self.tear = tear
        self.fail_next = False
        self.stamp = 0.0

    # -------------------------------------------------------------------------------------------- the machine

    async def apply(self, batch: Batch) -> None:
        """See `Storage`. Takes a random time around `commit_s`."""
        if self._failed:
            raise StorageError("the simulated disk has failed before")
        self._pending = batch
        if self.commit_s:
            await Sleep(self.commit_s * 2.0 * self._rng.random())
        if self.fail_next:
            self.fail_next = False
            self._failed = True
            raise StorageError("the simulated disk has failed")
        self._pending = None
        self._keep(batch)

    def crash(self) -> bool:
        """The machine crashes: what is pending is lost, and a batch in flight is kept or lost.

        True if there was one and it was kept.
        """
        batch, self._pending = self._pending, None
        self._verbs = VerbJournal()
        self._failed = False
        self.fail_next = False
        if batch is None or self._rng.random() < 0.5:
            return False
        self._keep(_part(batch, self._rng.random()) if self.tear else batch)
        return True

    def load(self) -> Snapshot:
        """Everything that is durable."""
        if self._rows is None:
            return self._replay().snapshot()
        try:
            self._rows.load_snapshot().send(None)
        except StopIteration as done:
            snapshot: Snapshot = done.value
            return snapshot
        raise AssertionError("MemoryStore suspended")

    def _keep(self, batch: Batch) -> None:
        self.stamp = max(self.stamp, batch.stamp)
        if self._rows is None:
            self._log.append(batch.data)
            return
        try:
            self._rows.apply(batch).send(None)
        except StopIteration:
            return
        raise AssertionError("MemoryStore suspended")

    def _replay(self) -> Replay:
        replay = Replay()
        for segment, data in enumerate(self._log, 1):
            replay.feed(segment, data)
        return replay

    def _client(self, client_id: str) -> StoredClient:
        return self._replay().clients.get(client_id) or StoredClient()

    # -------------------------------------------------------------------------------------------- the verbs

    async def open(self, progress: Progress | None = None) -> None:
        """See `Storage`."""

    async def close(self) -> None:
        """See `Storage`."""
        self._verbs = VerbJournal()

    async def store_session(self, record: SessionRecord) -> None:
        """See `Storage`."""
        self._verbs.store_session(record)

    async def load_session(self, client_id: str) -> SessionRecord | None:
        """See `Storage`."""
        if self._rows is not None:
            return await self._rows.load_session(client_id)
        session = self._client(client_id).session
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
        return self.load().retained

    async def commit(self, stamp: float) -> None:
        """See `Storage`."""
        batch = self._verbs.take(stamp)
        if batch is not None:
            await self.apply(batch)

    async def client_ids(self) -> list[str]:
        """See `Storage`."""
        return list(self.load().sessions)

    async def load_entry(self, client_id: str, sequence: int) -> EntryRecord | None:
        """See `Storage`."""
        for entry in await self.load_queue(client_id):
            if entry.sequence == sequence:
                return entry
        return None

    async def load_queue(self, client_id: str) -> list[EntryRecord]:
        """See `Storage`."""
        if self._rows is not None:
            return await self._rows.load_queue(client_id)
        return self._client(client_id).queue()

    async def load_stamp(self) -> float:
        """See `Storage`."""
        return self.load().stamp

    async def load_snapshot(self, progress: Progress | None = None) -> Snapshot:
        """See `Storage`."""
        snapshot = self.load()
        if progress is not None:
            progress(1, 1)
        return snapshot


def _part(batch: Batch, share: float) -> Batch:
    """The first records of a batch, about that share of them."""
    reader = LogReader(batch.data)
    count = 0
    while reader.next():
        count += 1
    reader = LogReader(batch.data)
    writer = LogWriter()
    for _ in range(int(count * share)):
        reader.next()
        body = reader.body() if reader.body_end else None
        writer.add(
            reader.op, reader.flags, reader.client_id or None, reader.sequence, reader.packet_id, body, reader.order
        )
    return Batch(batch.number, batch.stamp, writer.pack(batch.stamp), {}, {})

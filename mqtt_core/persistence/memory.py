"""A storage that lasts as long as its object: for tests, for virtual time, and as the model of what the verbs mean.

Law: it keeps the contract to the letter, short of surviving the process: what was not committed is invisible and
can be taken away (`lose_uncommitted`), a commit is whole. No call ever suspends, so a driver finishes a commit on
the spot.
"""

from __future__ import annotations

from mqtt_core.persistence.journal import Batch
from mqtt_core.persistence.recovery import Snapshot
from mqtt_core.persistence.storage import Progress, apply_with_verbs, snapshot_with_verbs
from mqtt_core.session.message import Message
from mqtt_core.session.record import EntryRecord, SessionRecord

__all__ = ["MemoryStore"]


class MemoryStore:
    """A `Storage` in two halves, pending and committed, both dicts."""

    __slots__ = ("_pending", "_queues", "_retained", "_sessions", "_stamp")

    def __init__(self) -> None:
        self._sessions: dict[str, SessionRecord] = {}
        self._queues: dict[str, dict[int, EntryRecord]] = {}
        self._retained: dict[str, Message] = {}
        self._stamp = 0.0
        # (verb, client identifier or topic, sequence, value): the arguments of the verbs since the last commit.
        self._pending: list[tuple[str, str, int, object]] = []

    def lose_uncommitted(self) -> None:
        """What a crash does: everything since the last commit is gone."""
        self._pending = []

    async def open(self, progress: Progress | None = None) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """The committed half stays, as a file would."""
        self._pending = []

    async def store_session(self, record: SessionRecord) -> None:
        """See `Storage`."""
        self._pending.append(("session", record.client_id, 0, record))

    async def load_session(self, client_id: str) -> SessionRecord | None:
        """See `Storage`."""
        return self._sessions.get(client_id)

    async def delete_session(self, client_id: str) -> None:
        """See `Storage`."""
        self._pending.append(("delete", client_id, 0, None))

    async def enqueue(self, client_id: str, entry: EntryRecord) -> None:
        """See `Storage`."""
        self._pending.append(("enqueue", client_id, entry.sequence, entry))

    async def dequeue(self, client_id: str, sequence: int) -> None:
        """See `Storage`."""
        self._pending.append(("dequeue", client_id, sequence, None))

    async def store_retained(self, topic: str, message: Message | None) -> None:
        """See `Storage`."""
        self._pending.append(("retained", topic, 0, message))

    async def load_retained(self) -> dict[str, Message]:
        """See `Storage`."""
        return dict(self._retained)

    async def commit(self, stamp: float) -> None:
        """See `Storage`."""
        pending, self._pending = self._pending, []
        for verb, name, sequence, value in pending:
            if isinstance(value, SessionRecord):
                self._sessions[name] = value
            elif isinstance(value, EntryRecord):
                queue = self._queues.setdefault(name, {})
                queue.pop(sequence, None)
                queue[sequence] = value
            elif isinstance(value, Message):
                self._retained[name] = value
            elif verb == "dequeue":
                self._queues.setdefault(name, {}).pop(sequence, None)
            elif verb == "delete":
                self._sessions.pop(name, None)
                self._queues.pop(name, None)
            else:
                self._retained.pop(name, None)
        self._stamp = max(self._stamp, stamp)

    async def apply(self, batch: Batch) -> None:
        """See `Storage`."""
        await apply_with_verbs(self, batch)

    async def client_ids(self) -> list[str]:
        """See `Storage`."""
        return list(self._sessions)

    async def load_entry(self, client_id: str, sequence: int) -> EntryRecord | None:
        """See `Storage`."""
        return self._queues.get(client_id, {}).get(sequence)

    async def load_queue(self, client_id: str) -> list[EntryRecord]:
        """See `Storage`."""
        return list(self._queues.get(client_id, {}).values())

    async def load_stamp(self) -> float:
        """See `Storage`."""
        return self._stamp

    async def load_snapshot(self, progress: Progress | None = None) -> Snapshot:
        """See `Storage`."""
        return await snapshot_with_verbs(self, progress)

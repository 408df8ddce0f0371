"""The storage protocol: what a back-end promises, and how little it has to implement.

A driver uses four things only: `open`, `load_snapshot` at boot, `apply` for each batch, `close`. A back-end that is
good at appending (a log, `SqliteStore`) implements `apply` itself. A back-end that is good at rows implements the
verbs, and `apply` and `load_snapshot` in one line each with `apply_with_verbs` and `snapshot_with_verbs`. The
contract in `mqtt_core.testing.contracts.storage` checks either kind.

Laws: nothing is durable before `commit` (or `apply`) returns, and everything since the last commit is durable when
it does; after a crash a store holds the state of a commit that returned, or of the one that was running, whole.
Reads show the last commit; whether they show what came since is up to the back-end. A failed store is finished:
every call after a `StorageError` of a write raises again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mqtt_core.codec.error import StorageError
from mqtt_core.codec.types import V5, V311
from mqtt_core.persistence.journal import Batch
from mqtt_core.persistence.log import (
    ASSIGN,
    BODY,
    BODY_BIT,
    BODY_FRAME,
    DELETE,
    DEQUEUE,
    ENTRY,
    FORGET,
    FRAME,
    QOS_BITS,
    RECEIPT_OP,
    RELEASE,
    RELEASED_BIT,
    RETAIN,
    RETAIN_BIT,
    SESSION,
    UNRETAIN,
    V5_BIT,
    LogReader,
)
from mqtt_core.persistence.record import decode_extras, decode_message, decode_session, message_from_frame
from mqtt_core.persistence.recovery import SessionSnapshot, Snapshot
from mqtt_core.session.message import Message
from mqtt_core.session.record import QUEUED, RECEIPT, RELEASED, SENT, EntryRecord, SessionRecord

__all__ = ["Progress", "Storage", "apply_with_verbs", "snapshot_with_verbs"]

Progress = Callable[[int, int], None]
"""Called with the work done and the work there is, in whatever unit the store counts."""


class Storage(Protocol):
    """A place where sessions, queued messages and retained messages survive the process.

    Calls come one at a time: the next one starts when the one before has returned.
    """

    async def open(self, progress: Progress | None = None) -> None:
        """Make the store ready; a second call does nothing. progress: told now and then how far it is.

        Raises StorageError, and leaves the store as it was, if it is damaged, foreign, newer than the program, or
        in use.
        """
        ...

    async def close(self) -> None:
        """Give everything back. What was committed stays; what was not is lost. A second call does nothing."""
        ...

    async def store_session(self, record: SessionRecord) -> None:
        """Write or replace a session; its entries stay. Durable at the next commit."""
        ...

    async def load_session(self, client_id: str) -> SessionRecord | None:
        """The session as committed last, None if there is none."""
        ...

    async def delete_session(self, client_id: str) -> None:
        """Forget a session with all its entries; none need exist. Durable at the next commit."""
        ...

    async def enqueue(self, client_id: str, entry: EntryRecord) -> None:
        """Append an entry to those of a session. Durable at the next commit.

        An entry with the same `sequence` is replaced, and the new one is the last: so assigning a packet identifier,
        releasing, and putting back are an enqueue. The session itself need not have been stored yet.
        """
        ...

    async def dequeue(self, client_id: str, sequence: int) -> None:
        """Forget an entry after its acknowledgement; it need not exist. Durable at the next commit."""
        ...

    async def store_retained(self, topic: str, message: Message | None) -> None:
        """Write, replace or (None) remove the retained message of a topic. Durable at the next commit."""
        ...

    async def load_retained(self) -> dict[str, Message]:
        """All retained messages by topic, as committed last."""
        ...

    async def commit(self, stamp: float) -> None:
        """Make everything since the last commit durable, all of it or nothing. stamp: epoch seconds, kept with it.

        When this returns it has survived whatever the store promises to survive; if it raises, or the process ends
        before it returns, either all or nothing of it may be found later, never a part.
        """
        ...

    async def apply(self, batch: Batch) -> None:
        """Do everything a batch says and commit: all or nothing, durable on return."""
        ...

    async def client_ids(self) -> list[str]:
        """All stored sessions, as committed last."""
        ...

    async def load_entry(self, client_id: str, sequence: int) -> EntryRecord | None:
        """One entry as committed last, None if there is none."""
        ...

    async def load_queue(self, client_id: str) -> list[EntryRecord]:
        """All entries of a session in the order they were enqueued last, as committed last."""
        ...

    async def load_stamp(self) -> float:
        """The newest stamp of any commit, 0.0 if there was none."""
        ...

    async def load_snapshot(self, progress: Progress | None = None) -> Snapshot:
        """Everything at once, for the start of a broker or client. progress: told now and then how far it is."""
        ...


async def snapshot_with_verbs(storage: Storage, progress: Progress | None = None) -> Snapshot:
    """`Storage.load_snapshot` by means of the loading verbs. Equal messages become one object.

    Raises:
        StorageError: what the verbs return does not fit together.
    """
    snapshot = Snapshot()
    messages: dict[int, Message] = {}
    client_ids = await storage.client_ids()
    newest = 0
    for done, client_id in enumerate(client_ids):
        if progress is not None:
            progress(done, len(client_ids))
        record = await storage.load_session(client_id)
        if record is None:
            raise StorageError(f"session {client_id!r} is listed and cannot be found")
        session = snapshot.sessions[client_id] = SessionSnapshot(record)
        for entry in await storage.load_queue(client_id):
            newest = max(newest, entry.sequence)
            if entry.message is not None:
                entry.message = messages.setdefault(entry.sequence, entry.message)
            session.add(entry)
    for topic, message in (await storage.load_retained()).items():
        newest = max(newest, message.sequence)
        snapshot.retained[topic] = messages.setdefault(message.sequence, message)
    snapshot.stamp = await storage.load_stamp()
    snapshot.next_sequence = newest + 1
    return snapshot


async def apply_with_verbs(storage: Storage, batch: Batch) -> None:
    """`Storage.apply` by means of the verbs and `commit`."""
    reader = LogReader(batch.data)
    translator = _Translator(storage, reader)
    while reader.next():
        await translator.apply()
    await storage.commit(batch.stamp)


class _Translator:
    """Says the records of one batch as verbs."""

    __slots__ = ("_bodies", "_deleted", "_entries", "_reader", "_storage")

    def __init__(self, storage: Storage, reader: LogReader) -> None:
        self._storage = storage
        self._reader = reader
        self._bodies: dict[int, Message] = {}
        # What this batch did to an entry, since reads may show the last commit only.
        self._entries: dict[tuple[str, int], EntryRecord | None] = {}
        self._deleted: dict[str, None] = {}

    async def apply(self) -> None:
        """Do what the current record says."""
        reader = self._reader
        op = reader.op
        client_id = reader.client_id
        if op == BODY:
            self._bodies[reader.sequence] = decode_message(reader.body(), reader.sequence)
        elif op in (BODY_FRAME, FRAME):
            version = V5 if reader.flags & V5_BIT else V311
            self._bodies[reader.sequence] = message_from_frame(reader.body(), version, reader.sequence)
        if op in (ENTRY, FRAME):
            await self._enqueue(self._entry())
        elif op == DEQUEUE:
            await self._dequeue(reader.sequence)
        elif op in (ASSIGN, RELEASE):
            await self._change()
        elif op == RECEIPT_OP:
            await self._enqueue(EntryRecord(-reader.packet_id, None, 0, False, (), reader.packet_id, RECEIPT))
        elif op == FORGET:
            await self._dequeue(-reader.packet_id)
        elif op == SESSION:
            await self._storage.store_session(decode_session(reader.body(), client_id))
        elif op == DELETE:
            for key in [key for key in self._entries if key[0] == client_id]:
                del self._entries[key]
            self._deleted[client_id] = None
            await self._storage.delete_session(client_id)
        elif op == RETAIN:
            message = self._body()
            await self._storage.store_retained(message.topic, message)
        elif op == UNRETAIN:
            await self._storage.store_retained(reader.body().decode(), None)

    def _body(self) -> Message:
        message = self._bodies.get(self._reader.sequence)
        if message is None:
            raise StorageError(f"the batch has no body for message {self._reader.sequence}")
        return message

    def _entry(self) -> EntryRecord:
        reader = self._reader
        flags = reader.flags
        subscription_ids: tuple[int, ...] = ()
        shared = ""
        if reader.op == ENTRY and flags & BODY_BIT:
            subscription_ids, shared = decode_extras(reader.body())
        released = flags & RELEASED_BIT != 0
        state = RELEASED if released else SENT if reader.packet_id else QUEUED
        return EntryRecord(
            reader.sequence,
            None if released else self._body(),
            flags & QOS_BITS,
            flags & RETAIN_BIT != 0,
            subscription_ids,
            reader.packet_id,
            state,
            shared,
        )

    async def _change(self) -> None:
        reader = self._reader
        client_id = reader.client_id
        key = (client_id, reader.sequence)
        old = self._entries.get(key)
        if key not in self._entries and client_id not in self._deleted:
            old = await self._storage.load_entry(client_id, reader.sequence)
        if old is None:
            return
        released = reader.op == RELEASE
        await self._enqueue(
            EntryRecord(
                old.sequence,
                None if released else old.message,
                old.qos,
                old.retain,
                old.subscription_ids,
                old.packet_id if released else reader.packet_id,
                RELEASED if released else SENT,
                old.shared,
            )
        )

    async def _enqueue(self, entry: EntryRecord) -> None:
        self._entries[self._reader.client_id, entry.sequence] = entry
        await self._storage.enqueue(self._reader.client_id, entry)

    async def _dequeue(self, sequence: int) -> None:
        self._entries[self._reader.client_id, sequence] = None
        await self._storage.dequeue(self._reader.client_id, sequence)

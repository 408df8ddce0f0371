"""From what is on disk to what a broker or client starts with.

`Replay` applies the batches of a log in order and knows the state they add up to; `Snapshot` is that state as
records. A message that several sessions wait for is one object in all of them. Which sessions and messages have
expired meanwhile is for the broker to say, which knows the time: everything that was stored comes back.

Law: order is explicit. Entries of a session come back in the order of first sending (in flight), of release
(waiting for PUBCOMP) and of enqueuing (queue), which is the order of the last record that put them into that state,
wherever a store moved the record since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mqtt_core.codec.error import StorageError
from mqtt_core.codec.types import V5, V311
from mqtt_core.persistence.log import (
    ASSIGN,
    BODY,
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
from mqtt_core.persistence.record import (
    decode_extras,
    decode_message,
    decode_session,
    message_from_frame,
    message_topic,
)
from mqtt_core.session.message import Message
from mqtt_core.session.record import QUEUED, RECEIPT, RELEASED, SENT, EntryRecord, SessionRecord

if TYPE_CHECKING:
    from mqtt_core.persistence.storage import Progress, Storage

__all__ = ["Replay", "SessionSnapshot", "Snapshot", "StoredClient", "StoredEntry", "load"]

REPORT_EVERY: Final = 4096
"""Messages between two reports of progress."""


class SessionSnapshot:
    """One session as it was stored.

    inflight: sent and not acknowledged, in order of first sending. released: (packet identifier, sequence) of those
    that wait for PUBCOMP, in order of release. queued: in order of enqueuing. receipts: packet identifiers of
    inbound QoS 2 messages whose PUBREL is to come, in order of arrival.
    """

    __slots__ = ("inflight", "queued", "receipts", "record", "released")

    def __init__(self, record: SessionRecord) -> None:
        self.record = record
        self.inflight: list[EntryRecord] = []
        self.released: list[tuple[int, int]] = []
        self.queued: list[EntryRecord] = []
        self.receipts: list[int] = []

    def add(self, entry: EntryRecord) -> None:
        """Append an entry to the list of its state."""
        if entry.state == QUEUED:
            self.queued.append(entry)
        elif entry.state == SENT:
            self.inflight.append(entry)
        elif entry.state == RELEASED:
            self.released.append((entry.packet_id, entry.sequence))
        else:
            self.receipts.append(entry.packet_id)


class Snapshot:
    """Everything a broker or client starts with.

    sessions: by client identifier, oldest first. retained: by topic. stamp: newest committed time (epoch seconds,
    0.0 for an empty store); `now` must not be below it. next_sequence: first number free for a new message.
    """

    __slots__ = ("next_sequence", "retained", "sessions", "stamp")

    def __init__(self) -> None:
        self.sessions: dict[str, SessionSnapshot] = {}
        self.retained: dict[str, Message] = {}
        self.stamp = 0.0
        self.next_sequence = 1


async def load(storage: Storage, progress: Progress | None = None) -> Snapshot:
    """Open the storage and read everything that is in it; once, before the first input.

    progress: called now and then with what is done and what there is to do; opening and reading are a half each, so
    what there is to do may be said anew, in other units. Raises StorageError if the storage cannot be opened, is in
    use, or holds anything that cannot be read; it is then unchanged.
    """
    if progress is None:
        await storage.open()
        return await storage.load_snapshot()
    await storage.open(_Half(progress, False).tell)
    return await storage.load_snapshot(_Half(progress, True).tell)


class _Half:
    """Tells the progress of one of two passes as that of both."""

    __slots__ = ("_progress", "_second")

    def __init__(self, progress: Progress, second: bool) -> None:
        self._progress = progress
        self._second = second

    def tell(self, done: int, total: int) -> None:
        """So much of this pass is done."""
        self._progress(total + done if self._second else done, 2 * total)


class _Report:
    """Tells a progress now and then."""

    __slots__ = ("_done", "_next", "_progress", "_total")

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._next = 0

    def add(self, count: int) -> None:
        """So much more is done."""
        self._done += count
        if self._done >= self._next and self._progress is not None:
            self._next = self._done + REPORT_EVERY
            self._progress(self._done, self._total)

    def finish(self) -> None:
        """All is done."""
        if self._progress is not None:
            self._progress(self._total, self._total)


class StoredBody:
    """The body of a message, decoded when it is asked for.

    unclaimed: bytes of its record, which count for the first record that refers to it.
    """

    __slots__ = ("_message", "data", "is_frame", "sequence", "unclaimed", "version")

    def __init__(self, data: bytes, sequence: int, is_frame: bool, version: int) -> None:
        self.data = data
        self.sequence = sequence
        self.is_frame = is_frame
        self.version = version
        self.unclaimed = 0
        self._message: Message | None = None

    def claim(self) -> int:
        """The bytes of its record, once."""
        unclaimed, self.unclaimed = self.unclaimed, 0
        return unclaimed

    def message(self) -> Message:
        """The message; the same object every time."""
        message = self._message
        if message is None:
            if self.is_frame:
                message = message_from_frame(self.data, self.version, self.sequence)
            else:
                message = decode_message(self.data, self.sequence)
            self._message = message
        return message

    def topic(self) -> str:
        """Its topic."""
        return self.message().topic if self.is_frame else message_topic(self.data)


class StoredEntry:
    """An entry, and where its record is.

    segment: number of the batch that holds the record; size: bytes of the record and of its body if it brought one.
    changed: the state differs from what the record says, because of a later ASSIGN or RELEASE.
    """

    __slots__ = (
        "body",
        "changed",
        "extras",
        "order",
        "packet_id",
        "qos",
        "retain",
        "segment",
        "sequence",
        "size",
        "state",
    )

    def __init__(
        self, sequence: int, segment: int, order: int, size: int, packet_id: int, state: int, body: StoredBody | None
    ) -> None:
        self.sequence = sequence
        self.segment = segment
        self.order = order
        self.size = size
        self.packet_id = packet_id
        self.state = state
        self.body = body
        self.qos = 0
        self.retain = False
        self.extras = b""
        self.changed = False

    def to_record(self, messages: dict[int, Message]) -> EntryRecord:
        """The entry with its message; `messages` holds those that other entries have already brought."""
        message = None
        body = self.body
        if body is not None:
            message = messages.get(self.sequence)
            if message is None:
                message = messages[self.sequence] = body.message()
        subscription_ids: tuple[int, ...] = ()
        shared = ""
        if self.extras:
            subscription_ids, shared = decode_extras(self.extras)
        return EntryRecord(
            self.sequence, message, self.qos, self.retain, subscription_ids, self.packet_id, self.state, shared
        )


class StoredClient:
    """The records of one client. session: body of its session record, None while there is none."""

    __slots__ = ("entries", "segment", "session", "size")

    def __init__(self) -> None:
        self.session: bytes | None = None
        self.segment = 0
        self.size = 0
        self.entries: dict[int, StoredEntry] = {}

    def queue(self, messages: dict[int, Message] | None = None) -> list[EntryRecord]:
        """The entries in their order; `messages` holds those that other sessions' entries have already brought."""
        if messages is None:
            messages = {}
        return [entry.to_record(messages) for entry in sorted(self.entries.values(), key=_order)]


class StoredRetained:
    """The record of one retained message."""

    __slots__ = ("body", "segment", "size")

    def __init__(self, body: StoredBody, segment: int, size: int) -> None:
        self.body = body
        self.segment = segment
        self.size = size


class Replay:
    """Applies batches in the order of their segments.

    clients, retained: the state so far. stamp: newest time in any batch. sequence: highest number of a message in any
    record, live or not.
    """

    __slots__ = ("_bodies", "clients", "retained", "sequence", "stamp")

    def __init__(self) -> None:
        self.clients: dict[str, StoredClient] = {}
        self.retained: dict[str, StoredRetained] = {}
        self.stamp = 0.0
        self.sequence = 0
        self._bodies: dict[int, StoredBody] = {}

    def feed(self, segment: int, data: bytes) -> None:
        """Apply one batch. segment: rises from batch to batch. Raises StorageError if the data do not add up."""
        reader = LogReader(data)
        self.stamp = max(self.stamp, reader.stamp)
        self._bodies = {}
        while reader.next():
            self.sequence = max(self.sequence, reader.sequence)
            op = reader.op
            if op in (FRAME, ENTRY):
                self._enqueue(reader, segment)
            elif op == DEQUEUE:
                self._entries(reader).pop(reader.sequence, None)
            elif op in (BODY, BODY_FRAME):
                self._add_body(reader)
            elif op in (ASSIGN, RELEASE):
                self._change(reader, segment)
            elif op in (RETAIN, UNRETAIN):
                self._retain(reader, segment)
            else:
                self._apply_rare(reader, segment)

    def _client(self, reader: LogReader) -> StoredClient:
        client = self.clients.get(reader.client_id)
        if client is None:
            client = self.clients[reader.client_id] = StoredClient()
        return client

    def _entries(self, reader: LogReader) -> dict[int, StoredEntry]:
        return self._client(reader).entries

    def _add_body(self, reader: LogReader) -> None:
        version = V5 if reader.flags & V5_BIT else V311
        body = StoredBody(reader.body(), reader.sequence, reader.op != BODY, version)
        if reader.op != FRAME:
            body.unclaimed = reader.size
        self._bodies[reader.sequence] = body

    def _body(self, reader: LogReader) -> StoredBody:
        body = self._bodies.get(reader.sequence)
        if body is None:
            raise StorageError(f"the log has no body for message {reader.sequence}")
        return body

    def _enqueue(self, reader: LogReader, segment: int) -> None:
        sequence = reader.sequence
        flags = reader.flags
        order = reader.order if reader.order >= 0 else segment << 32 | reader.index
        if reader.op == FRAME:
            self._add_body(reader)
        size = reader.size
        state = SENT if reader.packet_id else QUEUED
        body: StoredBody | None = None
        if flags & RELEASED_BIT:
            state = RELEASED
        else:
            body = self._body(reader)
            size += body.claim()
        entry = StoredEntry(sequence, segment, order, size, reader.packet_id, state, body)
        entry.qos = flags & QOS_BITS
        entry.retain = flags & RETAIN_BIT != 0
        if reader.op == ENTRY:
            entry.extras = reader.body()
        self._entries(reader)[sequence] = entry

    def _change(self, reader: LogReader, segment: int) -> None:
        entry = self._entries(reader).get(reader.sequence)
        if entry is None:
            return
        entry.changed = True
        entry.order = segment << 32 | reader.index
        if reader.op == ASSIGN:
            entry.packet_id = reader.packet_id
            entry.state = SENT
        else:
            entry.state = RELEASED
            entry.body = None

    def _retain(self, reader: LogReader, segment: int) -> None:
        if reader.op == UNRETAIN:
            try:
                self.retained.pop(reader.body().decode(), None)
            except UnicodeDecodeError:
                raise StorageError("a topic in the log is not UTF-8") from None
            return
        body = self._body(reader)
        self.retained[body.topic()] = StoredRetained(body, segment, reader.size + body.claim())

    def _apply_rare(self, reader: LogReader, segment: int) -> None:
        op = reader.op
        if op == RECEIPT_OP:
            key = -reader.packet_id
            order = reader.order if reader.order >= 0 else segment << 32 | reader.index
            self._entries(reader)[key] = StoredEntry(key, segment, order, reader.size, reader.packet_id, RECEIPT, None)
        elif op == FORGET:
            self._entries(reader).pop(-reader.packet_id, None)
        elif op == SESSION:
            client = self._client(reader)
            client.session = reader.body()
            client.segment = segment
            client.size = reader.size
        elif op == DELETE:
            self.clients.pop(reader.client_id, None)
        else:
            raise StorageError(f"the log has a record of unknown kind {op}")

    def drop_orphans(self) -> None:
        """Forget entries whose session was never stored: nobody could ask for them."""
        for client_id in [client_id for client_id, client in self.clients.items() if client.session is None]:
            del self.clients[client_id]

    def snapshot(self, progress: Progress | None = None) -> Snapshot:
        """The state as records. progress: told in messages. Raises StorageError if a body cannot be read."""
        self.drop_orphans()
        snapshot = Snapshot()
        messages: dict[int, Message] = {}
        report = _Report(progress, sum(len(client.entries) for client in self.clients.values()) + len(self.retained))
        for client_id, client in self.clients.items():
            assert client.session is not None
            session = SessionSnapshot(decode_session(client.session, client_id))
            for entry in client.queue(messages):
                session.add(entry)
            snapshot.sessions[client_id] = session
            report.add(len(client.entries))
        for topic, retained in self.retained.items():
            sequence = retained.body.sequence
            message = messages.get(sequence)
            if message is None:
                message = messages[sequence] = retained.body.message()
            snapshot.retained[topic] = message
            report.add(1)
        report.finish()
        snapshot.stamp = self.stamp
        snapshot.next_sequence = self.sequence + 1
        return snapshot


def _order(entry: StoredEntry) -> int:
    return entry.order

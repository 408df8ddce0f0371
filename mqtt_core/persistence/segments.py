"""Which parts of a log are still needed: live records counted per segment, and the moving of those that hold up the
rest.

A store that appends keeps each batch as one *segment*. Segments go from the oldest end only, so a record that
forgets something may vanish with its segment: what it spoke of was older and is gone already. A segment goes when
none of its records is live; if one is (a session that stays away, a retained message), its live records are written
anew into a segment at the young end, each with its state and its original order. That is done a little with every
batch, and only when the log is larger than `GROWTH` times the live bytes and `SLACK` more, so writing everything
twice is the price at worst.

Laws: no I/O; the index says what to write and what to delete, the store does both in the transaction of the batch.
Live bytes are never overstated, so the bound on the log holds.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.persistence.journal import CHANGE_SHIFT, RELEASED_CHANGE, Batch, ClientRows
from mqtt_core.persistence.log import (
    BODY,
    BODY_BIT,
    BODY_FRAME,
    ENTRY,
    FRAME,
    ORDER_BIT,
    RECEIPT_OP,
    RELEASED_BIT,
    RETAIN,
    SESSION,
    V5_BIT,
    LogReader,
    LogWriter,
)
from mqtt_core.persistence.record import message_topic
from mqtt_core.persistence.recovery import Replay, StoredClient
from mqtt_core.session.record import RELEASED

__all__ = ["GROWTH", "SLACK", "SegmentIndex"]

GROWTH: Final = 2
"""The log may be this many times the live bytes …"""

SLACK: Final = 4 * 1024 * 1024
"""… and this many bytes more, before live records are moved."""

_SIZE_BITS: Final = 32
_SIZE_MASK: Final = (1 << _SIZE_BITS) - 1
_BARE: Final = 16  # bytes of a record without body


class _Segment:
    """size: bytes it takes in the store. live: bytes of its live records."""

    __slots__ = ("live", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.live = 0


class _Client:
    """Where a client's live records are, each as segment << 32 | bytes.

    changes: for entries whose state is not what their record says, order << 17 | released << 16 | packet id.
    """

    __slots__ = ("changes", "entries", "session")

    def __init__(self) -> None:
        self.entries: dict[int, int] = {}
        self.changes: dict[int, int] = {}
        self.session = 0


class SegmentIndex:
    """Knows every live record of a log and the segment it is in.

    log_bytes: of all segments. live_bytes: of their live records. next_number: of the segment that is added next.
    slack: see `SLACK`.
    """

    __slots__ = ("_clients", "_retained", "_segments", "live_bytes", "log_bytes", "next_number", "slack")

    def __init__(self, slack: int = SLACK) -> None:
        self._segments: dict[int, _Segment] = {}
        self._clients: dict[str, _Client] = {}
        self._retained: dict[str, int] = {}
        self.live_bytes = 0
        self.log_bytes = 0
        self.next_number = 1
        self.slack = slack

    # ------------------------------------------------------------------------------------------------ recovery

    def add_stored(self, number: int, size: int) -> None:
        """A segment that is in the store already. number: rising. size: the bytes it takes."""
        self._segments[number] = _Segment(size)
        self.log_bytes += size
        self.next_number = number + 1

    def restore(self, replay: Replay) -> None:
        """Learn what is live from a replay of all segments that were added."""
        replay.drop_orphans()
        for client_id, stored in replay.clients.items():
            self._restore_client(client_id, stored)
        for topic, retained in replay.retained.items():
            self._retained[topic] = self._located(retained.segment, retained.size)

    def _restore_client(self, client_id: str, stored: StoredClient) -> None:
        client = self._clients[client_id] = _Client()
        client.session = self._located(stored.segment, stored.size)
        for key, entry in stored.entries.items():
            released = entry.state == RELEASED
            size = _BARE if released and entry.changed else entry.size
            client.entries[key] = self._located(entry.segment, size)
            if entry.changed:
                released_bit = RELEASED_CHANGE if released else 0
                client.changes[key] = entry.order << CHANGE_SHIFT | released_bit | entry.packet_id

    def _located(self, number: int, size: int) -> int:
        self._segments[number].live += size
        self.live_bytes += size
        return number << _SIZE_BITS | size

    def _unlocated(self, location: int) -> None:
        self._end(location >> _SIZE_BITS, location & _SIZE_MASK)

    # ------------------------------------------------------------------------------------------------ batches

    def add(self, batch: Batch, size: int) -> int:
        """A batch becomes a segment; returns the segment's number. size: the bytes it takes in the store."""
        number = self.next_number
        self.add_stored(number, size)
        for client_id, rows in batch.clients.items():
            client = self._clients.get(client_id)
            if client is None:
                client = self._clients[client_id] = _Client()
            elif rows.deleted:
                self._drop_client(client)
            self._add_entries(client, rows, number)
            if rows.session_size:
                if client.session:
                    self._unlocated(client.session)
                client.session = self._located(number, rows.session_size)
            if rows.deleted and not rows.session_size and not client.entries:
                del self._clients[client_id]
        for topic, record_size in batch.retained.items():
            old = self._retained.pop(topic, 0)
            if old:
                self._unlocated(old)
            if record_size:
                self._retained[topic] = self._located(number, record_size)
        return number

    def _drop_client(self, client: _Client) -> None:
        for location in client.entries.values():
            self._unlocated(location)
        client.entries.clear()
        client.changes.clear()
        if client.session:
            self._unlocated(client.session)
            client.session = 0

    def _add_entries(self, client: _Client, rows: ClientRows, number: int) -> None:
        """The loop over every message that was stored or acknowledged: no object, hardly a call."""
        entries = client.entries
        changes = client.changes
        base = number << _SIZE_BITS
        added = 0
        # What ends is mostly in one segment: its bytes are summed up before they are subtracted.
        source = number
        ended = 0
        for key, size in zip(rows.keys, rows.sizes, strict=True):
            if size < 0:
                if key in entries:
                    self._change(client, key, -size, number)
                continue
            if size == 0 or key in entries:
                old = entries.pop(key, 0)
                if changes:
                    changes.pop(key, None)
                if old:
                    if old >> _SIZE_BITS != source:
                        self._end(source, ended)
                        source = old >> _SIZE_BITS
                        ended = 0
                    ended += old & _SIZE_MASK
            if size:
                entries[key] = base | size
                added += size
        self._end(source, ended)
        self._end(number, -added)

    def _end(self, number: int, size: int) -> None:
        """So many bytes of a segment do not live any more."""
        self._segments[number].live -= size
        self.live_bytes -= size

    def _change(self, client: _Client, key: int, change: int, number: int) -> None:
        """Note a later ASSIGN or RELEASE; what is released lives on without its message."""
        packet_id = change & 0xFFFF
        if change & RELEASED_CHANGE:
            packet_id = client.changes.get(key, 0) & 0xFFFF
            location = client.entries[key]
            freed = (location & _SIZE_MASK) - _BARE
            self._end(location >> _SIZE_BITS, freed)
            client.entries[key] = location - freed
        order = number << 32 | change >> CHANGE_SHIFT
        client.changes[key] = order << CHANGE_SHIFT | change & RELEASED_CHANGE | packet_id

    # ------------------------------------------------------------------------------------------------ places

    def client(self, client_id: str) -> _Client | None:
        """Where the records of a client are."""
        return self._clients.get(client_id)

    def retained_in(self, topic: str) -> int:
        """Number of the segment that holds the retained message of a topic; 0 if there is none."""
        return self._retained.get(topic, 0) >> _SIZE_BITS

    def relocate(self, location: int, number: int, size: int) -> int:
        """A live record was written anew; returns its new location."""
        self._unlocated(location)
        return self._located(number, size)

    def relocate_retained(self, topic: str, number: int, size: int) -> None:
        """A live retained message was written anew."""
        self._retained[topic] = self.relocate(self._retained[topic], number, size)

    # ------------------------------------------------------------------------------------------------ moving

    @property
    def oldest_number(self) -> int:
        """Number of the oldest segment there is; `next_number` if there is none."""
        for number in self._segments:
            return number
        return self.next_number

    def drop_dead(self) -> int:
        """Drop the segments at the old end that have no live record; returns the number of the oldest one left.

        The youngest segment always stays: it has the newest stamp and the highest sequence.
        """
        dead: list[int] = []
        first = self.next_number
        for number, segment in self._segments.items():
            if segment.live or number == self.next_number - 1:
                first = number
                break
            dead.append(number)
        for number in dead:
            self.log_bytes -= self._segments.pop(number).size
        return first

    def crowded(self) -> bool:
        """Whether the log is so much larger than what lives in it that live records should be moved."""
        return self.log_bytes > GROWTH * self.live_bytes + self.slack

    def to_move(self, budget: int) -> list[int]:
        """The oldest segments, about `budget` bytes of them, if the log is crowded."""
        numbers: list[int] = []
        if self.crowded():
            for number, segment in self._segments.items():
                numbers.append(number)
                budget -= segment.size
                if budget <= 0:
                    break
        return numbers

    def move(self, numbers: list[int], datas: list[bytes], stamp: float) -> bytes:
        """Write the live records of these segments anew, as one batch that takes the place `next_number` in the log.

        numbers, datas: of the segments, oldest first. stamp: the newest known, epoch seconds. Returns the batch, or
        b"" if nothing in them is live and nothing was added. The caller then says `set_size`.
        """
        number = self.next_number
        self.add_stored(number, 0)
        mover = _Mover(self, number)
        for source, data in zip(numbers, datas, strict=True):
            if self._segments[source].live:
                mover.move(source, data)
        if mover.writer.size == 0:
            del self._segments[number]
            self.next_number = number
            return b""
        return mover.writer.pack(stamp)

    def set_size(self, number: int, size: int) -> None:
        """The segment takes so many bytes in the store."""
        segment = self._segments[number]
        self.log_bytes += size - segment.size
        segment.size = size


class _Mover:
    """Copies live records into one new segment. A body goes there once, also if several segments had it."""

    __slots__ = ("_index", "_number", "_written", "writer")

    def __init__(self, index: SegmentIndex, number: int) -> None:
        self._index = index
        self._number = number
        self._written: dict[int, None] = {}
        self.writer = LogWriter()

    def move(self, source: int, data: bytes) -> None:
        """Copy what is live in one segment. Of several records of one key the last one counts."""
        entries: dict[tuple[str, int], tuple[int, int, int, bytes]] = {}
        retained: dict[str, int] = {}
        bodies: dict[int, tuple[int, bytes]] = {}
        index = self._index
        reader = LogReader(data)
        while reader.next():
            op = reader.op
            sequence = reader.sequence
            if op in (FRAME, BODY_FRAME):
                bodies[sequence] = (BODY_FRAME | (reader.flags & V5_BIT) << 8, reader.body())
            elif op == BODY:
                bodies[sequence] = (BODY, reader.body())
            if op in (ENTRY, FRAME, RECEIPT_OP, SESSION):
                client = index.client(reader.client_id)
                if client is None:
                    continue
                key = -reader.packet_id if op == RECEIPT_OP else sequence
                if op == SESSION:
                    if client.session >> _SIZE_BITS == source:
                        self._write_session(client, reader)
                elif client.entries.get(key, 0) >> _SIZE_BITS == source:
                    order = reader.order if reader.order >= 0 else source << 32 | reader.index
                    extras = reader.body() if op == ENTRY else b""
                    entries[reader.client_id, key] = (reader.flags, reader.packet_id, order, extras)
            elif op == RETAIN:
                topic = message_topic(bodies[sequence][1])
                if index.retained_in(topic) == source:
                    retained[topic] = sequence
        for (client_id, key), record in entries.items():
            self._write_entry(client_id, key, record, bodies)
        for topic, sequence in retained.items():
            size = self._write_body(sequence, bodies)
            size += self.writer.add(RETAIN, 0, None, sequence)
            index.relocate_retained(topic, self._number, size)

    def _write_session(self, client: _Client, reader: LogReader) -> None:
        size = self.writer.add(SESSION, 0, reader.client_id, 0, body=reader.body())
        client.session = self._index.relocate(client.session, self._number, size)

    def _write_entry(
        self,
        client_id: str,
        key: int,
        record: tuple[int, int, int, bytes],
        bodies: dict[int, tuple[int, bytes]],
    ) -> None:
        flags, packet_id, order, extras = record
        client = self._index.client(client_id)
        assert client is not None, client_id
        flags &= ~(BODY_BIT | ORDER_BIT | V5_BIT)
        change = client.changes.pop(key, 0)
        if change:
            order = change >> CHANGE_SHIFT
            packet_id = change & 0xFFFF or packet_id
            if change & RELEASED_CHANGE:
                flags |= RELEASED_BIT
        size = 0
        if key < 0:
            size = self.writer.add(RECEIPT_OP, 0, client_id, 0, packet_id, order=order)
        elif flags & RELEASED_BIT:
            size = self.writer.add(ENTRY, flags, client_id, key, packet_id, order=order)
        else:
            size = self._write_body(key, bodies)
            size += self.writer.add(ENTRY, flags, client_id, key, packet_id, extras or None, order)
        client.entries[key] = self._index.relocate(client.entries[key], self._number, size)

    def _write_body(self, sequence: int, bodies: dict[int, tuple[int, bytes]]) -> int:
        if sequence in self._written:
            return 0
        self._written[sequence] = None
        kind, body = bodies[sequence]
        return self.writer.add(kind & 0xFF, kind >> 8, None, sequence, body=body)

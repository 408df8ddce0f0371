"""The write barrier: what must be on disk, collected between two commits.

Every verb appends one record to the open batch and returns the batch's number, the *barrier*. Whoever says
something that rests on a write gives the frame that barrier, and the frame leaves when the batch is committed. Two
rules make "acknowledged" true:

- all writes of one input are in one batch, because a batch is only taken between inputs;
- one batch is in flight at a time, and the next one fills meanwhile (group commit).

Law: no I/O, no clock, no waiting; a verb costs a few list appends. Records are numbers in one flat list and bodies
in another (`log.py` gives their meaning), joined once when the batch is taken. A message's body is in a batch once,
however many clients wait for it; a session that changed a thousand times is written once, as it is when the batch
is taken.

A journal that is not enabled does nothing, returns 0 and costs nothing. It reads nothing back: memory is the truth.
"""

from __future__ import annotations

from typing import Final, Protocol

from mqtt_core.codec.types import V5
from mqtt_core.persistence.log import (
    ASSIGN,
    BODY,
    BODY_BIT,
    DELETE,
    DEQUEUE,
    ENTRY,
    FORGET,
    FRAME,
    RECEIPT_OP,
    RECORD_BYTES,
    RELEASE,
    RELEASED_BIT,
    RETAIN,
    RETAIN_BIT,
    SESSION,
    UNRETAIN,
    V5_BIT,
    pack_batch,
)
from mqtt_core.persistence.record import encode_extras, encode_message, encode_session
from mqtt_core.session.message import Message
from mqtt_core.session.record import SessionRecord

__all__ = ["Batch", "ClientRows", "Journal", "Recordable"]

# By quality of service, 0 to 2.
_FRAME_V5: Final = [FRAME | (BODY_BIT | V5_BIT | qos) << 8 for qos in range(3)]
_FRAME_V311: Final = [FRAME | (BODY_BIT | qos) << 8 for qos in range(3)]
_BODY: Final = BODY | BODY_BIT << 8
_SESSION: Final = SESSION | BODY_BIT << 8
_UNRETAIN: Final = UNRETAIN | BODY_BIT << 8

RELEASED_CHANGE: Final = 1 << 16
"""Bit of a change in `ClientRows.sizes`: released. Without it the low 16 bits are the packet id that was assigned."""

CHANGE_SHIFT: Final = 17
"""Above it a change holds the record's place in the batch."""


class Recordable(Protocol):
    """What `Journal.store_session` takes: anything that can say what is to be stored of it."""

    client_id: str

    def to_record(self) -> SessionRecord:
        """The session as it is now."""
        ...


class ClientRows:
    """What one batch says about one client's records, for a store that counts which of its segments still live.

    base: what the heads of this client's records begin with. keys, sizes: side by side, in order; a key is a message's
    sequence, or minus the packet identifier of a receipt. A size above 0 is the bytes the key's record takes from now
    on, 0 says that the key is gone, and a negative one that it changed: minus (place << 17 | released << 16 | packet
    id). deleted: all that was stored of the client before this batch is gone. session_size: bytes of a session record,
    0 if the batch has none.
    """

    __slots__ = ("base", "deleted", "keys", "session_size", "sizes")

    def __init__(self, base: int) -> None:
        self.base = base
        self.keys: list[int] = []
        self.sizes: list[int] = []
        self.deleted = False
        self.session_size = 0


class Batch:
    """Everything that was written between two commits: all of it becomes durable, or nothing.

    number: what `Journal.mark_committed` is told. stamp: newest time the core knew (epoch seconds). data: the
    records, readable with `LogReader`. clients, retained (topic -> bytes of its record, 0 for removed): what a
    store needs to count live records without reading `data`.
    """

    __slots__ = ("clients", "data", "number", "retained", "stamp")

    def __init__(
        self, number: int, stamp: float, data: bytes, clients: dict[str, ClientRows], retained: dict[str, int]
    ) -> None:
        self.number = number
        self.stamp = stamp
        self.data = data
        self.clients = clients
        self.retained = retained

    def __repr__(self) -> str:
        return f"Batch({self.number}, {len(self.data)} bytes, {len(self.clients)} clients)"


class Journal:
    """Collects writes; see the module's text for the rules.

    enabled: False for a broker or client without storage. barrier: number of the open batch, which every verb
    returns. committed: number of the newest batch known to be durable. in_flight: number of the batch that was
    taken and is not committed yet, 0 for none. now: newest time `stamp` was told; stamped: that of the newest batch
    taken (epoch seconds).
    """

    __slots__ = (
        "_bodies",
        "_claimed",
        "_clients",
        "_deleted",
        "_dirty",
        "_retained",
        "_words",
        "_written",
        "barrier",
        "committed",
        "enabled",
        "in_flight",
        "now",
        "stamped",
    )

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.barrier = 1 if enabled else 0
        self.committed = 0
        self.in_flight = 0
        self.now = 0.0
        self.stamped = 0.0
        self._claimed = False
        self._words: list[int] = []
        self._bodies: list[bytes] = []
        self._written: dict[int, None] = {}
        self._clients: dict[str, ClientRows] = {}
        self._dirty: dict[str, Recordable] = {}
        self._deleted: dict[str, int] = {}
        self._retained: dict[str, int] = {}

    # ------------------------------------------------------------------------------------------------ sessions

    def stamp(self, now: float) -> None:
        """Note the time (epoch seconds). It is stored with the next batch; a time that goes back is ignored."""
        self.now = max(self.now, now)

    def store_session(self, session: Recordable) -> int:
        """The session is new or has changed. What is written is its state when the batch is taken."""
        if not self.enabled:
            return 0
        self._dirty[session.client_id] = session
        return self.barrier

    def delete_session(self, client_id: str) -> int:
        """Forget the session with all its entries and receipts."""
        if not self.enabled:
            return 0
        self._dirty.pop(client_id, None)
        rows = self._rows(client_id)
        rows.deleted = True
        rows.keys = []
        rows.sizes = []
        self._words += (rows.base | DELETE, 0)
        self._deleted[client_id] = self.barrier
        return self.barrier

    def deletion(self, client_id: str) -> int:
        """Barrier of a deletion of the client's session that is not durable yet; 0 when there is none."""
        return self._deleted.get(client_id, 0)

    # ------------------------------------------------------------------------------------------------ messages

    def enqueue(
        self,
        client_id: str,
        message: Message,
        qos: int,
        retain: bool,
        subscription_ids: tuple[int, ...],
        packet_id: int = 0,
        shared: str = "",
    ) -> int:
        """A message for a client: waiting (packet_id 0) or sent at once under that identifier.

        The entry's key is the message's sequence (1 and up); the same key again replaces the entry. qos: effective,
        1 or 2. retain: RETAIN as it is sent. shared: "group/filter" if it was given to the client as a member of
        that group.
        """
        if not self.enabled:
            return 0
        rows = self._clients.get(client_id)
        if rows is None:
            rows = self._rows(client_id)
        sequence = message.sequence
        size = self._write_body(message)
        head = rows.base | packet_id << 16 | qos << 8 | ENTRY
        if retain:
            head |= RETAIN_BIT << 8
        if subscription_ids or shared:
            extras = encode_extras(subscription_ids, shared)
            self._words += (head | BODY_BIT << 8, sequence, len(extras))
            self._bodies.append(extras)
            size += len(extras) + 8
        else:
            self._words += (head, sequence)
        rows.keys.append(sequence)
        rows.sizes.append(size + 16)
        return self.barrier

    def enqueue_frames(
        self, client_id: str, sequence: int, version: int, frames: list[bytes], packet_ids: list[int], qos: int
    ) -> int:
        """The bulk path's `enqueue`, for a run of messages: each body is a whole PUBLISH frame, as received.

        Of a frame only topic, properties and payload count: it has no RETAIN, no topic alias and no Message Expiry
        Interval; its DUP, QoS and packet identifier mean nothing. version: 4 or 5, of the frames. sequence: of the
        first one; the others follow it. frames: all of one size. packet_ids: one for each frame that is written, at
        least one; more frames are left out.
        """
        if not self.enabled:
            return 0
        rows = self._rows(client_id)
        count = len(packet_ids)
        sequences = range(sequence, sequence + count)
        rows.keys.extend(sequences)
        head = rows.base | (_FRAME_V5[qos] if version == V5 else _FRAME_V311[qos])
        size = len(frames[0])
        if self._written.keys().isdisjoint(sequences):
            self._written.update(dict.fromkeys(sequences))
            block = [size] * (3 * count)
            block[0::3] = [head | packet_id << 16 for packet_id in packet_ids]
            block[1::3] = sequences
            self._words += block
            self._bodies += frames[:count]
            rows.sizes.extend([size + RECORD_BYTES] * count)
            return self.barrier
        entry = rows.base | qos << 8 | ENTRY
        for number, packet_id, frame in zip(sequences, packet_ids, frames, strict=False):
            if number in self._written:
                self._words += (entry | packet_id << 16, number)
                rows.sizes.append(16)
            else:
                self._written[number] = None
                self._words += (head | packet_id << 16, number, size)
                self._bodies.append(frame)
                rows.sizes.append(size + RECORD_BYTES)
        return self.barrier

    def dequeue_run(self, client_id: str, sequences: list[int]) -> int:
        """`dequeue` for many entries."""
        if not self.enabled:
            return 0
        rows = self._rows(client_id)
        block = [rows.base | DEQUEUE] * (2 * len(sequences))
        block[1::2] = sequences
        self._words += block
        rows.keys.extend(sequences)
        rows.sizes.extend([0] * len(sequences))
        return self.barrier

    def assign(self, client_id: str, sequence: int, packet_id: int) -> int:
        """A queued message got its packet identifier: it counts as sent from now on, after those sent before it."""
        if not self.enabled:
            return 0
        rows = self._clients.get(client_id)
        if rows is None:
            rows = self._rows(client_id)
        words = self._words
        rows.keys.append(sequence)
        rows.sizes.append(-(len(words) << CHANGE_SHIFT | packet_id))
        words += (rows.base | packet_id << 16 | ASSIGN, sequence)
        return self.barrier

    def enqueue_released(self, client_id: str, sequence: int, packet_id: int, qos: int) -> int:
        """An entry that already waits for PUBCOMP, written anew without its message."""
        if not self.enabled:
            return 0
        rows = self._rows(client_id)
        self._words += (rows.base | packet_id << 16 | (qos | RELEASED_BIT) << 8 | ENTRY, sequence)
        rows.keys.append(sequence)
        rows.sizes.append(16)
        return self.barrier

    def release(self, client_id: str, sequence: int) -> int:
        """PUBREC arrived: the entry waits for PUBCOMP, and its message is not needed any more."""
        if not self.enabled:
            return 0
        rows = self._clients.get(client_id)
        if rows is None:
            rows = self._rows(client_id)
        words = self._words
        rows.keys.append(sequence)
        rows.sizes.append(-(len(words) << CHANGE_SHIFT | RELEASED_CHANGE))
        words += (rows.base | RELEASE, sequence)
        return self.barrier

    def dequeue(self, client_id: str, sequence: int) -> int:
        """PUBACK or PUBCOMP arrived, or the message was dropped: forget the entry."""
        if not self.enabled:
            return 0
        rows = self._clients.get(client_id)
        if rows is None:
            rows = self._rows(client_id)
        self._words += (rows.base | DEQUEUE, sequence)
        rows.keys.append(sequence)
        rows.sizes.append(0)
        return self.barrier

    def store_receipt(self, client_id: str, packet_id: int) -> int:
        """An inbound QoS 2 PUBLISH was taken over; a second one with this packet identifier is a duplicate."""
        if not self.enabled:
            return 0
        rows = self._rows(client_id)
        self._words += (rows.base | packet_id << 16 | RECEIPT_OP, 0)
        rows.keys.append(-packet_id)
        rows.sizes.append(16)
        return self.barrier

    def forget_receipt(self, client_id: str, packet_id: int) -> int:
        """PUBREL arrived: the packet identifier is free for a new message."""
        if not self.enabled:
            return 0
        rows = self._rows(client_id)
        self._words += (rows.base | packet_id << 16 | FORGET, 0)
        rows.keys.append(-packet_id)
        rows.sizes.append(0)
        return self.barrier

    def store_retained(self, topic: str, message: Message | None) -> int:
        """The retained message of a topic is now `message`, or there is none any more."""
        if not self.enabled:
            return 0
        if message is None:
            body = topic.encode()
            self._words += (_UNRETAIN, 0, len(body))
            self._bodies.append(body)
            self._retained[topic] = 0
        else:
            size = self._write_body(message)
            self._words += (RETAIN, message.sequence)
            self._retained[topic] = size + 16
        return self.barrier

    # ------------------------------------------------------------------------------------------------ batches

    def claim(self) -> int:
        """The open batch's number for frames that are said before it is certain that something will be written.

        The batch is then taken even if it stays empty, so that nothing waits for a commit that never comes.
        """
        self._claimed = self.enabled
        return self.barrier

    def pending(self) -> int:
        """Number of the newest batch that holds anything and is not durable yet; 0 when there is none."""
        return self.barrier if self._words or self._dirty or self._claimed else self.in_flight

    def take_batch(self) -> Batch | None:
        """The open batch, and a new one opens; None if there is nothing to write or a batch is in flight.

        Call it between inputs only: a batch holds whole inputs.
        """
        if self.in_flight or not (self._words or self._dirty or self._claimed):
            return None
        self._claimed = False
        dirty, self._dirty = self._dirty, {}
        for client_id, session in dirty.items():
            rows = self._rows(client_id)
            body = encode_session(session.to_record())
            self._words += (rows.base | _SESSION, 0, len(body))
            self._bodies.append(body)
            rows.session_size = len(body) + RECORD_BYTES
        number = self.barrier
        clients, self._clients = self._clients, {}
        retained, self._retained = self._retained, {}
        data = pack_batch(self.now, list(clients), self._words, self._bodies)
        self._words = []
        self._bodies = []
        self._written = {}
        self.in_flight = number
        self.barrier = number + 1
        self.stamped = self.now
        return Batch(number, self.now, data, clients, retained)

    def mark_committed(self, number: int) -> None:
        """The batch of that number is durable."""
        assert number == self.in_flight, (number, self.in_flight)
        self.committed = number
        self.in_flight = 0
        if self._deleted:
            self._deleted = {client_id: barrier for client_id, barrier in self._deleted.items() if barrier > number}

    def _rows(self, client_id: str) -> ClientRows:
        rows = self._clients.get(client_id)
        if rows is None:
            rows = self._clients[client_id] = ClientRows(len(self._clients) << 32)
        return rows

    def _write_body(self, message: Message) -> int:
        """Write the message's body unless the batch has it; return the bytes this added."""
        sequence = message.sequence
        assert sequence > 0, message
        if sequence in self._written:
            return 0
        self._written[sequence] = None
        body = encode_message(message)
        self._words += (_BODY, sequence, len(body))
        self._bodies.append(body)
        return len(body) + RECORD_BYTES

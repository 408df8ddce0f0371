"""The log format: how one batch of records looks as bytes, and how to read it.

A batch is a header, the table of the client identifiers it speaks of, the records' *words* (64-bit little-endian
numbers) and the records' *bodies*, end to end. A record is two to four words:

    word 0    bits 0-7 operation, 8-15 flags, 16-31 packet identifier, 32-63 index into the table of clients
    word 1    sequence of the message, 0 if none is meant
    word 2    length of the body, if the flags have BODY_BIT
    word 3    order, if the flags have ORDER_BIT (written when a record is moved, see `segments.py`)

Records apply in the order they stand. What a record means does not depend on other batches, except that ASSIGN,
RELEASE, DEQUEUE, FORGET, DELETE and UNRETAIN speak of what was written before, and are void if that is unknown. An
ENTRY and a RETAIN refer to the body with their sequence in the same batch.

Law: this module knows words and lengths; what is inside a body is `record.py`'s. A batch that does not add up is a
`StorageError`, never an IndexError; whether the bytes are the ones that were written is for the store to check
(checksum).
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final

from mqtt_core.codec.error import StorageError

__all__ = ["LogReader", "LogWriter", "pack_batch"]

LOG_VERSION: Final = 1

BODY: Final = 1  # body: a message (record.py)
BODY_FRAME: Final = 2  # body: a PUBLISH frame; flag V5_BIT
ENTRY: Final = 3  # body, if any: subscription identifiers and share (record.py)
FRAME: Final = 4  # BODY_FRAME and ENTRY in one
ASSIGN: Final = 5
RELEASE: Final = 6
DEQUEUE: Final = 7
RECEIPT_OP: Final = 8
FORGET: Final = 9
SESSION: Final = 10  # body: a session (record.py)
DELETE: Final = 11
RETAIN: Final = 12
UNRETAIN: Final = 13  # body: the topic

QOS_BITS: Final = 0x03
RETAIN_BIT: Final = 0x04
V5_BIT: Final = 0x08
RELEASED_BIT: Final = 0x10
ORDER_BIT: Final = 0x40
BODY_BIT: Final = 0x80

RECORD_BYTES: Final = 24
"""Words of a record with a body."""

_HEADER: Final = struct.Struct("<BxxxIId")  # version, clients, words, stamp
_FEWEST_WORDS: Final = 2


def pack_batch(stamp: float, client_ids: list[str], words: list[int], bodies: list[bytes]) -> bytes:
    """Put a batch together. stamp: epoch seconds. client_ids: in the order of the index in word 0."""
    names = [client_id.encode() for client_id in client_ids]
    table = array("Q", words)
    if sys.byteorder == "big":
        table.byteswap()
    return b"".join(
        (
            _HEADER.pack(LOG_VERSION, len(names), len(words), stamp),
            struct.pack(f"<{len(names)}I", *[len(name) for name in names]),
            *names,
            table.tobytes(),
            *bodies,
        )
    )


class LogReader:
    """Reads one batch, record by record: `while reader.next(): …` and look at the attributes.

    stamp: epoch seconds. op, flags, packet_id, client_id, sequence: of the current record. index: place of the
    record's first word, rising through the batch. order: as written, or -1. body_start, body_end: of its body
    within `data`, both 0 if it has none. Raises StorageError if the data do not add up.
    """

    __slots__ = (
        "_body",
        "_next",
        "_words",
        "body_end",
        "body_start",
        "client_id",
        "client_ids",
        "data",
        "flags",
        "index",
        "op",
        "order",
        "packet_id",
        "sequence",
        "stamp",
    )

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.op = 0
        self.flags = 0
        self.packet_id = 0
        self.client_id = ""
        self.sequence = 0
        self.index = 0
        self.order = -1
        self.body_start = 0
        self.body_end = 0
        self._next = 0
        if len(data) < _HEADER.size:
            raise StorageError("a batch of the log is cut short")
        version, clients, words, stamp = _HEADER.unpack_from(data)
        if version != LOG_VERSION:
            raise StorageError(f"a batch of the log has format {version}, this program reads {LOG_VERSION}")
        self.stamp: float = stamp
        position = _HEADER.size + 4 * clients
        if len(data) < position:
            raise StorageError("a batch of the log is cut short")
        self.client_ids: list[str] = []
        for length in struct.unpack_from(f"<{clients}I", data, _HEADER.size):
            try:
                self.client_ids.append(data[position : position + length].decode())
            except UnicodeDecodeError:
                raise StorageError("a client identifier in the log is not UTF-8") from None
            position += length
        self._body = position + 8 * words
        if len(data) < self._body:
            raise StorageError("a batch of the log is cut short")
        table = array("Q")
        table.frombytes(data[position : self._body])
        if sys.byteorder == "big":
            table.byteswap()
        self._words: list[int] = table.tolist()

    def next(self) -> bool:
        """Go to the next record; False at the end. Raises StorageError when what follows is no record."""
        words = self._words
        position = self._next
        if position == len(words):
            if self._body != len(self.data):
                raise StorageError("a batch of the log is longer than its records")
            return False
        try:
            head = words[position]
            self.index = position
            self.op = head & 0xFF
            flags = self.flags = head >> 8 & 0xFF
            self.packet_id = head >> 16 & 0xFFFF
            client = head >> 32
            # Records of no client have index 0, and their batch may have no client at all.
            self.client_id = self.client_ids[client] if client or self.client_ids else ""
            self.sequence = words[position + 1]
            position += 2
            if flags & BODY_BIT:
                self.body_start = self._body
                self._body += words[position]
                self.body_end = self._body
                position += 1
                if self._body > len(self.data):
                    raise StorageError("a record of the log is longer than its batch")
            else:
                self.body_start = self.body_end = 0
            if flags & ORDER_BIT:
                self.order = words[position]
                position += 1
            else:
                self.order = -1
        except IndexError:
            raise StorageError("a record of the log is cut short") from None
        self._next = position
        return True

    @property
    def size(self) -> int:
        """Bytes the current record takes, with its body."""
        return 8 * (self._next - self.index) + self.body_end - self.body_start

    def body(self) -> bytes:
        """The body of the current record."""
        return self.data[self.body_start : self.body_end]


class LogWriter:
    """Writes records that are already known in full, one by one; what a store uses to move them to a new place.

    size: bytes of records so far, without header and table.
    """

    __slots__ = ("_bodies", "_clients", "_words", "size")

    def __init__(self) -> None:
        self._words: list[int] = []
        self._bodies: list[bytes] = []
        self._clients: dict[str, int] = {}
        self.size = 0

    def add(
        self,
        op: int,
        flags: int,
        client_id: str | None,
        sequence: int,
        packet_id: int = 0,
        body: bytes | None = None,
        order: int = -1,
    ) -> int:
        """Append a record; returns the bytes it takes. client_id: None for a record of no client."""
        client = 0
        if client_id is not None:
            client = self._clients.setdefault(client_id, len(self._clients))
        head = client << 32 | packet_id << 16 | op
        size = 16
        words = [0, sequence]
        if body is not None:
            flags |= BODY_BIT
            words.append(len(body))
            self._bodies.append(body)
            size += 8 + len(body)
        if order >= 0:
            flags |= ORDER_BIT
            words.append(order)
            size += 8
        words[0] = head | flags << 8
        self._words += words
        self.size += size
        return size

    def pack(self, stamp: float) -> bytes:
        """The records as one batch."""
        return pack_batch(stamp, list(self._clients), self._words, self._bodies)

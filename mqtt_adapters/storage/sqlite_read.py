"""Reading the SQLite file that holds the log, without changing it: by the store that opens it, and by those who only
look.

The file has one table. A row is a segment (`mqtt_core.persistence.segments`), or a part of one that is too long for
SQLite's blobs, with its checksum.

Law: what is given on is what was written, every byte of it; anything else is one `StorageError`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mqtt_core.codec.error import StorageError
from mqtt_core.persistence.storage import Progress

__all__ = [
    "APPLICATION_ID", "MIGRATIONS", "PAGE_BYTES", "PART_BITS", "SCHEMA_VERSION",
    "read_segment", "read_segments", "read_store", "schema_version", "stored_bytes", "write_ahead_log",
]  # fmt: skip

APPLICATION_ID: Final = 0x4D515453
"""In the header of every store, so that `file` and other programs can tell it from other databases."""

MIGRATIONS: Final = ("CREATE TABLE segment (place INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL)",)
"""Statement i takes the schema from version i to i + 1; a new file is an empty one brought up to date."""

SCHEMA_VERSION: Final = len(MIGRATIONS)

PAGE_BYTES: Final = 4096
PART_BITS: Final = 8
"""SQLite's blobs end at 1 GB: a longer segment is several rows, place = number << 8 | part."""

_READ_PROGRESS: Final = 64
_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"


def read_store(
    path: Path, feed: Callable[[int, bytes], None], progress: Progress | None = None
) -> list[tuple[int, int]]:
    """Read a store without changing it, also while another process writes to it; see `read_segments`.

    Raises StorageError if it is damaged, foreign, newer or older than this program, OSError if there is none.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
        raise StorageError("this is not a store: it is no regular file")
    path = path.resolve()
    if schema_version(path) < SCHEMA_VERSION:
        raise StorageError("the store has an older schema; a broker that opens it brings it up to date")
    # A file without write-ahead log is closed and does not change: reading it then leaves nothing behind.
    mode = "mode=ro" if write_ahead_log(path).exists() else "immutable=1"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
        try:
            return read_segments(connection, feed, progress)
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from names and messages that are damaged
        raise StorageError(f"the file cannot be read: {error}") from error


def read_segments(
    connection: sqlite3.Connection, feed: Callable[[int, bytes], None], progress: Progress | None = None
) -> list[tuple[int, int]]:
    """Give every segment to `feed(number, data)`, oldest first; returns (number, bytes it takes) of each.

    Raises StorageError if one is missing or not as it was written, sqlite3.Error if the database is broken.
    """
    connection.execute("BEGIN")
    _check_structure(connection)
    (total,) = connection.execute("SELECT count(*) FROM segment").fetchone()
    found: list[tuple[int, int]] = []
    pieces: list[bytes] = []
    number = -1

    def finish() -> None:
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            feed(number, data)
            found.append((number, stored_bytes(len(data))))

    for done, (place, checksum, piece) in enumerate(connection.execute("SELECT * FROM segment ORDER BY place")):
        if progress is not None and done % _READ_PROGRESS == 0:
            progress(done, total)
        if type(piece) is not bytes or zlib.crc32(piece) != checksum:
            raise StorageError(f"the file is damaged: segment {place >> PART_BITS} has a wrong checksum")
        if place >> PART_BITS != number:
            finish()
            if number >= 0 and place >> PART_BITS != number + 1:
                raise StorageError(f"the file is damaged: segment {number + 1} is missing")
            number = place >> PART_BITS
            pieces = []
        pieces.append(piece)
    finish()
    if progress is not None:
        progress(total, total)
    connection.execute("COMMIT")
    return found


def _check_structure(connection: sqlite3.Connection) -> None:
    """What the checksums of the segments leave out: damage here may do no harm until something is written."""
    with contextlib.closing(sqlite3.connect(":memory:")) as model:
        for statement in MIGRATIONS:
            model.execute(statement)
        query = "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = 'segment'"
        if connection.execute(query).fetchall() != model.execute(query).fetchall():
            raise StorageError("the file is damaged: its table is not as it was made")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StorageError(f"the file is damaged: {' '.join(found.split())}")


def read_segment(connection: sqlite3.Connection, number: int) -> bytes:
    """The data of one segment that must be there."""
    rows = connection.execute(
        "SELECT data FROM segment WHERE place >= ? AND place < ? ORDER BY place",
        (number << PART_BITS, number + 1 << PART_BITS),
    ).fetchall()
    if not rows:
        raise StorageError(f"segment {number} is missing")
    return rows[0][0] if len(rows) == 1 else b"".join(row[0] for row in rows)


def write_ahead_log(path: Path) -> Path:
    """The write-ahead log of a store; path: resolved, SQLite's other files lie beside the file, not beside a link."""
    return path.with_name(f"{path.name}-wal")


def stored_bytes(length: int) -> int:
    """Bytes of the file that a blob of this length takes: long ones have pages of their own."""
    if length < PAGE_BYTES // 4:
        return length + 64
    return (length + 64 + PAGE_BYTES - 1) // PAGE_BYTES * PAGE_BYTES


def schema_version(path: Path) -> int:
    """The schema version of a file that is one of ours (the fields are those of SQLite's file format, section 1.3)."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise StorageError("this is not a store: the file is no SQLite database")
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise StorageError("this is not a store: the database belongs to another program")
    version = int.from_bytes(header[60:64])
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"the store has schema version {version}, made by a newer program; this one knows {SCHEMA_VERSION}"
        )
    return version

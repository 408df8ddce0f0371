"""One SQLite file that holds the log: opening it safely, appending batches, giving space back. Blocking, with no
thread.

The file has one table: a row is a segment (`mqtt_core.persistence.segments`), one blob per commit, deleted when
nothing in it is needed. So a commit costs two or three statements, however many messages are in it.

Laws:

- Write-ahead log, one writing connection; what `apply` returned for is on disk (`strict`) or with the kernel
(`process`).
- Opening looks before it touches: lock, header, and every byte of every segment (checksums, read-only) come first.
A file
  that is damaged, foreign, newer or in use gives one `StorageError` and stays as it was.
- After a failed write the object is finished: it raises the first error again and never writes more.
- A commit into files that are not where they were opened is a failed write: nobody would find it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mqtt_adapters.storage.sqlite_read import (
    APPLICATION_ID,
    MIGRATIONS,
    PAGE_BYTES,
    PART_BITS,
    SCHEMA_VERSION,
    read_segment,
    read_segments,
    read_store,
    schema_version,
    stored_bytes,
    write_ahead_log,
)
from mqtt_core.codec.error import StorageError
from mqtt_core.persistence.journal import Batch
from mqtt_core.persistence.recovery import Replay
from mqtt_core.persistence.segments import SegmentIndex
from mqtt_core.persistence.storage import Progress

if sys.platform != "win32":
    import fcntl

__all__ = ["SYNCHRONOUS", "SqliteFile"]

SYNCHRONOUS: Final = {"strict": "FULL", "process": "NORMAL"}
"""Durability level -> SQLite's: survives a power cut, or the end of the process only."""

_WAL_BYTES: Final = 8 * 1024 * 1024
_CACHE_KIB: Final = 16 * 1024
_PART_BYTES: Final = 256 * 1024 * 1024
_MOVE_FACTOR: Final = 4
_MOVE_LEAST: Final = 64 * 1024
_TIDY_BYTES: Final = 1024 * 1024
"""Bytes of old segments that one slice of `tidy` goes through, and of free space it gives back."""

_FREE_BYTES: Final = 4 * 1024 * 1024
_IN_USE: Final[set[tuple[int, int]]] = set()
"""(device, inode) of the stores that this process has open."""


class SqliteFile:
    """A store file, opened for writing by this process alone.

    path: of the file; made if it does not exist. durability: "strict" or "process". replay: what was in the file
    when it was opened, until someone takes it. log_bytes, live_bytes: of all segments and of what lives in them.
    """

    def __init__(self, path: str | os.PathLike[str], durability: str = "strict") -> None:
        if durability not in SYNCHRONOUS:
            raise StorageError(f"durability is {durability!r}; it can be {' or '.join(map(repr, SYNCHRONOUS))}")
        self.path = Path(path)
        self.durability = durability
        self.replay: Replay | None = None
        self._index = SegmentIndex()
        self._stamp = 0.0
        self._first = 0
        self._free = 0
        self._lock = -1
        self._identity = (0, 0)
        self._places: list[tuple[Path, os.stat_result]] = []
        self._connection: sqlite3.Connection | None = None
        self._failure = ""

    @property
    def log_bytes(self) -> int:
        """Bytes of all segments, as they lie in the file."""
        return self._index.log_bytes

    @property
    def live_bytes(self) -> int:
        """Bytes of the records that are still needed."""
        return self._index.live_bytes

    # -------------------------------------------------------------------------------------------- open and close

    def open(self, progress: Progress | None = None) -> None:
        """Lock, check and read the file, then make it writable. A second call does nothing.

        progress: called with segments read and segments there are. Raises StorageError, the file being unchanged.
        """
        if self._connection is not None:
            return
        self._failure = ""
        try:
            self._lock_file()
            replay = self._read(progress)
            self._index.restore(replay)
            self._stamp = replay.stamp
            self._connection = self._connect()
            path = self.path.resolve()
            self._places = [(place, place.stat()) for place in (path, write_ahead_log(path))]
            self.replay = replay
        except sqlite3.Error as error:
            self.close()
            raise StorageError(f"{self.path} cannot be read: {error}") from error
        except OSError as error:
            self.close()
            raise StorageError(f"{self.path} cannot be opened: {error.strerror}") from error
        except StorageError as error:
            self.close()
            raise StorageError(f"{self.path}: {error.reason}") from error

    def close(self) -> None:
        """Give file and lock back. A second call does nothing."""
        connection, self._connection = self._connection, None
        self.replay = None
        self._index = SegmentIndex()
        self._free = 0
        if connection is not None:
            connection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        _IN_USE.discard(self._identity)
        self._identity = (0, 0)

    def _lock_file(self) -> None:
        """Hold the file open and locked for as long as this object uses it; the lock ends with the process."""
        if sys.platform == "win32":  # there the connection itself keeps others out, see _connect
            if not self.path.exists() or not self.path.stat().st_size:
                self._create()
        else:
            while True:
                # Closing a file gives up every lock that the process has on it, SQLite's too: do not even open it.
                with contextlib.suppress(FileNotFoundError):
                    if _identity(self.path.stat()) in _IN_USE:
                        raise StorageError("this process uses the store already")
                self._lock = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise StorageError("another process uses this store") from None
                opened = os.fstat(self._lock)
                if not stat.S_ISREG(opened.st_mode):  # a pipe or /dev/null is empty, but nothing to be replaced
                    raise StorageError("this is not a store: it is no regular file")
                if os.path.samestat(opened, self.path.stat()):
                    if opened.st_size:
                        break
                    self._create()
                os.close(self._lock)
            self._identity = _identity(opened)
            _IN_USE.add(self._identity)
        if schema_version(self.path) < SCHEMA_VERSION:
            _migrate(self.path)

    def _create(self) -> None:
        """Make an empty store beside the path and move it there, so that a file is a store or empty, never a torso."""
        path = self.path.resolve()  # a link stays one: the store is made where it leads
        wal = write_ahead_log(path)
        if wal.exists() and wal.stat().st_size:
            raise StorageError(f"the store is missing, but {wal.name} is here: put the store back, or remove that too")
        new = path.with_name(f"{path.name}.new-{os.getpid()}")
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            _migrate(new)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        _sync_directory(path.parent)

    def _read(self, progress: Progress | None) -> Replay:
        replay = Replay()
        for number, size in read_store(self.path, replay.feed, progress):
            self._index.add_stored(number, size)
        self._first = self._index.oldest_number
        return replay

    def reread(self) -> None:
        """Read everything again into `replay`."""
        if self._connection is None:
            raise StorageError(f"{self.path} is not open")
        replay = Replay()
        read_segments(self._connection, replay.feed)
        self.replay = replay

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            if sys.platform == "win32":
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            for pragma in (
                "journal_mode = WAL",
                f"synchronous = {SYNCHRONOUS[self.durability]}",
                "fullfsync = ON",
                "secure_delete = OFF",
                f"wal_autocheckpoint = {_WAL_BYTES // PAGE_BYTES}",
                f"journal_size_limit = {_WAL_BYTES}",
                f"cache_size = -{_CACHE_KIB}",
            ):
                connection.execute(f"PRAGMA {pragma}")
            (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
            self._free = pages * PAGE_BYTES
        except BaseException:
            connection.close()
            raise
        return connection

    # -------------------------------------------------------------------------------------------- writing

    def apply(self, batch: Batch) -> None:
        """Make a batch durable. Raises StorageError if that failed: the file then has what it had before."""

        def work(connection: sqlite3.Connection) -> None:
            self._stamp = max(self._stamp, batch.stamp)
            self._move(connection, max(_MOVE_FACTOR * len(batch.data), _MOVE_LEAST))
            size = stored_bytes(len(batch.data))
            self._insert(connection, self._index.add(batch, size), batch.data)
            self._drop(connection)

        self._transact(work)

    @property
    def untidy(self) -> bool:
        """Whether the file is larger than it should be, so that `tidy` has work."""
        if self._failure or self._connection is None:
            return False
        return self._index.crowded() or self._free > 2 * _FREE_BYTES + self._index.log_bytes // 8

    def tidy(self) -> None:
        """One slice of making the file smaller: move old live records, or give free space back."""

        def work(connection: sqlite3.Connection) -> None:
            self._move(connection, _TIDY_BYTES)
            self._drop(connection)

        if self._index.crowded():
            self._transact(work)
        else:
            self._guard(self._vacuum)

    def _vacuum(self, connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
        spare = pages - (_FREE_BYTES + self._index.log_bytes // 8) // PAGE_BYTES
        if spare > 0:
            spare = min(spare, _TIDY_BYTES // PAGE_BYTES)
            # The pragma gives a row without columns per page, and execute() would stop after the first.
            connection.executescript(f"PRAGMA incremental_vacuum({spare})")
            pages -= spare
        self._free = pages * PAGE_BYTES
        if not self.untidy:
            # Only a checkpoint cuts the file off.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _transact(self, work: Callable[[sqlite3.Connection], None]) -> None:
        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            work(connection)
            connection.execute("COMMIT")
            self._check_places()

        self._guard(transaction)

    def _check_places(self) -> None:
        for path, opened in self._places:
            try:
                found = os.path.samestat(path.stat(), opened)
            except FileNotFoundError:
                found = False
            if not found:
                raise StorageError(f"{path.name} was moved, deleted or replaced while in use")

    def _guard(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Do something that writes, unless that has failed before; a transaction that fails is never finished."""
        if self._failure:
            raise StorageError(self._failure)
        if self._connection is None:
            raise StorageError(f"{self.path} is not open")
        try:
            work(self._connection)
        except BaseException as error:
            self._failure = f"{self.path}: writing failed, nothing more is written: {error}"
            if isinstance(error, sqlite3.Error | StorageError):
                raise StorageError(self._failure) from error
            raise

    def _move(self, connection: sqlite3.Connection, budget: int) -> None:
        numbers = self._index.to_move(budget)
        if not numbers:
            return
        datas = [read_segment(connection, number) for number in numbers]
        data = self._index.move(numbers, datas, self._stamp)
        if data:
            number = self._index.next_number - 1
            self._index.set_size(number, stored_bytes(len(data)))
            self._insert(connection, number, data)

    def _insert(self, connection: sqlite3.Connection, number: int, data: bytes) -> None:
        self._free = max(0, self._free - len(data))
        for part, start in enumerate(range(0, len(data), _PART_BYTES)):
            piece = data if len(data) <= _PART_BYTES else data[start : start + _PART_BYTES]
            connection.execute(
                "INSERT INTO segment VALUES (?, ?, ?)", (number << PART_BITS | part, zlib.crc32(piece), piece)
            )

    def _drop(self, connection: sqlite3.Connection) -> None:
        before = self._index.log_bytes
        first = self._index.drop_dead()
        if first > self._first:
            self._first = first
            self._free += before - self._index.log_bytes
            connection.execute("DELETE FROM segment WHERE place < ?", (first << PART_BITS,))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _migrate(path: Path) -> None:
    """Bring the schema up to date, all steps in one transaction, and see that the header says so."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for statement in MIGRATIONS[version:]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _sync_directory(path: Path) -> None:
    """Make a new name in a directory durable, where directories can be opened."""
    if sys.platform != "win32":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

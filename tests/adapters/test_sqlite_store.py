"""SqliteStore: the contract with real files, what it refuses to open, what a full disk does, how big it gets."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import zlib
from pathlib import Path
from random import Random

import pytest

from mqtt_adapters.bin.inspect import survey
from mqtt_adapters.storage import SqliteStore, sqlite, sqlite_file, sqlite_read
from mqtt_core.codec.error import StorageError
from mqtt_core.persistence import Journal, load
from mqtt_core.session.message import Message
from mqtt_core.session.record import SessionRecord
from mqtt_core.testing.contracts import History, StorageContract, snapshot_state

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024


class SqliteBench:
    """A crash leaves what the file system has at that moment; a torn commit, only so much of what the commit wrote."""

    def __init__(self, path, slack):
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.slack = slack
        self.starts = 0

    async def start(self):
        self.starts += 1
        store = SqliteStore(self.path / f"{self.starts}.db", "process")
        await store.open()
        if self.slack is not None:
            store.file._index.slack = self.slack
        return store

    async def restart(self, storage):
        await storage.close()
        self.starts -= 1
        return await self.start()

    async def crash(self, storage):
        self.copy_to(self.starts + 1)
        await storage.close()
        return await self.start()

    async def crash_during(self, storage, batch, moment):
        wal = self.path / f"{self.starts}.db-wal"
        before = wal.stat().st_size if wal.exists() else 0
        await storage.apply(batch)
        after = wal.stat().st_size
        self.copy_to(self.starts + 1)
        os.truncate(self.path / f"{self.starts + 1}.db-wal", before + int((after - before) * moment))
        await storage.close()
        return await self.start()

    def copy_to(self, number):
        for suffix in (".db", ".db-wal"):
            source = self.path / f"{self.starts}{suffix}"
            if source.exists():
                shutil.copy(source, self.path / f"{number}{suffix}")

    async def finish(self, storage):
        await storage.close()


class TestSqliteStore(StorageContract):
    def make_bench(self, tmp_path):
        return SqliteBench(tmp_path, None)


class TestSqliteStoreThatMovesAllTheTime(StorageContract):
    def make_bench(self, tmp_path):
        return SqliteBench(tmp_path, 0)


# ---------------------------------------------------------------------------------------------------- opening


def filled(path, seed=1, batches=30):
    """A closed store with something in it, and what that is."""
    store = SqliteStore(path, "process")
    store.open_sync()
    history = History(Random(seed))
    while batches:
        history.inputs(30)
        batch = history.take_batch()
        if batch is not None:
            store.apply_sync(batch)
            history.commit(batch)
            batches -= 1
    store.close_sync()
    return history


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith(("-shm", "-wal"))}


def refusal(path):
    with pytest.raises(StorageError) as caught:
        asyncio.run(load(SqliteStore(path)))
    return caught.value.reason


def test_a_store_is_readable_by_its_owner_only(tmp_path):
    store = SqliteStore(tmp_path / "s.db")
    store.open_sync()
    journal = Journal()
    journal.store_retained("t", Message("t", b"x", sequence=1))
    store.apply_sync(journal.take_batch())
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    store.close_sync()
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


def test_an_empty_file_becomes_a_store(tmp_path):
    path = tmp_path / "s.db"
    path.touch()
    filled(path, batches=1)
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


def test_a_directory_that_does_not_exist_is_named(tmp_path):
    assert str(tmp_path / "no" / "s.db") in refusal(tmp_path / "no" / "s.db")


def test_an_unknown_durability_is_refused(tmp_path):
    with pytest.raises(StorageError, match="'strict' or 'process'"):
        SqliteStore(tmp_path / "s.db", "none")


@pytest.mark.parametrize("durability", ["strict", "process"])
def test_durability_is_sqlites_synchronous(tmp_path, durability):
    store = SqliteStore(tmp_path / "s.db", durability)
    store.open_sync()
    (level,) = store.file._connection.execute("PRAGMA synchronous").fetchone()
    assert level == {"strict": 2, "process": 1}[durability]
    (mode,) = store.file._connection.execute("PRAGMA journal_mode").fetchone()
    assert mode == "wal"
    store.close_sync()


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "s.db"
    path.write_bytes(b"precious text that is no database " * 100)
    before = contents(tmp_path)
    assert "no SQLite database" in refusal(path)
    assert contents(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in the file system")
def test_a_pipe_or_device_is_never_replaced_by_a_store(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert "no regular file" in refusal(path)
    assert path.is_fifo()
    assert [left.name for left in tmp_path.iterdir()] == ["pipe"]


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "s.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE segment (a)")
    connection.commit()
    connection.close()
    before = contents(tmp_path)
    assert "another program" in refusal(path)
    assert contents(tmp_path) == before


def test_a_store_of_a_newer_program_is_left_alone(tmp_path):
    path = tmp_path / "s.db"
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.commit()
    connection.close()
    before = contents(tmp_path)
    assert "schema version 9" in refusal(path)
    assert contents(tmp_path) == before


def test_a_store_of_an_older_schema_is_brought_up_to_date(tmp_path):
    path = tmp_path / "s.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {sqlite_read.APPLICATION_ID}")
    connection.commit()
    connection.close()
    filled(path, batches=1)
    assert int.from_bytes(path.read_bytes()[60:64]) == sqlite_read.SCHEMA_VERSION


def test_every_flipped_byte_of_the_data_is_noticed_and_nothing_changes(tmp_path):
    """Damage is refused, or (in space that is not in use) does no harm; a wrong state is never loaded."""
    path = tmp_path / "s.db"
    wanted = filled(path).committed
    good = path.read_bytes()
    rng = Random(5)
    refused = 0
    for _ in range(150):
        position = rng.randrange(100, len(good))
        damaged = bytearray(good)
        damaged[position] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        store = SqliteStore(path)
        try:
            store.open_sync()
        except StorageError:
            refused += 1
            assert path.read_bytes() == bytes(damaged)
        else:
            assert snapshot_state(store.snapshot_sync()) == wanted
            store.close_sync()
    assert refused > 50


def test_a_damaged_schema_is_refused_with_a_store_error_and_not_read_in_another_way(tmp_path):
    path = tmp_path / "s.db"
    filled(path, batches=1)
    good = path.read_bytes()
    schema = good.index(b"tablesegment")
    for position in range(schema, 4096):
        damaged = bytearray(good)
        damaged[position] ^= 0x80 | position & 0x7F
        path.write_bytes(damaged)
        assert str(path) in refusal(path)
        assert path.read_bytes() == bytes(damaged)


def test_damage_that_would_show_when_something_is_written_is_noticed_before(tmp_path):
    """The head of a page says where the next record goes: on top of another one, if it is damaged."""
    path = tmp_path / "s.db"
    filled(path)
    good = path.read_bytes()
    leaf = max(page for page in range(4096, len(good), 4096) if good[page] == 0x0D)
    for bit in range(8 * 8):
        damaged = bytearray(good)
        damaged[leaf + bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        store = SqliteStore(path, "process")
        try:
            store.open_sync()
        except StorageError:
            assert path.read_bytes() == bytes(damaged)
            continue
        before = snapshot_state(store.snapshot_sync())
        retain(store, Journal(), 1_000_000)
        store.close_sync()
        after = snapshot_state(asyncio.run(load(SqliteStore(path))))
        assert "retained topic/1000000" in after
        assert {**after, **before} == after


@pytest.mark.parametrize("length", [1, 99, 100, 4096, 8192, -4096])
def test_a_file_cut_short_is_refused(tmp_path, length):
    path = tmp_path / "s.db"
    filled(path)
    path.write_bytes(path.read_bytes()[:length])
    before = contents(tmp_path)
    assert str(path) in refusal(path)
    assert contents(tmp_path) == before


def test_a_missing_segment_is_noticed(tmp_path):
    path = tmp_path / "s.db"
    filled(path)
    connection = sqlite3.connect(path)
    places = [place for (place,) in connection.execute("SELECT place FROM segment ORDER BY place")]
    connection.execute("DELETE FROM segment WHERE place = ?", (places[len(places) // 2],))
    connection.commit()
    connection.close()
    assert "missing" in refusal(path)


def test_a_record_of_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "s.db"
    filled(path)
    connection = sqlite3.connect(path)
    (place, data) = connection.execute("SELECT max(place), data FROM segment").fetchone()
    data = b"\x07" + data[1:]
    connection.execute("UPDATE segment SET data = ?, checksum = ? WHERE place = ?", (data, zlib.crc32(data), place))
    connection.commit()
    connection.close()
    assert "format 7" in refusal(path)


def test_a_segment_may_be_longer_than_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "_PART_BYTES", 1000)
    path = tmp_path / "s.db"
    history = filled(path)
    store = SqliteStore(path)
    store.open_sync()
    assert snapshot_state(store.snapshot_sync()) == history.committed
    store.file._index.slack = 0
    history.model.stamp = history.now
    for _ in range(10):
        history.inputs(30)
        batch = history.take_batch()
        store.apply_sync(batch)
        history.commit(batch)
    assert snapshot_state(store.snapshot_sync()) == history.committed
    store.close_sync()


def test_reading_reports_its_progress(tmp_path):
    path = tmp_path / "s.db"
    filled(path)
    told = []
    store = SqliteStore(path)
    asyncio.run(load(store, lambda done, total: told.append((done, total))))
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1] > 10


# ---------------------------------------------------------------------------------------------------- in use


def test_a_store_in_use_is_refused_and_freed_by_close(tmp_path):
    path = tmp_path / "s.db"
    first = SqliteStore(path)
    first.open_sync()
    assert "this process" in refusal(path)
    first.close_sync()
    second = SqliteStore(path)
    second.open_sync()
    second.open_sync()
    second.close_sync()
    second.close_sync()


def retain(store, journal, sequence):
    """Commit one retained message on a topic of its own."""
    journal.store_retained(f"topic/{sequence}", Message(f"topic/{sequence}", b"x", sequence=sequence))
    batch = journal.take_batch()
    journal.mark_committed(batch.number)
    store.apply_sync(batch)


LOOK = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM segment'); c.close()"


def test_a_refused_second_opening_leaves_the_first_its_locks(tmp_path):
    """Without them the next program that looks into the file takes the write-ahead log away when it leaves."""
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    store.open_sync()
    journal = Journal()
    retain(store, journal, 1)
    refusal(path)
    subprocess.run([sys.executable, "-c", LOOK, path], check=True)
    retain(store, journal, 2)
    shutil.copytree(tmp_path, tmp_path / "killed")
    store.close_sync()
    assert len(asyncio.run(load(SqliteStore(tmp_path / "killed" / "s.db"))).retained) == 2


@pytest.mark.parametrize("gone", [("s.db-wal",), ("s.db",), ("s.db", "s.db-wal", "s.db-shm")])
@pytest.mark.parametrize("deleted", [True, False])
def test_nothing_is_committed_into_files_that_are_not_in_their_place_any_more(tmp_path, gone, deleted):
    store = SqliteStore(tmp_path / "s.db")
    store.open_sync()
    journal = Journal()
    retain(store, journal, 1)
    (tmp_path / "elsewhere").mkdir()
    for name in gone:
        if deleted:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    with pytest.raises(StorageError, match=f"{gone[0]} was moved, deleted or replaced while in use"):
        retain(store, journal, 2)
    store.close_sync()


def test_a_store_moved_away_in_use_has_all_that_was_committed(tmp_path):
    (tmp_path / "here").mkdir()
    store = SqliteStore(tmp_path / "here" / "s.db")
    store.open_sync()
    journal = Journal()
    retain(store, journal, 1)
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(StorageError, match="moved"):
        retain(store, journal, 2)
    store.close_sync()
    assert "topic/1" in asyncio.run(load(SqliteStore(tmp_path / "there" / "s.db"))).retained


@pytest.mark.parametrize("emptied", [True, False])
def test_no_store_is_made_beside_the_write_ahead_log_of_one_that_is_missing(tmp_path, emptied):
    """What was acknowledged may be in that log alone, which a new store would throw away."""
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    store.open_sync()
    retain(store, Journal(), 1)
    (tmp_path / "killed").mkdir()
    log = shutil.copy(tmp_path / "s.db-wal", tmp_path / "killed")
    whole = shutil.copy(path, tmp_path / "killed" / "elsewhere")
    store.close_sync()
    path = tmp_path / "killed" / "s.db"
    if emptied:
        path.touch()
    before = Path(log).read_bytes()
    assert "the store is missing, but s.db-wal is here" in refusal(path)
    assert Path(log).read_bytes() == before
    Path(whole).rename(path)
    assert "topic/1" in asyncio.run(load(SqliteStore(path))).retained


CHILD = """
    import asyncio, sys
    from random import Random
    from mqtt_adapters.storage import SqliteStore
    from mqtt_core.testing.contracts import History

    store = SqliteStore(sys.argv[1], sys.argv[2])
    store.open_sync()
    store.file._index.slack = 20_000
    history = History(Random(int(sys.argv[3])))
    {prepare}
    number = 0
    while True:
        history.inputs(10)
        batch = history.take_batch()
        if batch is None:
            continue
        store.apply_sync(batch)
        history.commit(batch)
        number += 1
        print(number, flush=True)
"""


def child(path, durability, seed, prepare="pass"):
    """A process that commits batch after batch of that history, and says each number when it is durable."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD).format(prepare=prepare), str(path), durability, str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    """SIGKILL: (the rest of stdout, stderr)."""
    process.kill()
    # Not communicate(): lines that readline() has fetched already would be lost.
    with process:
        return process.stdout.read(), process.stderr.read()


def expected_states(seed, count):
    """The states of the child's history after 0, 1, 2 … batches."""
    history = History(Random(seed))
    states = [history.model.state()]
    while len(states) <= count:
        history.inputs(10)
        batch = history.take_batch()
        if batch is not None:
            history.commit(batch)
            states.append(history.committed)
    return states


def test_a_store_in_use_by_another_process_is_refused_until_that_is_killed(tmp_path):
    path = tmp_path / "s.db"
    process = child(path, "process", 1)
    try:
        process.stdout.readline()
        assert "another process" in refusal(path)
    finally:
        end(process)
    store = SqliteStore(path)
    store.open_sync()
    store.close_sync()


@pytest.mark.parametrize("seed", range(6))
def test_what_a_killed_process_had_committed_is_there(tmp_path, seed):
    path = tmp_path / "s.db"
    process = child(path, "process" if seed % 2 else "strict", seed)
    said = 0
    try:
        for _ in range(10 + 23 * seed):
            said = int(process.stdout.readline())
    finally:
        rest, errors = end(process)
    assert process.returncode == -signal.SIGKILL, errors
    said = max([said, *map(int, rest.split())])
    store = SqliteStore(path)
    store.open_sync()
    found = snapshot_state(store.snapshot_sync())
    store.close_sync()
    # The commit that was running may have made it.
    assert found in expected_states(seed, said + 1)[said:]


def test_a_full_disk_gives_one_clear_error_and_loses_nothing(tmp_path):
    path = tmp_path / "s.db"
    prepare = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
    process = child(path, "strict", 3, prepare)
    output, errors = process.communicate(timeout=50)
    assert "StorageError" in errors
    assert "writing failed" in errors
    said = len(output.split())
    assert said > 10
    store = SqliteStore(path)
    store.open_sync()
    assert snapshot_state(store.snapshot_sync()) in expected_states(3, said + 1)[said:]
    store.close_sync()


def test_a_store_that_cannot_be_made_leaves_no_torso(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", ("CREATE nonsense",))
    assert "nonsense" in refusal(tmp_path / "s.db")
    assert contents(tmp_path) in ({}, {"s.db": b""})


def test_after_a_failed_write_the_store_refuses_everything(tmp_path):
    store = SqliteStore(tmp_path / "s.db")
    store.open_sync()
    (pages,) = store.file._connection.execute("PRAGMA page_count").fetchone()
    store.file._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    journal = Journal()
    journal.store_retained("t", Message("t", b"x" * 100_000, sequence=1))
    with pytest.raises(StorageError, match="disk is full") as first:
        store.apply_sync(journal.take_batch())
    journal.mark_committed(1)
    store.file._connection.execute("PRAGMA max_page_count = 1000000")
    journal.store_retained("u", Message("u", b"x", sequence=2))
    with pytest.raises(StorageError) as second:
        store.apply_sync(journal.take_batch())
    assert second.value.reason == first.value.reason
    assert not store.file.untidy
    store.close_sync()
    store.open_sync()
    assert store.snapshot_sync().retained == {}
    store.close_sync()


def test_a_store_that_is_not_open_says_so(tmp_path):
    store = SqliteStore(tmp_path / "s.db")
    journal = Journal()
    journal.store_retained("t", None)
    with pytest.raises(StorageError, match="not open"):
        store.apply_sync(journal.take_batch())
    with pytest.raises(StorageError, match="not open"):
        store.snapshot_sync()


# ---------------------------------------------------------------------------------------------------- size


class Away:
    client_id = "away"

    def to_record(self):
        return SessionRecord("away", "", 5, 3600, None, [], 0.0, 1.0)


def file_bytes(path):
    return sum(p.stat().st_size for p in (path, Path(f"{path}-wal")) if p.exists())


def bound(live_bytes):
    return 3 * live_bytes + 64 * MIB


def test_the_file_stays_within_its_bound(tmp_path):
    """An absent session holds 4 MiB of old messages while 300 MiB come and go; then its queue is gone, too."""
    path = tmp_path / "s.db"

    async def test():
        store = SqliteStore(path, "process")
        await store.open()
        journal = Journal()

        async def commit():
            batch = journal.take_batch()
            await store.apply(batch)
            journal.mark_committed(batch.number)
            assert file_bytes(path) <= bound(store.file.live_bytes)

        journal.store_session(Away())
        for sequence in range(1, 41):
            journal.enqueue("away", Message("t", bytes(100_000), 1, sequence=sequence), 1, False, ())
            await commit()
        assert store.file.live_bytes >= 4_000_000
        frame = b"\x32\xa0\x9c\x01\x00\x01t\x00\x01" + bytes(19_995)
        sequence = 100
        for _ in range(1000):
            for _ in range(15):
                sequence += 1
                journal.enqueue_frames("busy", sequence, 4, [frame], [1], 1)
                journal.dequeue("busy", sequence - 15)
            await commit()
        snapshot = await store.load_snapshot()
        assert [len(entry.message.payload) for entry in snapshot.sessions["away"].queued] == [100_000] * 40
        journal.delete_session("away")
        await commit()
        await store.close()

    asyncio.run(test())


def test_a_file_shrinks_when_its_messages_are_gone(tmp_path):
    path = tmp_path / "s.db"
    store = SqliteStore(path, "process")
    store.open_sync()
    journal = Journal()
    journal.store_session(Away())
    for sequence in range(1, 101):
        journal.enqueue("away", Message("t", bytes(1_000_000), 1, sequence=sequence), 1, False, ())
    store.apply_sync(journal.take_batch())
    journal.mark_committed(1)
    assert file_bytes(path) > 100 * MIB * 0.9
    journal.delete_session("away")
    journal.store_session(Away())
    store.apply_sync(journal.take_batch())
    slices = 0
    while store.tidy_sync():
        slices += 1
    assert file_bytes(path) < 20 * MIB
    store.close_sync()
    assert 10 < slices < 200


def test_a_host_without_a_loop_uses_the_blocking_methods_through_the_same_verbs(tmp_path):
    """Without an asyncio loop a coroutine of the store never suspends."""
    store = SqliteStore(tmp_path / "s.db")
    history = History(Random(1))
    history.inputs(100)
    batch = history.take_batch()
    for coroutine in (store.open(), store.apply(batch)):
        with pytest.raises(StopIteration):
            coroutine.send(None)
    history.commit(batch)
    assert snapshot_state(store.snapshot_sync()) == history.committed
    with pytest.raises(StopIteration):
        store.close().send(None)


@pytest.mark.parametrize("quick", [True, False])
def test_commits_leave_the_loop_alone_unless_the_disk_is_quick(tmp_path, monkeypatch, quick):
    """After some commits it is known what the disk takes; a slow one gets the thread again."""
    monkeypatch.setattr(sqlite, "QUICK_S", 1000.0 if quick else 0.0)
    threads = []
    real_apply = sqlite_file.SqliteFile.apply

    def apply(self, batch):
        threads.append(threading.current_thread())
        real_apply(self, batch)

    monkeypatch.setattr(sqlite_file.SqliteFile, "apply", apply)

    async def test():
        store = SqliteStore(tmp_path / "s.db", "process")
        await store.open()
        for stamp in range(1, 5):
            await store.store_retained("t", Message("t", b"x", sequence=stamp))
            await store.commit(float(stamp))
        await store.close()

    asyncio.run(test())
    assert {thread is threading.main_thread() for thread in threads} == {quick}


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links are for administrators there")
def test_a_link_to_a_store_stays_a_link_and_is_read_with_what_is_not_in_the_file_yet(tmp_path):
    """For a store on another disk: everything SQLite writes lies beside the file, not beside the link."""
    (tmp_path / "disk").mkdir()
    link = tmp_path / "store.db"
    link.symlink_to(tmp_path / "disk" / "there.db")
    store = SqliteStore(link, "process")
    store.open_sync()
    journal = Journal()
    journal.stamp(1.0)
    journal.store_retained("t", Message("t", b"x", sequence=1))
    batch = journal.take_batch()
    store.apply_sync(batch)
    assert survey(link)["retained"]
    store.close_sync()
    assert link.is_symlink()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["store.db"]
    assert sqlite_read.read_store(tmp_path / "disk" / "there.db", lambda *_: None)

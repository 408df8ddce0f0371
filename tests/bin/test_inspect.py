"""``mqtt-broker inspect`` shows what is in a store, live or not, and changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from mqtt_adapters.storage import SqliteStore
from mqtt_core.codec.properties import NO_PROPERTIES
from mqtt_core.persistence import Journal
from mqtt_core.session.message import Message
from mqtt_core.session.record import SessionRecord, SubscriptionRecord, WillRecord
from tests.bin.kit import run, start


class Live:
    def __init__(self, client_id, away):
        self.client_id = client_id
        self.away = away

    def to_record(self):
        will = WillRecord("w", b"bye", 1, False, NO_PROPERTIES, 30, self.client_id)
        filters = [SubscriptionRecord("a/#", 1, True, False, 2, 7)]
        return SessionRecord(self.client_id, "user", 5, 0xFFFFFFFF, will, filters, 1000.0, self.away)


@pytest.fixture
def store(tmp_path):
    """An open store with two sessions."""
    store = SqliteStore(tmp_path / "s.db")
    store.open_sync()
    journal = Journal()
    journal.stamp(1_700_000_000.0)
    journal.store_session(Live("here", 0.0))
    journal.store_session(Live("away\x1b[31m", 1_600_000_000.0))
    for sequence in range(1, 6):
        journal.enqueue("here", Message("a/b", b"x" * 100, 1, sequence=sequence), 1, False, ())
    journal.assign("here", 1, 1)
    journal.assign("here", 2, 2)
    journal.release("here", 2)
    journal.store_receipt("here", 77)
    journal.store_retained("r/1", Message("r/1", b"kept", 1, True, sequence=6))
    store.apply_sync(journal.take_batch())
    yield store
    store.close_sync()


def check(found):
    assert found["schema_version"] == 1
    assert found["last_commit"] == 1_700_000_000.0
    assert found["live_bytes"] <= found["log_bytes"] <= found["file_bytes"] + found["wal_bytes"]
    assert [row["topic"] for row in found["retained"]] == ["r/1"]
    away, here = found["sessions"]
    assert away["client_id"] == "away\x1b[31m"
    assert (away["connected"], here["connected"]) == (False, True)
    assert (here["queued"], here["inflight"], here["released"], here["receipts"]) == (3, 1, 1, 1)
    assert here["subscriptions"] == [
        {
            "filter": "a/#",
            "qos": 1,
            "no_local": True,
            "retain_as_published": False,
            "retain_handling": 2,
            "subscription_id": 7,
        }
    ]
    assert here["will"] == {"topic": "w", "qos": 1, "delay_s": 30}


def test_a_live_store_can_be_inspected_and_goes_on(store, tmp_path):
    code, out, err = run("broker", "inspect", tmp_path / "s.db", "--json")
    assert (code, err) == (0, "")
    check(json.loads(out))
    journal = Journal()
    journal.dequeue("here", 3)
    store.apply_sync(journal.take_batch())
    _, out, _ = run("inspect", tmp_path / "s.db", "--json")
    assert json.loads(out)["sessions"][1]["queued"] == 2


def test_a_closed_store_is_left_as_it_was(store, tmp_path):
    store.close_sync()
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    code, out, _ = run("inspect", tmp_path / "s.db", "--json")
    assert code == 0
    check(json.loads(out))
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_the_table_is_for_people_and_terminals(store, tmp_path):
    code, out, err = run("inspect", tmp_path / "s.db")
    assert (code, err) == (0, "")
    assert "sessions  2, 3 messages queued, 2 in flight" in out
    assert "retained  1, " in out
    assert "last commit 2023-11-14T22:13:20Z" in out
    assert "\x1b" not in out
    header, away, here = out.splitlines()[-3:]
    assert header.startswith("CLIENT")
    assert "away since 2020-09-13T12:26:40Z" in away
    assert here.split()[:5] == ["here", "user", "5.0", "connected", "never"]


def test_an_empty_store_is_no_error(tmp_path):
    store = SqliteStore(tmp_path / "s.db")
    store.open_sync()
    store.close_sync()
    code, out, _ = run("inspect", tmp_path / "s.db")
    assert code == 0
    assert "last commit never" in out


def test_no_file_and_no_store_are_one_line(tmp_path):
    path = tmp_path / "s.db"
    code, out, err = run("inspect", path)
    assert (code, out, err) == (1, "", f"mqtt-broker inspect: {path}: No such file or directory\n")
    assert not path.exists()
    path.write_bytes(b"text " * 100)
    code, out, err = run("inspect", path)
    assert (code, out) == (1, "")
    assert err == f"mqtt-broker inspect: {path}: this is not a store: the file is no SQLite database\n"


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of a file system")
def test_a_pipe_is_not_waited_for_and_a_link_to_itself_is_one_line(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(link)
    code, out, err = run("inspect", str(pipe))
    assert (code, out, err) == (1, "", f"mqtt-broker inspect: {pipe}: this is not a store: it is no regular file\n")
    code, out, err = run("inspect", str(link))
    assert (code, out) == (1, "")
    assert err.startswith(f"mqtt-broker inspect: {link}: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_is_no_traceback(store, tmp_path, flags):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        command = [sys.executable, "-m", "mqtt_adapters.bin.inspect", str(tmp_path / "s.db"), *flags]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without asking")
def test_ctrl_c_in_the_midst_of_a_long_answer_is_one_line(store, tmp_path):
    journal = Journal()
    for number in range(1000):
        journal.store_session(Live(f"client-{number}", 0.0))
    store.apply_sync(journal.take_batch())
    with start("broker", "inspect", tmp_path / "s.db", "--json") as process:
        assert process.stdout.read(1) == b"{"  # it writes, and there is more than a pipe holds
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, b"mqtt-broker: interrupted\n")

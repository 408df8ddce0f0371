"""``mqtt-broker --store`` as an operator meets it: what a start says, what it refuses, and what a full disk does."""

from __future__ import annotations

import io
import signal
import sqlite3
import stat
import sys

import pytest

from mqtt_adapters.bin.progress import RecoveryProgress
from mqtt_adapters.storage import SqliteStore
from mqtt_core.codec import (
    Properties,
    PubackPacket,
    PublishPacket,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
)
from mqtt_core.persistence import Journal
from mqtt_core.session.message import Message
from tests.bin.kit import broker, run
from tests.bin.test_broker import Peer

LASTING = Properties(session_expiry_interval=100_000)


def persistent(running, client_id):
    """A client of 5.0 whose session lasts."""
    return Peer(running.port, client_id, clean_start=False, properties=LASTING)


# ------------------------------------------------------------------------------------------------------ progress


class Screen(io.StringIO):
    """A terminal, or a file, that remembers what was written."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


class Stopwatch:
    """A clock that a test turns."""

    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


def recovery(terminal, steps):
    """What is written when `steps` (seconds, done) of 1000 are reported."""
    screen, watch = Screen(terminal), Stopwatch()
    progress = RecoveryProgress("reading x.db", screen, watch)
    for seconds, done in steps:
        watch.now = 50.0 + seconds
        progress(done, 1000)
    progress.finish()
    progress.finish()
    return screen.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_quick_start_says_nothing(terminal):
    assert recovery(terminal, [(0.0, 0), (0.1, 500), (0.19, 1000)]) == ""


def test_a_log_gets_a_line_after_a_second_and_then_now_and_then():
    steps = [(tenths / 10, tenths) for tenths in range(130)]
    assert recovery(False, steps).splitlines() == [
        "reading x.db: 1 %",
        "reading x.db: 6 %",
        "reading x.db: 11 %",
        "reading x.db: 12.9 s",
    ]


def test_a_terminal_gets_one_line_that_is_wiped_away():
    said = recovery(True, [(0.3, 10), (0.35, 20), (0.5, 999), (0.6, 30)])
    assert said == "\rreading x.db: 1 %\rreading x.db: 99 %\rreading x.db: 3 % \r                 \r"


def test_nothing_to_do_is_no_progress():
    progress = RecoveryProgress("x", Screen(True), watch := Stopwatch())
    watch.now += 10
    progress(0, 0)
    progress.finish()


# ------------------------------------------------------------------------------------------------------ starting


def test_a_store_is_made_readable_for_its_owner_only(tmp_path):
    path = tmp_path / "broker.db"
    with broker("--store", path) as running:
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert running.end(signal.SIGTERM) == (0, "mqtt-broker: stopped\n", "")
    assert [file.name for file in tmp_path.iterdir()] == ["broker.db"]


def test_a_second_broker_on_the_same_store_is_refused(tmp_path):
    path = tmp_path / "broker.db"
    with broker("--store", path) as running:
        expected = (1, "", f"mqtt-broker: {path}: another process uses this store\n")
        assert run("broker", "-p", "0", "--store", path) == expected
        with Peer(running.port) as peer:
            assert peer.connack.reason_code == 0


def foreign(path):
    path.write_bytes(b"not a database " * 100)
    return "this is not a store: the file is no SQLite database"


def somebody_elses(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    return "this is not a store: the database belongs to another program"


def newer(path):
    store = SqliteStore(path)
    store.open_sync()
    store.close_sync()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    return "the store has schema version 9, made by a newer program; this one knows 1"


def damaged(path):
    store = SqliteStore(path)
    store.open_sync()
    journal = Journal()
    journal.store_retained("r", Message("r", b"retained " * 1000, 1, True, sequence=1))
    store.apply_sync(journal.take_batch())
    store.close_sync()
    data = bytearray(path.read_bytes())
    data[data.rindex(b"retained ")] ^= 1
    path.write_bytes(data)
    return "the file is damaged: segment 1 has a wrong checksum"


def a_directory(path):
    path.mkdir()
    return "cannot be opened: Is a directory"


@pytest.mark.parametrize("spoil", [foreign, somebody_elses, newer, damaged, a_directory])
def test_a_file_that_cannot_be_used_is_one_line_and_stays_as_it_was(tmp_path, spoil):
    path = tmp_path / "broker.db"
    reason = spoil(path)
    before = path.read_bytes() if path.is_file() else None
    code, out, err = run("broker", "-p", "0", "--store", path)
    assert (code, out) == (1, "")
    assert err.startswith(f"mqtt-broker: {path}")
    assert err.endswith(f"{reason}\n")
    assert err.count("\n") == 1
    assert before is None or path.read_bytes() == before


def test_store_and_durability_may_stand_in_the_file(tmp_path):
    config = tmp_path / "broker.toml"
    config.write_text(f'bind_addr = "127.0.0.1:0"\nstore = "{tmp_path}/broker.db"\ndurability = "process"\n')
    with broker("--config", config) as running, persistent(running, "c"):
        pass
    with broker("--config", config) as running, persistent(running, "c") as peer:
        assert peer.connack.session_present
    config.write_text('durability = "perhaps"\n')
    code, _, err = run("broker", "--config", config)
    assert code == 1
    assert err == f"mqtt-broker: {config}:1: durability: expected one of strict, process, got 'perhaps'\n"


# ------------------------------------------------------------------------------------------------------ full disk


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize("durability", ["strict", "process"])
def test_a_full_disk_stops_the_broker_and_nothing_acknowledged_is_lost(tmp_path, durability):
    """The limit on the size of a file is the nearest thing to a full disk that needs no privileges."""
    import resource

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    path = tmp_path / "broker.db"
    acknowledged = 0
    with broker("--store", path, "--durability", durability, preexec_fn=limit) as running:
        with persistent(running, "absent") as peer:
            peer.write(SubscribePacket(1, [SubscribeFilter("t", 1)]))
            assert isinstance(peer.read(), SubackPacket)
        with persistent(running, "publisher") as peer:
            while True:
                peer.write(PublishPacket("t", b"%06d" % acknowledged + bytes(8000), 1, packet_id=1))
                answer = peer.read()
                if answer is None:
                    break
                assert answer == PubackPacket(1)
                acknowledged += 1
        out, err = running.process.communicate(timeout=30)
    assert acknowledged > 20
    assert running.process.returncode == 1
    assert out == ""
    assert err.startswith(f"mqtt-broker: {path}: writing failed, nothing more is written: ")
    assert err.count("\n") == 1
    with broker("--store", path) as running, persistent(running, "absent") as peer:
        assert peer.connack.session_present
        for number in range(acknowledged):
            message = peer.read()
            assert message.payload[:6] == b"%06d" % number
            peer.write(PubackPacket(message.packet_id))
        running.end(signal.SIGTERM)

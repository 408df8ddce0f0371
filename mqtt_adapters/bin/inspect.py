"""``mqtt-broker inspect``: what is in a store, for people and (``--json``) for programs.

Reads and never writes; a store that a broker is using is read as it was at one moment. Every checksum is verified
on the way, so that a store which can be inspected can be opened.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mqtt_adapters.bin.arguments import EXIT_ERROR, Parser, fail, forget_stdout
from mqtt_adapters.storage.sqlite_read import SCHEMA_VERSION, read_store, write_ahead_log
from mqtt_core.codec.error import StorageError
from mqtt_core.persistence.record import decode_session
from mqtt_core.persistence.recovery import Replay, StoredClient
from mqtt_core.persistence.segments import SegmentIndex
from mqtt_core.session.record import QUEUED, RECEIPT, RELEASED, SENT

__all__ = ["main", "survey"]

PROGRAM: Final = "mqtt-broker inspect"
_NEVER: Final = 0xFFFFFFFF


def main(argv: Sequence[str] | None = None) -> int:
    """Print what is in a store file. Returns the exit code."""
    parser = Parser(PROGRAM, "FILE [--json]", "Show what is in a store. Nothing is changed; a broker may be using it.")
    parser.add_argument("file", metavar="FILE", help="the store of a broker or a client")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    namespace = parser.parse(argv)
    try:
        found = survey(Path(namespace.file))
    except StorageError as error:
        fail(PROGRAM, f"{namespace.file}: {error.reason}")
    except OSError as error:
        fail(PROGRAM, error)
    try:
        if namespace.json:
            json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
            print()
        else:
            _print(found)
        sys.stdout.flush()
    except BrokenPipeError:
        forget_stdout()
        return EXIT_ERROR
    return 0


def survey(path: Path) -> dict[str, Any]:
    """What is in a store, as plain values. Raises StorageError, OSError."""
    replay = Replay()
    index = SegmentIndex()
    segments = read_store(path, replay.feed)
    for number, size in segments:
        index.add_stored(number, size)
    index.restore(replay)
    wal = write_ahead_log(path.resolve())
    retained = [
        {"topic": topic, "stored_bytes": len(stored.body.data)} for topic, stored in sorted(replay.retained.items())
    ]
    return {
        "file": str(path),
        "schema_version": SCHEMA_VERSION,
        "file_bytes": path.stat().st_size,
        "wal_bytes": wal.stat().st_size if wal.exists() else 0,
        "segments": len(segments),
        "log_bytes": index.log_bytes,
        "live_bytes": index.live_bytes,
        "last_commit": replay.stamp,
        "sessions": [_session(client_id, client) for client_id, client in sorted(replay.clients.items())],
        "retained": retained,
    }


def _session(client_id: str, client: StoredClient) -> dict[str, Any]:
    assert client.session is not None, client_id
    record = decode_session(client.session, client_id)
    will = record.will
    entries = list(client.entries.values())
    return {
        "client_id": client_id,
        "identity": record.identity,
        "version": record.version,
        "expiry_s": record.expiry_s,
        "connected": not record.disconnected_at,
        "connected_at": record.connected_at,
        "disconnected_at": record.disconnected_at,
        "will": None if will is None else {"topic": will.topic, "qos": will.qos, "delay_s": will.delay_s},
        "subscriptions": [
            {
                "filter": subscription.filter,
                "qos": subscription.qos,
                "no_local": subscription.no_local,
                "retain_as_published": subscription.retain_as_published,
                "retain_handling": subscription.retain_handling,
                "subscription_id": subscription.subscription_id,
            }
            for subscription in record.subscriptions
        ],
        "queued": sum(entry.state == QUEUED for entry in entries),
        "inflight": sum(entry.state == SENT for entry in entries),
        "released": sum(entry.state == RELEASED for entry in entries),
        "receipts": sum(entry.state == RECEIPT for entry in entries),
        "stored_bytes": sum(len(entry.body.data) for entry in entries if entry.body is not None),
    }


def _print(found: dict[str, Any]) -> None:
    sessions, retained = found["sessions"], found["retained"]
    print(f"file      {_size(found['file_bytes'])}, write-ahead log {_size(found['wal_bytes'])}")
    print(
        f"log       {_size(found['log_bytes'])} in {found['segments']} segments, {_size(found['live_bytes'])} live; "
        f"last commit {_moment(found['last_commit'])}"
    )
    print(f"retained  {len(retained)}, {_size(sum(row['stored_bytes'] for row in retained))}")
    print(
        f"sessions  {len(sessions)}, {sum(row['queued'] for row in sessions)} messages queued, "
        f"{sum(row['inflight'] + row['released'] for row in sessions)} in flight"
    )
    if not sessions:
        return
    rows = [("CLIENT", "IDENTITY", "MQTT", "STATE", "EXPIRES AFTER", "FILTERS", "QUEUED", "IN FLIGHT", "STORED")]
    rows += [
        (
            _text(row["client_id"]),
            _text(row["identity"]),
            "3.1.1" if row["version"] == 4 else "5.0",
            "connected" if row["connected"] else f"away since {_moment(row['disconnected_at'])}",
            "never" if row["expiry_s"] == _NEVER else f"{row['expiry_s']} s",
            str(len(row["subscriptions"])),
            str(row["queued"]),
            str(row["inflight"] + row["released"]),
            _size(row["stored_bytes"]),
        )
        for row in sessions
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _text(text: str) -> str:
    """A text from outside, safe for a terminal."""
    return text if text.isprintable() else ascii(text)


def _size(size: int) -> str:
    if size < 10_240:
        return f"{size} B"
    return f"{size / 1024:.0f} KiB" if size < 10_485_760 else f"{size / 1_048_576:.0f} MiB"


def _moment(stamp: float) -> str:
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if stamp else "never"


if __name__ == "__main__":
    sys.exit(main())

"""A storage of one's own: an append-only file, in fifty lines.

A back-end that can append needs four verbs: `open`, `load_snapshot`, `apply`, `close`. A batch is one blob; `apply`
returns when it is durable, all or nothing. Here a batch is a length, a checksum and the blob; a torn end is cut off at
the next start. Behind a batch that could not be written nothing is appended, since nobody would find it there.

What is missing to a real one: compaction, a thread in which to wait for the disk, and a lock that keeps a second
process out. `SqliteStore` has them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig
from mqtt_core.codec import StorageError
from mqtt_core.persistence import Batch, Progress, Replay, Snapshot


class FileLog:
    """Keeps every batch ever written, in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._failed = False

    async def open(self, progress: Progress | None = None) -> None:
        if self._file is None:
            self._file = self.path.open("a+b", buffering=0)
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)  # the file itself survives a power cut, too
            os.close(folder)

    async def load_snapshot(self, progress: Progress | None = None) -> Snapshot:
        assert self._file is not None
        replay = Replay()
        self._file.seek(0)
        whole = number = 0
        while len(head := self._file.read(8)) == 8:
            size, checksum = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
            data = self._file.read(size)
            if len(data) < size or zlib.crc32(data) != checksum:
                break
            number += 1
            replay.feed(number, data)
            whole = self._file.tell()
        self._file.truncate(whole)
        return replay.snapshot()

    async def apply(self, batch: Batch) -> None:
        assert self._file is not None
        if self._failed:
            raise StorageError(f"{self.path} could not be written before")
        data = batch.data
        record = len(data).to_bytes(4, "big") + zlib.crc32(data).to_bytes(4, "big") + data
        self._failed = True  # until it is known to be there
        try:
            written = self._file.write(record)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error
        if written < len(record):
            raise StorageError(f"{self.path}: the disk is full")
        self._failed = False

    async def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


async def main() -> None:
    config = ServerConfig(bind_addr="127.0.0.1:0")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broker.log"
        async with MqttServer(config, store=FileLog(path)) as server:
            async with Client("127.0.0.1", server.port, client_id="reader", session_expiry_s=3600) as reader:
                await reader.subscribe("news", qos=1)
            server.publish("news", b"while you were away", qos=1)
        async with MqttServer(config, store=FileLog(path)) as server:
            options = {"client_id": "reader", "clean_start": False, "session_expiry_s": 3600}
            async with Client("127.0.0.1", server.port, **options) as reader:
                message = await anext(aiter(reader.messages))
                print("after a restart:", message.payload.decode())


if __name__ == "__main__":
    asyncio.run(main())

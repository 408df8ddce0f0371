"""A storage of one's own: an append-only file, in forty lines.

A back-end that can append needs four verbs: `open`, `load_snapshot`, `apply`, `close`. A batch is one blob; `apply`
returns when it is durable, all or nothing. Here a batch is a length, a checksum and the blob; a torn end is cut off at
the next start. (What is missing to a real one is compaction; `SqliteStore` has it.)
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig
from mqtt_core.persistence import Batch, Progress, Replay, Snapshot


class FileLog:
    """Keeps every batch ever written, in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    async def open(self, progress: Progress | None = None) -> None:
        if self._file is None:
            self._file = self.path.open("a+b")

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
        data = batch.data
        self._file.write(len(data).to_bytes(4, "big") + zlib.crc32(data).to_bytes(4, "big") + data)
        self._file.flush()
        os.fsync(self._file.fileno())

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

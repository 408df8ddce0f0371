"""A durable client in a process of its own, made to be killed: publishes, and processes what it is sent.

    python -m tests.durability.client_process PORT VERSION DIRECTORY RUN [LAST]

Publishes ``RUN:0``, ``RUN:1``, … on ``out/1`` and ``out/2`` (the QoS) and appends a line to ``accepted`` when they
are in the store. Appends each message of ``in/1`` and ``in/2`` to ``processed`` before it acknowledges it, ``start``
before the first and ``sync`` when all acknowledgements so far are in the store. With LAST it publishes nothing, and
ends when everything has been acknowledged and the message LAST of both topics has been processed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from mqtt_adapters.asyncio import Client
from mqtt_adapters.storage import SqliteStore

WINDOW = 20
OPEN_MAX = 200


class Log:
    """Lines that survive the end of the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())


async def publish(client: Client, run: int, accepted: Log) -> None:
    for first in itertools.count(0, WINDOW):
        for number in range(first, first + WINDOW):
            for qos in (1, 2):
                client.publish_nowait(f"out/{qos}", f"{run}:{number}", qos=qos)
        await client.committed()
        accepted.write(f"{run}:{first + WINDOW - 1}")
        while client.unacknowledged > OPEN_MAX:
            await asyncio.sleep(0.002)


async def process(client: Client, processed: Log, last: int) -> None:
    waiting = {"in/1", "in/2"}
    open_acks = 0
    processed.write("start")
    async for message in client.messages:
        number = int(message.payload)
        processed.write(f"{message.topic} {number}")
        client.acknowledge(message)
        open_acks += 1
        if number == last:
            waiting.discard(message.topic)
        if open_acks == WINDOW or not waiting:
            open_acks = 0
            await client.committed()
            processed.write("sync")
        if not waiting:
            return


async def main(port: int, version: int, directory: Path, run: int, last: int) -> None:
    async with Client(
        "127.0.0.1",
        port,
        client_id="durable",
        version=version,
        clean_start=False,
        session_expiry_s=100_000 if version == 5 else 0,
        store=SqliteStore(directory / "client.db"),
        manual_ack=True,
        inflight_max=50,
        receive_maximum=30,
    ) as client:
        await client.subscribe("in/#", qos=2)
        print("ready", flush=True)
        tasks = [asyncio.create_task(process(client, Log(directory / "processed"), last))]
        if last < 0:
            tasks.append(asyncio.create_task(publish(client, run, Log(directory / "accepted"))))
        await asyncio.gather(*tasks)
        while client.unacknowledged:
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    numbers = [int(argument) for argument in (sys.argv[1], sys.argv[2], sys.argv[4])]
    end = int(sys.argv[5]) if len(sys.argv) > 5 else -1
    asyncio.run(main(numbers[0], numbers[1], Path(sys.argv[3]), numbers[2], end))

"""A durable client is killed at random moments, again and again, on the same store.

What it had accepted into the store reaches the listener: QoS 2 exactly once, QoS 1 at least once, both in order. What
it is sent is processed, all of it and in order; a QoS 2 message whose acknowledgement had reached the store is never
processed a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from random import Random

import pytest

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig
from mqtt_adapters.bin.inspect import survey

KILLS = int(os.environ.get("MQTT_KILLS", "20"))
CHILD = "tests.durability.client_process"


class Feeder:
    """Sends 0, 1, 2, … on in/1 and in/2 until it is told to stop."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.sent = 0
        self.stopping = False

    async def run(self) -> None:
        while not self.stopping:
            await self.feed()
            await asyncio.sleep(0.01)  # no faster than the child can follow

    async def feed(self) -> None:
        window = [
            self.client.publish(f"in/{qos}", b"%d" % number, qos=qos)
            for number in range(self.sent, self.sent + 10)
            for qos in (1, 2)
        ]
        self.sent += 10
        await asyncio.gather(*window)


async def listen(client: Client, heard: dict[str, list[tuple[int, int]]]) -> None:
    async for message in client.messages:
        run, _, number = message.payload.decode().partition(":")
        heard.setdefault(message.topic, []).append((int(run), int(number)))


async def spawn(port: int, version: int, directory: Path, run: int, *last: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", CHILD, str(port), str(version), str(directory), str(run), *map(str, last),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def kill_again_and_again(port: int, version: int, directory: Path, rng: Random) -> int:
    """Returns how many of the children had got as far as being connected."""
    ready = 0
    for run in range(KILLS):
        child = await spawn(port, version, directory, run)
        assert child.stdout is not None
        if rng.random() < 0.8:
            ready += await child.stdout.readline() == b"ready\n"
            await asyncio.sleep(rng.uniform(0.0, 0.3))
        else:
            await asyncio.sleep(rng.uniform(0.1, 0.6))
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
    return ready


async def session(version: int, directory: Path, rng: Random) -> dict[str, list[tuple[int, int]]]:
    """Everything from the first start to the last message; returns what the listener heard."""
    heard: dict[str, list[tuple[int, int]]] = {}
    async with MqttServer(ServerConfig(bind_addr="127.0.0.1:0", sys_interval_s=0)) as server:
        options = {"client_id": "durable", "version": version, "clean_start": False}
        async with Client("127.0.0.1", server.port, session_expiry_s=100_000 * (version == 5), **options) as first:
            await first.subscribe("in/#", qos=2)
        async with (
            Client("127.0.0.1", server.port, client_id="listener") as listener,
            Client("127.0.0.1", server.port, client_id="feeder") as feeding,
        ):
            await listener.subscribe("out/#", qos=2)
            feeder = Feeder(feeding)
            tasks = [asyncio.create_task(listen(listener, heard)), asyncio.create_task(feeder.run())]
            assert await kill_again_and_again(server.port, version, directory, rng) >= KILLS // 2
            feeder.stopping = True
            await tasks[1]
            await feeder.feed()  # nobody is there, so the newest message is left for the last child
            child = await spawn(server.port, version, directory, KILLS, feeder.sent - 1)
            async with asyncio.timeout(60):
                assert await child.wait() == 0
            (directory / "fed").write_text(str(feeder.sent))
            await feeding.publish("out/end", b"0:0", qos=2)
            while "out/end" not in heard:
                await asyncio.sleep(0.01)
            tasks[0].cancel()
    return heard


def check_published(heard: dict[str, list[tuple[int, int]]], accepted: list[tuple[int, int]]) -> None:
    """`accepted` names the newest message of each window that was in the store."""
    for topic in ("out/1", "out/2"):
        got = heard[topic]
        first = list(dict.fromkeys(got))
        assert first == sorted(first), "order"
        runs: dict[int, int] = {}
        for run, number in first:
            assert number == runs.get(run, -1) + 1, "nothing between is missing"
            runs[run] = number
        for run, number in accepted:
            assert runs.get(run, -1) >= number, f"{run}:{number} was accepted and is lost"
    assert len(heard["out/2"]) == len(set(heard["out/2"])), "exactly once"


def check_processed(lines: list[str], fed: int) -> None:
    synced: set[str] = set()
    since: list[str] = []
    for line in lines:
        if line == "sync":
            synced.update(since)
            since = []
        elif line == "start":
            since = []
        else:
            assert not (line.startswith("in/2") and line in synced), f"{line} was processed again"
            since.append(line)
    for topic in ("in/1", "in/2"):
        numbers = [int(line.split()[1]) for line in lines if line.startswith(topic)]
        assert list(dict.fromkeys(numbers)) == list(range(fed)), topic


@pytest.mark.timeout(240)
@pytest.mark.parametrize("version", [4, 5])
def test_nothing_accepted_is_lost_by_killing_a_durable_client(tmp_path, version):
    heard = asyncio.run(session(version, tmp_path, Random(version)))
    accepted = [tuple(map(int, line.split(":"))) for line in (tmp_path / "accepted").read_text().splitlines()]
    assert len(accepted) >= KILLS // 2
    check_published(heard, accepted)
    check_processed((tmp_path / "processed").read_text().splitlines(), int((tmp_path / "fed").read_text()))
    (durable,) = survey(tmp_path / "client.db")["sessions"]
    assert durable["inflight"] + durable["released"] + durable["queued"] == 0

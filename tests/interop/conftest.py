"""Starts the broker under test and hands out clients of every partner.

``MQTT_INTEROP_BROKER`` replaces the broker by another command; ``{port}`` in it is a free port:
``MQTT_INTEROP_BROKER='mosquitto -p {port}' pytest tests/interop`` checks the tests against mosquitto. A partner that is
not installed is a failure, not a skip.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.partner import Client

HOST = "127.0.0.1"
OURS = f"{shlex.quote(sys.executable)} -m mqtt_adapters.bin.broker --host {HOST} --port 0"
START_S = 10.0


@dataclass(frozen=True)
class Address:
    """Where the broker under test listens."""

    host: str
    port: int


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]


def wait_until_ready(process: subprocess.Popen[bytes], log: Path, port: int) -> int:
    """Until the broker accepts connections on `port`; 0 takes the port from the first line that names one."""
    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        if not port and (found := re.search(r":(\d+)\b", log.read_text())):
            port = int(found[1])
        with contextlib.suppress(OSError):
            if port:
                socket.create_connection((HOST, port), timeout=1).close()
                return port
        time.sleep(0.02)
    raise AssertionError(f"the broker did not get ready: {log.read_text()}")


@contextlib.contextmanager
def running(command: str, log: Path) -> Iterator[Address]:
    """A broker in a process of its own; it must still be there in the end."""
    port = free_port() if "{port}" in command else 0
    arguments = shlex.split(command.replace("{port}", str(port)))
    # A file, not a pipe: nobody reads what the broker writes, and it must never block.
    with log.open("wb") as output, subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield Address(HOST, wait_until_ready(process, log, port))
            assert process.poll() is None, f"the broker ended during the tests: {log.read_text()}"
        finally:
            process.terminate()
            process.wait(timeout=START_S)


@pytest.fixture(scope="session")
def broker(tmp_path_factory) -> Iterator[Address]:
    """The broker under test."""
    with running(os.environ.get("MQTT_INTEROP_BROKER", OURS), tmp_path_factory.mktemp("broker") / "log") as address:
        yield address


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory) -> Iterator[Address]:
    """The broker that our own clients are tried against."""
    with running("mosquitto -p {port}", tmp_path_factory.mktemp("mosquitto") / "log") as address:
        yield address


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client_of(request, partner: type[Client]) -> AsyncIterator[Callable[[type[Client]], Client]]:
    """Makes clients of any partner, towards the broker that the test's partner is tried against.

    Clients that a test leaves open are dropped.
    """
    address: Address = request.getfixturevalue("mosquitto" if partner.ours else "broker")
    clients: list[Client] = []

    def make(kind: type[Client]) -> Client:
        clients.append(kind(address.host, address.port))
        return clients[-1]

    yield make
    for client in clients:
        if client.is_open:
            await client.drop()

"""Starts the broker under test and hands out clients of every partner.

``MQTT_INTEROP_BROKER`` replaces the broker by another command; ``{port}`` in it is a free port:
``MQTT_INTEROP_BROKER='mosquitto -p {port}' pytest tests/interop`` checks the tests against mosquitto. A partner that is
not installed is a failure, not a skip.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

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


def wait_for_port(port: int, process: subprocess.Popen[str]) -> None:
    """Until the broker accepts connections."""
    end = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "the broker ended"
            assert time.monotonic() < end, "the broker does not accept connections"
            time.sleep(0.02)
        else:
            return


@pytest.fixture(scope="session")
def broker() -> Iterator[Address]:
    command = os.environ.get("MQTT_INTEROP_BROKER", OURS)
    port = free_port() if "{port}" in command else 0
    arguments = shlex.split(command.replace("{port}", str(port)))
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            if not port:
                assert process.stdout
                ready = process.stdout.readline()
                found = re.search(r":(\d+)\b", ready)
                assert found, f"no port in the broker's ready line: {ready!r}"
                port = int(found[1])
            wait_for_port(port, process)
            yield Address(HOST, port)
            assert process.poll() is None, "the broker ended during the tests"
        finally:
            process.terminate()
            process.communicate(timeout=START_S)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client_of(broker: Address) -> AsyncIterator[Callable[[type[Client]], Client]]:
    """Makes clients towards the broker under test; those that a test leaves open are dropped."""
    clients: list[Client] = []

    def make(partner: type[Client]) -> Client:
        clients.append(partner(broker.host, broker.port))
        return clients[-1]

    yield make
    for client in clients:
        if client.is_open:
            await client.drop()

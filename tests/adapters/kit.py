"""What the adapter tests share: running a coroutine as a test that must leave nothing behind, and small peers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import socket
import subprocess
import threading

import pytest
import uvloop

from mqtt_adapters.asyncio import open_connection
from mqtt_core.codec import (
    ConnackPacket,
    ConnectPacket,
    PublishPacket,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
)

LOOPBACK = "127.0.0.1:0"


def _loop_factory(name):
    return uvloop.new_event_loop if name == "uvloop" else None


def _run(test, loop_name, args, kwargs):
    async def checked():
        await test(*args, **kwargs)
        await asyncio.sleep(0)  # the callbacks of closed transports
        return asyncio.all_tasks() - {asyncio.current_task()}

    threads = set(threading.enumerate())
    with asyncio.Runner(loop_factory=_loop_factory(loop_name)) as runner:
        assert runner.run(checked()) == set()
    assert set(threading.enumerate()) <= threads


def asyncio_test(test):
    """Run an async test; fail if it leaves a task or a thread behind."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        _run(test, "asyncio", args, kwargs)

    return run


def every_loop_test(test):
    """As `asyncio_test`, on asyncio's own loop and on uvloop."""

    @functools.wraps(test)
    def run(*args, loop_name, **kwargs):
        _run(test, loop_name, args, kwargs)

    signature = inspect.signature(test)
    more = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), more])
    return pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])(run)


@contextlib.asynccontextmanager
async def client(server, client_id="", *, version=5, port=None, clean_start=True, **where):
    """A connected client without a will of its own: packets in, packets out."""
    if "path" not in where:
        where["port"] = port or server.port
    async with await open_connection(version=version, **where) as connection:
        await connection.write(ConnectPacket(client_id, version=version, clean_start=clean_start, keep_alive_s=0))
        answer = await connection.read()
        assert isinstance(answer, ConnackPacket)
        assert answer.reason_code == 0
        yield connection


async def subscribe(connection, topic_filter, qos=0):
    """Subscribe and read the SUBACK."""
    await connection.write(SubscribePacket(1, [SubscribeFilter(topic_filter, qos)]))
    answer = await connection.read()
    assert isinstance(answer, SubackPacket)
    assert answer.reason_codes == [qos]


async def read_publish(connection):
    """The next packet, which has to be a PUBLISH."""
    packet = await connection.read()
    assert isinstance(packet, PublishPacket), packet
    return packet


def raw_client(server, receive_buffer=None):
    """A non-blocking TCP socket connected to the server."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", server.port))
    sock.setblocking(False)
    return sock


def make_certificates(directory):
    """An authority, a certificate for 127.0.0.1 and localhost, and one for a client; by file name without ``.pem``."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    (directory / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=test authority", "-keyout", "ca-key.pem", "-out", "ca.pem",
    )  # fmt: skip
    for name in ("server", "client"):
        openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}-key.pem", "-out", f"{name}.csr",
        )  # fmt: skip
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", f"{name}.pem",
        )  # fmt: skip
    return {name: str(directory / f"{name}.pem") for name in ("ca", "server", "server-key", "client", "client-key")}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Freshly made certificate files."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))

"""A mosquitto on a loopback port, and one connection to it that waits for answers instead of for time.

Law: nothing sleeps. A PINGREQ behind every frame is answered when all before it has been; what closes the connection
ends the wait, and `PATIENCE_S` without either is an error.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.interop.conftest import free_port, wait_until_ready

HOST = "127.0.0.1"
PORT_VARIABLE = "MQTT_FUZZ_PORT"
PATIENCE_S = 5.0
PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"
# What our broker is told too, so that limits are met at the same place.
SETTINGS = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 20
max_topic_alias 10
sys_interval 0
allow_zero_length_clientid true
set_tcp_nodelay true
"""


def command() -> str:
    """Debian keeps it outside the path of ordinary users."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin") or ""


def installed() -> bool:
    return bool(command())


@contextlib.contextmanager
def running() -> Iterator[int]:
    """A new mosquitto without a past; gives its port."""
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        settings = Path(directory, "mosquitto.conf")
        settings.write_text(SETTINGS.format(port=port))
        log = Path(directory, "log")
        with log.open("wb") as output:
            process = subprocess.Popen([command(), "-c", str(settings)], stdout=output, stderr=subprocess.STDOUT)
            try:
                wait_until_ready(process, log, port)
                yield port
            finally:
                process.terminate()
                process.wait(timeout=10)


class Wire:
    """One connection. closed: the other end has closed it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.closed = False

    def ask(self, data: bytes, pings: int = 1) -> bytes:
        """Send whole frames; return what was answered before the answer to PINGREQ, or before the end."""
        answer = b""
        try:
            self.socket.sendall(data + PINGREQ)
            while not finished(answer, pings):
                chunk = self.socket.recv(65536)
                if not chunk:
                    self.closed = True
                    break
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            self.closed = True
        return answer

    def close(self) -> None:
        self.socket.close()


def finished(stream: bytes, pings: int) -> bool:
    """As many whole PINGRESP are in the stream as were asked for."""
    position = 0
    while position + 2 <= len(stream):
        if stream[position : position + 2] == PINGRESP:
            pings -= 1
            if not pings:
                return True
        length = shift = 0
        body = position + 1
        while body < len(stream):
            length |= (stream[body] & 127) << shift
            shift += 7
            body += 1
            if stream[body - 1] < 128:
                break
        position = body + length
    return False

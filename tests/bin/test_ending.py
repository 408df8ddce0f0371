"""How the clients' programs end when they cannot go on: by a signal, a mute server, a reader that has fallen asleep."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys

import pytest

from mqtt_core.codec import PublishPacket, encode
from tests.bin.kit import start

CONNACK = b"\x20\x03\x00\x00\x00"
TAKEN_OVER = b"\xe0\x01\x8e"
PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"
LINES = [b"line %d" % number for number in range(50)]


@contextlib.contextmanager
def connected(listener, program, *arguments, **options):
    """A running program whose CONNECT has been answered, and its connection."""
    process = start(program, "-h", "127.0.0.1", "-p", listener.getsockname()[1], *arguments, **options)
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            connection.recv(1000)
            connection.sendall(CONNACK)
            yield process, connection
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextlib.contextmanager
def producer_of_lines(listener):
    """A producer that has sent all of LINES at QoS 1 and got no acknowledgement, and its connection."""
    with connected(listener, "producer", "-q", "1", "t", stdin=subprocess.PIPE) as (process, connection):
        process.stdin.write(b"\n".join(LINES) + b"\n")
        process.stdin.flush()
        sent = b""
        while LINES[-1] not in sent:
            sent += connection.recv(65536)
        yield process, connection


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(20)
        yield sock


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without asking")
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_before_the_acknowledgements_is_no_success_and_no_word(listener, number, code):
    with producer_of_lines(listener) as (process, _):
        process.send_signal(number)
        assert process.communicate(timeout=20) == (b"", b"")
        assert process.returncode == code


def test_many_messages_that_fail_together_are_one_line(listener):
    with producer_of_lines(listener) as (process, connection):
        connection.sendall(TAKEN_OVER)
        process.stdin.close()
        process.stdin = None
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err.count(b"\n")) == (1, b"", 1)
        assert err.startswith(b"mqtt-producer: ")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without asking")
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_reading_of_standard_input_as_one_message(number, code):
    process = start("producer", "-h", "127.0.0.1", "-p", "1", "-s", "t", stdin=subprocess.PIPE)
    try:
        process.stdin.write(bytes(1024 * 1024))  # more than a pipe holds, so it is reading
        process.stdin.flush()
        process.send_signal(number)
        assert process.wait(20) == code
        assert process.stderr.read() == b""
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without asking")
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_consumer_whose_reader_has_fallen_asleep_answers_pings_and_signals(listener, number, code):
    with connected(listener, "consumer", "-k", "1", "t") as (process, connection):
        packet_id = connection.recv(1000)[2:4]
        connection.sendall(b"\x90\x04" + packet_id + b"\x00\x00")
        message = encode(PublishPacket("t", bytes(10_000)), 5)
        connection.sendall(message * 20)  # more than a pipe holds
        while connection.recv(1000) != PINGREQ:
            pass
        connection.sendall(PINGRESP)
        process.send_signal(number)
        assert process.wait(20) == code

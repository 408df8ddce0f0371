"""``mqtt-broker`` as an operator meets it: one line when ready, refused or stopped, and exit codes that tell which."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from mqtt_adapters.server.verbs import stop_signals
from mqtt_core import __version__
from mqtt_core.codec import ConnackPacket, ConnectPacket, DisconnectPacket, MqttCodec, PublishPacket, ReasonCode
from tests.bin.kit import broker, run, start


class Peer:
    """A blocking client, packet by packet."""

    def __init__(self, port, client_id="", **connect):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.codec = MqttCodec(connect.get("version", 5))
        self.write(ConnectPacket(client_id, **connect))
        self.connack = self.read()
        assert isinstance(self.connack, ConnackPacket)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.sock.close()

    def write(self, packet):
        self.sock.sendall(self.codec.encode(packet))

    def read(self):
        while (packet := self.codec.next_packet()) is None:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.codec.feed(data)
        return packet


def test_one_line_when_ready_and_one_when_stopped_after_draining():
    with broker() as running:
        assert running.line == f"mqtt-broker: listening on 127.0.0.1:{running.port}\n"
        with Peer(running.port) as peer:
            running.process.send_signal(signal.SIGTERM)
            goodbye = peer.read()
            assert isinstance(goodbye, DisconnectPacket)
            assert goodbye.reason_code == ReasonCode.SERVER_SHUTTING_DOWN
            assert peer.read() is None
        out, err = running.process.communicate(timeout=30)
        assert (running.process.returncode, out, err) == (0, "mqtt-broker: stopped\n", "")


@pytest.fixture
def attached():
    """Whoever runs the tests may ignore the end of the terminal, and children inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("attached")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_and_the_end_of_the_terminal_drain_too(number):
    with broker() as running:
        assert running.end(number) == (0, "mqtt-broker: stopped\n", "")


@pytest.mark.usefixtures("attached")
def test_who_ignores_the_end_of_the_terminal_outlives_it():
    assert stop_signals() == (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert stop_signals() == (signal.SIGTERM, signal.SIGINT)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in the file system")
@pytest.mark.parametrize("option", ["-c", "--users-file"])
def test_ctrl_c_while_a_file_is_read_is_one_line(tmp_path, option):
    file = tmp_path / "pipe"
    os.mkfifo(file)
    with start("broker", option, file) as process, file.open("wb"):
        process.send_signal(signal.SIGINT)  # it has opened the file, and waits for what is in it
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (1, b"", b"mqtt-broker: interrupted\n")


def test_a_second_signal_does_not_wait_for_a_client_that_never_reads():
    with broker("--close-timeout-s", 600) as running, Peer(running.port, version=4) as peer:
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGTERM)
        assert running.end(signal.SIGTERM)[0] == 0
        peer.sock.close()


def test_help_is_help_and_names_every_setting(inside):
    code, out, err = inside("broker", "--help")
    assert (code, err) == (0, "")
    assert "-h HOST, --host HOST" in re.sub(r"\s+", " ", out)
    for flag in ("--port", "--max-clients", "--max-packet-size", "--config", "--store", "--loop", "--bind-addr"):
        assert flag in out


def test_version(inside):
    source = importlib.util.find_spec("mqtt_core.codec.decode").origin
    build = "pure Python" if source.endswith(".py") else "compiled"
    assert inside("broker", "--version") == (0, f"mqtt-broker {__version__} ({build})\n", "")


def test_a_port_instead_of_a_unix_socket_is_one_of_the_loopback_interface(tmp_path):
    with broker("-p", "0", "--bind-addr", f"unix:{tmp_path}/s") as running:
        assert running.line == f"mqtt-broker: listening on 127.0.0.1:{running.line.rsplit(':')[-1].strip()}\n"


def test_host_and_port_are_the_halves_of_the_address():
    with broker("-h", "::1", "-p", "0") as running:
        assert running.line == f"mqtt-broker: listening on [::1]:{running.line.rsplit(':')[-1].strip()}\n"
    with broker("-h", "localhost", "-p", "0") as running:
        assert "127.0.0.1:" in running.line


def test_a_port_in_use_is_one_line_and_exit_code_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = f"mqtt-broker: cannot listen on 127.0.0.1:{port}: Address already in use: "
        told += "is another broker running? (-p chooses another port)\n"
        assert run("broker", "-p", port) == (1, "", told)


@pytest.mark.parametrize(
    "arguments,line",
    [
        (["--prot", "1"], "unknown option '--prot'; did you mean '--port'? (see mqtt-broker --help)"),
        (["1884"], "unknown argument '1884' (see mqtt-broker --help)"),
        (["-p", "70000"], "argument -p/--port: a port is 0 to 65535, got '70000' (see mqtt-broker --help)"),
        (["--max-packet-size", "1"], "max_packet_size is 1; it has to be from 32 to 268435460"),
        (["--config", "/none.toml"], "/none.toml: No such file or directory"),
        (["--bind-addr", "x:y"], "bind_addr: expected HOST:PORT, [IPV6]:PORT or unix:PATH, got 'x:y'"),
        (["--tls-cert-file", "/none.pem"], "tls_cert_file: cannot use /none.pem: No such file or directory"),
        (["--bind-addr", f"unix:/tmp/{108 * 'x'}"], f"cannot listen on unix:/tmp/{108 * 'x'}: File name too long\n"),
        (["-h", "no.such.host.invalid"], "cannot listen on no.such.host.invalid:1883: "),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_1(inside, arguments, line):
    code, out, err = inside("broker", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"mqtt-broker: {line}")
    assert err.count("\n") == 1


def test_a_mistake_in_the_file_is_told_with_line_and_key(inside, tmp_path):
    path = tmp_path / "b.toml"
    path.write_text('bind_addr = "127.0.0.1:0"\nmax_conections = 5\n')
    code, out, err = inside("broker", "--config", path)
    assert (code, out) == (1, "")
    assert err == f"mqtt-broker: {path}:2: unknown setting 'max_conections'; did you mean 'max_connections'?\n"


def test_settings_come_from_the_file_and_flags_win(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text('bind_addr = "127.0.0.1:0"\nreceive_maximum = 7\ntopic_alias_maximum = 3\nloop = "asyncio"\n')
    with broker("--config", path, "--receive-maximum", "9") as running, Peer(running.port) as peer:
        assert peer.connack.properties.receive_maximum == 9
        assert peer.connack.properties.topic_alias_maximum == 3


def test_max_clients_closes_the_one_above():
    with (
        broker("--max-clients", "1") as running,
        Peer(running.port),
        socket.create_connection(("127.0.0.1", running.port), timeout=10) as second,
    ):
        assert second.recv(1) == b""


def test_a_listener_table_opens_listeners(tmp_path, socket_path):
    path = tmp_path / "b.toml"
    path.write_text(f'[[listeners]]\nbind_addr = "127.0.0.1:0"\n[[listeners]]\nbind_addr = "unix:{socket_path}"\n')
    with broker("--config", path) as running:
        assert running.line == f"mqtt-broker: listening on 127.0.0.1:{running.port}, unix:{socket_path}\n"
    assert running.process.returncode is not None


def test_uvloop_serves_when_asked_for():
    with broker("--loop", "uvloop") as running, Peer(running.port):
        assert running.end(signal.SIGTERM) == (0, "mqtt-broker: stopped\n", "")


def test_an_unknown_loop_is_refused(inside):
    code, _, err = inside("broker", "--loop", "twisted")
    assert code == 1
    assert err.startswith("mqtt-broker: argument --loop: invalid choice: 'twisted'")


def test_verbose_logs_clients_to_stderr():
    with broker("-v") as running:
        with Peer(running.port, "somebody"):
            pass
        code, _, err = running.end(signal.SIGTERM)
        assert code == 0
        assert "ClientConnected" in err
        assert "somebody" in err


def test_a_store_keeps_retained_messages_across_runs(tmp_path):
    store = tmp_path / "broker.db"
    with broker("--store", store) as running, Peer(running.port) as peer:
        peer.write(PublishPacket("a", b"kept", 1, retain=True, packet_id=1))
        peer.read()
        running.end(signal.SIGKILL)
    with broker("--store", store) as running, Peer(running.port) as peer:
        peer.sock.sendall(b"\x82\x07\x00\x01\x00\x00\x01a\x00")
        peer.read()
        assert peer.read() == PublishPacket("a", b"kept", retain=True)


def test_inspect_is_a_program_of_its_own(inside):
    code, out, err = inside("broker", "inspect", "--help")
    assert (code, err) == (0, "")
    assert "inspect" in out


def test_a_store_that_is_no_store_refuses_the_start(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    code, out, err = run("broker", "-p", "0", "--store", path)
    assert (code, out) == (1, "")
    assert err.startswith("mqtt-broker: ")
    assert err.count("\n") == 1
    assert str(path) in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_running_out_of_file_descriptors_is_survived():
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))

    with broker("-p", "0", preexec_fn=limit) as running:
        crowd = [socket.create_connection(("127.0.0.1", running.port), timeout=10) for _ in range(60)]
        for sock in crowd:
            sock.close()
        with Peer(running.port) as peer:
            assert peer.connack.reason_code == 0
        code, out, err = running.end(signal.SIGTERM)
        assert (code, out) == (0, "mqtt-broker: stopped\n")
        assert "Traceback" not in err


def test_a_broker_whose_output_nobody_reads_serves_and_stops_in_order():
    with broker() as running:
        port = running.port
        running.process.stdout.close()
        with socket.create_connection(("127.0.0.1", port)):
            running.process.send_signal(signal.SIGTERM)
            error = running.process.stderr.read()
        assert running.process.wait(timeout=30) == 0
    assert error == ""


def test_a_broker_begins_though_nobody_reads_its_output():
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "mqtt_adapters.bin.broker", "--bind-addr", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""


def test_a_broker_serves_without_any_standard_stream(free_tcp_port):
    command = [sys.executable, "-m", "mqtt_adapters.bin.broker", "--bind-addr", f"127.0.0.1:{free_tcp_port}"]
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
    try:
        assert connects_within(free_tcp_port, 20)
        process.terminate()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def connects_within(port, seconds):
    """Somebody listens on that port before so much time has passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.02)
    return False

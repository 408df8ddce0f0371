"""One contract for the servers of all I/O styles, over every transport, in both versions."""

from __future__ import annotations

import functools
import gc
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from mqtt_adapters.config import ConfigError, ListenerConfig, ServerConfig
from mqtt_adapters.storage.sqlite import SqliteStore
from mqtt_core.broker import ClientDisconnected, ClientHandler, Refuse
from mqtt_core.codec import (
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    PingreqPacket,
    PingrespPacket,
    Properties,
    PubackPacket,
    PublishPacket,
    ReasonCode,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    encode,
)
from mqtt_core.persistence import MemoryStore
from tests.adapters.client.kit import STYLES as CLIENT_STYLES
from tests.adapters.client.kit import Style, take
from tests.adapters.contract.kit import STYLES, TRANSPORTS, Peer, Running, running, url
from tests.adapters.test_peer import CONNECT, Watching, header

styles = pytest.mark.parametrize("style", STYLES)
transports = pytest.mark.parametrize("transport", TRANSPORTS)
versions = pytest.mark.parametrize("version", [4, 5])


@pytest.fixture
def tcp(certificates):
    """Starts servers over TCP, and makes peers of them."""

    def start(style, **more):
        return running(style, "tcp", certificates, **more)

    start.peer = lambda run, **options: Peer(run.server, "tcp", certificates, **options)
    return start


# ------------------------------------------------------------------------------------------------------- messages


@pytest.mark.spec("MQTT-4.2.0-1", version="5.0")
@pytest.mark.spec("MQTT-7.1.1-1", version="3.1.1")
@versions
@transports
@styles
def test_messages_of_every_qos_and_size_come_over_every_transport(style, transport, version, certificates):
    with running(style, transport, certificates) as run:
        peer = functools.partial(Peer, run.server, transport, certificates, version)
        with peer() as subscriber, peer() as publisher:
            subscriber.connect("s")
            publisher.connect("p")
            subscriber.subscribe("a/#", 1)
            for size in (0, 1, 300_000):
                publisher.send(PublishPacket("a/b", bytes(size), 1, packet_id=7))
                assert isinstance(publisher.read(), PubackPacket)
                found = subscriber.receive()
                assert (found.topic, len(found.payload), found.qos) == ("a/b", size, 1)
                subscriber.send(PubackPacket(found.packet_id))


@transports
@pytest.mark.parametrize("client_style", CLIENT_STYLES)
@styles
def test_every_client_talks_to_every_server(style, client_style, transport, certificates):
    async def talk(where):
        tls = ssl.create_default_context(cafile=certificates["ca"]) if transport in {"tls", "wss"} else None
        async with Style(client_style).client(where, tls=tls) as client:
            await client.subscribe("a/#", 2)
            for qos in (0, 1, 2):
                await client.publish(f"a/{qos}", b"x" * 1000, qos=qos)
            found = await take(client.messages, 3)
            assert [message.topic for message in found] == ["a/0", "a/1", "a/2"]

    with running(style, transport, certificates) as run:
        Style(client_style).run(talk, url(run.server, transport))


@styles
def test_a_burst_arrives_whole_and_in_order(style, tcp):
    with tcp(style) as run, tcp.peer(run) as subscriber, tcp.peer(run) as publisher:
        subscriber.connect("s")
        publisher.connect("p")
        subscriber.subscribe("a")
        packets = b"".join(encode(PublishPacket("a", b"%d" % n), 5) for n in range(5000))
        sender = threading.Thread(target=publisher.send_bytes, args=(packets,))
        sender.start()
        assert [int(subscriber.receive().payload) for _ in range(5000)] == list(range(5000))
        sender.join()


@styles
def test_who_does_not_read_waits_and_loses_nothing(style, tcp):
    with tcp(style, write_buffer_bytes=1000) as run, tcp.peer(run) as slow, tcp.peer(run) as publisher:
        slow.connect("s")
        publisher.connect("p")
        slow.subscribe("a", 1)
        for n in range(100):
            publisher.send(PublishPacket("a", b"%6d" % n + bytes(50_000), 1, packet_id=n + 1))
            assert isinstance(publisher.read(), PubackPacket)
        for n in range(100):
            found = slow.receive()
            assert int(found.payload[:6]) == n
            slow.send(PubackPacket(found.packet_id))


@styles
def test_what_a_client_that_is_gone_has_not_read_is_freed_without_the_garbage_collector(style, tcp):
    def there():
        """Whether the handler of the slow client is in memory, once the broker has seen what has happened till now."""
        publisher.send(PingreqPacket())
        assert isinstance(publisher.read(), PingrespPacket)
        return any(type(found) is ClientHandler and found.client_id == name for found in gc.get_objects())

    name = f"slow-{style}"
    with tcp(style) as run, tcp.peer(run) as slow, tcp.peer(run) as publisher:
        slow.connect(name)
        publisher.connect("p")
        slow.subscribe("a")
        gc.disable()
        try:
            publisher.send(*[PublishPacket("a", bytes(500_000))] * 16)
            assert there()
            slow.close()
            assert not all(there() for _ in range(100))
        finally:
            gc.enable()


# ------------------------------------------------------------------------------------------------- start and stop


@transports
@styles
def test_a_stopped_server_says_goodbye(style, transport, certificates):
    with running(style, transport, certificates) as run:
        with Peer(run.server, transport, certificates) as five, Peer(run.server, transport, certificates, 4) as four:
            five.connect("five")
            four.connect("four")
            run.stop()
            goodbye = five.read()
            assert isinstance(goodbye, DisconnectPacket)
            assert goodbye.reason_code == ReasonCode.SERVER_SHUTTING_DOWN
            assert five.read() is None
            assert four.read() is None
        assert run.server.connections == 0
        assert run.server.addresses == []
        run.stop = lambda: None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@styles
def test_a_server_runs_until_a_signal_and_says_goodbye(style, number, certificates):
    module = style if style in {"asyncio", "blocking"} else "anyio"
    program = f"""
import signal
from mqtt_adapters.{module} import MqttServer, ServerConfig

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it
server = MqttServer(ServerConfig(bind_addr="127.0.0.1:0", sys_interval_s=0))
server.run(on_ready=lambda server: print(server.port, flush=True){", backend='trio'" if style == "trio" else ""})
print("stopped")
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        server = SimpleNamespace(port=int(process.stdout.readline()))
        with Peer(server, "tcp", certificates) as peer:
            peer.connect()
            process.send_signal(number)
            assert peer.read().reason_code == ReasonCode.SERVER_SHUTTING_DOWN
            assert peer.read() is None
        assert process.communicate(timeout=20)[0] == "stopped\n"
    assert process.returncode == 0


@styles
def test_a_port_in_use_is_told_and_nothing_stays_open(style, tcp):
    with tcp(style) as run:
        taken = f"127.0.0.1:{run.server.port}"
        config = ServerConfig(bind_addr="127.0.0.1:0", listeners=(ListenerConfig(bind_addr=taken),))
        with pytest.raises(OSError, match=f"cannot listen on {taken}: Address already in use"):
            Running(style, config=config).__enter__()


@styles
def test_unusable_files_are_told(style):
    with pytest.raises(ConfigError, match="tls_cert_file: cannot use /nowhere"):
        Running(style, config=ServerConfig(bind_addr="127.0.0.1:0", tls_cert_file="/nowhere")).__enter__()


@styles
def test_several_listeners_serve_one_broker(style, socket_path, certificates):
    listeners = (
        ListenerConfig(bind_addr="127.0.0.1:0"),
        ListenerConfig(bind_addr=f"unix:{socket_path}"),
        ListenerConfig(bind_addr="127.0.0.1:0", websocket=True),
    )
    with Running(style, config=ServerConfig(listeners=listeners)) as run:
        first, second, third = run.server.addresses
        assert second == f"unix:{socket_path}"
        assert third.endswith(" (WebSocket)")
        with Peer(run.server, "tcp", certificates) as peer:
            peer.connect()
        assert first == f"127.0.0.1:{run.server.port}"
    assert not Path(socket_path).exists()


# ---------------------------------------------------------------------------------------------------- connections


@styles
def test_a_peer_that_breaks_the_rules_hurts_nobody_else(style, tcp):
    with tcp(style) as run, tcp.peer(run) as good, tcp.peer(run) as bad:
        good.connect("good")
        bad.connect("bad")
        bad.send_bytes(b"\xff\xff\xff\xff\xff")
        goodbye = bad.read()
        assert isinstance(goodbye, DisconnectPacket)
        assert goodbye.reason_code == ReasonCode.MALFORMED_PACKET
        assert bad.read() is None
        good.subscribe("a")


@pytest.mark.parametrize("transport", ["ws", "wss"])
@styles
def test_a_websocket_that_ends_says_why(style, transport, certificates):
    with running(style, transport, certificates) as run:
        with Peer(run.server, transport, certificates) as peer:
            peer.connect("x")
            peer._web.send_text(b"text")
            peer._flush()
            assert peer.read() is None
            assert peer._web.close_rcvd.code == 1003
        with Peer(run.server, transport, certificates) as peer:
            peer.connect("x")
            peer._web.send_close(1000)
            peer._flush()
            assert peer.read() is None
            assert peer._web.close_rcvd.code == 1000


@styles
def test_who_asks_for_no_websocket_gets_an_http_error(style, certificates):
    with (
        running(style, "ws", certificates) as run,
        socket.create_connection(("127.0.0.1", run.server.port), timeout=20) as sock,
    ):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with sock.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 426 ")


@styles
def test_who_says_nothing_is_closed_in_time(style, tcp):
    with tcp(style, connect_timeout_s=0.05) as run, tcp.peer(run) as silent:
        assert silent.read() is None


@styles
def test_a_tls_handshake_that_hangs_is_closed_in_time(style, certificates):
    with running(style, "tls", certificates, connect_timeout_s=0.2) as run:
        with socket.create_connection(("127.0.0.1", run.server.port)) as sock:
            sock.settimeout(20)
            assert sock.recv(10) == b""
        with Peer(run.server, "tls", certificates) as peer:
            peer.connect()


@styles
def test_a_server_stops_while_handshakes_hang(style, certificates):
    with (
        running(style, "tls", certificates) as run,
        socket.create_connection(("127.0.0.1", run.server.port)) as sock,
    ):
        sock.settimeout(20)
        with Peer(run.server, "tls", certificates) as peer:
            peer.connect()
        run.stop()
        assert sock.recv(10) == b""
        run.stop = lambda: None


@styles
def test_a_certificate_names_the_client(style, certificates):
    policy = Watching()
    with running(style, "tls", certificates, tls_ca_file=certificates["ca"], policy=policy) as run:
        context = ssl.create_default_context(cafile=certificates["ca"])
        context.load_cert_chain(certificates["client"], certificates["client-key"])
        sock = socket.create_connection(("127.0.0.1", run.server.port))
        with context.wrap_socket(sock, server_hostname="127.0.0.1") as encrypted:
            encrypted.sendall(CONNECT)
            assert encrypted.recv(1) == b"\x20"
    assert [peer.common_name for peer in policy.peers] == ["client"]


@styles
def test_a_trusted_proxy_names_the_client(style, tcp):
    policy = Watching()
    with tcp(style, proxy_networks=("127.0.0.1",), policy=policy) as run:
        with tcp.peer(run) as peer:
            peer.send_bytes(header(socket.AF_INET, "203.0.113.7", 99) + CONNECT)
            assert peer.read() is not None
        with tcp.peer(run) as peer:
            peer.send_bytes(CONNECT + CONNECT)
            assert peer.read() is None
    assert policy.peers == ["203.0.113.7:99"]


# ------------------------------------------------------------------------------------------------ the host's verbs


@styles
def test_other_threads_publish_subscribe_and_disconnect(style, tcp):
    with tcp(style) as run, tcp.peer(run) as peer:
        peer.connect("x")
        peer.subscribe("to/x", 1)
        threadsafe = run.server.threadsafe
        subscription = threadsafe.subscribe("from/x", qos=1)
        threadsafe.publish("to/x", b"hello", qos=1)
        found = peer.receive()
        assert found.payload == b"hello"
        peer.send(PublishPacket("from/x", b"back"))
        message = subscription.get(timeout_s=20)
        assert (message.topic, message.payload) == ("from/x", b"back")
        with pytest.raises(TimeoutError):
            subscription.get(timeout_s=0.01)
        assert threadsafe.disconnect("x") is True
        assert threadsafe.disconnect("nobody") is False
        goodbye = peer.read()
        assert isinstance(goodbye, DisconnectPacket)
        subscription.close()
        assert subscription.get(timeout_s=1) is None


@styles
def test_iterating_ends_with_the_server(style, tcp):
    found = []
    with tcp(style) as run:
        subscription = run.server.threadsafe.subscribe("a")
        reader = threading.Thread(target=lambda: found.extend(message.payload for message in subscription))
        reader.start()
        run.server.threadsafe.publish("a", b"1")
        run._before.add(reader)
    reader.join(20)
    assert found == [b"1"]


# ---------------------------------------------------------------------------------------------------------- storage


@styles
def test_what_is_acknowledged_survives(style, tcp, tmp_path):
    file = str(tmp_path / "store.db")
    keep = {"clean_start": False, "properties": Properties(session_expiry_interval=1000)}
    with tcp(style, store=SqliteStore(file)) as run:
        with tcp.peer(run) as subscriber:
            subscriber.connect("s", **keep)
            subscriber.subscribe("a", 1)
        with tcp.peer(run) as publisher:
            publisher.connect("p")
            for n in range(20):
                publisher.send(PublishPacket("a", b"%d" % n, 1, packet_id=n + 1))
                assert isinstance(publisher.read(), PubackPacket)
    with tcp(style, store=SqliteStore(file)) as run, tcp.peer(run) as subscriber:
        assert subscriber.connect("s", **keep).session_present
        assert [int(subscriber.receive().payload) for _ in range(20)] == list(range(20))


class FailingStore(MemoryStore):
    """Breaks at the first commit."""

    async def apply(self, batch):
        raise OSError("disk on fire")


@pytest.mark.parametrize("goodbye", [b"", b"\xe0\x00"], ids=["no-goodbye", "goodbye"])
@styles
def test_who_closes_its_half_is_answered_and_closed(style, goodbye, tcp, tmp_path):
    said = b"".join(
        [
            encode(ConnectPacket("half", version=4, clean_start=False, keep_alive_s=0), 4),
            encode(SubscribePacket(1, [SubscribeFilter("t", 1)]), 4),
            encode(PublishPacket("t", b"x", 1, packet_id=9), 4),
            goodbye,
        ]
    )
    with tcp(style, store=SqliteStore(tmp_path / "half.db")) as run:
        for present in (0, 1):
            with tcp.peer(run, version=4) as peer:
                peer.send_bytes(said)
                peer.sock.shutdown(socket.SHUT_WR)
                assert peer.read() == ConnackPacket(0, present == 1)
                kinds = []
                while (packet := peer.read()) is not None:
                    kinds.append(type(packet))
                assert [kind for kind in kinds if kind is not PublishPacket] == [SubackPacket, PubackPacket]
                assert kinds.count(PublishPacket) == 1 + present


@styles
def test_a_storage_failure_ends_the_server_without_a_lie(style, tcp):
    run = tcp(style, store=FailingStore())
    run.__enter__()
    with tcp.peer(run) as peer:
        peer.send(ConnectPacket("s", clean_start=False, properties=Properties(session_expiry_interval=1000)))
        assert peer.read() is None
    run.stop()


# ------------------------------------------------------------------------------------------------- events and time


@styles
def test_events_are_told(style, tcp):
    gone = threading.Event()

    def on_event(event):
        if isinstance(event, ClientDisconnected):
            gone.set()

    with tcp(style, on_event=on_event) as run:
        with tcp.peer(run) as peer:
            peer.connect()
        assert gone.wait(20)


@styles
def test_a_policy_may_refuse(style, tcp):
    with tcp(style, policy=Watching(refuse=lambda peer: True)) as run, tcp.peer(run) as peer:
        peer.send(ConnectPacket("x"))
        assert peer.read().reason_code == Refuse().reason_code
        assert peer.read() is None


# ------------------------------------------------------------------------------------------------ who a client is


@styles
def test_a_client_on_a_unix_socket_cannot_give_itself_an_address_of_tcp(style, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    policy = Watching()
    with Running(style, config=ServerConfig(bind_addr="unix:s"), policy=policy), socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.bind("10.0.0.1:1234")
        peer.connect("s")
        peer.sendall(CONNECT)
        assert peer.recv(1) == b"\x20"
    assert policy.peers == ["unix"]


@styles
def test_a_client_that_has_reset_its_connection_is_not_taken_for_one_on_a_unix_socket(style, tcp):
    policy = Watching()
    with tcp(style, policy=policy) as run:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", run.server.port)) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.sendall(CONNECT)
        with tcp.peer(run) as last:  # served after those before it
            last.connect("last")
    assert {peer.rpartition(":")[0] for peer in policy.peers} == {"127.0.0.1"}

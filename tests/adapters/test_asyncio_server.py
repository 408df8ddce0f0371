"""The asyncio server as clients and hosts meet it: it listens, limits, isolates, drains, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from mqtt_adapters.asyncio import ConfigError, ListenerConfig, MqttServer, ServerConfig, open_connection
from mqtt_core.broker import Accept
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
    StorageError,
    encode,
)
from mqtt_core.persistence import MemoryStore
from tests.adapters.kit import LOOPBACK, client, every_loop_test, raw_client, read_publish, subscribe


def make_server(*, store=None, policy=None, on_event=None, **settings):
    return MqttServer(
        ServerConfig(**{"bind_addr": LOOPBACK, "sys_interval_s": 0, **settings}),
        store=store,
        policy=policy,
        on_event=on_event,
    )


# --------------------------------------------------------------------------------------------------- start and stop


@every_loop_test
async def test_port_0_takes_a_free_port_and_tells_it():
    async with make_server() as server:
        assert server.port > 0
        assert server.addresses == [f"127.0.0.1:{server.port}"]


@every_loop_test
async def test_a_message_goes_from_one_client_to_another():
    async with make_server() as server, client(server, version=4) as subscriber, client(server) as publisher:
        await subscribe(subscriber, "a/+")
        await publisher.write(PublishPacket("a/b", b"hello"))
        assert (await read_publish(subscriber)).payload == b"hello"


@every_loop_test
async def test_a_stopped_server_says_goodbye_and_leaves_nothing():
    async with make_server() as server:
        port = server.port
        async with client(server) as five, client(server, version=4) as four:
            await server.stop()
            goodbye = await five.read()
            assert isinstance(goodbye, DisconnectPacket)
            assert goodbye.reason_code == ReasonCode.SERVER_SHUTTING_DOWN
            assert await five.read() is None
            assert await four.read() is None
    assert server.connections == 0
    assert server.addresses == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@every_loop_test
async def test_stopping_twice_and_from_two_tasks_is_stopping_once():
    server = make_server()
    await server.stop()  # never started
    await server.start()
    await asyncio.gather(server.stop(), server.stop())
    await server.stop()
    await server.wait_stopped()


@every_loop_test
async def test_a_server_starts_once():
    async with make_server() as server:
        with pytest.raises(RuntimeError, match="once"):
            await server.start()


@every_loop_test
async def test_a_port_in_use_is_told_with_the_address_and_nothing_stays_open():
    async with make_server() as server:
        second = MqttServer(
            ServerConfig(bind_addr=LOOPBACK, listeners=(ListenerConfig(bind_addr=f"127.0.0.1:{server.port}"),))
        )
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{server.port}: Address already in use") as told:
            await second.start()
        assert told.value.errno == errno.EADDRINUSE
        assert second.addresses == []


@every_loop_test
async def test_a_client_that_never_closes_does_not_keep_the_server_from_stopping():
    async with make_server(close_timeout_s=0.05) as server:
        sock = raw_client(server)
        await asyncio.get_running_loop().sock_sendall(sock, encode(ConnectPacket("x"), 5))
        await asyncio.get_running_loop().sock_recv(sock, 100)
        await server.stop()
        sock.close()


# -------------------------------------------------------------------------------------------------------- listeners


@every_loop_test
async def test_several_listeners_serve_one_broker(socket_path):
    listeners = (ListenerConfig(bind_addr=f"unix:{socket_path}"), ListenerConfig(bind_addr=LOOPBACK))
    async with make_server(listeners=listeners) as server:
        first, unix, second = server.addresses
        assert unix == f"unix:{socket_path}"
        async with (
            client(server, path=socket_path) as subscriber,
            client(server, port=int(second.split(":")[1])) as publisher,
        ):
            await subscribe(subscriber, "a")
            await publisher.write(PublishPacket("a", b"x"))
            assert (await read_publish(subscriber)).payload == b"x"
        assert first != second
    with pytest.raises(FileNotFoundError):
        Path(socket_path).stat()


@every_loop_test
async def test_a_unix_socket_in_use_is_not_taken_away_and_a_stale_one_is_replaced(socket_path):
    path = Path(socket_path)
    async with make_server(bind_addr=f"unix:{path}"):
        with pytest.raises(OSError, match=r"cannot listen on unix:.*mqtt.sock: Address already in use"):
            await make_server(bind_addr=f"unix:{path}").start()
        assert stat.S_ISSOCK(path.stat().st_mode)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with make_server(bind_addr=f"unix:{path}") as server, client(server, path=str(path)):
        pass


@every_loop_test
async def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("keep me")
    with pytest.raises(OSError, match=r"cannot listen on unix:.*notes.txt: File exists"):
        await make_server(bind_addr=f"unix:{path}").start()
    assert path.read_text() == "keep me"


@every_loop_test
async def test_tls_with_certificate_files(certificates):
    settings = {"tls_cert_file": certificates["server"], "tls_key_file": certificates["server-key"]}
    async with make_server(**settings) as server:
        assert server.addresses == [f"127.0.0.1:{server.port} (TLS)"]
        context = ssl.create_default_context(cafile=certificates["ca"])
        context.set_alpn_protocols(["mqtt"])
        async with client(server, ssl=context) as subscriber, client(server, ssl=context) as publisher:
            await subscribe(subscriber, "a")
            await publisher.write(PublishPacket("a", b"x" * 300_000))
            assert len((await read_publish(subscriber)).payload) == 300_000
            await server.stop()
            assert isinstance(await subscriber.read(), DisconnectPacket)
            assert await subscriber.read() is None


@every_loop_test
async def test_mutual_tls_refuses_a_client_without_a_certificate(certificates):
    settings = {
        "tls_cert_file": certificates["server"],
        "tls_key_file": certificates["server-key"],
        "tls_ca_file": certificates["ca"],
    }
    async with make_server(**settings) as server:
        context = ssl.create_default_context(cafile=certificates["ca"])
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            async with client(server, ssl=context):
                pass
        context.load_cert_chain(certificates["client"], certificates["client-key"])
        async with client(server, ssl=context):
            pass


@every_loop_test
async def test_a_tls_handshake_that_hangs_is_bounded_and_does_not_outlive_the_server(certificates):
    settings = {"tls_cert_file": certificates["server"], "tls_key_file": certificates["server-key"]}
    async with make_server(**settings, connect_timeout_s=0.1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""  # the time for it is over
        writer.close()
    async with make_server(**settings) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await server.stop()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


@every_loop_test
async def test_unfinished_tls_handshakes_count_against_the_connection_limit(certificates):
    settings = {"tls_cert_file": certificates["server"], "tls_key_file": certificates["server-key"]}
    async with make_server(**settings, max_connections=2) as server:
        hanging = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        for _, used in [*hanging, (reader, writer)]:
            used.close()


@every_loop_test
async def test_a_certificate_that_does_not_fit_its_key_refuses_the_start(certificates):
    settings = {"tls_cert_file": certificates["server"], "tls_key_file": certificates["client-key"]}
    with pytest.raises(ConfigError, match="tls_cert_file: cannot use"):
        await make_server(**settings).start()


# ----------------------------------------------------------------------------------------------------------- limits


@every_loop_test
async def test_the_connection_limit_closes_the_one_above_it_and_counts_it():
    async with make_server(max_connections=1) as server:
        async with client(server) as first:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert await reader.read() == b""
            writer.close()
            assert server.broker.counters.connections_refused == 1
            await first.write(PingreqPacket())
            assert isinstance(await first.read(), PingrespPacket)
            await first.close()
            while server.connections:
                await asyncio.sleep(0)
        async with client(server):
            pass


@every_loop_test
async def test_a_connection_that_says_nothing_is_closed_in_time():
    async with make_server(connect_timeout_s=0.05) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        writer.close()


@every_loop_test
async def test_a_frozen_reader_costs_bounded_memory_and_delays_nobody():
    async with make_server(outbox_bytes_max=200_000, write_buffer_bytes=20_000) as server:
        loop = asyncio.get_running_loop()
        frozen = raw_client(server, receive_buffer=4096)
        async with client(server) as reader, client(server) as publisher:
            await loop.sock_sendall(frozen, encode(ConnectPacket("frozen"), 5))
            await loop.sock_recv(frozen, 1000)
            await loop.sock_sendall(frozen, b"\x82\x07\x00\x01\x00\x00\x01#\x00")
            await loop.sock_recv(frozen, 1000)
            await subscribe(reader, "#")
            for number in range(200):  # 20 MB, of which the frozen one reads nothing
                await publisher.write(PublishPacket("a", number.to_bytes(2, "big") * 50_000))
                assert (await read_publish(reader)).payload[:2] == number.to_bytes(2, "big")
            assert server.broker.counters.dropped_outbox > 100
            (link,) = [link for link in server._links if not link.writable]
            assert link.handler.outbox.size <= 300_000
            assert link._transport.get_write_buffer_size() <= 400_000
            frozen.close()


@every_loop_test
async def test_a_publisher_is_not_read_while_its_own_acknowledgements_do_not_drain():
    async with make_server(outbox_bytes_max=20_000, write_buffer_bytes=1000) as server:
        loop = asyncio.get_running_loop()
        sock = raw_client(server, receive_buffer=4096)
        await loop.sock_sendall(sock, encode(ConnectPacket("x"), 5))
        assert await loop.sock_recv(sock, 1000)
        (link,) = server._links
        link._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        flood = asyncio.create_task(loop.sock_sendall(sock, b"\xc0\x00" * 10_000_000))
        while link.reading:
            await asyncio.sleep(0.001)
        assert not flood.done()
        flood.cancel()
        await asyncio.wait([flood])
        sock.close()


# -------------------------------------------------------------------------------------------------------- isolation


class BuggyPolicy:
    """Fails where it is asked about a topic named bug."""

    def authenticate(self, connect, peer):
        return Accept()

    def continue_authentication(self, connect, auth, peer):
        return Accept()

    def authorize_publish(self, principal, topic, qos, retain):
        if topic == "bug":
            raise RuntimeError("a bug of the host")
        return True

    def authorize_subscribe(self, principal, topic_filter, qos):
        return qos

    def authorize_deliver(self, principal, topic):
        return True


@every_loop_test
async def test_a_bug_met_by_one_client_ends_that_client_only(caplog):
    async with make_server(policy=BuggyPolicy()) as server, client(server) as good, client(server) as bad:
        await bad.write(PublishPacket("bug", b""))
        with contextlib.suppress(ConnectionResetError):
            assert await bad.read() is None
        assert "a bug of the host" in caplog.text
        await subscribe(good, "a")
        await good.write(PublishPacket("a", b"x"))
        assert (await read_publish(good)).payload == b"x"


@every_loop_test
async def test_a_reason_is_not_lost_when_the_peer_was_still_sending():
    async with make_server() as server, client(server) as peer:
        await peer.write_bytes(b"\xf0\x02\x00\x00" + bytes(1_000_000))
        goodbye = await peer.read()
        assert isinstance(goodbye, DisconnectPacket)
        assert goodbye.reason_code >= 0x80


@every_loop_test
async def test_on_event_hears_of_clients_and_may_fail(caplog):
    heard = []

    def on_event(event):
        heard.append(type(event).__name__)
        raise ValueError("a bug of the host")

    async with make_server(on_event=on_event) as server, client(server, "x"):
        assert heard == ["ClientConnected"]
    assert "on_event failed" in caplog.text


# ---------------------------------------------------------------------------------------------------------- storage


class SlowStore(MemoryStore):
    """A memory store whose commits wait until they are let go."""

    def __init__(self):
        super().__init__()
        self.gate = asyncio.Event()
        self.waiting = asyncio.Event()
        self.commits = 0

    async def apply(self, batch):
        self.waiting.set()
        await self.gate.wait()
        self.commits += 1
        await super().apply(batch)


class BrokenStore(MemoryStore):
    """A memory store that fails to commit."""

    async def apply(self, batch):
        raise StorageError("the disk is full")


@every_loop_test
async def test_nothing_is_acknowledged_before_it_is_durable():
    store = SlowStore()
    async with make_server(store=store) as server:
        store.gate.set()
        async with client(server, "s", version=4, clean_start=False) as subscriber, client(server) as publisher:
            await subscribe(subscriber, "a", 1)
            store.gate.clear()
            store.waiting.clear()
            await publisher.write(PublishPacket("a", b"x", 1, packet_id=7))
            await store.waiting.wait()
            await publisher.write(PingreqPacket())
            assert isinstance(await publisher.read(), PingrespPacket)  # and no PUBACK before it
            before = store.commits
            store.gate.set()
            answer = await publisher.read()
            assert isinstance(answer, PubackPacket)
            assert store.commits > before
            assert (await read_publish(subscriber)).payload == b"x"


@every_loop_test
async def test_a_store_that_fails_stops_the_server_without_an_acknowledgement():
    server = make_server(store=BrokenStore())
    await server.start()
    async with await open_connection(port=server.port, version=4) as peer:
        await peer.write(ConnectPacket("s", version=4, clean_start=False))
        with contextlib.suppress(ConnectionResetError):
            assert await peer.read() is None
        with pytest.raises(StorageError, match="the disk is full"):
            await server.wait_stopped()
    await server.stop()
    assert server.connections == 0


@every_loop_test
async def test_a_session_survives_the_server_in_its_store():
    store = MemoryStore()
    async with make_server(store=store) as server:
        async with client(server, "s", version=4, clean_start=False) as subscriber:
            await subscribe(subscriber, "a", 1)
        await server.committed(server.publish("a", b"x", qos=1))
    async with make_server(store=store) as server, await open_connection(port=server.port, version=4) as peer:
        await peer.write(ConnectPacket("s", version=4, clean_start=False))
        assert await peer.read() == ConnackPacket(0, True)
        assert (await read_publish(peer)).payload == b"x"


# ------------------------------------------------------------------------------------------------- in-process verbs


@every_loop_test
async def test_the_host_publishes_and_subscribes_without_a_socket():
    async with make_server() as server, client(server) as peer:
        subscription = server.subscribe("from/+", qos=1)
        await subscribe(peer, "to/peer")
        server.publish("to/peer", b"1")
        assert (await read_publish(peer)).payload == b"1"
        await peer.write(PublishPacket("from/peer", b"2", 1, packet_id=1))
        message = await subscription.get()
        assert (message.topic, message.payload, message.qos) == ("from/peer", b"2", 1)
        subscription.close()
        subscription.close()
        assert await subscription.get() is None


@every_loop_test
async def test_an_in_process_subscription_ends_with_the_server():
    async with make_server() as server:
        subscription = server.subscribe("#")
        seen = []

        async def collect():
            seen.extend([message.payload async for message in subscription])

        task = asyncio.create_task(collect())
        server.publish("a", b"1")
        await server.stop()
        await task
        assert seen == [b"1"]


@every_loop_test
async def test_manual_acknowledgement_keeps_a_message_until_it_is_done_with():
    async with make_server() as server:
        subscription = server.subscribe("#", qos=1, manual_ack=True)
        server.publish("a", b"1", qos=1)
        message = await subscription.get()
        subscription.acknowledge(message)
        assert server.broker.counters.queued_messages == 0


@every_loop_test
async def test_the_host_disconnects_a_client_with_a_reason():
    async with make_server() as server, client(server, "x") as peer:
        assert server.disconnect("x", ReasonCode.ADMINISTRATIVE_ACTION)
        goodbye = await peer.read()
        assert goodbye.reason_code == ReasonCode.ADMINISTRATIVE_ACTION
        assert not server.disconnect("nobody")


@every_loop_test
async def test_other_threads_publish_subscribe_and_disconnect():
    async with make_server(store=MemoryStore()) as server, client(server, "x") as peer:
        await subscribe(peer, "to/peer")
        results = []

        def other_thread():
            threadsafe = server.threadsafe
            subscription = threadsafe.subscribe("from/#", qos=1)
            threadsafe.publish("to/peer", b"1", qos=1, retain=True)
            message = subscription.get(10)
            results.append(message.payload)
            with pytest.raises(TimeoutError):
                subscription.get(0.01)
            subscription.close()
            results.append(threadsafe.disconnect("x"))

        running = asyncio.create_task(asyncio.to_thread(other_thread))
        assert (await read_publish(peer)).payload == b"1"
        await peer.write(PublishPacket("from/peer", b"2"))
        assert isinstance(await peer.read(), DisconnectPacket)
        await running
        assert results == [b"2", True]
        await asyncio.get_running_loop().shutdown_default_executor()


@every_loop_test
async def test_the_threadsafe_verbs_refuse_the_loops_own_thread_and_a_stopped_server():
    async with make_server() as server:
        with pytest.raises(RuntimeError, match="other threads"):
            server.threadsafe.publish("a")
    with pytest.raises(RuntimeError, match="not running"):
        server.threadsafe.publish("a")


@every_loop_test
async def test_a_thread_waiting_for_messages_is_freed_when_the_server_stops():
    async with make_server() as server:
        ready, received = threading.Event(), threading.Event()
        seen = []

        def other_thread():
            subscription = server.threadsafe.subscribe("#")
            ready.set()
            for message in subscription:
                seen.append(message.payload)
                received.set()

        running = asyncio.create_task(asyncio.to_thread(other_thread))
        await asyncio.to_thread(ready.wait)
        server.publish("a", b"1")
        await asyncio.to_thread(received.wait)
        await server.stop()
        await running
        assert seen == [b"1"]
    await asyncio.get_running_loop().shutdown_default_executor()


@every_loop_test
async def test_who_waits_for_a_commit_is_told_when_there_will_be_none():
    server = make_server(store=BrokenStore())
    await server.start()
    with pytest.raises(StorageError, match="the disk is full"):
        await server.committed(server.publish("a", b"x", retain=True))
    with pytest.raises(StorageError, match="the disk is full"):
        await server.wait_stopped()
    assert server.port == 0


@every_loop_test
async def test_a_store_that_cannot_be_read_refuses_the_start_and_is_given_back():
    class Damaged(MemoryStore):
        closed = False

        async def load_snapshot(self, progress=None):
            raise StorageError("damaged")

        async def close(self):
            self.closed = True

    store = Damaged()
    with pytest.raises(StorageError, match="damaged"):
        await make_server(store=store).start()
    assert store.closed


@every_loop_test
async def test_a_stopped_server_keeps_no_timer():
    async with make_server(sys_interval_s=0.01) as server:
        pass
    assert server._timer is None or server._timer.cancelled()
    server.driver.tick()
    assert server._timer is None or server._timer.cancelled()


@every_loop_test
async def test_a_clock_of_the_host_is_the_time_of_the_broker():
    now = 1000.0
    server = MqttServer(ServerConfig(bind_addr=LOOPBACK, sys_interval_s=0), clock=lambda: now)
    async with server, client(server) as peer:
        await peer.write(PublishPacket("a", b"x", retain=True, properties=Properties(message_expiry_interval=10)))
        await peer.write(PingreqPacket())
        assert isinstance(await peer.read(), PingrespPacket)
        now = 1009.0
        await subscribe(peer, "a")
        assert (await read_publish(peer)).properties.message_expiry_interval == 1

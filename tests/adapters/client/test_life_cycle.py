"""Ends of a client that do not come at a quiet moment: what waits is told, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import anyio
import pytest

from mqtt_adapters import blocking
from mqtt_adapters.asyncio import Client
from mqtt_adapters.client.streams import Overflow
from mqtt_adapters.errors import ClientClosed, ClientError, OperationTimeout
from mqtt_core.codec import LocalProtocolError, Properties, PublishPacket, StorageError, encode
from mqtt_core.persistence import MemoryStore
from tests.adapters.client.kit import contract, free_port, take
from tests.adapters.kit import asyncio_test

LASTING = {"client_id": "lasting", "session_expiry_s": 1000}
QUICK = {"reconnect_min_s": 0.01, "reconnect_max_s": 0.01}


def loop_of(style, client):
    """What is behind a client's verbs."""
    return client._client._loop if style.name in {"blocking", "pump"} else client._loop


async def no_more(style, sent):
    """Wait until a publisher has to wait."""
    before = -1
    while before != len(sent):
        before = len(sent)
        await style.sleep(0.1)


class FrailStore(MemoryStore):
    """Fails when it is told to; `closed` counts."""

    def __init__(self, failing=""):
        super().__init__()
        self.failing = failing
        self.closed = 0

    async def load_snapshot(self, progress=None):
        if self.failing == "load":
            raise StorageError("unreadable")
        return await super().load_snapshot(progress)

    async def apply(self, batch):
        if self.failing == "apply":
            raise StorageError("the disk is full")
        await super().apply(batch)

    async def close(self):
        self.closed += 1


@contract
async def test_a_client_whose_storage_failed_connects_no_more(style, counting_server):
    store = FrailStore()
    async with style.client(port=counting_server.port, store=store, **LASTING, **QUICK) as client:
        store.failing = "apply"
        with pytest.raises(ClientError, match="the disk is full"):
            await client.publish("t", b"1", qos=1)
        for _ in range(30):
            await style.sleep(0.01)
            if style.name == "pump":
                loop_of(style, client).step(0)
        assert not client.connected
    assert counting_server.connections == 1


@pytest.mark.parametrize("flaw", ["unreadable", "no client identifier"])
@contract
async def test_a_client_that_cannot_start_gives_its_store_back(style, flaw):
    store = FrailStore("load" if flaw == "unreadable" else "")
    client = style.client(store=store, client_id="x" if flaw == "unreadable" else "", session_expiry_s=9)
    with pytest.raises((StorageError, LocalProtocolError)):
        await client.__aenter__()
    assert store.closed == 1


@asyncio_test
async def test_close_may_be_cancelled_while_it_waits_for_the_server(stuck_server):
    store = FrailStore()
    client = await Client("127.0.0.1", stuck_server, store=store, **LASTING).start()
    client.publish_nowait("t", bytes(20_000_000))
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert client._loop._link is None
    assert store.closed == 1


@contract
async def test_a_request_nobody_answers_ends_with_the_client(style, own_broker):
    if style.name == "pump":
        return  # whoever waits there is the one who would close it
    async with style.client(port=own_broker.port) as client:
        driver = loop_of(style, client).driver
        client.on_message("question", lambda message: driver.close())
        await client.subscribe("question", qos=1)
        with pytest.raises(ClientClosed):
            await client.request("question", qos=0, timeout=15)


@contract
async def test_readers_that_gave_up_are_not_kept(style, own_broker):
    async with style.client(port=own_broker.port) as client:
        stream = client.stream("quiet/#")
        for _ in range(5):
            if style.name in {"blocking", "pump"}:
                stream._stream._timeout = 0
                assert list(stream._stream) == []
            else:
                with anyio.move_on_after(0):
                    await anext(stream)
        inner = stream._stream if style.name in {"blocking", "pump"} else stream
        assert inner._buffer.waiters == []


@contract
async def test_who_gave_up_waiting_for_a_connection_is_not_kept(style):
    async with style.client(port=free_port(), start_offline=True) as client:
        for _ in range(5):
            with pytest.raises(OperationTimeout):
                await client.wait_connected(timeout=0.001)
        assert loop_of(style, client).driver.connected_waiters == []


@contract
async def test_a_stream_is_read_to_its_end_and_closed_after_the_client(style, own_broker):
    async with style.client(port=own_broker.port) as client, style.client(port=own_broker.port) as other:
        stream = client.stream("late/#", buffer_messages=2, overflow=Overflow.PAUSE)
        await client.subscribe("late/#", qos=1)
        for n in range(5):
            await other.publish("late/t", b"%d" % n, qos=1)
        first = await take(stream, 1)
    rest = await take(stream, len(stream))  # as many as were read before the connection was paused
    assert [m.payload for m in first + rest] == [b"0", b"1", b"2", b"3", b"4"][: 1 + len(rest)]
    stream.close()


@contract
async def test_the_wildcards_of_a_client_identifier_do_not_reach_its_response_topic(style, own_broker):
    async with (
        style.client(port=own_broker.port, client_id="c#/+") as client,
        style.client(port=own_broker.port) as server,
    ):
        if style.name == "pump":
            return  # two of them in one thread cannot talk to each other

        def answer(request):
            correlation = Properties(correlation_data=request.properties.correlation_data)
            server.publish_nowait(request.properties.response_topic, b"yes", properties=correlation)

        server.on_message("question", answer)
        await server.subscribe("question")
        assert (await client.request("question")).payload == b"yes"


@pytest.mark.parametrize("port", [-1, 65536])
@contract
async def test_a_port_that_is_none_is_refused_in_the_constructor(style, port):
    with pytest.raises(ValueError, match="a port is a number from 0 to 65535"):
        style.client("127.0.0.1", port)


def test_closing_does_not_wait_for_a_server_that_never_stops_talking():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = threading.Event()

        def talk():
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.recv(1000)
                sock.sendall(b"\x20\x03\x00\x00\x00")
                while not closed.is_set():
                    sock.sendall(b"\x30\x05\x00\x01a\x00b" * 1000)

        talker = threading.Thread(target=talk)
        talker.start()
        client = blocking.Client("127.0.0.1", listener.getsockname()[1], close_timeout_s=0.1).start()
        closing = threading.Thread(target=client.close)
        closing.start()
        closing.join(timeout=10)
        alive = closing.is_alive()
        closed.set()
        talker.join()
        closing.join()
    assert not alive


def test_a_callback_of_a_pumped_client_does_not_wait_for_itself(own_broker):
    refused = []
    with blocking.Client("127.0.0.1", own_broker.port, background=False) as client:

        def callback(message):
            with pytest.raises(LocalProtocolError, match="a callback cannot wait"):
                client.publish("other", b"", qos=1)
            refused.append(message)

        client.on_message("pumped", callback)
        client.subscribe("pumped", 1)
        client.publish("pumped", b"", qos=1)
        while not refused:
            client.pump(1)


@contract
async def test_a_server_that_does_not_read_before_it_is_read_stops_nothing_for_good(style):
    if style.name in {"blocking", "pump"}:
        return  # their publishers are in the way of their readers, one thread being both
    sent = []
    block = encode(PublishPacket("down", bytes(10_000)), 5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

        def talk():
            sock, _ = listener.accept()
            with sock, contextlib.suppress(OSError):
                sock.recv(1000)
                sock.sendall(b"\x20\x03\x00\x00\x00" + block * 2000)
                while sock.recv(1 << 20):
                    pass

        talker = threading.Thread(target=talk)
        talker.start()
        async with (
            style.client(port=listener.getsockname()[1], buffer_messages=10) as client,
            anyio.create_task_group() as tasks,
        ):

            async def flood():
                for _ in range(200):
                    await client.publish("up", bytes(100_000))
                    sent.append(None)

            tasks.start_soon(flood)
            await no_more(style, sent)
            with anyio.fail_after(20):
                assert len(await take(client.messages, 2000)) == 2000
        talker.join()


@contract
async def test_who_waits_for_room_when_the_client_is_closed_hears_of_it(style, stuck_server):
    if style.name in {"blocking", "pump"}:
        return
    told = []
    sent = []

    async def flood(client):
        with pytest.raises(ClientClosed):
            while True:
                await client.publish("up", bytes(100_000))
                sent.append(None)
        told.append(None)

    async with anyio.create_task_group() as tasks:
        async with style.client(port=stuck_server, close_timeout_s=0.05) as client:
            tasks.start_soon(flood, client)
            await no_more(style, sent)
        with anyio.fail_after(20):
            while not told:
                await style.sleep(0.01)

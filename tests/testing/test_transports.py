"""The transport contract, kept by every kind of transport this project brings or lives on, in all styles."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import anyio
import pytest
from anyio.streams.tls import TLSStream

from mqtt_adapters.anyio.memory import memory_pair
from mqtt_adapters.asyncio.memory import connect_pair
from mqtt_core.testing.contracts import AsyncioTransportContract, BlockingTransportContract
from mqtt_core.testing.contracts.transport_anyio import AnyioTransportContract
from tests.adapters.kit import certificates

__all__ = ["certificates"]

BUFFER = 64 * 1024


def tcp_listener():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    return listener


def tcp_pair():
    """Two ends of a TCP connection with small buffers."""
    with tcp_listener() as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    for end in (one, other):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return one, other


class WithCertificates:
    @pytest.fixture(autouse=True)
    def contexts(self, certificates):
        self.client_context = ssl.create_default_context(cafile=certificates["ca"])
        self.server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server_context.load_cert_chain(certificates["server"], certificates["server-key"])


# -- blocking --------------------------------------------------------------------------------------


class TestBlockingSocketPair(BlockingTransportContract):
    """What `connect_in_memory` uses for this style."""

    def connect(self):
        return socket.socketpair()


class TestBlockingTcp(BlockingTransportContract):
    def connect(self):
        return tcp_pair()


class TestBlockingTls(WithCertificates, BlockingTransportContract):
    def connect(self):
        one, other = tcp_pair()
        wrapped = []
        thread = threading.Thread(
            target=lambda: wrapped.append(self.server_context.wrap_socket(other, server_side=True))
        )
        thread.start()
        client = self.client_context.wrap_socket(one, server_hostname="localhost")
        thread.join()
        # The tickets TLS 1.3 sends behind the handshake are taken here, so that a fresh transport is silent.
        client.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            client.recv(1)
        return client, wrapped[0]


# -- asyncio ---------------------------------------------------------------------------------------


class TestAsyncioMemory(AsyncioTransportContract):
    async def connect(self, client, server):
        connect_pair(client, server)


class TestAsyncioTcp(AsyncioTransportContract):
    async def connect(self, client, server):
        one, other = tcp_pair()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: client, sock=one)
        await loop.connect_accepted_socket(lambda: server, other)


class TestAsyncioTls(WithCertificates, AsyncioTransportContract):
    async def connect(self, client, server):
        one, other = tcp_pair()
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            loop.create_connection(lambda: client, sock=one, ssl=self.client_context, server_hostname="localhost"),
            loop.connect_accepted_socket(lambda: server, other, ssl=self.server_context),
        )


# -- anyio -----------------------------------------------------------------------------------------


class TestAnyioMemory(AnyioTransportContract):
    backends = ("asyncio", "trio")

    async def connect(self):
        return memory_pair()


async def anyio_tcp_pair():
    ends = [await anyio.abc.SocketStream.from_socket(sock) for sock in tcp_pair()]
    for one, other in (ends, ends[::-1]):  # on asyncio a stream made so reads without bound until the first receive
        await one.send(b"x")
        await other.receive()
    return ends


class TestAnyioTcp(AnyioTransportContract):
    backends = ("asyncio", "trio")

    async def connect(self):
        return await anyio_tcp_pair()


class TestAnyioTls(WithCertificates, AnyioTransportContract):
    backends = ("asyncio", "trio")

    async def connect(self):
        one, other = await anyio_tcp_pair()
        wrapped = {}

        async def wrap(stream, **options):
            wrapped[stream] = await TLSStream.wrap(stream, standard_compatible=False, **options)

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: wrap(one, hostname="localhost", ssl_context=self.client_context))
            group.start_soon(lambda: wrap(other, server_side=True, ssl_context=self.server_context))
        return wrapped[one], wrapped[other]

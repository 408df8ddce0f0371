"""The asyncio server on a transport of the host that can do less than a socket."""

from __future__ import annotations

import asyncio

from mqtt_adapters.asyncio import MqttServer, ServerConfig
from mqtt_adapters.asyncio.memory import MemoryTransport
from mqtt_core.codec import ConnectPacket, encode
from tests.adapters.kit import asyncio_test


class OneWayClose(MemoryTransport):
    """A transport that knows no half-closed connections, as asyncio.Transport says it by default."""

    def write_eof(self):
        raise NotImplementedError


class End(asyncio.Protocol):
    def __init__(self):
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.data += data

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@asyncio_test
async def test_last_words_arrive_over_a_transport_without_write_eof():
    loop = asyncio.get_running_loop()
    async with MqttServer(ServerConfig(bind_addr="127.0.0.1:0")) as server:
        end, served = End(), server.new_protocol("host")
        client, transport = MemoryTransport(loop, end), OneWayClose(loop, served)
        client.peer, transport.peer = transport, client
        served.connection_made(transport)
        client.write(encode(ConnectPacket("c"), 5) + b"\x00\x00")
        assert await asyncio.wait_for(end.lost, 10) is None
        assert end.data[:1] == b"\x20"
        assert b"\xe0" in end.data[5:], "no DISCONNECT"

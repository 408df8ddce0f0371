"""The packet-level connection: whole packets in and out, faults as errors that know their reason code."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mqtt_adapters.asyncio import Connection, open_connection
from mqtt_core.codec import (
    ConnackPacket,
    ConnectPacket,
    LocalProtocolError,
    MalformedPacket,
    PingreqPacket,
    PublishPacket,
    ReasonCode,
    encode,
)
from tests.adapters.kit import asyncio_test


@contextlib.asynccontextmanager
async def peers(version=5):
    """A client's connection and the server's end of it."""
    accepted = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *streams: accepted.set_result(Connection(*streams)), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with await open_connection(port=port, version=version) as near, await accepted as far:
        yield near, far
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("version", [4, 5])
@asyncio_test
async def test_packets_go_both_ways_and_the_accepting_side_learns_the_version(version):
    async with peers(version) as (near, far):
        assert far.version == 0
        await near.write(ConnectPacket("x", version=version))
        assert await far.read() == ConnectPacket("x", version=version)
        assert far.version == version
        await far.write(ConnackPacket())
        assert await near.read() == ConnackPacket()


@asyncio_test
async def test_packets_come_whole_however_they_are_cut():
    async with peers() as (near, far):
        data = encode(ConnectPacket("x"), 5) + encode(PublishPacket("a", b"x" * 200_000), 5) + b"\xc0\x00"
        for start in range(0, len(data), 70_001):
            await near.write_bytes(data[start : start + 70_001])
        assert (await far.read()).client_id == "x"
        assert len((await far.read()).payload) == 200_000
        assert await far.read() == PingreqPacket()


@asyncio_test
async def test_the_end_of_the_stream_is_none():
    async with peers() as (near, far):
        await near.write_bytes(b"\x10")
        await near.close()
        assert await far.read() is None


@asyncio_test
async def test_what_is_no_packet_raises_with_its_reason_code():
    async with peers() as (near, far):
        await near.write_bytes(b"\x10\xff\xff\xff\xff\x01")
        with pytest.raises(MalformedPacket) as caught:
            await far.read()
        assert caught.value.reason_code == ReasonCode.MALFORMED_PACKET


@asyncio_test
async def test_what_cannot_be_said_raises_and_sends_nothing():
    async with peers() as (near, far):
        with pytest.raises(LocalProtocolError):
            await near.write(PublishPacket("a", qos=1, packet_id=0))
        await near.write(ConnectPacket("x"))
        assert isinstance(await far.read(), ConnectPacket)


@asyncio_test
async def test_nobody_listening_is_an_oserror():
    with pytest.raises(OSError, match=r"Connect call failed|refused"):
        await open_connection(port=1)

"""The transport contract for asyncio: an `asyncio.Transport` between two protocols.

    class TestMyTransport(AsyncioTransportContract):
        async def connect(self, client, server):
            await my_create_connection(client, server)

The client's end is an `asyncio.Protocol` and the server's an `asyncio.BufferedProtocol`, as they are in
`mqtt_adapters.asyncio`. Besides the bytes the callbacks are watched: `connection_made` first, `pause_writing` and
`resume_writing` by turns, nothing to read while reading is paused, `eof_received` once at most, `connection_lost` once
and last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, cast

from mqtt_core.testing.contracts.transport import TransportContract, TransportEnd

__all__ = ["AsyncioTransportContract"]

BUFFER_BYTES: Final = 64 * 1024

FRAMING_BYTES: Final = 64
FRAMED_BYTES: Final = 16 * 1024
"""A transport may frame what it is given, as TLS does with records: so many bytes more for so many."""


class _End:
    """What both kinds of protocol share. It pauses reading as soon as it has something.

    fault: what was wrong with a callback; raised where the check waits, because a loop only logs it.
    """

    def __init__(self) -> None:
        self.fault = ""
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._reading = True
        self._full = False
        self._eof = False
        self.lost = False

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.demand(self._transport is None, "connection_made again")
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._changed.set()

    def take(self, data: bytes) -> None:
        self._check_open()
        self.demand(not self._eof, "bytes behind the end")
        self.demand(self._reading, "bytes while reading is paused")
        self._chunks.append(data)
        self._set_reading(False)
        self._changed.set()

    def eof_received(self) -> bool:
        self._check_open()
        self.demand(not self._eof, "eof_received again")
        self._eof = True
        self._changed.set()
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        self._check_open()
        self.lost = True
        self._changed.set()

    def pause_writing(self) -> None:
        self._check_open()
        self.demand(not self._full, "pause_writing again")
        self._full = True

    def resume_writing(self) -> None:
        self._check_open()
        self.demand(self._full, "resume_writing, but it was not paused")
        self._full = False
        self._changed.set()

    def demand(self, kept: object, fault: str) -> None:
        """Note a broken rule."""
        if not kept:
            self.fault = self.fault or fault
            self._changed.set()

    def _check_open(self) -> None:
        self.demand(self._transport is not None, "a callback before connection_made")
        self.demand(not self.lost, "a callback after connection_lost")

    def _set_reading(self, reading: bool) -> None:
        if reading is not self._reading and not self.transport.is_closing():
            self._reading = reading
            if reading:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    # -- TransportEnd ------------------------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    async def opened(self) -> None:
        while self._transport is None:
            await self._change()

    async def ended(self) -> None:
        while not self.lost:
            await self._change()
        assert not self.fault, self.fault

    async def _change(self) -> None:
        assert not self.fault, self.fault
        self._changed.clear()
        await self._changed.wait()
        assert not self.fault, self.fault

    async def write(self, data: bytes) -> None:
        self.transport.write(data)
        while self._full and not self.lost:
            size = self.transport.get_write_buffer_size()
            framing = FRAMING_BYTES * (1 + len(data) // FRAMED_BYTES)
            assert size <= BUFFER_BYTES + len(data) + framing, (
                f"{size} bytes wait in a transport that has called pause_writing"
            )
            await self._change()

    async def read(self, size: int) -> bytes:
        while not self._chunks:
            if self._eof or self.lost:
                return b""
            self._set_reading(True)
            await self._change()
        data = self._chunks.popleft()
        if len(data) > size:
            self._chunks.appendleft(data[size:])
        return data[:size]

    async def write_eof(self) -> None:
        self.transport.write_eof()

    async def close(self) -> None:
        self.transport.close()

    async def abort(self) -> None:
        self.transport.abort()


class _ClientEnd(_End, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.demand(data, "data_received with nothing")
        self.take(bytes(data))


class _ServerEnd(_End, asyncio.BufferedProtocol):
    def __init__(self) -> None:
        super().__init__()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.demand(nbytes > 0, "buffer_updated with nothing")
        self.take(bytes(self._buffer[:nbytes]))


class AsyncioTransportContract(TransportContract):
    """For transports of `mqtt_adapters.asyncio`: override `connect`."""

    async def connect(self, client: asyncio.Protocol, server: asyncio.BufferedProtocol) -> None:
        """Connect the protocols `client` and `server` with each other, each by a transport of its own, in this loop."""
        raise NotImplementedError

    async def open_ends(self) -> tuple[TransportEnd, TransportEnd]:
        """The pair, in the contract's words."""
        client, server = _ClientEnd(), _ServerEnd()
        await self.connect(client, server)
        await client.opened()
        await server.opened()
        return client, server

    async def settle(self, one: TransportEnd, other: TransportEnd) -> None:
        """`connection_lost` comes to `one` and to `other`."""
        assert isinstance(one, _End)
        assert isinstance(other, _End)
        await one.ended()
        await other.ended()

"""The transport contract finds what is wrong: transports that break one rule each, and the check that says so."""

from __future__ import annotations

import asyncio
import re
import socket

import anyio
import pytest

from mqtt_adapters.anyio.memory import MemoryStream, memory_pair
from mqtt_adapters.asyncio.memory import MemoryTransport
from mqtt_core.testing.contracts import AsyncioTransportContract, BlockingTransportContract
from mqtt_core.testing.contracts.transport_anyio import AnyioTransportContract

# -- blocking --------------------------------------------------------------------------------------


class Line:
    """A socket that does everything right."""

    def __init__(self, sock):
        self.sock = sock

    def fileno(self):
        return self.sock.fileno()

    def recv(self, size):
        return self.sock.recv(size)

    def send(self, data):
        return self.sock.send(data)

    def setblocking(self, flag):
        self.sock.setblocking(flag)

    def close(self):
        self.sock.close()


class Swapping(Line):
    def send(self, data):
        return self.sock.send(data[1::-1] + data[2:])


class Forgetful(Line):
    """Says that it sent all, and forgets what there was no room for."""

    def send(self, data):
        self.sock.send(data)
        return len(data)


class Greedy(Line):
    def recv(self, size):
        return self.sock.recv(size + 1)


class Hoarding(Line):
    """Takes everything, at once."""

    kept = b""

    def send(self, data):
        self.kept += data
        return len(data)


class Touchy(Line):
    closed = False

    def close(self):
        if self.closed:
            raise OSError("closed already")
        self.closed = True
        self.sock.close()


class Deaf(Line):
    """Does not see the end of the other side."""

    def recv(self, size):
        data = self.sock.recv(size)
        if not data:
            raise BlockingIOError
        return data


class Waiting(Line):
    def recv(self, size):
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            return b""


BLOCKING = [
    (Swapping, "test_many_small_writes_arrive", "other bytes than were written"),
    (Forgetful, "test_one_large_write_arrives", "other bytes than were written|did not come"),
    (Greedy, "test_bytes_arrive_in_order_whatever_the_pieces", "where [0-9]+ were asked for"),
    (Hoarding, "test_a_reader_that_stops_makes_the_writer_wait", "bytes that nobody reads"),
    (Touchy, "test_closing_again_does_nothing", "closed already"),
    (Deaf, "test_the_end_comes_behind_the_last_byte_and_stays", "did not come within"),
    (Waiting, "test_nothing_to_read_is_said_at_once", "though nothing was written"),
]


@pytest.mark.parametrize("broken, check, said", BLOCKING)
def test_a_broken_blocking_transport_is_found_out(broken, check, said):
    class Contract(BlockingTransportContract):
        patience_s = 0.5 if "did not come" in said else 30.0
        bound_bytes = 1 << 20

        def connect(self):
            pair = socket.socketpair()
            sockets.extend(pair)
            return tuple(map(broken, pair))

    sockets = []
    with pytest.raises((AssertionError, OSError), match=re.compile(said)):
        getattr(Contract(), check)()
    for sock in sockets:
        sock.close()


# -- asyncio ---------------------------------------------------------------------------------------


class LosesTwice(MemoryTransport):
    def _lose(self):
        super()._lose()
        self._protocol.connection_lost(None)


class IgnoresPause(MemoryTransport):
    def pause_reading(self):
        pass


class NeverPauses(MemoryTransport):
    def set_write_buffer_limits(self, high=None, low=None):
        super().set_write_buffer_limits(high=1 << 30)


class NeverEnds(MemoryTransport):
    def _end_of_input(self):
        pass


class NeverLost(MemoryTransport):
    def _lose(self):
        pass


ASYNCIO = [
    (LosesTwice, "test_closing_again_does_nothing", "a callback after connection_lost"),
    (IgnoresPause, "test_many_small_writes_arrive", "bytes while reading is paused"),
    (NeverPauses, "test_a_reader_that_stops_makes_the_writer_wait", "bytes that nobody reads"),
    (NeverEnds, "test_an_abort_reaches_the_other_end", "did not come within"),
    (NeverLost, "test_closing_again_does_nothing", "did not come within"),
]


@pytest.mark.parametrize("broken, check, said", ASYNCIO)
def test_a_broken_asyncio_transport_is_found_out(broken, check, said):
    class Contract(AsyncioTransportContract):
        patience_s = 0.5 if "did not come" in said else 30.0
        bound_bytes = 1 << 20

        async def connect(self, client, server):
            loop = asyncio.get_running_loop()
            one, other = broken(loop, client), broken(loop, server)
            one.peer, other.peer = other, one
            client.connection_made(one)
            server.connection_made(other)

    with pytest.raises(AssertionError, match=re.compile(said)):
        getattr(Contract(), check)()


# -- anyio -----------------------------------------------------------------------------------------


class LateEnd(MemoryStream):
    """Says b"" at the end."""

    async def receive(self, max_bytes=65536):
        try:
            return await super().receive(max_bytes)
        except anyio.EndOfStream:
            return b""


class Generous(MemoryStream):
    async def receive(self, max_bytes=65536):
        return await super().receive(max_bytes + 1)


class Complaining(MemoryStream):
    async def send(self, item):
        try:
            await super().send(item)
        except anyio.BrokenResourceError as error:
            raise RuntimeError("the other end has gone") from error


ANYIO = [
    (LateEnd, "test_the_end_comes_behind_the_last_byte_and_stays", "the end is an EndOfStream"),
    (Generous, "test_bytes_arrive_in_order_whatever_the_pieces", "were asked for"),
    (Complaining, "test_a_line_that_is_dead_is_told_by_reading", "has gone"),
]


@pytest.mark.parametrize("broken, check, said", ANYIO)
def test_a_broken_anyio_transport_is_found_out(broken, check, said):
    class Contract(AnyioTransportContract):
        patience_s = 30.0

        async def connect(self):
            ends = memory_pair()
            for end in ends:
                end.__class__ = broken
            return ends

    with pytest.raises((AssertionError, RuntimeError), match=re.compile(said)):
        getattr(Contract(), check)()

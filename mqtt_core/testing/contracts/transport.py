"""What every transport must keep, as pytest classes: subclass the one of your I/O style and say how to connect a pair.

    class TestMyLine(BlockingTransportContract):
        def connect(self):
            return MyLine(...), MyLine(...)

`BlockingTransportContract` is here, `AsyncioTransportContract` in `transport_asyncio` and `AnyioTransportContract` in
`transport_anyio`. They differ in what a transport is; what it has to keep stands in `TransportContract`, once: order,
an end, back-pressure with a bound, harmless closing. That is what the clients and servers of `mqtt_adapters` rest on,
and nothing is asked for that they do not use.

Every check runs from both ends, and gives up after `patience_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Any, Final, Protocol

__all__ = ["BlockingTransport", "BlockingTransportContract", "TransportContract", "TransportEnd"]

STILL_S: Final = 0.02
STILL_ROUNDS: Final = 5
PIECE_BYTES: Final = 16 * 1024
_NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TransportEnd(Protocol):
    """One end of a connection in the words of the contract, whatever the style."""

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while there is no room. Raises one of the contract's `gone` when the line is dead."""
        ...

    async def read(self, size: int) -> bytes:
        """The next bytes, `size` at most where the style can say so; b"" at the end and ever after."""
        ...

    async def write_eof(self) -> None:
        """Say no more, and still listen. Raises NotImplementedError where that cannot be."""
        ...

    async def close(self) -> None:
        """Close; what was written still arrives."""
        ...

    async def abort(self) -> None:
        """Close at once."""
        ...


Check = Callable[[TransportEnd, TransportEnd], Awaitable[None]]


class TransportContract:
    """The contract; a class for each style makes it work.

    bulk_bytes: how much the larger checks send; less for a slow line. bound_bytes: how much a transport may take while
    nobody reads, its system's buffers included. patience_s: after how many seconds a check has failed. gone: what a
    transport may raise when the line is dead.
    """

    bulk_bytes = 1 << 20
    bound_bytes = 16 << 20
    patience_s = 30.0
    gone: tuple[type[Exception], ...] = (OSError,)

    async def open_ends(self) -> tuple[TransportEnd, TransportEnd]:
        """Connect a fresh pair."""
        raise NotImplementedError

    async def settle(self, one: TransportEnd, other: TransportEnd) -> None:
        """The ends of a pair, `one` and `other`, were aborted after a check: wait for what has still to come."""

    def run(self, test: Callable[[], Awaitable[None]]) -> None:
        """Run one check to its end, under the style's event loop."""

        async def limited() -> None:
            try:
                await asyncio.wait_for(test(), self.patience_s)
            except TimeoutError:
                raise AssertionError(f"something did not come within {self.patience_s:g} s") from None

        asyncio.run(limited())

    async def together(self, *parts: Awaitable[None]) -> None:
        """Run some coroutines at the same time."""
        await asyncio.gather(*parts)

    async def sleep(self, seconds: float) -> None:
        """Let the others go on."""
        await asyncio.sleep(seconds)

    def check(self, body: Check) -> None:
        """Run a check on a fresh pair, and with the ends exchanged on another."""

        async def both_ways() -> None:
            for swap in (False, True):
                one, other = await self.open_ends()
                try:
                    await body(*((other, one) if swap else (one, other)))
                finally:
                    await one.abort()
                    await other.abort()
                await self.settle(one, other)

        self.run(both_ways)

    # ------------------------------------------------------------------------------------------------ bytes

    def test_bytes_arrive_in_order_whatever_the_pieces(self) -> None:
        """Both ways at once, written in pieces of many sizes and read in others."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            there, back = _pattern(1, self.bulk_bytes // 4), _pattern(2, self.bulk_bytes // 4)
            await self.together(
                _write_pieces(one, there, Random(3), 5000),
                _write_pieces(other, back, Random(4), 300),
                _expect(other, there, Random(5)),
                _expect(one, back, Random(6)),
            )

        self.check(body)

    def test_one_large_write_arrives(self) -> None:
        """However little of it the system takes at a time."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            data = _pattern(7, self.bulk_bytes)
            await self.together(one.write(data), _expect(other, data, Random(8)))

        self.check(body)

    def test_many_small_writes_arrive(self) -> None:
        """Of a byte or two each: a packet may be that small."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            data = _pattern(9, 3000)
            await self.together(_write_pieces(one, data, Random(10), 2), _expect(other, data, Random(11)))

        self.check(body)

    def test_a_conversation_goes_to_and_fro(self) -> None:
        """What is written goes out by itself: nobody calls flush."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            for number in range(200):
                question, answer = b"question %d" % number, b"answer %d" % number
                await one.write(question)
                await _expect(other, question, Random(number))
                await other.write(answer)
                await _expect(one, answer, Random(number))

        self.check(body)

    # -------------------------------------------------------------------------------------- back-pressure

    def test_a_reader_that_stops_makes_the_writer_wait(self) -> None:
        """Bounded memory while nobody reads, and every byte when somebody does."""
        total = self.bound_bytes + self.bulk_bytes
        piece = _pattern(12, PIECE_BYTES)
        taken = 0

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            nonlocal taken
            taken = 0

            async def write() -> None:
                nonlocal taken
                while taken < total:
                    await one.write(piece)
                    taken += len(piece)

            async def read() -> None:
                await self._standstill(lambda: taken)
                assert taken < self.bound_bytes, f"took {taken} bytes that nobody reads"
                await _expect(other, piece * -(-total // len(piece)), Random(13), 1 << 18)

            await self.together(write(), read())

        self.check(body)

    def test_one_way_blocked_leaves_the_other_open(self) -> None:
        """A peer that does not read can still be heard: its acknowledgements are what ends the jam."""
        piece = _pattern(14, PIECE_BYTES)
        taken = 0

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            nonlocal taken
            taken, jammed = 0, True

            async def jam() -> None:
                nonlocal taken
                while jammed:
                    await one.write(piece)
                    taken += len(piece)

            async def talk() -> None:
                nonlocal jammed
                await self._standstill(lambda: taken)
                await other.write(b"still here")
                await _expect(one, b"still here", Random(15))
                jammed = False
                await _expect(other, piece * (taken // len(piece) + 1), Random(16), 1 << 18)

            await self.together(jam(), talk())

        self.check(body)

    async def _standstill(self, level: Callable[[], int]) -> None:
        """Wait until a number has not changed for a while, or has passed the bound."""
        before, still = -1, 0
        while still < STILL_ROUNDS and before < self.bound_bytes:
            still = still + 1 if level() == before and before > 0 else 0
            before = level()
            await self.sleep(STILL_S)

    # ---------------------------------------------------------------------------------------------- the end

    def test_the_end_comes_behind_the_last_byte_and_stays(self) -> None:
        """Closing lets written bytes arrive, a DISCONNECT among them; then every read says that it is over."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            data = _pattern(17, 5000)
            await one.write(data)
            await one.close()
            await _expect(other, data, Random(18))
            for _ in range(3):
                assert await other.read(100) == b"", "bytes behind the end"

        self.check(body)

    def test_who_says_no_more_can_still_listen(self) -> None:
        """Only for transports that can close one direction; the others raise NotImplementedError."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            await one.write(b"last words")
            try:
                await one.write_eof()
            except NotImplementedError:
                return
            await _expect(other, b"last words", Random(19))
            assert await other.read(100) == b""
            await other.write(b"and mine")
            await _expect(one, b"and mine", Random(20))

        self.check(body)

    def test_an_abort_reaches_the_other_end(self) -> None:
        """Bytes under way may be lost; that it is over may not."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            await one.write(b"x")
            await one.abort()
            while await other.read(100):
                pass

        self.check(body)

    def test_a_line_that_is_dead_is_told_by_reading(self) -> None:
        """Writing to somebody who has gone may do nothing or raise an expected error; the read that follows tells."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            await other.abort()
            for _ in range(20):
                with contextlib.suppress(*self.gone):
                    await one.write(b"hello?")
                await self.sleep(0)
            while await one.read(100):
                pass

        self.check(body)

    def test_closing_again_does_nothing(self) -> None:
        """Both sides of an adapter may come to close."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            await one.close()
            await one.close()
            await one.abort()
            await other.abort()
            await other.close()

        self.check(body)

    def test_writing_after_closing_is_harmless(self) -> None:
        """It does nothing, or raises an expected error; the other end sees none of it."""

        async def body(one: TransportEnd, other: TransportEnd) -> None:
            await one.close()
            with contextlib.suppress(*self.gone):
                await one.write(b"too late")
            assert await other.read(100) == b""

        self.check(body)


def _pattern(seed: int, size: int) -> bytes:
    """Bytes that show where they belong."""
    return Random(seed).randbytes(size)


def _pieces(data: bytes, rng: Random, size_max: int) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        size = rng.choice((1, rng.randint(1, size_max), size_max))
        yield data[start : start + size]
        start += size


async def _write_pieces(end: TransportEnd, data: bytes, rng: Random, size_max: int) -> None:
    for piece in _pieces(data, rng, size_max):
        await end.write(piece)


async def _expect(end: TransportEnd, data: bytes, rng: Random, size_max: int = 8000) -> None:
    """Read exactly `data`."""
    position = 0
    while position < len(data):
        size = min(rng.randint(1, size_max), len(data) - position)
        got = await end.read(size)
        assert got, f"the end, {len(data) - position} bytes too early"
        assert data.startswith(got, position), f"other bytes than were written, from byte {position} on"
        position += len(got)


# ------------------------------------------------------------------------------------------------- blocking


class BlockingTransport(Protocol):
    """What the blocking client and server need of a transport, of which a socket is one."""

    def fileno(self) -> int:
        """A file descriptor the system can select on."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" at the end; BlockingIOError when there are none yet."""
        ...

    def send(self, data: bytes, /) -> int:
        """Write some of `data`; returns how many bytes; BlockingIOError when there is no room."""
        ...

    def setblocking(self, flag: bool, /) -> None:
        """Called with False when the transport goes into use."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class _BlockingEnd:
    """Waits with the event loop's selector, as the server waits with its own."""

    def __init__(self, transport: BlockingTransport) -> None:
        self.transport = transport
        self._closed = False
        transport.setblocking(False)

    async def write(self, data: bytes) -> None:
        while data:
            try:
                sent = self.transport.send(data)
            except _NOT_NOW:
                loop = asyncio.get_running_loop()
                await _event(loop.add_writer, loop.remove_writer, self.transport.fileno())
            else:
                assert 0 < sent <= len(data), f"send says {sent} of {len(data)} bytes"
                data = data[sent:]

    async def read(self, size: int) -> bytes:
        while True:
            try:
                data = self.transport.recv(size)
            except _NOT_NOW:
                loop = asyncio.get_running_loop()
                await _event(loop.add_reader, loop.remove_reader, self.transport.fileno())
            except OSError:
                return b""
            else:
                assert len(data) <= size, f"{len(data)} bytes where {size} were asked for"
                return data

    async def write_eof(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        self.transport.close()

    async def abort(self) -> None:
        self.transport.close()


async def _event(add: Callable[..., Any], remove: Callable[[int], Any], descriptor: int) -> None:
    ready = asyncio.Event()
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)


class BlockingTransportContract(TransportContract):
    """For transports of `mqtt_adapters.blocking`: override `connect`."""

    def connect(self) -> tuple[BlockingTransport, BlockingTransport]:
        """Both ends of a fresh connection, whatever blocks done."""
        raise NotImplementedError

    async def open_ends(self) -> tuple[TransportEnd, TransportEnd]:
        """The pair, in the contract's words."""
        one, other = self.connect()
        return _BlockingEnd(one), _BlockingEnd(other)

    def test_nothing_to_read_is_said_at_once(self) -> None:
        """`recv` never waits: it raises BlockingIOError, or an SSLWant error, when nothing has arrived."""
        for swap in (False, True):
            transport, other = self.connect()[:: -1 if swap else 1]
            with contextlib.closing(transport), contextlib.closing(other):
                transport.setblocking(False)
                try:
                    data = transport.recv(100)
                except _NOT_NOW:
                    continue
                raise AssertionError(f"recv returned {data!r} though nothing was written")

    def test_the_selector_sees_room_and_bytes(self) -> None:
        """The file descriptor is ready to write at first, and to read when something has come; it stays the same."""
        for swap in (False, True):
            transport, other = self.connect()[:: -1 if swap else 1]
            with contextlib.closing(transport), contextlib.closing(other):
                transport.setblocking(False)
                other.setblocking(False)
                descriptor = transport.fileno()
                readable, writable, _ = select.select([descriptor], [descriptor], [], 0)
                assert writable, "no room in a fresh transport"
                assert not readable, "readable though nothing was written"
                assert other.send(b"x") == 1
                assert select.select([descriptor], [], [], self.patience_s)[0], "what came is not seen by the selector"
                assert transport.recv(1) == b"x"
                assert transport.fileno() == descriptor

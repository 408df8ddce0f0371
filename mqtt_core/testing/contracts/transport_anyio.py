"""The transport contract for anyio: two `anyio.abc.ByteStream`s connected with each other. Needs the extra `anyio`.

    class TestMyStream(AnyioTransportContract):
        async def connect(self):
            return my_pair()

Each check runs on every event loop of `backends`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import ByteStream

from mqtt_core.testing.contracts.transport import TransportContract, TransportEnd

__all__ = ["AnyioTransportContract"]

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class _End:
    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def write(self, data: bytes) -> None:
        await self._stream.send(data)

    async def read(self, size: int) -> bytes:
        try:
            data = await self._stream.receive(size)
        except (anyio.EndOfStream, *_GONE):
            return b""
        assert data, "receive returned nothing; the end is an EndOfStream"
        assert len(data) <= size, f"{len(data)} bytes where {size} were asked for"
        return data

    async def write_eof(self) -> None:
        await self._stream.send_eof()

    async def close(self) -> None:
        await self._stream.aclose()

    async def abort(self) -> None:
        await anyio.aclose_forcefully(self._stream)


class AnyioTransportContract(TransportContract):
    """For transports of `mqtt_adapters.anyio`: override `connect`.

    backends: the event loops to run on, "asyncio" and "trio" among them.
    """

    backends: tuple[str, ...] = ("asyncio",)
    gone = _GONE

    async def connect(self) -> tuple[ByteStream, ByteStream]:
        """Both ends of a fresh connection."""
        raise NotImplementedError

    async def open_ends(self) -> tuple[TransportEnd, TransportEnd]:
        """The pair, in the contract's words."""
        one, other = await self.connect()
        return _End(one), _End(other)

    def run(self, test: Callable[[], Awaitable[None]]) -> None:
        """Run one check on every backend."""

        async def limited() -> None:
            with anyio.move_on_after(self.patience_s) as scope:
                await test()
            assert not scope.cancelled_caught, f"something did not come within {self.patience_s:g} s"

        for backend in self.backends:
            anyio.run(limited, backend=backend)

    async def together(self, *parts: Awaitable[None]) -> None:
        """Run some coroutines at the same time."""

        async def run(part: Awaitable[Any]) -> None:
            await part

        try:
            async with anyio.create_task_group() as group:
                for part in parts:
                    group.start_soon(run, part)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def sleep(self, seconds: float) -> None:
        """Let the others go on."""
        await anyio.sleep(seconds)

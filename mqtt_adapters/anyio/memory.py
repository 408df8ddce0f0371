"""Two byte streams that are each other's network, on either event loop: a connection with no socket.

Laws, those of a real stream: bytes arrive in order; who does not read makes the other side's `send` wait; closing lets
what was sent arrive first, and then is the end of the stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import ByteStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

if TYPE_CHECKING:
    from mqtt_adapters.anyio.client_link import Connector
    from mqtt_adapters.anyio.server import MqttServer

__all__ = ["MemoryStream", "connect_in_memory", "memory_pair"]

CHUNKS_MAX: Final = 16
"""Pieces, of the size they were written in, that wait to be read."""


class MemoryStream(ByteStream):
    """One end; `memory_pair` makes two."""

    def __init__(self, incoming: MemoryObjectReceiveStream[bytes], outgoing: MemoryObjectSendStream[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._rest = b""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """The next bytes. Raises EndOfStream when the other end says no more."""
        data = self._rest or await self._incoming.receive()
        self._rest = data[max_bytes:]
        return data[:max_bytes]

    async def send(self, item: bytes) -> None:
        """Send bytes; waits while too many pieces wait to be read."""
        await self._outgoing.send(bytes(item))

    async def send_eof(self) -> None:
        """Say no more, and still receive."""
        self._outgoing.close()

    async def aclose(self) -> None:
        """Close this end."""
        self._outgoing.close()
        self._incoming.close()


def memory_pair() -> tuple[MemoryStream, MemoryStream]:
    """Two ends of one connection."""
    to_first, from_second = anyio.create_memory_object_stream[bytes](CHUNKS_MAX)
    to_second, from_first = anyio.create_memory_object_stream[bytes](CHUNKS_MAX)
    return MemoryStream(from_second, to_second), MemoryStream(from_first, to_first)


def connect_in_memory(server: MqttServer) -> Connector:
    """A connector for `Client` that talks to a server in the same event loop, listening or not."""

    async def connect() -> ByteStream:
        if not server.running or server.stopping:
            raise ConnectionRefusedError("the server is not running")
        ours, theirs = memory_pair()
        server.start_serving(theirs, "memory")
        return ours

    return connect

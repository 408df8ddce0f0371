"""Two asyncio transports that are each other's network: a connection inside one event loop, with no socket.

    server = MqttServer(ServerConfig(...))
    async with server, Client(connector=connect_in_memory(server)) as client: ...

Laws, those of a real transport: bytes arrive in order, in another turn of the loop than they were written; who does not
read makes the other side's `pause_writing` be called, and what waits is bounded by what was written in spite of it;
closing lets written bytes arrive first. The pieces may be of any size.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mqtt_adapters.asyncio.client_link import Connector

if TYPE_CHECKING:
    from mqtt_adapters.asyncio.server import MqttServer

__all__ = ["MemoryTransport", "connect_in_memory", "connect_pair"]

HIGH_WATER_BYTES: Final = 64 * 1024


class MemoryTransport(asyncio.Transport):
    """One end. What is written here waits in `_sent` until the other end reads it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": "memory"})
        self.peer: MemoryTransport
        self._loop = loop
        self._protocol = protocol
        self._sent: deque[bytes] = deque()
        self._sent_bytes = 0
        self._high = HIGH_WATER_BYTES
        self._paused_writer = False
        self._reading = True
        self._eof_sent = False
        self._closing = False
        self._lost = False
        self._delivery_due = False

    # -- asyncio.Transport -------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; nothing happens when the connection is closing."""
        if self._closing or self._eof_sent or not data:
            return
        self._sent.append(bytes(data))
        self._sent_bytes += len(data)
        if self._sent_bytes > self._high and not self._paused_writer:
            self._paused_writer = True
            self._protocol.pause_writing()
        self.peer.deliver_soon()

    def write_eof(self) -> None:
        """Say that nothing more will be written."""
        self._eof_sent = True
        self.peer.deliver_soon()

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def is_closing(self) -> bool:
        """Closing has begun, or is over."""
        return self._closing

    def close(self) -> None:
        """Close when what was written has been read."""
        if not self._closing:
            self._closing = True
            self.peer.deliver_soon()
            self._loop.call_soon(self._finish)

    def abort(self) -> None:
        """Close at once; what was not read is lost."""
        self._closing = True
        self._sent.clear()
        self._sent_bytes = 0
        self._loop.call_soon(self._lose)

    def pause_reading(self) -> None:
        """Leave what comes to the other end."""
        self._reading = False

    def resume_reading(self) -> None:
        """Read again."""
        self._reading = True
        self.deliver_soon()

    def is_reading(self) -> bool:
        """Whether input is wanted."""
        return self._reading and not self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:  # noqa: ARG002
        """From how many unread bytes on writing pauses; it resumes at half of that."""
        self._high = HIGH_WATER_BYTES if high is None else high

    def get_write_buffer_size(self) -> int:
        """Bytes written and not read."""
        return self._sent_bytes

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who gets what arrives."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who gets what arrives."""
        return self._protocol

    # -- between the two ends ----------------------------------------------------------------------------------------

    def deliver_soon(self) -> None:
        """There may be something to read, in the next turn of the loop."""
        if not self._delivery_due and not self._lost:
            self._delivery_due = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivery_due = False
        peer = self.peer
        while self._reading and not self._lost and (data := peer.take()):
            if not self._closing and (rest := self._give(data)):
                peer.put_back(rest)
        if self._lost or not self._reading or peer.unread():
            return
        if peer.over():
            self._end_of_input()

    def _give(self, data: bytes) -> bytes:
        """Hand over what arrived; returns what is left because the protocol has paused reading."""
        protocol = self._protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            view = memoryview(data)
            while view and self._reading:
                buffer = memoryview(protocol.get_buffer(len(view)))
                size = min(len(buffer), len(view))
                buffer[:size] = view[:size]
                protocol.buffer_updated(size)
                view = view[size:]
            return bytes(view)
        assert isinstance(protocol, asyncio.Protocol)
        protocol.data_received(data)
        return b""

    def _end_of_input(self) -> None:
        protocol: Any = self._protocol
        keep_open = not self._closing and not self.peer.closed() and protocol.eof_received()
        if not keep_open:
            self.close()

    def take(self) -> bytes:
        """The next piece for the other end, b"" when there is none."""
        if not self._sent:
            return b""
        data = self._sent.popleft()
        self._sent_bytes -= len(data)
        if self._paused_writer and self._sent_bytes <= self._high // 2:
            self._paused_writer = False
            self._protocol.resume_writing()
        if self._closing and not self._sent:
            self._loop.call_soon(self._finish)
        return data

    def put_back(self, data: bytes) -> None:
        """The other end wants these bytes later."""
        self._sent.appendleft(data)
        self._sent_bytes += len(data)

    def unread(self) -> bool:
        """The other end has not read everything."""
        return bool(self._sent)

    def over(self) -> bool:
        """Nothing more will be written here."""
        return self._eof_sent or self._closing

    def closed(self) -> bool:
        """This end is gone."""
        return self._lost

    def _finish(self) -> None:
        if not self._sent or self.peer.closed():
            self._lose()

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(None)
            self.peer.deliver_soon()


def connect_pair(one: asyncio.BaseProtocol, other: asyncio.BaseProtocol) -> None:
    """Connect two protocols of the running loop with each other."""
    loop = asyncio.get_running_loop()
    first, second = MemoryTransport(loop, one), MemoryTransport(loop, other)
    first.peer, second.peer = second, first
    other.connection_made(second)
    one.connection_made(first)


def connect_in_memory(server: MqttServer) -> Connector:
    """A connector for `Client` that talks to a server in the same event loop, listening or not."""

    async def connect(factory: Callable[[], asyncio.Protocol]) -> None:
        if not server.running or server.stopping:
            raise ConnectionRefusedError("the server is not running")
        connect_pair(factory(), server.new_protocol("memory"))

    return connect

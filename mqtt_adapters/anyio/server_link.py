"""One connection of the anyio server: two tasks, one that reads and one that writes, around a byte stream.

Laws: what a flush gives is written in one piece, and the handler is not asked for more before it has left. A peer that
is told goodbye is read until it closes too, because closing a socket with unread input makes the system discard the
last bytes; after `close_timeout_s` the connection is cut in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from mqtt_adapters.driver import Link
from mqtt_adapters.server.peer import Peer

if TYPE_CHECKING:
    from mqtt_adapters.anyio.server import MqttServer
    from mqtt_adapters.websocket import ServerLayer

__all__ = ["GONE", "ServerLink"]

READ_BYTES: Final = 256 * 1024
GONE: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
"""What a stream raises when the other end has gone."""


class ServerLink(Link):
    """One connection. layer: the WebSocket between MQTT's bytes and the stream, None for none."""

    __slots__ = (
        "_layer", "_may_read", "_out", "_peer_done", "_scope", "_sending", "_server", "_stream", "_to_write", "peer",
    )  # fmt: skip

    def __init__(self, server: MqttServer, stream: ByteStream, peer: Peer, layer: ServerLayer | None) -> None:
        super().__init__()
        self.peer = peer
        self._server = server
        self._stream = stream
        self._layer = layer
        self._out: list[bytes] = []
        self._peer_done = False
        self._sending = False
        self._scope = anyio.CancelScope()
        self._may_read = anyio.Event()
        self._to_write = anyio.Event()

    def __repr__(self) -> str:
        return f"<connection from {self.peer}>"

    async def serve(self) -> None:
        """Serve the connection to its end."""
        server = self._server
        server.link_made(self)
        try:
            with self._scope:
                self.handler = server.broker.connection_made(server.now(), owner=self, peer=self.peer)
                server.driver.tick()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._write)
                    await self._read()
        finally:
            self.finished = True
            await anyio.aclose_forcefully(self._stream)
            server.link_gone(self)

    # ---------------------------------------------------------------------------------------------------- the tasks

    async def _read(self) -> None:
        driver, layer = self._server.driver, self._layer
        while True:
            while not (self.reading or self.finished) or (layer is not None and self._sending):
                self._may_read = anyio.Event()
                await self._may_read.wait()
            try:
                data = await self._stream.receive(READ_BYTES)
            except GONE:
                break
            if self.finished:  # the rest of a conversation that is over
                continue
            if layer is not None:
                data = layer.receive(data)
                self._send(layer.data_to_send())
            if data:
                driver.receive(self, data)
            driver.tick()
            if layer is not None and layer.closing and not self.finished:
                await self._say_last_words()
                driver.receive_eof(self)
                driver.tick()
        self._peer_done = True
        if self.finished:
            self._scope.cancel()
        else:
            driver.end_of_input(self)
            driver.tick()

    async def _say_last_words(self) -> None:
        """Let the WebSocket say why it ends: what follows cuts the connection."""
        with anyio.move_on_after(self._server.config.close_timeout_s):
            while self._out or self._sending:
                self._may_read = anyio.Event()
                await self._may_read.wait()

    async def _write(self) -> None:
        driver = self._server.driver
        while True:
            while self._out:
                out, self._out = self._out, []
                self._sending = True
                try:
                    await self._stream.send(b"".join(out))
                except GONE:
                    self._scope.cancel()
                    return
                self._sending = False
                self._may_read.set()
                if not self.finished:
                    self.writable = True
                    driver.broker.handle_timer(driver.clock())  # what waited may have expired meanwhile
                    driver.flush(self)
                    driver.tick()
            if self.finished:
                await self._say_no_more()
                return
            self._to_write = anyio.Event()
            await self._to_write.wait()

    async def _say_no_more(self) -> None:
        if self._peer_done or self._server.stopping or isinstance(self._stream, TLSStream):
            self._scope.cancel()
            return
        try:
            await self._stream.send_eof()
        except (*GONE, NotImplementedError):
            self._scope.cancel()

    def _send(self, data: bytes) -> None:
        if data:
            self._out.append(data)
            self._to_write.set()

    # ------------------------------------------------------------------------------------------------------- Link

    def write(self, data: bytes) -> None:
        """Give `data` to the stream."""
        self.writable = False
        self._send(data if self._layer is None else self._layer.wrap(data))

    def set_reading(self, reading: bool) -> None:  # noqa: ARG002 - the reader looks itself
        """Pause or resume reading."""
        self._may_read.set()

    def finish(self, wrote: bool) -> None:  # noqa: ARG002 - it matters to transports that keep what is written
        """Close when everything written has left, or is given up after `close_timeout_s`."""
        self.finished = True
        if self._layer is not None:
            self._send(self._layer.close())
        self._scope.deadline = anyio.current_time() + self._server.config.close_timeout_s
        self._to_write.set()
        self._may_read.set()

    def abort(self) -> None:
        """Cut the connection."""
        self.finished = True
        self._scope.cancel()

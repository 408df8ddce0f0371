"""One connection of the asyncio server: a `BufferedProtocol` between a transport and a `ClientHandler`.

Laws: bytes go to the handler the moment they arrive, out of one receive buffer shared by all connections; what the
handler says goes out as one write per flush. The link never looks at a byte. It keeps at most the transport's
high-water mark outside the core's bounded outbox (`write_buffer_bytes`, and the one write that crossed it), so a
frozen reader costs bounded memory and nobody else any time.

Closing is gentle where bytes are still under way: the sending side is shut down first and what the peer still sends is
read and forgotten until it closes too, because closing a socket with unread input makes the system discard the last
bytes, the DISCONNECT with the reason among them. After `close_timeout_s` the connection is cut in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from mqtt_adapters.driver import Link
from mqtt_adapters.server.peer import Peer, certificate_of

if TYPE_CHECKING:
    from mqtt_adapters.asyncio.server import MqttServer

__all__ = ["ServerLink"]


class ServerLink(Link, asyncio.BufferedProtocol):
    """The protocol object of one accepted connection. tls: whether the transport encrypts, which knows no half-closed
    connections. address: who the client is, as the listener knows it; the transport tells only of its certificate."""

    __slots__ = ("_close_timer", "_peer", "_peer_done", "_server", "_tls", "_transport")

    _transport: asyncio.Transport

    def __init__(self, server: MqttServer, tls: bool, address: Peer) -> None:
        super().__init__()
        self._peer = address
        self._server = server
        self._tls = tls
        self._peer_done = False
        self._close_timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<connection from {self._peer}>"

    # -------------------------------------------------------------------------------- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected, and its TLS handshake is done."""
        server = self._server
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=server.config.write_buffer_bytes)
        server.link_made(self)
        self._peer = Peer(self._peer, certificate_of(transport.get_extra_info("ssl_object")))
        self.handler = server.broker.connection_made(server.now(), owner=self, peer=self._peer)
        server.driver.tick()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where to put the bytes: the buffer all connections share, for they are copied out at once."""
        buffer = self._server.buffer
        reader = self.handler.reader
        return buffer[: reader.read_size(len(buffer))] if reader.large else buffer

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes have arrived."""
        if not self.finished:  # what comes after that is the rest of a conversation that is over
            server = self._server
            server.driver.receive(self, server.buffer[:nbytes])
            server.input_arrived()

    def eof_received(self) -> bool:
        """The client sends no more; whether its connection then ends is for the handler to say."""
        if self.finished:
            return False
        self._peer_done = True
        self._server.driver.end_of_input(self)
        self._server.driver.tick()
        return not self._tls

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone, whoever ended it."""
        self.finished = True
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        self._server.link_gone(self)

    def pause_writing(self) -> None:
        """The transport is full: what the handler says from now on waits in its outbox."""
        self.writable = False

    def resume_writing(self) -> None:
        """The transport has room again."""
        self.writable = True
        driver = self._server.driver
        driver.broker.handle_timer(driver.clock())  # what waited may have expired meanwhile
        driver.flush(self)
        driver.tick()

    # ------------------------------------------------------------------------------------------------- Link

    def write(self, data: bytes) -> None:
        """Give `data` to the transport."""
        self._transport.write(data)

    def set_reading(self, reading: bool) -> None:
        """Pause or resume reading."""
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def finish(self, wrote: bool) -> None:
        """Close when everything written has left, or is given up after `close_timeout_s`."""
        self.finished = True
        server, transport = self._server, self._transport
        self._close_timer = server.loop.call_later(server.config.close_timeout_s, transport.abort)
        last_words = wrote or transport.get_write_buffer_size() > 0
        if last_words and not (self._tls or self._peer_done or server.stopping):
            if not self.reading:
                transport.resume_reading()
            with contextlib.suppress(OSError, NotImplementedError):  # the peer has gone, or the transport is the host's
                transport.write_eof()
                return
        transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        self.finished = True
        self._transport.abort()

"""One connection of the blocking server, from accepting to closing: PROXY header, TLS, WebSocket, then MQTT's bytes.

Laws: nothing here blocks; what the system does not take waits in `_unsent`, which holds one flush at most, for the
handler is not asked for more before it has left. `wanted` says what the selector is to look for. A peer that is told
goodbye is read until it closes too, for a bounded time, because closing a socket with unread input makes the system
discard the last bytes.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
from typing import TYPE_CHECKING, Final

from mqtt_adapters.blocking.client_link import NOT_NOW, Transport, send_what_fits
from mqtt_adapters.driver import Link
from mqtt_adapters.server.peer import Peer, certificate_of, peer_of
from mqtt_adapters.server.proxy import ProxyReader

if TYPE_CHECKING:
    from mqtt_adapters.blocking.listening import Listener
    from mqtt_adapters.blocking.server import MqttServer
    from mqtt_adapters.websocket import ServerLayer

__all__ = ["ServerLink"]

READ_BYTES: Final = 256 * 1024
_READS_MAX: Final = 16
"""Reads in a row before others get their turn."""


class ServerLink(Link):
    """One connection. listener: where it came from, None for a transport the host brought. opened: the handshakes are
    done, and there is a handler. wanted: what the selector is to look for. registered: what it looks for."""

    __slots__ = (
        "_context", "_layer", "_peer_done", "_proxy", "_server", "_unsent", "closed", "opened", "peer", "registered",
        "transport", "wanted",
    )  # fmt: skip

    def __init__(self, server: MqttServer, transport: Transport, peer: Peer, listener: Listener | None) -> None:
        super().__init__()
        self._server = server
        self.transport = transport
        self.peer = peer
        self.opened = False
        self.closed = False
        self.wanted: int = selectors.EVENT_READ
        self.registered = 0
        self._unsent = b""
        self._peer_done = False
        self._layer: ServerLayer | None = None
        self._context: ssl.SSLContext | None = None
        self._proxy: ProxyReader | None = None
        if listener is not None:
            self._context = listener.context
            if listener.proxies is not None and isinstance(transport, socket.socket):
                name = transport.getpeername()
                listener.proxies.check(name)
                self._proxy = ProxyReader(name)
            if listener.config.websocket:
                from mqtt_adapters.websocket import ServerLayer  # noqa: PLC0415 - an extra, wanted only here

                self._layer = ServerLayer(listener.config, server.config.max_packet_size)
        transport.setblocking(False)

    def __repr__(self) -> str:
        return f"<connection from {self.peer}>"

    def fileno(self) -> int:
        """For the selector."""
        return self.transport.fileno()

    # ------------------------------------------------------------------------------------------------- handshakes

    def shake_hands(self) -> None:
        """Go on with what comes before MQTT's bytes. Raises OSError when there will be no connection."""
        try:
            if self._proxy is not None:
                while self._proxy.wanted:
                    self._proxy.receive(self.transport.recv(self._proxy.wanted))
                self.peer = self._proxy.peer
                self._proxy = None
            if self._context is not None:
                assert isinstance(self.transport, socket.socket)
                self.transport = self._context.wrap_socket(self.transport, True, do_handshake_on_connect=False)
                self._context = None
            if isinstance(self.transport, ssl.SSLSocket):
                self.transport.do_handshake()
                self.peer = Peer(self.peer, certificate_of(self.transport))
        except ssl.SSLWantWriteError:
            self.wanted = selectors.EVENT_WRITE
        except NOT_NOW:
            self.wanted = selectors.EVENT_READ
        else:
            self.opened = True
            self._server.link_made(self)
            self._update()

    # ------------------------------------------------------------------------------------------------ from the loop

    def ready(self, mask: int) -> None:
        """The selector has found something. A tick has to follow. Raises OSError when a handshake fails."""
        if not self.opened:
            self.shake_hands()
            return
        if mask & selectors.EVENT_WRITE:
            self._drain()
        if mask & selectors.EVENT_READ and not self.closed:
            self.read()

    def read(self) -> None:
        """Take what has arrived."""
        for _ in range(_READS_MAX):
            if self.closed:
                return
            try:
                data = self.transport.recv(READ_BYTES)
            except NOT_NOW:
                return
            except OSError:
                data = b""
            if not data:
                self._end_of_input()
                return
            if not self.finished:  # what comes after that is the rest of a conversation that is over
                self._receive(data)
            # Only TLS keeps bytes where the selector cannot see them.
            if not (self.reading and isinstance(self.transport, ssl.SSLSocket)):
                return
        self._server.read_soon(self)

    def _receive(self, data: bytes) -> None:
        driver, layer = self._server.driver, self._layer
        if layer is not None:
            data = layer.receive(data)
            self._send(layer.data_to_send())
        if data and not self.closed:
            driver.receive(self, data)
        if layer is not None and layer.closing and not self.finished:
            driver.receive_eof(self)

    def _end_of_input(self) -> None:
        self._peer_done = True
        if self.finished:
            self.close()
        else:
            self._server.driver.end_of_input(self)
            self._update()

    def _drain(self) -> None:
        """There may be room for what was written before."""
        self._send(b"")
        if self.closed or self._unsent:
            return
        if self.finished:
            self._say_no_more()
        elif not self.writable:
            self.writable = True
            driver = self._server.driver
            driver.broker.handle_timer(driver.clock())  # what waited may have expired meanwhile
            driver.flush(self)

    def _send(self, data: bytes) -> None:
        self._unsent = send_what_fits(self.transport, self._unsent + data if self._unsent else data)
        if self._unsent:
            self.writable = False
        self._update()

    def _update(self) -> None:
        # While answers to pings of a WebSocket do not leave, no more of them are asked for.
        throttled = self._layer is not None and bool(self._unsent)
        reads = (self.reading and not throttled and not self._peer_done) or self.finished
        self.wanted = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if self._unsent else 0)
        self._server.link_changed(self)

    # ------------------------------------------------------------------------------------------------------- Link

    def write(self, data: bytes) -> None:
        """Give `data` to the transport."""
        self._send(data if self._layer is None else self._layer.wrap(data))

    def set_reading(self, reading: bool) -> None:
        """Pause or resume reading."""
        self._update()
        if reading and isinstance(self.transport, ssl.SSLSocket) and self.transport.pending():
            self._server.read_soon(self)

    def finish(self, wrote: bool) -> None:  # noqa: ARG002 - it matters to transports that keep what is written
        """Close when everything written has left, or is given up after `close_timeout_s`."""
        self.finished = True
        if self._layer is not None:
            self._send(self._layer.close())
        self._server.link_closing(self)
        if not self._unsent:
            self._say_no_more()

    def _say_no_more(self) -> None:
        if self._peer_done or self._server.stopping or type(self.transport) is not socket.socket:
            self.close()
            return
        try:
            self.transport.shutdown(socket.SHUT_WR)
            self._update()
        except OSError:  # the peer has gone meanwhile
            self.close()

    def abort(self) -> None:
        """Cut the connection."""
        self.finished = True
        self.close()

    def close(self) -> None:
        """Close the transport."""
        if not self.closed:
            self.closed = True
            self._server.link_gone(self)
            with contextlib.suppress(OSError):
                self.transport.close()


def accepted(server: MqttServer, sock: socket.socket, listener: Listener) -> ServerLink:
    """The link of a socket just accepted. Raises OSError when it is nobody who may come in."""
    try:
        return ServerLink(server, sock, peer_of(sock.getpeername()), listener)
    except BaseException:
        sock.close()
        raise

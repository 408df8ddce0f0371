"""The client's transports on blocking sockets: TCP, TLS, unix sockets, WebSocket, and whatever a connector brings.

Law: connecting may block, for a bounded time; once connected nothing does. The seam for other transports is a function
that returns something with the five methods of `Transport`, of which a socket is one.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from mqtt_adapters.client.settings import ClientSettings

if TYPE_CHECKING:
    from mqtt_adapters.websocket import WebSocketLayer

__all__ = ["NOT_NOW", "ClientLink", "Connector", "Transport", "open_link", "send_what_fits"]

READ_BYTES: Final = 256 * 1024
_READS_MAX: Final = 16
"""Reads in a row before others get their turn."""

_LEFTOVERS_S: Final = 0.5
"""How long a closed connection is read for what the server was sending."""

NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a transport raises that is neither done nor broken."""


class Transport(Protocol):
    """A connected stream of bytes that never blocks.

    `recv` and `send` raise BlockingIOError when there is nothing to read or no room; `recv` returns b"" at the end.
    """

    def fileno(self) -> int:
        """A file descriptor the system can select on."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        ...

    def send(self, data: bytes, /) -> int:
        """Write some of `data`; returns how many bytes."""
        ...

    def setblocking(self, flag: bool, /) -> None:
        """Called with False when the transport goes into use."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


Connector = Callable[[float], Transport]
"""Connects a transport within so many seconds, or raises OSError."""


def send_what_fits(transport: Transport, data: bytes) -> bytes:
    """Send as much of `data` as there is room for; returns the rest. Of a connection that is gone nothing is left: the
    read that follows tells."""
    sent = 0
    try:
        while sent < len(data):
            sent += transport.send(data[sent:] if sent else data)
    except NOT_NOW:
        pass
    except OSError:
        return b""
    return data[sent:]


class ClientLink:
    """One connection of a client. reading: input is wanted. layer: the WebSocket between bytes and transport."""

    def __init__(self, transport: Transport, layer: WebSocketLayer | None) -> None:
        self.transport = transport
        self.layer = layer
        self.reading = True
        self._unsent = b""
        transport.setblocking(False)

    @property
    def writable(self) -> bool:
        """Everything written so far has left."""
        return not self._unsent

    def read(self) -> bytes | None:
        """What has arrived, b"" for nothing; None when the connection is over."""
        data = self._receive()
        layer = self.layer
        if layer is None or not data:
            return data
        data = layer.receive(data)
        self._send(layer.data_to_send())
        return None if layer.closing and not data else data

    def _receive(self) -> bytes | None:
        parts: list[bytes] = []
        for _ in range(_READS_MAX):
            try:
                data = self.transport.recv(READ_BYTES)
            except NOT_NOW:
                break
            except OSError:
                return b"".join(parts) or None
            if not data:
                return b"".join(parts) or None
            parts.append(data)
            # Only TLS keeps bytes where select cannot see them.
            if len(data) < READ_BYTES and not isinstance(self.transport, ssl.SSLSocket):
                break
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        """Send bytes, or keep what there is no room for."""
        self._send(data if self.layer is None else self.layer.wrap(data))

    def flush(self) -> None:
        """There may be room again."""
        self._send(b"")

    def _send(self, data: bytes) -> None:
        self._unsent = send_what_fits(self.transport, self._unsent + data if self._unsent else data)

    def close(self) -> None:
        """Close the transport. What has not left is lost."""
        if self.layer is not None and self.writable:
            self._send(self.layer.close())
        if isinstance(self.transport, socket.socket):
            # Bytes that arrived and were not read would make the system discard what was just sent.
            with contextlib.suppress(OSError):
                self.transport.shutdown(socket.SHUT_WR)
                self.transport.settimeout(0.05)
                enough = time.monotonic() + _LEFTOVERS_S
                while self.transport.recv(READ_BYTES) and time.monotonic() < enough:
                    pass
        self.transport.close()


def open_link(settings: ClientSettings, connector: Connector | None) -> ClientLink:
    """Connect the transport the settings name, with its handshakes. Raises OSError, TimeoutError among them."""
    timeout_s = settings.connect_timeout_s
    if connector is not None:
        return ClientLink(connector(timeout_s), None)
    address = settings.address
    deadline = time.monotonic() + timeout_s
    if address.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.create_connection((address.host, address.port), timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if address.scheme == "unix":
            sock.settimeout(timeout_s)
            sock.connect(address.path)
        if settings.tls is not None:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            sock = settings.tls.wrap_socket(sock, server_hostname=address.host or "localhost")
        if not address.websocket:
            return ClientLink(sock, None)
        return _shake_hands(sock, settings, deadline)
    except BaseException:
        sock.close()
        raise


def _shake_hands(sock: socket.socket, settings: ClientSettings, deadline: float) -> ClientLink:
    from mqtt_adapters.websocket import ClientLayer  # noqa: PLC0415 - an extra, wanted only here

    layer = ClientLayer(settings)
    sock.sendall(layer.data_to_send())
    while not layer.open:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        data = sock.recv(READ_BYTES)
        if data:
            layer.receive(data)
        if layer.failure or not data:
            raise ConnectionError(layer.failure or "the server closed the connection")
    return ClientLink(sock, layer)

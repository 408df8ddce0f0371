"""The client's transports on asyncio: TCP, TLS, unix sockets, WebSocket, and whatever a connector brings.

Law: a `ClientLink` moves bytes between one transport and the client and knows nothing else. The seam for other
transports is asyncio's own: a connector is called with a protocol factory, as `loop.create_connection` is, and
returns when the transport is connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from mqtt_adapters.client.settings import ClientSettings

if TYPE_CHECKING:
    from mqtt_adapters.asyncio.client_loop import ClientLoop
    from mqtt_adapters.websocket import WebSocketLayer

__all__ = ["ClientLink", "Connector", "open_transport"]

Connector = Callable[[Callable[[], asyncio.Protocol]], Awaitable[Any]]
"""Connects a transport to the protocol a factory makes."""


class ClientLink(asyncio.Protocol):
    """One connection of a client. writable: the transport takes more. layer: the WebSocket between bytes and
    transport."""

    def __init__(self, client: ClientLoop) -> None:
        self.writable = True
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._reading = True
        self._writable_waiters: list[asyncio.Future[None]] = []
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.layer: WebSocketLayer | None = None
        if client.settings.address.websocket:
            from mqtt_adapters.websocket import ClientLayer  # noqa: PLC0415 - an extra, wanted only here

            self.layer = ClientLayer(client.settings)

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is connected, its TLS handshake done."""
        self._transport = cast("asyncio.Transport", transport)
        if self.layer is None:
            self._opened()
        else:
            self._transport.write(self.layer.data_to_send())

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        layer = self.layer
        if layer is None:
            self._client.data_received(data)
            return
        was_open = layer.open
        payload = layer.receive(data)
        self._follow_layer(layer, was_open=was_open)
        if payload:
            self._client.data_received(payload)

    def eof_received(self) -> bool:
        """The server sends no more; this side closes too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed."""
        self._transport = None
        self.resume_writing()
        if not self.opened.done():
            reason = "the server closed the connection" if self.layer is None else self.layer.failure
            self.opened.set_exception(exc or ConnectionError(reason))
        self._client.link_lost(self)

    def pause_writing(self) -> None:
        """The transport is full."""
        self.writable = False

    def resume_writing(self) -> None:
        """The transport has room again."""
        self.writable = True
        waiters, self._writable_waiters = self._writable_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._client.wake()

    # -- for the client ----------------------------------------------------------------------------------------------

    @property
    def lost(self) -> bool:
        """The transport is closed."""
        return self._transport is None

    def _opened(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def _follow_layer(self, layer: WebSocketLayer, *, was_open: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        if out := layer.data_to_send():
            transport.write(out)
        if layer.open and not was_open:
            self._opened()
        if layer.closing:
            transport.close()

    def write(self, data: bytes) -> None:
        """Give bytes to the transport."""
        if self._transport is None:
            return
        if self.layer is not None:
            data = self.layer.wrap(data)
        self._transport.write(data)

    def set_reading(self, reading: bool) -> None:
        """Read, or leave what comes to the network."""
        if reading is not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def close(self) -> None:
        """Close when everything written has left."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.layer is not None:
            self._transport.write(self.layer.close())
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if not self.opened.done():
            self.opened.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def wait_writable(self) -> None:
        """Wait until the transport has room, or is gone."""
        if not self.writable:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._writable_waiters.append(waiter)
            await waiter


async def open_transport(link: ClientLink, settings: ClientSettings, connector: Connector | None) -> None:
    """Connect the transport the settings name, with its handshakes. Raises OSError."""
    loop = asyncio.get_running_loop()
    address = settings.address
    tls = settings.tls

    def factory() -> ClientLink:
        return link

    if connector is not None:
        await connector(factory)
    elif address.scheme == "unix":
        await loop.create_unix_connection(factory, address.path, ssl=tls, server_hostname="localhost" if tls else None)
    else:
        await loop.create_connection(
            factory, address.host, address.port, ssl=tls, server_hostname=address.host if tls else None
        )
    await link.opened
    if link.lost:  # while the connector had still something to do
        raise ConnectionError("the server closed the connection")

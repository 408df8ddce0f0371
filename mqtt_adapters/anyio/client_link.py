"""The client's transports on anyio: TCP, TLS, unix sockets, WebSocket, and whatever a connector brings.

Law: a `ClientLink` moves bytes over one byte stream and knows nothing else. The seam for other transports is anyio's
own `ByteStream`: a connector returns one that is connected.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from mqtt_adapters.client.settings import ClientSettings

if TYPE_CHECKING:
    from mqtt_adapters.websocket import WebSocketLayer

__all__ = ["ClientLink", "Connector", "open_link"]

READ_BYTES: Final = 256 * 1024

Connector = Callable[[], Awaitable[ByteStream]]
"""Connects a byte stream, or raises OSError."""


class ClientLink:
    """One connection of a client. layer: the WebSocket between MQTT's bytes and the stream."""

    def __init__(self, stream: ByteStream, layer: WebSocketLayer | None) -> None:
        self.stream = stream
        self.layer = layer
        self._sending = anyio.Lock()

    async def read(self) -> bytes | None:
        """What arrives next, b"" when none of it is for MQTT; None when the connection is over."""
        try:
            data = await self.stream.receive(READ_BYTES)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            return None
        layer = self.layer
        if layer is None:
            return data
        data = layer.receive(data)
        await self._send(layer.data_to_send())
        return None if layer.closing and not data else data

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the server is slow to read."""
        await self._send(data if self.layer is None else self.layer.wrap(data))

    async def _send(self, data: bytes) -> None:
        # The read that follows a failure tells that the connection is gone.
        if data:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                async with self._sending:
                    await self.stream.send(data)

    async def close(self) -> None:
        """Close when everything written has left."""
        if self.layer is not None:
            await self._send(self.layer.close())
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await self.stream.aclose()

    async def abort(self) -> None:
        """Close at once."""
        await anyio.aclose_forcefully(self.stream)


async def open_link(settings: ClientSettings, connector: Connector | None) -> ClientLink:
    """Connect the stream the settings name, with its handshakes. Raises OSError, TimeoutError among them."""
    try:
        with anyio.fail_after(settings.connect_timeout_s):
            stream = await (connector() if connector is not None else _connect(settings))
            try:
                return ClientLink(stream, await _shake_hands(stream, settings))
            except BaseException:
                await anyio.aclose_forcefully(stream)
                raise
    except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise ConnectionResetError("the server hung up") from error


async def _connect(settings: ClientSettings) -> ByteStream:
    address = settings.address
    if address.scheme == "unix":
        stream: ByteStream = await anyio.connect_unix(address.path)
    else:
        stream = await anyio.connect_tcp(address.host, address.port)
    if settings.tls is None:
        return stream
    try:
        return await TLSStream.wrap(
            stream, hostname=address.host or "localhost", ssl_context=settings.tls, standard_compatible=False
        )
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise


async def _shake_hands(stream: ByteStream, settings: ClientSettings) -> WebSocketLayer | None:
    if not settings.address.websocket:
        return None
    from mqtt_adapters.websocket import ClientLayer  # noqa: PLC0415 - an extra, wanted only here

    layer = ClientLayer(settings)
    await stream.send(layer.data_to_send())
    try:
        while not layer.open:
            layer.receive(await stream.receive(READ_BYTES))
            if layer.failure:
                raise ConnectionError(layer.failure)
    except anyio.EndOfStream:
        raise ConnectionError(layer.failure or "the server closed the connection") from None
    return layer

"""A connection that speaks packets: `read` gives the next one, `write` sends one, and nothing else happens.

For people who want the wire and no client: probes, test peers, gateways, load generators. Law: this is a codec on a
stream. It answers no ping, acknowledges nothing, and sends nothing by itself; both roles use the same class. A packet
that cannot be decoded or encoded raises a `mqtt_core.codec.error.MqttError`, which knows its reason code.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl as ssl_module
from types import TracebackType
from typing import Final, Self

from mqtt_core.codec import V5, MqttCodec, Packet

__all__ = ["Connection", "open_connection"]

READ_BYTES: Final = 65_536


class Connection:
    """Packets over a pair of asyncio streams.

    reader, writer: from `asyncio.open_connection`, or given to the callback of `asyncio.start_server`. version: 4 or
    5, or 0 for the side that learns it from the CONNECT it reads.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int = 0) -> None:
        self._reader = reader
        self._writer = writer
        self._codec = MqttCodec(version)

    @property
    def version(self) -> int:
        """4 for 3.1.1, 5 for 5.0, 0 while it is not known."""
        return self._codec.version

    async def read(self) -> Packet | None:
        """The next packet, or None when the peer has closed. What it cut off in the middle of a packet is dropped.

        Raises:
            MqttError: the peer sent what is no packet; the connection is of no further use.
            OSError: the connection broke.
        """
        codec = self._codec
        while (packet := codec.next_packet()) is None:
            data = await self._reader.read(READ_BYTES)
            if not data:
                return None
            codec.feed(data)
        return packet

    async def write(self, packet: Packet) -> None:
        """Send `packet`, waiting while the peer is slow to read.

        Raises:
            LocalProtocolError: the packet cannot be said in this version of the protocol; nothing was sent.
            OSError: the connection broke.
        """
        self._writer.write(self._codec.encode(packet))
        await self._writer.drain()

    async def write_bytes(self, data: bytes) -> None:
        """Send bytes as they are, for whoever tests what a peer does with them."""
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """Close the connection. What is written and not yet sent is still sent."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


async def open_connection(
    host: str = "127.0.0.1",
    port: int = 1883,
    *,
    version: int = V5,
    path: str | None = None,
    ssl: ssl_module.SSLContext | None = None,
) -> Connection:
    """Connect to an MQTT server over TCP, or over the unix socket at `path`; with TLS when `ssl` is given.

    host: name or address. port: 1 to 65,535.

    Raises:
        OSError: nobody listens there, or the TLS handshake failed.
    """
    if path is not None:
        streams = await asyncio.open_unix_connection(path, ssl=ssl, server_hostname=host if ssl else None)
    else:
        streams = await asyncio.open_connection(host, port, ssl=ssl)
    return Connection(*streams, version)

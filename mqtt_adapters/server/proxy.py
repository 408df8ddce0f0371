"""The PROXY protocol, version 2: how a proxy in front of the broker says where a client really comes from.

The header stands before everything else, TLS included. Laws: only addresses in `ProxyNetworks` are believed, and a
connection that should bring a header and does not is no connection. What is read is what the header says it is long,
not a byte more, and never more than `HEADER_BYTES_MAX`.

`ProxyReader` is the same for every I/O style: it says how many bytes it wants next, and is given what has come.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

from mqtt_adapters.config import ConfigError
from mqtt_adapters.server.peer import Peer, peer_of

__all__ = ["ProxyError", "ProxyNetworks", "ProxyReader"]

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
PREFIX_BYTES: Final = 16
HEADER_BYTES_MAX: Final = 4096
"""Of what follows the first 16 bytes; the addresses need 36 at most, the rest is for extensions nobody reads here."""

_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_STREAM: Final = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}


class ProxyError(OSError):
    """What came is not a header of the PROXY protocol, or not from somebody who may send one."""


class ProxyNetworks:
    """The addresses whose word is taken. texts: addresses, networks (``10.0.0.0/8``), or ``unix``.

    Raises:
        ConfigError: one is none of these.
    """

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._unix = "unix" in texts
        try:
            self._networks = [ipaddress.ip_network(text) for text in texts if text != "unix"]
        except ValueError as error:
            raise ConfigError(f"proxy_networks: {error}") from error

    def check(self, name: object) -> None:
        """Raise ProxyError when the socket's name is not of these networks."""
        if not isinstance(name, tuple):
            if self._unix:
                return
        else:
            address = ipaddress.ip_address(name[0].partition("%")[0])
            for network in self._networks:
                if address in network:
                    return
        raise ProxyError(f"{peer_of(name)} is not in proxy_networks")


class ProxyReader:
    """Reads one header. wanted: bytes to read next, 0 when the header is complete; then `peer` is known.

    name: of the socket, which is the peer's when the proxy speaks for itself (a health check).
    """

    def __init__(self, name: object) -> None:
        self.wanted = PREFIX_BYTES
        self.peer: Peer = peer_of(name)
        self._header = b""

    def receive(self, data: bytes) -> None:
        """Take bytes, at most `wanted` of them. Raises ProxyError; no bytes are the end of the stream."""
        if not data:
            raise ProxyError("the connection ended within the PROXY header")
        header = self._header = self._header + data
        if not SIGNATURE.startswith(header[: len(SIGNATURE)]):
            raise ProxyError("no header of the PROXY protocol, version 2")
        if len(header) < PREFIX_BYTES:
            self.wanted = PREFIX_BYTES - len(header)
            return
        command, family = header[12], header[13]
        length = int.from_bytes(header[14:16], "big")
        if command not in {_LOCAL, _PROXY} or length > HEADER_BYTES_MAX:
            raise ProxyError("a PROXY header that cannot be read")
        self.wanted = PREFIX_BYTES + length - len(header)
        if self.wanted == 0 and command == _PROXY and family in _STREAM:
            self._read_address(header[PREFIX_BYTES:], *_STREAM[family])

    def _read_address(self, addresses: bytes, family: socket.AddressFamily, size: int) -> None:
        if len(addresses) < 2 * size + 4:
            raise ProxyError("a PROXY header without its addresses")
        (port,) = struct.unpack_from("!H", addresses, 2 * size)
        self.peer = peer_of((socket.inet_ntop(family, addresses[:size]), port))

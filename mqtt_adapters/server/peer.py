"""Who is at the other end of a connection, as far as the transport knows: what a policy is given as `peer`.

Law: a `Peer` is a string, the address as people write it, so that everything made for strings takes it; what else the
transport knows is in its attributes. A certificate is shown only when the listener has checked it.
"""

from __future__ import annotations

import ssl
from typing import Any, Self

__all__ = ["Peer", "certificate_of", "peer_of"]


class Peer(str):
    """The client's address, ``127.0.0.1:40312``, ``[::1]:40312``, ``unix`` or ``memory``, and its certificate.

    certificate: of a client that has shown one, as `ssl.SSLSocket.getpeercert` gives it; None without.
    """

    __slots__ = ("certificate",)

    certificate: dict[str, Any] | None

    def __new__(cls, address: str, certificate: dict[str, Any] | None = None) -> Self:
        """See the class."""
        peer = super().__new__(cls, address)
        peer.certificate = certificate or None
        return peer

    @property
    def subject(self) -> str:
        """The subject of the certificate, ``commonName=pump-7,organizationName=Works``; "" without one."""
        return ",".join(f"{name}={value}" for name, value in self._names())

    @property
    def common_name(self) -> str:
        """The common name in the certificate's subject, "" for none. Of several, the last: the most specific one."""
        return next((value for name, value in reversed(self._names()) if name == "commonName"), "")

    def _names(self) -> list[tuple[str, str]]:
        if self.certificate is None:
            return []
        return [pair for names in self.certificate.get("subject", ()) for pair in names]


def peer_of(name: object, certificate: dict[str, Any] | None = None) -> Peer:
    """The peer behind a socket's name: a pair of host and port with whatever more, or that of a unix socket.

    certificate: the client's, as `ssl.SSLSocket.getpeercert` returns it; None without one.
    """
    if not isinstance(name, tuple):
        return Peer("unix", certificate)  # whatever name the client has given its socket, an address of TCP maybe
    host, port = name[:2]
    return Peer(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", certificate)


def certificate_of(tls: ssl.SSLObject | ssl.SSLSocket | None) -> dict[str, Any] | None:
    """The checked certificate of the other end, None without one."""
    return None if tls is None else tls.getpeercert() or None

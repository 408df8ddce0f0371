"""Where a server is: URLs, and the host and port people give instead.

    mqtt://user:password@host:1883        TCP
    mqtts://host:8883                     TLS
    ws://host:80/mqtt  wss://host/mqtt    WebSocket, without and with TLS
    unix:/path/to/socket                  unix socket

Law: an address is one value, made here and nowhere else; what it does not say has the default of its scheme. A query or
a fragment is refused, since nobody would act on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["DEFAULT_PORTS", "Address", "parse_address"]

DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_ALIASES: Final = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts"}


@dataclass(frozen=True)
class Address:
    """Where and how to connect.

    scheme: "mqtt", "mqtts", "ws", "wss" or "unix". host, port: of the server; "" and 0 for unix. path: of the socket,
    or of the WebSocket resource; for mqtt and mqtts what stood behind the port, without the slash (a topic, for
    programs). username, password: as they stood in the URL, decoded.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    username: str | None = None
    password: str | None = None

    @property
    def tls(self) -> bool:
        """The transport is encrypted."""
        return self.scheme in {"mqtts", "wss"}

    @property
    def websocket(self) -> bool:
        """The transport is a WebSocket."""
        return self.scheme in {"ws", "wss"}

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}" + (self.path if self.websocket else "")


def parse_address(host: str, port: int | None = None, *, tls: bool = False) -> Address:
    """The address of a URL, or of a host name or IP address with a port (default 1883, with `tls` 8883).

    Raises ValueError, with one line that says what is wrong; TypeError for a host that is no string.
    """
    if not isinstance(host, str):
        raise TypeError(f"a host is a string, not {type(host).__name__}")
    if host.startswith("unix:"):
        path = host.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ValueError(f"{host!r} names no socket")
        return Address("unix", path=path)
    if port is not None and port not in range(65536):
        raise ValueError(f"{port!r}: a port is a number from 0 to 65535")
    if "://" not in host:
        if not host:
            raise ValueError("no host")
        if host.count(":") == 1:  # an IPv6 address has more
            raise ValueError(f"{host!r}: give the port as an argument of its own, or write mqtt://{host}")
        scheme = "mqtts" if tls else "mqtt"
        return Address(scheme, host, DEFAULT_PORTS[scheme] if port is None else port)
    parts = urlsplit(host)
    scheme = _ALIASES.get(parts.scheme, parts.scheme)
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"{parts.scheme}: an address begins with mqtt, mqtts, ws or wss and ://, or with unix:")
    if not parts.hostname:
        raise ValueError(f"{host!r} names no host")
    if parts.query or parts.fragment:
        raise ValueError(f"{host!r} has a query or a fragment, which mean nothing here")
    try:
        found = port if port is not None else parts.port
    except ValueError as error:
        raise ValueError(f"{parts.netloc.rpartition('@')[2]}: a port is a number from 0 to 65535") from error
    path = parts.path if scheme in {"ws", "wss"} else unquote(parts.path.removeprefix("/"))
    if scheme in {"ws", "wss"} and not path:
        path = "/"
    return Address(
        scheme,
        parts.hostname,
        DEFAULT_PORTS[scheme] if found is None else found,
        path,
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )

"""Sockets that listen, the same for servers of every I/O style: TCP and unix.

Laws: a listener either listens when it is asked to, or an `OSError` or `ConfigError` says in one line why not. A unix
socket somebody is still serving is never taken away from him; a stale one is replaced. Nothing here waits, but for the
moment it takes to look whether somebody serves a unix socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

from mqtt_adapters.config import ConfigError, ListenerConfig
from mqtt_adapters.parts import check_websocket
from mqtt_adapters.server.proxy import ProxyNetworks

__all__ = [
    "Listening",
    "addresses",
    "bind_tcp",
    "bind_unix",
    "check_listener",
    "listen",
    "port_of",
    "tell_errors",
    "unlink_socket",
]

NOT_HERE: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
"""As `socket.getaddrinfo` gives it."""


class Listening(Protocol):
    """What the listeners of every style tell. addresses: as people write them. port: of TCP, 0 for none."""

    addresses: list[str]
    port: int


def check_listener(config: ListenerConfig) -> None:
    """See that a listener has what it needs, before anything is bound.

    Raises:
        ConfigError: the TLS files cannot be used, an extra is not installed, a network is none.
    """
    config.ssl_context()
    ProxyNetworks(config.proxy_networks)
    if config.websocket:
        try:
            check_websocket()
        except ValueError as error:
            raise ConfigError(f"websocket: {error}") from error


@contextlib.contextmanager
def tell_errors(config: ListenerConfig) -> Iterator[None]:
    """Name the address in the error that keeps a listener from listening."""
    try:
        yield
    except OSError as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise OSError(error.errno, f"cannot listen on {config.address}: {reason}") from error
    except ValueError as error:  # an empty label in a host name, a NUL in a path
        raise OSError(errno.EINVAL, f"cannot listen on {config.address}: there can be no such address") from error


def bind_tcp(port: int, infos: Iterable[AddressInfo]) -> list[socket.socket]:
    """Sockets bound to each address a name stands for, all to the same port. port: 0 for any free one.

    Raises:
        OSError: an address is in use, not ours, or not allowed. A family this host does not have is passed over.
    """
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(infos):
            try:
                sock = socket.socket(family, kind, protocol)
                sockets.append(sock)
                if os.name == "posix":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                # Small frames must not wait for each other's TCP acknowledgement; accepted sockets inherit it.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.bind((address[0], port, *address[2:]))
                port = sock.getsockname()[1]  # the same free port for every address of a name
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                missing = error  # a name may stand for an address family this host has not
                if sockets and sockets[-1].family == family:
                    sockets.pop().close()
        if missing is not None and not sockets:
            raise missing
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def bind_unix(path: str) -> socket.socket:
    """A socket bound to a path.

    Raises:
        OSError: somebody serves it, something else is there, it is not allowed, or longer than the system takes.
    """
    sock = socket.socket(socket.AF_UNIX)
    try:
        _make_way(path)
        sock.bind(path)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError) and error.errno is None:  # Python itself: the address has no room for the path
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path) from error
        raise
    return sock


def listen(sockets: list[socket.socket], config: ListenerConfig) -> None:
    """Begin to listen on bound sockets, or close them all.

    Raises:
        OSError: another socket that was bound to the same address meanwhile listens there.
    """
    try:
        for sock in sockets:
            sock.setblocking(False)
            sock.listen(config.backlog)
    except OSError:
        for sock in sockets:
            sock.close()
        unlink_socket(config.endpoint.path)
        raise


def _make_way(path: str) -> None:
    """Remove a socket file nobody listens on any more; anything else in the way is an error."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as it was given, not as a Path would write it
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - see above
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


def unlink_socket(path: str | None) -> None:
    """Remove the file of a unix socket that is closed, if it was one. What somebody else has put in its place stays,
    and what cannot be removed: it is in nobody's way."""
    if path is not None:
        with contextlib.suppress(OSError):
            _make_way(path)


def addresses(config: ListenerConfig, sockets: list[socket.socket]) -> list[str]:
    """Where sockets listen, as people write it."""
    words = [word for word, said in (("TLS", config.tls), ("WebSocket", config.websocket)) if said]
    suffix = f" ({', '.join(words)})" if words else ""
    if config.endpoint.path is not None:
        return [f"unix:{config.endpoint.path}{suffix}"]
    found = []
    for sock in sockets:
        host, port = sock.getsockname()[:2]
        found.append((f"[{host}]" if ":" in host else host) + f":{port}{suffix}")
    return found


def port_of(sockets: list[socket.socket]) -> int:
    """The TCP port they listen on, 0 for a unix socket."""
    return next((sock.getsockname()[1] for sock in sockets if sock.family != getattr(socket, "AF_UNIX", None)), 0)

"""The listening sockets of the asyncio server: TCP and unix, each with or without TLS.

Laws: a listener either listens when `open_listener` returns, or an `OSError` or `ConfigError` says in one line why
not. A unix socket somebody is still serving is never taken away from him; a stale one is replaced. Running out of file
descriptors costs one line of log a second and ends by itself. A handshake that hangs is bounded in time and number,
and none outlives its listener.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable
from typing import Final

from mqtt_adapters.config import Endpoint, ListenerConfig

__all__ = ["Listener", "open_listener"]

log = logging.getLogger("mqtt_adapters")

ACCEPT_RETRY_S: Final = 1.0
ACCEPTS_PER_TURN: Final = 16
"""Connections accepted in a row before the loop serves those it has."""
NOT_HERE: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class Listener:
    """A listener that listens, on one socket or on one for each address its host name stands for.

    config: where and how. protocol: makes the protocol object of each accepted connection. handshake_timeout_s: how
    long a TLS handshake may take. handshakes_max: how many connections may be between accepting and their first byte.
    """

    def __init__(
        self,
        config: ListenerConfig,
        sockets: list[socket.socket],
        protocol: Callable[[], asyncio.BaseProtocol],
        handshake_timeout_s: float,
        handshakes_max: int,
    ) -> None:
        self._path = config.endpoint.path
        self._sockets = sockets
        self._protocol = protocol
        self._context: ssl.SSLContext | None = config.ssl_context()
        self._handshake_timeout_s = handshake_timeout_s if self._context is not None else None
        self._handshakes_max = handshakes_max
        self._handshakes: dict[asyncio.Task[None], socket.socket] = {}
        suffix = " (TLS)" if self._context is not None else ""
        self.port = 0
        self.addresses: list[str] = []
        if self._path is not None:
            self.addresses.append(f"unix:{self._path}{suffix}")
        else:
            for sock in sockets:
                host, self.port = sock.getsockname()[:2]
                self.addresses.append((f"[{host}]" if ":" in host else host) + f":{self.port}{suffix}")
        self._accepting = [asyncio.create_task(self._accept(sock)) for sock in sockets]

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        in_a_row = 0
        while True:
            try:
                sock, _ = await loop.sock_accept(listening)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                log.warning("cannot accept connections for %g s: %s", ACCEPT_RETRY_S, error.strerror or error)
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            if len(self._handshakes) >= self._handshakes_max:
                sock.close()
                continue
            task = loop.create_task(self._connect(sock))
            self._handshakes[task] = sock
            task.add_done_callback(self._handshakes.pop)
            in_a_row += 1
            if in_a_row >= ACCEPTS_PER_TURN:
                in_a_row = 0
                await asyncio.sleep(0)

    async def _connect(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._protocol, sock, ssl=self._context, ssl_handshake_timeout=self._handshake_timeout_s
            )
        except OSError as error:
            log.info("a connection was not completed: %s", error)

    async def close(self) -> None:
        """Stop listening and end what is not connected yet; connections already made stay."""
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        handshakes = dict(self._handshakes)
        if self._context is not None:  # without TLS a turn of the loop completes them
            for task in handshakes:
                task.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)
        for task, sock in handshakes.items():
            if task.cancelled():
                sock.close()
        for sock in self._sockets:
            sock.close()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)  # noqa: PTH108 - as it was given, not as a Path would write it


async def open_listener(
    config: ListenerConfig,
    protocol: Callable[[], asyncio.BaseProtocol],
    handshake_timeout_s: float,
    handshakes_max: int,
) -> Listener:
    """Listen as `config` says; see `Listener` for the arguments.

    Raises:
        OSError: the address is in use, not ours, or not allowed; its text names the address.
        ConfigError: the TLS files cannot be used.
    """
    config.ssl_context()  # what is wrong with it is told before anything is bound
    endpoint = config.endpoint
    try:
        sockets = [_unix_socket(endpoint.path)] if endpoint.path is not None else await _tcp_sockets(endpoint)
    except OSError as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise OSError(error.errno, f"cannot listen on {config.address}: {reason}") from error
    for sock in sockets:
        sock.setblocking(False)
        sock.listen(config.backlog)
    return Listener(config, sockets, protocol, handshake_timeout_s, handshakes_max)


async def _tcp_sockets(endpoint: Endpoint) -> list[socket.socket]:
    infos = await asyncio.get_running_loop().getaddrinfo(
        endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    port = endpoint.port
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


def _unix_socket(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        _make_way(path)
        sock.bind(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _make_way(path: str) -> None:
    """Remove a socket file nobody listens on any more; anything else in the way is an error."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - see above
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

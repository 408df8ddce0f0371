"""The listening sockets of the asyncio server: TCP and unix, each with or without TLS, a proxy in front or not.

Laws: a listener either listens when `open_listener` returns, or an `OSError` or `ConfigError` says in one line why
not. Running out of file descriptors costs one line of log a second and ends by itself. A handshake that hangs is
bounded in time and number, and none outlives its listener.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from mqtt_adapters.config import ListenerConfig
from mqtt_adapters.server.listening import (
    addresses,
    bind_tcp,
    bind_unix,
    check_listener,
    listen,
    port_of,
    tell_errors,
    unlink_socket,
)
from mqtt_adapters.server.peer import Peer, peer_of
from mqtt_adapters.server.proxy import ProxyNetworks, ProxyReader

__all__ = ["Listener", "open_listener"]

log = logging.getLogger("mqtt_adapters")

ACCEPT_RETRY_S: Final = 1.0
ACCEPTS_PER_TURN: Final = 16
"""Connections accepted in a row before the loop serves those it has."""

ProtocolFactory = Callable[[Peer], asyncio.BaseProtocol]
"""Makes the protocol object of an accepted connection, given who the client is."""


class Listener:
    """A listener that listens, on one socket or on one for each address its host name stands for.

    config: where and how. protocol: makes the protocol object of each accepted connection. handshake_timeout_s: how
    long a TLS handshake may take. handshakes_max: how many connections may be between accepting and their first byte.
    """

    def __init__(
        self,
        config: ListenerConfig,
        sockets: list[socket.socket],
        protocol: ProtocolFactory,
        handshake_timeout_s: float,
        handshakes_max: int,
    ) -> None:
        self._path = config.endpoint.path
        self._sockets = sockets
        self._protocol = protocol
        self._context: ssl.SSLContext | None = config.ssl_context()
        self._timeout_s = handshake_timeout_s
        self._tls_timeout_s = handshake_timeout_s if self._context is not None else None
        self._handshakes_max = handshakes_max
        self._handshakes: dict[asyncio.Task[None], socket.socket] = {}
        self._proxies = ProxyNetworks(config.proxy_networks) if config.proxy_networks else None
        self.port = port_of(sockets)
        self.addresses = addresses(config, sockets)
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
            # Asked here and not of the transport, which has no name for a client that has gone but left a CONNECT.
            name = sock.getpeername()
            peer = peer_of(name)
            if self._proxies is not None:
                async with asyncio.timeout(self._timeout_s):
                    peer = await self._read_proxy_header(sock, name, self._proxies)
            await loop.connect_accepted_socket(
                lambda: self._protocol(peer), sock, ssl=self._context, ssl_handshake_timeout=self._tls_timeout_s
            )
        except OSError as error:
            sock.close()
            unsaid = "no PROXY header in time" if isinstance(error, TimeoutError) else "the other end closed it"
            log.info("a connection was not completed: %s", str(error) or unsaid)

    @staticmethod
    async def _read_proxy_header(sock: socket.socket, name: object, proxies: ProxyNetworks) -> Peer:
        proxies.check(name)
        reader = ProxyReader(name)
        while reader.wanted:
            reader.receive(await asyncio.get_running_loop().sock_recv(sock, reader.wanted))
        return reader.peer

    async def close(self) -> None:
        """Stop listening and end what is not connected yet; connections already made stay."""
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        handshakes = dict(self._handshakes)
        if self._context is not None or self._proxies is not None:  # otherwise a turn of the loop completes them
            for task in handshakes:
                task.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)
        for task, sock in handshakes.items():
            if task.cancelled():
                sock.close()
        for sock in self._sockets:
            sock.close()
        unlink_socket(self._path)


async def open_listener(
    config: ListenerConfig,
    protocol: ProtocolFactory,
    handshake_timeout_s: float,
    handshakes_max: int,
) -> Listener:
    """Listen as `config` says; see `Listener` for the arguments.

    Raises:
        OSError: the address is in use, not ours, or not allowed; its text names the address.
        ConfigError: the TLS files cannot be used.
    """
    check_listener(config)
    endpoint = config.endpoint
    with tell_errors(config):
        if endpoint.path is not None:
            sockets = [bind_unix(endpoint.path)]
        else:
            infos = await asyncio.get_running_loop().getaddrinfo(
                endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            sockets = bind_tcp(endpoint.port, infos)
        listen(sockets, config)
    return Listener(config, sockets, protocol, handshake_timeout_s, handshakes_max)

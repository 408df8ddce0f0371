"""The listening sockets of the anyio server: TCP and unix, each with or without TLS, a proxy in front or not.

Laws: a listener either listens when `open_listener` returns, or an error says in one line why not. Running out of file
descriptors costs one line of log a second and ends by itself. A handshake that hangs is bounded in time and number.
"""

from __future__ import annotations

import logging
import socket
from typing import Final

import anyio
from anyio.abc import ByteStream, SocketStream, UNIXSocketStream
from anyio.streams.tls import TLSAttribute, TLSStream

from mqtt_adapters.anyio.server_link import GONE
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
from mqtt_adapters.server.peer import Peer, certificate_of, peer_of
from mqtt_adapters.server.proxy import ProxyNetworks, ProxyReader

__all__ = ["Listener", "open_listener"]

log = logging.getLogger("mqtt_adapters")

ACCEPT_RETRY_S: Final = 1.0


class Listener:
    """A listener that listens, on one socket or on one for each address its host name stands for."""

    def __init__(self, config: ListenerConfig, sockets: list[socket.socket]) -> None:
        self.config = config
        self.sockets = sockets
        self.port = port_of(sockets)
        self.addresses = addresses(config, sockets)
        self._context = config.ssl_context()
        self._proxies = ProxyNetworks(config.proxy_networks) if config.proxy_networks else None

    async def accept(self, listening: socket.socket) -> socket.socket:
        """The next connection on one of the sockets."""
        while True:
            try:
                return listening.accept()[0]
            except BlockingIOError:
                await anyio.wait_readable(listening)
            except ConnectionAbortedError:
                pass
            except OSError as error:
                log.warning("cannot accept connections for %g s: %s", ACCEPT_RETRY_S, error.strerror or error)
                await anyio.sleep(ACCEPT_RETRY_S)

    async def shake_hands(self, sock: socket.socket, timeout_s: float) -> tuple[ByteStream, Peer] | None:
        """What comes before MQTT's bytes; None when there will be no connection, and the socket is closed."""
        stream: ByteStream | None = None
        try:
            with anyio.fail_after(timeout_s):
                sock.setblocking(False)
                name = sock.getpeername()
                peer = peer_of(name) if self._proxies is None else await _proxied(sock, name, self._proxies)
                kind = UNIXSocketStream if self.config.endpoint.path is not None else SocketStream
                stream = await kind.from_socket(sock)
                if self._context is None:
                    return stream, peer
                stream = await TLSStream.wrap(
                    stream, server_side=True, ssl_context=self._context, standard_compatible=False
                )
                tls = stream.extra(TLSAttribute.ssl_object)  # noqa: S610 - of a stream, not of a database
                return stream, Peer(peer, certificate_of(tls))
        except (*GONE, ValueError) as error:  # ValueError: anyio wants a socket that is still connected
            unsaid = "not in time" if isinstance(error, TimeoutError) else "the other end closed it"
            log.info("a connection was not completed: %s", str(error) or unsaid)
        except BaseException:
            await self._drop(sock, stream)
            raise
        await self._drop(sock, stream)
        return None

    @staticmethod
    async def _drop(sock: socket.socket, stream: ByteStream | None) -> None:
        if stream is None:
            sock.close()
        else:
            await anyio.aclose_forcefully(stream)

    def close(self) -> None:
        """Stop listening."""
        for sock in self.sockets:
            sock.close()
        unlink_socket(self.config.endpoint.path)


async def _proxied(sock: socket.socket, name: object, proxies: ProxyNetworks) -> Peer:
    proxies.check(name)
    reader = ProxyReader(name)
    while reader.wanted:
        try:
            reader.receive(sock.recv(reader.wanted))
        except BlockingIOError:
            await anyio.wait_readable(sock)
    return reader.peer


async def open_listener(config: ListenerConfig) -> Listener:
    """Listen as `config` says.

    Raises:
        OSError: the address is in use, not ours, or not allowed; its text names the address.
        ConfigError: the TLS files cannot be used, an extra is missing.
    """
    check_listener(config)
    endpoint = config.endpoint
    with tell_errors(config):
        if endpoint.path is not None:
            sockets = [bind_unix(endpoint.path)]
        else:
            infos = await anyio.getaddrinfo(
                endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            sockets = bind_tcp(endpoint.port, infos)
        listen(sockets, config)
    return Listener(config, sockets)

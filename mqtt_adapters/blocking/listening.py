"""The listening sockets of the blocking server: TCP and unix, each with or without TLS, a proxy in front or not.

Laws: a listener either listens when `open_listener` returns, or an error says in one line why not. What all its
connections share, such as the TLS context, is made once.
"""

from __future__ import annotations

import socket

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
from mqtt_adapters.server.proxy import ProxyNetworks

__all__ = ["Listener", "open_listener"]


class Listener:
    """A listener that listens. sockets: one for each address its host name stands for. context: of its TLS.
    proxies: whose word about clients is taken, None when there is no proxy in front."""

    def __init__(self, config: ListenerConfig, sockets: list[socket.socket]) -> None:
        self.config = config
        self.sockets = sockets
        self.context = config.ssl_context()
        self.proxies = ProxyNetworks(config.proxy_networks) if config.proxy_networks else None
        self.port = port_of(sockets)
        self.addresses = addresses(config, sockets)

    def close(self) -> None:
        """Stop listening."""
        for sock in self.sockets:
            sock.close()
        unlink_socket(self.config.endpoint.path)


def open_listener(config: ListenerConfig) -> Listener:
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
            sockets = bind_tcp(
                endpoint.port,
                socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE),
            )
        listen(sockets, config)
    return Listener(config, sockets)

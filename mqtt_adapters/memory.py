"""Clients and a server in one process with no socket: connectors for the three I/O styles.

    async with MqttServer(config) as server, Client(connector=connect_in_memory(server)) as client: ...

`connect_in_memory` takes a server of `mqtt_adapters.asyncio`, `anyio` or `blocking` and gives a connector for the
`Client` of the same style. Laws: nothing but bytes goes between them, cut and queued as on a network, so that whatever
holds here holds over TCP; what waits between them is bounded. On asyncio and anyio both ends live in one event loop. A
blocking server and client wait in a selector, which knows only what the system knows: theirs is a socket pair.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import mqtt_adapters.anyio
    import mqtt_adapters.anyio.client_link
    import mqtt_adapters.asyncio
    import mqtt_adapters.asyncio.client_link
    import mqtt_adapters.blocking
    import mqtt_adapters.blocking.client_link

__all__ = ["connect_in_memory"]


@overload
def connect_in_memory(server: mqtt_adapters.asyncio.MqttServer) -> mqtt_adapters.asyncio.client_link.Connector: ...
@overload
def connect_in_memory(server: mqtt_adapters.anyio.MqttServer) -> mqtt_adapters.anyio.client_link.Connector: ...
@overload
def connect_in_memory(server: mqtt_adapters.blocking.MqttServer) -> mqtt_adapters.blocking.client_link.Connector: ...


def connect_in_memory(server: Any) -> Any:
    """A connector for `Client` that talks to a server in the same process, listening or not.

    The server has to run when the client connects; otherwise that is a ConnectionRefusedError, as elsewhere.
    """
    if "mqtt_adapters.anyio.server" in sys.modules:
        from mqtt_adapters.anyio.memory import connect_in_memory as connect_anyio  # noqa: PLC0415 - an extra
        from mqtt_adapters.anyio.server import MqttServer as AnyioServer  # noqa: PLC0415 - an extra

        if isinstance(server, AnyioServer):
            return connect_anyio(server)
    if "mqtt_adapters.blocking.server" in sys.modules:
        from mqtt_adapters.blocking.server import MqttServer as BlockingServer  # noqa: PLC0415 - only if it is used

        if isinstance(server, BlockingServer):
            return _connect_blocking(server)
    from mqtt_adapters.asyncio.memory import connect_in_memory as connect_asyncio  # noqa: PLC0415 - only if it is used

    return connect_asyncio(server)


def _connect_blocking(server: mqtt_adapters.blocking.MqttServer) -> Callable[[float], socket.socket]:
    def connect(_timeout_s: float) -> socket.socket:
        if not server.running or server.stopping:
            raise ConnectionRefusedError("the server is not running")
        ours, theirs = socket.socketpair()
        server.serve_transport(theirs, "memory")
        return ours

    return connect

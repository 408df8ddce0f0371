"""MQTT on asyncio: a broker that listens, a client, and connections that speak packets.

`MqttServer` is the reference broker as an object, `Client` the client. `open_connection` gives a `Connection` with
packet-level ``read()`` and ``write()``. The law of the package: bytes and time pass through it, packets do not; what
the protocol says is said in `mqtt_core`.
"""

from __future__ import annotations

from mqtt_adapters.asyncio.client import Client
from mqtt_adapters.asyncio.connection import Connection, open_connection
from mqtt_adapters.asyncio.local import Subscription, ThreadsafeServer
from mqtt_adapters.asyncio.server import MqttServer
from mqtt_adapters.client.async_streams import MessageStream
from mqtt_adapters.config import ConfigError, ListenerConfig, ServerConfig

__all__ = [
    "Client",
    "ConfigError",
    "Connection",
    "ListenerConfig",
    "MessageStream",
    "MqttServer",
    "ServerConfig",
    "Subscription",
    "ThreadsafeServer",
    "open_connection",
]

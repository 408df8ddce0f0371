"""MQTT on blocking sockets, for programs without an event loop.

`MqttServer` is the reference broker as an object, `Client` the client. Both work in a background thread or, without
one, in `pump`. The law of the package: bytes and time pass through
it, packets do not; what the protocol says is said in `mqtt_core`.
"""

from __future__ import annotations

from mqtt_adapters.blocking.client import Client
from mqtt_adapters.blocking.client_streams import MessageStream
from mqtt_adapters.blocking.local import Subscription
from mqtt_adapters.blocking.server import MqttServer
from mqtt_adapters.config import ConfigError, ListenerConfig, ServerConfig

__all__ = [
    "Client",
    "ConfigError",
    "ListenerConfig",
    "MessageStream",
    "MqttServer",
    "ServerConfig",
    "Subscription",
]

"""MQTT on anyio: the same programs on asyncio and on trio.

`MqttServer` and `Client` keep their tasks in a task group. The law of the package: bytes and time pass through it,
packets do not; what the protocol says is said in `mqtt_core`.
"""

from __future__ import annotations

try:
    import anyio as _anyio  # noqa: F401 - asked for here, so that what is missing has a name
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("anyio is not installed (pip install 'mqtt-core[anyio]')", name="anyio") from error

from mqtt_adapters.anyio.client import Client
from mqtt_adapters.anyio.local import Subscription
from mqtt_adapters.anyio.server import MqttServer
from mqtt_adapters.client.async_streams import MessageStream
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

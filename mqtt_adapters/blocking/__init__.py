"""MQTT on blocking sockets, for programs without an event loop.

`Client` works in a background thread or, without one, in `pump`. The law of the package: bytes and time pass through
it, packets do not; what the protocol says is said in `mqtt_core`.
"""

from __future__ import annotations

from mqtt_adapters.blocking.client import Client
from mqtt_adapters.blocking.client_streams import MessageStream

__all__ = ["Client", "MessageStream"]

"""MQTT on anyio: the same programs on asyncio and on trio.

`Client` keeps its tasks in a task group. The law of the package: bytes and time pass through it, packets do not; what
the protocol says is said in `mqtt_core`.
"""

from __future__ import annotations

from mqtt_adapters.anyio.client import Client
from mqtt_adapters.async_streams import MessageStream

__all__ = ["Client", "MessageStream"]

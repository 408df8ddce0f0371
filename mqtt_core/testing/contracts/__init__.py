"""Contracts: test classes that say what a part written by somebody else must keep.

A back-end's author subclasses one in a pytest module and says how to make the thing under test; pytest runs the rest.
`AnyioTransportContract` stands in `mqtt_core.testing.contracts.transport_anyio`, because it needs the extra `anyio`.
"""

from __future__ import annotations

from mqtt_core.testing.contracts.history import History, JournalModel, snapshot_state
from mqtt_core.testing.contracts.storage import StorageBench, StorageContract
from mqtt_core.testing.contracts.transport import (
    BlockingTransport,
    BlockingTransportContract,
    TransportContract,
    TransportEnd,
)
from mqtt_core.testing.contracts.transport_asyncio import AsyncioTransportContract

__all__ = [
    "AsyncioTransportContract",
    "BlockingTransport",
    "BlockingTransportContract",
    "History",
    "JournalModel",
    "StorageBench",
    "StorageContract",
    "TransportContract",
    "TransportEnd",
    "snapshot_state",
]

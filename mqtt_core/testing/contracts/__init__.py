"""Contracts: test classes that say what a part written by somebody else must keep.

A back-end's author subclasses one in a pytest module and says how to make the thing under test; pytest runs the rest.
"""

from __future__ import annotations

from mqtt_core.testing.contracts.history import History, JournalModel, snapshot_state
from mqtt_core.testing.contracts.storage import StorageBench, StorageContract

__all__ = ["History", "JournalModel", "StorageBench", "StorageContract", "snapshot_state"]

"""What must survive the process: the write barrier, the storage protocol, and how it is read at boot.

Laws: memory is the truth and storage its log, read once; the core writes through `Journal` only, synchronously; a
batch is all or nothing.
"""

from __future__ import annotations

from mqtt_core.persistence.journal import Batch, ClientRows, Journal, Recordable
from mqtt_core.persistence.log import LogReader
from mqtt_core.persistence.memory import MemoryStore
from mqtt_core.persistence.recovery import Replay, SessionSnapshot, Snapshot, load
from mqtt_core.persistence.storage import Progress, Storage, apply_with_verbs, snapshot_with_verbs
from mqtt_core.persistence.verbs import VerbJournal

__all__ = [
    "Batch",
    "ClientRows",
    "Journal",
    "LogReader",
    "MemoryStore",
    "Progress",
    "Recordable",
    "Replay",
    "SessionSnapshot",
    "Snapshot",
    "Storage",
    "VerbJournal",
    "apply_with_verbs",
    "load",
    "snapshot_with_verbs",
]

"""Storages that outlive the process."""

from __future__ import annotations

from mqtt_adapters.storage.sqlite import SqliteStore

__all__ = ["SqliteStore"]

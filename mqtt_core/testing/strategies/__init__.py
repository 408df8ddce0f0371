"""Hypothesis strategies for what MQTT programs take in; they shrink to the smallest valid example.

Needs the extra `hypothesis`: `pip install "mqtt-core[hypothesis]"`.
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis  # noqa: F401 - asked for here, so that what is missing has a name
except ModuleNotFoundError as error:
    missing = "hypothesis is not installed (pip install 'mqtt-core[hypothesis]')"
    raise ModuleNotFoundError(missing, name="hypothesis") from error

from mqtt_core.testing.strategies.packets import (
    chunkings,
    malformed_packets,
    packet_ids,
    packets,
    properties,
    strings,
    subscribe_filters,
    versions,
    wills,
)
from mqtt_core.testing.strategies.topics import filters, level_texts, matching_pairs, share_names, topics

__all__ = [
    "chunkings",
    "filters",
    "level_texts",
    "malformed_packets",
    "matching_pairs",
    "packet_ids",
    "packets",
    "properties",
    "share_names",
    "strings",
    "subscribe_filters",
    "topics",
    "versions",
    "wills",
]

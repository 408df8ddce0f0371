"""Hypothesis strategies for what MQTT programs take in; they shrink to the smallest valid example.

Needs the extra `hypothesis`: `pip install "mqtt-core[hypothesis]"`.
"""

from __future__ import annotations

from mqtt_core.testing.strategies.topics import filters, level_texts, matching_pairs, share_names, topics

__all__ = ["filters", "level_texts", "matching_pairs", "share_names", "topics"]

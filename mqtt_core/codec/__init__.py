"""Packets of MQTT 3.1.1 and 5.0: bytes to objects and back."""

from __future__ import annotations

from mqtt_core.codec.error import MqttError

__all__ = ["MqttError"]

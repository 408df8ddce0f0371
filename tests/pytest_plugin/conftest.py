"""The fixtures under test, whether the plugin is installed or lies in the checkout, and certificates."""

from __future__ import annotations

from mqtt_adapters.pytest_plugin import mqtt_broker, mqtt_broker_factory
from tests.adapters.kit import certificates

__all__ = ["certificates", "mqtt_broker", "mqtt_broker_factory"]

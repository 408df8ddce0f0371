"""The client role without a socket: `MqttClient`, its settings and its events.

Laws: every attempt to connect ends in one event, every token in one completion; nothing of one connection leaks into
the next; state that has to outlive the process goes through the journal before anybody is told.
"""

from __future__ import annotations

from mqtt_core.client.client import MqttClient
from mqtt_core.client.config import ClientConfig, OfflinePolicy
from mqtt_core.client.events import (
    AuthChallenge,
    Authenticated,
    Connected,
    ConnectionRefused,
    Disconnected,
    Event,
    MessageReceived,
    PublishCompleted,
    PublishFailed,
    SessionLost,
    SubscribeCompleted,
    SubscriptionsRestored,
    UnsubscribeCompleted,
)

__all__ = [
    "AuthChallenge",
    "Authenticated",
    "ClientConfig",
    "Connected",
    "ConnectionRefused",
    "Disconnected",
    "Event",
    "MessageReceived",
    "MqttClient",
    "OfflinePolicy",
    "PublishCompleted",
    "PublishFailed",
    "SessionLost",
    "SubscribeCompleted",
    "SubscriptionsRestored",
    "UnsubscribeCompleted",
]

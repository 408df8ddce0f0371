"""The server role: one `Broker`, one `ClientHandler` per connection, a `Policy` that the host supplies.

Laws: the broker has no socket, clock, thread or randomness of its own; a peer can never raise into the host; what is
acknowledged has been written first.
"""

from __future__ import annotations

from mqtt_core.broker.broker import Broker
from mqtt_core.broker.config import BrokerConfig
from mqtt_core.broker.events import (
    AuthenticationPending,
    ClientConnected,
    ClientDisconnected,
    ClientRefused,
    Event,
    QueueOverflow,
    SessionEnded,
)
from mqtt_core.broker.handler import ClientHandler
from mqtt_core.broker.policy import DEFERRED, Accept, Challenge, Decision, Deferred, Policy, Principal, Refuse
from mqtt_core.router.counters import Counters
from mqtt_core.router.local import LocalMessage, LocalSubscriber

__all__ = [
    "DEFERRED",
    "Accept",
    "AuthenticationPending",
    "Broker",
    "BrokerConfig",
    "Challenge",
    "ClientConnected",
    "ClientDisconnected",
    "ClientHandler",
    "ClientRefused",
    "Counters",
    "Decision",
    "Deferred",
    "Event",
    "LocalMessage",
    "LocalSubscriber",
    "Policy",
    "Principal",
    "QueueOverflow",
    "Refuse",
    "SessionEnded",
]

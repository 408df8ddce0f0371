"""Who gets a message, and how it gets there.

Laws: matching happens when a route is built, never per message; fan-out never waits for a subscriber; a message moves
into and out of a session only through `sender`.
"""

from __future__ import annotations

from mqtt_core.router.counters import Counters
from mqtt_core.router.events import Event, EventRing, QueueOverflow
from mqtt_core.router.local import LocalMessage, LocalSubscriber
from mqtt_core.router.queues import SessionQueues
from mqtt_core.router.registry import Registry, SharedGroup
from mqtt_core.router.retain import RetainStore
from mqtt_core.router.router import Delivery, Route, Router
from mqtt_core.router.sender import Sender

__all__ = [
    "Counters",
    "Delivery",
    "Event",
    "EventRing",
    "LocalMessage",
    "LocalSubscriber",
    "QueueOverflow",
    "Registry",
    "RetainStore",
    "Route",
    "Router",
    "Sender",
    "SessionQueues",
    "SharedGroup",
]

"""What a broker tells its host about clients: who came, who left and why, which session ended.

Law: events are for operators and tests. They are taken with `Broker.take_events()`, oldest first, from a bounded ring;
no decision of the broker depends on their being read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mqtt_core.router.events import Event, EventRing, QueueOverflow

__all__ = [
    "AuthenticationPending",
    "ClientConnected",
    "ClientDisconnected",
    "ClientRefused",
    "Event",
    "EventRing",
    "QueueOverflow",
    "SessionEnded",
]


@dataclass(frozen=True)
class ClientConnected(Event):
    """A CONNECT was accepted. version: 4 or 5."""

    peer: str
    version: int
    session_present: bool


@dataclass(frozen=True)
class ClientDisconnected(Event):
    """A connection of an accepted client is over. reason_code: of the DISCONNECT sent or received, 0x80 for none."""

    reason_code: int
    reason: str


@dataclass(frozen=True)
class ClientRefused(Event):
    """A connection ended before it was accepted. client_id is "" when no CONNECT was understood."""

    peer: str
    reason_code: int
    reason: str


@dataclass(frozen=True)
class AuthenticationPending(Event):
    """The policy deferred a decision; `handler.resume(decision, now)` is awaited."""

    handler: Any  # the ClientHandler, whose module imports this one


@dataclass(frozen=True)
class SessionEnded(Event):
    """A session is gone: expired, discarded by a clean start, or not to outlive its connection."""

    reason: str

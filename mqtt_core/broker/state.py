"""What all connections of one broker share.

Law: a handler sees this and its own connection, never the `Broker`. Nothing here decides anything; it is the
workbench on which handlers, the session book (sessions.py) and the broker itself meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mqtt_core.broker.config import BrokerConfig
from mqtt_core.broker.heartbeat import Heartbeat
from mqtt_core.broker.policy import Policy, Principal
from mqtt_core.persistence.journal import Journal
from mqtt_core.router.counters import Counters
from mqtt_core.router.events import EventRing
from mqtt_core.router.queues import SessionQueues
from mqtt_core.router.registry import Registry
from mqtt_core.router.retain import RetainStore
from mqtt_core.router.router import Router
from mqtt_core.router.sender import Sender
from mqtt_core.session.session import Session
from mqtt_core.timers import Deadlines

if TYPE_CHECKING:
    from mqtt_core.broker.connection import Connection
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["BrokerState", "Rng"]


class Rng(Protocol):
    """What the broker needs of `random.Random`."""

    def getrandbits(self, k: int, /) -> int:
        """A number of `k` random bits."""
        ...


class BrokerState:
    """The shared parts of one broker.

    now: time of the newest input. handlers: open connections, in order of arrival. live: client identifier -> its
    connection. trailing: client identifier -> the connection its session has left and nobody has taken up again, while
    frames of it may still leave. dirty: what has something to take. resumable: connections that can go on with what
    they kept.
    policy_epoch: rises with `policy_changed()`; verdicts of an older epoch are void. shutting_down: nobody comes in.
    """

    __slots__ = (
        "config",
        "counters",
        "deadlines",
        "dirty",
        "events",
        "handlers",
        "heartbeat",
        "journal",
        "live",
        "now",
        "policy",
        "policy_epoch",
        "registry",
        "resumable",
        "retained",
        "rng",
        "router",
        "sender",
        "shutting_down",
        "trailing",
    )

    def __init__(self, config: BrokerConfig, policy: Policy | None, journal: Journal, rng: Rng) -> None:
        self.config = config
        self.policy = policy
        self.journal = journal
        self.rng = rng
        self.now = 0.0
        self.policy_epoch = 0
        self.shutting_down = False
        self.counters = Counters()
        self.events = EventRing(config.events_max, self.counters)
        self.deadlines = Deadlines()
        self.heartbeat = Heartbeat(journal, self.deadlines)
        self.dirty: list[object] = []
        self.handlers: dict[Connection, None] = {}
        self.live: dict[str, ClientHandler] = {}
        self.trailing: dict[str, Connection] = {}
        self.resumable: dict[Connection, None] = {}
        self.registry = Registry()
        self.retained = RetainStore(config.retained_messages_max, config.retained_bytes_max)
        queues = SessionQueues(
            journal,
            self.counters,
            self.events,
            config.queue_messages_max,
            config.queue_bytes_max,
            config.all_queues_bytes_max,
        )
        self.sender = Sender(
            journal,
            self.counters,
            queues,
            self.retained,
            config.outbox_bytes_max,
        )
        self.router = Router(
            self.registry,
            self.retained,
            self.sender,
            journal,
            self.counters,
            config.route_cache_max,
            self._may_deliver if policy is not None else None,
        )

    def moment(self, now: float) -> float:
        """Note the time of an input; it never goes back."""
        if now < self.now:
            return self.now
        self.now = now
        return now

    def principal(self, session: Session) -> Principal:
        """Who a session acts as; after a restart the policy knows an absent client by its identity only."""
        principal = session.principal
        if principal is None:
            principal = session.principal = Principal(session.client_id, session.identity)
        assert isinstance(principal, Principal)
        return principal

    def _may_deliver(self, session: Session, topic: str) -> bool:
        policy = self.policy
        assert policy is not None
        return session.local is not None or policy.authorize_deliver(self.principal(session), topic)

"""What a broker counts. Plain integers, added to per read where the hot path allows it, never per message there.

Law: every limit that drops, refuses or closes has its counter here, and every counter is published below `$SYS` or
readable through `Broker.counters`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Counters"]

_NAMES: Final = (
    "bulk_frames",
    "bytes_received",
    "bytes_sent",
    "clients_maximum",
    "connections_accepted",
    "connections_refused",
    "dropped_by_client",
    "dropped_expired",
    "dropped_local",
    "dropped_not_authorized",
    "dropped_outbox",
    "dropped_queue",
    "dropped_retained",
    "dropped_too_large",
    "events_dropped",
    "keep_alive_timeouts",
    "messages_received",
    "messages_sent",
    "protocol_errors",
    "publish_bytes_received",
    "publish_bytes_sent",
    "publish_received",
    "publish_sent",
    "queued_bytes",
    "queued_messages",
    "send_timeouts",
    "sessions_expired",
    "sessions_taken_over",
    "socket_connections",
    "wills_published",
)


class Counters:
    """Totals since the start; those without "total" in their meaning are current values.

    Names: `bytes_received` and `bytes_sent` count what went through the connections; `publish_*` count PUBLISH packets,
    `publish_bytes_*` their payloads; `messages_*` count packets of any type. `dropped_*` name the limit or rule.
    """

    __slots__ = _NAMES

    def __init__(self) -> None:
        self.bulk_frames = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.clients_maximum = 0
        self.connections_accepted = 0
        self.connections_refused = 0
        self.dropped_by_client = 0
        self.dropped_expired = 0
        self.dropped_local = 0
        self.dropped_not_authorized = 0
        self.dropped_outbox = 0
        self.dropped_queue = 0
        self.dropped_retained = 0
        self.dropped_too_large = 0
        self.events_dropped = 0
        self.keep_alive_timeouts = 0
        self.messages_received = 0
        self.messages_sent = 0
        self.protocol_errors = 0
        self.publish_bytes_received = 0
        self.publish_bytes_sent = 0
        self.publish_received = 0
        self.publish_sent = 0
        self.queued_bytes = 0
        self.queued_messages = 0
        self.send_timeouts = 0
        self.sessions_expired = 0
        self.sessions_taken_over = 0
        self.socket_connections = 0
        self.wills_published = 0

    def as_dict(self) -> dict[str, int]:
        """All counters by name."""
        return {name: getattr(self, name) for name in _NAMES}

    def dropped(self) -> int:
        """Messages that did not reach a subscriber because a limit or a rule dropped them."""
        return (
            self.dropped_by_client
            + self.dropped_expired
            + self.dropped_local
            + self.dropped_outbox
            + self.dropped_queue
            + self.dropped_too_large
        )

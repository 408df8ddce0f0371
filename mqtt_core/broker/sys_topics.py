"""The `$SYS` topics: what mosquitto's users look at, under the same names.

Law: a topic is published, retained and with QoS 0, only when its text has changed. Nothing here is stored, and no
client may publish below `$SYS/`.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.broker.state import BrokerState
from mqtt_core.session.message import Message

__all__ = ["SysTopics"]

PREFIX: Final = "$SYS/broker/"


class SysTopics:
    """Publishes a broker's counters every `sys_interval_s`. version: text of `$SYS/broker/version`."""

    __slots__ = ("_last", "_started_at", "_state", "_version", "due_at")

    def __init__(self, state: BrokerState, version: str) -> None:
        self._state = state
        self._version = version
        self._last: dict[str, str] = {}
        self._started_at = -1.0
        self.due_at = 0.0

    def publish(self, now: float) -> None:
        """Publish what has changed, and set `due_at` to the next time (epoch seconds)."""
        state = self._state
        if self._started_at < 0:
            self._started_at = now
        self.due_at = now + state.config.sys_interval_s
        for name, text in self._values(now).items():
            if self._last.get(name) != text:
                self._last[name] = text
                message = Message(PREFIX + name, text.encode(), 0, True, sequence=state.sender.next_sequence())
                state.router.publish(message, now)

    def _values(self, now: float) -> dict[str, str]:
        state = self._state
        c = state.counters
        sessions = len(state.registry.sessions)
        connected = len(state.live)
        values: dict[str, int] = {
            "clients/connected": connected,
            "clients/active": connected,
            "clients/disconnected": sessions - connected,
            "clients/inactive": sessions - connected,
            "clients/expired": c.sessions_expired,
            "clients/maximum": c.clients_maximum,
            "clients/total": sessions,
            "bytes/received": c.bytes_received,
            "bytes/sent": c.bytes_sent,
            "messages/received": c.messages_received,
            "messages/sent": c.messages_sent + c.publish_sent,
            "messages/stored": len(state.retained) + c.queued_messages,
            "store/messages/count": len(state.retained) + c.queued_messages,
            "store/messages/bytes": state.retained.bytes + c.queued_bytes,
            "publish/messages/received": c.publish_received,
            "publish/messages/sent": c.publish_sent,
            "publish/messages/dropped": c.dropped(),
            "publish/bytes/received": c.publish_bytes_received,
            "publish/bytes/sent": c.publish_bytes_sent,
            "retained messages/count": len(state.retained),
            "subscriptions/count": state.registry.subscription_count,
            "shared_subscriptions/count": state.registry.shared_count(),
        }
        texts = {"version": self._version, "uptime": f"{int(now - self._started_at)} seconds"}
        for name, value in values.items():
            texts[name] = str(value)
        return texts

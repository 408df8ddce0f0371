"""What a broker under test was sent, and what to tell when something else was expected.

Law: each message answers one `take`, so that a test can expect the same thing twice and mean two messages. Nothing here
waits or locks; `mqtt_adapters.testing.broker` does.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.router.local import LocalMessage
from mqtt_core.topic_matcher import check_filter, matches

__all__ = ["Received", "Record"]

SHOWN_MAX: Final = 50
PAYLOAD_SHOWN_MAX: Final = 80


@dataclass(frozen=True)
class Received:
    """A message a client has published. qos, retain, properties: as published. publisher: its client identifier."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    publisher: str = ""
    properties: Properties = NO_PROPERTIES

    @property
    def text(self) -> str:
        """The payload as text."""
        return self.payload.decode()


class Record:
    """Everything clients have published, oldest first."""

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self._taken: list[bool] = []

    def add(self, local: LocalMessage) -> None:
        """Note a message; those of the test itself are not noted."""
        message = local.message
        if message.publisher:
            self.messages.append(
                Received(local.topic, local.payload, local.qos, local.retain, message.publisher, message.properties)
            )
            self._taken.append(False)

    def matching(self, topic_filter: str) -> list[Received]:
        """The messages a filter matches, taken or not."""
        return [message for message in self.messages if matches(topic_filter, message.topic)]

    def take(self, topic_filter: str, payload: bytes | None) -> Received | None:
        """The oldest message that fits and has not been taken; None for none."""
        for index, message in enumerate(self.messages):
            if self._taken[index] or (payload is not None and message.payload != payload):
                continue
            if matches(topic_filter, message.topic):
                self._taken[index] = True
                return message
        return None

    def account(self, topic_filter: str) -> str:
        """What did arrive, and the topics nearest to those that were expected."""
        if not self.messages:
            return "nothing has arrived"
        lines = ["what has arrived, oldest first:"]
        if (left_out := len(self.messages) - SHOWN_MAX) > 0:
            lines.append(f"  ({left_out} more)")
        for message, taken in list(zip(self.messages, self._taken, strict=True))[-SHOWN_MAX:]:
            retained = ", retained" if message.retain else ""
            before = ", expected before" if taken else ""
            payload = repr(message.payload)
            if len(payload) > PAYLOAD_SHOWN_MAX:
                payload = f"{payload[:PAYLOAD_SHOWN_MAX]}... ({len(message.payload)} bytes)"
            lines.append(
                f"  {message.topic}  {payload}  (QoS {message.qos}{retained}, from {message.publisher!r}{before})"
            )
        topics = list(dict.fromkeys(message.topic for message in self.messages))
        if not any(matches(topic_filter, topic) for topic in topics):
            near = difflib.get_close_matches(topic_filter, topics, n=3, cutoff=0.5)
            lines.append(f"nearest topics: {', '.join(near)}" if near else "no topic is near")
        return "\n".join(lines)


def check_observable(topic_filter: str) -> None:
    """See that a filter can match what is recorded.

    Raises:
        InvalidTopicFilter: it breaks section 4.7. ValueError: it is for topics that `#` does not match.
    """
    check_filter(topic_filter)
    if topic_filter.startswith("$"):
        raise ValueError(f"{topic_filter!r}: topics that begin with $ are not recorded, nor are shared subscriptions")

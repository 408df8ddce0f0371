"""An application message, and a message on its way to somebody.

Law: a message is made once and never changed; everything that differs between recipients stands beside it in an
`Outgoing`. One `Message` is shared by the retained store and all queues, one `Outgoing` by all recipients for whom
quality of service, RETAIN and subscription identifiers come out the same, so a queue entry costs one reference.
"""

from __future__ import annotations

from mqtt_core.codec.properties import NO_PROPERTIES, Properties, encode_properties
from mqtt_core.codec.types import PUBLISH

__all__ = ["Message", "Outgoing", "payload_bytes"]


def payload_bytes(payload: bytes | bytearray | memoryview) -> bytes:
    """The payload a host gave, as bytes.

    Raises:
        TypeError: it is something else; a number would otherwise count as so many bytes of zero.
    """
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload)
    raise TypeError(f"a payload is bytes, not {type(payload).__name__}; str.encode() makes them of text")


class Message:
    """An application message as it was published.

    topic: full topic name (an alias is resolved on arrival, and used again only when a frame is written).
    payload: any bytes. qos: 0 to 2, as published. retain: RETAIN as published. properties: as published, forwarded
    unaltered. expires_at: absolute epoch seconds after which the message is not sent any more, 0.0 for never.
    publisher: client identifier of the publisher ("" for the host), for No Local. sequence: number of the message
    within one broker or client, rising; 0 before it has one.
    """

    __slots__ = ("_size", "expires_at", "payload", "properties", "publisher", "qos", "retain", "sequence", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
        expires_at: float = 0.0,
        publisher: str = "",
        sequence: int = 0,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.expires_at = expires_at
        self.publisher = publisher
        self.sequence = sequence
        self._size = 0

    def size(self) -> int:
        """What the message counts for in a limit of bytes: topic, payload and properties."""
        size = self._size
        if not size:
            topic = self.topic
            size = (len(topic) if topic.isascii() else len(topic.encode())) + len(self.payload)
            if self.properties:
                size += len(encode_properties(self.properties, PUBLISH))
            self._size = size
        return size

    def __repr__(self) -> str:
        return f"Message({self.topic!r}, {self.payload!r}, qos={self.qos}, retain={self.retain}, {self.properties!r})"

    def __eq__(self, other: object) -> bool:
        """Equal in everything a subscriber can see; sequence, publisher and deadline are bookkeeping."""
        if not isinstance(other, Message):
            return NotImplemented
        return (
            self.topic == other.topic
            and self.payload == other.payload
            and self.qos == other.qos
            and self.retain == other.retain
            and self.properties == other.properties
        )

    __hash__ = None  # type: ignore[assignment]  # mutable by construction, never a key


class Outgoing:
    """A message with what one group of recipients gets: effective QoS (0 to 2), RETAIN, subscription identifiers.

    `shared` names the shared subscription ("group/filter") the message was given to a member of, "" otherwise.
    """

    __slots__ = ("message", "qos", "retain", "shared", "subscription_ids")

    def __init__(
        self, message: Message, qos: int, retain: bool, subscription_ids: tuple[int, ...] = (), shared: str = ""
    ) -> None:
        self.message = message
        self.qos = qos
        self.retain = retain
        self.subscription_ids = subscription_ids
        self.shared = shared

    def __repr__(self) -> str:
        return f"Outgoing({self.message!r}, qos={self.qos}, retain={self.retain}, ids={self.subscription_ids})"

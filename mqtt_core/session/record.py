"""What is kept of a session, its subscriptions, will and messages when the process ends: plain values, no behaviour.

Law: a record holds nothing that cannot be written down. No sink, no timer, no reference to a live object; a session
gives one with `to_record()` and is built from one at recovery. How a record is put into bytes is
`persistence/record.py`'s business, which is why a stored session survives a change of the session class.
"""

from __future__ import annotations

from typing import ClassVar, Final

from mqtt_core.codec.properties import Properties
from mqtt_core.codec.value import Value
from mqtt_core.session.message import Message

__all__ = [
    "QUEUED",
    "RECEIPT",
    "RELEASED",
    "SENT",
    "EntryRecord",
    "SessionRecord",
    "SubscriptionRecord",
    "WillRecord",
]

QUEUED: Final = 0
"""State of an entry: waits in the session's queue and has no packet identifier."""

SENT: Final = 1
"""State of an entry: has a packet identifier, so it counts as sent; waits for PUBACK or PUBREC."""

RELEASED: Final = 2
"""State of an entry: PUBREC arrived, waits for PUBCOMP; its message is forgotten."""

RECEIPT: Final = 3
"""State of an entry: no message, but the packet identifier of an inbound QoS 2 PUBLISH whose PUBREL is to come."""


class SubscriptionRecord(Value):
    """One subscription with its options (5.0 section 3.8.3.1).

    filter: as the client wrote it, `$share/group/` included. qos: 0 to 2, as granted. retain_handling: 0 to 2.
    subscription_id: 1 to 268,435,455, or 0 for none. encoded: the record in bytes once it has been written, so that a
    session with very many subscriptions is not put into bytes anew for each that is added.
    """

    __slots__ = ("encoded", "filter", "no_local", "qos", "retain_as_published", "retain_handling", "subscription_id")

    fields: ClassVar[tuple[str, ...]] = (
        "filter",
        "qos",
        "no_local",
        "retain_as_published",
        "retain_handling",
        "subscription_id",
    )

    def __init__(
        self,
        filter: str,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        subscription_id: int = 0,
    ) -> None:
        self.filter = filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.retain_handling = retain_handling
        self.subscription_id = subscription_id
        self.encoded = b""


class WillRecord(Value):
    """A will that is still to be published, or not (5.0 section 3.1.2.5).

    topic, payload, qos (0 to 2), retain, properties: as in the CONNECT, without the Will Delay Interval.
    delay_s: that interval in seconds. publisher: client identifier in whose name it is published.
    """

    __slots__ = ("delay_s", "payload", "properties", "publisher", "qos", "retain", "topic")

    fields: ClassVar[tuple[str, ...]] = ("topic", "payload", "qos", "retain", "properties", "delay_s", "publisher")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: Properties,
        delay_s: int = 0,
        publisher: str = "",
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.delay_s = delay_s
        self.publisher = publisher


class SessionRecord(Value):
    """Everything about a session but its messages.

    identity: who created it. version: 4 or 5, of the last connection. expiry_s: 0xFFFFFFFF for never. will: what is to
    be published when it is lost, None for nothing. subscriptions: in the order in which they were made.
    connected_at, disconnected_at: epoch seconds; disconnected_at is 0.0 while connected, and a session found so at
    recovery counts as disconnected at the newest committed time stamp. replays: filters of the subscriptions whose
    retained messages have not all been sent, each with the message number of its SUBSCRIBE: what has a higher one was
    delivered live.
    """

    __slots__ = (
        "client_id",
        "connected_at",
        "disconnected_at",
        "expiry_s",
        "identity",
        "replays",
        "subscriptions",
        "version",
        "will",
    )

    fields: ClassVar[tuple[str, ...]] = (
        "client_id",
        "identity",
        "version",
        "expiry_s",
        "will",
        "subscriptions",
        "connected_at",
        "disconnected_at",
        "replays",
    )

    def __init__(
        self,
        client_id: str,
        identity: str,
        version: int,
        expiry_s: int,
        will: WillRecord | None,
        subscriptions: list[SubscriptionRecord],
        connected_at: float,
        disconnected_at: float,
        replays: tuple[tuple[str, int], ...] = (),
    ) -> None:
        self.client_id = client_id
        self.identity = identity
        self.version = version
        self.expiry_s = expiry_s
        self.will = will
        self.subscriptions = subscriptions
        self.connected_at = connected_at
        self.disconnected_at = disconnected_at
        self.replays = replays


class EntryRecord(Value):
    """One entry of a session: a message on its way to the client, or the receipt of one that came from it.

    sequence: key of the entry within its session: the message's number (1 and up), or minus the packet identifier
    for a receipt. message: shared by all sessions that wait for it; None for a released entry and a receipt. qos:
    effective, 1 or 2. retain: RETAIN as it is sent. packet_id: 0 for none. state: QUEUED, SENT, RELEASED or
    RECEIPT. shared: "group/filter" of the shared subscription the message was given to a member of, else "".
    """

    __slots__ = ("message", "packet_id", "qos", "retain", "sequence", "shared", "state", "subscription_ids")

    fields: ClassVar[tuple[str, ...]] = (
        "sequence",
        "message",
        "qos",
        "retain",
        "subscription_ids",
        "packet_id",
        "state",
        "shared",
    )

    def __init__(
        self,
        sequence: int,
        message: Message | None,
        qos: int = 1,
        retain: bool = False,
        subscription_ids: tuple[int, ...] = (),
        packet_id: int = 0,
        state: int = QUEUED,
        shared: str = "",
    ) -> None:
        self.sequence = sequence
        self.message = message
        self.qos = qos
        self.retain = retain
        self.subscription_ids = subscription_ids
        self.packet_id = packet_id
        self.state = state
        self.shared = shared

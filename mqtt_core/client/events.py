"""What a client tells its host.

Law: an event is a fact that has happened; it asks for no answer, but for `AuthChallenge`. Every attempt to connect ends
in exactly one of `ConnectionRefused` and `Disconnected`; every token of a verb ends in exactly one completion, as long
as the client object lives: across reconnects, and across the loss of the session on the server.

The two events that come per message are written by hand, because they are made a million times; the others are frozen
dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.value import Value

__all__ = [
    "AuthChallenge",
    "Authenticated",
    "Connected",
    "ConnectionRefused",
    "Disconnected",
    "Event",
    "MessageReceived",
    "PublishCompleted",
    "PublishFailed",
    "SessionLost",
    "SubscribeCompleted",
    "SubscriptionsRestored",
    "UnsubscribeCompleted",
]


class Event(Value):
    """Base of all events."""

    __slots__ = ()


class MessageReceived(Event):
    """An application message arrived (section 3.3).

    topic: full topic name, an alias is resolved. payload: bytes. qos: 0 to 2, of the delivery. retain, dup: flags of
    the delivery. properties: as the server sent them, the topic alias included.
    token: what `acknowledge` wants; 0 when there is nothing to acknowledge.
    """

    __slots__ = ("dup", "payload", "properties", "qos", "retain", "token", "topic")

    fields: ClassVar[tuple[str, ...]] = ("topic", "payload", "qos", "retain", "dup", "properties", "token")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        properties: Properties = NO_PROPERTIES,
        token: int = 0,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.properties = properties
        self.token = token


class PublishCompleted(Event):
    """A publish is over: acknowledged by PUBACK, PUBCOMP or a refusing PUBREC, or (QoS 0, queued) handed to the outbox.

    token: from `publish`. reason_code: of the last acknowledgement; 0x80 and above is a refusal (5.0). properties: of
    that acknowledgement.
    """

    __slots__ = ("properties", "reason_code", "token")

    fields: ClassVar[tuple[str, ...]] = ("token", "reason_code", "properties")

    def __init__(self, token: int, reason_code: int = 0, properties: Properties = NO_PROPERTIES) -> None:
        self.token = token
        self.reason_code = reason_code
        self.properties = properties


@dataclass(frozen=True, slots=True)
class PublishFailed(Event):
    """A publish was given up before it was ever sent: it expired, or this server does not take it."""

    token: int
    reason_code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """CONNACK accepted the connection. client_id: the one in use, maybe assigned. keep_alive_s: the one in force."""

    session_present: bool
    client_id: str
    keep_alive_s: int
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True, slots=True)
class ConnectionRefused(Event):
    """CONNACK refused the connection.

    reason_code: in the terms of 5.0; a return code of 3.1.1 is translated. reconnect_at: when to try again (epoch
    seconds), None when trying the same again is of no use or not wanted. A redirection is in
    `properties.server_reference` (0x9C, 0x9D).
    """

    reason_code: int
    properties: Properties = NO_PROPERTIES
    reconnect_at: float | None = None


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """The connection is over.

    reason_code: of the DISCONNECT received or sent, 0x80 when there was none. reason: one line for people. by_server:
    the server sent DISCONNECT. reconnect_at: as in `ConnectionRefused`.
    """

    reason_code: int
    reason: str
    by_server: bool = False
    properties: Properties = NO_PROPERTIES
    reconnect_at: float | None = None


@dataclass(frozen=True, slots=True)
class SessionLost(Event):
    """The server had no session though this client had one.

    republished: QoS 1 and 2 messages sent again as new messages, which the server may get twice. completed: QoS 2
    messages that were waiting for PUBCOMP and are reported complete. forgotten: QoS 2 messages received and not yet
    released; the server may deliver them again.
    """

    republished: int
    completed: int
    forgotten: int


@dataclass(frozen=True, slots=True)
class SubscribeCompleted(Event):
    """SUBACK: one reason code for each filter, in order; 0 to 2 is the granted QoS, 0x80 and above a refusal."""

    token: int
    filters: tuple[str, ...]
    reason_codes: tuple[int, ...]
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True, slots=True)
class UnsubscribeCompleted(Event):
    """UNSUBACK: one reason code for each filter (3.1.1: zeros)."""

    token: int
    filters: tuple[str, ...]
    reason_codes: tuple[int, ...]
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True, slots=True)
class SubscriptionsRestored(Event):
    """The client subscribed anew by itself because the server had no session; codes as in `SubscribeCompleted`."""

    filters: tuple[str, ...]
    reason_codes: tuple[int, ...]
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True, slots=True)
class AuthChallenge(Event):
    """The server sent AUTH 0x18: answer with `authenticate` (section 4.12)."""

    data: bytes
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True, slots=True)
class Authenticated(Event):
    """The server sent AUTH 0x00: re-authentication succeeded."""

    data: bytes
    properties: Properties = NO_PROPERTIES

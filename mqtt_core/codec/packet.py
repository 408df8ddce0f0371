"""One class per packet: what a packet says, without its bytes.

The classes are written by hand with ``__slots__`` so that they construct fast. They check nothing: a decoder makes
only valid ones, and an encoder refuses what cannot be sent. Fields have the names of the standard in plain types;
QoS, reason codes and packet identifiers are ints. One class serves both versions: what 3.1.1 does not have keeps its
default, and a return code of 3.1.1 stands in ``reason_code`` as the byte it is on the wire.
"""

from __future__ import annotations

from typing import ClassVar

from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.types import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    V5,
)
from mqtt_core.codec.value import Value

__all__ = [
    "AckPacket",
    "AuthPacket",
    "ConnackPacket",
    "ConnectPacket",
    "DisconnectPacket",
    "Packet",
    "PingreqPacket",
    "PingrespPacket",
    "PubackPacket",
    "PubcompPacket",
    "PublishPacket",
    "PubrecPacket",
    "PubrelPacket",
    "SubackPacket",
    "SubscribeFilter",
    "SubscribePacket",
    "UnsubackPacket",
    "UnsubscribePacket",
    "Will",
]


class Packet(Value):
    """Base of all packets; ``packet_type`` is the number in the fixed header, 1 to 15."""

    __slots__ = ()

    packet_type: ClassVar[int] = 0


class Will(Value):
    """The message a server publishes when a client goes without saying goodbye (section 3.1.2.5).

    Args:
        topic: topic name.
        payload: 0 to 65,535 bytes.
        qos: 0 to 2.
        retain: publish it as a retained message.
        properties: will properties, 5.0 only.
    """

    __slots__ = ("payload", "properties", "qos", "retain", "topic")

    fields: ClassVar[tuple[str, ...]] = ("topic", "payload", "qos", "retain", "properties")

    def __init__(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
    ) -> None:
        self.topic: str = topic
        self.payload: bytes = payload
        self.qos: int = qos
        self.retain: bool = retain
        self.properties: Properties = properties


class ConnectPacket(Packet):
    """CONNECT: a client asks for a connection (section 3.1).

    Args:
        client_id: client identifier; empty to let the server assign one.
        version: protocol level, 4 for 3.1.1 or 5 for 5.0.
        clean_start: begin with an empty session (Clean Session in 3.1.1).
        keep_alive_s: seconds, 0 to 65,535; 0 turns keep alive off.
        username: user name, or None.
        password: 0 to 65,535 bytes, or None.
        will: message to publish if the client goes without DISCONNECT, or None.
        properties: 5.0 only.
    """

    __slots__ = ("clean_start", "client_id", "keep_alive_s", "password", "properties", "username", "version", "will")

    packet_type: ClassVar[int] = CONNECT
    fields: ClassVar[tuple[str, ...]] = (
        "client_id",
        "version",
        "clean_start",
        "keep_alive_s",
        "username",
        "password",
        "will",
        "properties",
    )

    def __init__(
        self,
        client_id: str = "",
        *,
        version: int = V5,
        clean_start: bool = True,
        keep_alive_s: int = 60,
        username: str | None = None,
        password: bytes | None = None,
        will: Will | None = None,
        properties: Properties = NO_PROPERTIES,
    ) -> None:
        self.client_id: str = client_id
        self.version: int = version
        self.clean_start: bool = clean_start
        self.keep_alive_s: int = keep_alive_s
        self.username: str | None = username
        self.password: bytes | None = password
        self.will: Will | None = will
        self.properties: Properties = properties


class ConnackPacket(Packet):
    """CONNACK: the server's answer to CONNECT (section 3.2).

    Args:
        reason_code: 5.0 reason code, or 3.1.1 return code 0 to 5.
        session_present: the server had a session for this client.
        properties: 5.0 only.
    """

    __slots__ = ("properties", "reason_code", "session_present")

    packet_type: ClassVar[int] = CONNACK
    fields: ClassVar[tuple[str, ...]] = ("reason_code", "session_present", "properties")

    def __init__(
        self, reason_code: int = 0, session_present: bool = False, properties: Properties = NO_PROPERTIES
    ) -> None:
        self.reason_code: int = reason_code
        self.session_present: bool = session_present
        self.properties: Properties = properties


class PublishPacket(Packet):
    """PUBLISH: an application message (section 3.3).

    Args:
        topic: topic name; in 5.0 empty if a topic alias stands for it.
        payload: the message.
        qos: 0 to 2.
        retain: from a publisher: keep it for later subscribers; to a subscriber: it was kept.
        dup: sent before, for QoS 1 and 2.
        packet_id: 1 to 65,535 for QoS 1 and 2, 0 for QoS 0.
        properties: 5.0 only.
    """

    __slots__ = ("dup", "packet_id", "payload", "properties", "qos", "retain", "topic")

    packet_type: ClassVar[int] = PUBLISH
    fields: ClassVar[tuple[str, ...]] = ("topic", "payload", "qos", "retain", "dup", "packet_id", "properties")

    def __init__(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        properties: Properties = NO_PROPERTIES,
    ) -> None:
        self.topic: str = topic
        self.payload: bytes = payload
        self.qos: int = qos
        self.retain: bool = retain
        self.dup: bool = dup
        self.packet_id: int = packet_id
        self.properties: Properties = properties


class AckPacket(Packet):
    """What PUBACK, PUBREC, PUBREL and PUBCOMP have in common (sections 3.4 to 3.7).

    Args:
        packet_id: identifier of the PUBLISH, 1 to 65,535.
        reason_code: 5.0 only.
        properties: 5.0 only.
    """

    __slots__ = ("packet_id", "properties", "reason_code")

    fields: ClassVar[tuple[str, ...]] = ("packet_id", "reason_code", "properties")

    def __init__(self, packet_id: int, reason_code: int = 0, properties: Properties = NO_PROPERTIES) -> None:
        self.packet_id: int = packet_id
        self.reason_code: int = reason_code
        self.properties: Properties = properties


class PubackPacket(AckPacket):
    """PUBACK: the answer to a QoS 1 PUBLISH (section 3.4)."""

    __slots__ = ()

    packet_type: ClassVar[int] = PUBACK


class PubrecPacket(AckPacket):
    """PUBREC: the first answer to a QoS 2 PUBLISH (section 3.5)."""

    __slots__ = ()

    packet_type: ClassVar[int] = PUBREC


class PubrelPacket(AckPacket):
    """PUBREL: the sender of a QoS 2 PUBLISH releases it (section 3.6)."""

    __slots__ = ()

    packet_type: ClassVar[int] = PUBREL


class PubcompPacket(AckPacket):
    """PUBCOMP: the end of a QoS 2 exchange (section 3.7)."""

    __slots__ = ()

    packet_type: ClassVar[int] = PUBCOMP


class SubscribeFilter(Value):
    """One topic filter of a SUBSCRIBE with its options (section 3.8.3.1).

    Args:
        filter: topic filter.
        qos: highest QoS wanted, 0 to 2.
        no_local: not the messages this client published itself; 5.0 only.
        retain_as_published: keep the RETAIN flag of the publisher; 5.0 only.
        retain_handling: retained messages at subscription: 0 send, 1 only if new, 2 never; 5.0 only.
    """

    __slots__ = ("filter", "no_local", "qos", "retain_as_published", "retain_handling")

    fields: ClassVar[tuple[str, ...]] = ("filter", "qos", "no_local", "retain_as_published", "retain_handling")

    def __init__(
        self,
        filter: str,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
    ) -> None:
        self.filter: str = filter
        self.qos: int = qos
        self.no_local: bool = no_local
        self.retain_as_published: bool = retain_as_published
        self.retain_handling: int = retain_handling


class SubscribePacket(Packet):
    """SUBSCRIBE: a client asks for the messages of topic filters (section 3.8).

    Args:
        packet_id: 1 to 65,535.
        subscriptions: at least one.
        properties: 5.0 only.
    """

    __slots__ = ("packet_id", "properties", "subscriptions")

    packet_type: ClassVar[int] = SUBSCRIBE
    fields: ClassVar[tuple[str, ...]] = ("packet_id", "subscriptions", "properties")

    def __init__(
        self, packet_id: int, subscriptions: list[SubscribeFilter], properties: Properties = NO_PROPERTIES
    ) -> None:
        self.packet_id: int = packet_id
        self.subscriptions: list[SubscribeFilter] = subscriptions
        self.properties: Properties = properties


class SubackPacket(Packet):
    """SUBACK: the answer to SUBSCRIBE, one code per filter (section 3.9).

    Args:
        packet_id: of the SUBSCRIBE.
        reason_codes: granted QoS 0 to 2, or a code of 0x80 and above.
        properties: 5.0 only.
    """

    __slots__ = ("packet_id", "properties", "reason_codes")

    packet_type: ClassVar[int] = SUBACK
    fields: ClassVar[tuple[str, ...]] = ("packet_id", "reason_codes", "properties")

    def __init__(self, packet_id: int, reason_codes: list[int], properties: Properties = NO_PROPERTIES) -> None:
        self.packet_id: int = packet_id
        self.reason_codes: list[int] = reason_codes
        self.properties: Properties = properties


class UnsubscribePacket(Packet):
    """UNSUBSCRIBE: a client gives topic filters back (section 3.10).

    Args:
        packet_id: 1 to 65,535.
        filters: at least one topic filter.
        properties: 5.0 only.
    """

    __slots__ = ("filters", "packet_id", "properties")

    packet_type: ClassVar[int] = UNSUBSCRIBE
    fields: ClassVar[tuple[str, ...]] = ("packet_id", "filters", "properties")

    def __init__(self, packet_id: int, filters: list[str], properties: Properties = NO_PROPERTIES) -> None:
        self.packet_id: int = packet_id
        self.filters: list[str] = filters
        self.properties: Properties = properties


class UnsubackPacket(Packet):
    """UNSUBACK: the answer to UNSUBSCRIBE (section 3.11).

    Args:
        packet_id: of the UNSUBSCRIBE.
        reason_codes: one per filter in 5.0, empty in 3.1.1.
        properties: 5.0 only.
    """

    __slots__ = ("packet_id", "properties", "reason_codes")

    packet_type: ClassVar[int] = UNSUBACK
    fields: ClassVar[tuple[str, ...]] = ("packet_id", "reason_codes", "properties")

    def __init__(self, packet_id: int, reason_codes: list[int], properties: Properties = NO_PROPERTIES) -> None:
        self.packet_id: int = packet_id
        self.reason_codes: list[int] = reason_codes
        self.properties: Properties = properties


class PingreqPacket(Packet):
    """PINGREQ: a client shows that it is there (section 3.12)."""

    __slots__ = ()

    packet_type: ClassVar[int] = PINGREQ


class PingrespPacket(Packet):
    """PINGRESP: the answer to PINGREQ (section 3.13)."""

    __slots__ = ()

    packet_type: ClassVar[int] = PINGRESP


class DisconnectPacket(Packet):
    """DISCONNECT: the last packet of a connection (section 3.14); only clients send it in 3.1.1.

    Args:
        reason_code: 5.0 only.
        properties: 5.0 only.
    """

    __slots__ = ("properties", "reason_code")

    packet_type: ClassVar[int] = DISCONNECT
    fields: ClassVar[tuple[str, ...]] = ("reason_code", "properties")

    def __init__(self, reason_code: int = 0, properties: Properties = NO_PROPERTIES) -> None:
        self.reason_code: int = reason_code
        self.properties: Properties = properties


class AuthPacket(Packet):
    """AUTH: a step of enhanced authentication, 5.0 only (section 3.15).

    Args:
        reason_code: 0x00, 0x18 or 0x19.
        properties: with an Authentication Method, unless the reason code is 0x00.
    """

    __slots__ = ("properties", "reason_code")

    packet_type: ClassVar[int] = AUTH
    fields: ClassVar[tuple[str, ...]] = ("reason_code", "properties")

    def __init__(self, reason_code: int = 0, properties: Properties = NO_PROPERTIES) -> None:
        self.reason_code: int = reason_code
        self.properties: Properties = properties

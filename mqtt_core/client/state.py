"""What the parts of a client share: the session, the journal, the events, and the network connection of the moment.

Law: a `Link` holds everything that ends with a connection (what the server announced, topic aliases, the clocks of
keep alive), a `ClientState` everything that outlives it. Reconnecting is a new `Link`; no fact of an old one can leak
into it [MQTT-3.3.2-7 v5].
"""

from __future__ import annotations

from math import inf
from typing import Final

from mqtt_core.client.config import ClientConfig
from mqtt_core.client.events import Event
from mqtt_core.codec.encode import encode
from mqtt_core.codec.packet import AckPacket, AuthPacket, DisconnectPacket, Packet
from mqtt_core.codec.types import V5
from mqtt_core.persistence.journal import Journal
from mqtt_core.session.connection import CLOSED
from mqtt_core.session.session import Session
from mqtt_core.transport.framing import FrameReader
from mqtt_core.transport.outbox import Outbox

__all__ = ["PACKET_SIZE_LIMIT", "ClientState", "Link", "fitting"]

PACKET_SIZE_LIMIT: Final = 268_435_455 + 5
"""Largest packet the format allows, in bytes."""

_PINGREQ: Final = b"\xc0\x00"


class Link:
    """One network connection, from `connect` to its end.

    phase: of `session.connection`. retain_available, maximum_qos, packet_size_max (bytes), wildcards, shared,
    subscription_ids: what the server's CONNACK allows. keep_alive_s: in force, 0 for off. aliases_in: topic alias ->
    topic, set by the server. aliases_out: topic in bytes -> alias, least recently used first; aliases_out_max
    entries. open_in: inbound QoS 1/2 publishes whose final ack has not left; open_qos2: identifiers of QoS 2 ones.
    opened_at: time of the CONNACK. last_sent, last_received: epoch seconds. ping_sent: time of the PINGREQ not
    answered yet, inf when there is none. give_up_at: when the phase ends by timeout (CONNACK, close), inf when it has
    no limit. method: Authentication Method in use, None for none. challenged: the server waits for our AUTH;
    reauthenticating: AUTH 0x19 was sent and not decided.
    """

    __slots__ = (
        "aliases_in",
        "aliases_out",
        "aliases_out_max",
        "challenged",
        "dirty_list",
        "give_up_at",
        "keep_alive_s",
        "last_received",
        "last_sent",
        "maximum_qos",
        "method",
        "open_in",
        "open_qos2",
        "opened_at",
        "outbox",
        "packet_size_max",
        "phase",
        "ping_sent",
        "reader",
        "reauthenticating",
        "retain_available",
        "shared",
        "subscription_ids",
        "wildcards",
    )

    def __init__(self, phase: int, packet_size_max_in: int) -> None:
        self.phase = phase
        self.reader = FrameReader(packet_size_max_in)
        self.dirty_list: list[object] = []
        self.outbox = Outbox(None, self.dirty_list)
        self.retain_available = True
        self.maximum_qos = 2
        self.packet_size_max = PACKET_SIZE_LIMIT
        self.wildcards = True
        self.shared = True
        self.subscription_ids = True
        self.keep_alive_s = 0
        self.aliases_in: dict[int, str] = {}
        self.aliases_out: dict[bytes, int] = {}
        self.aliases_out_max = 0
        self.open_in = 0
        self.open_qos2: dict[int, None] = {}
        self.opened_at = 0.0
        self.last_sent = 0.0
        self.last_received = 0.0
        self.ping_sent = inf
        self.give_up_at = inf
        self.method: str | None = None
        self.challenged = False
        self.reauthenticating = False

    def take(self, now: float) -> list[bytes]:
        """The frames that may leave now; what they acknowledge is closed."""
        outbox = self.outbox
        if not outbox.ready:
            return []
        self.dirty_list.clear()
        chunks = outbox.take(now)
        self.open_in -= outbox.credits_taken
        self.last_sent = now
        return chunks

    def silence(self) -> None:
        """Nothing more goes out on this connection [MQTT-3.14.4-1 v5]."""
        self.outbox.discard_held()
        self.outbox.take()

    def ping(self, now: float) -> None:
        """Send PINGREQ, past whatever waits for the storage."""
        self.outbox.send_now(_PINGREQ)  # [MQTT-3.1.2-20 v5] [MQTT-3.1.2-23 v3.1.1]
        self.last_sent = now
        if self.ping_sent == inf:
            self.ping_sent = now

    def ping_at(self) -> float:
        """When a PINGREQ is due: before the keep alive runs out on what was sent, or on what came."""
        since = self.last_sent
        if self.ping_sent == inf and self.last_received < since:
            since = self.last_received
        return since + self.keep_alive_s - min(1.0, self.keep_alive_s * 0.1)

    def ping_timeout_at(self, ping_timeout_s: float) -> float:
        """When the silence after a PINGREQ has lasted too long, inf when none is unanswered."""
        if self.ping_sent == inf:
            return inf
        return max(self.ping_sent, self.last_received) + ping_timeout_s


class ClientState:
    """What a client keeps across its connections.

    session: both QoS flows, the queue, and the subscriptions as they were asked for. events: not taken yet, in order.
    unread_messages, unread_bytes: messages among the events. now: newest time any input gave (epoch seconds).
    sequence: newest number given to a message or request; tokens are these numbers. durable: the journal keeps the
    session.
    """

    __slots__ = (
        "config",
        "durable",
        "events",
        "journal",
        "link",
        "now",
        "sequence",
        "session",
        "unread_bytes",
        "unread_messages",
        "version5",
    )

    def __init__(self, config: ClientConfig, journal: Journal) -> None:
        self.config = config
        self.journal = journal
        self.session = Session(config.client_id, "", config.version, config.inflight_limit)
        self.session.expiry_s = config.session_expiry_s
        self.durable = journal.enabled and config.persistent
        self.session.stored = self.durable
        self.link = Link(CLOSED, config.maximum_packet_size)
        self.events: list[Event] = []
        self.unread_messages = 0
        self.unread_bytes = 0
        self.now = 0.0
        self.sequence = 0
        self.version5 = config.version == V5

    def send(self, frame: bytes, barrier: int = 0, credits: int = 0) -> None:
        """Put a frame into the outbox of the connection, behind its barrier (law 5)."""
        if barrier <= self.journal.committed:
            barrier = 0
        self.link.outbox.send(frame, barrier, credits)

    def send_packet(self, packet: Packet, barrier: int = 0, credits: int = 0) -> None:
        """Encode a packet so that it fits the server's limit, and send it."""
        self.send(fitting(packet, self.config.version, self.link.packet_size_max), barrier, credits)

    def next_token(self) -> int:
        """A number for a message or request: 1 and up, rising, never used again."""
        self.sequence += 1
        return self.sequence


def fitting(packet: Packet, version: int, size_max: int) -> bytes:
    """Encode a packet; what may be left out for the receiver's Maximum Packet Size is left out if it has to be."""
    frame = encode(packet, version)
    if len(frame) <= size_max:
        return frame
    if isinstance(packet, AckPacket | DisconnectPacket | AuthPacket):
        # [MQTT-3.4.2-2 v5] [MQTT-3.5.2-2 v5] [MQTT-3.14.2-3 v5] [MQTT-3.15.2-2 v5]
        # [MQTT-3.4.2-3 v5] [MQTT-3.5.2-3 v5] [MQTT-3.14.2-4 v5] [MQTT-3.15.2-3 v5]
        packet.properties = packet.properties.replace(reason_string=None, user_properties=None)
        frame = encode(packet, version)
    return frame

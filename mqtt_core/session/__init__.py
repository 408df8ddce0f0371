"""State of one client, symmetric for both roles: identifiers, QoS flows, phases of a connection, the session.

Laws: all QoS rules live in `qos`; legality of packets lives in `connection`; nothing here sends or stores.
"""

from __future__ import annotations

from mqtt_core.session.connection import ALLOWED, CLIENT, SERVER, ConnectionState
from mqtt_core.session.message import Message, Outgoing
from mqtt_core.session.packet_id import PacketIdAllocator
from mqtt_core.session.qos import ABSENT, IncomingFlow, OutgoingFlow, Qos1State, Qos2State, Released
from mqtt_core.session.record import EntryRecord, SessionRecord, SubscriptionRecord, WillRecord
from mqtt_core.session.session import NEVER_EXPIRES, ReplayCursor, Session, Subscription

__all__ = [
    "ABSENT",
    "ALLOWED",
    "CLIENT",
    "NEVER_EXPIRES",
    "SERVER",
    "ConnectionState",
    "EntryRecord",
    "IncomingFlow",
    "Message",
    "Outgoing",
    "OutgoingFlow",
    "PacketIdAllocator",
    "Qos1State",
    "Qos2State",
    "Released",
    "ReplayCursor",
    "Session",
    "SessionRecord",
    "Subscription",
    "SubscriptionRecord",
    "WillRecord",
]

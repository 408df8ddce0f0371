"""Settings of the broker core.

Law: everything that can grow has a limit here, with a name, a default that serves real loads, and what happens when it
is reached (docs: "Back-pressure and limits" is generated from these fields). Each setting exists once; adapters, flags
and configuration files take over names, defaults and help texts from here. 0 means "no bound" where the help says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

from mqtt_core.codec.error import LocalProtocolError

__all__ = ["BrokerConfig"]

_MIB: Final = 1024 * 1024
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "max_connections": (1, 10_000_000),
    "max_packet_size": (32, 268_435_460),
    "connect_packet_size_max": (32, 268_435_460),
    "receive_maximum": (1, 65_535),
    "inflight_max": (1, 65_535),
    "topic_alias_maximum": (0, 65_535),
    "outbound_topic_alias_max": (0, 65_535),
    "maximum_qos": (0, 2),
    "session_expiry_max_s": (0, 0xFFFFFFFF),
    "session_expiry_v311_s": (0, 0xFFFFFFFF),
    "keep_alive_max_s": (0, 65_535),
    "topic_levels_max": (1, 65_535),
}


@dataclass(frozen=True, kw_only=True)
class BrokerConfig:
    """Limits and abilities of a `Broker`. Every field is a keyword; sizes are bytes, times seconds, others counts.

    What each may be, its unit, and what happens at the bound stand in the table of limits, made from these fields.

    Raises:
        LocalProtocolError: a value is out of its range.
    """

    max_connections: int = field(
        default=100_000, metadata={"help": "open connections; one more is closed at once", "unit": "connections"}
    )
    max_packet_size: int = field(
        default=_MIB,
        metadata={"help": "largest packet accepted; a larger one is refused from its header (0x95)", "unit": "bytes"},
    )
    connect_packet_size_max: int = field(
        default=256 * 1024,
        metadata={"help": "largest packet accepted before the client is authenticated", "unit": "bytes"},
    )
    connect_timeout_s: float = field(
        default=10.0, metadata={"help": "time a connection has to complete CONNECT and authentication", "unit": "s"}
    )
    close_timeout_s: float = field(
        default=5.0, metadata={"help": "time what is still held may take to leave a closing connection", "unit": "s"}
    )
    send_timeout_s: float = field(
        default=60.0,
        metadata={
            "help": "time without a byte drained or a message done after which a connection is closed",
            "unit": "s",
        },
    )
    keep_alive_max_s: int = field(
        default=0,
        metadata={"help": "longest keep alive; 5.0 clients are told, 3.1.1 clients held to it (0: none)", "unit": "s"},
    )
    receive_maximum: int = field(
        default=1000,
        metadata={
            "help": "QoS 1/2 messages a client may have unacknowledged towards the broker (0x93)",
            "unit": "messages",
        },
    )
    inflight_max: int = field(
        default=1000, metadata={"help": "QoS 1/2 messages in flight towards one client; more wait", "unit": "messages"}
    )
    queue_messages_max: int = field(
        default=100_000,
        metadata={"help": "messages waiting for one session; the newest is dropped", "unit": "messages"},
    )
    queue_bytes_max: int = field(
        default=64 * _MIB, metadata={"help": "bytes waiting for one session; the newest is dropped", "unit": "bytes"}
    )
    all_queues_bytes_max: int = field(
        default=1024 * _MIB, metadata={"help": "bytes waiting in all queues; the newest is dropped", "unit": "bytes"}
    )
    outbox_bytes_max: int = field(
        default=8 * _MIB,
        metadata={"help": "undrained bytes of one connection; QoS 0 is dropped, QoS 1/2 waits", "unit": "bytes"},
    )
    waiting_bytes_max: int = field(
        default=64 * 1024, metadata={"help": "bytes kept while the host decides; then reading pauses", "unit": "bytes"}
    )
    subscriptions_max: int = field(
        default=50_000,
        metadata={"help": "subscriptions of one session; more are refused (0x97)", "unit": "subscriptions"},
    )
    topic_levels_max: int = field(
        default=200, metadata={"help": "levels of a topic or filter; more are refused (0x90, 0x8F)", "unit": "levels"}
    )
    topic_alias_maximum: int = field(
        default=100, metadata={"help": "topic aliases a client may set on a connection (0x94)", "unit": "aliases"}
    )
    outbound_topic_alias_max: int = field(
        default=100, metadata={"help": "topic aliases the broker sets for a client that offers them", "unit": "aliases"}
    )
    retained_messages_max: int = field(
        default=2_000_000,
        metadata={"help": "retained messages; one on a new topic is not retained", "unit": "messages"},
    )
    retained_bytes_max: int = field(
        default=1024 * _MIB, metadata={"help": "bytes of retained messages; a new one is not retained", "unit": "bytes"}
    )
    sessions_max: int = field(
        default=1_000_000,
        metadata={"help": "sessions, connected or not; a new one is refused (0x97)", "unit": "sessions"},
    )
    session_expiry_max_s: int = field(
        default=0xFFFFFFFF,
        metadata={"help": "longest session expiry a 5.0 client gets (4294967295: never)", "unit": "s"},
    )
    session_expiry_v311_s: int = field(
        default=0xFFFFFFFF, metadata={"help": "expiry of 3.1.1 sessions with clean session 0", "unit": "s"}
    )
    local_queue_max: int = field(
        default=100_000, metadata={"help": "messages an in-process subscriber may leave untaken", "unit": "messages"}
    )
    route_cache_max: int = field(
        default=65_536, metadata={"help": "topics whose prepared route is kept; the oldest goes", "unit": "topics"}
    )
    events_max: int = field(
        default=10_000, metadata={"help": "events kept for the host; the oldest goes and is counted", "unit": "events"}
    )
    maximum_qos: int = field(
        default=2, metadata={"help": "highest QoS a client may publish with (0x9B)", "unit": "QoS"}
    )
    retain_available: bool = field(default=True, metadata={"help": "retained messages are kept (0x9A)", "unit": ""})
    wildcard_subscription_available: bool = field(
        default=True, metadata={"help": "filters may hold wildcards (0xA2)", "unit": ""}
    )
    shared_subscription_available: bool = field(
        default=True, metadata={"help": "shared subscriptions are served (0x9E)", "unit": ""}
    )
    subscription_identifier_available: bool = field(
        default=True, metadata={"help": "subscription identifiers are served (0xA1)", "unit": ""}
    )
    session_takeover_by_others: bool = field(
        default=False, metadata={"help": "another identity may take over a client identifier", "unit": ""}
    )
    response_information: str = field(
        default="", metadata={"help": "Response Information for 5.0 clients that ask for it", "unit": ""}
    )
    sys_interval_s: float = field(default=10.0, metadata={"help": "interval of the $SYS topics (0: none)", "unit": "s"})
    bulk_path: bool = field(
        default=True, metadata={"help": "serve plain PUBLISH and acknowledgement runs without objects", "unit": ""}
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, (bool, str)):
                continue
            low, high = _RANGES.get(item.name, (0, float("inf")))
            if not low <= value <= high:
                raise LocalProtocolError(f"{item.name} is {value}; it has to be from {low} to {high}")

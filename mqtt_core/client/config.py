"""What a client is told once, before its first connection.

Law: a configuration is frozen and checked when it is made, so nothing later has to ask whether its values make sense.
Seconds are `..._s`, sizes are bytes. Every limit has a default that serves a real load; what happens at the limit is
said beside it.

A client keeps its session between connections when `persistent` is true: with 5.0 a Session Expiry Interval above 0,
with 3.1.1 Clean Session 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mqtt_core.codec.error import LocalProtocolError
from mqtt_core.codec.packet import Will
from mqtt_core.codec.types import V5, V311

__all__ = ["ClientConfig", "OfflinePolicy"]

_MIB: Final = 1024 * 1024
_INFLIGHT_V5: Final = 1000
_INFLIGHT_V311: Final = 20


class OfflinePolicy(Enum):
    """What becomes of a publish, subscribe or unsubscribe while there is no connection.

    FAIL: refused with LocalProtocolError. QUEUE: kept in memory, in order, up to the limits of the queue. PERSIST: as
    QUEUE, and QoS 1 and 2 messages are written to the journal first, so that they survive the end of the process.
    """

    FAIL = "fail"
    QUEUE = "queue"
    PERSIST = "persist"


@dataclass(frozen=True)
class ClientConfig:
    """Settings of one `MqttClient`; those of CONNECT are described in section 3.1.

    client_id: key of the session; "" lets the server choose (3.1.1: only together with clean_start). version: 5, or 4
    for 3.1.1. clean_start: discard an earlier session at the first connection; False says that the host holds the
    state of that session or knows that nothing of it is open. session_expiry_s: 0 to 4,294,967,295 (for ever), 5.0
    only. keep_alive_s: 0 (off) to 65,535. username, password, will, authentication_method, authentication_data: as in
    CONNECT. receive_maximum: 1 to 65,535, maximum_packet_size: 16 to 4,294,967,295 bytes, topic_alias_maximum: 0 to
    65,535; all three are announced to the server, and one that exceeds them is disconnected.
    request_response_information, request_problem_information, user_properties: as in CONNECT (5.0). manual_ack: a QoS 1
    or 2 message is acknowledged when the host says so, otherwise on arrival. inflight_max: 1 to 65,535, own bound of
    unacknowledged publishes, below the server's Receive Maximum; None for 1,000 with 5.0, and for 20 with 3.1.1, where
    servers cannot say what they take and some close the connection for more; `requests_max` identifiers are always left
    for requests. outbound_aliases_max: 0 to 65,535 topic
    aliases used towards a server that allows them.
    offline: see `OfflinePolicy`. queue_messages_max: 0 or more, queue_bytes_max: 0 or more bytes, what the queue holds;
    a publish beyond is refused. requests_max: 1 to 60,000 SUBSCRIBEs and UNSUBSCRIBEs not answered yet; one more is
    refused. inbound_messages_max: 1 or more, inbound_bytes_max: 1 or more bytes, not taken or not acknowledged by the
    host; at the limit `reading_paused` turns true, until half of it is left.
    connack_timeout_s, ping_timeout_s, close_timeout_s: patience with the server, 0 to 86,400. reconnect: a lost
    connection is to be replaced, after a pause of reconnect_min_s that grows up to reconnect_max_s, 0 to 86,400 each.

    Raises:
        LocalProtocolError: a setting is out of its range, or contradicts another.
    """

    client_id: str = ""
    version: int = V5
    clean_start: bool = True
    session_expiry_s: int = 0
    keep_alive_s: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    receive_maximum: int = 1000
    maximum_packet_size: int = _MIB
    topic_alias_maximum: int = 64
    request_response_information: bool = False
    request_problem_information: bool = True
    user_properties: tuple[tuple[str, str], ...] = ()
    manual_ack: bool = False
    inflight_max: int | None = None
    outbound_aliases_max: int = 64
    offline: OfflinePolicy = OfflinePolicy.QUEUE
    queue_messages_max: int = 100_000
    queue_bytes_max: int = 64 * _MIB
    requests_max: int = 10_000
    inbound_messages_max: int = 10_000
    inbound_bytes_max: int = 16 * _MIB
    connack_timeout_s: float = 10.0
    ping_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    reconnect: bool = True
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 120.0

    def __post_init__(self) -> None:
        if self.version not in {V311, V5}:
            raise LocalProtocolError(f"version is 4 (3.1.1) or 5, not {self.version}")
        if self.version == V311 and not self.client_id and not self.clean_start:
            # [MQTT-3.1.3-7 v3.1.1]
            raise LocalProtocolError("3.1.1 needs a client identifier to keep a session (clean_start=False)")
        if self.version == V311 and self.password is not None and self.username is None:
            # [MQTT-3.1.2-22 v3.1.1]
            raise LocalProtocolError("3.1.1 allows a password only together with a user name")
        if self.version == V311 and self.authentication_method is not None:
            raise LocalProtocolError("3.1.1 has no enhanced authentication")
        if self.authentication_data is not None and self.authentication_method is None:
            raise LocalProtocolError("authentication data needs an authentication method")
        self._check_ranges()

    def _check_ranges(self) -> None:
        if not 1 <= self.inflight_limit <= 65535:
            raise LocalProtocolError(f"inflight_max is {self.inflight_max}, not within 1 to 65535")
        for name, low, high in (
            ("session_expiry_s", 0, 0xFFFFFFFF),
            ("keep_alive_s", 0, 65535),
            ("receive_maximum", 1, 65535),
            ("maximum_packet_size", 16, 0xFFFFFFFF),
            ("topic_alias_maximum", 0, 65535),
            ("outbound_aliases_max", 0, 65535),
            ("queue_messages_max", 0, 1 << 62),
            ("queue_bytes_max", 0, 1 << 62),
            ("requests_max", 1, 60000),
            ("inbound_messages_max", 1, 1 << 62),
            ("inbound_bytes_max", 1, 1 << 62),
            ("connack_timeout_s", 0, 86400),
            ("ping_timeout_s", 0, 86400),
            ("close_timeout_s", 0, 86400),
            ("reconnect_min_s", 0, 86400),
            ("reconnect_max_s", self.reconnect_min_s, 86400),
        ):
            if not low <= getattr(self, name) <= high:
                raise LocalProtocolError(f"{name} is {getattr(self, name)}, not within {low} to {high}")

    @property
    def inflight_limit(self) -> int:
        """The own bound of unacknowledged publishes, 1 to 65,535."""
        if self.inflight_max is None:
            return _INFLIGHT_V5 if self.version == V5 else _INFLIGHT_V311
        return self.inflight_max

    @property
    def persistent(self) -> bool:
        """The session outlives its connection [MQTT-3.1.2-23 v5] [MQTT-3.1.2-4 v3.1.1]."""
        return self.session_expiry_s > 0 if self.version == V5 else not self.clean_start

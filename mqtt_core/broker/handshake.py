"""From CONNECT to CONNACK, and the AUTH exchange (sections 3.1, 3.2, 3.15 and 4.12).

Laws. No client identifier is claimed, nobody is taken over and no will exists before the policy has accepted. A refusal
is one CONNACK with the code the version has for it, or none where it has none, and always the end of the connection. A
successful CONNACK is the first packet after AUTH and carries the barrier of its session, because Session Present has to
be true on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mqtt_core.broker.config import BrokerConfig
from mqtt_core.broker.events import AuthenticationPending, ClientConnected
from mqtt_core.broker.policy import Accept, Challenge, Decision, Deferred, Principal, Refuse
from mqtt_core.broker.sessions import open_session
from mqtt_core.codec.encode import encode
from mqtt_core.codec.error import MqttError, ProtocolError, UnsupportedProtocolVersion
from mqtt_core.codec.packet import AuthPacket, ConnackPacket, ConnectPacket, Will
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.property_values import PropertyFields
from mqtt_core.codec.reason_codes import DISCONNECT_BY_SERVER
from mqtt_core.codec.types import V5, V311, ReasonCode
from mqtt_core.router.draining import resume
from mqtt_core.session.connection import AUTHENTICATING, OPEN, WAITING
from mqtt_core.session.record import WillRecord
from mqtt_core.session.session import Session
from mqtt_core.topic_matcher.validation import check_topic

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["decided", "handle_auth", "handle_connect", "peek_version", "refuse_fault"]

_V311_CODES: Final[dict[int, int]] = {  # table 3.1 of 3.1.1
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: 1,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: 2,
    ReasonCode.SERVER_UNAVAILABLE: 3,
    ReasonCode.SERVER_BUSY: 3,
    ReasonCode.QUOTA_EXCEEDED: 3,
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: 4,
    ReasonCode.NOT_AUTHORIZED: 5,
    ReasonCode.BANNED: 5,
    ReasonCode.BAD_AUTHENTICATION_METHOD: 5,
}
_V5_CODES: Final = frozenset(  # [MQTT-3.2.2-8 v5]
    (*range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F)
)
_CONNACK_V311: Final = (b"\x20\x02\x00\x00", b"\x20\x02\x01\x00")
_RESERVED_WILL_TOPICS: Final = ("$SYS/", "$CONTROL/")
LOCAL_PREFIX: Final = "$local/"
"""Client identifiers below this belong to the host's own subscribers."""


def peek_version(frame: bytes) -> int:
    """The protocol level of a CONNECT frame that may be malformed elsewhere: 4, 5, or 0 when it cannot be told."""
    start = 1
    while start < min(len(frame), 5) and frame[start] > 127:
        start += 1
    start += 1
    if frame[start : start + 6] != b"\x00\x04MQTT" or len(frame) <= start + 6:
        return 0
    return frame[start + 6] if frame[start + 6] in (V311, V5) else 0


def handle_connect(handler: ClientHandler, packet: ConnectPacket, now: float) -> None:
    """A well-formed CONNECT: check what it asks for, then ask the policy."""
    state = handler.state
    handler.connect = packet
    handler.version = packet.version
    handler.packet_size_max = packet.properties.maximum_packet_size or 0
    # [MQTT-3.1.3-5]
    if packet.client_id.startswith(LOCAL_PREFIX) or not (packet.client_id or _may_be_assigned(packet)):
        # [MQTT-3.1.3-8] [MQTT-3.1.3-9 v3.1.1]
        refuse(handler, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "client identifier not valid", now)
        return
    if packet.will is not None and not _will_possible(handler, packet.will, now):
        return
    policy = state.policy
    if policy is not None:
        decided(handler, policy.authenticate(packet, handler.peer), now)
    elif packet.properties.authentication_method is not None:  # [MQTT-4.12.0-1 v5]
        refuse(handler, ReasonCode.BAD_AUTHENTICATION_METHOD, "no such authentication method", now)
    else:
        decided(handler, Accept(), now)


def handle_auth(handler: ClientHandler, packet: AuthPacket, now: float) -> None:
    """AUTH of a client: the answer to a challenge, or the wish to authenticate anew (5.0 section 4.12)."""
    connect = handler.connect
    policy = handler.state.policy
    assert connect is not None
    method = connect.properties.authentication_method
    # [MQTT-4.12.0-5 v5] [MQTT-4.12.0-7 v5] [MQTT-4.12.1-1 v5] [MUST-3.15-1 v5]
    if method is None or packet.properties.authentication_method != method:
        raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "AUTH whose Authentication Method is not that of CONNECT")
    assert policy is not None  # without one, a CONNECT with a method was refused
    anew = packet.reason_code == ReasonCode.RE_AUTHENTICATE
    in_exchange = handler.phase == AUTHENTICATING or handler.reauthenticating
    if anew == in_exchange or packet.reason_code == ReasonCode.SUCCESS:  # [MQTT-3.15.2-1 v5] [MQTT-4.12.0-3 v5]
        raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"AUTH 0x{packet.reason_code:02x} is not due here")
    if anew:
        handler.reauthenticating = True
        handler.handshake_at = now
    decided(handler, policy.continue_authentication(connect, packet, handler.peer), now)


def decided(handler: ClientHandler, decision: Decision, now: float) -> None:
    """The policy has answered, at once or through `resume`."""
    if isinstance(decision, Deferred):
        handler.phase = WAITING
        handler.arm()
        handler.state.events.add(AuthenticationPending(now, handler.client_id, handler))
    elif isinstance(decision, Challenge):
        handler.phase = OPEN if handler.session is not None else AUTHENTICATING
        # [MQTT-4.12.0-2 v5] [MQTT-4.12.0-6 v5]
        _send_auth(handler, ReasonCode.CONTINUE_AUTHENTICATION, decision.data)
    elif isinstance(decision, Refuse):
        if handler.session is None:
            refuse(handler, decision.reason_code, decision.reason, now)  # [MQTT-3.1.4-2 v5] [MQTT-4.12.0-4 v5]
        else:
            known = decision.reason_code in DISCONNECT_BY_SERVER
            code = decision.reason_code if known else ReasonCode.NOT_AUTHORIZED
            handler.disconnect(code, decision.reason, now)  # [MQTT-4.12.1-2 v5]
    elif handler.session is None:
        _accept(handler, decision, now)
    else:
        _reauthenticated(handler, decision, now)


def refuse(handler: ClientHandler, code: int, reason: str, now: float) -> None:
    """Refuse a CONNECT: CONNACK with the version's code, if it has one, then the end."""
    if handler.version == V5:
        known = code if code in _V5_CODES else ReasonCode.UNSPECIFIED_ERROR
        frame = encode(ConnackPacket(known), V5)  # [MQTT-3.2.2-6 v5]
        if reason:
            said = encode(ConnackPacket(known, False, Properties(reason_string=reason)), V5)
            if not handler.packet_size_max or len(said) <= handler.packet_size_max:  # [MQTT-3.2.2-19 v5]
                frame = said
        handler.send(frame)
    elif code in _V311_CODES:  # [MQTT-3.2.2-6 v3.1.1]
        handler.send(encode(ConnackPacket(_V311_CODES[code]), V311))
    handler.close(code, reason, now)  # [MQTT-3.2.2-7 v5] [MQTT-3.2.2-5 v3.1.1] [MQTT-4.13.2-1 v5]


def refuse_fault(handler: ClientHandler, error: MqttError, now: float) -> None:
    """A fault before the session is open: an unknown version and a 5.0 client are told, nobody else."""
    if isinstance(error, UnsupportedProtocolVersion):
        if error.name in (b"MQTT", b"MQIsdp"):
            handler.send(encode(ConnackPacket(1), V311))  # [MQTT-3.1.2-2]
        handler.close(error.reason_code, error.reason, now)  # [MQTT-3.1.2-1]
    elif handler.version == V5:
        refuse(handler, error.reason_code, error.reason, now)  # [MQTT-3.1.4-1 v5]
    else:
        handler.close(error.reason_code, error.reason, now)  # [MQTT-3.1.4-1 v3.1.1]


def _may_be_assigned(packet: ConnectPacket) -> bool:
    """An empty client identifier is allowed to 5.0 clients, and to 3.1.1 clients with a clean session."""
    return packet.version == V5 or packet.clean_start  # [MQTT-3.1.3-6] [MQTT-3.1.3-8 v3.1.1]


def _will_possible(handler: ClientHandler, will: Will, now: float) -> bool:
    config = handler.config
    check_topic(will.topic, config.topic_levels_max)
    if will.qos > config.maximum_qos:  # [MQTT-3.2.2-12 v5]
        refuse(handler, ReasonCode.QOS_NOT_SUPPORTED, "the will's QoS is not supported", now)
        return False
    if will.retain and not config.retain_available:  # [MQTT-3.2.2-13 v5]
        refuse(handler, ReasonCode.RETAIN_NOT_SUPPORTED, "retained messages are not available", now)
        return False
    if will.topic.startswith(_RESERVED_WILL_TOPICS):
        refuse(handler, ReasonCode.NOT_AUTHORIZED, "the will's topic belongs to the broker", now)
        return False
    return True


def _send_auth(handler: ClientHandler, code: int, data: bytes | None) -> None:
    connect = handler.connect
    assert connect is not None
    method = connect.properties.authentication_method
    if method is None:
        raise ProtocolError(ReasonCode.BAD_AUTHENTICATION_METHOD, "a challenge for a client without a method")
    properties = Properties(authentication_method=method, authentication_data=data)  # [MQTT-4.12.0-5 v5]
    handler.send(encode(AuthPacket(code, properties), V5))


def _reauthenticated(handler: ClientHandler, decision: Accept, now: float) -> None:
    session = handler.session
    assert session is not None
    if decision.identity != session.identity:
        handler.disconnect(ReasonCode.NOT_AUTHORIZED, "another identity than that of the session", now)
        return
    handler.phase = OPEN
    handler.reauthenticating = False
    handler.verdicts = None
    _act_as(handler, session, Principal(session.client_id, decision.identity, decision.rights))
    handler.last_received = now
    handler.arm()
    _send_auth(handler, ReasonCode.SUCCESS, decision.data)


def _assign_client_id(handler: ClientHandler) -> str:
    """A client identifier nobody uses."""
    state = handler.state
    while True:
        client_id = f"auto-{state.rng.getrandbits(64):016x}"
        if client_id not in state.registry.sessions:  # [MQTT-3.2.2-16 v5]
            return client_id


def _accept(handler: ClientHandler, decision: Accept, now: float) -> None:
    """The client may come in: claim its identifier, find its session, attach, answer."""
    state = handler.state
    connect = handler.connect
    assert connect is not None
    assigned = not connect.client_id
    if assigned:
        connect.client_id = _assign_client_id(handler)  # [MQTT-3.1.3-6] [MQTT-3.1.3-7 v5]
    client_id = connect.client_id
    principal = Principal(client_id, decision.identity, decision.rights)
    if not _may_have_session(handler, principal, connect.will, now):
        return
    said = _terms(handler, decision, assigned)
    if handler.packet_size_max and len(encode(ConnackPacket(0, False, said), V5)) > handler.packet_size_max:
        handler.close(ReasonCode.PACKET_TOO_LARGE, "the client's Maximum Packet Size is too small for CONNACK", now)
        return  # [MQTT-3.1.2-24 v5]
    older = state.live.get(client_id)
    if older is not None:
        state.counters.sessions_taken_over += 1
        older.taken_over(now)  # [MQTT-3.1.4-3 v5] [MQTT-3.1.4-2 v3.1.1]
    # [MQTT-3.1.4-4 v5] [MQTT-3.1.4-3 v3.1.1]
    session, present = open_session(state, client_id, principal, connect.version, connect.clean_start, now)
    _act_as(handler, session, principal)
    version_before = session.version
    _attach(handler, session, connect, now)
    # [MQTT-3.1.4-5 v5] [MQTT-3.1.4-4 v3.1.1] [MQTT-3.2.0-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3]
    answer = encode(ConnackPacket(0, present, said), V5) if handler.version == V5 else _CONNACK_V311[present]
    handler.send(answer, session.barrier)
    state.events.add(ClientConnected(now, client_id, handler.peer, handler.version, present))
    if present:
        resume(state.sender, session, version_before, now)
    session.update_direct()


def _act_as(handler: ClientHandler, session: Session, principal: Principal) -> None:
    """The session has this principal's rights from now on; what it may be sent is asked anew if they are others."""
    before = session.principal
    session.principal = principal
    if isinstance(before, Principal) and before.rights != principal.rights:
        handler.state.router.session_changed(session)


def _may_have_session(handler: ClientHandler, principal: Principal, will: Will | None, now: float) -> bool:
    """May an authenticated client have the session it asks for, and leave that will? If not it is refused."""
    state = handler.state
    existing = state.registry.sessions.get(principal.client_id)
    if existing is None and len(state.registry.sessions) >= state.config.sessions_max:
        refuse(handler, ReasonCode.QUOTA_EXCEEDED, "too many sessions", now)
        return False
    foreign = existing is not None and existing.identity != principal.identity
    if foreign and not state.config.session_takeover_by_others:
        refuse(handler, ReasonCode.NOT_AUTHORIZED, "the client identifier belongs to somebody else", now)
        return False
    if will is not None and state.policy is not None:
        if not state.policy.authorize_publish(principal, will.topic, will.qos, will.retain):
            refuse(handler, ReasonCode.NOT_AUTHORIZED, "not allowed to publish the will", now)
            return False
    return True


def _expiry_s(connect: ConnectPacket, config: BrokerConfig) -> int:
    if connect.version == V5:
        return min(connect.properties.session_expiry_interval or 0, config.session_expiry_max_s)
    return 0 if connect.clean_start else config.session_expiry_v311_s  # [MUST-4.2-1 v3.1.1]


def _keep_alive_s(connect: ConnectPacket, config: BrokerConfig) -> int:
    longest_s = config.keep_alive_max_s
    return longest_s if longest_s and not 0 < connect.keep_alive_s <= longest_s else connect.keep_alive_s


def _terms(handler: ClientHandler, decision: Accept, assigned: bool) -> Properties:
    """What an accepted client is told in CONNACK."""
    connect = handler.connect
    assert connect is not None
    if connect.version != V5:
        return NO_PROPERTIES
    said = _abilities(handler)
    expiry_s = _expiry_s(connect, handler.config)
    if expiry_s != (connect.properties.session_expiry_interval or 0):
        said["session_expiry_interval"] = expiry_s  # [MUST-3.2.2.3.2-2 v5]
    keep_alive_s = _keep_alive_s(connect, handler.config)
    if keep_alive_s != connect.keep_alive_s:
        said["server_keep_alive"] = keep_alive_s
    if assigned:
        said["assigned_client_identifier"] = connect.client_id  # [MQTT-3.1.3-7 v5]
    if decision.data is not None:
        said["authentication_data"] = decision.data
    return Properties(**said)


def _attach(handler: ClientHandler, session: Session, connect: ConnectPacket, now: float) -> None:
    """Join session and connection."""
    state = handler.state
    config = state.config
    asked = connect.properties
    session.expiry_s = _expiry_s(connect, config)  # [MQTT-3.1.2-23 v5]
    alias_max = min(asked.topic_alias_maximum or 0, config.outbound_topic_alias_max)  # [MQTT-3.1.2-27 v5]
    changed = (session.version, session.packet_size_max, session.alias_max) != (
        connect.version,
        handler.packet_size_max,
        alias_max,
    )
    session.version = connect.version
    session.packet_size_max = handler.packet_size_max
    session.alias_max = alias_max
    session.aliases = {} if alias_max else None
    # [MQTT-4.9.0-1 v5] [MUST-3.1.2.11.3-3 v5]
    session.outgoing.limit = min(asked.receive_maximum or 65535, config.inflight_max)
    session.incoming.start_connection()
    session.will = _will_record(connect)  # [MQTT-3.1.2-7 v5] [MQTT-3.1.2-8 v3.1.1] [MQTT-3.1.3-9 v5]
    session.connected = True
    session.connected_at = now
    session.sink = handler.outbox
    if state.journal.enabled and (session.expiry_s or session.stored):
        session.stored = True
        session.barrier = state.journal.store_session(session)
        state.heartbeat.connected(session, now)
    if changed:
        state.router.session_changed(session)
    state.registry.presence_changed(session)
    handler.keep_alive_s = _keep_alive_s(connect, config)  # [MQTT-3.2.2-22 v5]
    handler.session = session
    handler.phase = OPEN
    handler.reader.max_size = config.max_packet_size
    state.live[session.client_id] = handler
    state.trailing.pop(session.client_id, None)
    counters = state.counters
    counters.connections_accepted += 1
    counters.clients_maximum = max(counters.clients_maximum, len(state.live))
    handler.arm()


def _abilities(handler: ClientHandler) -> PropertyFields:
    """What a 5.0 server must state about itself in CONNACK (section 3.2.2.3)."""
    config = handler.config
    connect = handler.connect
    assert connect is not None
    said: PropertyFields = {
        "receive_maximum": config.receive_maximum,
        "maximum_packet_size": config.max_packet_size,
        "topic_alias_maximum": config.topic_alias_maximum,
    }
    if config.maximum_qos < 2:
        said["maximum_qos"] = config.maximum_qos  # [MQTT-3.2.2-9 v5]
    if not config.retain_available:
        said["retain_available"] = False
    if not config.wildcard_subscription_available:
        said["wildcard_subscription_available"] = False
    if not config.shared_subscription_available:
        said["shared_subscription_available"] = False
    if not config.subscription_identifier_available:
        said["subscription_identifier_available"] = False
    if connect.properties.request_response_information and config.response_information:
        said["response_information"] = config.response_information  # [MQTT-3.1.2-28 v5]
    if connect.properties.authentication_method is not None:
        said["authentication_method"] = connect.properties.authentication_method  # [MQTT-4.12.0-5 v5]
    return said


def _will_record(connect: ConnectPacket) -> WillRecord | None:
    will = connect.will
    if will is None:  # [MQTT-3.1.2-12 v3.1.1]
        return None
    properties = will.properties
    delay_s = properties.will_delay_interval or 0
    if properties.will_delay_interval is not None:
        properties = properties.replace(will_delay_interval=None)
    return WillRecord(will.topic, will.payload, will.qos, will.retain, properties, delay_s, connect.client_id)

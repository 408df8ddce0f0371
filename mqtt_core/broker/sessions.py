"""Sessions come and go: opening, resuming, taking over, leaving, wills, expiry.

Laws. A session belongs to the identity that created it. What happens to a session in one input is in one batch, the
publication of a will together with its forgetting. A session whose expiry is 0 ends with its connection, also when the
connection ends because another one takes over. A policy that raises when it is asked about a will loses that will, and
nothing else: the session is kept or ends as it would have.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from mqtt_core.broker.events import SessionEnded
from mqtt_core.broker.policy import Principal
from mqtt_core.session.message import Message
from mqtt_core.session.record import WillRecord
from mqtt_core.session.session import Session
from mqtt_core.timers import Timer

if TYPE_CHECKING:
    from mqtt_core.broker.state import BrokerState

__all__ = ["SESSION_TIMER", "arm_session", "detach", "end_session", "open_session", "publish_will", "session_due"]

SESSION_TIMER: Final = 1
"""Kind of the timer of an absent client's session: its delayed will or its expiry, whichever comes first."""


def open_session(
    state: BrokerState, client_id: str, principal: Principal, version: int, clean_start: bool, now: float
) -> tuple[Session, bool]:
    """The session for an accepted CONNECT, and whether it was present (section 3.1.2.4); it is not attached yet."""
    session = state.registry.sessions.get(client_id)
    barrier = 0
    if session is not None:
        due = session.expires_at()
        expired = due != 0.0 and due <= now
        if clean_start or expired or session.identity != principal.identity:
            reason = "expired" if expired else "discarded by a new connection"
            barrier = end_session(state, session, reason, now)  # [MQTT-3.1.2-4 v5] [MQTT-3.1.2-6 v3.1.1]
            session = None
    if session is not None:
        timer = session.timer
        if isinstance(timer, Timer):
            state.deadlines.cancel(timer)
        if session.will_at and session.will_at <= now:
            publish_will(state, session, now)  # its time had come before the client did [MQTT-3.1.2-8 v5]
        session.will_at = 0.0
        return session, True  # [MQTT-3.1.2-5 v5] [MQTT-3.1.2-4 v3.1.1]
    session = Session(client_id, principal.identity, version)
    session.barrier = max(barrier, state.journal.deletion(client_id))
    state.registry.sessions[client_id] = session  # [MQTT-3.1.2-6 v5] [MQTT-3.1.3-2] [MQTT-4.1.0-1]
    return session, False  # [MQTT-3.2.2-1 v3.1.1]


def detach(state: BrokerState, session: Session, send_will: bool, now: float) -> None:
    """The connection of a session is over. send_will: False after a DISCONNECT that deletes the will."""
    session.sink = None
    session.connected = False
    session.direct = False
    session.disconnected_at = now
    state.heartbeat.disconnected(session)
    session.aliases = None
    session.outgoing.resend = None
    state.registry.presence_changed(session)
    will = session.will
    try:
        if will is not None and not send_will:
            session.will = None  # [MQTT-3.14.4-3] [MQTT-3.1.2-10]
        elif will is not None:
            delay_s = min(will.delay_s, session.expiry_s)  # [MUST-3.1.3.2.2-2 v5]
            if delay_s == 0:
                publish_will(state, session, now)  # [MQTT-3.1.2-8]
            else:
                session.will_at = now + delay_s
    finally:  # a policy that fails when it is asked about the will has no say in the rest
        _end_or_keep(state, session, now)


def _end_or_keep(state: BrokerState, session: Session, now: float) -> None:
    if session.expiry_s == 0:  # [MUST-3.1.2.11.2-2 v5]
        end_session(state, session, "ends with its connection", now)
        return
    if session.stored:
        session.barrier = state.journal.store_session(session)
    arm_session(state, session)


def arm_session(state: BrokerState, session: Session) -> None:
    """Set the timer of an absent client's session to what comes first: its will or its end."""
    when = session.expires_at() or inf
    if session.will_at:
        when = min(when, session.will_at)
    if when == inf:
        return
    timer = session.timer
    if not isinstance(timer, Timer):
        timer = session.timer = Timer(session, SESSION_TIMER)
    state.deadlines.arm(timer, when)


def session_due(state: BrokerState, session: Session, now: float) -> None:
    """The timer of a session has gone off."""
    assert not session.connected  # resuming and ending a session cancel its timer
    expires_at = session.expires_at()
    if expires_at and expires_at <= now:  # [MQTT-4.1.0-2 v5] [MUST-3.1.2.11.2-4 v5]
        state.counters.sessions_expired += 1
        end_session(state, session, "expired", now)
        return
    try:
        if session.will_at and session.will_at <= now:
            publish_will(state, session, now)
    finally:
        if session.stored:
            session.barrier = state.journal.store_session(session)
        arm_session(state, session)


def end_session(state: BrokerState, session: Session, reason: str, now: float) -> int:
    """Drop a session with everything in it; a will that is still pending is due now (5.0 section 3.1.3.2.2).

    Returns the barrier of that, 0 when the session was not stored.
    """
    try:
        if session.will_at:
            publish_will(state, session, now)
    finally:
        barrier = _drop(state, session, reason, now)
    return barrier


def _drop(state: BrokerState, session: Session, reason: str, now: float) -> int:
    timer = session.timer
    if isinstance(timer, Timer):
        state.deadlines.cancel(timer)
        timer.owner = session.timer = None
    del state.registry.sessions[session.client_id]
    state.router.session_ended(session, now)
    if session.expiry_s:
        state.events.add(SessionEnded(now, session.client_id, reason))
    return state.journal.delete_session(session.client_id) if session.stored else 0


def publish_will(state: BrokerState, session: Session, now: float) -> None:
    """Publish a session's will and forget it (section 3.1.2.5)."""
    will = session.will
    assert will is not None
    session.will = None  # [MQTT-3.1.2-10]
    session.will_at = 0.0
    policy = state.policy
    if policy is not None and not policy.authorize_publish(state.principal(session), will.topic, will.qos, will.retain):
        state.counters.dropped_not_authorized += 1
        return
    state.counters.wills_published += 1
    # That it is forgotten is written in the same batch, for which it waits: a crash would have it published again.
    barrier = state.journal.claim() if session.stored else 0
    state.router.publish(message_of_will(state, will, now), now, barrier)


def message_of_will(state: BrokerState, will: WillRecord, now: float) -> Message:
    """The message a will is published as."""
    expiry_s = will.properties.message_expiry_interval
    # [MQTT-3.1.2-14 v5] [MQTT-3.1.2-15 v5] [MQTT-3.1.2-16 v3.1.1] [MQTT-3.1.2-17 v3.1.1] [MQTT-3.1.3-10 v5]
    return Message(
        will.topic,
        will.payload,
        will.qos,
        will.retain,
        will.properties,
        now + expiry_s if expiry_s is not None else 0.0,
        will.publisher,
        state.sender.next_sequence(),
    )

"""SUBSCRIBE and UNSUBSCRIBE (sections 3.8 to 3.11).

Laws. A packet is all or nothing: every filter is checked before the first one takes effect. SUBACK goes first, retained
messages follow it. Both answers carry the barrier of the session they changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mqtt_core.codec.encode import encode
from mqtt_core.codec.error import InvalidTopicFilter, MalformedPacket
from mqtt_core.codec.packet import SubackPacket, SubscribeFilter, SubscribePacket, UnsubackPacket, UnsubscribePacket
from mqtt_core.codec.types import V5, ReasonCode
from mqtt_core.router.draining import drain
from mqtt_core.session.session import Session, Subscription
from mqtt_core.topic_matcher.validation import check_filter, split_share

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["handle_subscribe", "handle_unsubscribe"]

AGAIN_MAX: Final = 4
"""Filters of one SUBSCRIBE that are repeated and bring what is retained once more each; further ones share a turn."""


def handle_subscribe(handler: ClientHandler, packet: SubscribePacket, now: float) -> None:
    """Enter subscriptions, answer with one code each, then send what is retained [MQTT-3.8.4-1] [MQTT-3.8.4-5 v5]."""
    session = handler.session
    assert session is not None
    state = handler.state
    for wanted in packet.subscriptions:
        _check(wanted.filter)
    ids = packet.properties.subscription_identifiers
    identifier = ids[0] if ids else 0
    codes: list[int] = []
    replays: list[Subscription] = []
    changed = False
    for wanted in packet.subscriptions:
        code = _verdict(handler, session, wanted, identifier)
        if code >= 0x80:
            codes.append(code if handler.version == V5 else 0x80)  # [MQTT-3.9.3-2]
            continue
        codes.append(code)  # [MQTT-3.8.4-5 v3.1.1] [MQTT-3.8.4-6 v5] [MQTT-3.8.4-7 v5] [MQTT-3.9.3-1]
        subscription = _subscription(session, wanted, code, identifier)
        if session.stored and not changed:
            before = session.subscriptions.get(wanted.filter)
            changed = before is None or before.to_record() != subscription.to_record()
        fresh = state.router.subscribe(subscription)  # [MQTT-3.8.4-4 v3.1.1] [MQTT-3.8.4-5 v5]
        # [MUST-4.8.2-1 v5]
        if not subscription.share and (
            wanted.retain_handling == 0 or (wanted.retain_handling == 1 and fresh)
        ):  # [MQTT-3.3.1-9 v5] [MQTT-3.3.1-10 v5] [MQTT-3.3.1-11 v5] [MQTT-3.3.1-6 v3.1.1] [MQTT-3.8.4-4 v5]
            replays.append(subscription)
    if changed:
        session.barrier = state.journal.store_session(session)
    # [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-2.2.1-6 v5] [MQTT-2.3.1-7 v3.1.1]
    handler.send(encode(SubackPacket(packet.packet_id, codes), handler.version), session.barrier)
    if handler.session is None:
        return
    if len(state.retained):
        again = 0
        for subscription in replays:
            if again < AGAIN_MAX and session.replays is not None and subscription.filter in session.replays:
                again += 1
                drain(state.sender, session, now)  # the same filter again: each asks for what is retained
            state.router.replay(subscription)
        drain(state.sender, session, now)
        if session.stored and session.replays is not None:
            session.barrier = state.journal.store_session(session)  # retained messages are still to come


def handle_unsubscribe(handler: ClientHandler, packet: UnsubscribePacket) -> None:
    """Delete subscriptions by exact comparison [MQTT-3.10.4-1]; messages under way are still finished."""
    session = handler.session
    assert session is not None
    state = handler.state
    for topic_filter in packet.filters:
        _check(topic_filter)
    codes: list[int] = []
    changed = False
    for topic_filter in packet.filters:
        existed = state.router.unsubscribe(session, topic_filter)
        changed = changed or existed
        if handler.version == V5:
            codes.append(0 if existed else ReasonCode.NO_SUBSCRIPTION_EXISTED)  # [MQTT-3.11.3-1 v5] [MQTT-3.11.3-2 v5]
    if changed and session.stored:
        session.barrier = state.journal.store_session(session)
    # [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6]
    handler.send(encode(UnsubackPacket(packet.packet_id, codes), handler.version), session.barrier)


def _check(topic_filter: str) -> None:
    """A filter that breaks the rules of section 4.7 or 4.8 makes its packet malformed."""
    try:
        check_filter(topic_filter)
        split_share(topic_filter)
    except InvalidTopicFilter as error:
        raise MalformedPacket(error.reason) from error


def _verdict(handler: ClientHandler, session: Session, wanted: SubscribeFilter, identifier: int) -> int:
    """The QoS granted, or the reason code of 0x80 or above that refuses."""
    config = handler.config
    topic_filter = wanted.filter
    if topic_filter.count("/") >= config.topic_levels_max:
        return ReasonCode.TOPIC_FILTER_INVALID
    shared = topic_filter.startswith("$share/")
    if shared and not config.shared_subscription_available:  # [MUST-3.2.2.3.13-3 v5]
        return ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
    if identifier and not config.subscription_identifier_available:  # [MUST-3.2.2.3.12-3 v5]
        return ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
    if not config.wildcard_subscription_available and ("+" in topic_filter or "#" in topic_filter):
        return ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED  # [MQTT-3.8.3-2 v3.1.1] [MUST-3.2.2.3.11-3 v5]
    if len(session.subscriptions) >= config.subscriptions_max and topic_filter not in session.subscriptions:
        return ReasonCode.QUOTA_EXCEEDED
    policy = handler.state.policy
    if policy is None:
        return wanted.qos  # [MQTT-3.2.2-10 v5]
    return policy.authorize_subscribe(handler.state.principal(session), topic_filter, wanted.qos)


def _subscription(session: Session, wanted: SubscribeFilter, qos: int, identifier: int) -> Subscription:
    group, inner = split_share(wanted.filter)
    return Subscription(
        session,
        wanted.filter,
        qos,
        wanted.no_local,
        wanted.retain_as_published,
        wanted.retain_handling,
        identifier,
        f"{group}/{inner}" if group else "",
    )

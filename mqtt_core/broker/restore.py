"""From a snapshot of the storage to a broker's memory.

Laws. Storage is read once, before the first input. What has expired while nobody looked is gone; a session found
connected counts as disconnected at the newest committed time; what has a packet identifier counts as sent. Wills that
are overdue are published by the first timer, after everything else has been restored.
"""

from __future__ import annotations

from collections import deque

from mqtt_core.broker.sessions import arm_session
from mqtt_core.broker.state import BrokerState
from mqtt_core.persistence.recovery import SessionSnapshot, Snapshot
from mqtt_core.session.message import Message, Outgoing
from mqtt_core.session.qos import Released
from mqtt_core.session.record import EntryRecord
from mqtt_core.session.session import Session, Subscription
from mqtt_core.topic_matcher.validation import split_share

__all__ = ["restore"]


def restore(state: BrokerState, snapshot: Snapshot) -> None:
    """Fill an empty broker with what was stored."""
    state.moment(snapshot.stamp)
    state.sender.sequence = max(state.sender.sequence, snapshot.next_sequence - 1)
    for message in snapshot.retained.values():
        state.retained.restore(message)
    for stored in snapshot.sessions.values():
        _restore_session(state, stored)


def _restore_session(state: BrokerState, stored: SessionSnapshot) -> None:
    record = stored.record
    session = Session(record.client_id, record.identity, record.version)
    session.expiry_s = record.expiry_s
    session.stored = True
    session.will = record.will
    session.connected_at = record.connected_at
    session.disconnected_at = record.disconnected_at
    if not session.disconnected_at:
        # Written down, or each restart before the client's return would lengthen its session's life.
        session.disconnected_at = state.now
        session.barrier = state.journal.store_session(session)
    if session.will is not None:
        session.will_at = session.disconnected_at + min(session.will.delay_s, session.expiry_s)
    state.registry.sessions[session.client_id] = session
    replays = dict(record.replays)
    for item in record.subscriptions:
        group, inner = split_share(item.filter)
        subscription = Subscription(
            session,
            item.filter,
            item.qos,
            item.no_local,
            item.retain_as_published,
            item.retain_handling,
            item.subscription_id,
            f"{group}/{inner}" if group else "",
        )
        state.router.subscribe(subscription)
        if item.filter in replays:
            session.replay(subscription, replays[item.filter])
    for entry in stored.inflight:
        session.inflight[entry.packet_id] = _outgoing(entry)
    for packet_id, sequence in stored.released:
        session.inflight[packet_id] = Released(sequence)
    for packet_id in stored.receipts:
        session.incoming.received[packet_id] = None
    if stored.queued:
        _restore_queue(state, session, stored.queued)
    if session.inflight:
        session.outgoing.ids.last = next(reversed(session.inflight))
    arm_session(state, session)


def _restore_queue(state: BrokerState, session: Session, entries: list[EntryRecord]) -> None:
    queue: deque[Outgoing | bytes] = deque()
    size = 0
    for entry in entries:
        out = _outgoing(entry)
        queue.append(out)
        size += out.message.size()
        if out.message.expires_at:
            session.purge_at = min(session.purge_at, out.message.expires_at)
    session.queue = queue
    session.queue_bytes = size
    state.counters.queued_messages += len(queue)
    state.counters.queued_bytes += size


def _outgoing(entry: EntryRecord) -> Outgoing:
    message = entry.message
    assert isinstance(message, Message)
    return Outgoing(message, entry.qos, entry.retain, entry.subscription_ids, entry.shared)

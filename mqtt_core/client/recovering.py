"""What an earlier process of this client left in the storage, back in memory.

Law: a message with a stored packet identifier counts as sent; it is sent again with DUP 1 and that identifier. A client
that asks for a clean start forgets it all, and so does the storage.
"""

from __future__ import annotations

from mqtt_core.client.sending import Sending
from mqtt_core.client.state import ClientState
from mqtt_core.persistence.recovery import SessionSnapshot, Snapshot
from mqtt_core.session.message import Outgoing
from mqtt_core.session.qos import Released
from mqtt_core.session.record import EntryRecord
from mqtt_core.session.session import Subscription

__all__ = ["recover"]


def recover(state: ClientState, sending: Sending, snapshot: Snapshot | None) -> bool:
    """Fill the session from the snapshot; True when there was one to fill it from."""
    if not state.durable:
        return False
    session = state.session
    stored: SessionSnapshot | None = None
    if snapshot is not None:
        state.sequence = snapshot.next_sequence - 1
        state.now = snapshot.stamp
        state.journal.stamp(snapshot.stamp)
        stored = snapshot.sessions.get(session.client_id)
    if stored is not None and state.config.clean_start:
        session.barrier = state.journal.delete_session(session.client_id)
        stored = None
    if stored is not None:
        _fill(state, sending, stored)
    session.barrier = state.journal.store_session(session)
    return stored is not None


def _fill(state: ClientState, sending: Sending, stored: SessionSnapshot) -> None:
    session = state.session
    flow = session.outgoing
    for entry in stored.inflight:
        assert entry.message is not None
        flow.inflight[entry.packet_id] = Outgoing(entry.message, entry.qos, entry.retain)
        flow.ids.last = entry.packet_id
    for packet_id, sequence in stored.released:
        flow.inflight[packet_id] = Released(sequence)
    # Messages that lost their session went back to the head of the queue, and were written after those behind them.
    for entry in sorted(stored.queued, key=_published):
        assert entry.message is not None
        sending.restore_queued(Outgoing(entry.message, entry.qos, entry.retain))
    for packet_id in stored.receipts:
        session.incoming.received[packet_id] = None
    version5 = state.version5  # options of 5.0 cannot be said in 3.1.1
    for kept in stored.record.subscriptions:
        session.subscriptions[kept.filter] = Subscription(
            session,
            kept.filter,
            kept.qos,
            version5 and kept.no_local,
            version5 and kept.retain_as_published,
            kept.retain_handling if version5 else 0,
            kept.subscription_id if version5 else 0,
        )


def _published(entry: EntryRecord) -> int:
    return entry.sequence

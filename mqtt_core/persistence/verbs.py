"""The storage verbs for a store that only appends batches: they fill a journal of its own, and `commit` takes the
batch.

Law: nothing here is durable, and nothing is lost before the store has dealt with the batch that `take` gives it.
"""

from __future__ import annotations

from mqtt_core.persistence.journal import Batch, Journal
from mqtt_core.session.message import Message
from mqtt_core.session.record import RECEIPT, RELEASED, EntryRecord, SessionRecord

__all__ = ["VerbJournal"]


class _Stored:
    """A record in the shape `Journal.store_session` takes."""

    __slots__ = ("client_id", "record")

    def __init__(self, record: SessionRecord) -> None:
        self.client_id = record.client_id
        self.record = record

    def to_record(self) -> SessionRecord:
        """The record itself."""
        return self.record


class VerbJournal:
    """Collects the writing verbs of `Storage`; their meaning is documented there."""

    __slots__ = ("_journal",)

    def __init__(self) -> None:
        self._journal = Journal()

    def store_session(self, record: SessionRecord) -> None:
        """Write or replace a session."""
        self._journal.store_session(_Stored(record))

    def delete_session(self, client_id: str) -> None:
        """Forget a session with its entries."""
        self._journal.delete_session(client_id)

    def enqueue(self, client_id: str, entry: EntryRecord) -> None:
        """Append or replace an entry, whatever its state."""
        journal = self._journal
        if entry.state == RECEIPT:
            journal.store_receipt(client_id, entry.packet_id)
        elif entry.state == RELEASED:
            journal.enqueue_released(client_id, entry.sequence, entry.packet_id, entry.qos)
        else:
            message = entry.message
            assert message is not None, entry
            assert message.sequence == entry.sequence, entry
            journal.enqueue(
                client_id,
                message,
                entry.qos,
                entry.retain,
                entry.subscription_ids,
                entry.packet_id,
                entry.shared,
            )

    def dequeue(self, client_id: str, sequence: int) -> None:
        """Forget an entry; a negative sequence is the key of a receipt."""
        if sequence < 0:
            self._journal.forget_receipt(client_id, -sequence)
        else:
            self._journal.dequeue(client_id, sequence)

    def store_retained(self, topic: str, message: Message | None) -> None:
        """Write, replace or remove the retained message of a topic."""
        self._journal.store_retained(topic, message)

    def take(self, stamp: float) -> Batch | None:
        """Everything since the last call as one batch; None if there was nothing. stamp: epoch seconds."""
        self._journal.stamp(stamp)
        batch = self._journal.take_batch()
        if batch is not None:
            self._journal.mark_committed(batch.number)
        return batch

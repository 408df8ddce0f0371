"""The rules of the journal: barriers, whole batches, one in flight, nothing twice, nothing at all without storage."""

from __future__ import annotations

import pytest

from mqtt_core.codec import encode_publish
from mqtt_core.persistence import Journal, Replay
from mqtt_core.session.message import Message
from mqtt_core.session.record import SessionRecord, SubscriptionRecord


class Live:
    """A session that counts how often it is asked for its record."""

    def __init__(self, client_id="c"):
        self.client_id = client_id
        self.filters = []
        self.asked = 0

    def to_record(self):
        self.asked += 1
        return SessionRecord(self.client_id, "", 5, 60, None, list(self.filters), 1.0, 0.0)


def message(sequence, payload=b"x", topic="t"):
    return Message(topic, payload, 1, sequence=sequence)


def frame(payload=b"x", version=4):
    return encode_publish(b"t", payload, 1, False, False, 9, b"\x00" if version == 5 else None)


def every_verb(journal):
    """Each verb once, by name, as a call that returns its barrier."""
    return {
        "store_session": lambda: journal.store_session(Live()),
        "delete_session": lambda: journal.delete_session("d"),
        "enqueue": lambda: journal.enqueue("c", message(1), 1, False, ()),
        "enqueue_frames": lambda: journal.enqueue_frames("c", 2, 4, [frame()], [1], 1),
        "enqueue_released": lambda: journal.enqueue_released("c", 3, 2, 2),
        "assign": lambda: journal.assign("c", 1, 3),
        "release": lambda: journal.release("c", 1),
        "dequeue": lambda: journal.dequeue("c", 1),
        "dequeue_run": lambda: journal.dequeue_run("c", [1, 2]),
        "store_receipt": lambda: journal.store_receipt("c", 1),
        "forget_receipt": lambda: journal.forget_receipt("c", 1),
        "store_retained": lambda: journal.store_retained("t", message(4)),
        "forget_retained": lambda: journal.store_retained("t", None),
    }


VERBS = list(every_verb(Journal()))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_returns_the_number_of_the_batch_that_will_hold_it(verb):
    journal = Journal()
    call = every_verb(journal)[verb]
    assert call() == journal.barrier == 1
    batch = journal.take_batch()
    assert (batch.number, journal.barrier, journal.in_flight, journal.committed) == (1, 2, 1, 0)
    assert call() == 2
    journal.mark_committed(1)
    assert (journal.committed, journal.in_flight) == (1, 0)
    assert journal.take_batch().number == 2


@pytest.mark.parametrize("verb", VERBS)
def test_without_storage_nothing_is_collected_and_nothing_waits(verb):
    journal = Journal(enabled=False)
    assert every_verb(journal)[verb]() == 0
    assert (journal.barrier, journal.committed) == (0, 0)
    assert journal.take_batch() is None


def test_there_is_no_batch_when_there_is_nothing_to_write():
    journal = Journal()
    journal.stamp(5.0)
    assert journal.take_batch() is None
    assert journal.barrier == 1


def test_one_batch_is_in_flight_and_the_next_one_fills():
    journal = Journal()
    journal.dequeue("c", 1)
    assert journal.take_batch().number == 1
    assert journal.dequeue("c", 2) == 2
    assert journal.take_batch() is None
    journal.mark_committed(1)
    assert journal.take_batch().number == 2


def test_a_commit_nobody_waits_for_is_a_bug():
    journal = Journal()
    with pytest.raises(AssertionError):
        journal.mark_committed(1)


def test_a_session_is_written_once_as_it_is_when_the_batch_is_taken():
    """2,000 SUBSCRIBEs in a burst write one record, not 2,000 of growing length."""
    journal, live = Journal(), Live()
    for number in range(2000):
        live.filters.append(SubscriptionRecord(f"a/{number}", 1))
        journal.store_session(live)
    batch = journal.take_batch()
    assert live.asked == 1
    assert len(batch.data) < 60_000
    replay = Replay()
    replay.feed(1, batch.data)
    assert len(replay.snapshot().sessions["c"].record.subscriptions) == 2000


def test_deleting_a_session_undoes_what_the_open_batch_has_of_it():
    journal, live = Journal(), Live()
    journal.store_session(live)
    journal.enqueue("c", message(1), 1, False, ())
    journal.store_receipt("c", 5)
    journal.delete_session("c")
    batch = journal.take_batch()
    assert live.asked == 0
    replay = Replay()
    replay.feed(1, batch.data)
    assert replay.snapshot().sessions == {}
    assert batch.clients["c"].keys == []


def test_a_session_made_anew_in_the_same_batch_has_only_the_new_entries():
    journal = Journal()
    journal.store_session(Live())
    journal.enqueue("c", message(1), 1, False, ())
    journal.delete_session("c")
    journal.store_session(Live())
    journal.enqueue("c", message(2), 1, False, ())
    replay = Replay()
    replay.feed(1, journal.take_batch().data)
    (session,) = replay.snapshot().sessions.values()
    assert [entry.sequence for entry in session.queued] == [2]


@pytest.mark.parametrize("bulk", [True, False])
def test_a_body_is_in_a_batch_once_however_many_clients_wait_for_it(bulk):
    journal = Journal()
    payload = b"p" * 10_000
    for number in range(100):
        journal.store_session(Live(f"c{number}"))
        if bulk:
            journal.enqueue_frames(f"c{number}", 1, 4, [frame(payload)], [number + 1], 1)
        else:
            journal.enqueue(f"c{number}", message(1, payload), 1, False, ())
    if not bulk:
        journal.store_retained("t", message(1, payload))
    batch = journal.take_batch()
    assert batch.data.count(payload) == 1
    assert len(batch.data) < 20_000
    replay = Replay()
    replay.feed(1, batch.data)
    snapshot = replay.snapshot()
    waiting = [entry for s in snapshot.sessions.values() for entry in s.inflight + s.queued]
    assert len(waiting) == 100
    assert all(entry.message is waiting[0].message for entry in waiting)
    assert waiting[0].message.payload == payload
    assert len(snapshot.retained) == (0 if bulk else 1)


@pytest.mark.parametrize("version", [4, 5])
def test_a_frame_comes_back_as_the_message_it_carried(version):
    journal = Journal()
    journal.store_session(Live())
    journal.enqueue_frames("c", 7, version, [frame(b"payload", version)], [0], 2)
    journal.enqueue_frames("c", 8, version, [frame(b"", version)], [3], 1)
    replay = Replay()
    replay.feed(1, journal.take_batch().data)
    session = replay.snapshot().sessions["c"]
    (queued,), (sent,) = session.queued, session.inflight
    assert (queued.sequence, queued.qos, queued.packet_id) == (7, 2, 0)
    assert (queued.message.topic, queued.message.payload, queued.message.sequence) == ("t", b"payload", 7)
    assert (sent.sequence, sent.qos, sent.packet_id, sent.message.payload) == (8, 1, 3, b"")


def test_sent_entries_come_back_in_the_order_of_first_sending():
    """A queued message that is sent later comes after one that was sent at once in between."""
    journal = Journal()
    journal.store_session(Live())
    journal.enqueue("c", message(1), 1, False, ())
    journal.enqueue("c", message(2), 1, False, ())
    journal.enqueue("c", message(3), 1, False, (), 30)
    journal.assign("c", 2, 20)
    journal.assign("c", 1, 10)
    replay = Replay()
    replay.feed(1, journal.take_batch().data)
    session = replay.snapshot().sessions["c"]
    assert [entry.packet_id for entry in session.inflight] == [30, 20, 10]
    assert session.queued == []


def test_released_entries_come_back_in_the_order_of_release_and_without_their_messages():
    journal = Journal()
    journal.store_session(Live())
    for sequence in (1, 2, 3):
        journal.enqueue("c", message(sequence), 2, False, (), sequence * 10)
    journal.release("c", 3)
    journal.release("c", 1)
    replay = Replay()
    replay.feed(1, journal.take_batch().data)
    session = replay.snapshot().sessions["c"]
    assert session.released == [(30, 3), (10, 1)]
    assert [entry.packet_id for entry in session.inflight] == [20]


def test_the_stamp_is_the_newest_time_and_never_goes_back():
    journal = Journal()
    journal.stamp(10.0)
    journal.stamp(7.0)
    journal.dequeue("c", 1)
    assert journal.take_batch().stamp == 10.0


def test_entries_of_a_session_that_was_never_stored_do_not_come_back():
    journal = Journal()
    journal.enqueue("nobody", message(5), 1, False, ())
    replay = Replay()
    replay.feed(1, journal.take_batch().data)
    snapshot = replay.snapshot()
    assert snapshot.sessions == {}
    assert snapshot.next_sequence == 6

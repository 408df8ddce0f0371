"""The index of a log: whatever it drops and moves, a replay of what is left says the same, and the log stays small."""

from __future__ import annotations

from random import Random

import pytest

from mqtt_core.persistence import Journal, Replay
from mqtt_core.persistence.segments import GROWTH, SegmentIndex
from mqtt_core.session.message import Message
from mqtt_core.session.record import SessionRecord
from mqtt_core.testing.contracts import History, snapshot_state


class Log:
    """What a store does with the index, in a dict instead of a file."""

    def __init__(self, slack=0):
        self.index = SegmentIndex(slack)
        self.rows = {}
        self.moved_bytes = 0

    def apply(self, batch, budget=1 << 30):
        self.move(budget, batch.stamp)
        self.rows[self.index.add(batch, len(batch.data))] = batch.data
        self.drop()

    def move(self, budget, stamp):
        numbers = self.index.to_move(budget)
        if numbers:
            data = self.index.move(numbers, [self.rows[number] for number in numbers], stamp)
            if data:
                number = self.index.next_number - 1
                self.index.set_size(number, len(data))
                self.rows[number] = data
                self.moved_bytes += len(data)
            self.drop()

    def drop(self):
        first = self.index.drop_dead()
        self.rows = {number: data for number, data in self.rows.items() if number >= first}

    def replay(self):
        replay = Replay()
        for number, data in self.rows.items():
            replay.feed(number, data)
        return replay

    def reopened(self):
        """The same rows seen by a new index."""
        other = Log(self.index.slack)
        other.rows = dict(self.rows)
        for number, data in self.rows.items():
            other.index.add_stored(number, len(data))
        other.index.restore(self.replay())
        return other


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("slack", [0, 3000])
def test_moving_and_dropping_change_nothing_that_a_replay_sees(seed, slack):
    rng = Random(seed)
    history = History(rng)
    log = Log(slack)
    for _ in range(60):
        history.inputs(rng.randrange(1, 30))
        batch = history.take_batch()
        if batch is None:
            continue
        log.apply(batch, rng.choice((1, 2000, 1 << 30)))
        history.commit(batch)
        assert snapshot_state(log.replay().snapshot()) == history.committed
        assert log.index.log_bytes == sum(map(len, log.rows.values()))
        if rng.random() < 0.1:
            reopened = log.reopened()
            assert reopened.index.live_bytes == log.index.live_bytes
            assert reopened.index.next_number == log.index.next_number
            log = reopened


def test_live_bytes_are_never_overstated():
    """Written to a log of their own, the live records take at least what the index says."""
    history = History(Random(7))
    log = Log(1 << 40)
    for _ in range(100):
        history.inputs(20)
        batch = history.take_batch()
        log.apply(batch)
        history.commit(batch)
    counted = log.index.live_bytes
    log.index.slack = -(1 << 40)
    log.move(1 << 40, history.now)
    assert sum(map(len, log.rows.values())) >= counted
    assert log.index.live_bytes >= counted


def test_without_live_records_only_the_youngest_segment_stays():
    journal, log = Journal(), Log(1 << 40)
    for sequence in range(1, 50):
        journal.enqueue_frames("c", sequence, 4, [b"\x32\x05\x00\x01t\x00\x01"], [1], 1)
        journal.dequeue("c", sequence - 1)
        batch = journal.take_batch()
        log.apply(batch)
        journal.mark_committed(batch.number)
    journal.dequeue("c", 49)
    log.apply(journal.take_batch())
    assert len(log.rows) == 1
    assert log.index.live_bytes == 0
    assert log.replay().sequence == 49


class Stored:
    client_id = "away"

    def to_record(self):
        return SessionRecord("away", "", 4, 3600, None, [], 0.0, 1.0)


def test_one_absent_session_does_not_hold_up_the_log():
    """Its old messages are moved on, and the log stays within its bound however long others come and go."""
    journal, log = Journal(), Log(10_000)
    journal.store_session(Stored())
    for sequence in range(1, 101):
        journal.enqueue("away", Message("t", b"x" * 100, 1, sequence=sequence), 1, False, ())
    written = 0
    for sequence in range(101, 3000):
        journal.enqueue_frames("busy", sequence, 4, [b"\x32\x6a\x00\x01t\x00\x01" + b"y" * 101], [1], 1)
        if sequence > 101:
            journal.dequeue("busy", sequence - 1)
        batch = journal.take_batch()
        log.apply(batch, 4 * len(batch.data))
        journal.mark_committed(batch.number)
        written += len(batch.data)
        assert log.index.log_bytes <= GROWTH * log.index.live_bytes * 5 // 4 + 12_000
    state = snapshot_state(log.replay().snapshot())
    assert len(state["queued away"]) == 100
    assert log.moved_bytes < written


def test_a_batch_with_nothing_live_to_move_adds_no_segment():
    journal, log = Journal(), Log(0)
    journal.enqueue_frames("c", 1, 4, [b"\x32\x05\x00\x01t\x00\x01"], [1], 1)
    log.apply(journal.take_batch())
    journal.mark_committed(1)
    journal.dequeue("c", 1)
    log.apply(journal.take_batch())
    number = log.index.next_number
    log.index.slack = -1
    log.move(1 << 30, 0.0)
    assert log.index.next_number == number

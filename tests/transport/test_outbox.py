from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqtt_core.transport import Countdown, Outbox


def outbox() -> tuple[Outbox, list[object]]:
    dirty: list[object] = []
    return Outbox("owner", dirty), dirty


def test_frames_leave_in_order_and_the_owner_is_on_the_list_once():
    box, dirty = outbox()
    assert box.take() == []
    box.send(b"a")
    box.send(b"bc")
    assert dirty == ["owner"]
    assert box.dirty
    assert box.size == 3
    assert box.take() == [b"a", b"bc"]
    assert not box.dirty
    assert box.size == 0
    assert box.take() == []
    box.send(b"d")
    assert dirty == ["owner", "owner"]


def test_a_frame_waits_for_its_barrier_and_holds_all_behind_it():
    box, dirty = outbox()
    box.send(b"1", barrier=5)
    box.send(b"2", barrier=0)
    box.send(b"3", barrier=6)
    assert dirty == []
    assert box.take() == []
    assert box.size == box.held_size == 3
    box.release(4)
    assert dirty == []
    box.release(5)
    assert dirty == ["owner"]
    assert box.take() == [b"1", b"2"]
    assert box.size == 1
    box.send(b"4")
    assert box.take() == []
    box.release(9)
    assert box.take() == [b"3", b"4"]
    assert box.held is None
    assert box.size == box.held_size == 0


def test_a_committed_barrier_holds_nothing():
    box, _ = outbox()
    box.release(7)
    box.send(b"a", barrier=7)
    assert box.take() == [b"a"]
    box.release(3)
    assert box.released == 7


def test_only_send_now_overtakes():
    box, dirty = outbox()
    box.send(b"held", barrier=1)
    box.send_now(b"\xd0\x00")
    assert dirty == ["owner"]
    assert box.size == 6
    assert box.take() == [b"\xd0\x00"]
    assert box.size == 4
    box.release(1)
    assert box.take() == [b"held"]


def test_credits_come_back_when_the_frame_leaves():
    box, _ = outbox()
    box.send(b"a", credits=2)
    box.send(b"b", barrier=1, credits=3)
    assert box.credits_ready == 2
    box.take()
    assert (box.credits_taken, box.credits_ready) == (2, 0)
    box.release(1)
    assert box.credits_ready == 3
    box.take()
    assert box.credits_taken == 3
    box.take()
    assert box.credits_taken == 0


def test_discarded_frames_are_gone_and_ready_ones_stay():
    box, _ = outbox()
    box.send(b"ready")
    box.send(b"held", barrier=1)
    box.discard_held()
    assert box.size == 5
    assert box.held_size == 0
    box.release(1)
    assert box.take() == [b"ready"]


def test_a_countdown_is_written_when_the_frame_leaves():
    """Straight away, or after a barrier: what counts is the moment of leaving."""
    box, _ = outbox()
    box.send(b"xx....yy", countdown=Countdown(2, 110.0, 1))
    box.send(b"....", barrier=1, countdown=Countdown(0, 107.5, 2))
    assert box.take(100.0) == [b"xx\x00\x00\x00\x0ayy"]
    box.release(1)
    assert box.take(103.0) == [b"\x00\x00\x00\x05"]
    assert box.late == []


def test_a_frame_whose_time_is_over_does_not_leave():
    box, _ = outbox()
    box.send(b"before")
    box.send(b"late", countdown=Countdown(0, 110.0, 7))
    box.send(b"late too", barrier=1, countdown=Countdown(-1, 110.0, 8))
    box.send(b"timeless", countdown=Countdown(-1, 111.0, 9))
    box.release(1)
    assert box.take(110.0) == [b"before", b"timeless"]
    assert box.late == [7, 8]
    assert box.size == 0


def test_a_countdown_says_at_most_what_four_bytes_can():
    box, _ = outbox()
    box.send(b"....", countdown=Countdown(0, 1e12, 1))
    assert box.take(0.0) == [b"\xff\xff\xff\xff"]


class OutboxMachine(RuleBasedStateMachine):
    """Against a model that keeps every frame in one list."""

    def __init__(self):
        super().__init__()
        self.dirty = []
        self.box = Outbox(self, self.dirty)
        self.waiting: list[tuple[int, bytes]] = []
        self.overtaking: list[bytes] = []
        self.ready: list[bytes] = []
        self.committed = 0
        self.number = 0

    def settle(self):
        while self.waiting and self.waiting[0][0] <= self.committed:
            self.ready.append(self.waiting.pop(0)[1])

    @rule(barrier=st.integers(0, 6))
    def send(self, barrier):
        self.number += 1
        frame = b"%d" % self.number
        self.box.send(frame, barrier, 1)
        self.waiting.append((barrier, frame))
        self.settle()

    @rule()
    def send_now(self):
        self.box.send_now(b"pong")
        self.ready.append(b"pong")

    @rule(number=st.integers(0, 6))
    def release(self, number):
        self.box.release(number)
        self.committed = max(self.committed, number)
        self.settle()

    @rule()
    def take(self):
        assert self.box.take() == self.ready
        assert self.box.credits_taken == len([frame for frame in self.ready if frame != b"pong"])
        self.ready = []
        self.dirty.clear()

    @rule()
    def discard(self):
        self.box.discard_held()
        self.waiting = []

    @invariant()
    def agrees(self):
        assert self.box.size == sum(map(len, self.ready)) + sum(len(frame) for _, frame in self.waiting)
        assert self.box.dirty == bool(self.ready) == (self.dirty == [self])
        assert (self.box.held is None) == (not self.waiting)


TestOutboxMachine = OutboxMachine.TestCase

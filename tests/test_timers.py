"""The deadline heap: order, lazy re-arming, and a bound on the heap."""

from __future__ import annotations

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqtt_core.timers import RESTORES_MAX, STALE_MIN, Deadlines, Timer


def due(deadlines, now):
    """Kinds of all timers that are due."""
    kinds = []
    while (timer := deadlines.pop_due(now)) is not None:
        assert timer.deadline == inf
        kinds.append(timer.kind)
    return kinds


def armed(*deadlines_of):
    """Deadlines with a timer for each time; its kind is its index."""
    deadlines = Deadlines()
    timers = [Timer(None, kind) for kind in range(len(deadlines_of))]
    for timer, when in zip(timers, deadlines_of, strict=True):
        deadlines.arm(timer, when)
    return deadlines, timers


def test_a_timer_knows_its_owner_and_kind_and_is_off():
    owner = object()
    timer = Timer(owner, 3)
    assert timer.owner is owner
    assert timer.kind == 3
    assert timer.deadline == inf
    assert repr(timer) == "Timer(kind=3, deadline=inf)"


def test_nothing_is_armed_at_first():
    deadlines = Deadlines()
    assert len(deadlines) == 0
    assert deadlines.next_deadline() is None
    assert deadlines.pop_due(1e9) is None


def test_timers_are_due_in_the_order_of_their_deadlines():
    deadlines, timers = armed(30.0, 10.0, 20.0)
    assert len(deadlines) == 3
    assert timers[0].deadline == 30.0
    assert deadlines.next_deadline() == 10.0
    assert due(deadlines, 9.999) == []
    assert due(deadlines, 10.0) == [1]
    assert deadlines.next_deadline() == 20.0
    assert due(deadlines, 99.0) == [2, 0]
    assert deadlines.next_deadline() is None
    assert len(deadlines) == 0


def test_equal_deadlines_are_due_in_the_order_of_arming():
    deadlines, timers = armed(10.0, 10.0, 5.0, 10.0)
    deadlines.arm(timers[2], 10.0)  # moved later: now the last in line
    deadlines.arm(timers[0], 10.0)  # armed again for the same time: behind that
    assert due(deadlines, 10.0) == [1, 3, 2, 0]


def test_moving_a_timer_later_does_no_heap_work():
    deadlines, timers = armed(10.0)
    for when in range(11, 1000):
        deadlines.arm(timers[0], float(when))
        assert deadlines.entries == 1
    assert deadlines.next_deadline() == 10.0  # early, never late
    assert due(deadlines, 998.0) == []
    assert deadlines.next_deadline() == 999.0
    assert due(deadlines, 999.0) == [0]


def test_moving_a_timer_earlier_takes_effect_at_once():
    deadlines, timers = armed(100.0, 50.0)
    deadlines.arm(timers[0], 10.0)
    assert deadlines.next_deadline() == 10.0
    assert due(deadlines, 10.0) == [0]
    assert due(deadlines, 200.0) == [1]  # not a second time at 100


def test_a_timer_moved_earlier_and_later_again_keeps_its_last_deadline():
    deadlines, timers = armed(100.0)
    deadlines.arm(timers[0], 10.0)
    deadlines.arm(timers[0], 150.0)
    assert due(deadlines, 149.0) == []
    assert due(deadlines, 150.0) == [0]
    assert due(deadlines, inf) == []


def test_a_cancelled_timer_is_never_due():
    deadlines, timers = armed(10.0, 20.0)
    deadlines.cancel(timers[0])
    deadlines.cancel(timers[0])
    assert timers[0].deadline == inf
    assert len(deadlines) == 1
    assert deadlines.next_deadline() == 20.0
    assert due(deadlines, 100.0) == [1]
    assert deadlines.next_deadline() is None


def test_a_cancelled_timer_may_be_armed_again():
    deadlines, timers = armed(10.0, 99.0)
    deadlines.cancel(timers[0])
    deadlines.arm(timers[0], 30.0)  # later than the entry it left behind
    assert len(deadlines) == 2
    assert due(deadlines, 29.0) == []
    deadlines.cancel(timers[0])
    deadlines.arm(timers[0], 5.0)  # earlier
    assert due(deadlines, 5.0) == [0]
    deadlines.arm(timers[0], 40.0)
    assert due(deadlines, 98.0) == [0]


def test_a_cancelled_entry_that_surfaced_does_not_speak_for_a_later_arming():
    for look in (lambda d: d.pop_due(20.0), lambda d: d.next_deadline()):
        deadlines, timers = armed(10.0, 50.0)
        deadlines.cancel(timers[0])
        look(deadlines)
        deadlines.arm(timers[0], 60.0)
        assert due(deadlines, 59.0) == [1]
        assert due(deadlines, 60.0) == [0]


def test_arming_for_never_is_cancelling():
    deadlines, timers = armed(10.0)
    deadlines.arm(timers[0], inf)
    assert len(deadlines) == 0
    assert due(deadlines, 1e9) == []


def test_dead_entries_are_bounded_when_timers_move_earlier():
    deadlines, timers = armed(*[1e6] * 100)
    for round_ in range(100):
        for timer in timers:
            deadlines.arm(timer, 1e5 - round_)
        assert deadlines.entries <= 200
    assert len(deadlines) == 100
    assert due(deadlines, 1e5) == list(range(100))
    assert deadlines.entries <= STALE_MIN


def test_dead_entries_are_bounded_when_timers_are_cancelled():
    deadlines, timers = armed(*[10.0] * 1000)
    for timer in timers[1:]:
        deadlines.cancel(timer)
        assert deadlines.entries <= max(2 * len(deadlines), len(deadlines) + STALE_MIN)
    for timer in timers[1:]:
        deadlines.arm(timer, 5.0)
    assert len(due(deadlines, 5.0)) == 999
    assert due(deadlines, 10.0) == [0]


def test_one_call_restores_a_bounded_number_of_moved_timers():
    count = 2 * RESTORES_MAX + 1
    deadlines, timers = armed(*[10.0] * count)
    for timer in timers:
        deadlines.arm(timer, 20.0)
    for _ in range(2):
        assert deadlines.pop_due(15.0) is None
        assert deadlines.next_deadline() == 10.0  # come back at once
    assert deadlines.pop_due(15.0) is None
    assert deadlines.next_deadline() == 20.0
    assert due(deadlines, 20.0) == list(range(count))


class DeadlinesMachine(RuleBasedStateMachine):
    """Against a dict of deadlines; time never goes back."""

    def __init__(self):
        super().__init__()
        self.deadlines = Deadlines()
        self.timers = [Timer(None, kind) for kind in range(6)]
        self.model = {}  # kind -> (deadline, order of arming)
        self.armings = 0
        self.now = 0

    @rule(kind=st.integers(0, 5), delay=st.integers(0, 9))
    def arm(self, kind, delay):
        self.armings += 1
        self.model[kind] = (self.now + delay, self.armings)
        self.deadlines.arm(self.timers[kind], float(self.now + delay))

    @rule(kind=st.integers(0, 5))
    def cancel(self, kind):
        self.model.pop(kind, None)
        self.deadlines.cancel(self.timers[kind])

    @rule(seconds=st.integers(0, 5))
    def advance(self, seconds):
        self.now += seconds
        expected = sorted((entry, kind) for kind, entry in self.model.items() if entry[0] <= self.now)
        assert due(self.deadlines, float(self.now)) == [kind for _, kind in expected]
        for _, kind in expected:
            del self.model[kind]

    @invariant()
    def next_is_never_late(self):
        when = self.deadlines.next_deadline()
        assert (when is None) == (not self.model)
        if when is not None:
            assert when <= min(self.model.values())[0]

    @invariant()
    def books_agree(self):
        assert len(self.deadlines) == len(self.model)
        for timer in self.timers:
            assert timer.deadline == self.model.get(timer.kind, (inf, 0))[0]


TestDeadlinesMachine = DeadlinesMachine.TestCase
TestDeadlinesMachine.settings = settings(max_examples=100, stateful_step_count=40)

"""One message into one session: now, later or never, and counted."""

from __future__ import annotations

import pytest

from mqtt_core.codec import MqttDecoder, Properties
from mqtt_core.persistence import Journal
from mqtt_core.router import Counters, EventRing, QueueOverflow, RetainStore, Sender
from mqtt_core.router.draining import SLICE_MAX, drain, resume
from mqtt_core.router.queues import SessionQueues
from mqtt_core.session import ABSENT, Message, Outgoing, Session
from mqtt_core.transport import Outbox

NOW = 1000.0


class Bench:
    """A sender and what it needs, with one connected session."""

    def __init__(self, *, outbox_max=10_000, messages_max=100, bytes_max=100_000, all_max=100_000, stored=False):
        self.counters = Counters()
        self.events = EventRing(10, self.counters)
        self.journal = Journal(stored)
        self.retained = RetainStore(10_000, 1_000_000)
        queues = SessionQueues(self.journal, self.counters, self.events, messages_max, bytes_max, all_max)
        self.sender = Sender(self.journal, self.counters, queues, self.retained, outbox_max)
        self.dirty = []
        self.session = Session("c")
        self.session.stored = stored
        self.connect()

    def connect(self, limit=65_535):
        session = self.session
        session.sink = Outbox(self, self.dirty)
        session.connected = True
        session.outgoing.limit = limit
        session.update_direct()

    def disconnect(self):
        session = self.session
        session.sink = None
        session.connected = False
        session.outgoing.resend = None
        session.update_direct()

    def deliver(self, payload=b"x", qos=1, now=NOW, barrier=0, **fields):
        message = Message("t", payload, qos, sequence=self.sender.next_sequence(), **fields)
        self.sender.deliver(self.session, Outgoing(message, qos, False), barrier, now)
        self.sender.end_fan_out()
        return message

    def out(self, now=NOW):
        decoder = MqttDecoder(5)
        decoder.feed(b"".join(self.session.sink.take(now)))
        packets = []
        while (packet := decoder.next_packet()) is not None:
            packets.append(packet)
        return [(p.payload, p.qos, p.dup) for p in packets]

    def finish(self, packet_id):
        entry = self.session.outgoing.on_puback(packet_id)
        assert entry is not ABSENT
        self.sender.finished(self.session, packet_id, entry)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_connected_client_gets_a_message_at_once(qos):
    bench = Bench()
    bench.deliver(b"x", qos)
    assert bench.out() == [(b"x", qos, False)]
    assert bench.counters.publish_sent == 1
    assert bench.counters.publish_bytes_sent == 1


def test_an_absent_client_gets_qos_1_and_2_later_and_qos_0_never():
    bench = Bench()
    bench.disconnect()
    for qos in range(3):
        bench.deliver(b"%d" % qos, qos)
    assert bench.session.queued() == 2
    bench.connect()
    resume(bench.sender, bench.session, 5, NOW)
    assert bench.out() == [(b"1", 1, False), (b"2", 2, False)]
    assert bench.session.queue is None


def test_what_waits_is_sent_in_order_before_anything_new():
    bench = Bench()
    bench.session.outgoing.limit = 1
    for number in range(3):
        bench.deliver(b"%d" % number)
    bench.session.outgoing.limit = 10
    bench.deliver(b"3")
    assert bench.out() == [(b"0", 1, False)]
    drain(bench.sender, bench.session, NOW)
    assert [p for p, _, _ in bench.out()] == [b"1", b"2", b"3"]


def test_a_full_outbox_drops_qos_0_and_makes_the_rest_wait():
    bench = Bench(outbox_max=50)
    bench.deliver(b"x" * 60)
    bench.deliver(b"zero", 0)
    bench.deliver(b"one", 1)
    assert bench.counters.dropped_outbox == 1
    assert bench.session.queued() == 1
    assert bench.session.waits_for_outbox()
    assert len(bench.out()) == 1
    drain(bench.sender, bench.session, NOW)
    assert bench.out() == [(b"one", 1, False)]


@pytest.mark.parametrize(
    "limits, kept",
    [({"messages_max": 2}, 2), ({"bytes_max": 29}, 2), ({"all_max": 29}, 2), ({"messages_max": 0}, 0)],
    ids=["messages", "bytes", "all", "none"],
)
def test_a_full_queue_drops_the_newest_and_says_so_once(limits, kept):
    bench = Bench(**limits)
    bench.disconnect()
    for _ in range(5):
        bench.deliver(b"x" * 9)
    assert bench.session.queued() == kept
    assert bench.counters.dropped_queue == 5 - kept
    assert bench.counters.queued_bytes == bench.session.queue_bytes == 10 * kept
    assert [type(e) for e in bench.events.take()] == [QueueOverflow]


def test_one_input_moves_a_bounded_number_of_messages():
    bench = Bench(messages_max=10_000, outbox_max=10_000_000)
    bench.disconnect()
    for _ in range(2 * SLICE_MAX + 1):
        bench.deliver()
    bench.connect()
    for expected in (SLICE_MAX, SLICE_MAX, 1):
        drain(bench.sender, bench.session, NOW)
        assert len(bench.out()) == expected
    assert list(bench.sender.unfinished) == [bench.session]
    assert bench.session.direct


def test_messages_that_expired_count_towards_the_bound_too():
    bench = Bench(messages_max=10_000)
    bench.disconnect()
    for _ in range(SLICE_MAX + 1):
        bench.deliver(expires_at=NOW + 1)
    bench.connect()
    drain(bench.sender, bench.session, NOW + 2)
    assert bench.counters.dropped_expired == SLICE_MAX
    assert bench.session.queued() == 1


@pytest.mark.spec("MQTT-3.3.2-5", version="5.0")
def test_a_message_that_expires_in_the_outbox_does_not_leave_and_frees_its_identifier():
    bench = Bench()
    bench.deliver(b"late", 1, expires_at=NOW + 5)
    bench.deliver(b"late", 0, expires_at=NOW + 5)
    bench.deliver(b"fine", 1)
    assert bench.out(NOW + 6) == [(b"fine", 1, False)]
    bench.sender.expire_unsent(bench.session, bench.session.sink.late)
    assert bench.counters.dropped_expired == 2
    assert len(bench.session.inflight) == 1


@pytest.mark.spec("MQTT-3.3.2-6", version="5.0")
@pytest.mark.parametrize("held", [False, True])
def test_the_seconds_left_are_those_when_the_frame_leaves(held):
    bench = Bench(stored=held)
    properties = Properties(message_expiry_interval=60)
    bench.deliver(b"x", 1, expires_at=NOW + 60, properties=properties)
    if held:
        assert bench.session.sink.take(NOW) == []
        bench.journal.mark_committed(bench.journal.take_batch().number)
        bench.sender.release(1)
    decoder = MqttDecoder(5)
    decoder.feed(b"".join(bench.session.sink.take(NOW + 20.5)))
    assert decoder.next_packet().properties.message_expiry_interval == 40


def test_a_message_too_large_for_its_client_uses_no_quota_and_is_counted():
    bench = Bench()
    bench.session.packet_size_max = 50
    for qos in range(3):
        bench.deliver(b"x" * 60, qos)
    bench.disconnect()
    bench.deliver(b"x" * 60)
    bench.connect()
    drain(bench.sender, bench.session, NOW)
    assert bench.out() == []
    assert bench.counters.dropped_too_large == 4
    assert bench.session.inflight == {}


# -- write, then say ------------------------------------------------------------------------------------------------


def test_a_frame_of_a_stored_session_waits_for_the_record_of_its_message():
    bench = Bench(stored=True)
    bench.deliver()
    assert bench.out() == []
    batch = bench.journal.take_batch()
    assert list(batch.clients) == ["c"]
    bench.journal.mark_committed(batch.number)
    bench.sender.release(batch.number)
    assert bench.out() == [(b"x", 1, False)]
    assert bench.sender.holding == {}


def test_a_frame_that_reuses_an_identifier_waits_for_the_forgetting():
    bench = Bench(stored=True)
    bench.deliver(b"old")
    bench.journal.mark_committed(bench.journal.take_batch().number)
    bench.sender.release(1)
    bench.out()
    (packet_id,) = bench.session.inflight
    bench.finish(packet_id)
    bench.sender.borrow = packet_id
    bench.deliver(b"new")
    assert list(bench.session.inflight) == [packet_id]
    assert bench.out() == []
    assert bench.session.barrier == 2


def test_a_barrier_that_is_committed_already_holds_nothing():
    bench = Bench(stored=True)
    bench.session.stored = False
    bench.journal.claim()
    bench.journal.mark_committed(bench.journal.take_batch().number)
    bench.deliver(barrier=1)
    assert bench.out() == [(b"x", 1, False)]


def test_commits_visit_only_connections_that_wait():
    bench = Bench(stored=True)
    bench.deliver()
    other = Outbox(None, [])
    bench.sender.send_frame(other, b"free", 0)
    assert list(bench.sender.holding) == [bench.session.sink]
    bench.deliver()
    assert len(bench.sender.holding) == 1


def test_a_copy_of_a_message_has_a_number_of_its_own():
    bench = Bench()
    message = bench.deliver()
    copy = bench.sender.renumbered(message)
    assert copy == message
    assert copy.sequence == message.sequence + 1
    assert (copy.publisher, copy.expires_at) == (message.publisher, message.expires_at)

"""The bulk path has no meaning of its own: with it and without it, the same bytes give the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_core.client import MessageReceived, PublishCompleted
from mqtt_core.codec import Properties, PubackPacket, PublishPacket, PubrecPacket, encode
from tests.client.kit import Wire


def pair(version, **config):
    """Two open clients in the same state, one of them without the bulk path."""
    wires = []
    for enabled in (True, False):
        wire = Wire(version=version, **config)
        wire.client._bulk.enabled = enabled
        wire.open()
        for n in range(8):
            wire.publish("out", bytes([n]), qos=1 + (n == 3))
        wire.raw()
        wires.append(wire)
    return wires


def outcome(wire):
    """Everything that can be seen of a client."""
    client = wire.client
    return (
        wire.raw(),
        wire.events(),
        client.closing,
        client.reading_paused,
        client.unacknowledged,
        client._state.link.open_in,
        client._state.unread_bytes,
        client.next_deadline(),
    )


publishes = st.tuples(
    st.sampled_from(["t", "a/b", "é", "$SYS/x", "x" * 130]),
    st.sampled_from([b"", b"p", b"x" * 120, b"x" * 128, b"y" * 17000]),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.integers(1, 9),
    st.sampled_from([{}, {"content_type": "c"}, {"topic_alias": 1}, {"topic_alias": 99}]),
)


def frame(row, version):
    topic, payload, qos, retain, dup, packet_id, properties = row
    properties = Properties(**(properties if version == 5 else {}))
    packet = PublishPacket(topic, payload, qos, retain, dup and qos > 0, packet_id if qos else 0, properties)
    return encode(packet, version)


frames = st.one_of(
    st.sampled_from([b"\x30\x06\x00\x03\xff\xff\xff\x00", b"\x30\x06\x00\x03a+b\x00", b"\x30\x06\x00\x03a\x00b\x00"]),
    publishes,
    st.integers(1, 9).map(lambda i: b"\x40\x02" + i.to_bytes(2, "big")),
    st.sampled_from(
        [b"\xd0\x00", b"\x50\x02\x00\x04", b"\x70\x02\x00\x04", b"\x40\x00", b"\x31\x02\x00\x00", b"\x30\x00"]
    ),
    st.sampled_from(
        [b"\x30\x03\x00\x01+", b"\x30\x04\x00\x02\xff\xff", b"\x30\x05\x00\x09abc", b"\x32\x05\x00\x01t\x00\x00"]
    ),
)


@given(
    st.lists(frames, max_size=12), st.sampled_from([4, 5]), st.lists(st.integers(0, 2000), max_size=4), st.booleans()
)
def test_both_paths_say_the_same(rows, version, cuts, manual):
    data = b"".join(row if isinstance(row, bytes) else frame(row, version) for row in rows)
    wires = pair(
        version,
        manual_ack=manual,
        receive_maximum=6,
        inbound_messages_max=5,
        maximum_packet_size=17100,
    )
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    for start, end in pairwise(edges):
        seen = []
        for wire in wires:
            wire.receive_bytes(data[start:end])
            seen.append(outcome(wire))
            wire.client.handle_timer(wire.now)
            seen.append(outcome(wire))
        assert seen[:2] == seen[2:]


@pytest.mark.parametrize("version", [4, 5])
def test_runs_of_messages_are_served_and_acknowledged_in_one_piece(version):
    wire = Wire(version=version)
    wire.open()
    wire.receive(*[PublishPacket("t", bytes([n]), 1, n == 4, packet_id=n) for n in range(1, 100)])
    events = wire.events()
    assert [e.payload[0] for e in events] == list(range(1, 100))
    assert events[3] == MessageReceived("t", b"\x04", 1, True)
    (acks,) = wire.client.data_to_send()
    assert acks == b"".join(b"\x40\x02" + n.to_bytes(2, "big") for n in range(1, 100))


def test_a_run_of_pubacks_lets_the_queue_move_on():
    wire = Wire()
    wire.open(receive_maximum=3)
    for n in range(6):
        wire.publish("t", bytes([n]), qos=1)
    wire.raw()
    wire.receive(*[PubackPacket(n) for n in (1, 2, 3)])
    assert wire.events() == [PublishCompleted(n) for n in (1, 2, 3)]
    assert [p.payload for p in wire.sent()] == [b"\3", b"\4", b"\5"]
    wire.receive(PubrecPacket(4))
    assert wire.client.closing


def test_many_topics_are_remembered_within_bounds():
    wire = Wire(inbound_messages_max=100_000)
    wire.open()
    topics = [f"t/{n}" for n in range(9000)]
    wire.receive(*[PublishPacket(topic) for topic in topics])
    assert [e.topic for e in wire.events()] == topics
    for topic in topics:
        wire.publish(topic)
    assert [p.topic for p in wire.sent()] == topics
    assert len(wire.client._bulk.topics) <= 4096
    assert len(wire.client._sending.topics) <= 4096

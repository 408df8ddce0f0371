"""The contract of `Broker`: inputs take time, outputs are pulled, nothing raises, nothing depends on chance."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_core.broker import Broker, BrokerConfig
from mqtt_core.codec import (
    ConnackPacket,
    DisconnectPacket,
    PubackPacket,
    PublishPacket,
    PubrelPacket,
    SubscribeFilter,
    SubscribePacket,
    UnsubscribePacket,
    Will,
    encode,
)
from mqtt_core.persistence import Journal
from mqtt_core.session.message import Message
from tests.broker.kit import START, World, connect_packet

# ------------------------------------------------------------------------------------------------------------ the pulls


def test_a_broker_and_a_client_in_a_few_lines():
    broker = Broker(rng=Random(1))
    handler = broker.connection_made(START, owner="the adapter's own")
    handler.receive_data(encode(connect_packet("c"), 5), START)
    assert broker.take_dirty() == [handler]
    assert handler.owner == "the adapter's own"
    assert b"".join(handler.data_to_send())[:2] == b"\x20\x0e"
    assert handler.data_to_send() == []
    assert broker.take_dirty() == []
    assert not handler.closing
    assert handler.client_id == "c"
    assert broker.take_writes() is None
    assert len(broker.take_events()) == 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_taken_and_not_kept(world, kind):
    client = world.dial()
    data = bytearray(encode(connect_packet("c"), 5))
    client.handler.receive_data(kind(data[:5]), world.now)
    rest = kind(data[5:])
    client.handler.receive_data(rest, world.now)
    world.settle()
    assert client.received()[0].reason_code == 0


def test_many_inputs_may_be_made_before_one_flush(world):
    clients = [world.connect(str(n)) for n in range(3)]
    for client in clients:
        client.subscribe("t")
    for n in range(5):
        clients[0].handler.receive_data(encode(PublishPacket("t", b"%d" % n, 1, packet_id=n + 1), 5), world.now)
    dirty = world.broker.take_dirty()
    assert sorted(h.client_id for h in dirty) == ["0", "1", "2"]
    for handler in dirty:
        handler.owner.flush()
    for client in clients[1:]:
        assert [m.payload for m in client.messages()] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_connection_that_was_not_flushed_is_not_named_again(world):
    client = world.connect("c", frozen=True)
    client.handler.receive_data(b"\xc0\x00", world.now)
    assert world.broker.take_dirty() == [client.handler]
    client.handler.receive_data(b"\xc0\x00", world.now)
    assert world.broker.take_dirty() == []
    assert b"".join(client.handler.data_to_send()) == b"\xd0\x00" * 2


def test_one_batch_is_under_way_at_a_time():
    world = World(stored=True, auto_commit=False)
    world.dial().send(connect_packet("a", session_expiry_interval=9))
    batch = world.broker.take_writes()
    world.dial().send(connect_packet("b", session_expiry_interval=9))
    assert world.broker.take_writes() is None
    world.broker.writes_committed(batch.number)
    assert world.broker.take_writes().number == batch.number + 1


def test_a_broker_without_storage_writes_nothing():
    world = World()
    client = world.connect("c", session_expiry_interval=9)
    client.subscribe("t")
    client.send(PublishPacket("t", b"x", 2, True, packet_id=1))
    assert world.broker.take_writes() is None
    assert Broker(rng=Random(0), journal=Journal(False)).take_writes() is None


def test_an_idle_broker_has_no_deadline(world):
    assert world.broker.next_deadline() is None
    client = world.dial()
    assert world.broker.next_deadline() == world.now + 10
    client.send(connect_packet("c", keep_alive_s=100))
    world.wait(10)
    assert world.broker.next_deadline() == START + 150
    client.send(DisconnectPacket())
    world.wait(150)
    assert world.broker.next_deadline() is None


def test_a_timer_called_early_or_late_does_no_harm(world):
    client = world.connect("c", keep_alive_s=10)
    for _ in range(3):
        world.broker.handle_timer(world.now + 1)
    assert not client.closed
    world.now += 1000
    world.broker.handle_timer(world.now)
    world.settle()
    assert client.closed


def test_time_never_goes_back(world):
    client = world.connect("c", keep_alive_s=10)
    world.broker.handle_timer(world.now + 10)
    client.handler.receive_data(b"\xc0\x00", world.now - 1000)
    world.broker.handle_timer(world.now + 24)
    world.settle()
    assert not client.closed


def test_what_ends_all_at_once_is_ended_in_slices():
    world = World()
    for n in range(2500):
        world.connect(f"c{n}", session_expiry_interval=10).drop()
    world.now += 10
    remaining = []
    while list(world.broker.sessions()):
        assert world.broker.next_deadline() <= world.now
        world.broker.handle_timer(world.now)
        remaining.append(len(list(world.broker.sessions())))
    assert remaining == [1500, 500, 0]


def test_looks_at_sessions_and_retained_messages(world):
    world.connect("a", session_expiry_interval=9).drop()
    world.connect("b")
    assert [(s.client_id, s.connected) for s in world.broker.sessions()] == [("a", False), ("b", True)]
    world.publish("x/1", b"1", 1, retain=True)
    world.publish("y", b"2", retain=True, message_expiry_interval=5)
    assert world.broker.retained("x/+") == [Message("x/1", b"1", 1, True)]
    assert len(world.broker.retained()) == 2
    world.now += 5
    world.broker.handle_timer(world.now)
    assert [m.topic for m in world.broker.retained()] == ["x/1"]
    assert world.broker.config == BrokerConfig(sys_interval_s=0)


def test_a_handler_is_readable_in_logs(world):
    client = world.connect("c", peer="1.2.3.4:5")
    assert repr(client.handler) == "ClientHandler('c', '1.2.3.4:5', phase=3)"


# ---------------------------------------------------------------------------------------------------- nothing by chance


def scripted(seed):
    """A conversation of many clients, made by a seed; returns every byte that was sent, and the counters."""
    rng = Random(seed)
    world = World(stored=bool(seed % 2), inflight_max=5, outbox_bytes_max=500, session_expiry_max_s=50)
    said = []
    clients = []
    for step in range(120):
        world.wait(rng.random() * 5)
        clients = [c for c in clients if not c.closed]
        if not clients or rng.random() < 0.2:
            fields = {"session_expiry_interval": rng.choice([0, 20, 100]), "keep_alive_s": rng.choice([0, 5])}
            clients.append(
                world.connect(f"c{rng.randrange(6)}", clean=rng.random() < 0.5, will=Will("w", b"%d" % step), **fields)
            )
        client = rng.choice([c for c in clients if not c.closed])
        what = rng.randrange(6)
        if what == 0:
            client.send(SubscribePacket(1, [SubscribeFilter(rng.choice(["#", "w", "t/+", "$share/g/t/#"]), 2)]))
        elif what == 1:
            client.send(UnsubscribePacket(1, ["#", "t/+"]))
        elif what == 2:
            client.drop()
        elif what == 3:
            client.frozen = not client.frozen
            client.flush()
            world.settle()
        else:
            qos = rng.randrange(3)
            client.send(
                PublishPacket(f"t/{rng.randrange(3)}", bytes(rng.randrange(99)), qos, packet_id=step + 1 if qos else 0)
            )
            if qos == 2 and not client.closed:
                client.send(PubrelPacket(step + 1))
        said += [c.raw() for c in world.clients]
    return said, world.counters.as_dict(), world.events()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_inputs_give_the_same_bytes_counters_and_events(seed):
    assert scripted(seed) == scripted(seed)


# ------------------------------------------------------------------------------------------------------- nothing raises

FRAMES = [
    encode(connect_packet("c"), 5),
    encode(connect_packet("d", version=4), 4),
    encode(PublishPacket("t", b"x", 1, packet_id=1), 5),
    encode(PublishPacket("t", b"x", 2, packet_id=2), 4),
    encode(PubrelPacket(2), 5),
    encode(PubackPacket(1), 5),
    encode(SubscribePacket(1, [SubscribeFilter("t", 2)]), 5),
    encode(SubscribePacket(1, [SubscribeFilter("#", 1)]), 4),
    encode(UnsubscribePacket(1, ["t"]), 5),
    encode(ConnackPacket(), 5),
    b"\xc0\x00",
    b"\xe0\x00",
    b"\xf0\x00",
]
CHUNKS = st.lists(st.one_of(st.sampled_from(FRAMES), st.binary(max_size=12)), max_size=12)


@given(CHUNKS, st.integers(0, 2), st.randoms(use_true_random=False))
def test_no_bytes_of_a_peer_raise_into_the_host(chunks, start, random):
    world = World(stored=True, max_packet_size=1000, receive_maximum=3)
    client = world.dial() if start == 0 else world.connect("c", version=3 + start)
    data = b"".join(chunks)
    while data and not client.closed:
        size = random.randint(1, len(data))
        client.send_bytes(data[:size])
        data = data[size:]
    other = world.connect("healthy")
    other.send_bytes(b"\xc0\x00")
    assert other.raw() == b"\xd0\x00"
    client.frozen = False
    if not client.closed:
        client.drop()
    world.shutdown()
    assert all(c.closed for c in world.clients)

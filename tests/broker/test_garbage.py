"""What has ended is freed at once: with 100,000 sessions alive, a search for cycles among them takes half a second."""

from __future__ import annotations

import gc
from random import Random

import pytest

from mqtt_core.broker import Broker, BrokerConfig
from mqtt_core.codec import ConnectPacket, DisconnectPacket, SubscribeFilter, SubscribePacket, encode


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("said_goodbye", [True, False])
def test_a_connection_and_its_session_leave_nothing_for_the_garbage_collector(version, said_goodbye):
    broker = Broker(BrokerConfig(sys_interval_s=0), rng=Random(1))
    first = encode(ConnectPacket("c", version=version), version)
    first += encode(SubscribePacket(1, [SubscribeFilter("t/+", 1)]), version)
    last = encode(DisconnectPacket(), version)

    def one_client():
        handler = broker.connection_made(1.0, owner=object())
        handler.receive_data(first, 1.0)
        if said_goodbye:
            handler.receive_data(last, 1.0)
        handler.receive_eof(1.0)
        for pulled in broker.take_dirty():
            pulled.data_to_send()
        broker.take_events()
        broker.next_deadline()

    one_client()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            one_client()
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("data", ["text", 5, [1, 2]], ids=repr)
def test_a_transport_that_brings_no_bytes_is_told_and_changes_nothing(data):
    broker = Broker(BrokerConfig(), rng=Random(1))
    handler = broker.connection_made(0.0)
    with pytest.raises(TypeError, match="a transport brings bytes, not"):
        handler.receive_data(data, 9.0)
    assert broker.counters.bytes_received == 0
    handler.receive_data(encode(ConnectPacket("c"), 5), 1.0)
    assert handler.data_to_send() != []

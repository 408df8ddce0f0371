"""A barrier handed out before it is certain that anything is written must still come up for a commit."""

from __future__ import annotations

from random import Random

import pytest

from mqtt_core.broker import Broker, BrokerConfig
from mqtt_core.codec import (
    ConnectPacket,
    DisconnectPacket,
    PublishPacket,
    SubscribeFilter,
    SubscribePacket,
    encode,
)
from mqtt_core.persistence import Journal


def commit_all(broker):
    while (batch := broker.take_writes()) is not None:
        broker.writes_committed(batch.number)


@pytest.mark.parametrize("bulk", [True, False])
def test_a_publisher_is_acknowledged_when_all_stored_copies_are_dropped(bulk):
    config = BrokerConfig(sys_interval_s=0, bulk_path=bulk, queue_messages_max=0)
    broker = Broker(config, journal=Journal(), rng=Random(1))
    absent = broker.connection_made(1.0)
    for packet in (
        ConnectPacket("absent", version=4, clean_start=False),
        SubscribePacket(1, [SubscribeFilter("t", 1)]),
        DisconnectPacket(),
    ):
        absent.receive_data(encode(packet, 4), 1.0)
    publisher = broker.connection_made(1.0)
    publisher.receive_data(encode(ConnectPacket("publisher", version=4), 4), 1.0)
    commit_all(broker)
    publisher.data_to_send()

    publisher.receive_data(2 * encode(PublishPacket("t", b"x", 1, packet_id=7), 4), 1.0)
    commit_all(broker)

    assert b"".join(publisher.data_to_send()) == 2 * bytes.fromhex("40020007")
    assert broker.counters.dropped_queue == 2

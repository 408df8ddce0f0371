"""A session with very many subscriptions ends without keeping everybody else waiting."""

from __future__ import annotations

from random import Random

import pytest

from mqtt_core.broker import Broker, BrokerConfig
from mqtt_core.codec import (
    ConnectPacket,
    MqttDecoder,
    PublishPacket,
    SubscribeFilter,
    SubscribePacket,
    encode,
)

MANY = 2500


class Client:
    def __init__(self, broker, name):
        self.handler = broker.connection_made(1.0)
        self.decoder = MqttDecoder(4)
        self.send(ConnectPacket(name, version=4, keep_alive_s=0))
        self.take()

    def send(self, packet):
        self.handler.receive_data(encode(packet, 4), 1.0)

    def subscribe(self, *filters):
        self.send(SubscribePacket(1, [SubscribeFilter(name, 0) for name in filters]))
        self.take()

    def take(self):
        self.decoder.feed(b"".join(self.handler.data_to_send()))
        packets = iter(self.decoder.next_packet, None)
        return [packet.topic for packet in packets if isinstance(packet, PublishPacket)]


def names(kind):
    return [f"{i}/+/x" if kind == "wildcard" else f"{i}/a/x" for i in range(MANY)]


@pytest.mark.parametrize("kind", ["plain", "wildcard"])
def test_the_subscriptions_of_an_ended_session_go_in_slices_and_get_nothing_meanwhile(kind):
    broker = Broker(BrokerConfig(sys_interval_s=0), rng=Random(1))
    big, small, publisher = Client(broker, "big"), Client(broker, "small"), Client(broker, "p")
    big.subscribe(*names(kind))
    small.subscribe("7/a/x")
    publisher.send(PublishPacket("7/a/x", b"1"))
    assert big.take() == small.take() == ["7/a/x"]
    big.handler.receive_eof(1.0)
    publisher.send(PublishPacket("7/a/x", b"2"))
    assert small.take() == ["7/a/x"]
    assert broker.counters.publish_sent == 3
    again = Client(broker, "big")
    again.subscribe("7/a/x", *names(kind)[:2])
    timers = 0
    while broker.next_deadline() == 1.0:
        broker.handle_timer(1.0)
        timers += 1
    assert 2 <= timers <= 4
    assert sum(len(session.subscriptions) for session in broker.sessions()) == 4
    publisher.send(PublishPacket("7/a/x", b"3"))
    publisher.send(PublishPacket("0/a/x", b"4"))
    assert again.take() == ["7/a/x", "0/a/x"]
    assert small.take() == ["7/a/x"]

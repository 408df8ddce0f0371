"""What the simulator found, each as the shortest conversation that shows it. The seed is that of the finding."""

from __future__ import annotations

from random import Random

import pytest

from mqtt_core.broker import Broker, BrokerConfig
from mqtt_core.codec import (
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    PingreqPacket,
    PingrespPacket,
    PublishPacket,
    PubrecPacket,
    UnsubackPacket,
    UnsubscribePacket,
    encode,
)
from tests.broker.kit import World, connect_packet


@pytest.mark.spec("MQTT-3.10.4-4", "MQTT-3.10.4-5", version="3.1.1")
def test_unsuback_of_311_has_no_codes(world):  # seed 3
    client = world.connect("a", version=4)
    client.send(UnsubscribePacket(7, ["x", "y"]))
    assert client.received() == [UnsubackPacket(7, [])]
    assert not client.closed


def test_reading_goes_on_when_the_receive_window_of_a_311_client_has_room_again():  # seed 59
    broker = Broker(BrokerConfig(receive_maximum=1, sys_interval_s=0), rng=Random(1))
    handler = broker.connection_made(1000.0)
    handler.receive_data(encode(ConnectPacket("a", version=4), 4), 1000.0)
    broker.take_dirty()
    handler.data_to_send()
    first = encode(PublishPacket("t", b"1", 1, packet_id=1), 4)
    handler.receive_data(first + encode(PublishPacket("t", b"2"), 4), 1000.0)
    assert handler.reading_paused
    assert broker.take_dirty() == [handler]
    handler.data_to_send()
    assert broker.next_deadline() == 1000.0
    broker.handle_timer(1000.0)
    assert not handler.reading_paused
    assert broker.take_dirty() == [handler]


def test_restarts_do_not_lengthen_the_life_of_a_session():  # seed 90
    world = World(stored=True)
    world.connect("a", clean=False, session_expiry_interval=20)
    for _ in range(3):
        world.restart(crash=True, after=9.0)
        world.connect("b", session_expiry_interval=1)
    assert world.session("a") is None


@pytest.mark.spec("MQTT-3.2.0-1", version="5.0")
def test_a_client_taken_over_before_its_connack_left_is_sent_nothing():  # seed 160
    world = World(stored=True, auto_commit=False)
    first = world.dial()
    first.send(connect_packet("a", session_expiry_interval=60))
    second = world.dial()
    second.send(connect_packet("a", session_expiry_interval=60))
    assert first.closed
    assert first.raw() == b""
    while world.commit():
        world.settle()
    assert first.raw() == b""
    assert isinstance(second.received()[0], ConnackPacket)


@pytest.mark.spec("MQTT-3.2.0-1", version="5.0")
@pytest.mark.spec("MQTT-3.2.0-1", version="3.1.1")
def test_pingresp_does_not_overtake_connack(version):
    world = World(stored=True, auto_commit=False)
    client = world.dial(version)
    fields = {"session_expiry_interval": 60} if version == 5 else {}
    client.send(connect_packet("a", version=version, clean=False, **fields))
    client.send(PingreqPacket())
    assert client.raw() == b""
    while world.commit():
        world.settle()
    answers = client.received()
    assert isinstance(answers[0], ConnackPacket)
    assert answers[1:] == [PingrespPacket()]


@pytest.mark.spec("MUST-3.3.4-1", version="5.0")
def test_messages_of_an_earlier_connection_occupy_the_window_when_they_come_again():  # the fuzzer
    world = World(receive_maximum=1)
    client = world.connect("a", clean=False, session_expiry_interval=100)
    client.send(PublishPacket("t", b"x", 2, packet_id=1))
    client.received()
    client = world.connect("a", clean=False, session_expiry_interval=100)
    client.send(PublishPacket("t", b"y", 2, packet_id=2))
    assert client.received() == [PubrecPacket(2, 0x10)]
    client.send(PublishPacket("t", b"x", 2, dup=True, packet_id=1))
    farewell = client.received()[0]
    assert isinstance(farewell, DisconnectPacket)
    assert farewell.reason_code == 0x93

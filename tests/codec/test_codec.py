"""Streams: decoder, encoder and both for one connection."""

from __future__ import annotations

import pytest

from mqtt_core.codec import (
    PACKET_SIZE_MAX,
    ConnackPacket,
    ConnectPacket,
    LocalProtocolError,
    MalformedPacket,
    MqttCodec,
    MqttDecoder,
    MqttEncoder,
    PingreqPacket,
    Properties,
    ProtocolError,
    PublishPacket,
    decode,
    encode,
)

VERSIONS = pytest.mark.parametrize("version", [4, 5])


@VERSIONS
def test_a_decoder_learns_the_version_from_connect(version):
    decoder = MqttDecoder()
    decoder.feed(encode(ConnectPacket("c", version=version), version) + encode(PublishPacket("t", b"x"), version))
    assert decoder.version == 0
    assert decoder.next_packet() == ConnectPacket("c", version=version)
    assert decoder.version == version
    assert decoder.next_packet() == PublishPacket("t", b"x")
    assert decoder.next_packet() is None


@pytest.mark.spec("MQTT-3.1.0-1", version="3.1.1")
@pytest.mark.spec("MQTT-3.1.0-1", version="5.0")
@pytest.mark.parametrize("packet", [PublishPacket("t"), PingreqPacket(), ConnackPacket()], ids=repr)
def test_a_stream_begins_with_connect(packet):
    decoder = MqttDecoder()
    decoder.feed(encode(packet, 4))
    with pytest.raises(ProtocolError) as caught:
        decoder.next_packet()
    assert caught.value.reason_code == 0x82
    with pytest.raises(LocalProtocolError):
        MqttEncoder().encode(packet)


@VERSIONS
def test_an_encoder_learns_the_version_from_connect(version):
    encoder = MqttEncoder()
    packet = ConnectPacket("c", version=version)
    assert encoder.encode(packet) == encode(packet, version)
    assert encoder.encode(PublishPacket("t")) == encode(PublishPacket("t"), version)


@VERSIONS
def test_both_ends_of_a_connection_learn_it_from_one_connect(version):
    client, server = MqttCodec(), MqttCodec()
    assert client.version == server.version == 0
    server.feed(client.encode(ConnectPacket("c", version=version)))
    assert server.next_packet() == ConnectPacket("c", version=version)
    assert client.version == server.version == version
    client.feed(server.encode(ConnackPacket()))
    assert client.next_packet() == ConnackPacket()
    assert client.next_packet() is None


def test_a_version_may_be_given():
    assert MqttCodec(4).version == 4
    assert MqttCodec(5).decoder.reader.max_size == PACKET_SIZE_MAX == 268_435_460
    assert MqttCodec(5, 100).decoder.reader.max_size == 100


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_bytes_like_input_is_copied(wrap):
    buffer = bytearray(b"\x30\x05\x00\x01tab")
    decoder = MqttDecoder(4)
    decoder.feed(wrap(buffer))
    buffer[:] = bytes(7)
    assert decoder.next_packet() == PublishPacket("t", b"ab")


def test_packets_before_a_fault_come_out():
    decoder = MqttDecoder(4)
    decoder.feed(b"\xc0\x00\xc0\x00\x00\x00\xc0\x00")
    assert decoder.next_packet() == PingreqPacket()
    assert decoder.next_packet() == PingreqPacket()
    with pytest.raises(MalformedPacket):
        decoder.next_packet()


@pytest.mark.parametrize("make", [MqttDecoder, MqttEncoder, MqttCodec])
def test_a_version_that_does_not_exist_is_refused_at_once(make):
    with pytest.raises(LocalProtocolError, match="version is 4"):
        make(3)


@pytest.mark.parametrize("data", [b"\x30\x03\x00\x01t", b"\x40\x04\x00\x01\x00\x00", b"\xc0\x00"], ids=repr)
def test_nothing_is_decoded_in_a_version_that_does_not_exist(data):
    with pytest.raises(LocalProtocolError, match="no protocol version 3"):
        decode(data, 3)


def test_a_connect_that_was_refused_leaves_the_version_open():
    encoder = MqttEncoder()
    with pytest.raises(LocalProtocolError):
        encoder.encode(ConnectPacket("c", version=4, properties=Properties(receive_maximum=1)))
    assert encoder.version == 0
    assert encoder.encode(ConnectPacket("c")) == encode(ConnectPacket("c"), 5)
    assert encoder.version == 5

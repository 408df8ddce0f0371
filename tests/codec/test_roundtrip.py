"""What holds for every packet and for every sequence of bytes."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mqtt_core.codec import (
    ConnectPacket,
    MqttDecoder,
    MqttEncoder,
    MqttError,
    Packet,
    PacketTooLarge,
    Properties,
    PublishPacket,
    decode,
    decode_properties,
    encode,
    encode_properties,
    encode_publish,
)
from mqtt_core.testing import strategies
from tests.codec.test_properties import WITH_PROPERTIES
from tests.vectors.packets import VECTORS

VERSIONS = pytest.mark.parametrize("version", [4, 5])


def feed_all(chunks: list[bytes], version: int, max_size: int = 10_000) -> tuple[list[Packet], type | None]:
    """All packets of a stream, and the error that ended it."""
    decoder = MqttDecoder(version, max_size)
    packets: list[Packet] = []
    for chunk in chunks:
        decoder.feed(chunk)
        try:
            while (packet := decoder.next_packet()) is not None:
                packets.append(packet)
        except MqttError as error:
            return packets, type(error)
    return packets, None


@VERSIONS
@given(st.data())
def test_what_is_encoded_decodes_to_the_same(version, data):
    packet = data.draw(strategies.packets(version))
    frame = encode(packet, version)
    again = decode(frame, version)
    assert again == packet
    assert encode(again, version) == frame


@pytest.mark.parametrize("packet", WITH_PROPERTIES)
@given(st.data())
@settings(max_examples=40)
def test_properties_survive_the_journey(packet, data):
    properties = data.draw(strategies.properties(packet))
    section = encode_properties(properties, packet)
    assert decode_properties(section, 0, len(section), packet) == (properties, len(section))


@given(st.from_type(PublishPacket))
def test_the_joined_publish_is_the_encoded_publish(packet):
    section = encode_properties(packet.properties, 3)
    joined = encode_publish(
        packet.topic.encode(), packet.payload, packet.qos, packet.retain, packet.dup, packet.packet_id, section
    )
    assert joined == encode(packet, 5)


@VERSIONS
@given(st.data())
def test_a_stream_gives_the_same_packets_however_it_is_cut(version, data):
    packets = data.draw(st.lists(strategies.packets(version), max_size=4))
    stream = b"".join([MqttEncoder(version).encode(packet) for packet in packets])
    assert feed_all(data.draw(strategies.chunkings(stream)), version) == (packets, None)


@pytest.mark.parametrize("version", [0, 4, 5])
@given(st.binary(max_size=60))
@settings(max_examples=500)
def test_any_bytes_are_packets_or_an_error(version, data):
    try:
        packet = decode(data, version)
    except MqttError:
        return
    if isinstance(packet, ConnectPacket):
        version = packet.version
    assert decode(encode(packet, version), version) == packet


@VERSIONS
@given(st.data())
def test_nearly_valid_bytes_are_packets_or_an_error(version, data):
    frame = data.draw(strategies.malformed_packets(version))
    try:
        packet = decode(frame, version)
    except MqttError:
        return
    if isinstance(packet, ConnectPacket):
        version = packet.version
    assert decode(encode(packet, version), version) == packet


@VERSIONS
@given(st.data())
def test_a_faulty_stream_ends_the_same_way_however_it_is_cut(version, data):
    stream = data.draw(strategies.malformed_packets(version)) + data.draw(st.binary(max_size=10))
    whole = feed_all([stream], version)
    assert feed_all([stream[at : at + 1] for at in range(len(stream))], version) == whole
    assert feed_all(data.draw(strategies.chunkings(stream)), version) == whole


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in VECTORS if len(row.data) < 200])
def test_every_single_changed_byte_is_survived(row):
    """Each byte of each vector replaced by values around the limits of its field."""
    for at in range(len(row.data)):
        for value in (0, 1, 2, 3, 0x7F, 0x80, 0xFF, row.data[at] ^ 1, row.data[at] ^ 0x80):
            changed = bytearray(row.data)
            changed[at] = value
            try:
                packet = decode(bytes(changed), row.version)
            except MqttError:
                continue
            version = packet.version if isinstance(packet, ConnectPacket) else row.version
            assert decode(encode(packet, version), version) == packet


@given(st.from_type(PublishPacket), st.integers(0, 30))
def test_a_packet_above_the_limit_is_refused_from_its_header(packet, less):
    frame = encode(packet, 5)
    assume(less < len(frame))
    decoder = MqttDecoder(5, len(frame) - less)
    if less == 0:
        decoder.feed(frame)
        assert decoder.next_packet() == packet
    else:
        header = 2 if frame[1] < 128 else 3 if frame[2] < 128 else 4
        decoder.feed(frame[:header])
        with pytest.raises(PacketTooLarge) as caught:
            decoder.next_packet()
        assert caught.value.reason_code == 0x95


@given(st.from_type(Properties), st.from_type(Properties))
def test_equal_properties_have_equal_hashes_and_replace_merges(one, other):
    assert (one == other) == (one.values == other.values)
    if one == other:
        assert hash(one) == hash(other)
    merged = one.replace(content_type=other.content_type, topic_alias=None)
    assert merged.content_type == other.content_type
    assert merged.topic_alias is None
    assert merged.user_properties == one.user_properties

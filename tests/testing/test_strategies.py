"""What the strategies promise beyond making packets, which the round trips of the codec see."""

from __future__ import annotations

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import mqtt_core.testing.strategies  # noqa: F401 - importing it registers the types
from mqtt_core import codec
from mqtt_core.codec import Packet, PacketType, PublishPacket, SubscribePacket, decode, encode
from mqtt_core.testing.strategies import chunkings, malformed_packets, matching_pairs, properties
from mqtt_core.topic_matcher import matches

KINDS = [getattr(codec, f"{kind.name.capitalize()}Packet") for kind in PacketType if kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=30)
@given(st.data())
def test_every_packet_class_can_be_asked_for_by_its_type(kind, data):
    packet = data.draw(st.from_type(kind))
    assert isinstance(packet, kind)
    assert decode(encode(packet, 5), 5) == packet


def test_there_is_a_packet_of_every_type():
    seen = set()

    @settings(max_examples=400)
    @given(st.from_type(Packet))
    def look(packet):
        seen.add(type(packet))

    look()
    assert len(KINDS) == 15
    assert seen == set(KINDS)


def test_examples_shrink_to_the_simplest():
    smallest = find(st.from_type(PublishPacket), lambda packet: packet.qos == 2)
    assert (len(smallest.topic), smallest.payload, smallest.retain, smallest.dup) == (1, b"", False, False)
    assert len(find(st.from_type(SubscribePacket), lambda _: True).subscriptions) == 1
    assert len(find(matching_pairs(), lambda pair: "+" in pair[0])[0]) == 1


@given(matching_pairs(), st.binary(max_size=50), st.data())
def test_pairs_match_and_chunks_join(pair, data, draw):
    assert matches(*pair)
    assert b"".join(draw.draw(chunkings(data))) == data


@pytest.mark.parametrize("packet", [*range(1, 16), codec.WILL])
def test_every_packet_type_has_properties_or_none(packet):
    values = []

    @settings(max_examples=20)
    @given(properties(packet))
    def look(value):
        values.append(value)

    look()
    assert any(values) is (packet not in {codec.PINGREQ, codec.PINGRESP})


def test_a_long_packet_is_damaged_behind_its_length_too():
    faults = set()

    @settings(max_examples=1000, derandomize=True, database=None, phases=[Phase.generate])
    @given(malformed_packets(5))
    def look(data):
        if len(data) >= 130:
            try:
                decode(data, 5)
            except codec.MqttError as error:
                faults.add(type(error))

    look()
    assert len(faults - {codec.MalformedVariableByteInteger}) > 2

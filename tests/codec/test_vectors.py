"""Every row of the packet table, in every way a packet can come and go."""

from __future__ import annotations

import pytest

from mqtt_core.codec import MalformedPacket, MqttCodec, MqttDecoder, MqttError, decode, encode
from tests.vectors.packets import BAD, GOOD, GOOD_IN_BOTH, VECTORS
from tests.vectors.rows import Vector


def rows(vectors, *, cite=False):
    return [
        pytest.param(
            row, id=row.name, marks=[pytest.mark.spec(*row.spec, version=row.standard)] if cite and row.spec else []
        )
        for row in vectors
    ]


def reframed(body: bytes, first: int) -> bytes:
    """A frame with this body, whatever its length."""
    length = len(body)
    digits = []
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (128 if length else 0))
        if not length:
            return bytes((first, *digits)) + body


def body_of(data: bytes) -> bytes:
    start = 1
    while data[start] > 127:
        start += 1
    return data[start + 1 :]


def test_names_are_unique():
    names = [row.name for row in VECTORS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", rows(GOOD, cite=True))
def test_a_valid_packet_decodes_and_encodes(row: Vector):
    assert decode(row.data, row.version) == row.packet
    if row.canonical:
        assert encode(row.packet, row.version) == row.data


@pytest.mark.parametrize("row", rows(BAD, cite=True))
def test_a_faulty_packet_is_refused_with_its_code(row: Vector):
    with pytest.raises(MqttError) as caught:
        decode(row.data, row.version)
    assert type(caught.value) is row.error
    assert caught.value.reason_code == row.reason_code
    assert caught.value.reason


@pytest.mark.parametrize("row", rows(GOOD))
def test_what_one_codec_says_its_mirror_hears(row: Vector):
    here, there = MqttCodec(row.version), MqttCodec(row.version)
    there.feed(here.encode(row.packet))
    heard = there.next_packet()
    assert heard == row.packet
    here.feed(there.encode(heard))
    assert here.next_packet() == row.packet


@pytest.mark.parametrize("row", rows(GOOD))
def test_nothing_comes_out_before_the_last_byte(row: Vector):
    decoder = MqttDecoder(row.version)
    for byte in row.data[:-1][:200]:
        decoder.feed(bytes((byte,)))
        assert decoder.next_packet() is None
    decoder.feed(row.data[:-1][200:])
    assert decoder.next_packet() is None
    decoder.feed(row.data[-1:])
    assert decoder.next_packet() == row.packet
    assert decoder.reader.pending == 0


@pytest.mark.parametrize("row", rows(GOOD))
def test_a_packet_cut_off_inside_is_refused_or_means_something_else(row: Vector):
    """With a remaining length to match, so that only the codec can notice."""
    body = body_of(row.data)
    for end in range(min(len(body), 300)):
        data = reframed(body[:end], row.data[0])
        try:
            packet = decode(data, row.version)
        except MqttError:
            continue
        assert packet != row.packet or not row.canonical
        assert decode(encode(packet, row.version), row.version) == packet


@pytest.mark.parametrize("row", rows([row for row in GOOD if row.data[0] >> 4 != 3]))
def test_a_byte_too_many_is_refused(row: Vector):
    with pytest.raises(MqttError):
        decode(reframed(body_of(row.data) + b"\xff", row.data[0]), row.version)


@pytest.mark.parametrize("row", rows([row for row in GOOD_IN_BOTH if row.version == 4]))
def test_short_packets_are_the_same_in_both_versions(row: Vector):
    assert encode(row.packet, 4) == encode(row.packet, 5)


@pytest.mark.parametrize("row", rows(VECTORS))
def test_before_connect_only_a_connect_counts(row: Vector):
    if row.data[:1] and row.data[0] >> 4 != 1:
        with pytest.raises(MqttError) as caught:
            decode(row.data, 0)
        assert caught.value.reason_code in {0x81, 0x82}
    elif row.packet:
        decoder = MqttDecoder()
        decoder.feed(row.data)
        assert decoder.next_packet() == row.packet
        assert decoder.version == row.version


def test_a_header_of_one_byte_is_no_packet():
    with pytest.raises(MalformedPacket):
        decode(b"\x30", 5)

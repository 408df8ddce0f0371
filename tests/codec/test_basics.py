"""Numbers, errors, integers, packets as values."""

from __future__ import annotations

import pytest

from mqtt_core.codec import (
    PACKET_ID,
    PUBACK_FRAMES,
    PUBCOMP_FRAMES,
    PUBREC_FRAMES,
    PUBREL_FRAMES,
    VARINT_MAX,
    ConnectFlags,
    ConnectPacket,
    InvalidTopicFilter,
    LocalProtocolError,
    MalformedPacket,
    MalformedVariableByteInteger,
    MqttError,
    PacketTooLarge,
    PacketType,
    PingreqPacket,
    PingrespPacket,
    PubackPacket,
    PublishPacket,
    PubrecPacket,
    QoS,
    ReasonCode,
    ReservedFlags,
    StorageError,
    SubscribeFilter,
    UnsupportedProtocolVersion,
    Will,
    decode,
    decode_varint,
    encode,
    encode_varint,
    varint_size,
)

# The examples of the standards: first and last value of each length.
VARINTS = {
    0: b"\x00",
    127: b"\x7f",
    128: b"\x80\x01",
    16_383: b"\xff\x7f",
    16_384: b"\x80\x80\x01",
    2_097_151: b"\xff\xff\x7f",
    2_097_152: b"\x80\x80\x80\x01",
    268_435_455: b"\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("value", VARINTS)
@pytest.mark.spec("MQTT-1.5.5-1", version="5.0")
def test_a_variable_byte_integer_has_its_shortest_form(value):
    data = VARINTS[value]
    assert encode_varint(value) == data
    assert varint_size(value) == len(data)
    assert decode_varint(b"_" + data + b"_", 1, len(data) + 2) == (value, len(data) + 1)
    for end in range(len(data)):
        with pytest.raises(MalformedPacket):
            decode_varint(data, 0, end)


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff\x00", b"\x80\x80\x00", b"\xff\xff\x80\x00"])
@pytest.mark.spec("MQTT-1.5.5-1", version="5.0")
def test_a_longer_form_than_needed_is_malformed(data):
    with pytest.raises(MalformedVariableByteInteger) as caught:
        decode_varint(data, 0, len(data))
    assert caught.value.reason_code == 0x81


@pytest.mark.spec("MUST-1.5.5-1", version="5.0")
@pytest.mark.spec("MUST-2.2.3-1", version="3.1.1")
def test_a_fifth_byte_is_malformed_before_it_comes():
    with pytest.raises(MalformedVariableByteInteger):
        decode_varint(b"\x80\x80\x80\x80", 0, 4)


@pytest.mark.parametrize("value", [-1, VARINT_MAX + 1])
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(LocalProtocolError):
        encode_varint(value)


def test_packet_types_are_the_sixteen_values():
    assert [kind.value for kind in PacketType] == list(range(16))
    assert PacketType(15) is PacketType.AUTH
    assert [qos.value for qos in QoS] == [0, 1, 2]
    assert ReasonCode(0x8E).name == "SESSION_TAKEN_OVER"
    assert ReasonCode.NORMAL_DISCONNECTION is ReasonCode.SUCCESS
    assert len(ReasonCode) == 43


def test_connect_flags_survive_the_journey():
    valid = 0
    for value in range(256):
        try:
            flags = ConnectFlags.from_byte(value)
        except MalformedPacket as error:
            if type(error) is ReservedFlags:
                assert value & 1
            continue
        valid += 1
        assert flags.to_byte() == value
    # User name, password, clean start; and no will, or a will of three QoS with and without retain.
    assert valid == 2 * 2 * 2 * (1 + 3 * 2)


@pytest.mark.parametrize("number", [1, 255, 256, 65535])
def test_the_tables_are_what_the_encoder_gives(number):
    tables = ((PUBACK_FRAMES, 0x40), (PUBREC_FRAMES, 0x50), (PUBREL_FRAMES, 0x62), (PUBCOMP_FRAMES, 0x70))
    assert PACKET_ID[number] == bytes((number >> 8, number & 255))
    for table, first in tables:
        assert len(table) == 65536
        assert table[number] == bytes((first, 2)) + PACKET_ID[number]
        for version in (4, 5):
            packet = decode(table[number], version)
            assert packet.packet_id == number
            assert encode(packet, version) == table[number]


def test_errors_know_their_code_and_their_reason():
    assert str(MalformedPacket("why")) == "why"
    assert MalformedPacket("why").reason_code == 0x81
    assert MalformedPacket("why", 0x99).reason_code == 0x99
    assert InvalidTopicFilter("why").reason_code == 0x8F
    assert PacketTooLarge("why").reason_code == 0x95
    assert StorageError("why").reason_code == 0x80
    assert LocalProtocolError("why").reason == "why"
    assert all(isinstance(error, MqttError) for error in (InvalidTopicFilter(""), StorageError("")))


@pytest.mark.parametrize(
    "name,level", [(b"MQTT", 3), (b"MQIsdp", 3), (b"MQTT", 0), (b"MQTT", 0x84), (b"", 4), (b"\xff", 5)]
)
@pytest.mark.spec("MQTT-3.1.2-1", "MQTT-3.1.2-2", version="5.0")
def test_an_unknown_protocol_says_which_it_was(name, level):
    with pytest.raises(UnsupportedProtocolVersion) as caught:
        decode(bytes((0x10, len(name) + 6, 0, len(name))) + name + bytes((level, 2, 0, 60)), 0)
    assert caught.value.reason_code == 0x84
    assert (caught.value.name, caught.value.level) == (name, level)


def test_packets_are_equal_when_class_and_fields_are():
    assert PublishPacket("t", b"x") == PublishPacket("t", b"x")
    assert PublishPacket("t", b"x") != PublishPacket("t", b"y")
    assert PubackPacket(1) != PubrecPacket(1)
    assert PingreqPacket() != PingrespPacket()
    assert PingreqPacket() != "PINGREQ"
    with pytest.raises(TypeError):
        hash(PingreqPacket())


def test_packets_show_their_fields():
    assert repr(PubackPacket(7)) == "PubackPacket(packet_id=7, reason_code=0, properties=Properties())"
    assert repr(SubscribeFilter("a")) == (
        "SubscribeFilter(filter='a', qos=0, no_local=False, retain_as_published=False, retain_handling=0)"
    )
    assert repr(PingreqPacket()) == "PingreqPacket()"
    assert "Will(topic='w'" in repr(ConnectPacket(will=Will("w")))

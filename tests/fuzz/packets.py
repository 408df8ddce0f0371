"""Frames of clients and servers from choices: mostly right, sometimes wrong, sometimes not frames at all.

Names, identifiers and payloads come from small pools, so that packets meet: the same identifier twice, an alias that
was set, a filter that matches. What the encoder refuses to make is made by changing bytes of what it does make, and by
the table of faulty packets of the codec's tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mqtt_core.codec import (
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    MqttError,
    Packet,
    PingreqPacket,
    PingrespPacket,
    Properties,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
    Will,
    encode,
)
from tests.fuzz.choices import Choices
from tests.vectors.packets import VECTORS

TOPICS = ["a", "a/b", "a/b/c", "b", "/", "long/" + "x" * 120, "$SYS/x", "é/\u4e2d"]
FILTERS = ["a", "a/b", "a/#", "+/b", "+", "#", "b", "$share/g/a", "$share/g/#", "$share/h/+/b", "/#", "$SYS/#", "+/+"]
PAYLOADS = [b"", b"p", b"payload", b"x" * 60, b"y" * 300]
CODES = [0, 0, 0, 0x10, 0x80, 0x87, 0x92, 0x97]
INTERVALS = [1, 0, 5, 100, 0xFFFFFFFF]
TABLE = {version: [vector.data for vector in VECTORS if vector.version == version] for version in (4, 5)}


def packet_id(choices: Choices) -> int:
    return choices.pick([1, 2, 3, 4, 5, 65535, 256, 7])


def maybe(choices: Choices, version: int, **fields: Callable[[], Any]) -> Properties:
    """Some of these properties; none most of the time, and in 3.1.1."""
    if version != 5 or not choices.one_in(4):
        return Properties()
    wanted = choices.byte()
    return Properties(**{name: make() for i, (name, make) in enumerate(fields.items()) if wanted >> i % 8 & 1})


def acknowledged(choices: Choices, version: int) -> Properties:
    return maybe(choices, version, reason_string=lambda: "r", user_properties=lambda: (("k", "v"), ("k", "w")))


def publish(choices: Choices, version: int, from_server: bool = False) -> Packet:
    topic = choices.pick(TOPICS)
    qos = choices.pick([0, 1, 2])
    properties = maybe(
        choices,
        version,
        topic_alias=lambda: choices.pick([1, 2, 3, 11, 65535]),
        message_expiry_interval=lambda: choices.pick(INTERVALS),
        user_properties=lambda: (("k", "v"),),
        payload_format_indicator=lambda: 1,
        content_type=lambda: "t",
        response_topic=lambda: "r/s",
        correlation_data=lambda: b"\x00c",
        subscription_identifiers=lambda: (choices.pick([1, 2]),) if from_server else (),
    )
    if properties.topic_alias is not None and choices.one_in(3):
        topic = ""
    flags = choices.byte()
    dup = bool(qos) and flags & 7 == 7
    identifier = packet_id(choices) if qos else 0
    return PublishPacket(topic, choices.pick(PAYLOADS), qos, flags & 24 == 24, dup, identifier, properties)


def connect(choices: Choices, version: int, names: list[str]) -> ConnectPacket:
    """A CONNECT that the codec can make."""
    properties = maybe(
        choices,
        version,
        session_expiry_interval=lambda: choices.pick(INTERVALS),
        receive_maximum=lambda: choices.pick([1, 2, 10]),
        topic_alias_maximum=lambda: choices.pick([0, 1, 3]),
        request_problem_information=lambda: False,
        request_response_information=lambda: True,
        user_properties=lambda: (("k", "v"),),
        authentication_method=lambda: "M",
        maximum_packet_size=lambda: choices.pick([200, 20, 1, 70]),
    )
    will = None
    if choices.one_in(4):
        about = maybe(choices, version, will_delay_interval=lambda: choices.pick(INTERVALS), content_type=lambda: "w")
        will = Will(choices.pick(TOPICS), choices.pick(PAYLOADS), choices.below(3), choices.one_in(3), about)
    clean = not choices.one_in(2)
    username = "u" if choices.one_in(8) else None
    return ConnectPacket(
        choices.pick(names) if version == 5 or not clean else choices.pick([*names, ""]),
        version=version,
        clean_start=clean,
        keep_alive_s=choices.pick([0, 60, 1]),
        username=username,
        password=b"p" if username else None,
        will=will,
        properties=properties,
    )


def subscribe(choices: Choices, version: int) -> Packet:
    filters = []
    for _ in range(choices.pick([1, 1, 1, 2, 5])):
        flags = choices.byte()
        name = choices.pick(FILTERS)
        extra = version == 5 and flags >= 128
        local = extra and bool(flags & 4) and not name.startswith("$share")
        handling = (flags >> 4 & 3) % 3 if extra else 0
        filters.append(SubscribeFilter(name, flags % 3, local, extra and bool(flags & 8), handling))
    numbers = maybe(choices, version, subscription_identifiers=lambda: (choices.pick([1, 2, 268435455]),))
    return SubscribePacket(packet_id(choices), filters, numbers)


def acknowledgement(choices: Choices, version: int) -> Packet:
    kind = choices.pick([PubackPacket, PubrecPacket, PubrelPacket, PubcompPacket])
    identifier = packet_id(choices)
    if version != 5 or not choices.one_in(3):
        return kind(identifier)
    release = kind in {PubrelPacket, PubcompPacket}
    code = choices.pick([0, 0x92]) if release else choices.pick([0, 0x10, 0x80, 0x87, 0x97])
    return kind(identifier, code, acknowledged(choices, version))


def farewell(choices: Choices, version: int) -> Packet:
    properties = maybe(choices, version, session_expiry_interval=lambda: choices.pick(INTERVALS))
    return DisconnectPacket(choices.pick([0, 0, 4, 0x80, 0x8D]) if version == 5 else 0, properties)


def authentication(choices: Choices, version: int) -> Packet:
    code = choices.pick([0x18, 0x19, 0])
    return AuthPacket(code, Properties(authentication_method=choices.pick(["M", "N"]), authentication_data=b"d"))


def client_packet(choices: Choices, version: int, names: list[str]) -> Packet:
    """What a client may send, though not always at this moment."""
    kind = choices.below(16)
    if kind < 6:
        return publish(choices, version)
    if kind < 9:
        return subscribe(choices, version)
    if kind < 12:
        return acknowledgement(choices, version)
    if kind == 12:
        return UnsubscribePacket(packet_id(choices), [choices.pick(FILTERS) for _ in range(choices.pick([1, 1, 2]))])
    if kind == 13:
        return PingreqPacket()
    if choices.one_in(3):
        return connect(choices, version, names)
    if version == 5 and choices.one_in(3):
        return authentication(choices, version)
    return farewell(choices, version) if choices.one_in(2) else PingreqPacket()


def server_packet(choices: Choices, version: int) -> Packet:
    """What a server may send, though not always at this moment."""
    kind = choices.below(16)
    if kind < 5:
        return publish(choices, version, from_server=True)
    if kind < 9:
        return acknowledgement(choices, version)
    codes = [choices.pick([0, 1, 2, 0x80]) for _ in range(choices.pick([1, 1, 2, 5]))]
    if kind < 11:
        return SubackPacket(packet_id(choices), codes, acknowledged(choices, version))
    if kind == 11:
        answers = [choices.pick([0, 0x11, 0x80]) for _ in codes] if version == 5 else []
        return UnsubackPacket(packet_id(choices), answers, acknowledged(choices, version))
    if kind == 12:
        return PingrespPacket()
    if kind == 13 and version == 5:
        return DisconnectPacket(choices.pick([0x8B, 0x8E, 0x80, 0x9C]), acknowledged(choices, version))
    if kind == 14 and version == 5:
        return authentication(choices, version)
    return connack(choices, version)


def connack(choices: Choices, version: int) -> Packet:
    properties = maybe(
        choices,
        version,
        receive_maximum=lambda: choices.pick([1, 2, 10]),
        topic_alias_maximum=lambda: choices.pick([0, 1, 5]),
        session_expiry_interval=lambda: choices.pick(INTERVALS),
        maximum_packet_size=lambda: choices.pick([200, 30, 1000]),
        server_keep_alive=lambda: choices.pick([1, 0, 30]),
        maximum_qos=lambda: choices.pick([0, 1]),
        retain_available=lambda: False,
        assigned_client_identifier=lambda: "assigned",
    )
    code = choices.pick([0, 0, 0, 0x80 if version == 5 else 3])
    return ConnackPacket(code, not code and choices.one_in(2), properties)


def wire(choices: Choices, version: int, packet: Packet) -> bytes:
    """The bytes of a packet; the packet that cannot be made is nothing. Sometimes something else instead, or beside."""
    try:
        frame = encode(packet, version)
    except MqttError:
        return b""
    fault = choices.byte()
    if fault < 232:
        return frame
    if fault < 242:
        at = choices.below(len(frame))
        return frame[:at] + bytes([choices.byte()]) + frame[at + 1 :]
    if fault < 246:
        return reframed(choices, frame)
    if fault < 253:
        return choices.pick(TABLE[version])
    return choices.take(choices.below(24)) if fault < 255 else frame[: choices.below(len(frame))]


def reframed(choices: Choices, frame: bytes) -> bytes:
    """A byte of the body taken away, put in or changed, and the length made to fit again."""
    body = frame[2:] if frame[1] < 128 else frame[3:]
    at = choices.below(len(body) + 1)
    skip = choices.below(2)
    return whole(frame[0], body[:at] + choices.take(choices.below(3)) + body[at + skip :])


def whole(first: int, body: bytes) -> bytes:
    """A frame of at most 16,383 bytes after its header."""
    size = len(body)
    return bytes((first, size) if size < 128 else (first, size & 127 | 128, size >> 7)) + body

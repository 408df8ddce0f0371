"""Hypothesis strategies for packets of both versions, their properties, faulty packets, and ways to cut a stream.

Everything a valid strategy gives can be encoded and decodes to an equal packet. They shrink towards short strings,
no properties and QoS 0.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from mqtt_core.codec import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    NO_PROPERTIES,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    V5,
    WILL,
    AckPacket,
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
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
from mqtt_core.codec.property_table import (
    AUTHENTICATION_DATA,
    AUTHENTICATION_METHOD,
    KIND_BINARY,
    KIND_BIT,
    KIND_FLAG,
    KIND_OF,
    KIND_PAIR,
    KIND_STRING,
    KIND_UINT16,
    KIND_UINT32,
    LOWEST_OF,
    NAME_OF,
    PACKETS_OF,
    RESPONSE_TOPIC,
)
from mqtt_core.codec.reason_codes import REASON_CODES, RETURN_CODES
from mqtt_core.codec.varint import VARINT_MAX, encode_varint
from mqtt_core.testing.strategies.topics import filters, topics

__all__ = [
    "chunkings",
    "malformed_packets",
    "packet_ids",
    "packets",
    "properties",
    "strings",
    "subscribe_filters",
    "versions",
    "wills",
]


def versions() -> st.SearchStrategy[int]:
    """4 for 3.1.1 or 5 for 5.0."""
    return st.sampled_from((4, 5))


def strings(max_size: int = 12) -> st.SearchStrategy[str]:
    """What may stand in a string field: any text without U+0000 and surrogates, of up to `max_size` characters."""
    return st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=max_size)


def packet_ids() -> st.SearchStrategy[int]:
    """1 to 65,535."""
    return st.integers(1, 65_535)


def _property_values(identifier: int, packet: int) -> st.SearchStrategy[Any]:
    kind = KIND_OF[identifier]
    lowest = LOWEST_OF[identifier]
    if identifier == RESPONSE_TOPIC:
        return topics()
    if kind == KIND_STRING:
        return strings()
    if kind == KIND_BINARY:
        return st.binary(max_size=12)
    if kind == KIND_PAIR:
        return st.lists(st.tuples(strings(), strings()), min_size=1, max_size=4).map(tuple)
    if kind == KIND_FLAG:
        return st.booleans()
    if kind == KIND_BIT:
        return st.integers(0, 1)
    if kind == KIND_UINT16:
        return st.integers(lowest, 65_535)
    if kind == KIND_UINT32:
        return st.integers(lowest, 4_294_967_295)
    return st.lists(st.integers(1, VARINT_MAX), min_size=1, max_size=3 if packet == PUBLISH else 1).map(tuple)


@st.composite
def properties(draw: st.DrawFn, packet: int) -> Properties:
    """Properties that a packet may have.

    Args:
        draw: given by Hypothesis.
        packet: packet type 1 to 15, or `WILL`; PINGREQ and PINGRESP have none.
    """
    allowed = [identifier for identifier in range(256) if PACKETS_OF[identifier] >> packet & 1]
    if not allowed:
        return NO_PROPERTIES
    chosen = set(draw(st.lists(st.sampled_from(allowed), unique=True, max_size=6)))
    if AUTHENTICATION_DATA in chosen:
        chosen.add(AUTHENTICATION_METHOD)
    fields: Any = {NAME_OF[number]: draw(_property_values(number, packet)) for number in sorted(chosen)}
    return Properties(**fields)


def _properties(version: int, packet: int) -> st.SearchStrategy[Properties]:
    return properties(packet) if version == V5 else st.just(NO_PROPERTIES)


def wills(version: int) -> st.SearchStrategy[Will]:
    """Wills of one version."""
    return st.builds(
        Will, topics(), st.binary(max_size=30), st.integers(0, 2), st.booleans(), _properties(version, WILL)
    )


@st.composite
def _connects(draw: st.DrawFn, version: int) -> ConnectPacket:
    username = draw(st.none() | strings())
    with_password = draw(st.booleans()) and (version == V5 or username is not None)
    return ConnectPacket(
        draw(strings()),
        version=version,
        clean_start=draw(st.booleans()),
        keep_alive_s=draw(st.integers(0, 65_535)),
        username=username,
        password=draw(st.binary(max_size=12)) if with_password else None,
        will=draw(st.none() | wills(version)),
        properties=draw(_properties(version, CONNECT)),
    )


@st.composite
def _connacks(draw: st.DrawFn, version: int) -> ConnackPacket:
    code = draw(_codes(version, CONNACK))
    return ConnackPacket(code, code == 0 and draw(st.booleans()), draw(_properties(version, CONNACK)))


@st.composite
def _publishes(draw: st.DrawFn, version: int) -> PublishPacket:
    qos = draw(st.integers(0, 2))
    section = draw(_properties(version, PUBLISH))
    topic = "" if section.topic_alias is not None and draw(st.booleans()) else draw(topics())
    return PublishPacket(
        topic,
        draw(st.binary(max_size=200)),
        qos,
        draw(st.booleans()),
        qos > 0 and draw(st.booleans()),
        draw(packet_ids()) if qos else 0,
        section,
    )


@st.composite
def _auths(draw: st.DrawFn) -> AuthPacket:
    section = draw(properties(AUTH))
    code = draw(_codes(V5, AUTH))
    if section.authentication_method is None and (code or section):
        section = section.replace(authentication_method=draw(strings()))
    return AuthPacket(code, section)


def _codes(version: int, packet: int) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted(REASON_CODES[packet] if version == V5 else RETURN_CODES[packet]))


def _acks(kind: type[AckPacket], version: int) -> st.SearchStrategy[AckPacket]:
    number = kind.packet_type
    if version == V5:
        return st.builds(kind, packet_ids(), _codes(version, number), properties(number))
    return st.builds(kind, packet_ids())


@st.composite
def subscribe_filters(draw: st.DrawFn, version: int) -> SubscribeFilter:
    """A topic filter with subscription options of one version."""
    topic_filter = draw(filters(shared=True))
    if version != V5:
        return SubscribeFilter(topic_filter, draw(st.integers(0, 2)))
    return SubscribeFilter(
        topic_filter,
        draw(st.integers(0, 2)),
        not topic_filter.startswith("$share/") and draw(st.booleans()),
        draw(st.booleans()),
        draw(st.integers(0, 2)),
    )


def _by_type(version: int) -> dict[type[Any], st.SearchStrategy[Any]]:
    """Valid packets of one version, by their class; the one that is the simplest to look at first."""
    acks = (PubackPacket, PubrecPacket, PubrelPacket, PubcompPacket)
    wanted = st.lists(subscribe_filters(version), min_size=1, max_size=4)
    granted = st.lists(_codes(version, SUBACK), min_size=1, max_size=4)
    names = st.lists(filters(shared=True), min_size=1, max_size=4)
    kinds: dict[type[Any], st.SearchStrategy[Any]] = {
        PublishPacket: _publishes(version),
        PingreqPacket: st.just(PingreqPacket()),
        PingrespPacket: st.just(PingrespPacket()),
        **{kind: _acks(kind, version) for kind in acks},
        ConnectPacket: _connects(version),
        ConnackPacket: _connacks(version),
        SubscribePacket: st.builds(SubscribePacket, packet_ids(), wanted, _properties(version, SUBSCRIBE)),
        SubackPacket: st.builds(SubackPacket, packet_ids(), granted, _properties(version, SUBACK)),
        UnsubscribePacket: st.builds(UnsubscribePacket, packet_ids(), names, _properties(version, UNSUBSCRIBE)),
    }
    if version != V5:
        kinds[UnsubackPacket] = st.builds(UnsubackPacket, packet_ids(), st.just([]))
        kinds[DisconnectPacket] = st.builds(DisconnectPacket)
        return kinds
    codes = st.lists(_codes(version, UNSUBACK), min_size=1, max_size=4)
    kinds[UnsubackPacket] = st.builds(UnsubackPacket, packet_ids(), codes, properties(UNSUBACK))
    kinds[DisconnectPacket] = st.builds(DisconnectPacket, _codes(version, DISCONNECT), properties(DISCONNECT))
    kinds[AuthPacket] = _auths()
    return kinds


def packets(version: int) -> st.SearchStrategy[Packet]:
    """Valid packets of every type of one version.

    Args:
        version: 4 for 3.1.1 or 5 for 5.0.
    """
    return st.one_of(list(_by_type(version).values()))


@st.composite
def malformed_packets(draw: st.DrawFn, version: int) -> bytes:
    """Bytes that are nearly a packet: a valid one with bytes changed, cut out, doubled or put in.

    The remaining length is made right again in half of the cases. Now and then the result is still valid.
    """
    data = bytearray(encode(draw(packets(version)), version))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        stop = min(len(data), start + draw(st.integers(0, 3)))
        data[start:stop] = draw(st.binary(max_size=3) | st.just(bytes(data[start:stop]) * 2))
    if len(data) >= 2 and draw(st.booleans()):
        body = 2 if len(data) < 130 else 3
        data[1:body] = encode_varint(len(data) - body)
    return bytes(data)


@st.composite
def chunkings(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes as a stream might bring them: cut anywhere, empty chunks included."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = [0, *cuts, len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


# So that `st.from_type(PublishPacket)` and the like work; without a version at hand they are packets of 5.0.
st.register_type_strategy(Packet, packets(V5))
for _kind, _strategy in _by_type(V5).items():
    st.register_type_strategy(_kind, _strategy)
st.register_type_strategy(Will, wills(V5))
st.register_type_strategy(SubscribeFilter, subscribe_filters(V5))
st.register_type_strategy(Properties, properties(PUBLISH))

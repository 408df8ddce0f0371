"""Words the message tests share: clients whose sessions last, and what matters of a packet."""

from __future__ import annotations

import pytest

from mqtt_core.codec import PublishPacket, SubscribeFilter

LASTING_S = 3600

BOTH = pytest.mark.parametrize("pv, sv", [(4, 4), (4, 5), (5, 4), (5, 5)], ids=["4to4", "4to5", "5to4", "5to5"])
"""Versions of publisher and subscriber."""


def lasting(world, client_id, version=5, *filters, **fields):
    """A client whose session outlives its connections, new or resumed; subscribed to filters at QoS 2."""
    if version == 5:
        fields.setdefault("session_expiry_interval", LASTING_S)
    return fleeting(world, client_id, version, *filters, clean=False, **fields)


def fleeting(world, client_id, version=5, *filters, frozen=False, **fields):
    """A client whose session ends with its connection; subscribed to filters at QoS 2, then frozen if it is to be."""
    client = world.connect(client_id, version=version, **fields)
    if filters:
        subscribe(client, *filters)
    client.frozen = frozen
    return client


def subscribe(client, *filters, **fields):
    """Subscribe and insist that it is granted."""
    codes = client.subscribe(*filters, **fields)
    assert all(code < 0x80 for code in codes), codes


def at(topic_filter, qos, **options):
    """A filter with its QoS and options."""
    return SubscribeFilter(topic_filter, qos, **options)


def pub(payload=b"x", qos=0, packet_id=0, topic="t", **fields):
    """A PUBLISH; its identifier defaults to 1, and with QoS 0 it has none."""
    return PublishPacket(topic, payload, qos, packet_id=(packet_id or 1) if qos else 0, **fields)


def seen(packets):
    """Of each PUBLISH what does not depend on the broker's choice: payload, QoS, RETAIN, DUP."""
    return [(p.payload, p.qos, p.retain, p.dup) for p in packets]


def payloads(packets):
    """Of each PUBLISH its payload."""
    return [p.payload for p in packets]


def ids(packets):
    """Of each packet its identifier."""
    return [p.packet_id for p in packets]

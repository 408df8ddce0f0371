"""Through a network that cuts, stalls and re-chunks: nothing is lost, QoS 2 comes once, order holds per topic."""

from __future__ import annotations

import pytest

from mqtt_core.client import Disconnected
from tests.adapters.client.kit import Proxy, contract, take

COUNT = 2000
QUICK = {"reconnect_min_s": 0.01, "reconnect_max_s": 0.05, "clean_start": False}


def in_order(payloads):
    """Each number's first appearance is in order."""
    seen = list(dict.fromkeys(int(p) for p in payloads))
    return seen == list(range(COUNT))


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
@contract
async def test_everything_arrives(style, server, version, qos):
    if style.name == "pump":
        return  # a program that pumps two clients in turn is not what this is about
    if server.name == "mosquitto" and style.name in {"anyio", "trio"}:
        return  # the network is what this is about, and takes its time
    root = f"faults/{style.name}/{server.name}/{version}/{qos}"
    session = {"session_expiry_s": 600} if version == 5 else {}
    events = []
    with Proxy(server.port, seed=version * 10 + qos, cuts=12) as proxy:
        async with (
            style.client("127.0.0.1", proxy.port, client_id=f"{root}/s", version=version, **QUICK, **session) as sub,
            style.client("127.0.0.1", proxy.port, client_id=f"{root}/p", version=version, **QUICK, **session) as pub,
        ):
            pub.on_event(events.append)
            await sub.subscribe(f"{root}/#", qos)
            await publish_all(style, pub, f"{root}/t", qos)
            payloads = [m.payload for m in await take(sub.messages, COUNT)]
            while len(set(payloads)) < COUNT:
                payloads += [m.payload for m in await take(sub.messages, 1)]
            await sub.unsubscribe(f"{root}/#")
    assert proxy.connections > 6
    assert any(isinstance(e, Disconnected) for e in events)
    assert in_order(payloads)
    if qos == 2:
        assert len(payloads) == COUNT


async def publish_all(style, client, topic, qos):
    """Publish all numbers, many at a time."""
    waiting = [client.publish_nowait(topic, b"%d" % n, qos=qos) for n in range(COUNT)]
    for one in waiting:
        if style.name == "asyncio":
            result = await one
        elif style.name == "blocking":
            result = one.result(60)
        else:
            result = await one.wait()
        assert result.reason_code < 0x80

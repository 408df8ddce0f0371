"""The scenarios, named as everywhere in this project: letter for the shape, digit for the quality of service.

A spec is what load.py takes, without port and process. `target` is what the compiled and the interpreted build aim at:
CPU per delivered message as a ratio to mosquitto of the same run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Scenario:
    """about: for the reader of the table. fresh: every run gets a broker of its own. only: kinds of broker it is for.

    pure, compiled: the targets, None where there is none. shared: the bulk path has to serve 99 % of its frames.
    """

    name: str
    about: str
    spec: dict[str, Any] = field(default_factory=dict)
    pure: float | None = None
    compiled: float | None = None
    fresh: bool = False
    ceiling: bool = False
    in_short: bool = False
    only: tuple[str, ...] = ()


def one(qos=0, ahead=1000, **more):
    return {"publishers": 1, "subscribers": 1, "qos": qos, "ahead": ahead, **more}


def ten(qos=0, ahead=200, **more):
    return {"publishers": 10, "subscribers": 10, "qos": qos, "ahead": ahead, **more}


def fan_out(qos):
    return {"publishers": 1, "subscribers": 100, "qos": qos, "ahead": 50, "shared_topic": True}


def fan_in(qos):
    return {"publishers": 100, "subscribers": 1, "qos": qos, "ahead": 50, "window": 20, "shared_topic": True}


OURS = ("pure", "compiled")
LOOPS = ("mosquitto", "pure", "compiled", "pure-uvloop", "compiled-uvloop")

TRAFFIC = [
    Scenario("a0", "1 to 1, QoS 0", one(), 0.08, 0.02, ceiling=True, in_short=True),
    Scenario("a0v5", "the same, MQTT 5.0", one(version=5), 0.08, 0.02),
    Scenario("a1", "1 to 1, QoS 1", one(1), 0.17, 0.05, ceiling=True, in_short=True),
    Scenario("b0", "10 to 10, QoS 0", ten(), 0.08, 0.02, ceiling=True, in_short=True),
    Scenario("b1", "10 to 10, QoS 1", ten(1), 0.10, 0.05, ceiling=True, in_short=True),
    Scenario("b1v5", "the same, MQTT 5.0", ten(1, version=5), 0.10, 0.05),
    Scenario("b2", "10 to 10, QoS 2", ten(2), 0.12, 0.06, ceiling=True, in_short=True),
    Scenario("c0", "1 to 100, QoS 0", fan_out(0), 0.05, 0.04, ceiling=True, in_short=True),
    Scenario("c1", "1 to 100, QoS 1", fan_out(1), 0.12, 0.07, in_short=True),
    Scenario("d0", "100 to 1, QoS 0", fan_in(0), 0.12, 0.04, ceiling=True, in_short=True),
    Scenario("d1", "100 to 1, QoS 1", fan_in(1), 0.20, 0.09, in_short=True),
    Scenario("e1k", "1 to 1, QoS 0, 1 KiB", one(ahead=500, size=1024), 0.12, 0.05, ceiling=True, in_short=True),
    Scenario("e64k", "1 to 1, QoS 0, 64 KiB", one(ahead=20, size=65536), 1.3, 1.0, ceiling=True),
    Scenario("f10k", "a0 beside 10,000 other filters", one(extra=10_000), 0.08, 0.02, fresh=True),
    Scenario("f100k", "a0 beside 100,000 other filters", one(extra=100_000), 0.08, 0.02, fresh=True),
    Scenario("f100kt", "the same, 5,000 topics in turn", one(extra=100_000, topics=5000), 0.20, 0.04, fresh=True),
    Scenario("k0", "b0 beside 1,000 (un)subscriptions a second", ten(churn=1000), None, None),
]

LATENCY = [
    Scenario("i0", "10 to 10, 1,000 messages a second, QoS 0", ten(rate=100), 1.8, 1.8, in_short=True, only=LOOPS),
    Scenario("i1", "10 to 10, 1,000 messages a second, QoS 1", ten(1, rate=100), 2.0, 2.0, only=LOOPS),
]

CONNECTIONS = [
    Scenario("g", "3,000 clients connect", {"mode": "storm", "clients": 3000}, 3.0, 2.4, True, only=LOOPS),
    Scenario("h1k", "1,000 idle connections", {"mode": "storm", "clients": 1000}, None, None, True, in_short=True),
    Scenario("h5k", "5,000 idle connections", {"mode": "storm", "clients": 5000}, None, None, True),
]

KEPT = [
    Scenario("r10k", "10,000 retained messages", {"mode": "retained", "messages": 10_000}, 0.25, 0.1, True),
    Scenario("o10k", "10,000 for a client that is away", {"mode": "offline", "messages": 10_000}, 0.25, 0.1, True),
]

DURABLE = [
    Scenario("b1d", "10 to 10, QoS 1, on disk before the acknowledgement", ten(1, persistent=True), None, None,
             only=("mosquitto", "pure-durable", "compiled-durable")),
]  # fmt: skip

GROUPS = {
    "traffic": TRAFFIC,
    "latency": LATENCY,
    "connections": CONNECTIONS,
    "kept": KEPT,
    "durable": DURABLE,
}
ALL = [scenario for group in GROUPS.values() for scenario in group]

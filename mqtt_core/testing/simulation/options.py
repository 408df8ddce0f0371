"""What a seed decides: every option of a world, drawn once, printed first.

Law: options are drawn in the order of the fields and from nothing but the seed, then never looked up elsewhere; a world
with the same options does the same steps. Swarm testing: many worlds leave whole kinds of faults and features out, so
that those that are in come together in ever other ways.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import inf
from random import Random
from typing import Final

__all__ = ["Options", "draw", "parse_change"]

STORAGES: Final = ("none", "rows", "log")
CHANCES: Final = {
    "share_v5",
    "share_persistent",
    "share_stored",
    "share_manual",
    "share_sleepy",
    "chunk_chance",
    "qos0",
    "qos2",
    "retain",
    "expiry",
    "properties",
    "wills",
    "shared",
}


@dataclass(frozen=True)
class Options:
    """One world. Times in virtual seconds, rates in events per virtual second, shares and chances from 0 to 1.

    storage: none, rows (verbs on dictionaries) or log (batches replayed at boot). commit_s: how long a commit takes.
    steps: length of the safety phase. Limits carry the names they have in `BrokerConfig` and `ClientConfig`; 0 leaves
    the default.

    Raises:
        ValueError: there is no such storage, or a number is out of its range.
    """

    seed: int = 0
    steps: int = 4000
    clients: int = 6
    hostile: int = 0
    topics: int = 6
    share_v5: float = 0.5
    share_persistent: float = 0.7
    share_stored: float = 0.3
    share_manual: float = 0.2
    share_sleepy: float = 0.2
    storage: str = "rows"
    commit_s: float = 0.005
    tick_s: float = 0.0
    delay_from: float = 0.001
    delay_to: float = 0.01
    chunk_chance: float = 0.1
    buffer_bytes: int = 65536
    pause_s: float = 0.2
    burst: int = 3
    payload_max: int = 40
    qos0: float = 0.2
    qos2: float = 0.4
    retain: float = 0.1
    expiry: float = 0.0
    properties: float = 0.0
    wills: float = 0.0
    shared: float = 0.0
    bulk: bool = True
    keep_alive_s: int = 30
    session_expiry_s: int = 3600
    reset_rate: float = 0.0
    stall_rate: float = 0.0
    half_open_rate: float = 0.0
    partition_rate: float = 0.0
    clog_rate: float = 0.0
    broker_crash_rate: float = 0.0
    client_crash_rate: float = 0.0
    storage_fault_rate: float = 0.0
    takeover_rate: float = 0.0
    receive_maximum: int = 0
    inflight_max: int = 0
    queue_messages_max: int = 0
    outbox_bytes_max: int = 0
    topic_alias_maximum: int = 0
    max_packet_size: int = 0
    client_receive_maximum: int = 0
    client_packet_size: int = 0
    client_inbound_max: int = 0

    def __post_init__(self) -> None:
        if self.storage not in STORAGES:
            raise ValueError(f"storage is one of {', '.join(STORAGES)}, not {self.storage!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                continue
            lowest = 1 if field.name in {"clients", "topics", "buffer_bytes"} else 0
            highest = 1.0 if field.name in CHANCES else inf
            if not lowest <= value <= highest:
                raise ValueError(f"{field.name} is {lowest} to {highest:g}, not {value}")

    def __str__(self) -> str:
        plain = Options()
        said = [
            f"{f.name}={getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) != getattr(plain, f.name)
        ]
        return " ".join(said)


def _some(rng: Random, chance: float, low: float, high: float) -> float:
    """A value within a range, or 0 as often as the chance leaves."""
    value = round(low + (high - low) * rng.random(), 3)
    return value if rng.random() < chance else 0.0


def _small(rng: Random, chance: float, choices: tuple[int, ...]) -> int:
    value = choices[int(rng.random() * len(choices))]
    return value if rng.random() < chance else 0


def draw(seed: int) -> Options:
    """The options of a seed."""
    rng = Random(f"options/{seed}")  # a string: the same stream on every version of Python
    pick = rng.random
    storage = ("rows", "log", "log", "none")[int(pick() * 4)]
    faults = 1.0 if pick() < 0.9 else 0.0
    return Options(
        seed=seed,
        steps=(1500, 3000, 6000)[int(pick() * 3)],
        clients=(2, 3, 4, 6, 8, 12, 25)[int(pick() * 7)],
        hostile=_small(rng, 0.3, (1, 2)),
        topics=(1, 2, 4, 8, 16)[int(pick() * 5)],
        share_v5=(0.0, 0.5, 0.5, 1.0)[int(pick() * 4)],
        share_persistent=(0.3, 0.8, 1.0)[int(pick() * 3)],
        share_stored=(0.0, 0.4, 1.0)[int(pick() * 3)],
        share_manual=_some(rng, 0.4, 0.1, 0.6),
        share_sleepy=_some(rng, 0.5, 0.1, 0.6),
        storage=storage,
        commit_s=(0.0, 0.001, 0.02, 0.2)[int(pick() * 4)],
        tick_s=(0.0, 0.0, 0.0002, 0.005)[int(pick() * 4)],
        delay_from=0.0005,
        delay_to=(0.001, 0.02, 0.2)[int(pick() * 3)],
        chunk_chance=(0.0, 0.1, 0.5)[int(pick() * 3)],
        buffer_bytes=(65536, 65536, 1000, 100)[int(pick() * 4)],
        pause_s=(0.02, 0.2, 1.0)[int(pick() * 3)],
        burst=(1, 3, 10)[int(pick() * 3)],
        payload_max=(20, 60, 400)[int(pick() * 3)],
        qos0=_some(rng, 0.7, 0.05, 0.4),
        qos2=_some(rng, 0.8, 0.1, 0.8),
        retain=_some(rng, 0.5, 0.05, 0.5),
        expiry=_some(rng, 0.3, 0.1, 0.6),
        properties=_some(rng, 0.4, 0.1, 0.6),
        wills=_some(rng, 0.4, 0.2, 1.0),
        shared=_some(rng, 0.35, 0.2, 0.8),
        bulk=pick() < 0.75,
        keep_alive_s=(5, 30, 0)[int(pick() * 3)],
        session_expiry_s=(20, 3600, 0xFFFFFFFF)[int(pick() * 3)],
        reset_rate=_some(rng, 0.5 * faults, 0.02, 1.0),
        stall_rate=_some(rng, 0.3 * faults, 0.02, 0.5),
        half_open_rate=_some(rng, 0.3 * faults, 0.02, 0.3),
        partition_rate=_some(rng, 0.2 * faults, 0.01, 0.1),
        clog_rate=_some(rng, 0.2 * faults, 0.05, 0.5),
        broker_crash_rate=_some(rng, 0.5 * faults, 0.02, 0.4),
        client_crash_rate=_some(rng, 0.4 * faults, 0.02, 0.5),
        storage_fault_rate=_some(rng, 0.2 * faults, 0.01, 0.1),
        takeover_rate=_some(rng, 0.3 * faults, 0.02, 0.5),
        receive_maximum=_small(rng, 0.3, (1, 2, 5, 20)),
        inflight_max=_small(rng, 0.3, (1, 2, 5, 20)),
        queue_messages_max=_small(rng, 0.2, (1, 5, 30)),
        outbox_bytes_max=_small(rng, 0.2, (200, 2000)),
        topic_alias_maximum=_small(rng, 0.5, (1, 2, 5)),
        max_packet_size=_small(rng, 0.1, (300, 600)),
        client_receive_maximum=_small(rng, 0.4, (1, 2, 5, 20)),
        client_packet_size=_small(rng, 0.15, (100, 300)),
        client_inbound_max=_small(rng, 0.2, (1, 3, 10)),
    )


def parse_change(options: Options, text: str) -> Options:
    """Options with one field changed, as `name=value` says. Raises ValueError for a name or value that is none."""
    name, _, value = text.partition("=")
    for field in fields(Options):
        if field.name == name:
            now = getattr(options, name)
            new: object = value
            if isinstance(now, bool):
                new = {"True": True, "False": False}[value] if value in {"True", "False"} else bool(int(value))
            elif not isinstance(now, str):
                new = type(now)(value)
            return replace(options, **{name: new})  # type: ignore[arg-type]  # `new` is of the type of `now`
    raise ValueError(f"no option {name!r}")

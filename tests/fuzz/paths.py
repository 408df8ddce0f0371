"""Bulk path against object path: two brokers, equal but for `bulk_path`, and the peers of tests/broker/test_bulk.py.

That test draws actions from seeds; here the fuzzer chooses them, so that it can work its way into the branches of the
bulk path. Every pull compares the bytes, every step the state of the sessions and the counters.
"""

from __future__ import annotations

from random import Random

from tests.broker.test_bulk import Peer, Twins, settle, step
from tests.fuzz.choices import Choices, ChosenRandom

STEPS_MAX = 200


def run(data: bytes) -> None:
    choices = Choices(data)
    rng = ChosenRandom(choices)
    twins = Twins(rng, stored=choices.byte() & 1 == 1)
    peers = [Peer(rng, twins, f"c{i}") for i in range(rng.randint(2, 4))]
    twins.commit()
    for _ in range(STEPS_MAX):
        if not choices.more():
            break
        step(rng, twins, peers)
    settle(twins, peers)


def seeds() -> list[bytes]:
    """Bytes of chance."""
    rng = Random(3)
    return [rng.randbytes(size) for size in (100, 300, 1000) for _ in range(8)]

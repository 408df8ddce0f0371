"""Inputs without a fuzzer: seeds, mutated and spliced at random, and bytes of chance.

Law: the same number, the same input, on every machine. It is blind where atheris is guided by coverage, and serves the
short form of the targets among the tests, and machines that have no atheris.
"""

from __future__ import annotations

from random import Random

INTERESTING = (0, 1, 2, 4, 5, 127, 128, 255)


def mutated(rng: Random, data: bytes) -> bytes:
    """A few bytes changed, put in or taken out."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            changed[at:at] = rng.randbytes(rng.choice([1, 2, 8]))
        elif kind == 1:
            del changed[at : at + rng.choice([1, 2, 8])]
        elif at < len(changed):
            changed[at] = rng.choice(INTERESTING) if kind == 2 else rng.randrange(256)
    return bytes(changed)


def make_input(number: int, seeds: list[bytes], size_max: int) -> bytes:
    """The input of a number: the seeds first, then what can be made of them."""
    if number < len(seeds):
        return seeds[number]
    rng = Random(number)
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(size_max))
    data = rng.choice(seeds)
    if kind == 1:
        data += rng.choice(seeds)
    return mutated(rng, data)[:size_max]

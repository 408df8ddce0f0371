"""What a few worlds do, step by step, as numbers: the same on every machine, every Python and either build.

    python -m tests.simulation.digests        # after a change of behaviour: write them anew, and look why they changed

Law: a digest covers every byte on every link and its virtual time, so any change of what the core says, of when it
says it or of the simulator itself shows here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mqtt_core.testing.simulation import Options, draw
from mqtt_core.testing.simulation.command import digest_of

PATH = Path(__file__).with_suffix(".txt")
SEEDS = (5, 23, 42, 77)
STEPS = 600


def world(seed: int) -> Options:
    """A small world of a seed."""
    options = draw(seed)
    return replace(options, steps=STEPS, clients=min(options.clients, 5))


def committed() -> dict[int, str]:
    """Seed -> digest, as it should be."""
    rows = (line.split() for line in PATH.read_text(encoding="utf-8").splitlines() if line)
    return {int(seed): digest for seed, digest in rows}


def main() -> None:
    """Write them."""
    PATH.write_text("".join(f"{seed} {digest_of(world(seed))}\n" for seed in SEEDS), encoding="utf-8")


if __name__ == "__main__":
    main()

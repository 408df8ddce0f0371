"""The command: run seeds, show progress and coverage, and for a failure the seed, the options and the last steps.

python -m mqtt_core.testing.simulation --seeds 1000
python -m mqtt_core.testing.simulation --seed 17 --trace
python -m mqtt_core.testing.simulation --seed 17 --shrink
python -m mqtt_core.testing.simulation --seed 17 --set clients=2 --set reset_rate=0
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter

from mqtt_core.testing.simulation.options import Options, draw, parse_change
from mqtt_core.testing.simulation.schedule import Transcript
from mqtt_core.testing.simulation.shrink import shrink
from mqtt_core.testing.simulation.world import World

__all__ = ["main", "run_one"]

SITUATIONS = (
    "broker crash",
    "broker pauses reading",
    "client crash",
    "client crash with a store",
    "client pauses reading",
    "client storage failure",
    "clog",
    "connection replaced",
    "delivered qos 0",
    "delivered qos 1",
    "delivered qos 2",
    "half-open at the broker",
    "half-open at the client",
    "hostile",
    "no matching subscribers",
    "nothing left",
    "outbound alias",
    "owed to a shared subscription",
    "partition",
    "published again",
    "publisher lost its session",
    "queue overflow",
    "resent",
    "reset",
    "retained checked",
    "retained replay",
    "roll call",
    "sent with expiry",
    "session discarded",
    "session new",
    "session present",
    "stall",
    "storage failure",
    "taken over",
    "too large for a client",
    "will due",
    "will void by return",
)
"""What a set of seeds ought to bring about; the table shows what it did not."""


def run_one(options: Options, transcript: Transcript) -> tuple[World | None, str]:
    """Run one world; returns it, and what went wrong ("" for nothing)."""
    world = None
    try:
        world = World(options, transcript)
        world.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed is what the reader needs
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if type(error).__name__ == "Violation" else f" at {where.filename}:{where.lineno}"
        return world, f"{type(error).__name__}: {error}{place}"
    return world, ""


def _report(options: Options, transcript: Transcript, fault: str) -> None:
    print(f"\nseed {options.seed} FAILS: {fault}")
    print(f"options: {options}")
    print("last steps:")
    for line in transcript.lines(50):
        print(line)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mqtt_core.testing.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run (default 100)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--seed", type=int, help="run this one seed")
    parser.add_argument("--trace", action="store_true", help="print every step")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change an option of the seeds"
    )
    parser.add_argument("--shrink", action="store_true", help="make the world of a failure as small as possible")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failure")
    asked = parser.parse_args(arguments)
    seeds = [asked.seed] if asked.seed is not None else list(range(asked.first, asked.first + asked.seeds))
    counts: Counter[str] = Counter()
    failures: list[tuple[int, str]] = []
    steps = 0
    started = time.perf_counter()
    for done, seed in enumerate(seeds, 1):
        options = draw(seed)
        for change in asked.set:
            options = parse_change(options, change)
        if asked.seed is not None:
            print(options)
        transcript = Transcript(50, print if asked.trace else None)
        world, fault = run_one(options, transcript)
        if world is not None:
            steps += world.schedule.steps
            counts += world.oracle.counts
        if fault:
            failures.append((seed, fault))
            if asked.keep_going:
                print(f"\nseed {seed}: {fault}")
            else:
                if asked.shrink:
                    options, fault = shrink(options, fault, lambda smaller: run_one(smaller, Transcript(50))[1])
                    transcript = Transcript(50)
                    run_one(options, transcript)
                _report(options, transcript, fault)
                break
        _progress(done, len(seeds), steps, time.perf_counter() - started)
    spent = time.perf_counter() - started
    print(f"\n{steps} steps in {spent:.1f} s, {steps / spent:.0f} a second; {len(failures)} of {len(seeds)} seeds fail")
    for name in sorted({**counts, **dict.fromkeys(SITUATIONS)}):
        print(f"  {counts[name]:>10}  {name}{'' if counts[name] else '  <- never'}")
    return 1 if failures else 0


def _progress(done: int, total: int, steps: int, spent: float) -> None:
    if sys.stderr.isatty() or done % 50 == 0:
        print(f"\r{done}/{total} seeds, {steps} steps, {steps / spent:.0f} a second", end="", file=sys.stderr)

"""The command: run seeds, show progress and coverage, and for a failure the seed, the options and the last steps.

    python -m mqtt_core.testing.simulation --seeds 1000              the seeds 1 to 1000
    python -m mqtt_core.testing.simulation --seeds 200 --fresh 50 --jobs 2
    python -m mqtt_core.testing.simulation --seed 17 --trace         one seed, every step
    python -m mqtt_core.testing.simulation --seed 17 --shrink        its smallest world that fails in the same way
    python -m mqtt_core.testing.simulation --seed 17 --set clients=2 --set reset_rate=0

A seed takes the same steps on every machine and on either build of the core; its digest tells (--digest).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from multiprocessing import get_context
from random import SystemRandom

from mqtt_core.testing.simulation.options import Options, draw, parse_change
from mqtt_core.testing.simulation.schedule import Transcript
from mqtt_core.testing.simulation.shrinking import shrink
from mqtt_core.testing.simulation.world import World

__all__ = ["digest_of", "main", "run_one"]

STEPS_SHOWN = 50

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
    "retained asked for",
    "retained replay",
    "roll call",
    "sent with expiry",
    "session discarded",
    "session new",
    "session present",
    "stall",
    "storage failure",
    "subscription identifiers",
    "taken over",
    "too large for a client",
    "will due",
    "will void by return",
)
"""What a set of seeds ought to bring about; the table shows what it did not."""


class Outcome:
    """What a run leaves to the table: picklable, since another process may have done it."""

    def __init__(self, options: Options, steps: int, counts: Counter[str], fault: str) -> None:
        self.options = options
        self.steps = steps
        self.counts = counts
        self.fault = fault


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


def digest_of(options: Options) -> str:
    """A number for everything that happens in a world, step by step: 16 hexadecimal digits."""
    running = hashlib.sha256()
    run_one(options, Transcript(0, lambda line: running.update(line.encode() + b"\n")))
    return running.hexdigest()[:16]


def _outcome(options: Options) -> Outcome:
    world, fault = run_one(options, Transcript(0))
    if world is None:
        return Outcome(options, 0, Counter(), fault)
    return Outcome(options, world.schedule.steps, world.oracle.counts, fault)


@contextmanager
def _outcomes(worlds: list[Options], jobs: int) -> Iterator[Iterator[Outcome]]:
    """Run them all, in this process or in several; what comes out is in their order."""
    if jobs <= 1:
        yield map(_outcome, worlds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield pool.imap(_outcome, worlds)


def _command(options: Options) -> str:
    """The command line that makes this world."""
    drawn = draw(options.seed)
    words = ["python -m mqtt_core.testing.simulation", f"--seed {options.seed}"]
    for field in fields(Options):
        value = getattr(options, field.name)
        if value != getattr(drawn, field.name):
            words.append(f"--set {field.name}={value}")
    return " ".join(words)


def _report(options: Options, fault: str, *, shrunk: bool) -> None:
    """Run a failing world again, for its last steps."""
    transcript = Transcript(STEPS_SHOWN)
    run_one(options, transcript)
    print(f"\nseed {options.seed} FAILS: {fault}")
    print(f"options: {options}")
    print(f"last {STEPS_SHOWN} steps:")
    for line in transcript.lines(STEPS_SHOWN):
        print(line)
    print(f"every step:       {_command(options)} --trace")
    if not shrunk:
        print(f"a smaller world:  {_command(options)} --shrink")


def _arguments(arguments: list[str] | None) -> tuple[argparse.Namespace, list[Options]]:
    """What was asked for, and the worlds that makes."""
    parser = argparse.ArgumentParser(
        prog="python -m mqtt_core.testing.simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, help="how many seeds to run (default 100)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--fresh", type=int, default=0, help="run so many seeds nobody has chosen, too")
    parser.add_argument("--seed", type=int, help="run this one seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes to run them in (default 1)")
    parser.add_argument("--trace", action="store_true", help="print every step (in one process)")
    parser.add_argument("--digest", action="store_true", help="print a number for all the steps of each seed, no more")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change an option of the seeds"
    )
    parser.add_argument("--shrink", action="store_true", help="make the world of a failure as small as possible")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failure")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        seeds = [asked.seed]
    else:
        count = asked.seeds if asked.seeds is not None else 0 if asked.fresh else 100
        seeds = list(range(asked.first, asked.first + count))
        fresh = SystemRandom()
        seeds += [fresh.randrange(1 << 32) for _ in range(asked.fresh)]
    worlds = [draw(seed) for seed in seeds]
    try:
        for change in asked.set:
            worlds = [parse_change(options, change) for options in worlds]
    except ValueError as error:
        parser.error(str(error))
    return asked, worlds


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit status."""
    asked, worlds = _arguments(arguments)
    if asked.digest:
        for options in worlds:
            print(f"seed {options.seed}: {digest_of(options)}")
        return 0
    if asked.seed is not None:
        print(worlds[0])
    if asked.trace:
        for options in worlds:
            run_one(options, Transcript(0, print))
    counts: Counter[str] = Counter()
    failures = steps = 0
    started = time.perf_counter()
    with _outcomes(worlds, asked.jobs) as outcomes:
        for done, outcome in enumerate(outcomes, 1):
            steps += outcome.steps
            counts += outcome.counts
            if outcome.fault:
                failures += 1
                if not asked.keep_going:
                    break
                print(f"\nseed {outcome.options.seed}: {outcome.fault}")
            _progress(done, len(worlds), steps, time.perf_counter() - started)
    spent = time.perf_counter() - started
    if failures and not asked.keep_going:
        options, fault = outcome.options, outcome.fault
        if asked.shrink:
            options, fault = shrink(options, fault, lambda smaller: run_one(smaller, Transcript(0))[1])
        _report(options, fault, shrunk=asked.shrink)
    print(f"\n{steps} steps in {spent:.1f} s, {steps / spent:.0f} a second; {failures} of {len(worlds)} seeds fail")
    for name in sorted({**counts, **dict.fromkeys(SITUATIONS)}):
        print(f"  {counts[name]:>10}  {name}{'' if counts[name] else '  <- never'}")
    return 1 if failures else 0


def _progress(done: int, total: int, steps: int, spent: float) -> None:
    if sys.stderr.isatty() or done % 50 == 0:
        print(f"\r{done}/{total} seeds, {steps} steps, {steps / spent:.0f} a second", end="", file=sys.stderr)

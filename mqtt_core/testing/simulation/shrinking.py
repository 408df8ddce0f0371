"""Makes a failing world smaller: fewer clients, fewer faults, fewer features, a shorter run.

A change is kept when the smaller world still fails in the same way, which is told by the kind of error and, for a
broken rule, by its words without names and numbers: another failure would be another bug.

Law: only options change; the seed stays, so the result is told by a command line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace

from mqtt_core.testing.simulation.options import Options

__all__ = ["changes", "kind_of", "shrink"]

RUNS_MAX = 400
_VARIABLE = re.compile(r"[A-Za-z$]*/?[a-z]*\d[\w/.]*|\([^)]*\)|\[[^\]]*\]")


def kind_of(fault: str) -> str:
    """What a failure is, without the names and numbers that change from world to world."""
    return _VARIABLE.sub("", fault.split(";", maxsplit=1)[0])[:60]


def changes(options: Options) -> Iterator[Options]:
    """Smaller worlds to try, the greatest steps first."""
    for steps in (options.steps // 4, options.steps // 2, options.steps * 3 // 4, options.steps - 20):
        if 20 <= steps < options.steps:
            yield replace(options, steps=steps)
    for clients in (1, 2, options.clients // 2, options.clients - 1):
        if 1 <= clients < options.clients:
            yield replace(options, clients=clients)
    plain = Options(seed=options.seed)
    for field in fields(Options):
        if field.name in {"seed", "steps", "clients", "storage"}:
            continue
        now, least = getattr(options, field.name), getattr(plain, field.name)
        if field.name.endswith("_rate") or field.name in {"hostile", "chunk_chance", "share_sleepy", "share_manual"}:
            least = type(now)(0)
        if now != least:
            yield replace(options, **{field.name: least})
    if options.topics > 1:
        yield replace(options, topics=1)


def shrink(options: Options, fault: str, run: Callable[[Options], str]) -> tuple[Options, str]:
    """The smallest world found that fails in the same way, and how.

    fault: how `options` fail, in words. run: says what goes wrong with options, "" for nothing.
    """
    kind = kind_of(fault)
    runs = 0
    better = True
    while better:
        better = False
        for smaller in changes(options):
            runs += 1
            if runs > RUNS_MAX:
                return options, fault
            found = run(smaller)
            if found and kind_of(found) == kind:
                options, fault, better = smaller, found, True
                break
    return options, fault

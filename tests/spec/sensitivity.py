"""Would the tests notice? Disables the tagged lines of the core one at a time and runs the tests that cite them.

    python -m tests.spec.sensitivity                            all tagged lines
    python -m tests.spec.sensitivity --only MQTT-3.1.2-24       the lines tagged with one statement
    python -m tests.spec.sensitivity --jobs 2                   two copies at once

Each change is made in a copy of the tree. A statement is *unguarded* at a line when all tests that cite it stay green
whatever is done to that line: such a line, or such a test, does not do what its label says. Statements that are cited
but tagged nowhere, and lines that hold nothing to disable, are listed too. Exit code 1 when anything is unguarded.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.spec.conformance import ROOT, Survey, survey
from tests.spec.mutate import changes
from tests.spec.tables import Key

COPIED = ("mqtt_core", "mqtt_adapters", "tests", "docs", "README.md", "pyproject.toml", "noxfile.py", "hatch_build.py")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "_build", "node_modules", ".hypothesis")
TEST_S = 20  # for one test
RUN_S = 240  # for all tests of one change: a core that hangs is noticed
NEW_TIME = count(2_000_000_000)  # a changed file gets a time of its own, so that no stale bytecode is used


@dataclass
class Line:
    """A line of code with the statements it is tagged with."""

    path: str
    line: int
    keys: list[Key]
    unguarded: list[Key] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def tagged_lines(found: Survey, only: set[str]) -> list[Line]:
    """Lines whose statements are cited by a test, in the order of the source."""
    lines: dict[tuple[str, int], Line] = {}
    for key, tags in found.tags.items():
        if key not in found.cited or (only and key[0] not in only):
            continue
        for tag in tags:
            line = lines.setdefault((tag.path, tag.line), Line(tag.path, tag.line, []))
            line.keys.append(key)
    return [lines[place] for place in sorted(lines)]


class Workspace:
    """A copy of the tree in which one file at a time is changed."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, directory / name, ignore=LEFT_OUT)
            elif source.exists():
                shutil.copy2(source, directory / name)

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.write_text(text, encoding="utf-8")
        stamp = next(NEW_TIME)
        os.utime(target, (stamp, stamp))

    def failing(self, nodeids: list[str], *, first_only: bool) -> set[str] | None:
        """The tests that fail; None when the run did not get that far (the core cannot be imported, or hangs)."""
        arguments, failures = self.root / "arguments.txt", self.root / "failures.json"
        arguments.write_text("\n".join(nodeids), encoding="utf-8")
        failures.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", f"--timeout={TEST_S}"]
        command += [
            "-p",
            "tests.spec.collector",
            f"--failures={failures}",
            *(["-x"] if first_only else []),
            "@arguments.txt",
        ]
        try:
            done = subprocess.run(command, cwd=self.root, capture_output=True, check=False, timeout=RUN_S)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode not in {0, 1} or not failures.exists():
            return None
        return set(json.loads(failures.read_text(encoding="utf-8")))


def examine(line: Line, found: Survey, space: Workspace) -> Line:
    """Try the changes of a line until the tests of each of its statements have noticed one."""
    original = (ROOT / line.path).read_text(encoding="utf-8")
    tests = {key: {t.nodeid for t in found.cited[key]} for key in line.keys}
    unnoticed = dict.fromkeys(line.keys)
    try:
        for what, changed in changes(original, line.line):
            line.tried.append(what)
            space.write(line.path, changed)
            nodeids = list(dict.fromkeys(t.nodeid for key in unnoticed for t in found.cited[key]))
            failed = space.failing(nodeids, first_only=len(unnoticed) == 1)
            for key in list(unnoticed):
                if failed is None or failed & tests[key]:
                    del unnoticed[key]
            if not unnoticed:
                break
    finally:
        space.write(line.path, original)
    line.unguarded = list(unnoticed)
    return line


def run(lines: list[Line], found: Survey, jobs: int) -> Iterator[Line]:
    """Examine all lines with `jobs` copies of the tree."""
    with tempfile.TemporaryDirectory(prefix="sensitivity-") as directory:
        spaces: queue.SimpleQueue[Workspace] = queue.SimpleQueue()
        for number in range(jobs):
            root = Path(directory) / str(number)
            root.mkdir()
            spaces.put(Workspace(root))

        def work(line: Line) -> Line:
            space = spaces.get()
            try:
                return examine(line, found, space)
            finally:
                spaces.put(space)

        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(work, lines)


def main() -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Disable tagged lines one at a time; list statements nobody misses.")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="statement (may be repeated)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="copies worked on at once (default 1)")
    options = parser.parse_args()
    found = survey()
    lines = tagged_lines(found, set(options.only))
    unguarded: list[str] = []
    idle: list[str] = []
    for line in run(lines, found, options.jobs):
        if not line.tried:
            idle.append(str(line))
        missed = [f"{id_} of {version}" for id_, version in line.unguarded]
        unguarded += [f"{statement} at {line} ({', '.join(line.tried)})" for statement in missed]
        verdict = f"UNGUARDED {', '.join(missed)}" if missed else "noticed" if line.tried else "nothing to disable"
        print(f"{line}: {len(line.keys)} statements: {verdict}", flush=True)
    untagged = [] if options.only else [f"{i} of {v}" for i, v in found.cited if (i, v) not in found.tags]
    for title, rows in (
        ("cited, but no line of the core is tagged", untagged),
        ("tagged lines with nothing to disable", idle),
        ("unguarded: all tests that cite it stay green", unguarded),
    ):
        print(f"\n{title}: {len(rows)}", *rows, sep="\n  ")
    return 1 if unguarded or idle else 0


if __name__ == "__main__":
    sys.exit(main())

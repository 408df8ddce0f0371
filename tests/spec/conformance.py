"""Which statement of the standards is implemented where, and which tests would fail without it.

    python -m tests.spec.conformance --summary          how many statements are cited, per version and role
    python -m tests.spec.conformance --missing          the statements that need a test and have none
    python -m tests.spec.conformance --write FILE       the page docs/conformance.md

Nothing here is typed by hand: the statements come from the tables beside this file, the places from the tags in the
core's comments, the tests from the `spec` marks that pytest collects.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.spec.tables import VERSIONS, Key, Statement, read_statements, read_untestable
from tests.spec.tags import Tag, find_tags

ROOT = Path(__file__).parents[2]
ROLES = ("server", "both", "text", "client")


@dataclass(frozen=True)
class Test:
    """One collected test (a row of a parametrized test is a test): `cites` in the order of its marks."""

    nodeid: str
    path: str
    line: int
    cites: tuple[Key, ...]

    @property
    def function(self) -> str:
        """The node id without its parameters."""
        return self.nodeid.partition("[")[0]


@dataclass
class Survey:
    """Everything known about the statements: `faults` are marks and tags that mean nothing."""

    statements: dict[Key, Statement]
    untestable: dict[Key, str]
    tests: list[Test]
    tags: dict[Key, list[Tag]] = field(default_factory=dict)
    cited: dict[Key, list[Test]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def missing(self) -> list[Statement]:
        """Statements that need a test and have none."""
        return [
            s
            for s in self.statements.values()
            if s.required and s.key not in self.cited and s.key not in self.untestable
        ]


def collect_tests(root: Path = ROOT) -> tuple[list[Test], list[str]]:
    """Let pytest collect the suite in a process of its own; return the tests and what was wrong with their marks."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "citations.json"
        options = [
            "-p",
            "tests.spec.collector",
            f"--citations={target}",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
        ]
        command = [sys.executable, "-m", "pytest", *options, "--continue-on-collection-errors", "tests"]
        # A worker of a parallel run must not pass its role on to the process that collects.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environment)
        if not target.exists():
            raise RuntimeError(done.stdout + done.stderr)
        faults = [] if done.returncode == 0 else [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
        rows = json.loads(target.read_text(encoding="utf-8"))
    tests = []
    for row in rows:
        cites: list[Key] = []
        for mark in row["marks"]:
            if mark["version"] not in VERSIONS or mark["extra"] or not mark["ids"]:
                faults.append(f'{row["nodeid"]}: a spec mark needs ids and version="3.1.1" or "5.0"')
                continue
            cites += [(id_, mark["version"]) for id_ in mark["ids"]]
        tests.append(Test(row["nodeid"], row["path"], row["line"], tuple(dict.fromkeys(cites))))
    return tests, faults


@functools.cache
def survey() -> Survey:
    """Read tables, tags and tests once."""
    statements = read_statements()
    tests, faults = collect_tests()
    result = Survey(statements, read_untestable(), tests, faults=faults)
    for test in tests:
        for key in test.cites:
            if key in statements:
                result.cited.setdefault(key, []).append(test)
            else:
                faults.append(f"{test.nodeid} cites {key[0]} of {key[1]}, which no table has")
    for tag in find_tags():
        keys = tag.keys(statements)
        if not keys:
            faults.append(f"{tag.path}:{tag.line} is tagged [{tag.id} {tag.version}], which no table has")
        for key in keys:
            result.tags.setdefault(key, []).append(tag)
    result.faults = list(dict.fromkeys(faults))
    return result


def summary_rows(found: Survey) -> Iterator[tuple[str, str, int, int, int, int]]:
    """Version, role, statements, cited, argued untestable, tagged in the core."""
    for version in VERSIONS:
        for role in ROLES:
            keys = [s.key for s in found.statements.values() if s.version == version and s.actor == role]
            cited = sum(key in found.cited for key in keys)
            argued = sum(key in found.untestable and key not in found.cited for key in keys)
            yield version, role, len(keys), cited, argued, sum(key in found.tags for key in keys)


def summary(found: Survey) -> str:
    """The table of --summary."""
    lines = [f"{'version':8} {'binds':7} {'statements':>10} {'cited':>6} {'argued':>7} {'tagged':>7}"]
    lines += [f"{v:8} {r:7} {n:10} {c:6} {a:7} {t:7}" for v, r, n, c, a, t in summary_rows(found)]
    required = [s for s in found.statements.values() if s.required]
    cited = sum(s.key in found.cited for s in required)
    lines.append(
        f"needed: {len(required)}, cited {cited}, argued {len(found.untestable)}, missing {len(found.missing())}"
    )
    citing = sum(bool(t.cites) for t in found.tests)
    lines.append(f"tests collected: {len(found.tests)}, of which cite a statement: {citing}")
    return "\n".join(lines)


def page(found: Survey) -> str:
    """docs/conformance.md"""
    lines = [
        "# Conformance",
        "",
        "Every numbered statement of OASIS MQTT 3.1.1 and 5.0, and the rules we found there without a number",
        "(`MUST-…`), in our own words; the lines of the core that implement it; the tests that would fail without it.",
        "This page is generated from the tables in `tests/spec`, the tags in the source and the marks of the tests.",
        "`nox -s sensitivity` checks the claim by disabling the tagged lines one at a time.",
        "",
        "| version | binds | statements | cited by a test | argued | tagged in the core |",
        "|---|---|---:|---:|---:|---:|",
    ]
    lines += [f"| {v} | {r} | {n} | {c} | {a} | {t} |" for v, r, n, c, a, t in summary_rows(found)]
    for version in VERSIONS:
        lines += ["", f"## MQTT {version}", ""]
        layers = dict.fromkeys(s.layer for s in found.statements.values())
        for layer in layers:
            rows = [s for s in found.statements.values() if s.version == version and s.layer == layer]
            if not rows:
                continue
            lines += ["", f"### {version}: {layer}", "", "| statement | binds | where | tests |", "|---|---|---|---|"]
            lines += [page_row(found, s) for s in rows]
    return "\n".join(lines) + "\n"


def page_row(found: Survey, statement: Statement) -> str:
    """One statement as a row of the page's table."""
    where = "<br>".join(dict.fromkeys(f"`{t.path}:{t.line}`" for t in found.tags.get(statement.key, ())))
    count: dict[str, int] = {}
    for test in found.cited.get(statement.key, ()):
        count[test.function] = count.get(test.function, 0) + 1
    shown = [f"`{name}`" + (f" ×{n}" if n > 1 else "") for name, n in count.items()]
    tests = "<br>".join(shown) or found.untestable.get(statement.key, "")
    text = statement.text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("$", "\\$")
    return f"| **{statement.id}** {text} | {statement.actor} | {where} | {tests} |"


def main() -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Statements of the standards, where they are kept, what tests them.")
    parser.add_argument("--summary", action="store_true", help="count statements per version and role")
    parser.add_argument("--missing", action="store_true", help="list statements that need a test and have none")
    parser.add_argument("--write", metavar="FILE", type=Path, help="write the page")
    options = parser.parse_args()
    found = survey()
    if options.write:
        options.write.write_text(page(found), encoding="utf-8")
    if options.missing:
        for s in found.missing():
            print(f"{s.version:6} {s.id:18} {s.actor:7} {s.layer:11} {s.text}")
    if options.summary or not (options.write or options.missing):
        print(summary(found))
    for fault in found.faults:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())

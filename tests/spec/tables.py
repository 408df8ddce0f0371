"""The statements of the two standards, as tables to cite from.

`mqtt-3.1.1.tsv` and `mqtt-5.0.tsv` hold the numbered conformance statements in our own words. `unnumbered.tsv` holds
rules that the standards state with MUST or as a Protocol Error without giving them a number; their ids here are
``MUST-<section>-<count>``. `untestable.tsv` names the statements that no test can observe, each with a one-line
argument. The same number often means different things in the two versions, so a statement is always the pair of an id
and a version.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
VERSIONS = ("3.1.1", "5.0")

# Whose statements need a test. A statement that binds only the client is listed, and counted, but not yet demanded.
REQUIRED_ACTORS = ("server", "both", "text")

CITATIONS_MAX = 5  # statements cited by one test
UNTESTABLE_MAX = 25

Key = tuple[str, str]  # (id, version)


@dataclass(frozen=True)
class Statement:
    """One rule of one version: `actor` is who must keep it, `layer` the part of the program where we keep it."""

    id: str
    version: str
    actor: str
    layer: str
    text: str

    @property
    def key(self) -> Key:
        return (self.id, self.version)

    @property
    def required(self) -> bool:
        return self.actor in REQUIRED_ACTORS


def read_rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_statements() -> dict[Key, Statement]:
    """All statements, numbered ones first, in the order of the tables."""
    found: dict[Key, Statement] = {}
    rows = [(row, version) for version in VERSIONS for row in read_rows(f"mqtt-{version}.tsv")]
    rows += [(row, row["version"]) for row in read_rows("unnumbered.tsv")]
    for row, version in rows:
        statement = Statement(row["id"], version, row["actor"], row["layer"], row["statement"])
        if statement.key in found:
            msg = f"{statement.id} of {version} is listed twice"
            raise ValueError(msg)
        found[statement.key] = statement
    return found


def read_untestable() -> dict[Key, str]:
    """Statement -> why no test can observe it."""
    return {(row["id"], row["version"]): row["reason"] for row in read_rows("untestable.tsv")}

"""The figures in the README: taken from the conformance survey and from docs/performance.md, never typed.

    python -m tests.docs.figures            print the block
    python -m tests.docs.figures --write    put it into README.md; do so after docs/performance.md has changed

Law: a figure in the README stands between the two marks, and a test fails when it is not what the sources say.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.spec.conformance import Survey, survey

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: `python -m tests.docs.figures --write` -->", "<!-- /figures -->"

SHOWN = (
    ("CPU per message", 0, "a0", "QoS 0, one to one"),
    ("CPU per message", 0, "b1", "QoS 1, ten to ten"),
    ("CPU per message", 0, "c1", "QoS 1, one to a hundred"),
    ("CPU per message", 0, "e64k", "payloads of 64 KiB"),
    ("Latency", 0, "i0", "only 1,000 messages a second"),
    ("Connections", 0, "h1k", "to accept a client (each)"),
)
"""Section of the page, which of its tables, scenario, and what the row is called in the README."""
BROKERS = (
    ("mosquitto", "mosquitto"),
    ("mqtt-core", "this"),
    ("mqtt-core compiled", "this, compiled"),
    ("amqtt", "amqtt"),
)


def tables(page: str, section: str) -> list[dict[str, dict[str, str]]]:
    """The tables of a section: scenario -> broker -> cell."""
    found = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{PERFORMANCE.name} has no section {section!r}"
    made = []
    for block in re.findall(r"(?:^\|.*\n)+", found[1], re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        made.append(
            {
                match[1]: dict(zip(head, row, strict=True))
                for row in rows
                if (match := re.match(r"\*\*(\w+)\*\*", row[0]))
            }
        )
    return made


def speed(page: str) -> list[str]:
    """The table of CPU times, without the ratios of the page."""
    lines = [
        f"| microseconds per message | {' | '.join(name for _, name in BROKERS)} |",
        "|---|" + "---:|" * len(BROKERS),
    ]
    for section, number, scenario, name in SHOWN:
        row = tables(page, section)[number][scenario]
        cells = [row.get(broker, "–").partition(" (")[0] for broker, _ in BROKERS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def block(found: Survey, page: str) -> str:
    """Everything between the marks."""
    needed = [s for s in found.statements.values() if s.required]
    cited = [s for s in needed if s.key in found.cited]
    argued = len([s for s in needed if s.key not in found.cited and s.key in found.untestable])
    neither = len(needed) - len(cited) - argued
    return "\n".join(
        [
            f"The two standards make {len(needed)} statements that bind this code: {len(cited)} are cited by tests,",
            f"{argued} have an argument why no test can, {neither} have neither. CPU time, ours and that of others:",
            "",
            *speed(page),
        ]
    )


def placed(readme: str, text: str) -> str:
    """The README with the block between its marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "README.md has lost its first mark"
    assert end, "README.md has lost its second mark"
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main(arguments: list[str]) -> int:
    text = block(survey(), PERFORMANCE.read_text(encoding="utf-8"))
    if "--write" in arguments:
        README.write_text(placed(README.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The README says what the sources say, and nothing it says was typed."""

from __future__ import annotations

import re

import pytest

from tests.docs.figures import PERFORMANCE, README, block, placed, tables
from tests.spec.conformance import survey

LINES_MAX = 95  # two screens


def test_the_figures_of_the_readme_are_those_of_their_sources():
    readme = README.read_text(encoding="utf-8")
    wanted = placed(readme, block(survey(), PERFORMANCE.read_text(encoding="utf-8")))
    assert readme == wanted, "run `python -m tests.docs.figures --write`"


def test_no_figure_of_the_readme_is_typed():
    """Percentages, ratios and counts of statements or tests belong between the marks."""
    outside = placed(README.read_text(encoding="utf-8"), "")
    assert re.findall(r"×|\d+ ?%|\d+ of \d+|\d+ (?:tests|statements|µs|microseconds|times)\b", outside) == []


def test_the_readme_fits_two_screens():
    assert README.read_text(encoding="utf-8").count("\n") <= LINES_MAX


def test_a_scenario_without_a_broker_is_a_dash_and_one_that_is_gone_an_error():
    page = "## A\n\n| | x | y |\n|---|---|---|\n| **s1** text | 1 (×2) | – |\n\n## B\n"
    assert tables(page, "A") == [{"s1": {"": "**s1** text", "x": "1 (×2)", "y": "–"}}]
    with pytest.raises(AssertionError, match="no section 'C'"):
        tables(page, "C")

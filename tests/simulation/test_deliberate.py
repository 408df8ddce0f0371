"""The list of deliberate faults is true to the source, and the three that switch a rule of the barrier off are seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.deliberate import FAULTS, SOURCE, caught_by, places, row


def test_there_are_thirty_and_no_two_of_one_name():
    assert len(FAULTS) >= 30
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_source_has_the_place_of_each_fault_once(fault):
    for path, old, _ in places(fault):
        assert (SOURCE / path).read_text(encoding="utf-8").count(old) == 1, path


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", FAULTS[:3], ids=lambda fault: fault.name)
def test_a_broken_rule_of_the_write_barrier_is_seen(fault):
    assert caught_by(fault, seeds=60).startswith("seed ")


def test_a_row_of_the_table_says_what_was_seen():
    line = "seed 7 FAILS: Violation: c0 got message 1; c1 got message 2"
    assert row(FAULTS[0], line).endswith("| 7 | c0 got message 1 |")


def test_the_committed_table_has_every_fault_and_its_seed():
    """Made by `python -m tests.simulation.deliberate --table tests/simulation/faults.md`."""
    table = (Path(__file__).parent / "faults.md").read_text(encoding="utf-8").splitlines()[2:]
    assert [line.split(" | ")[0] for line in table] == [f"| {fault.name}" for fault in FAULTS]
    assert all(line.split(" | ")[3].isdigit() for line in table)

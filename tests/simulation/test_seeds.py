"""Fixed seeds run clean; a broken rule is reported; the command runs what it is asked for, in one process or more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mqtt_core.testing.simulation import Transcript, Violation, World, draw
from mqtt_core.testing.simulation.command import main
from mqtt_core.testing.simulation.options import parse_change

FIXED = range(1, 13)


@pytest.mark.parametrize("seed", FIXED)
def test_a_fixed_seed_runs_clean(seed):
    world = World(replace(draw(seed), steps=1000, clients=min(draw(seed).clients, 6)))
    world.run()
    assert world.oracle.counts["nothing left"] == 1


def test_a_violation_names_the_seed_and_shows_the_last_steps(capsys, monkeypatch):
    def fault(world):
        world.transcript.note(world.schedule.now, "world", "breaks", "on purpose")
        raise Violation("a rule is broken")

    monkeypatch.setattr(World, "rest", fault)
    assert main(["--seed", "3", "--set", "steps=50"]) == 1
    said = capsys.readouterr().out
    assert "seed 3 FAILS: Violation: a rule is broken" in said
    assert "on purpose" in said
    again = "python -m mqtt_core.testing.simulation --seed 3 --set steps=50"
    assert f"{again} --trace" in said
    assert f"{again} --shrink" in said


def test_options_come_from_the_seed_alone_and_can_be_changed_by_name():
    assert draw(7) == draw(7) == World(7).options
    assert str(draw(7)).startswith("seed=7 ")
    assert draw(7) != draw(8)
    assert parse_change(draw(7), "clients=3").clients == 3
    assert parse_change(draw(7), "bulk=False").bulk is False
    with pytest.raises(ValueError, match="no option"):
        parse_change(draw(7), "nothing=1")


@pytest.mark.parametrize("change", ["storage=disk", "share_v5=50", "retain=-0.1", "clients=0", "commit_s=nan"])
def test_options_that_cannot_be_are_refused(change):
    with pytest.raises(ValueError, match=change.partition("=")[0]):
        parse_change(draw(7), change)


def test_the_transcript_keeps_the_newest_steps():
    transcript = Transcript(2)
    for number in range(3):
        transcript.note(float(number), "who", "what", b"\xc0\x00")
    assert len(transcript.lines(50)) == 2
    assert "PINGREQ" in transcript.lines(1)[0]


def test_several_processes_run_what_one_does(capsys):
    def said(*arguments):
        assert main([*arguments, "--set", "steps=100", "--set", "clients=2"]) == 0
        first, *table = capsys.readouterr().out.strip().splitlines()
        return first.split()[0], table

    assert said("--seeds", "4") == said("--seeds", "4", "--jobs", "2")


def test_fresh_seeds_come_behind_the_fixed_ones(capsys):
    def seeds(*arguments):
        assert main([*arguments, "--digest", "--set", "steps=20", "--set", "clients=1"]) == 0
        return [int(line.split()[1][:-1]) for line in capsys.readouterr().out.splitlines()]

    first, second = seeds("--seeds", "2", "--fresh", "3"), seeds("--seeds", "2", "--fresh", "3")
    assert first[:2] == second[:2] == [1, 2]
    assert len(first) == 5
    assert first[2:] != second[2:]
    assert len(seeds("--fresh", "1")) == 1


def test_a_change_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--seed", "1", "--set", "nothing=1"])
    assert "no option 'nothing'" in capsys.readouterr().err

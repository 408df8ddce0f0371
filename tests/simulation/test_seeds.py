"""Fixed seeds run clean; the same seed takes the same steps, whatever the hash seed; a broken rule is reported."""

from __future__ import annotations

import subprocess
import sys
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


def trace(hash_seed):
    command = [sys.executable, "-m", "mqtt_core.testing.simulation", "--seed", "5", "--set", "steps=500", "--trace"]
    changes = ["--set", "clients=4"]
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([*command, *changes], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [line for line in done.stdout.splitlines() if "a second" not in line]


def test_the_same_seed_takes_the_same_steps_under_any_hash_seed():
    first = trace("1")
    assert len(first) > 500
    assert trace("2") == first


def test_a_violation_names_the_seed_and_shows_the_last_steps(capsys, monkeypatch):
    def fault(world):
        world.transcript.note(world.schedule.now, "world", "breaks", "on purpose")
        raise Violation("a rule is broken")

    monkeypatch.setattr(World, "rest", fault)
    assert main(["--seed", "3", "--set", "steps=50"]) == 1
    said = capsys.readouterr().out
    assert "seed 3 FAILS: Violation: a rule is broken" in said
    assert "on purpose" in said


def test_options_come_from_the_seed_alone_and_can_be_changed_by_name():
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert parse_change(draw(7), "clients=3").clients == 3
    assert parse_change(draw(7), "bulk=False").bulk is False
    with pytest.raises(ValueError, match="no option"):
        parse_change(draw(7), "nothing=1")


def test_the_transcript_keeps_the_newest_steps():
    transcript = Transcript(2)
    for number in range(3):
        transcript.note(float(number), "who", "what", b"\xc0\x00")
    assert len(transcript.lines(50)) == 2
    assert "PINGREQ" in transcript.lines(1)[0]

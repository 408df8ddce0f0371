"""The same seed takes the same steps: as committed, whatever the hash seed, whatever the build."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mqtt_core.testing.simulation.command import digest_of
from tests.simulation.digests import SEEDS, committed, world


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_takes_the_steps_it_took_when_it_was_written_down(seed):
    """It fails after any change of what the core sends or when: `python -m tests.simulation.digests` writes it anew."""
    assert digest_of(world(seed)) == committed()[seed]


def digest_under(hash_seed):
    command = [sys.executable, "-m", "mqtt_core.testing.simulation", "--digest", "--seed", "5"]
    command += ["--set", "steps=600", "--set", "clients=5"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_hash_seed_of_a_process_makes_no_difference():
    first = digest_under("1")
    assert first == digest_under("4711")
    assert first == f"seed 5: {digest_of(world(5))}\n"


def test_another_world_has_another_digest():
    assert len({digest_of(world(seed)) for seed in SEEDS}) == len(SEEDS)

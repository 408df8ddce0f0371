"""The shrinker keeps what fails in the same way and drops the rest."""

from __future__ import annotations

from mqtt_core.testing.simulation import draw
from mqtt_core.testing.simulation.command import SITUATIONS, main
from mqtt_core.testing.simulation.shrinking import kind_of, shrink


def test_a_world_shrinks_to_what_its_failure_needs():
    def run(options):
        if options.clients >= 2 and options.reset_rate > 0:
            return f"Violation: c{options.clients} never got message {options.steps}"
        return "Violation: something else" if options.steps < 100 else ""

    seed = next(seed for seed in range(1, 200) if draw(seed).reset_rate and draw(seed).clients > 2)
    options, fault = shrink(draw(seed), run(draw(seed)), run)
    assert options.clients == 2
    assert options.reset_rate == draw(seed).reset_rate
    assert options.steps < 100
    assert options.hostile == options.broker_crash_rate == options.stall_rate == 0
    assert "never got" in fault


def test_failures_are_told_apart_by_their_words_and_not_by_names_and_numbers():
    one = "Violation: c6 never got message 760 (c7 on t/0/a, qos 1)"
    assert kind_of(one) == kind_of("Violation: c16 never got message 5 (c2 on t/1/b, qos 2); c4 never got message 6")
    assert kind_of(one) != kind_of("Violation: c6 got message 760 (c7 on t/0/a, qos 1) after message 761")


def test_the_table_shows_what_never_happened(capsys):
    assert main(["--seed", "2", "--set", "steps=50", "--set", "clients=2"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name}" in said for name in SITUATIONS)
    assert "<- never" in said

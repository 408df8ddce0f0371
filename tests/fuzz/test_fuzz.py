"""The targets of the fuzzer on a fixed row of inputs, without the fuzzer. The one that needs mosquitto is not here."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.fuzz import broker, client, decoder, paths
from tests.fuzz.choices import Choices, ChosenRandom
from tests.fuzz.differences import DIFFERENCES
from tests.fuzz.mutation import make_input
from tests.fuzz.partner import finished


@pytest.mark.parametrize(
    "target, inputs, size_max",
    [(decoder, 3000, 600), (broker, 150, 600), (client, 300, 600), (paths, 150, 600)],
    ids=["decoder", "broker", "client", "paths"],
)
def test_a_target_holds_on_a_fixed_row_of_inputs(target: ModuleType, inputs: int, size_max: int) -> None:
    seeds = target.seeds()
    for number in range(inputs):
        target.run(make_input(number, seeds, size_max))


def test_decisions_end_with_the_bytes() -> None:
    choices = Choices(b"\x07\x01\x02")
    assert choices.pick("abcd") == "d"
    assert choices.number() == 0x0102
    assert not choices.more()
    assert [choices.byte(), choices.pick("ab"), choices.one_in(2), choices.take(3)] == [0, "a", False, b""]


def test_code_that_asks_a_random_gets_decisions() -> None:
    rng = ChosenRandom(Choices(b"\x80\x01"))
    assert rng.random() == 0.5
    assert rng.choice("ab") == "b"
    assert rng.randint(3, 9) == 3


def test_the_same_number_makes_the_same_input() -> None:
    seeds = [b"one", b"two"]
    assert make_input(0, seeds, 50) == b"one"
    assert [make_input(n, seeds, 50) for n in range(20)] == [make_input(n, seeds, 50) for n in range(20)]


def test_an_answer_ends_with_the_last_pingresp_and_not_with_its_bytes_in_a_payload() -> None:
    inside = b"\x30\x06\x00\x01t\xd0\x00x"
    assert not finished(inside, 1)
    assert finished(inside + b"\xd0\x00", 1)
    assert not finished(inside + b"\xd0\x00", 2)
    assert not finished(b"\xd0", 1)


def test_every_known_difference_has_a_reason() -> None:
    assert len({row.name for row in DIFFERENCES}) == len(DIFFERENCES)
    assert all(len(row.why) > 40 for row in DIFFERENCES)

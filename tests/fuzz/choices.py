"""Decisions read from the fuzzer's bytes, front to back.

Law: the same bytes, the same decisions, with atheris and without. At the end of the bytes every decision is the first
of its kind, and `more` says so: what runs on decisions stops there. A decision costs one byte wherever that is enough,
so that a mutated byte is a changed decision and not a shift of everything behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """One input as a row of decisions."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def more(self) -> bool:
        return self.position < len(self.data)

    def byte(self) -> int:
        if self.position >= len(self.data):
            return 0
        self.position += 1
        return self.data[self.position - 1]

    def number(self) -> int:
        """From 0 to 65,535."""
        return self.byte() << 8 | self.byte()

    def below(self, end: int) -> int:
        return (self.byte() if end <= 256 else self.number()) % end

    def one_in(self, number: int) -> bool:
        """Rarely true; false at the end of the bytes."""
        return self.byte() % number == number - 1

    def pick(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def take(self, size: int) -> bytes:
        taken = self.data[self.position : self.position + size]
        self.position += len(taken)
        return taken


class ChosenRandom(Random):
    """Choices for code that asks a `Random`."""

    def __init__(self, choices: Choices) -> None:
        super().__init__(0)
        self.source = choices

    def random(self) -> float:
        return self.source.byte() / 256

    def getrandbits(self, k: int) -> int:
        value = 0
        for _ in range(0, k, 8):
            value = value << 8 | self.source.byte()
        return value & ((1 << k) - 1)

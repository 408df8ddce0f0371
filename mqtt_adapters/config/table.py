"""A configuration class as a table: each of its fields is a row, from which flags and documentation are made.

Help text, unit and the words it may hold stand in the metadata of the field. Nothing here knows a setting by name, and
no class of settings is defined here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Setting", "setting", "settings"]


def setting(default: Any, text: str, *, unit: str = "", flag: bool = True, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field that knows more than its default: help text, unit, whether it is also a flag.

    default: any value the field may have. choices: the words it may hold, none for any.
    """
    return dataclasses.field(
        default=default, kw_only=True, metadata={"help": text, "unit": unit, "flag": flag, "choices": choices}
    )


@dataclass(frozen=True)
class Setting:
    """One row of the table. kind: the type without None. many: whether it is a tuple of that type."""

    name: str
    kind: type
    many: bool
    optional: bool
    default: Any
    help: str
    unit: str
    flag: str | None
    choices: tuple[str, ...]

    def expected(self) -> str:
        """What a value should look like, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
        word = words.get(self.kind, "a table")
        if self.many:
            word = f"a list, each entry {word}"
        return f"{word} ({self.unit})" if self.unit else word


def settings(cls: type) -> tuple[Setting, ...]:
    """The rows of a configuration class, in the order of its definition."""
    return tuple(_rows(cls))


def _rows(cls: type) -> Iterator[Setting]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        kind, many, optional = hints[field.name], False, False
        if isinstance(kind, types.UnionType):
            kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
            optional = True
        if typing.get_origin(kind) is tuple:
            kind, many = typing.get_args(kind)[0], True
        plain = kind in {int, float, bool, str}
        flag = "--" + field.name.replace("_", "-") if plain and field.metadata.get("flag", True) else None
        yield Setting(
            field.name,
            kind,
            many,
            optional,
            field.default,
            field.metadata.get("help", ""),
            field.metadata.get("unit", ""),
            flag,
            field.metadata.get("choices", ()),
        )

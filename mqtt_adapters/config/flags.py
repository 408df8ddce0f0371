"""Settings as flags of a program: ``--max-packet-size`` for ``max_packet_size``.

A row of the table is a flag when its type is a plain one and the row does not say otherwise; help text and default
come from it. What was given is told apart from what was not, so that a file's value stands where no flag was given.
"""

from __future__ import annotations

import argparse
from typing import Any

from mqtt_adapters.config.table import Setting, settings

__all__ = ["add_flags", "given_flags"]


def add_flags(parser: argparse.ArgumentParser, cls: type, title: str, skip: frozenset[str] = frozenset()) -> None:
    """Add a flag for every setting of `cls` that can have one, except the names in `skip`, to a group called `title`.

    A flag not given leaves no trace in the namespace, so a file's value or the default stands.
    """
    group = parser.add_argument_group(title)
    for row in settings(cls):
        if row.flag is None or row.name in skip:
            continue
        usual = "none" if row.default is None else row.default
        text = f"{row.help} ({row.unit + ', ' if row.unit else ''}default {usual})".replace("%", "%%")
        common: dict[str, Any] = {"dest": row.name, "default": argparse.SUPPRESS, "help": text}
        if row.kind is bool:
            group.add_argument(row.flag, action=argparse.BooleanOptionalAction, **common)
        else:
            action = "append" if row.many else "store"
            group.add_argument(
                row.flag, type=row.kind, action=action, choices=row.choices or None, metavar=_metavar(row), **common
            )


def _metavar(row: Setting) -> str | None:
    if row.choices:
        return None
    return {int: "N", float: "X", str: "FILE" if row.name.endswith("_file") else "TEXT"}[row.kind]


def given_flags(cls: type, namespace: argparse.Namespace) -> dict[str, Any]:
    """The settings of `cls` that were given on the command line."""
    given = {}
    for row in settings(cls):
        if hasattr(namespace, row.name):
            value = getattr(namespace, row.name)
            given[row.name] = tuple(value) if row.many else value
    return given

"""Settings from a TOML file, and the line that says what cannot be used.

Nothing is ignored: an unknown key refuses the start. The parser of the standard library does not tell lines, so the
line is found by reading the file's beginnings.
"""

from __future__ import annotations

import dataclasses
import re
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from mqtt_adapters.config.mistakes import ConfigError, nearest, why_unusable
from mqtt_adapters.config.table import Setting, settings

__all__ = ["load_toml"]

C = TypeVar("C")


def load_toml(path: str | Path, cls: type[C], overrides: Mapping[str, Any] | None = None) -> C:
    """Read a configuration of type `cls` from a TOML file; `overrides` win over what it says.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or says something that is not a setting. The text begins with
            the path and, where there is one, the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {why_unusable(error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        values = _table(cls, document, ())
        return _construct(cls, {**values, **(overrides or {})}, ())
    except _Wrong as wrong:
        blame_flag = len(wrong.path) == 1 and wrong.path[0] in (overrides or {})
        place = "" if blame_flag else f"{path}:{_line_of(text, wrong.path)}: "
        raise ConfigError(place + wrong.text) from wrong


class _Wrong(Exception):
    """What is wrong, and the path of the key that says so."""

    def __init__(self, path: tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.path = path
        self.text = text


def _table(cls: type, table: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    rows = {row.name: row for row in settings(cls) if row.kind is not ssl.SSLContext}
    values = {}
    for key, value in table.items():
        if key not in rows:
            raise _Wrong((*path, key), f"unknown setting {key!r}{nearest(key, list(rows))}")
        values[key] = _value(rows[key], value, (*path, key))
    return values


def _value(row: Setting, value: Any, path: tuple[str | int, ...]) -> Any:
    if not row.many:
        return _item(row, value, path)
    if not isinstance(value, list):
        raise _Wrong(path, f"{row.name}: expected {row.expected()}, got {value!r}")
    return tuple(_item(row, item, (*path, index)) for index, item in enumerate(value))


def _item(row: Setting, value: Any, path: tuple[str | int, ...]) -> Any:
    if dataclasses.is_dataclass(row.kind) and isinstance(value, dict):
        return _construct(row.kind, _table(row.kind, value, path), path)
    if row.kind is float and type(value) is int:
        return float(value)
    if type(value) is not row.kind or (row.choices and value not in row.choices):
        raise _Wrong(path, f"{row.name}: expected {row.expected()}, got {value!r}")
    return value


def _construct(cls: type[C], values: dict[str, Any], path: tuple[str | int, ...]) -> C:
    try:
        return cls(**values)
    except ConfigError as error:
        text = str(error)
        name = re.split(r"\W", text, maxsplit=1)[0]
        raise _Wrong((*path, name) if name in values else path, text) from error


def _line_of(text: str, path: tuple[str | int, ...]) -> int:
    """The line on which the value at `path` begins: the first whole prefix of the file that knows it ends there, and
    the longest one that does not ends just before."""
    lines = text.splitlines(keepends=True)
    begin = 1
    for count in range(1, len(lines) + 1):
        try:
            found: Any = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        try:
            for step in path:
                found = found[step]
        except (KeyError, IndexError):
            begin = count + 1
        else:
            break
    return begin

"""Finds the tags in the source of `mqtt_core`: comments that name the statement which the line implements.

    if flags & 1:  # [MQTT-3.1.2-3]
    raise ProtocolError(...)  # [MQTT-3.1.2-3 v3.1.1] [MQTT-3.2.2-7 v5]

A tag with no version stands for every version whose table has that id. A tag in a comment on a line of its own
belongs to the next line of code. Only comments count: a docstring may mention a statement without implementing it.
"""

from __future__ import annotations

import importlib.util
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

from tests.spec.tables import VERSIONS, Key, Statement

TAG = re.compile(r"\[((?:MQTT|MUST)-[^\]\s]+)(?:\s+v([\d.]+))?\]")
SHORT_VERSION = {"5": "5.0", "3": "3.1.1"}
NO_CODE = {tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.ENDMARKER}


@dataclass(frozen=True)
class Tag:
    """`path` is relative to the package's parent; `line` is the line of code the tag belongs to."""

    path: str
    line: int
    id: str
    version: str  # "" when the tag gives none

    def keys(self, statements: dict[Key, Statement]) -> list[Key]:
        """The statements the tag stands for; empty when no table has them."""
        versions = (self.version,) if self.version else VERSIONS
        return [(self.id, version) for version in versions if (self.id, version) in statements]


def package_root(package: str = "mqtt_core") -> Path:
    """Where the package's source lies: in the checkout, or installed."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def tags_of_file(path: Path, name: str) -> list[Tag]:
    """All tags of one module."""
    with tokenize.open(path) as file:
        tokens = list(tokenize.generate_tokens(file.readline))
    code_lines = sorted({line for t in tokens if t.type not in NO_CODE for line in range(t.start[0], t.end[0] + 1)})
    found = []
    for token in tokens:
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        own_line = token.line[: token.start[1]].strip() == ""
        if own_line:
            line = next((n for n in code_lines if n > line), line)
        for match in TAG.finditer(token.string):
            version = match[2] or ""
            found.append(Tag(name, line, match[1], SHORT_VERSION.get(version, version)))
    return found


def find_tags(root: Path | None = None) -> list[Tag]:
    """All tags of the core, by file and line; `root` is the package's directory (default: as imported)."""
    root = root or package_root()
    files = sorted(p for p in root.rglob("*.py") if "testing" not in p.relative_to(root).parts)
    return [tag for p in files for tag in tags_of_file(p, p.relative_to(root.parent).as_posix())]

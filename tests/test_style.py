"""Limits that keep the source readable: they are judged by reading, and this file only counts."""

from __future__ import annotations

import ast
import re

import pytest

from tests.test_layers import ALL, SEALED

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 60
THEORY_LINES_MAX = 40  # of a module's docstring
THEORY_LINES_MIN = 3  # the door of a package may do with one


@pytest.mark.parametrize("name", ALL)
def test_files_fit_a_sitting(name):
    assert ALL[name].read_text(encoding="utf-8").count("\n") <= FILE_LINES_MAX


@pytest.mark.parametrize("name", ALL)
def test_functions_fit_a_screen(name):
    """A loop that is long for speed says so in the first line of its docstring."""
    long = []
    for node in ast.walk(ast.parse(ALL[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            first_line = (ast.get_docstring(node) or "").partition("\n")[0]
            if length > FUNCTION_LINES_MAX and not re.search(r"\blong\b", first_line):
                long.append(f"{name}:{node.lineno} {node.name}: {length} lines")
    assert long == []


@pytest.mark.parametrize("name", ALL)
def test_a_module_opens_with_its_theory(name):
    text = ast.get_docstring(ast.parse(ALL[name].read_text(encoding="utf-8"))) or ""
    lines = len([line for line in text.splitlines() if line.strip()])
    assert lines <= THEORY_LINES_MAX
    assert lines >= (1 if ALL[name].name in {"__init__.py", "__main__.py"} else THEORY_LINES_MIN)


@pytest.mark.parametrize("name", SEALED)
def test_the_core_swallows_no_bugs(name):
    caught = [
        f"{name}:{node.lineno}"
        for node in ast.walk(ast.parse(SEALED[name].read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert caught == []

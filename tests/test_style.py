"""Limits that keep the source readable: they are judged by reading, and this file only counts."""

from __future__ import annotations

import ast

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
    long = []
    for node in ast.walk(ast.parse(ALL[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
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


@pytest.mark.parametrize("name", ALL)
def test_what_is_public_says_what_it_is_for(name):
    """Classes, functions and methods without an underscore; not those inside functions, nor signatures only."""

    def silent(body, prefix=""):
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            signature_only = any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list)
            if not signature_only and not ast.get_docstring(node):
                yield f"{name}:{node.lineno} {prefix}{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from silent(node.body, f"{node.name}.")

    assert list(silent(ast.parse(ALL[name].read_text(encoding="utf-8")).body)) == []

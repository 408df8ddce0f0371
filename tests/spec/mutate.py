"""Disables what one tagged line does, so that a test of the statement it names ought to notice.

What "disabled" means depends on the statement that the line belongs to: a condition never holds (or always does), a
raise, a call or an assignment is not carried out, a function does nothing, a constant has another value. A line may
offer several such changes; the statement counts as guarded when the tests notice one of them.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator

Change = tuple[str, str]  # what was done, and the module's new source


def changes(source: str, line: int) -> Iterator[Change]:
    """All ways to disable the code on a line, the plainest first; none when the line holds only a declaration."""
    tree = ast.parse(source)
    path = statement_at(tree, line)
    if path is None:
        return
    for what, edit in edits(path[-1], line):
        altered = copy.deepcopy(tree)
        found = statement_at(altered, line)
        assert found is not None
        parent, node = found[-2], found[-1]
        replace_statement(parent, node, edit(node))
        yield what, ast.unparse(ast.fix_missing_locations(altered))


def statement_at(tree: ast.Module, line: int) -> list[ast.AST] | None:
    """The innermost statement that covers the line, with all that enclose it, outermost first."""
    path: list[ast.AST] = [tree]
    while True:
        inner = next((s for s in substatements(path[-1]) if first_line(s) <= line <= (s.end_lineno or 0)), None)
        if inner is None:
            return path if len(path) > 1 else None
        path.append(inner)


def substatements(node: ast.AST) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.excepthandler | ast.match_case):
            yield from (s for s in child.body)


def first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def replace_statement(parent: ast.AST, node: ast.AST, new: ast.stmt) -> None:
    """Put `new` where `node` stands, in whichever of the parent's lists of statements."""
    holders = [parent, *(c for c in ast.iter_child_nodes(parent) if isinstance(c, ast.excepthandler | ast.match_case))]
    for holder in holders:
        for _name, value in ast.iter_fields(holder):
            if isinstance(value, list) and any(item is node for item in value):
                value[next(i for i, item in enumerate(value) if item is node)] = new
                return
    raise AssertionError("the statement is not where it was found")


Edit = Callable[[ast.AST], ast.stmt]


def edits(node: ast.AST, line: int) -> Iterator[tuple[str, Edit]]:
    """The changes that fit a statement's kind."""
    match node:
        case ast.If() | ast.While():
            if any(operand_lines(node.test, line)):
                yield "operand is neutral", lambda n: with_test(n, neutral_operand(n.test, line))
            yield "condition is False", lambda n: with_test(n, ast.Constant(False))
            if isinstance(node, ast.If):
                yield "condition is True", lambda n: with_test(n, ast.Constant(True))
        case ast.For():
            yield "loop over nothing", lambda n: with_field(n, "iter", ast.Tuple([], ast.Load()))
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield "function does nothing", lambda n: with_field(n, "body", [ast.Pass()])
        case ast.Return() if node.value is not None:
            yield "constants differ", perturb(line)
            yield "returns None", lambda _n: ast.Return(ast.Constant(None))
            yield "returns False", lambda _n: ast.Return(ast.Constant(False))
            yield "returns True", lambda _n: ast.Return(ast.Constant(True))
        case ast.Assign() | ast.AnnAssign() if node.value is not None:
            yield "constants differ", perturb(line)
            yield "not assigned", lambda _n: ast.Pass()
        case ast.With() | ast.Try() | ast.ClassDef() | ast.Match() | ast.Import() | ast.ImportFrom() | ast.Global():
            return
        case ast.stmt():
            yield "not carried out", lambda _n: ast.Pass()


def with_test(node: ast.AST, test: ast.expr) -> ast.stmt:
    return with_field(node, "test", test)


def with_field(node: ast.AST, name: str, value: object) -> ast.stmt:
    assert isinstance(node, ast.stmt)
    setattr(node, name, value)
    return node


def operand_lines(test: ast.expr, line: int) -> Iterator[ast.expr]:
    """Operands of an `and` or `or` that stand on a line of their own: the tag means that one."""
    for node in ast.walk(test):
        if isinstance(node, ast.BoolOp):
            yield from (v for v in node.values if v.lineno == line and line != test.lineno)


def neutral_operand(test: ast.expr, line: int) -> ast.expr:
    for node in ast.walk(test):
        if isinstance(node, ast.BoolOp):
            neutral = isinstance(node.op, ast.And)
            node.values = [
                ast.Constant(neutral) if v.lineno == line and line != test.lineno else v for v in node.values
            ]
    return test


class Perturb(ast.NodeTransformer):
    """Gives each constant on a line another value of the same type."""

    def __init__(self, line: int) -> None:
        self.line = line

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if node.lineno != self.line:
            return node
        match node.value:
            case bool():
                return ast.Constant(not node.value)
            case int() | float():
                return ast.Constant(node.value + 1)
            case str():
                return ast.Constant(node.value + "x")
            case bytes():
                return ast.Constant(node.value + b"\xff")
        return node


def perturb(line: int) -> Edit:
    def edit(node: ast.AST) -> ast.stmt:
        new = Perturb(line).visit(node)
        assert isinstance(new, ast.stmt)
        return new

    return edit

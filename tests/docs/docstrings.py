"""What a docstring of the public API has to say, and which do not say it.

    python -m tests.docs.docstrings         list what is missing; exit code 1 if there is anything

Four rules, for everything in `__all__` of the packages and modules of `DOORS`, methods that are inherited included:

- raises       a public exception that the body raises is named in the docstring (of the class, for `__init__` and
               `__post_init__`), itself or a base of it
- parameters   a parameter that is a number, or one of several, is explained by name, unless its name is a word of the
               glossary in docs/api/index.md, which says what it means everywhere, or the name of its own class; what
               a constructor takes is nobody's business if the class says that it is made by the library, and what the
               rule of a state machine takes is drawn by Hypothesis
- section      what implements a numbered statement of the standard names the section, or its module does
- settings     a number among the fields of a configuration has a unit in its metadata, or its range in the docstring

Law: what a rule looks at is the source; nothing is run but the imports. A docstring that says "See `name`", "As `name`"
or "arguments are those of `name`" leaves the explanation to that name, which has to exist.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mqtt_core.codec import error as errors
from tests.test_layers import ALL

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "api" / "index.md"
DOORS = (
    *(f"mqtt_core.{name}" for name in ("codec", "topic_matcher", "timers", "session", "persistence", "transport")),
    *(f"mqtt_core.{name}" for name in ("router", "broker", "client")),
    *(f"mqtt_core.testing.{name}" for name in ("contracts", "machines", "simulation", "strategies")),
    *(f"mqtt_adapters.{name}" for name in ("asyncio", "anyio", "blocking", "storage", "config", "errors", "memory")),
    *(
        f"mqtt_adapters.{name}"
        for name in ("server.peer", "client.url", "users", "client.settings", "committing", "driver", "testing.broker")
    ),
    *(
        f"mqtt_adapters.{name}"
        for name in ("server.settings", "server.verbs", "client.verbs", "payload", "pytest_plugin")
    ),
)
CONFIGURATIONS = ("Config", "Settings")
SILENT = {"AssertionError", "NotImplementedError", "StopIteration", "StopAsyncIteration", "KeyboardInterrupt"}
"""Exceptions that are no promise to a caller, or part of a protocol of the language."""

REFERENCE = re.compile(r"(?:\A(?:See|As)|arguments\s+are\s+those\s+of)\s+`([\w.]+)`")
MADE_BY_US = re.compile(r"\b[Mm]ade by `")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something a docstring does not say. rule: see the module."""

    where: str
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: {self.text}"


class Source:
    """A module as it is written."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = text.splitlines()
        self.tree = ast.parse(text)
        self.about = ast.get_docstring(self.tree) or ""

    def tagged(self, node: ast.ClassDef | Function) -> bool:
        """A numbered statement of the standard stands on one of the node's lines."""
        return any("# [MQTT-" in line for line in self.lines[node.lineno - 1 : node.end_lineno])

    def find(self, qualname: str) -> ast.ClassDef | Function | None:
        """A class or function."""
        body: list[ast.stmt] = self.tree.body
        node = None
        for part in qualname.split("."):
            node = next((n for n in body if isinstance(n, ast.ClassDef | Function) and n.name == part), None)
            if node is None:
                return None
            body = node.body
        return node


@functools.cache
def source(name: str) -> Source:
    """A module of the packages."""
    return Source(name, ALL[name].read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------------- the words


@functools.cache
def glossary() -> tuple[re.Pattern[str], ...]:
    """Names of parameters that mean the same everywhere; `*` stands for any beginning."""
    rows = re.findall(r"^\| (`[^|]+`) \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([a-z*_]+)`", row)]
    return tuple(re.compile(name.replace("*", r"\w+")) for name in names)


def known(name: str) -> bool:
    """A word of the glossary, or private."""
    return name.startswith("_") or name in {"self", "cls"} or any(word.fullmatch(name) for word in glossary())


def exists(name: str) -> bool:
    """Some module has a class or function of that name, or a class with that member."""
    if name.startswith(("mqtt_core.", "mqtt_adapters.")):
        module, _, member = name.rpartition(".")
        return hasattr(importlib.import_module(module), member)
    return name in names()


@functools.cache
def names() -> set[str]:
    """Every class and function, methods as ``Class.method`` and as ``method``."""
    found = set()
    for each in ALL:
        for node in ast.walk(source(each).tree):
            if isinstance(node, ast.ClassDef | Function):
                found.add(node.name)
            if isinstance(node, ast.ClassDef):
                found |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, Function)}
    return found


@functools.cache
def family(name: str) -> tuple[str, ...]:
    """An exception and those of its bases that say something."""
    for place in (errors, builtins, *map(importlib.import_module, DOORS)):
        kind = getattr(place, name, None)
        if inspect.isclass(kind) and issubclass(kind, Exception):
            return tuple(c.__name__ for c in kind.__mro__ if c not in {Exception, BaseException, object})
    return (name,)


# ------------------------------------------------------------------------------------------------------- the rules


def check_node(module: Source, node: ast.ClassDef | Function | None) -> Iterator[Fault]:
    """One class with its methods, or one function."""
    if isinstance(node, ast.ClassDef):
        yield from check_class(module, node)
    elif node is not None:
        yield from check_function(module, node, ast.get_docstring(node) or "", node.name)


def check_class(module: Source, node: ast.ClassDef) -> Iterator[Fault]:
    about = ast.get_docstring(node) or ""
    methods = [item for item in node.body if isinstance(item, Function)]
    for item in methods:
        if item.name in {"__init__", "__post_init__"}:
            yield from check_function(module, item, f"{about}\n{ast.get_docstring(item) or ''}", node.name)
        elif not item.name.startswith("_"):
            text = ast.get_docstring(item) or ""
            yield from check_function(module, item, text, f"{node.name}.{item.name}", about)
    if module.tagged(node) and "section" not in f"{about} {module.about}":
        silent = [m for m in methods if module.tagged(m)]
        if not silent or any("section" not in (ast.get_docstring(m) or "") for m in silent):
            yield Fault(f"{module.name}:{node.lineno} {node.name}", "section", "implements a statement, names none")


def check_function(module: Source, node: Function, text: str, name: str, of_class: str = "") -> Iterator[Fault]:
    where = f"{module.name}:{node.lineno} {name}"
    if any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list):
        return
    if reference := REFERENCE.search(text):
        if not exists(reference[1]):
            yield Fault(where, "reference", f"there is no {reference[1]}")
        return
    for raised in sorted(raises(node)):
        if not any(re.search(rf"\b{base}\b", text) for base in family(raised)):
            yield Fault(where, "raises", raised)
    for argument in unexplained(node, f"{text}\n{of_class}"):
        yield Fault(where, "parameters", argument)
    if not of_class and name == node.name and module.tagged(node) and "section" not in f"{text} {module.about}":
        yield Fault(where, "section", "implements a statement, names none")


def raises(node: Function) -> set[str]:
    """Names of public exceptions raised in the body itself, functions inside it left out."""
    found = set()
    todo: list[ast.AST] = list(node.body)
    while todo:
        part = todo.pop()
        if isinstance(part, Function | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call) and isinstance(part.exc.func, ast.Name):
            found.add(part.exc.func.id)
        todo += ast.iter_child_nodes(part)
    return {name for name in found - SILENT if not name.startswith("_")}


def unexplained(node: Function, text: str) -> Iterator[str]:
    """Parameters nobody can know the meaning of."""
    if node.name == "__init__" and MADE_BY_US.search(text):
        return
    if any(isinstance(d, ast.Call) and ast.unparse(d.func) in {"rule", "initialize"} for d in node.decorator_list):
        return
    asked = [a for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs] if not known(a.arg)]
    for argument in asked:
        kind = ast.unparse(argument.annotation) if argument.annotation is not None else ""
        if any(word.lower().endswith(argument.arg.replace("_", "")) for word in re.findall(r"[A-Z]\w+", kind)):
            continue  # ``journal: Journal | None``, ``handler: ClientHandler``
        if len(asked) > 1 or re.search(r"\b(int|float)\b", kind):
            if not re.search(rf"\b{argument.arg}\b", text):
                yield argument.arg


def check_settings(name: str, found: type, about: str) -> Iterator[Fault]:
    """The numbers among the fields of a configuration; about: its docstring, which a compiled class has lost."""
    about = " ".join(about.split())
    for item in dataclasses.fields(found):
        if str(item.type).replace(" | None", "") not in {"int", "float"}:
            continue
        where = f"{name} {found.__name__}.{item.name}"
        if "unit" in item.metadata:
            if not item.metadata["unit"]:
                yield Fault(where, "settings", "no unit")
        elif not re.search(rf"\b{item.name}\b[^.;]*\d", about):
            yield Fault(where, "settings", "no range")


# ------------------------------------------------------------------------------------------------------ everything


def exported() -> Iterator[tuple[str, object]]:
    """Module and object of everything public, each once."""
    seen = set()
    for door in DOORS:
        module = importlib.import_module(door)
        for name in getattr(module, "__all__", ()):
            found = getattr(module, name)
            home = getattr(found, "__module__", None)
            if callable(found) and home in ALL and id(found) not in seen:
                seen.add(id(found))
                yield home, found


def check() -> list[Fault]:
    """Everything that is missing."""
    faults: list[Fault] = []
    done = set()
    for home, found in exported():
        classes = [c for c in found.__mro__ if c.__module__ in ALL] if inspect.isclass(found) else []
        for name, qualname in [(c.__module__, c.__qualname__) for c in classes] or [(home, found.__qualname__)]:
            if (name, qualname) not in done:
                done.add((name, qualname))
                faults += check_node(source(name), source(name).find(qualname))
        if inspect.isclass(found) and dataclasses.is_dataclass(found) and found.__name__.endswith(CONFIGURATIONS):
            node = source(home).find(found.__qualname__)
            assert node is not None
            faults += check_settings(home, found, ast.get_docstring(node) or "")
    return faults


def main() -> int:
    faults = check()
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

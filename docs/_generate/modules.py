"""The page of the modules: what the source says of itself, packages in the order in which they may import."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import tempfile
from enum import Enum
from html import escape
from pathlib import Path

import coverage

from tests.spec.tags import package_root
from tests.test_layers import ALL, imports

ROOT = Path(__file__).parents[2]
CORE = (
    "codec",
    "transport",
    "topic_matcher",
    "timers",
    "session",
    "persistence",
    "router",
    "broker",
    "client",
    "testing",
)
ADAPTERS = ("config", "client", "server", "storage", "asyncio", "anyio", "blocking", "testing", "bin")
PACKAGES = (*(f"mqtt_core.{name}" for name in CORE), "mqtt_adapters", *(f"mqtt_adapters.{name}" for name in ADAPTERS))
TESTS: dict[str, tuple[str, ...]] = {
    **{f"mqtt_core.{name}": (f"tests/{name}",) for name in CORE},
    "mqtt_core.timers": ("tests/test_timers.py",),
    "mqtt_core.testing": ("tests/testing", "tests/simulation"),
    "mqtt_core.persistence": ("tests/persistence", "tests/durability"),
    "mqtt_adapters": ("tests/adapters", "tests/pytest_plugin", "tests/interop"),
    **{f"mqtt_adapters.{name}": ("tests/adapters", "tests/interop") for name in ("asyncio", "anyio", "blocking")},
    "mqtt_adapters.storage": ("tests/adapters/test_sqlite_store.py", "tests/durability"),
    "mqtt_adapters.config": ("tests/adapters/test_config.py",),
    "mqtt_adapters.client": ("tests/adapters/client",),
    "mqtt_adapters.server": ("tests/adapters/contract", "tests/adapters/test_peer.py"),
    "mqtt_adapters.testing": ("tests/pytest_plugin",),
    "mqtt_adapters.bin": ("tests/bin",),
}
"""Where the tests of a package are; a place may test several."""
DOORS = {
    "mqtt_adapters": tuple(f"mqtt_adapters.{name}" for name in ("errors", "users", "driver", "committing", "memory")),
    "mqtt_adapters.client": tuple(f"mqtt_adapters.client.{name}" for name in ("settings", "driver", "streams", "url")),
    "mqtt_adapters.server": tuple(f"mqtt_adapters.server.{name}" for name in ("verbs", "peer", "listening")),
    "mqtt_adapters.testing": ("mqtt_adapters.testing.broker",),
    "mqtt_core.testing": tuple(
        f"mqtt_core.testing.{name}" for name in ("contracts", "machines", "simulation", "strategies")
    ),
}
"""Where the key types of a package are exported, if not by the package itself."""
NOX = next((p for p in ROOT.parents if p.name == ".nox"), ROOT / ".nox")
MEASURED = (ROOT / ".coverage", NOX / "tests" / "tmp" / "tests-tests" / ".coverage")
INTRO = """# Modules

Generated from the source: what each package is for, what it is made of, and how much of it is tested. An arrow means
"imports"; arrows that follow from others are left out. `tests/test_layers.py` fails when one points the other way.
Tests are functions; one that runs with many rows, or in every I/O style, counts once.
"""
WIDTH, HEIGHT, GAP_X, GAP_Y = 148, 30, 14, 34


def package_of(module: str) -> str:
    """The package of the list above a module belongs to."""
    fitting = [p for p in PACKAGES if module == p or module.startswith(p + ".")]
    return max(fitting, key=len) if fitting else "mqtt_core.codec"  # mqtt_core itself opens the codec


def dependencies() -> dict[str, set[str]]:
    """Which packages a package imports. The error classes and numbers everybody uses count as codec."""
    edges: dict[str, set[str]] = {name: set() for name in PACKAGES}
    for name, path in ALL.items():
        source = package_of(name)
        for _line, target in imports(name, path):
            if target.startswith(("mqtt_core.", "mqtt_adapters.")) and (package := package_of(target)) != source:
                edges[source].add(package)
    edges["mqtt_core.transport"].discard("mqtt_core.codec")  # codec.error and codec.types lie below both
    edges["mqtt_adapters"] -= {name for name in PACKAGES if name.startswith("mqtt_adapters.")}
    return edges


def reach(edges: dict[str, set[str]], name: str) -> set[str]:
    """Everything a package imports, directly or not."""
    found: set[str] = set()
    todo = list(edges[name])
    while todo:
        if (target := todo.pop()) not in found:
            found.add(target)
            todo += edges[target]
    return found


def picture(edges: dict[str, set[str]]) -> str:
    """The graph as SVG, lowest packages at the bottom."""
    depth = dict.fromkeys(PACKAGES, 0)
    for _ in PACKAGES:
        for name, targets in edges.items():
            depth[name] = max([depth[target] + 1 for target in targets], default=0)
    rows = [[name for name in PACKAGES if depth[name] == level] for level in range(max(depth.values()), -1, -1)]
    wide = max(len(row) for row in rows) * (WIDTH + GAP_X)
    place = {
        name: ((wide - len(row) * (WIDTH + GAP_X)) / 2 + i * (WIDTH + GAP_X) + GAP_X / 2, y * (HEIGHT + GAP_Y) + 4)
        for y, row in enumerate(rows)
        for i, name in enumerate(row)
    }
    high = len(rows) * (HEIGHT + GAP_Y)
    lines = [
        f'<svg viewBox="0 0 {wide} {high}" style="max-width:100%" role="img" aria-label="Which package imports which"',
        'font-family="monospace" font-size="12" fill="none" stroke="currentColor">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0,0 L8,4 L0,8 z" fill="currentColor" stroke="none"/></marker></defs>',
    ]
    for name, targets in edges.items():
        direct = targets - {far for target in targets for far in reach(edges, target)}
        x, y = place[name]
        for target in sorted(direct):
            to_x, to_y = place[target]
            lines.append(
                f'<line x1="{x + WIDTH / 2}" y1="{y + HEIGHT}" x2="{to_x + WIDTH / 2}" y2="{to_y}" '
                'opacity="0.5" marker-end="url(#tip)"/>'
            )
    for name, (x, y) in place.items():
        lines.append(
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="var(--color-background-primary)"/>'
        )
        label = name.removeprefix("mqtt_core.").replace("mqtt_adapters", "adapters")
        lines.append(
            f'<text x="{x + WIDTH / 2}" y="{y + HEIGHT / 2 + 4}" text-anchor="middle" '
            f'fill="currentColor" stroke="none">{escape(label)}</text>'
        )
    return "\n".join(["```{raw} html", *lines, "</svg>", "```"])


def count_tests(place: str) -> int:
    """Test functions and methods below a folder; a parametrised one counts once."""
    path = ROOT / place
    assert path.exists(), f"{place} is gone"
    files = [path] if path.suffix else sorted(path.rglob("test_*.py"))
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(isinstance(n, functions) and n.name.startswith("test_") for tree in trees for n in ast.walk(tree))


def covered() -> dict[str, tuple[int, int]]:
    """Executed and existing lines and branches by package, as the last run of the tests left them; or nothing."""
    totals: dict[str, tuple[int, int]] = {}
    file = next((file for file in MEASURED if file.exists()), None)
    if file is None:
        return totals
    measured = coverage.Coverage(data_file=str(file), config_file=str(ROOT / "pyproject.toml"))
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        measured.json_report(outfile=str(report), ignore_errors=True)
        files = json.loads(report.read_text(encoding="utf-8"))["files"]
    for path, entry in files.items():
        parts = Path(path).with_suffix("").parts
        start = next((i for i, part in enumerate(parts) if part in {"mqtt_core", "mqtt_adapters"}), None)
        if start is not None:
            summary = entry["summary"]
            package = package_of(".".join(parts[start:]))
            done, there = totals.get(package, (0, 0))
            done += summary["covered_lines"] + summary.get("covered_branches", 0)
            there += summary["num_statements"] + summary.get("num_branches", 0)
            totals[package] = done, there
    return totals


def first_line(text: str | None) -> str:
    """The first sentence of a docstring, on one line."""
    line = " ".join((text or "").partition("\n\n")[0].split())
    return re.sub(r":\w+:(?=`)", "", line).replace("|", "\\|").replace("<", "\\<").replace("``", "`")


def signature(name: str, kind: type) -> str:
    """How an object of a class is made; names only when the whole is long."""
    try:
        found = inspect.signature(kind)
    except ValueError:
        return name
    if (
        issubclass(kind, Enum)
        or kind.__init__ in {object.__init__, Exception.__init__}
        or getattr(kind, "_is_protocol", False)
    ):
        return name
    whole = name + str(found.replace(return_annotation=inspect.Signature.empty)).replace("'", "").replace('"', "'")
    if len(whole) <= 110 and "object at" not in whole:
        return whole
    names = list(found.parameters)
    return f"{name}({', '.join(names[:8])}{', …' if len(names) > 8 else ''})"


def section(package: str, edges: dict[str, set[str]], measured: dict[str, tuple[int, int]]) -> list[str]:
    """One package."""
    module = importlib.import_module(package)
    lines = [f"## {package}", "", first_line(module.__doc__), ""]
    uses = ", ".join(f"`{name.removeprefix('mqtt_core.')}`" for name in sorted(edges[package]))
    lines += [f"Imports: {uses or 'nothing of the project'}."]
    lines += [f"Tests: {', '.join(f'{count_tests(place)} in `{place}`' for place in TESTS[package])}."]
    if package in measured:
        done, there = measured[package]
        lines += [f"Covered: {100 * done / there:.1f} % of lines and branches."]
    files = sorted(name for name in ALL if package_of(name) == package and name not in {"mqtt_core", package})
    if package == "mqtt_core.timers":
        files = [package]
    if files:
        lines += ["", "| file | lines | what for |", "|---|---:|---|"]
    for name in files:
        text = ALL[name].read_text(encoding="utf-8")
        shown = ALL[name].relative_to(package_root(package.partition(".")[0]))
        about = first_line(ast.get_docstring(ast.parse(text)))
        if shown.name != "__init__.py" or about:
            lines.append(f"| `{shown}` | {text.count(chr(10))} | {about} |")
    doors = [importlib.import_module(name) for name in DOORS.get(package, (package,))]
    public = {name: getattr(door, name) for door in doors for name in getattr(door, "__all__", ())}
    types = [(name, kind) for name, kind in public.items() if inspect.isclass(kind) and not issubclass(kind, Exception)]
    if types:
        lines += ["", "| type | what for |", "|---|---|"]
        for name, kind in types:
            shape = signature(name, kind).replace("|", "\\|")
            lines.append(f"| `{shape}` | {first_line(kind.__doc__)} |")
    return [*lines, ""]


def page() -> str:
    """The whole page."""
    edges = dependencies()
    measured = covered()
    lines = [INTRO, picture(edges), ""]
    for package in PACKAGES:
        lines += section(package, edges, measured)
    return "\n".join(lines)

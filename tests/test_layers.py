"""The import arrows of the core run one way, and no module of it reaches for the outside world.

The test reads the source of every module, imports under TYPE_CHECKING and inside functions included.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.spec.tags import package_root

# A module may import modules of its own package and of packages in rows above its own.
LAYERS: list[tuple[str, ...]] = [
    ("mqtt_core.codec.error", "mqtt_core.codec.types", "mqtt_core.codec.varint"),
    ("mqtt_core.transport",),
    ("mqtt_core.codec",),
    ("mqtt_core.topic_matcher", "mqtt_core.timers"),
    ("mqtt_core.session",),
    ("mqtt_core.persistence",),
    ("mqtt_core.router",),
    ("mqtt_core.client", "mqtt_core.broker"),
    ("mqtt_core.testing",),
    tuple(
        f"mqtt_adapters.{name}" for name in ("clock", "committing", "config", "errors", "parts", "payload", "waiter")
    ),
    tuple(f"mqtt_adapters.{name}" for name in ("driver", "storage", "users")),
    ("mqtt_adapters.client", "mqtt_adapters.server"),
    ("mqtt_adapters.websocket",),
    ("mqtt_adapters.asyncio", "mqtt_adapters.anyio", "mqtt_adapters.blocking"),
    ("mqtt_adapters.memory", "mqtt_adapters.testing"),
    ("mqtt_adapters.bin", "mqtt_adapters.pytest_plugin"),
    ("mqtt_adapters",),
]
FORBIDDEN = {
    *("asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random"),
    *("sched", "secrets", "select", "selectors", "signal", "socket", "socketserver", "ssl", "subprocess", "tempfile"),
    *("threading", "time", "uuid"),
}


def modules(package: str) -> dict[str, Path]:
    """Dotted name -> source file of every module of a package."""
    root = package_root(package)
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = [package, *path.relative_to(root).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


CORE = modules("mqtt_core")
ALL = CORE | modules("mqtt_adapters")
SEALED = {name: path for name, path in CORE.items() if not name.startswith("mqtt_core.testing")}


def imports(name: str, path: Path) -> list[tuple[int, str]]:
    """Line and dotted name of all that a module imports; `from package import module` counts as the module."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: a relative import"
            assert node.module
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                found.append((node.lineno, member if member in ALL else node.module))
    return found


def layer(name: str) -> tuple[int, str]:
    """Row of a module in LAYERS and the package that stands there."""
    for row, packages in enumerate(LAYERS):
        for package in packages:
            if name == package or name.startswith(package + "."):
                return row, package
    return layer("mqtt_core.codec")  # mqtt_core itself: it holds the version and opens the codec


@pytest.mark.parametrize("name", ALL)
def test_imports_point_one_way(name):
    row, package = layer(name)
    wrong = []
    for line, target in imports(name, ALL[name]):
        if target.partition(".")[0] not in {"mqtt_core", "mqtt_adapters"}:
            continue
        target_row, target_package = layer(target)
        if target_row > row or (target_row == row and target_package != package and row > 0):
            wrong.append(f"{name}:{line} imports {target}")
    assert wrong == []


@pytest.mark.parametrize("name", SEALED)
def test_the_core_imports_nothing_from_outside(name):
    wrong = []
    for line, target in imports(name, CORE[name]):
        top = target.partition(".")[0]
        if top in FORBIDDEN or (top != "mqtt_core" and top not in sys.stdlib_module_names):
            wrong.append(f"{name}:{line} imports {target}")
    assert wrong == []


def test_each_module_of_the_core_can_be_imported_first():
    def run(name):
        done = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False)
        return f"{name}: {done.stderr.strip().splitlines()[-1]}" if done.returncode else None

    with ThreadPoolExecutor(2) as pool:
        assert [fault for fault in pool.map(run, SEALED) if fault] == []

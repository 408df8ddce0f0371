"""Opt-in compilation of `mqtt_core` with mypyc while a wheel is built.

``MQTT_CORE_COMPILE=1 pip wheel .`` gives a platform wheel of the same distribution in which every module of
`mqtt_core` is an extension module, except `mqtt_core.testing` and a few modules; without the variable the wheel is
pure. The sources are in both wheels: Python prefers the extension module, tools read the source. A compiler that fails
fails the build; nothing falls back silently.

Errors, settings and the store in memory stay ordinary classes, because a host may derive from them, also together with
classes of its own, which C structures would not allow. Nothing is lost: none of them is used once per message.

``MQTT_CORE_OPT_LEVEL`` (0 to 3, default 3) sets the C compiler's optimisation level: 0 halves the build time.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ORDINARY = {"error.py", "config.py", "memory.py"}
COMPILER = ["mypy[mypyc]==2.4.1", "setuptools>=77"]


class CompileHook(BuildHookInterface):
    """Adds the extension modules of the core to a wheel when MQTT_CORE_COMPILE=1."""

    def dependencies(self) -> list[str]:
        """What the build environment needs: nothing for a pure wheel."""
        return COMPILER if self.wanted() else []

    def wanted(self) -> bool:
        """Whether this build compiles: asked for, and not an editable install."""
        return self.target_name == "wheel" and os.environ.get("MQTT_CORE_COMPILE", "0") == "1"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile and hand the extension modules to the wheel builder (a hook of hatchling)."""
        if not self.wanted() or version == "editable":
            return
        # mypyc derives module names from paths relative to the working directory.
        os.chdir(self.root)
        modules = sorted(Path("mqtt_core").rglob("*.py"))
        sources = [p for p in modules if p.parts[1] != "testing" and p.name not in ORDINARY]
        output = Path(tempfile.mkdtemp(prefix="mqtt-core-mypyc-"))
        for built in compile_modules([str(p) for p in sources], output):
            build_data["force_include"][str(built)] = str(built.relative_to(output / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_modules(sources: list[str], output: Path) -> list[Path]:
    """Translate `sources` as one group, compile the C code below `output`; return the extension modules."""
    from mypyc.build import mypycify  # noqa: PLC0415 - present only in a compiling build
    from setuptools import Distribution  # noqa: PLC0415 - see above

    # A module found both in the checkout and in site-packages must be the one of the checkout.
    sys.path.insert(0, str(Path.cwd()))
    extensions = mypycify(
        ["--config-file=pyproject.toml", *sources],
        opt_level=os.environ.get("MQTT_CORE_OPT_LEVEL", "3"),
        debug_level="0",
        target_dir=str(output / "c"),
    )
    command = Distribution({"name": "mqtt-core", "ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib = str(output / "lib")
    command.build_temp = str(output / "tmp")
    command.parallel = os.cpu_count() or 1
    command.ensure_finalized()
    command.run()
    return sorted(p for p in (output / "lib").rglob("*") if p.suffix in {".so", ".pyd"})

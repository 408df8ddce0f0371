"""Running a program's ``main`` inside the test, for what needs no process of its own."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture
def inside(capsys):
    """Run a program to its end in this process: (exit code, stdout, stderr), as `tests.bin.kit.run` does."""

    def run(program, *arguments):
        module = importlib.import_module(f"mqtt_adapters.bin.{program}")
        try:
            code = module.main([str(argument) for argument in arguments])
        except SystemExit as left:
            code = left.code
        return code, *capsys.readouterr()

    return run

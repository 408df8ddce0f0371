"""What the programs share: an argument parser whose errors are one line, and the way out with an error.

Law: whatever a user types wrong ends in ``NAME: what is wrong`` on stderr and exit code 1, the code mosquitto's tools
use for it. Unknown options name the nearest known one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import mqtt_core
from mqtt_adapters.config import nearest

__all__ = ["EXIT_ERROR", "Parser", "build_name", "fail", "forget_stdout", "port_number", "say"]

EXIT_ERROR: Final = 1


def fail(program: str, error: object) -> NoReturn:
    """Say what is wrong in one line and exit with code 1."""
    say(program, error)
    raise SystemExit(EXIT_ERROR)


def say(program: str, error: object) -> None:
    """Write one line to stderr, whatever the error's own text looks like."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    print(f"{program}: {' '.join(text.split())}", file=sys.stderr, flush=True)


def forget_stdout() -> None:
    """Whoever read standard output has gone: what is still written there, at exit too, goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_name() -> str:
    """Which build of the core runs: "compiled" or "pure Python"."""
    return "pure Python" if (sys.modules["mqtt_core.codec.decode"].__file__ or "").endswith(".py") else "compiled"


def port_number(text: str) -> int:
    """A TCP port, 0 to 65535, as an argument type."""
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, got {text!r}")
    return int(text)


class Parser(argparse.ArgumentParser):
    """An argument parser with ``--help`` and ``--version``, but no ``-h`` of its own and no abbreviations."""

    def __init__(self, prog: str, usage: str, description: str) -> None:
        super().__init__(
            prog=prog, usage=f"{prog} {usage}", description=description, add_help=False, allow_abbrev=False
        )
        self.add_argument("--help", action="help", help="show this text and exit")
        self.add_argument("--version", action="version", version=f"{prog} {mqtt_core.__version__} ({build_name()})")

    def error(self, message: str) -> NoReturn:
        """Report a mistake on the command line."""
        fail(self.prog, f"{message} (see {self.prog} --help)")

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """Read the command line; an unknown option is an error that names the nearest known one."""
        namespace, rest = self.parse_known_intermixed_args(argv)
        if rest:
            word = rest[0].partition("=")[0]
            known = [name for action in self._actions for name in action.option_strings]
            kind = "option" if word.startswith("-") else "argument"
            self.error(f"unknown {kind} {word!r}{nearest(word, known) if kind == 'option' else ''}")
        return namespace

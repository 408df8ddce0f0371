"""``mqtt-broker password``: a password as a file of users wants it.

Asks for it on a terminal, twice and without showing it; reads it as one line of standard input otherwise. Nothing is
written but the result, and a password is never an argument, where other users of the machine could see it.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from typing import Final

from mqtt_adapters.bin.arguments import Parser, fail
from mqtt_adapters.users import hash_password

__all__ = ["main"]

PROGRAM: Final = "mqtt-broker password"


def main(argv: Sequence[str] | None = None) -> int:
    """Print a hashed password. Returns the exit code."""
    Parser(
        PROGRAM, "", "Print a password for a file of users: asked for on a terminal, else the first line of stdin."
    ).parse(argv)
    try:
        password = _ask()
    except (EOFError, OSError, KeyboardInterrupt):
        fail(PROGRAM, "no password was given")
    if not password:
        fail(PROGRAM, "an empty password is none")
    print(hash_password(password))
    return 0


def _ask() -> bytes:
    """The password, byte for byte as a client will send it, whatever its encoding."""
    if sys.stdin is None:  # it was closed when the program began
        raise EOFError
    if not sys.stdin.isatty():
        return sys.stdin.buffer.readline().rstrip(b"\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        fail(PROGRAM, "the two are not the same")
    return password.encode(errors="surrogateescape")

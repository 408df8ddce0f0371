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
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            fail(PROGRAM, "the two are not the same")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail(PROGRAM, "an empty password is none")
    print(hash_password(password.encode()))
    return 0

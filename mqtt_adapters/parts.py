"""The parts a program brings along: that a policy and a store have the methods that will be called, that an extra is
installed.

Law: whatever is missing is said when the server or client is made, not when the first client comes. Only names are
looked at; what the methods do is up to the program.
"""

from __future__ import annotations

import importlib.util
from typing import Final

__all__ = ["check_policy", "check_store", "check_websocket"]

_POLICY: Final = (
    "authenticate",
    "continue_authentication",
    "authorize_publish",
    "authorize_subscribe",
    "authorize_deliver",
)
_STORE: Final = ("open", "load_snapshot", "apply", "close")


def check_policy(policy: object) -> None:
    """See that something is a `mqtt_core.broker.Policy`, or None. Raises TypeError."""
    _check(policy, _POLICY, "policy", "it needs the methods of mqtt_core.broker.Policy")


def check_store(store: object) -> None:
    """See that something is a `mqtt_core.persistence.Storage`, or None. Raises TypeError."""
    hint = "for a file write SqliteStore(path)" if isinstance(store, str) else "see mqtt_core.persistence.Storage"
    _check(store, _STORE, "store", hint)


def check_websocket() -> None:
    """See that WebSockets can be spoken here. Raises ValueError, which says what to install, if not."""
    if importlib.util.find_spec("websockets") is None:
        raise ValueError("the package websockets is not installed (pip install 'mqtt-core[ws]')")


def _check(part: object, methods: tuple[str, ...], name: str, hint: str) -> None:
    missing = [method for method in methods if not callable(getattr(part, method, None))]
    if part is not None and missing:
        raise TypeError(f"{name}: {type(part).__name__} has no {missing[0]}; {hint}")

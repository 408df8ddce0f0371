"""``-D COMMAND NAME VALUE``: the properties of 5.0 on the command line, in mosquitto's syntax.

Law: each property has its name and its kind of value once, in `_KINDS`; where it may stand is in `_ALLOWED`. What is
wrong is a ValueError with one line. ``-D`` takes two words for a user property and one for every other, which argparse
cannot say; so its words are taken out of the command line before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mqtt_adapters.bin.arguments import Parser
from mqtt_adapters.config import nearest
from mqtt_core.codec import NO_PROPERTIES, Properties

__all__ = ["PropertyFlags", "add_property_flag"]

_KINDS: Final[dict[str, type]] = {
    "authentication-data": bytes,
    "authentication-method": str,
    "content-type": str,
    "correlation-data": bytes,
    "maximum-packet-size": int,
    "message-expiry-interval": int,
    "payload-format-indicator": int,
    "receive-maximum": int,
    "request-problem-information": int,
    "request-response-information": int,
    "response-topic": str,
    "session-expiry-interval": int,
    "subscription-identifier": int,
    "topic-alias-maximum": int,
    "user-property": tuple,
    "will-delay-interval": int,
}
_MESSAGE: Final = (
    "content-type", "correlation-data", "message-expiry-interval", "payload-format-indicator", "response-topic",
    "user-property",
)  # fmt: skip
_ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    "connect": (
        "authentication-data", "authentication-method", "maximum-packet-size", "receive-maximum",
        "request-problem-information", "request-response-information", "session-expiry-interval",
        "topic-alias-maximum", "user-property",
    ),
    "publish": _MESSAGE,
    "will": (*_MESSAGE, "will-delay-interval"),
    "subscribe": ("subscription-identifier", "user-property"),
    "unsubscribe": ("user-property",),
    "disconnect": ("session-expiry-interval", "user-property"),
}  # fmt: skip
_OPTIONS: Final = {"session-expiry-interval": "session_expiry_s", "user-property": "user_properties"}
"""What a property of CONNECT is called as an option of `Client`, where that is another name."""


def add_property_flag(parser: Parser) -> None:
    """Show ``-D`` in the help text; its words are taken by `PropertyFlags.take`."""
    group = parser.add_argument_group("properties (5.0)")
    group.add_argument("-D", "--property", nargs=3, metavar=("COMMAND", "NAME", "VALUE"),
                       help="add a property to connect, publish, will, subscribe, unsubscribe or disconnect; "
                       "user-property has a name and a value of its own")  # fmt: skip


class PropertyFlags:
    """What was given with ``-D``. connect: options for `Client`. given: whether there is any at all."""

    def __init__(self) -> None:
        self.given = False
        self.connect: dict[str, Any] = {}
        self._values: dict[str, dict[str, Any]] = {command: {} for command in _ALLOWED}

    def take(self, argv: Sequence[str]) -> list[str]:
        """Take every ``-D`` with its words; returns the rest. Raises ValueError."""
        words, rest = list(argv), []
        while words:
            word = words.pop(0)
            if word == "--":
                rest += [word, *words]
                break
            if word not in {"-D", "--property"}:
                rest.append(word)
                continue
            count = 4 if words[1:2] == ["user-property"] else 3
            if len(words) < count:
                raise ValueError(f"{word} needs COMMAND NAME VALUE, and a user-property one value more")
            self._add(words[0], words[1], words[2:count])
            del words[:count]
        return rest

    def _add(self, command: str, name: str, values: list[str]) -> None:
        if command not in _ALLOWED:
            raise ValueError(f"-D: expected one of {', '.join(_ALLOWED)}, got {command!r}")
        if name not in _KINDS:
            raise ValueError(f"-D: unknown property {name!r}{nearest(name, [*_KINDS])}")
        if name not in _ALLOWED[command]:
            raise ValueError(f"-D: {command} has no property {name}")
        self.given = True
        value = _value(name, values)
        store = self.connect if command == "connect" else self._values[command]
        key = _OPTIONS.get(name, name.replace("-", "_")) if command == "connect" else name.replace("-", "_")
        if name == "user-property":
            key = "user_properties"
            value = (*store.get(key, ()), value)
        elif name == "subscription-identifier":
            key, value = "subscription_identifiers", (value,)
        elif name.startswith("request-"):
            value = bool(value)
        store[key] = value

    def of(self, command: str) -> Properties:
        """The properties of one command. Raises LocalProtocolError when a value is out of range."""
        values = self._values[command]
        return Properties(**values) if values else NO_PROPERTIES


def _value(name: str, values: list[str]) -> Any:
    kind = _KINDS[name]
    if kind is tuple:
        return tuple(values)
    (text,) = values
    if kind is int:
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"-D: {name}: expected a whole number, got {text!r}")
        return int(text)
    return text.encode() if kind is bytes else text

"""How ``mqtt-consumer`` writes a message: mosquitto_sub's ``-F`` format strings, and JSON.

Laws: a format is understood once, before anything is connected, and what is wrong with it is a ValueError with one
line; writing a message is then joining bytes. The payload is written byte for byte where the format says so (``%p``).

A message that is no JSON where ``%J`` wants it is an error of that message, told by `MessageFormat.write`. Not offered:
``%m``, for the packet identifier stays within the protocol.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from mqtt_core.client import MessageReceived

__all__ = ["MessageFormat"]

_ESCAPES: Final = {"\\": "\\", "0": "\0", "a": "\a", "e": "\x1b", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SPECIFIER: Final = re.compile(r"(?P<flags>[0-]*)(?P<width>\d*)(?:\.(?P<most>\d+))?(?P<name>.?)", re.DOTALL)
_PADDED_WITH_ZEROS: Final = frozenset("AEFlSXx")
_CUT: Final = frozenset("CIRt")
_DIGITS_MAX: Final = 5
"""Of the width of a field."""

Field = Callable[[MessageReceived, int], bytes]
"""A message and the time it came, in nanoseconds, to bytes."""


def _local(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone()


def _text(value: object) -> bytes:
    return b"" if value is None else str(value).encode()


_FIELDS: Final[dict[str, Field]] = {
    "A": lambda m, _: _text(m.properties.topic_alias),
    "C": lambda m, _: _text(m.properties.content_type),
    "D": lambda m, _: m.properties.correlation_data or b"",
    "E": lambda m, _: _text(m.properties.message_expiry_interval),
    "F": lambda m, _: _text(m.properties.payload_format_indicator),
    "I": lambda _, ns: _text(_local(ns).strftime("%Y-%m-%dT%H:%M:%S%z")),
    "l": lambda m, _: _text(len(m.payload)),
    "P": lambda m, _: " ".join(f"{name}:{value}" for name, value in m.properties.user_properties).encode(),
    "p": lambda m, _: m.payload,
    "q": lambda m, _: _text(m.qos),
    "R": lambda m, _: _text(m.properties.response_topic),
    "r": lambda m, _: _text(int(m.retain)),
    "S": lambda m, _: ",".join(map(str, m.properties.subscription_identifiers)).encode(),
    "t": lambda m, _: m.topic.encode(),
    "U": lambda _, ns: b"%d.%09d" % divmod(ns, 1_000_000_000),
    "X": lambda m, _: m.payload.hex().upper().encode(),
    "x": lambda m, _: m.payload.hex().encode(),
    "j": lambda m, ns: _json(m, ns, parse=False, indent=None),
    "J": lambda m, ns: _json(m, ns, parse=True, indent=None),
}


_PRETTY: Final[dict[str, Field]] = {
    "j": lambda m, ns: _json(m, ns, parse=False, indent=2),
    "J": lambda m, ns: _json(m, ns, parse=True, indent=2),
}


def _json(message: MessageReceived, ns: int, *, parse: bool, indent: int | None) -> bytes:
    """One object: the keys of mosquitto_sub, in its order. A payload that is no UTF-8 is in ``payload-base16``."""
    properties = message.properties
    found: dict[str, Any] = {
        "tst": _local(ns).strftime(f"%Y-%m-%dT%H:%M:%S.{ns // 1000 % 1_000_000:06d}%z"),
        "topic": message.topic,
        "qos": message.qos,
        "retain": int(message.retain),
        "payloadlen": len(message.payload),
    }
    told = {
        "content-type": properties.content_type,
        "correlation-data": (properties.correlation_data or b"").decode(errors="backslashreplace") or None,
        "response-topic": properties.response_topic,
        "user-properties": dict(properties.user_properties) or None,
        "payload-format-indicator": properties.payload_format_indicator,
        "message-expiry-interval": properties.message_expiry_interval,
        "subscription-identifier": list(properties.subscription_identifiers) or None,
    }
    if told := {name: value for name, value in told.items() if value is not None}:
        found["properties"] = told
    separators = (",", ":") if indent is None else None
    try:
        if parse:
            found["payload"] = json.loads(message.payload)
        else:
            found.update(_payload(message.payload))
        return json.dumps(found, ensure_ascii=False, allow_nan=False, separators=separators, indent=indent).encode()
    except (ValueError, RecursionError):  # nothing but the payload can be wrong
        raise ValueError(f"the message on topic {message.topic} is not valid JSON") from None


def _payload(payload: bytes) -> dict[str, str]:
    try:
        return {"payload": payload.decode()}
    except UnicodeDecodeError:
        return {"payload-base16": payload.hex()}


class MessageFormat:
    """A format string that has been understood. pretty: JSON takes several lines.

    Raises:
        ValueError: it contains a sequence that does not exist, or ends within one.
    """

    def __init__(self, text: str, *, pretty: bool = False) -> None:
        self._fields = _FIELDS | _PRETTY if pretty else _FIELDS
        self._parts: list[Field] = []
        literal = ""
        position = 0
        while position < len(text):
            char = text[position]
            position += 1
            if char not in "%@\\":
                literal += char
                continue
            if position == len(text):
                raise ValueError(f"the format ends with {char!r}")
            if text[position] == char:
                literal += char
                position += 1
            elif char == "\\":
                literal += self._escape(text[position])
                position += 1
            else:
                self._add_literal(literal)
                literal = ""
                if char == "@":
                    self._parts.append(_time_field(text[position]))
                    position += 1
                else:
                    position = self._add_field(text, position)
        self._add_literal(literal)

    @staticmethod
    def _escape(char: str) -> str:
        if char not in _ESCAPES:
            raise ValueError(f"the format has no sequence '\\{char}'")
        return _ESCAPES[char]

    def _add_literal(self, text: str) -> None:
        if text:
            data = text.encode(errors="surrogateescape")
            self._parts.append(lambda _, __: data)

    def _add_field(self, text: str, position: int) -> int:
        match = _SPECIFIER.match(text, position)
        assert match is not None
        name = match["name"]
        if name not in self._fields:
            raise ValueError(f"the format has no sequence '%{match[0]}'")
        if max(len(match["width"]), len(match["most"] or "")) > _DIGITS_MAX:
            raise ValueError(f"a field of the format is at most {'9' * _DIGITS_MAX} characters wide")
        field = self._fields[name]
        width, most = int(match["width"] or 0), int(match["most"]) if match["most"] and name in _CUT else None
        left = "-" in match["flags"]
        fill = b"0" if "0" in match["flags"] and name in _PADDED_WITH_ZEROS and not left else b" "

        def padded(message: MessageReceived, ns: int) -> bytes:
            data = field(message, ns)[:most]
            return data.ljust(width, fill) if left else data.rjust(width, fill)

        self._parts.append(padded if width or most is not None else field)
        return match.end()

    def write(self, message: MessageReceived, ns: int | None = None) -> bytes:
        """The message in this format. ns: when it came, nanoseconds since 1970; now if it is not given.

        Raises:
            ValueError: ``%J`` wants JSON and the message is none.
        """
        at = time.time_ns() if ns is None else ns
        return b"".join([part(message, at) for part in self._parts])


def _time_field(char: str) -> Field:
    if char == "N":
        return lambda _, ns: b"%09d" % (ns % 1_000_000_000)
    return lambda _, ns: _local(ns).strftime(f"%{char}").encode()

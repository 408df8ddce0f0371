"""The page of the command-line programs: their own parsers, written down as tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from unittest.mock import patch

from mqtt_adapters.bin import broker, consumer, inspect, password, producer
from mqtt_adapters.bin.arguments import Parser

INTRO = """# Programs

Three programs come with the package. `--help` of each says what stands here. A mistake on the command line is one
line on stderr and exit code 1; an unknown option names the nearest known one.

```sh
.venv/bin/mqtt-broker --port 1883
.venv/bin/mqtt-consumer -v -t 'room/#'
.venv/bin/mqtt-producer -t room/hall -m 21.5 -q 1
```

| exit code | meaning |
|---:|---|
| 0 | done: the broker has drained, every message has been acknowledged, as many have come as were wanted |
| 1 | a mistake on the command line, a refused start, a failure |
| 27 | `mqtt-consumer -W`: the time is over |
| other | the CONNACK code with which the server refused the connection |
| 130 | interrupted |
| 143 | `mqtt-producer` ended by SIGTERM before every message was acknowledged |
"""

PROGRAMS: tuple[tuple[str, Callable[[Sequence[str]], int], str], ...] = (
    (
        "mqtt-broker",
        broker.main,
        """Settings come from flags, from the TOML file given with `-c`, and from defaults, in this order.
{doc}`guides/run-the-broker` shows the usual ones, {doc}`concepts/limits` says what each limit does.""",
    ),
    ("mqtt-broker inspect", inspect.main, "Reads a store of a broker or a client; a broker may be using it."),
    ("mqtt-broker password", password.main, "The result belongs into a file of users: {doc}`guides/run-the-broker`."),
    ("mqtt-producer", producer.main, "Exit code 0 means that the server has every message."),
    ("mqtt-consumer", consumer.main, "QoS 1 and 2 messages are acknowledged once they have been written out."),
)


class Caught(Exception):
    """Carries a parser out of the program that made it."""


def parser_of(main: Callable[[Sequence[str]], int]) -> argparse.ArgumentParser:
    """The parser a program reads its command line with."""

    def catch(parser: Parser, _argv: Sequence[str] | None) -> None:
        raise Caught(parser)

    with patch.object(Parser, "parse", catch):
        try:
            main([])
        except Caught as caught:
            return caught.args[0]
    raise AssertionError("the program did not parse its command line")


def cell(text: str) -> str:
    """Text as a cell of a table."""
    return text.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*").replace("_", "\\_")


def option(action: argparse.Action) -> str:
    """How an option is written, with its argument."""
    words = ", ".join(f"`{name}`" for name in action.option_strings)
    argument = action.metavar or ("|".join(action.choices) if action.choices else "")
    if not words:
        return f"`{action.metavar}`"
    return f"{words} `{argument}`".replace("|", "\\|") if argument and action.nargs != 0 else words


def page() -> str:
    """The whole page."""
    lines = [INTRO]
    for name, main, note in PROGRAMS:
        parser = parser_of(main)
        lines += [f"## {name}", "", parser.description or "", "", note, ""]
        lines += ["```text", parser.format_usage().strip(), "```", ""]
        for group in parser._action_groups:  # noqa: SLF001 - argparse has no other way to its groups
            actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS]  # noqa: SLF001 - see above
            if actions:
                title = {"positional arguments": "Arguments", "options": "Options"}.get(group.title or "", group.title)
                lines += [f"{title[:1].upper()}{title[1:]}:" if title else "", "", "| option | meaning |", "|---|---|"]
                formatter = parser._get_formatter()  # noqa: SLF001 - see above
                lines += [f"| {option(a)} | {cell(formatter._expand_help(a))} |" for a in actions]  # noqa: SLF001 - see above
                lines.append("")
    return "\n".join(lines)

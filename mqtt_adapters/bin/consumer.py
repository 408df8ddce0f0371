"""``mqtt-consumer``: subscribe, and write messages to standard output.

    mqtt-consumer -v 'house/#'                   topic and message, a line each
    mqtt-consumer -C 1 -W 5 house/lamp           one message, or exit code 27 after five seconds

Law: a message is written whole, as it came, at once when no other one waits. With -C the program ends after so many
messages; QoS 1 and 2 messages it has written are acknowledged, others stay with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from mqtt_adapters.asyncio import Client
from mqtt_adapters.bin.arguments import EXIT_ERROR, Parser, fail, say
from mqtt_adapters.bin.client_arguments import (
    EXIT_TIMEOUT,
    add_connection_flags,
    check_each,
    debug,
    make_client,
    parse_flags,
    quality,
    run_program,
    seconds,
    whole_number,
)
from mqtt_adapters.bin.output import Output
from mqtt_adapters.bin.output_format import MessageFormat
from mqtt_adapters.errors import SubscribeError
from mqtt_core.client import MessageReceived
from mqtt_core.codec import MqttError
from mqtt_core.topic_matcher import TopicFilter, check_filter

PROGRAM: Final = "mqtt-consumer"
TOGETHER_MAX: Final = 100
"""Messages that are written and acknowledged together, however many others wait."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit code."""
    namespace = _parse(argv)
    try:
        client = make_client(namespace, manual_ack=True)
        if not (namespace.topics or namespace.unsubscribe):
            raise ValueError("which topic? (-t TOPIC)")
        check_each(check_filter, [*namespace.topics, *namespace.unsubscribe, *namespace.filter_out])
        pretty = namespace.pretty
        namespace.write = (
            MessageFormat(namespace.output_format, pretty=pretty).write if namespace.output_format else _payload
        )
        namespace.properties.of("subscribe")
        namespace.filter_out = [TopicFilter(pattern) for pattern in namespace.filter_out]
    except (MqttError, OSError, ValueError) as error:
        fail(PROGRAM, error)
    return run_program(PROGRAM, namespace, _consume(client, namespace))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        PROGRAM,
        "[-h HOST] [-p PORT] [-q QOS] [-C COUNT] [-W SECONDS] [-v] TOPIC ... [OPTION ...]",
        "Subscribe to MQTT topics and write the messages to standard output.",
    )
    what = parser.add_argument_group("what")
    what.add_argument("topics", metavar="TOPIC", nargs="*", help="topic filter to subscribe to; + and # are wildcards")
    what.add_argument("-t", "--topic", metavar="TOPIC", action="append", default=[], help="the same as an option")
    what.add_argument("-q", "--qos", metavar="QOS", type=quality, default=0, help="highest quality of service, 0 to 2")
    what.add_argument("-T", "--filter-out", metavar="TOPIC", action="append", default=[], help="do not show these")
    what.add_argument("-U", "--unsubscribe", metavar="TOPIC", action="append", default=[],
                      help="give up a subscription of an earlier session")  # fmt: skip
    what.add_argument("-R", "--no-retained", action="store_true", help="no messages that were retained")
    what.add_argument("--retained-only", action="store_true", help="exit at the first message that was not retained")
    what.add_argument("--remove-retained", action="store_true", help="make the server forget the retained ones shown")
    how_long = parser.add_argument_group("how long")
    how_long.add_argument("-C", "-n", "--count", metavar="N", type=whole_number, help="exit after so many messages")
    how_long.add_argument("-W", "--timeout", metavar="S", type=seconds, help="exit after so many seconds, with 27")
    how_long.add_argument("-E", "--exit-after-subscribe", action="store_true", help="exit when subscribed")
    output = parser.add_argument_group("output")
    output.add_argument("-v", "--verbose", action="store_true", help="write the topic in front of each message")
    output.add_argument("-F", "--output-format", metavar="FORMAT",
                        help="as mosquitto_sub's, such as '%%t %%q %%p' or '%%j'")  # fmt: skip
    output.add_argument("--json", action="store_true", help="each message as a line of JSON, the same as -F %%j")
    output.add_argument("--pretty", action="store_true", help="JSON on several lines, for people")
    output.add_argument("-N", "--no-newline", action="store_true", help="no end of line behind a message")
    add_connection_flags(parser)
    namespace = parse_flags(parser, argv)
    if namespace.json:
        namespace.output_format = "%j"
    elif namespace.output_format is None and namespace.verbose:
        namespace.output_format = "%t %p"
    return namespace


async def _consume(client: Client, namespace: argparse.Namespace) -> int:
    try:
        async with asyncio.timeout(namespace.timeout) as limit, client:
            if namespace.debug:
                debug(client)
            if not await _subscribe(client, namespace):
                return EXIT_ERROR
            if not namespace.exit_after_subscribe:
                await _write_messages(client, namespace)
    except TimeoutError:
        if not limit.expired():
            raise
        if not namespace.quiet:
            say(PROGRAM, "timed out")
        return EXIT_TIMEOUT
    return 0


async def _subscribe(client: Client, namespace: argparse.Namespace) -> bool:
    """Subscribe to what was asked for; a topic that is refused is told, and only if all are the program ends."""
    if namespace.unsubscribe:
        await client.unsubscribe(namespace.unsubscribe, properties=namespace.properties.of("unsubscribe"))
    if not namespace.topics:
        return True
    try:
        properties = namespace.properties.of("subscribe")
        await client.subscribe(namespace.topics, namespace.qos, properties=properties)
    except SubscribeError as error:
        if not namespace.quiet:
            say(PROGRAM, error)
        return any(code < 0x80 for code in error.reason_codes)
    return True


async def _write_messages(client: Client, namespace: argparse.Namespace) -> None:
    out = Output()
    lines: list[bytes] = []
    taken: list[MessageReceived] = []
    left: int | None = namespace.count
    over = False
    async for message in client.messages:
        if namespace.retained_only and not message.retain:
            over = True
        else:
            taken.append(message)
            if _is_wanted(message, namespace):
                lines += _lines(message, namespace)
                if left is not None:
                    left -= 1
                    over = left == 0
        if over or not len(client.messages) or len(taken) >= TOGETHER_MAX:
            await out.write(b"".join(lines))
            for written in taken:
                if namespace.remove_retained and written.retain and _is_wanted(written, namespace):
                    await client.publish(written.topic, b"", qos=min(1, namespace.qos), retain=True)
                if written.token:
                    client.acknowledge(written)
            lines.clear()
            taken.clear()
        if over:
            break


def _lines(message: MessageReceived, namespace: argparse.Namespace) -> list[bytes]:
    """What is to be written of a message; nothing but a word on stderr when it does not suit the format."""
    try:
        line = namespace.write(message)
    except ValueError as error:
        say(PROGRAM, error)
        return []
    return [line if namespace.no_newline else line + b"\n"]


def _payload(message: MessageReceived) -> bytes:
    return message.payload


def _is_wanted(message: MessageReceived, namespace: argparse.Namespace) -> bool:
    if namespace.no_retained and message.retain:
        return False
    return not any(pattern.matches(message.topic) for pattern in namespace.filter_out)


if __name__ == "__main__":
    sys.exit(main())

"""``mqtt-producer``: publish messages from the command line.

    mqtt-producer -t house/lamp -m on            one message
    tail -f log | mqtt-producer house/log        a message for each line of standard input

Law: when it exits with 0, every message has been acknowledged as its QoS asks; SIGTERM before that is 143, as of a
program that does nothing about it. Messages of one topic keep their order.
Lines are published as they come, a bounded number of them at a time; a server that is slow makes the reading of
standard input slow, and loses nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from mqtt_adapters.asyncio import Client
from mqtt_adapters.bin.arguments import Parser, fail
from mqtt_adapters.bin.client_arguments import (
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
from mqtt_adapters.bin.message_progress import MessageProgress
from mqtt_core.codec import MqttError, Properties
from mqtt_core.topic_matcher import check_topic

PROGRAM: Final = "mqtt-producer"
STDIN: Final = 0
READ_BYTES: Final = 65_536
EXIT_TERMINATED: Final = 128 + 15
CHUNKS_MAX: Final = 16
"""Chunks of standard input read ahead of what has been published."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit code."""
    namespace = _parse(argv)
    try:
        client = make_client(namespace)
        if not namespace.topics:
            raise ValueError("which topic? (-t TOPIC)")
        check_each(check_topic, namespace.topics)
        namespace.properties.of("publish")
    except (MqttError, OSError, ValueError) as error:
        fail(PROGRAM, error)
    return run_program(PROGRAM, namespace, _produce(client, namespace), terminated=EXIT_TERMINATED)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        PROGRAM,
        "[-h HOST] [-p PORT] [-q QOS] [-r] TOPIC [-m MESSAGE | -n | -f FILE | -s | -l] [OPTION ...]",
        "Publish MQTT messages. Without -m, -n, -f and -s, each line of standard input is a message.",
    )
    what = parser.add_argument_group("what")
    what.add_argument("topics", metavar="TOPIC", nargs="*", help="topic to publish to; several get every message each")
    what.add_argument("-t", "--topic", metavar="TOPIC", action="append", default=[], help="the same as an option")
    message = what.add_mutually_exclusive_group()
    message.add_argument("-m", "--message", metavar="TEXT", help="the message")
    message.add_argument("-n", "--null-message", action="store_true", help="an empty message")
    message.add_argument("-f", "--file", metavar="FILE", help="the contents of a file as one message")
    message.add_argument("-s", "--stdin-file", action="store_true", help="all of standard input as one message")
    message.add_argument("-l", "--stdin-line", action="store_true", help="each line of standard input (default)")
    what.add_argument("-q", "--qos", metavar="QOS", type=quality, default=0, help="quality of service, 0 to 2")
    what.add_argument("-r", "--retain", action="store_true", help="the server keeps the message for new subscribers")
    what.add_argument("--repeat", metavar="N", type=whole_number, default=1, help="publish so many times (not lines)")
    what.add_argument("--repeat-delay", metavar="S", type=seconds, default=0.0, help="seconds between repetitions")
    what.add_argument("-M", "--max-inflight", metavar="N", type=whole_number, default=1000,
                      help="QoS 1 and 2 messages under way at a time (default 1000)")  # fmt: skip
    add_connection_flags(parser)
    return parse_flags(parser, argv)


async def _produce(client: Client, namespace: argparse.Namespace) -> int:
    one = _given_message(namespace)
    if namespace.stdin_file:
        one = b"".join([chunk async for chunk in _chunks()])
    progress = MessageProgress(PROGRAM, None if namespace.quiet or namespace.debug else sys.stderr)
    try:
        async with client:
            if namespace.debug:
                debug(client)
            publisher = _Publisher(client, namespace, progress)
            try:
                await _publish_all(publisher, namespace, one)
            finally:
                await publisher.give_up()
    finally:
        progress.finish()
    return 0


async def _publish_all(publisher: _Publisher, namespace: argparse.Namespace, one: bytes | None) -> None:
    if one is None:
        async for line in _lines():
            await publisher.publish(line)
    else:
        for number in range(namespace.repeat):
            if number and namespace.repeat_delay:
                await asyncio.sleep(namespace.repeat_delay)
            await publisher.publish(one)
    await publisher.finish()


def _given_message(namespace: argparse.Namespace) -> bytes | None:
    """The one message to publish, None when standard input has to be read."""
    if namespace.message is not None:
        return os.fsencode(namespace.message)
    if namespace.null_message:
        return b""
    if namespace.file is not None:
        return Path(namespace.file).read_bytes()
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    return None


class _Publisher:
    """Publishes in order, a bounded number of unacknowledged messages at a time; the first failure ends it."""

    def __init__(self, client: Client, namespace: argparse.Namespace, progress: MessageProgress) -> None:
        self._client = client
        self._progress = progress
        self._topics: list[str] = namespace.topics
        self._qos: int = namespace.qos
        self._retain: bool = namespace.retain
        self._properties: Properties = namespace.properties.of("publish")
        self._max: int = namespace.max_inflight
        self._under_way: set[asyncio.Task[object]] = set()

    async def publish(self, payload: bytes) -> None:
        """Publish to every topic; waits while too much is under way."""
        self._progress.count(len(self._topics))
        for topic in self._topics:
            work = self._client.publish(topic, payload, qos=self._qos, retain=self._retain, properties=self._properties)
            if self._qos == 0:
                await work
                continue
            self._under_way.add(asyncio.create_task(work))
            if len(self._under_way) >= self._max:
                await self._wait(asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait until everything has been acknowledged."""
        if self._under_way:
            await self._wait(asyncio.ALL_COMPLETED)

    async def give_up(self) -> None:
        """Wait no more for what has not been acknowledged."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _wait(self, until: str) -> None:
        done, self._under_way = await asyncio.wait(self._under_way, return_when=until)
        # Of many that fail together, one is told.
        for failure in [task.exception() for task in done]:
            if failure is not None:
                raise failure


async def _lines() -> AsyncIterator[bytes]:
    """Lines of standard input without their ends; a last one without an end counts if it is not empty."""
    rest = b""
    async for chunk in _chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


async def _chunks() -> AsyncIterator[bytes]:
    """What standard input gives, as it comes. A thread reads it, because a file cannot be waited for; it is a daemon
    and reads the descriptor itself, so that it does not keep an interrupted program from ending."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(CHUNKS_MAX)

    def read() -> None:
        data: bytes | OSError = b"-"
        while data and not isinstance(data, OSError):
            room.acquire()
            try:
                data = os.read(STDIN, READ_BYTES)
            except OSError as error:
                data = error
            try:
                loop.call_soon_threadsafe(queue.put_nowait, data)
            except RuntimeError:  # the loop is closed: the program is about to end
                return

    threading.Thread(target=read, daemon=True).start()
    while data := await queue.get():
        room.release()
        if isinstance(data, OSError):
            raise data
        yield data


if __name__ == "__main__":
    sys.exit(main())

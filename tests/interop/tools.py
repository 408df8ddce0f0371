"""Partners that are command-line programs: mosquitto's tools and paho's C samples.

A connection is a process. To connect only notes the options; `subscribe` starts the subscriber and waits until it has
seen its SUBACK; `publish` runs the publisher to its end and asks for exit code 0.
"""

from __future__ import annotations

import asyncio
import re
from typing import ClassVar

from tests.interop.partner import PATIENCE_S, Client, Message, Options, end_process


class Tool(Client):
    """What the programs have in common; a subclass knows the command lines and the output."""

    subscriber: asyncio.subprocess.Process | None = None
    tasks: tuple[asyncio.Task[None], ...] = ()

    async def open(self, options: Options) -> bool | None:
        self.options = options
        return None

    def subscriber_command(self, pattern: str, qos: int) -> list[str]:
        raise NotImplementedError

    def publisher_command(self, message: Message) -> list[str]:
        raise NotImplementedError

    def on_output(self, line: str) -> None:
        """A line of the subscriber's standard output."""
        raise NotImplementedError

    def on_error(self, line: str) -> None:
        """A line of the subscriber's standard error."""
        raise NotImplementedError

    async def subscribe(self, pattern: str, qos: int) -> None:
        pipe = asyncio.subprocess.PIPE
        self.ready = asyncio.Event()
        self.stopping = False
        command = self.subscriber_command(pattern, qos)
        self.subscriber = process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        assert process.stdout
        assert process.stderr
        self.tasks = (
            asyncio.create_task(self.read(process.stdout, self.on_output)),
            asyncio.create_task(self.read(process.stderr, self.on_error)),
        )
        await asyncio.wait_for(self.ready.wait(), PATIENCE_S)

    async def resume(self, pattern: str, qos: int) -> None:
        await self.subscribe(pattern, qos)

    async def read(self, stream, on_line) -> None:
        async for line in stream:
            if not self.stopping:
                on_line(line.decode().rstrip("\n"))

    async def publish(self, message: Message) -> None:
        pipe = asyncio.subprocess.PIPE
        command = self.publisher_command(message)
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 0, output.decode()

    async def close(self, *, abrupt: bool) -> None:
        # A signal that arrives while a program prints makes it print the line once more.
        self.stopping = True
        await end_process(self.subscriber, kill=abrupt)
        self.subscriber = None
        await asyncio.gather(*self.tasks)
        self.tasks = ()


class Mosquitto(Tool):
    """mosquitto_pub and mosquitto_sub."""

    asks_for_will = frozenset({"5.0"})

    def common(self, program: str, client_id: str) -> list[str]:
        version = {"3.1.1": "mqttv311", "5.0": "mqttv5"}[self.options.version]
        return [program, "-h", self.host, "-p", str(self.port), "-V", version, "-i", client_id]

    def subscriber_command(self, pattern: str, qos: int) -> list[str]:
        command = self.common("mosquitto_sub", self.options.client_id)
        # stdbuf because the program writes to a pipe.
        command = ["stdbuf", "-oL", *command, *self.output_options(), "-t", pattern, "-q", str(qos)]
        if self.options.keep and not self.options.clean:
            command += ["-c"]
        if will := self.options.will:
            command += [
                "--will-topic",
                will.topic,
                "--will-payload",
                will.payload.decode(),
                "--will-qos",
                str(will.qos),
            ]
            command += ["--will-retain"] if will.retain else []
        return command

    def output_options(self) -> list[str]:
        """What makes the subscriber tell of the SUBACK, and of all there is to know of a message."""
        return ["-d", "-F", "msg\\t%t\\t%q\\t%r\\t%p"]

    def publisher_command(self, message: Message) -> list[str]:
        command = self.common("mosquitto_pub", self.options.client_id + "-pub")
        command += ["-t", message.topic, "-q", str(message.qos)]
        command += ["-m", message.payload.decode()] if message.payload else ["-n"]
        return command + (["-r"] if message.retain else [])

    def on_output(self, line: str) -> None:
        if line.startswith("msg\t"):
            _, topic, qos, retain, payload = line.split("\t", 4)
            self.inbox.put_nowait(Message(topic, payload.encode(), int(qos), retain == "1"))
        elif line.startswith("Subscribed"):
            self.ready.set()

    def on_error(self, line: str) -> None:
        raise AssertionError(line)


class PahoC(Tool):
    """paho_c_pub and paho_c_sub (asynchronous library). They always ask for a session that ends with the connection.

    The protocol trace on standard error gives QoS and retain flag; a message is on standard output after its trace.
    """

    keeps_sessions = False
    programs: ClassVar[tuple[str, str]] = ("paho_c_pub", "paho_c_sub")
    message_line: ClassVar[re.Pattern[str]] = re.compile(r"\d+ (\S+)\t(.*)")

    def common(self, program: str, topic: str) -> list[str]:
        version = {"3.1.1": "311", "5.0": "5"}[self.options.version]
        return [program, topic, "-h", self.host, "-p", str(self.port), "-V", version]

    def subscriber_command(self, pattern: str, qos: int) -> list[str]:
        self.traces: asyncio.Queue[tuple[int, bool]] = asyncio.Queue()
        self.lines: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        command = self.common(self.programs[1], pattern)
        command += ["-i", self.options.client_id, "-q", str(qos), "--verbose", "--trace", "protocol"]
        if will := self.options.will:
            command += [
                "--will-topic",
                will.topic,
                "--will-payload",
                will.payload.decode(),
                "--will-qos",
                str(will.qos),
            ]
            command += ["--will-retain"] if will.retain else []
        return ["stdbuf", "-oL", *command]

    def publisher_command(self, message: Message) -> list[str]:
        command = self.common(self.programs[0], message.topic)
        command += ["-i", self.options.client_id + "-pub", "-q", str(message.qos)]
        command += ["-m", message.payload.decode()] if message.payload else ["-n"]
        return command + (["-r"] if message.retain else [])

    def on_output(self, line: str) -> None:
        if found := self.message_line.fullmatch(line):
            self.lines.put_nowait((found[1], found[2].encode()))
            self.pair()

    def on_error(self, line: str) -> None:
        if found := re.search(r"<- PUBLISH msgid: \d+ qos: (\d) retained: (\d)", line):
            self.traces.put_nowait((int(found[1]), found[2] == "1"))
            self.pair()
        elif "<- SUBACK" in line:
            self.ready.set()

    def pair(self) -> None:
        """The two streams are read apart: a message is known when both have told of it."""
        while not self.traces.empty() and not self.lines.empty():
            (topic, payload), (qos, retain) = self.lines.get_nowait(), self.traces.get_nowait()
            self.inbox.put_nowait(Message(topic, payload, qos, retain))


class PahoCSync(PahoC):
    """paho_cs_pub and paho_cs_sub (synchronous library)."""

    programs = ("paho_cs_pub", "paho_cs_sub")
    message_line = re.compile(r"(\S+)\t(.*)")

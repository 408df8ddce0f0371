"""What the interop tests ask of a client, whoever wrote it.

Each partner is one class. A library is driven in this process or, where it is not Python, through a small program; a
command-line tool is started as a process for each connection. What a tool cannot show (paho's C samples, for example,
keep no session) its class says in `keeps_sessions`.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

PATIENCE_S = 20.0
SESSION_EXPIRY_S = 3600


@dataclass(frozen=True)
class Message:
    """A message, as its publisher gives it and as its receiver shows it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False


@dataclass
class Options:
    """How to connect: `keep` asks for a session that outlives the connection, `clean` for a new one."""

    client_id: str
    version: str
    clean: bool = True
    keep: bool = False
    will: Message | None = None


class Client(ABC):
    """One client towards one broker. `connect` may be called again after `drop` or `disconnect`."""

    ours: ClassVar[bool] = False  # our own client, which is tried against mosquitto
    keeps_sessions: ClassVar[bool] = True
    asks_for_will: ClassVar[frozenset[str]] = frozenset()  # versions in which it leaves with DISCONNECT 0x04

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.is_open = False
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()

    async def connect(self, options: Options) -> bool | None:
        """Connect; return Session Present, or None when this partner does not tell."""
        self.is_open = True
        return await self.open(options)

    async def drop(self) -> None:
        """Close the connection with no DISCONNECT."""
        self.is_open = False
        await self.close(abrupt=True)

    async def disconnect(self) -> None:
        """Send DISCONNECT and close."""
        self.is_open = False
        await self.close(abrupt=False)

    @abstractmethod
    async def open(self, options: Options) -> bool | None:
        """What `connect` does."""

    @abstractmethod
    async def close(self, *, abrupt: bool) -> None:
        """What `drop` (abrupt) and `disconnect` do."""

    @abstractmethod
    async def subscribe(self, pattern: str, qos: int) -> None:
        """Subscribe and wait for the acknowledgement."""

    async def resume(self, pattern: str, qos: int) -> None:
        """After `connect` to a kept session: begin to receive. A tool has to be told its subscription again."""
        del pattern, qos

    @abstractmethod
    async def publish(self, message: Message) -> None:
        """Publish and wait until the flow of the message's QoS is complete."""

    def shown(self, message: Message) -> Message:
        """The message with what this partner shows of it."""
        return message

    async def receive(self, count: int = 1) -> list[Message]:
        """The next messages; fails when they do not come."""
        found: list[Message] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(found) < count:
                    found.append(await self.inbox.get())
        except TimeoutError:
            raise AssertionError(f"{len(found)} of {count} messages came: {found}") from None
        return found

    async def receive_until(self, last: bytes) -> list[Message]:
        """All messages up to and without the one with this payload."""
        found: list[Message] = []
        while (message := (await self.receive())[0]).payload != last:
            found.append(message)
        return found


async def end_process(process: asyncio.subprocess.Process | None, *, kill: bool = False) -> None:
    """Stop a process that this suite started and wait for it."""
    if process is None:
        return
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill() if kill else process.terminate()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

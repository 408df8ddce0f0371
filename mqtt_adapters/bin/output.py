"""Standard output that never stops the event loop: a reader that has fallen asleep, such as a pager, holds up what is
written and nothing else. Pings go on, and a signal still ends the program.

Law: what is given is written whole and in order. Only pipes, sockets and terminals are waited for; a file is always
ready, and so is everything on Windows, whose loop cannot watch a pipe.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import sys
from typing import Final

__all__ = ["Output"]

PIECE_BYTES: Final = getattr(select, "PIPE_BUF", 512)
"""What a pipe that is ready takes at once."""


class Output:
    """The standard output of an asyncio program. Raises ValueError when it is closed."""

    def __init__(self) -> None:
        if sys.stdout is None:
            raise ValueError("standard output is closed")
        self._descriptor = sys.stdout.fileno()
        self._may_block = sys.platform != "win32" and not stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    async def write(self, data: bytes) -> None:
        """Write all of `data`. Raises OSError, such as BrokenPipeError when the reader has gone."""
        rest = memoryview(data)
        piece = PIECE_BYTES if self._may_block else len(data)
        while rest:
            if self._may_block:
                await self._ready()
            rest = rest[os.write(self._descriptor, rest[:piece]) :]

    async def _ready(self) -> None:
        if select.select([], [self._descriptor], [], 0)[1]:
            return
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._descriptor)

"""A stream of messages as an asynchronous iterator.

Law: reading from a buffer that has something takes no turn of the loop; a stream that paused the connection lets it go
on as soon as it has room.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mqtt_adapters.client.streams import MessageBuffer
from mqtt_core.client import MessageReceived

if TYPE_CHECKING:
    from mqtt_adapters.client.async_client import AsyncLoop

__all__ = ["MessageStream"]


class MessageStream:
    """Messages of one filter, or those nobody else asked for: ``async for message in stream``. Made by `Client.stream`.

    Several tasks may read one stream; each message goes to one of them.
    """

    def __init__(self, loop: AsyncLoop[Any], buffer: MessageBuffer, row: Any = None) -> None:
        self._loop = loop
        self._buffer = buffer
        self._row = row

    @property
    def dropped(self) -> int:
        """Messages lost because the buffer was full."""
        return self._buffer.dropped

    def __len__(self) -> int:
        return len(self._buffer.items)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MessageReceived:
        buffer = self._buffer
        while not buffer.items:
            if buffer.ended:
                if buffer.error is not None:
                    raise buffer.error
                raise StopAsyncIteration
            waiter = self._loop.new_waiter()
            buffer.waiters.append(waiter)
            try:
                await self._loop.wait(waiter, None)
            except BaseException:
                buffer.forget(waiter)
                raise
        was_full = buffer.full
        message = buffer.pop()
        if was_full and not buffer.full:
            self._loop.reading_resumed()
        return message

    def close(self) -> None:
        """End the stream; messages that match go elsewhere from now on."""
        if self._row is not None:
            self._loop.driver.drop_buffer(self._buffer, self._row)
            self._loop.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

"""A stream of messages as an ordinary iterator.

Law: messages are taken under the client's lock and handled without it; a stream that paused the connection lets it go
on as soon as it has room.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mqtt_adapters.blocking.waiting import ThreadWaiter
from mqtt_adapters.client.streams import MessageBuffer
from mqtt_adapters.errors import OperationTimeout
from mqtt_core.client import MessageReceived

if TYPE_CHECKING:
    from mqtt_adapters.blocking.client_loop import ClientLoop

__all__ = ["MessageStream"]


class MessageStream:
    """Messages of one filter, or those nobody else asked for: ``for message in stream``. Made by `Client.stream`.

    Iterating ends when there was no message for `timeout` seconds, or the client is closed; a stream can be iterated
    again. Several threads may read one stream; each message goes to one of them.
    """

    def __init__(self, loop: ClientLoop, buffer: MessageBuffer, row: Any, timeout: float | None) -> None:
        self._loop = loop
        self._buffer = buffer
        self._row = row
        self._timeout = timeout

    @property
    def dropped(self) -> int:
        """Messages lost because the buffer was full."""
        return self._buffer.dropped

    def __len__(self) -> int:
        return len(self._buffer.items)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> MessageReceived:
        buffer = self._buffer
        loop = self._loop
        while True:
            with loop.lock:
                if buffer.items:
                    was_full = buffer.full
                    message = buffer.pop()
                    if was_full and not buffer.full and not loop.driver.follow_buffers():
                        loop.done()
                    return message
                if buffer.ended:
                    if buffer.error is not None:
                        raise buffer.error
                    raise StopIteration
                waiter = ThreadWaiter()
                buffer.waiters.append(waiter)
            try:
                loop.wait(waiter, self._timeout)
            except BaseException as error:
                with loop.lock:
                    buffer.forget(waiter)
                if isinstance(error, OperationTimeout):
                    raise StopIteration from None
                raise

    def close(self) -> None:
        """End the stream; messages that match go elsewhere from now on."""
        if self._row is not None:
            with self._loop.lock:
                self._loop.driver.drop_buffer(self._buffer, self._row)
                self._loop.done()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

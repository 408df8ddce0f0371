"""From a stream of chunks to whole frames.

A frame is a fixed header (one byte, then the remaining length) and as many bytes as that length says. The reader
keeps what it was fed in ``chunk``, of which ``position`` bytes are used up; ``later_size`` more bytes wait behind it to
be joined. The three are public: a faster path may scan the chunk by itself and move ``position`` over the frames it has
dealt with, as long as it leaves the end of the chunk, where a frame may be cut off, to :meth:`FrameReader.next_frame`.

Laws: a length is believed only as far as bytes have arrived for it (nothing is allocated from it); a frame above
the limit is refused from its header; the bytes of a large frame are joined once, however many chunks brought it;
of a used-up chunk nothing is kept but the unfinished tail.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.codec.error import PacketTooLarge
from mqtt_core.codec.varint import decode_varint

__all__ = ["FrameReader"]

SMALL_MAX: Final = 4096
"""Pieces of an unfinished frame are put together up to this size, so that many tiny reads cost no memory."""

LARGE_MIN: Final = 16_384
"""Frames from this size on are worth reading so that a read ends with one: what is cut off is copied twice."""

BYTES_LIKE: Final = (bytes, bytearray, memoryview)


class FrameReader:
    """Cuts the byte stream of one connection into frames.

    Args:
        max_size: largest frame accepted, in bytes, fixed header included. The attribute may be changed at any time;
            the new value holds for every frame not yet returned.

    `large` is the size of the last frame that was large and came in more than one read, 0 when there was none.
    """

    __slots__ = ("_later", "_needed", "chunk", "large", "later_size", "max_size", "position")

    def __init__(self, max_size: int) -> None:
        self.max_size: int = max_size
        self.chunk: bytes = b""
        self.position: int = 0
        self._later: list[bytes] = []
        self.later_size: int = 0
        # Size of the frame at `position` when it is known to be incomplete, else 0.
        self._needed: int = 0
        self.large: int = 0

    @property
    def pending(self) -> int:
        """Bytes fed and not yet used up."""
        return len(self.chunk) - self.position + self.later_size

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the bytes of one read, which are copied once. Never raises for what they contain; `next_frame` does.

        Raises:
            TypeError: if `data` is not bytes, bytearray or memoryview; nothing has changed.
        """
        if not isinstance(data, BYTES_LIKE):
            raise TypeError(f"a transport brings bytes, not {type(data).__name__}")
        if self.position == len(self.chunk) and not self.later_size:
            self.chunk = bytes(data)
            self.position = 0
        elif 0 < self._needed <= self.pending + len(data):
            self._join(data)
        elif data:
            if self._later and len(self._later[-1]) + len(data) <= SMALL_MAX:
                self._later[-1] += data
            else:
                self._later.append(bytes(data))
            self.later_size += len(data)

    def next_frame(self) -> bytes | None:
        """Return the next whole frame with its fixed header, or None until more bytes are fed.

        Raises:
            MalformedVariableByteInteger: if the remaining length has a fifth byte or is not in shortest form.
            PacketTooLarge: if the frame's header announces more than ``max_size`` bytes.
        """
        chunk = self.chunk
        start = self.position
        left = len(chunk) - start
        size = 0
        if left > 1:
            size = chunk[start + 1] + 2 if chunk[start + 1] < 128 else self._long_size(chunk, start)
            if size > self.max_size:  # [MUST-3.2.2.3.6-3 v5]
                raise PacketTooLarge(f"packet of {size} bytes, the limit is {self.max_size}")
            if 0 < size <= left:
                end = start + size
                if end == len(chunk):
                    self.chunk = b""
                    self.position = 0
                else:
                    self.position = end
                self._needed = 0
                return chunk if size == len(chunk) else chunk[start:end]
        if self.later_size and size <= left + self.later_size:
            self._join()
            return self.next_frame()
        if start:
            self.chunk = chunk[start:]
            self.position = 0
        # With less than a header any byte is worth another look.
        self._needed = size or left + 1
        if size >= LARGE_MIN:
            self.large = size
        return None

    def read_size(self, most: int) -> int:
        """How much to read next, 1 to `most` bytes, so that the read ends with a frame if large ones go on as they did.

        Only advice, and worth asking for while `large` is not 0.
        """
        large = self.large
        if not 0 < large <= most:
            return most
        missing = large - self.pending if self._needed == large else 0
        return missing + (most - missing) // large * large

    def _join(self, data: bytes | bytearray | memoryview = b"") -> None:
        """Make one chunk of the unfinished tail, of all that came later, and of `data`."""
        tail = self.chunk[self.position :] if self.position else self.chunk
        self.chunk = b"".join((tail, *self._later, data))
        self.position = 0
        self._later = []
        self.later_size = 0
        self._needed = 0

    @staticmethod
    def _long_size(chunk: bytes, start: int) -> int:
        """Size of a frame whose remaining length has more than one byte, or 0 while that length is incomplete."""
        end = min(len(chunk), start + 5)
        if end < start + 5 and min(chunk[start + 1 : end]) > 127:
            return 0
        remaining, pos = decode_varint(chunk, start + 1, end)
        return pos - start + remaining

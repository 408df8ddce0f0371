"""The frames of one connection on their way out.

Law: frames leave in the order in which they were sent, and none leaves before its barrier, the number of the batch
of writes on which its truth rests, has been reported as committed. So one frame that waits holds all frames behind
it; only :meth:`Outbox.send_now` overtakes, and only a PINGRESP may use it.

A frame may carry a `Countdown`: four bytes that have to say, at the moment of leaving, how many seconds are left. One
whose time is over by then does not leave at all; its key is put on ``late``.

An outbox that has something to write puts its owner on a list shared by all connections, so that a flush visits
only those that have work. The list belongs to whoever flushes: it must be emptied in place.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Countdown", "Outbox"]


class Countdown:
    """What a frame must say when it leaves: the seconds until ``deadline`` (epoch), as four bytes at ``offset``.

    Args:
        offset: place of the four bytes in the frame, -1 when the frame does not say it.
        deadline: epoch seconds.
        key: what is put on ``late`` when the deadline has passed before the frame left.
    """

    __slots__ = ("deadline", "key", "offset")

    def __init__(self, offset: int, deadline: float, key: int) -> None:
        self.offset: int = offset
        self.deadline: float = deadline
        self.key: int = key


class Outbox:
    """Collects encoded frames until they may leave and are taken, in their order (section 4.6).

    Args:
        owner: what is put on ``dirty_list`` when there is something to take.
        dirty_list: the shared list of owners with something to take.

    ``ready`` holds the frames that may leave now, ``held`` those that wait as ``(barrier, frame, credits, countdown)``,
    or None when nothing waits. ``size`` is the number of bytes in both, ``held_size`` in the latter. Credits are units
    of the receive window that are given back when the frame leaves. ``late`` collects the keys of countdowns that ran
    out; whoever takes empties it.
    """

    __slots__ = (
        "_countdowns",
        "_dirty_list",
        "credits_ready",
        "credits_taken",
        "dirty",
        "held",
        "held_size",
        "late",
        "owner",
        "ready",
        "released",
        "size",
    )

    def __init__(self, owner: object, dirty_list: list[object]) -> None:
        self.owner: object = owner
        self.ready: list[bytes] = []
        self.held: deque[tuple[int, bytes, int, Countdown | None]] | None = None
        self.released: int = 0
        self.size: int = 0
        self.dirty: bool = False
        self.credits_ready: int = 0
        self.credits_taken: int = 0
        self.held_size: int = 0
        self.late: list[int] = []
        self._countdowns: list[tuple[int, Countdown]] | None = None
        self._dirty_list: list[object] = dirty_list

    def send(
        self,
        chunk: bytes,
        barrier: int = 0,
        credits: int = 0,
        countdown: Countdown | None = None,
    ) -> None:
        """Append one or more whole frames.

        Args:
            chunk: the encoded frames.
            barrier: number of the batch that must be committed before they leave; 0 for none.
            credits: receive-window units given back when they leave.
            countdown: for a single frame with a deadline.
        """
        self.size += len(chunk)
        if self.held is None and barrier <= self.released:
            if countdown is not None:
                self._count_down(countdown)
            self.ready.append(chunk)
            self.credits_ready += credits
            if not self.dirty:
                self.dirty = True
                self._dirty_list.append(self.owner)
            return
        if self.held is None:
            self.held = deque()
        self.held.append((barrier, chunk, credits, countdown))
        self.held_size += len(chunk)

    def send_now(self, chunk: bytes) -> None:
        """Append a frame that overtakes the held ones: PINGRESP, which has no order with any other packet."""
        self.size += len(chunk)
        self.ready.append(chunk)
        self.mark_dirty()

    def release(self, committed: int) -> None:
        """Make ready, in order, the held frames that waited for no batch above ``committed``."""
        self.released = max(self.released, committed)
        held = self.held
        if held is None:
            return
        moved = False
        while held and held[0][0] <= self.released:
            _, chunk, earned, countdown = held.popleft()
            if countdown is not None:
                self._count_down(countdown)
            self.ready.append(chunk)
            self.credits_ready += earned
            self.held_size -= len(chunk)
            moved = True
        if not held:
            self.held = None
        if moved:
            self.mark_dirty()

    def take(self, now: float = 0.0) -> list[bytes]:
        """Return the ready frames and forget them; ``credits_taken`` is then the sum of their credits.

        Args:
            now: epoch seconds, for frames with a countdown.
        """
        chunks, self.ready = self.ready, []
        if self._countdowns is not None:
            chunks = self._settle(chunks, now)
        self.credits_taken, self.credits_ready = self.credits_ready, 0
        self.size = self.held_size
        self.dirty = False
        return chunks

    def discard_held(self) -> None:
        """Forget the held frames: the connection is gone, what they said is in session and journal."""
        self.held = None
        self.size -= self.held_size
        self.held_size = 0

    def _count_down(self, countdown: Countdown) -> None:
        """The next chunk that becomes ready has a deadline."""
        if self._countdowns is None:
            self._countdowns = []
        self._countdowns.append((len(self.ready), countdown))

    def _settle(self, chunks: list[bytes], now: float) -> list[bytes]:
        """Write the seconds left into the frames that count down, and leave out those that are late: an empty chunk
        would be an end to some transports."""
        countdowns, self._countdowns = self._countdowns or [], None
        late = False
        for index, countdown in countdowns:
            left = countdown.deadline - now
            if left <= 0:
                chunks[index] = b""  # [MQTT-3.3.2-5 v5]
                late = True
                self.late.append(countdown.key)
            elif countdown.offset >= 0:
                frame = chunks[index]
                offset = countdown.offset
                seconds = min(int(left + 0.999), 0xFFFFFFFF).to_bytes(4, "big")
                chunks[index] = frame[:offset] + seconds + frame[offset + 4 :]
        return [chunk for chunk in chunks if chunk] if late else chunks

    def mark_dirty(self) -> None:
        """Put the owner on the dirty list, unless it is there."""
        if not self.dirty:
            self.dirty = True
            self._dirty_list.append(self.owner)

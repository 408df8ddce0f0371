"""The frames of one connection on their way out.

Law: frames leave in the order in which they were sent, and none leaves before its barrier, the number of the batch
of writes on which its truth rests, has been reported as committed. So one frame that waits holds all frames behind
it; only :meth:`Outbox.send_now` overtakes, and only a PINGRESP may use it.

An outbox that has something to write puts its owner on a list shared by all connections, so that a flush visits
only those that have work. The list belongs to whoever flushes: it must be emptied in place.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Outbox"]


class Outbox:
    """Collects encoded frames until they may leave and are taken.

    Args:
        owner: what is put on ``dirty_list`` when there is something to take.
        dirty_list: the shared list of owners with something to take.

    ``ready`` holds the frames that may leave now, ``held`` those that wait as ``(barrier, frame, credits)``, or None
    when nothing waits. ``size`` is the number of bytes in both. Credits are units of the receive window that are
    given back when the frame leaves.
    """

    __slots__ = (
        "_dirty_list",
        "_held_size",
        "credits_ready",
        "credits_taken",
        "dirty",
        "held",
        "owner",
        "ready",
        "released",
        "size",
    )

    def __init__(self, owner: object, dirty_list: list[object]) -> None:
        self.owner: object = owner
        self.ready: list[bytes] = []
        self.held: deque[tuple[int, bytes, int]] | None = None
        self.released: int = 0
        self.size: int = 0
        self.dirty: bool = False
        self.credits_ready: int = 0
        self.credits_taken: int = 0
        self._held_size: int = 0
        self._dirty_list: list[object] = dirty_list

    def send(self, chunk: bytes, barrier: int = 0, credits: int = 0) -> None:
        """Append one or more whole frames.

        Args:
            chunk: the encoded frames.
            barrier: number of the batch that must be committed before they leave; 0 for none.
            credits: receive-window units given back when they leave.
        """
        self.size += len(chunk)
        if self.held is None and barrier <= self.released:
            self.ready.append(chunk)
            self.credits_ready += credits
            if not self.dirty:
                self.dirty = True
                self._dirty_list.append(self.owner)
            return
        if self.held is None:
            self.held = deque()
        self.held.append((barrier, chunk, credits))
        self._held_size += len(chunk)

    def send_now(self, chunk: bytes) -> None:
        """Append a frame that overtakes the held ones: PINGRESP, which has no order with any other packet."""
        self.size += len(chunk)
        self.ready.append(chunk)
        self._mark()

    def release(self, committed: int) -> None:
        """Make ready, in order, the held frames that waited for no batch above ``committed``."""
        if committed > self.released:
            self.released = committed
        held = self.held
        if held is None:
            return
        moved = False
        while held and held[0][0] <= self.released:
            _, chunk, credits = held.popleft()
            self.ready.append(chunk)
            self.credits_ready += credits
            self._held_size -= len(chunk)
            moved = True
        if not held:
            self.held = None
        if moved:
            self._mark()

    def take(self) -> list[bytes]:
        """Return the ready frames and forget them; ``credits_taken`` is then the sum of their credits."""
        chunks, self.ready = self.ready, []
        self.credits_taken, self.credits_ready = self.credits_ready, 0
        self.size = self._held_size
        self.dirty = False
        return chunks

    def discard_held(self) -> None:
        """Forget the held frames: the connection is gone, what they said is in session and journal."""
        self.held = None
        self.size -= self._held_size
        self._held_size = 0

    def _mark(self) -> None:
        if not self.dirty:
            self.dirty = True
            self._dirty_list.append(self.owner)

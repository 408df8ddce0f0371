"""Packet identifiers: 1 to 65535, one direction of one session.

Law: an identifier is in use exactly while it is a key of `used`. That dict is at the same time the in-flight table of
the sending flow (session/qos.py), so "free" and "in flight" can never disagree, and an identifier taken over from a
publisher ("borrowed") needs no second book.

Identifiers are handed out in rising order and wrap at 65535, so that one just released is not used again at once. With
n identifiers in use at most n + 1 are looked at.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.codec.error import LocalProtocolError

__all__ = ["PACKET_ID_MAX", "PacketIdAllocator"]

PACKET_ID_MAX: Final = 65535


class PacketIdAllocator:
    """Hands out packet identifiers that are not in use (5.0 section 2.2.1, 3.1.1 section 2.3.1).

    `used` maps each identifier in use (1 to 65535) to whatever its owner keeps for it; None as long as nothing is kept.
    """

    __slots__ = ("last", "used")

    def __init__(self) -> None:
        self.used: dict[int, object] = {}
        self.last: int = 0

    def allocate(self) -> int:
        """Reserve a free identifier and return it.

        Raises LocalProtocolError when all 65535 are in use.
        """
        used = self.used
        if len(used) >= PACKET_ID_MAX:
            raise LocalProtocolError("all 65535 packet identifiers are in use; wait for an acknowledgement")
        candidate = self.last + 1
        while candidate in used or candidate > PACKET_ID_MAX:
            candidate = candidate + 1 if candidate < PACKET_ID_MAX else 1
        self.last = candidate
        used[candidate] = None  # [MQTT-2.2.1-4 v5] [MQTT-2.3.1-4 v3.1.1]
        return candidate

    def release(self, packet_id: int) -> None:
        """Make an identifier free again.

        Raises LocalProtocolError when it is not in use.
        """
        if packet_id not in self.used:
            raise LocalProtocolError(f"packet identifier {packet_id} is not in use")
        del self.used[packet_id]

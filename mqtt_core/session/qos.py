"""The two halves of QoS 1 and 2: what has been sent and not finished, what has been received and not released.

Laws. All rules of the QoS handshakes live here. The flows state facts ("this identifier was waiting for PUBCOMP, now it
is free") and never touch bytes, journal or outbox: whoever calls decides what to write and what to say. Both roles use
the same two classes, since the handshakes are symmetric.

State is membership in one ordered dict, `inflight`: packet identifier -> what is known of the message.

    Outgoing or bytes   sent as PUBLISH, waiting for PUBACK (QoS 1) or PUBREC (QoS 2); bytes is the PUBLISH frame
    itself, which the bulk path keeps as the only record of a message it passed on (the identifier
                        inside that frame is the publisher's and means nothing)
    Released            PUBREL sent, waiting for PUBCOMP; nothing of the message is kept
    None                reserved for a SUBSCRIBE or UNSUBSCRIBE of a client

The order of PUBLISH entries is the order of first sending, which is the order of a resend [MQTT-4.6.0-1]; an entry that
turns into Released moves to the end, so the order of those is the order of the PUBRECs [MQTT-4.6.0-4].
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from mqtt_core.codec.error import ProtocolError
from mqtt_core.codec.types import ReasonCode
from mqtt_core.session.message import Outgoing
from mqtt_core.session.packet_id import PACKET_ID_MAX, PacketIdAllocator

__all__ = ["ABSENT", "IncomingFlow", "OutgoingFlow", "Qos1State", "Qos2State", "Released"]


class Qos1State(Enum):
    """Where a QoS 1 message stands for its sender (section 4.3.2)."""

    AWAITING_PUBACK = "awaiting puback"
    COMPLETE = "complete"


class Qos2State(Enum):
    """Where a QoS 2 message stands for its sender or its receiver (section 4.3.3)."""

    AWAITING_PUBREC = "awaiting pubrec"
    AWAITING_PUBREL = "awaiting pubrel"
    AWAITING_PUBCOMP = "awaiting pubcomp"
    COMPLETE = "complete"


class Released:
    """A QoS 2 message whose PUBREL has been sent. `sequence` is its number in the journal (0: it is not stored)."""

    __slots__ = ("sequence",)

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence


class _Absent:
    """The answer for an identifier that is not in flight (None means reserved)."""

    __slots__ = ()


ABSENT: Final = _Absent()


def is_qos2(entry: object) -> bool:
    """Is what waits for an acknowledgement, a frame or an `Outgoing`, a QoS 2 PUBLISH?"""
    if isinstance(entry, bytes):
        return entry[0] & 0x06 == 0x04
    return isinstance(entry, Outgoing) and entry.qos == 2


def is_qos1(entry: object) -> bool:
    """Is what waits for an acknowledgement, a frame or an `Outgoing`, a QoS 1 PUBLISH?"""
    if isinstance(entry, bytes):
        return entry[0] & 0x06 == 0x02
    return isinstance(entry, Outgoing) and entry.qos == 1


class OutgoingFlow:
    """The sender's half of QoS 1 and 2 towards one peer.

    `limit` (1 to 65535) is the send quota: how many messages may be in flight, the smaller of the peer's Receive
    Maximum and our own bound (5.0 section 4.9), plus the identifiers reserved for subscribing. `resend` holds the
    identifiers that a resumed connection has not seen yet, in order; they wait for quota like everything else.
    """

    __slots__ = ("ids", "inflight", "limit", "resend")

    def __init__(self, limit: int) -> None:
        self.ids = PacketIdAllocator()
        self.inflight: dict[int, object] = self.ids.used
        self.limit = limit
        self.resend: dict[int, None] | None = None

    def room(self) -> int:
        """How many more PUBLISH packets may be sent now [MQTT-4.9.0-2]."""
        waiting = self.resend
        if waiting is None:
            return self.limit - len(self.inflight)
        return self.limit - len(self.inflight) + len(waiting)

    def send(self, entry: Outgoing | bytes, wanted: int = 0) -> int:
        """Take a message into flight and return its packet identifier (1 to 65,535): `wanted` if that is free.

        entry: the message, or its whole frame where that is all that is needed to send it again."""
        packet_id = wanted if wanted and wanted not in self.inflight else self.ids.allocate()
        # [MQTT-4.3.2-1] [MQTT-4.3.2-3 v5] [MQTT-4.3.3-1] [MQTT-4.3.3-3 v5]
        self.inflight[packet_id] = entry
        return packet_id

    def send_run(self, frames: list[bytes], wanted: list[int]) -> list[int]:
        """`send` for PUBLISH frames in a row; returns their identifiers. There has to be room for all of them.

        wanted: the identifiers they should get where those are free, side by side; empty for none.
        """
        inflight = self.inflight
        last = self.ids.last
        if not wanted and last + len(frames) <= PACKET_ID_MAX:
            next_ones = list(range(last + 1, last + 1 + len(frames)))
            if inflight.keys().isdisjoint(next_ones):
                inflight.update(zip(next_ones, frames, strict=True))
                self.ids.last = next_ones[-1]
                return next_ones
        used: list[int] = []
        for index, frame in enumerate(frames):
            packet_id = wanted[index] if wanted else 0
            if not packet_id or packet_id in inflight:
                packet_id = last + 1
                while packet_id in inflight or packet_id > PACKET_ID_MAX:
                    packet_id = packet_id + 1 if packet_id < PACKET_ID_MAX else 1
                last = packet_id
            inflight[packet_id] = frame
            used.append(packet_id)
        self.ids.last = last
        return used

    def reserve(self) -> int:
        """Take an identifier for a SUBSCRIBE or UNSUBSCRIBE; it does not use up send quota."""
        packet_id = self.ids.allocate()
        self.limit += 1
        return packet_id

    def unreserve(self, packet_id: int) -> bool:
        """Free a reserved identifier; False when it was not reserved."""
        if self.inflight.get(packet_id, ABSENT) is not None:
            return False
        del self.inflight[packet_id]
        self.limit -= 1
        return True

    def on_puback(self, packet_id: int) -> object:
        """PUBACK arrived: return the finished entry, whose identifier is free now; ABSENT when there is none.

        Raises ProtocolError 0x82 when the identifier belongs to a QoS 2 message or a subscription.
        """
        entry = self.inflight.get(packet_id, ABSENT)
        if entry is ABSENT:
            return ABSENT
        if not is_qos1(entry):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"PUBACK for identifier {packet_id}, which is not QoS 1")
        self._finish(packet_id)
        return entry

    def on_pubrec(self, packet_id: int, sequence: int = 0) -> object:
        """PUBREC below 0x80 arrived: the message is received; PUBREL is due. `sequence` is for an entry of bytes.

        Returns the message's entry the first time, a Released entry when PUBREL had been sent before, and ABSENT for an
        unknown identifier. Raises ProtocolError 0x82 when the identifier belongs to something else.
        """
        entry = self.inflight.get(packet_id, ABSENT)
        if entry is ABSENT or isinstance(entry, Released):
            return entry
        if not is_qos2(entry):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"PUBREC for identifier {packet_id}, which is not QoS 2")
        del self.inflight[packet_id]
        if isinstance(entry, Outgoing):
            sequence = entry.message.sequence
        self.inflight[packet_id] = Released(sequence)  # [MQTT-4.3.3-5 v5] [MQTT-4.3.3-6 v5]
        self._settle_resend(packet_id)
        return entry

    def on_pubrec_refused(self, packet_id: int) -> object:
        """PUBREC of 0x80 or above arrived: the message is over, its identifier free [MQTT-4.4.0-2].

        Raises:
            ProtocolError: no QoS 2 message waits for a PUBREC under that identifier.
        """
        entry = self.inflight.get(packet_id, ABSENT)
        if entry is ABSENT:
            return ABSENT
        if not is_qos2(entry):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"PUBREC for identifier {packet_id}, which awaits none")
        self._finish(packet_id)
        return entry

    def on_pubcomp(self, packet_id: int) -> object:
        """PUBCOMP arrived: return the Released entry, whose identifier is free now; ABSENT when there is none.

        Raises ProtocolError 0x82 when the identifier belongs to something that does not wait for PUBCOMP.
        """
        entry = self.inflight.get(packet_id, ABSENT)
        if entry is ABSENT:
            return ABSENT
        if not isinstance(entry, Released):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"PUBCOMP for identifier {packet_id}, which awaits none")
        self._finish(packet_id)
        return entry

    def forget(self, packet_id: int) -> object:
        """Give a message up (expired before it was sent, too large for the peer): free its identifier."""
        entry = self.inflight.get(packet_id, ABSENT)
        if entry is not ABSENT:
            self._finish(packet_id)
        return entry

    def start_resume(self) -> list[int]:
        """A connection resumes the session: all messages wait in `resend`; returns the ids whose PUBREL is due anew."""
        released = [packet_id for packet_id, entry in self.inflight.items() if isinstance(entry, Released)]
        waiting = [i for i, entry in self.inflight.items() if entry is not None and not isinstance(entry, Released)]
        self.resend = dict.fromkeys(waiting) if waiting else None  # [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.8.2-4 v5]
        return released

    def next_resend(self) -> int:
        """The next identifier to send again, 0 when there is none; it counts against the quota from now on."""
        waiting = self.resend
        if waiting is None:
            return 0
        packet_id = next(iter(waiting))
        del waiting[packet_id]
        if not waiting:
            self.resend = None
        return packet_id

    def state(self, packet_id: int) -> Qos1State | Qos2State | None:
        """Where the message with this identifier stands; None when the identifier is not in flight."""
        entry = self.inflight.get(packet_id, ABSENT)
        if isinstance(entry, Released):
            return Qos2State.AWAITING_PUBCOMP
        if is_qos2(entry):
            return Qos2State.AWAITING_PUBREC
        return Qos1State.AWAITING_PUBACK if is_qos1(entry) else None

    def _finish(self, packet_id: int) -> None:
        del self.inflight[packet_id]
        self._settle_resend(packet_id)

    def _settle_resend(self, packet_id: int) -> None:
        """The peer has this message, so it is not sent again."""
        if self.resend is not None:
            self.resend.pop(packet_id, None)
            if not self.resend:
                self.resend = None


class IncomingFlow:
    """The receiver's half of QoS 2: identifiers of messages taken over and not yet released by PUBREL.

    Only the identifier is kept; the message itself went onward when it arrived (the second method of section 4.3.3).
    `earlier` holds those of `received` that only an earlier connection has brought: quota is counted anew on every
    connection (5.0 section 4.9), so they occupy nothing of this one's Receive Maximum. None when there are none.
    """

    __slots__ = ("earlier", "received")

    def __init__(self) -> None:
        self.received: dict[int, None] = {}
        self.earlier: dict[int, None] | None = None

    def start_connection(self) -> None:
        """A connection begins: nothing of its Receive Maximum is occupied."""
        self.earlier = self.received.copy() or None  # [MUST-4.9-1 v5]

    def occupied(self) -> int:
        """How many messages of this connection have not been released."""
        return len(self.received) - (len(self.earlier) if self.earlier is not None else 0)

    def is_earlier(self, packet_id: int) -> bool:
        """Only an earlier connection has brought this message; brought again it occupies this one's window."""
        return self.earlier is not None and packet_id in self.earlier

    def on_publish(self, packet_id: int) -> bool:
        """A QoS 2 PUBLISH arrived: True the first time, False for a repetition that must not go onward again."""
        if packet_id in self.received:
            self._brought(packet_id)
            return False  # [MQTT-4.3.3-10 v5] [MQTT-4.3.3-2 v3.1.1]
        self.received[packet_id] = None
        return True

    def on_pubrel(self, packet_id: int) -> bool:
        """PUBREL arrived: True when the identifier was known; it is free for a new message now."""
        if packet_id not in self.received:
            return False
        del self.received[packet_id]  # [MQTT-4.3.3-12 v5]
        self._brought(packet_id)
        return True

    def _brought(self, packet_id: int) -> None:
        """This connection has taken up the identifier."""
        if self.earlier is not None:
            self.earlier.pop(packet_id, None)

    def state(self, packet_id: int) -> Qos2State | None:
        """AWAITING_PUBREL for an identifier that was received and not released, else None."""
        return Qos2State.AWAITING_PUBREL if packet_id in self.received else None

"""The life of one connection of a broker: sending, pausing, timing out, closing. What packets do is in handler.py.

Laws. There is one way out for frames, `send`, which respects the client's Maximum Packet Size, and one way to the end,
`leave`: the session is detached there and then, in the same input, while frames that are held may still follow once
they are committed, within `close_timeout_s`. One timer serves all limits of a connection; a packet only notes
`last_received`. Reading pauses for the connection's own bytes only, and while the broker itself pauses it, the
keep-alive clock stands still.
"""

from __future__ import annotations

from math import inf
from typing import Final

from mqtt_core.broker.config import BrokerConfig
from mqtt_core.broker.events import ClientDisconnected, ClientRefused
from mqtt_core.broker.sessions import detach
from mqtt_core.broker.state import BrokerState
from mqtt_core.codec.encode import encode
from mqtt_core.codec.packet import ConnectPacket, DisconnectPacket
from mqtt_core.codec.properties import Properties
from mqtt_core.codec.types import CONNACK, V5, ReasonCode
from mqtt_core.session.connection import CLOSED, CLOSING, NEW, OPEN, WAITING, keep_alive_limit_s
from mqtt_core.session.session import Session
from mqtt_core.timers import Timer
from mqtt_core.transport.framing import FrameReader
from mqtt_core.transport.outbox import Outbox

__all__ = ["CONNECTION_TIMER", "Connection"]

CONNECTION_TIMER: Final = 0
"""Kind of a connection's one timer: connect timeout, keep alive, send timeout, close timeout."""


class Connection:
    """The part of a `ClientHandler` that knows no packet but DISCONNECT (section 3.14; 5.0 section 4.13).

    Made by `Broker.connection_made`.

    phase: see session/connection.py. version: 4 or 5, 0 before CONNECT. unacked: messages received whose last
    acknowledgement has not left. stalled: packets were left unread: the receive window is full, or it is others' turn.
    packet_size_max: the client's Maximum Packet Size (0: none). leaving: the connection is over as far as MQTT goes;
    `closing` and `aborted` say what is left to be done.
    """

    __slots__ = (
        "aliases",
        "close_at",
        "config",
        "connect",
        "epoch",
        "handshake_at",
        "keep_alive_s",
        "last_received",
        "leaving",
        "outbox",
        "owner",
        "packet_size_max",
        "peer",
        "phase",
        "reader",
        "reading_paused",
        "reason",
        "reason_code",
        "reauthenticating",
        "session",
        "stalled",
        "state",
        "timer",
        "unacked",
        "undrained_since",
        "verdicts",
        "version",
    )

    def __init__(self, state: BrokerState, now: float, owner: object, peer: str) -> None:
        config = state.config
        self.state = state
        self.config: BrokerConfig = config
        self.owner = owner
        self.peer = peer
        self.reader = FrameReader(min(config.connect_packet_size_max, config.max_packet_size))
        self.outbox = Outbox(self, state.dirty)
        self.outbox.released = state.journal.committed
        self.phase: int = NEW
        self.version: int = 0
        self.session: Session | None = None
        self.connect: ConnectPacket | None = None
        self.handshake_at = now
        self.last_received = now
        self.keep_alive_s = 0
        self.close_at = 0.0
        self.undrained_since = 0.0
        self.unacked = 0
        self.stalled = False
        self.leaving = False
        self.reading_paused = False
        self.reauthenticating = False
        self.packet_size_max = 0
        self.aliases: dict[int, str] | None = None
        self.verdicts: dict[tuple[str, int, bool], bool] | None = None
        self.epoch = 0
        self.reason_code: int = ReasonCode.UNSPECIFIED_ERROR
        self.reason = ""
        self.timer = Timer(self, CONNECTION_TIMER)
        state.deadlines.arm(self.timer, now + config.connect_timeout_s)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.client_id!r}, {self.peer!r}, phase={self.phase})"

    @property
    def client_id(self) -> str:
        """Client identifier, "" before CONNECT."""
        return self.connect.client_id if self.connect is not None else ""

    # -- pulls --------------------------------------------------------------------------------------------------------

    def data_to_send(self) -> list[bytes]:
        """The frames that may leave now, in order. Call it only when they can be written.

        What has expired does not leave; time counts as of the newest input, so an adapter that could not write for a
        while calls `Broker.handle_timer` first.
        """
        outbox = self.outbox
        size = outbox.size
        state = self.state
        chunks = outbox.take(state.now)
        state.counters.bytes_sent += size - outbox.size
        self.undrained_since = 0.0
        if outbox.credits_taken:
            self.unacked -= outbox.credits_taken
        session = self.session
        if outbox.late or (
            session is not None and (self.stalled or (not session.direct and session.waits_for_outbox()))
        ):
            state.resumable[self] = None
        was_paused = self.reading_paused
        if was_paused:
            self.update_pause()
            if self.phase < CLOSING and not self.reading_paused:
                self.last_received = inf
                state.resumable[self] = None
        return chunks

    @property
    def closing(self) -> bool:
        """True when the connection is to be closed after what `data_to_send` returns; nothing more will come."""
        return self.phase >= CLOSING and self.outbox.held is None

    @property
    def aborted(self) -> bool:
        """True when the transport is to be dropped at once, whatever has not been written."""
        return self.phase == CLOSED

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, frame: bytes, barrier: int = 0, credits: int = 0) -> None:
        """Send a frame other than PUBLISH behind its barrier.

        One that is larger than the client's Maximum Packet Size cannot be sent at all, and what the client waits for
        will never come: the connection is closed [MQTT-3.1.2-24 v5].
        """
        if self.packet_size_max and len(frame) > self.packet_size_max:
            reason = "the client's Maximum Packet Size is too small"
            self.disconnect(ReasonCode.PACKET_TOO_LARGE, reason, self.state.now)
            return
        self.state.counters.messages_sent += 1
        self.state.sender.send_frame(self.outbox, frame, barrier, credits)

    def acknowledge_run(self, frames: bytes, count: int, credits: int, barrier: int) -> None:
        """Send `count` four-byte acknowledgements, joined in `frames`; `credits` of them end a message."""
        self.unacked += credits
        self.state.counters.messages_sent += count
        self.state.sender.send_frame(self.outbox, frames, barrier, credits)

    def window_full(self) -> bool:
        """True when the client has as many unacknowledged QoS 1/2 messages open as the broker allows.

        A 3.1.1 client knows no such limit: for it only answers count that have not left, so that the PUBREL which
        frees an identifier is always read.
        """
        open_messages = self.unacked
        if self.version == V5 and self.session is not None:
            open_messages += self.session.incoming.occupied()
        return open_messages >= self.config.receive_maximum

    # -- pausing ------------------------------------------------------------------------------------------------------

    def update_pause(self) -> None:
        """Decide whether the adapter shall read: not while the connection's own bytes pile up. A pause ends at half."""
        limit = self.config.outbox_bytes_max
        if self.reading_paused:
            limit //= 2
        paused = self.stalled or self.outbox.size >= limit
        if self.phase == WAITING:
            paused = self.reader.pending >= self.config.waiting_bytes_max
        if self.phase >= CLOSING:
            paused = False
        if self.reading_paused and not paused:
            self.last_received = self.state.now
        self.reading_paused = paused

    # -- timing out ---------------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Set the connection's timer to the first of its limits."""
        config = self.config
        if self.phase == CLOSED:
            return
        if self.phase == CLOSING:
            when = self.close_at
        elif self.phase < OPEN:
            when = self.handshake_at + config.connect_timeout_s
        else:
            limit_s = keep_alive_limit_s(self.keep_alive_s)
            when = self.last_received + limit_s if limit_s else inf
            if self.undrained_since:
                when = min(when, self.undrained_since + config.send_timeout_s)
        self.state.deadlines.arm(self.timer, when)

    def on_timer(self, now: float) -> None:
        """The connection's timer went off: see which of its limits has been reached."""
        config = self.config
        counters = self.state.counters
        if self.phase == CLOSING:
            self.abort()
        elif self.phase < OPEN:
            if now >= self.handshake_at + config.connect_timeout_s:  # [MUST-3.1.4-1]
                reason = "no CONNECT in time" if self.phase == NEW else "authentication took too long"
                self.disconnect(ReasonCode.NOT_AUTHORIZED, reason, now)
        elif self.undrained_since and now >= self.undrained_since + config.send_timeout_s:
            counters.send_timeouts += 1
            self.close(ReasonCode.UNSPECIFIED_ERROR, "nothing drained within the send timeout", now)
            self.abort()
        elif self.keep_alive_s:
            if self.reading_paused:
                self.last_received = now
            elif now >= self.last_received + keep_alive_limit_s(self.keep_alive_s):
                counters.keep_alive_timeouts += 1
                # [MQTT-3.1.2-22 v5] [MQTT-3.1.2-24 v3.1.1]
                self.disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT, "keep alive timeout", now)
        self.arm()

    def note_undrained(self, now: float) -> None:
        """After a flush: bytes are still here, so the adapter could not write. The send timeout starts to run."""
        if not self.undrained_since and self.phase < CLOSING and self.outbox.size > self.outbox.held_size:
            self.undrained_since = now
            self.arm()

    # -- ending -------------------------------------------------------------------------------------------------------

    def disconnect(self, code: int, reason: str, now: float) -> None:
        """Close from our side, with DISCONNECT where the version has one for a server (5.0 section 3.14).

        code: its reason code, 0 to 255.
        """
        if self.session is not None and self.version == V5:  # [MQTT-3.14.0-1 v5]
            frame = encode(DisconnectPacket(code), V5)  # shorter than the CONNACK, which has been sent
            if reason:
                said = encode(DisconnectPacket(code, Properties(reason_string=reason)), V5)
                if not self.packet_size_max or len(said) <= self.packet_size_max:  # [MQTT-3.14.2-3 v5]
                    frame = said
            self.state.counters.messages_sent += 1
            self.state.sender.send_frame(self.outbox, frame, 0)
        self.close(code, reason, now)  # [MQTT-3.14.4-2 v5] [MQTT-4.13.1-1 v5] [MQTT-4.8.0-1 v3.1.1]

    def close(self, code: int, reason: str, now: float) -> None:
        """Close from our side without a word. code: the reason code for the event, 0 to 255."""
        if self.phase < CLOSING:
            self.reason_code = code
            self.reason = reason
            self.leave(now, True)

    def leave(self, now: float, send_will: bool) -> None:
        """The connection is over: detach the session, then wait for what is held to leave."""
        state = self.state
        accepted = self.session is not None
        self.leaving = True
        self.phase = CLOSING  # [MQTT-3.14.4-1 v5] [MQTT-4.13.2-1 v5]
        self.stalled = False
        self.reading_paused = False
        session = self.session
        self.session = None
        # First, for a policy that is asked about the will may fail.
        self.close_at = now + self.config.close_timeout_s
        self.arm()
        self.outbox.mark_dirty()
        if session is not None:
            self.drop_late(session)
            del state.live[session.client_id]
            state.trailing[session.client_id] = self
            detach(state, session, send_will, now)
        if accepted:
            state.events.add(ClientDisconnected(now, self.client_id, self.reason_code, self.reason))
        else:
            state.counters.connections_refused += 1
            state.events.add(ClientRefused(now, self.client_id, self.peer, self.reason_code, self.reason))

    def drop_late(self, session: Session | None) -> None:
        """What expired before it left is not sent, now or ever. session: None once the connection has left it.

        The rest of such a connection still leaves, later than the session was detached; what expires there goes from
        the session as long as no other connection has taken that up: to that one the message counts as sent.
        """
        late, self.outbox.late = self.outbox.late, []
        state = self.state
        if session is None and state.trailing.get(self.client_id) is self:
            session = state.registry.sessions.get(self.client_id)
        if session is not None:
            state.sender.expire_unsent(session, late)  # [MQTT-3.3.2-5 v5]

    def taken_over(self, now: float) -> None:
        """Another connection claims the session: what is held is in session and journal; 0x8E goes out at once.

        A client that has not got its CONNACK yet gets nothing: no other packet may be its first.
        """
        unanswered = self.unanswered()
        self.outbox.discard_held()
        if unanswered:
            self.close(ReasonCode.SESSION_TAKEN_OVER, "session taken over", now)  # [MQTT-3.2.0-1 v5]
        else:
            self.disconnect(ReasonCode.SESSION_TAKEN_OVER, "session taken over", now)  # [MQTT-3.1.4-3 v5]

    def unanswered(self) -> bool:
        """The CONNACK is still held, so nothing may overtake it."""
        held = self.outbox.held
        return held is not None and held[0][1][0] >> 4 == CONNACK

    def abort(self) -> None:
        """Drop the transport whatever has not been written.

        The adapter is told even where it has left unwritten what it was told of before.
        """
        self.phase = CLOSED
        self.outbox.discard_held()
        self.state.dirty.append(self)
        self.forget()

    def forget(self) -> None:
        """The transport is gone; nothing refers to this connection any more, nor its parts to each other.

        So its memory is free at once, and no garbage collector has to go through everything that lives to find it.
        """
        self.leaving = True
        self.phase = CLOSED
        if self.outbox.late:
            self.drop_late(None)
        if self.state.trailing.get(self.client_id) is self:
            del self.state.trailing[self.client_id]
        self.state.deadlines.cancel(self.timer)
        self.timer.owner = None  # a dead timer may stay in the heap for a while; the connection need not
        self.state.handlers.pop(self, None)
        self.state.resumable.pop(self, None)
        self.state.sender.holding.pop(self.outbox, None)
        self.outbox.owner = None

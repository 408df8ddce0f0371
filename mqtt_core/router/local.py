"""A subscriber inside the host's own process: a session whose sink is a bounded list of messages.

Laws: it appears in `Broker.take_dirty()` like a connection; a message that rests on an uncommitted write is not shown
before the commit; QoS 1/2 messages count as acknowledged when they are taken, or, with `manual_ack`, when the host says
so. When the list is full QoS 0 is dropped and counted, QoS 1/2 waits in the session's queue within its limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from mqtt_core.codec.error import LocalProtocolError
from mqtt_core.session.message import Message, Outgoing
from mqtt_core.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mqtt_core.router.sender import Sender

__all__ = ["LocalHost", "LocalMessage", "LocalSubscriber", "deliver_local"]


class LocalMessage:
    """A message for the host. token: what `acknowledge` takes, 0 for QoS 0. qos and retain are as delivered."""

    __slots__ = ("_barrier", "message", "qos", "retain", "subscription_ids", "token")

    def __init__(self, out: Outgoing, token: int, barrier: int) -> None:
        self.message: Message = out.message
        self.qos = out.qos
        self.retain = out.retain
        self.subscription_ids = out.subscription_ids
        self.token = token
        self._barrier = barrier

    @property
    def topic(self) -> str:
        """Topic name of the message."""
        return self.message.topic

    @property
    def payload(self) -> bytes:
        """Payload of the message."""
        return self.message.payload

    @property
    def barrier(self) -> int:
        """Number of the batch that has to be committed before the message may be taken; 0 for none."""
        return self._barrier

    def __repr__(self) -> str:
        return f"LocalMessage({self.message!r}, token={self.token})"


class LocalHost(Protocol):
    """What a local subscriber needs of its broker."""

    def local_taken(self, subscriber: LocalSubscriber, tokens: Sequence[int], now: float) -> None:
        """There is room for more messages, and those with these tokens are done with."""

    def local_unsubscribed(self, subscriber: LocalSubscriber, now: float) -> None:
        """The subscriber goes away."""


class LocalSubscriber:
    """Made by `Broker.subscribe(filter, options, now, name=None)`; not to be constructed by the host.

    session: its state; a named subscriber's outlives it. manual_ack: QoS 1/2 waits for `acknowledge`. owner: the
    host's own object, free for its use, by which an adapter finds what to wake.
    """

    __slots__ = (
        "_committed",
        "_dirty",
        "_dirty_list",
        "_host",
        "_messages",
        "_size_max",
        "manual_ack",
        "owner",
        "session",
    )

    def __init__(
        self, session: Session, host: LocalHost, dirty_list: list[object], size_max: int, manual_ack: bool
    ) -> None:
        self.session = session
        self.manual_ack = manual_ack
        self.owner: Any = None  # of the adapter, whose types the core does not know
        self._host = host
        self._messages: list[LocalMessage] = []
        self._dirty_list = dirty_list
        self._dirty = False
        self._size_max = size_max
        self._committed = 0

    def full(self) -> bool:
        """True when nothing more fits before the host takes its messages."""
        return len(self._messages) >= self._size_max

    def push(self, out: Outgoing, token: int, barrier: int) -> bool:
        """Append a message; False when the list is full."""
        if self.full():
            return False
        self._messages.append(LocalMessage(out, token, barrier))
        self._mark()
        return True

    def release(self, committed: int) -> None:
        """Writes up to this batch are durable; messages that waited may be taken."""
        if committed > self._committed:
            self._committed = committed
            if self._messages:
                self._mark()

    def take_messages(self) -> list[LocalMessage]:
        """The messages since the last call, in order. Without `manual_ack` they count as acknowledged now.

        What waited for room comes with the broker's next timer, which is due at once.
        """
        self._dirty = False
        count = 0
        for message in self._messages:
            if message.barrier > self._committed:
                break
            count += 1
        taken, self._messages = self._messages[:count], self._messages[count:]
        if taken:
            done = () if self.manual_ack else [message.token for message in taken if message.token]
            self._host.local_taken(self, done, 0.0)
        return taken

    def acknowledge(self, token: int, now: float) -> None:
        """Say that a QoS 1/2 message is done with.

        Raises LocalProtocolError for a token that is not open (0, or acknowledged before).
        """
        if token not in self.session.inflight:
            raise LocalProtocolError(f"token {token} is not an open message of this subscriber")
        self._host.local_taken(self, (token,), now)

    def unsubscribe(self, now: float) -> None:
        """End the subscription and, for a named subscriber, its stored session."""
        self._host.local_unsubscribed(self, now)

    def _mark(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._dirty_list.append(self)


def deliver_local(
    sender: Sender, session: Session, local: LocalSubscriber, out: Outgoing, barrier: int, now: float
) -> None:
    """A message for a subscriber of the host: into its list, into the session's queue, or dropped and counted."""
    if out.qos == 0:
        if not local.push(out, 0, 0):
            sender.counters.dropped_local += 1
        return
    flow = session.outgoing
    if session.queue or flow.resend is not None or local.full() or flow.room() <= 0:
        sender.queues.enqueue(session, out, now, barrier)
        return
    packet_id = flow.send(out)
    if session.stored:
        barrier = session.barrier = sender.journal.enqueue(
            session.client_id, out.message, out.qos, out.retain, out.subscription_ids, packet_id, out.shared
        )
    local.push(out, packet_id, barrier)

"""The server role of MQTT 3.1.1 and 5.0 as one object without a socket, clock or thread.

The contract. Inputs are verbs that take `now` (epoch seconds, never going back) and return at most a handle. Make any
number of them, then pull: writes (`take_writes`, to be applied to a storage and reported with `writes_committed`),
bytes (`take_dirty`, then `data_to_send` of each), events (`take_events`) and time (`next_deadline`, at which
`handle_timer` is to be called). Outputs keep their order. An adapter is a loop around those four.

Law: no input does unbounded work. What is long is done in slices, with `next_deadline() == now` until it is finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from mqtt_core.broker.config import BrokerConfig
from mqtt_core.broker.connection import CONNECTION_TIMER
from mqtt_core.broker.events import Event
from mqtt_core.broker.handler import ClientHandler
from mqtt_core.broker.handshake import LOCAL_PREFIX
from mqtt_core.broker.heartbeat import HEARTBEAT_TIMER
from mqtt_core.broker.policy import Policy, Principal
from mqtt_core.broker.restore import restore
from mqtt_core.broker.sessions import end_session, open_session, session_due
from mqtt_core.broker.state import BrokerState, Rng
from mqtt_core.broker.sys_topics import SysTopics
from mqtt_core.codec.encode import encode
from mqtt_core.codec.error import LocalProtocolError
from mqtt_core.codec.packet import SubscribeFilter, SubscribePacket
from mqtt_core.codec.properties import encode_properties
from mqtt_core.codec.reason_codes import DISCONNECT_BY_SERVER
from mqtt_core.codec.types import PUBLISH, V5, ReasonCode
from mqtt_core.persistence.journal import Batch, Journal
from mqtt_core.persistence.recovery import Snapshot
from mqtt_core.router.counters import Counters
from mqtt_core.router.draining import drain
from mqtt_core.router.local import LocalSubscriber
from mqtt_core.session.message import Message
from mqtt_core.session.session import NEVER_EXPIRES, Session, Subscription
from mqtt_core.topic_matcher.validation import check_filter, check_topic, split_share

__all__ = ["Broker"]

VERSION_TEXT: Final = "mqtt-core"
TIMERS_MAX: Final = 1000
"""Timers served by one `handle_timer`; more are served by the next, which is due at once."""
SESSIONS_MAX: Final = 32
"""Sessions with more to send than one input allows that one `handle_timer` goes on with, in turns."""
LOCAL_IDENTITY: Final = "$host"


class Broker:
    """An MQTT broker.

    config: limits and abilities. policy: who may do what, None for everybody everything. journal: None or a disabled
    one for a broker without storage. rng: source of assigned client identifiers. snapshot: what `persistence.load`
    gave.
    """

    __slots__ = ("_flushed", "_locals", "_state", "_sys")

    def __init__(
        self,
        config: BrokerConfig | None = None,
        *,
        policy: Policy | None = None,
        journal: Journal | None = None,
        rng: Rng,
        snapshot: Snapshot | None = None,
    ) -> None:
        if journal is None:
            journal = Journal(False)
        self._state = BrokerState(config or BrokerConfig(), policy, journal, rng)
        self._sys = SysTopics(self._state, VERSION_TEXT)
        self._flushed: list[object] = []
        self._locals: dict[LocalSubscriber, None] = {}
        if snapshot is not None:
            restore(self._state, snapshot)

    # -- inputs -------------------------------------------------------------------------------------------------------

    def connection_made(self, now: float, owner: object = None, peer: str = "") -> ClientHandler:
        """A transport has been accepted. owner: the adapter's; peer: what it knows of the other end, for the policy.

        Beyond `max_connections`, and after `shutdown`, the handler is closing from the start.
        """
        state = self._state
        now = state.moment(now)
        handler = ClientHandler(state, now, owner, peer)
        too_many = len(state.handlers) >= state.config.max_connections
        state.handlers[handler] = None
        state.counters.socket_connections += 1
        if too_many or state.shutting_down:
            handler.close(ReasonCode.SERVER_BUSY, "too many connections" if too_many else "shutting down", now)
        return handler

    def handle_timer(self, now: float) -> None:
        """Time has come to `next_deadline()`. Calling it early or late is harmless."""
        state = self._state
        now = state.moment(now)
        for handler in list(state.resumable):
            state.resumable.pop(handler, None)
            if handler in state.handlers:
                assert isinstance(handler, ClientHandler)
                served = False
                try:
                    handler.continue_reading(now)
                    served = True
                finally:
                    if not served:  # a policy failed, perhaps: that ends this connection, the others have their turn
                        handler.receive_eof(now)
        unfinished = state.sender.unfinished
        for session in list(islice(unfinished, SESSIONS_MAX)):
            del unfinished[session]
            drain(state.sender, session, now)
        if state.router.ending:
            state.router.continue_ending()
        for _ in range(TIMERS_MAX):
            timer = state.deadlines.pop_due(now)
            if timer is None:
                break
            owner = timer.owner
            if timer.kind == CONNECTION_TIMER:
                assert isinstance(owner, ClientHandler)
                owner.on_timer(now)
            elif timer.kind == HEARTBEAT_TIMER:
                state.heartbeat.beat(now)
            else:
                assert isinstance(owner, Session)
                session_due(state, owner, now)
        for topic in state.retained.expire(now, TIMERS_MAX):
            state.journal.store_retained(topic, None)
        if state.config.sys_interval_s and now >= self._sys.due_at and not state.shutting_down:
            self._sys.publish(now)

    def writes_committed(self, number: int) -> None:
        """The batch of this number, taken with `take_writes`, is durable: what waited for it may leave."""
        state = self._state
        state.journal.mark_committed(number)
        state.sender.release(number)
        for subscriber in self._locals:
            subscriber.release(number)

    def publish(self, message: Message, now: float) -> int:
        """Publish from the host. Returns the barrier of what it wrote: durable once that batch is committed, 0 for
        nothing to wait for.

        Raises InvalidTopic for a topic with wildcards or too many levels, LocalProtocolError for a QoS out of range, a
        payload that is not bytes, and properties that are not those of a message or that belong to one connection
        (topic alias, subscription identifiers).
        """
        state = self._state
        check_topic(message.topic, state.config.topic_levels_max)
        if not 0 <= message.qos <= 2:
            raise LocalProtocolError(f"QoS {message.qos}: it has to be 0, 1 or 2")
        if not isinstance(message.payload, bytes):
            raise LocalProtocolError(f"the payload is {type(message.payload).__name__}; it has to be bytes")
        if message.properties.topic_alias is not None or message.properties.subscription_identifiers:
            raise LocalProtocolError("topic aliases and subscription identifiers are the broker's own")
        encode_properties(message.properties, PUBLISH)  # refuses those of other packets, before anything has changed
        now = state.moment(now)
        message = state.sender.renumbered(message)
        expiry_s = message.properties.message_expiry_interval
        if expiry_s is not None and not message.expires_at:
            message.expires_at = now + expiry_s
        return state.router.publish(message, now)

    def subscribe(
        self,
        topic_filter: str,
        options: SubscribeFilter | None = None,
        now: float = 0.0,
        name: str | None = None,
        manual_ack: bool = False,
    ) -> LocalSubscriber:
        """Subscribe from the host, with no socket. options: QoS, No Local and so on (default QoS 2).

        name: the subscription and what waits for it survive a restart, and the same name gets them back.

        Raises InvalidTopicFilter for a filter that breaks section 4.7 or has too many levels, LocalProtocolError when
        the name is in use, and for options that no SUBSCRIBE may have (5.0 section 3.8.3.1).
        """
        state = self._state
        check_filter(topic_filter, state.config.topic_levels_max)
        group, inner = split_share(topic_filter)
        wanted = options if options is not None else SubscribeFilter(topic_filter, 2)
        encode(SubscribePacket(1, [wanted]), V5)  # refuses what cannot be asked for
        now = state.moment(now)
        client_id = LOCAL_PREFIX + (name if name is not None else f"{state.rng.getrandbits(64):016x}")
        existing = state.registry.sessions.get(client_id)
        if existing is not None and existing.local is not None:
            raise LocalProtocolError(f"a local subscriber named {name!r} exists")
        session, present = open_session(state, client_id, Principal(client_id, LOCAL_IDENTITY), V5, False, now)
        subscriber = LocalSubscriber(session, self, state.dirty, state.config.local_queue_max, manual_ack)
        subscriber.release(state.journal.committed)
        self._locals[subscriber] = None
        session.local = subscriber
        session.connected = True
        session.connected_at = now
        session.expiry_s = NEVER_EXPIRES if name is not None else 0
        subscription = Subscription(
            session,
            topic_filter,
            wanted.qos,
            wanted.no_local,
            wanted.retain_as_published,
            wanted.retain_handling,
            0,
            f"{group}/{inner}" if group else "",
        )
        fresh = self._enter(session, subscription)
        if present:
            session.outgoing.start_resume()
        if not group and (wanted.retain_handling == 0 or (wanted.retain_handling == 1 and fresh)):
            state.router.replay(subscription)
        drain(state.sender, session, now)
        return subscriber

    def _enter(self, session: Session, subscription: Subscription) -> bool:
        """Make a local session's one subscription this one; True when it is new."""
        state = self._state
        for other in [f for f in session.subscriptions if f != subscription.filter]:
            state.router.unsubscribe(session, other)
        fresh = state.router.subscribe(subscription)
        state.registry.presence_changed(session)
        if state.journal.enabled and session.expiry_s:
            session.stored = True
            session.barrier = state.journal.store_session(session)
        return fresh

    def disconnect(self, client_id: str, reason_code: int, now: float) -> bool:
        """Disconnect a client with a reason code (5.0 clients are told); False when it is not connected.

        Raises LocalProtocolError for a code that a server may not send in DISCONNECT (5.0 section 3.14.2.1).
        """
        if reason_code not in DISCONNECT_BY_SERVER:  # [MQTT-3.14.2-1 v5]
            raise LocalProtocolError(f"a server may not disconnect with reason code {reason_code}")
        state = self._state
        now = state.moment(now)
        handler = state.live.get(client_id)
        if handler is None:
            return False
        handler.disconnect(reason_code, "disconnected by the host", now)
        return True

    def policy_changed(self) -> None:
        """The policy would answer differently now: all its cached answers are void."""
        self._state.policy_epoch += 1
        self._state.router.invalidate_all()

    def shutdown(self, now: float) -> None:
        """Stop: 5.0 clients are told 0x8B and all connections close. Wills are published as for any other end of a
        connection [MQTT-3.1.2-8]; those with a delay are kept with their stored sessions."""
        state = self._state
        now = state.moment(now)
        state.shutting_down = True
        for handler in list(state.handlers):
            handler.disconnect(ReasonCode.SERVER_SHUTTING_DOWN, "server shutting down", now)

    # -- pulls --------------------------------------------------------------------------------------------------------

    def take_dirty(self) -> list[ClientHandler | LocalSubscriber]:
        """What has something to take since the last call: bytes, a wish to be closed, or messages of a local one."""
        dirty = self._state.dirty
        if not dirty:
            return []
        # An outbox knows its owner as an object; those of a broker are these two.
        taken: list[ClientHandler | LocalSubscriber] = dirty.copy()  # type: ignore[assignment]
        dirty.clear()
        self._flushed += taken
        return taken

    def take_writes(self) -> Batch | None:
        """The batch to be made durable now; None when there is nothing to write or one is under way."""
        state = self._state
        state.journal.stamp(state.now)
        return state.journal.take_batch()

    def take_events(self) -> list[Event]:
        """Events since the last call, oldest first."""
        return self._state.events.take()

    def next_deadline(self) -> float | None:
        """When `handle_timer` is to be called at the latest (epoch seconds); None when nothing is due ever.

        Call it after flushing: it also notices which connections could not be drained.
        """
        state = self._state
        flushed, self._flushed = self._flushed, []
        for owner in flushed:
            if isinstance(owner, ClientHandler) and owner.outbox.size:
                owner.note_undrained(state.now)
        if state.resumable or state.sender.unfinished or state.router.ending:
            return state.now
        deadline = state.deadlines.next_deadline()
        expiry_at = state.retained.next_expiry()
        if expiry_at and (deadline is None or expiry_at < deadline):
            deadline = expiry_at
        if state.config.sys_interval_s and not state.shutting_down:
            sys_at = self._sys.due_at or state.now
            if deadline is None or sys_at < deadline:
                deadline = sys_at
        return deadline

    # -- looks --------------------------------------------------------------------------------------------------------

    def sessions(self) -> Iterable[Session]:
        """All sessions, connected or not, oldest first. To be read only."""
        return self._state.registry.sessions.values()

    def retained(self, topic_filter: str = "#") -> list[Message]:
        """The retained messages a filter matches (`$SYS` only if the filter names it).

        Raises:
            InvalidTopicFilter: it breaks section 4.7.
        """
        check_filter(topic_filter)
        return self._state.retained.matching(topic_filter, self._state.now)

    @property
    def counters(self) -> Counters:
        """What this broker has counted."""
        return self._state.counters

    @property
    def config(self) -> BrokerConfig:
        """The broker's settings."""
        return self._state.config

    # -- what local subscribers ask for -------------------------------------------------------------------------------

    def local_taken(self, subscriber: LocalSubscriber, tokens: Sequence[int], now: float) -> None:
        """The host has taken messages of a local subscriber, and is done with those that have these tokens."""
        state = self._state
        state.moment(now)
        session = subscriber.session
        for token in tokens:
            state.sender.forget(session, token)
        if session.queue or session.replays is not None or session.outgoing.resend is not None:
            state.sender.unfinished[session] = None  # the next timer, which knows the time, goes on with them

    def local_unsubscribed(self, subscriber: LocalSubscriber, now: float) -> None:
        """A local subscriber ends."""
        if subscriber in self._locals:
            del self._locals[subscriber]
            end_session(self._state, subscriber.session, "unsubscribed by the host", self._state.moment(now))

"""The blocking server with faults and a clock that can be moved: what `MqttTestBroker` starts.

Laws: a fault is one the network or an operator could cause, and goes through the same doors; nothing waits for virtual
time, which stops at every deadline on its way so that each is met at its own moment. All of it happens under the one
lock of the server, whose condition is notified whenever something may have changed.
"""

from __future__ import annotations

import functools
import selectors
import threading
import time
from collections.abc import Callable, Mapping

from mqtt_adapters.blocking.server import MqttServer
from mqtt_adapters.blocking.server_link import ServerLink
from mqtt_adapters.clock import epoch_clock
from mqtt_adapters.config import ServerConfig
from mqtt_core.broker import Accept, Decision, LocalMessage, LocalSubscriber, Policy, Principal, Refuse
from mqtt_core.codec import AuthPacket, ConnectPacket, ReasonCode, SubscribeFilter
from mqtt_core.persistence import Storage

__all__ = ["FaultyServer", "GatePolicy", "VirtualClock"]


class VirtualClock:
    """Epoch seconds that pass as they do elsewhere, and `offset` seconds on top, which may only grow."""

    def __init__(self) -> None:
        self._real = epoch_clock()
        self.offset = 0.0

    def __call__(self) -> float:
        """The time now."""
        return self._real() + self.offset


class GatePolicy:
    """A policy in front of the one under test. users: user name -> password, in whose place `inner` may stand; with
    neither everybody may do everything. refusing: the reason code for everybody who connects, 0 for none."""

    def __init__(self, users: Mapping[str, str] | None, inner: Policy | None) -> None:
        for name, password in (users or {}).items():
            if not isinstance(password, str):
                raise TypeError(f"the password of {name!r} is text, not {type(password).__name__}")
        self._users = users
        self._inner = inner
        self.refusing = 0

    def authenticate(self, connect: ConnectPacket, peer: str) -> Decision:
        """See `Policy`."""
        if self.refusing:
            return Refuse(self.refusing, "refused by the test")
        if self._inner is not None:
            return self._inner.authenticate(connect, peer)
        if connect.properties.authentication_method is not None:
            return Refuse(ReasonCode.BAD_AUTHENTICATION_METHOD)
        if self._users is None:
            return Accept()
        password = self._users.get(connect.username or "")
        if password is None or (connect.password or b"") != password.encode():
            return Refuse(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
        return Accept(connect.username or "")

    def continue_authentication(self, connect: ConnectPacket, auth: AuthPacket, peer: str) -> Decision:
        """See `Policy`."""
        assert self._inner is not None  # without one, a CONNECT with a method was refused
        return self._inner.continue_authentication(connect, auth, peer)

    def authorize_publish(self, principal: Principal, topic: str, qos: int, retain: bool) -> bool:
        """See `Policy`."""
        return self._inner is None or self._inner.authorize_publish(principal, topic, qos, retain)

    def authorize_subscribe(self, principal: Principal, topic_filter: str, qos: int) -> int:
        """See `Policy`."""
        return qos if self._inner is None else self._inner.authorize_subscribe(principal, topic_filter, qos)

    def authorize_deliver(self, principal: Principal, topic: str) -> bool:
        """See `Policy`."""
        return self._inner is None or self._inner.authorize_deliver(principal, topic)


class FaultyServer(MqttServer):
    """A server in its own thread. news: the condition to notify; its lock, an RLock, is the lock of the server.
    observe: called, under the lock, with each message published on a topic that `#` matches."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        policy: Policy,
        store: Storage | None,
        clock: VirtualClock,
        lock: threading.RLock,
        news: threading.Condition,
        observe: Callable[[LocalMessage], None],
    ) -> None:
        super().__init__(config, policy=policy, store=store, clock=clock)
        self.lock = lock
        self._clock = clock
        self._news = news
        self._observe = observe
        self._paused: set[ServerLink] = set()
        self._everybody_paused = False
        self._steps = 0

    def start_observed(self) -> None:
        """Start, and miss nothing: the thread that serves waits for the lock."""
        with self.lock:
            self.start()
            options = SubscribeFilter("#", 2, retain_as_published=True, retain_handling=2)
            _Observer(self.broker.subscribe("#", options, self.now()), self._observe)

    def stop_within(self, timeout_s: float) -> bool:
        """Stop; False when the thread that serves has not ended in time."""
        thread = self._thread
        assert thread is not None
        self.stop_wanted = True
        super().wake()  # without the lock, which a policy that never answers may keep
        thread.join(max(0.0, timeout_s))
        return not thread.is_alive()

    # ------------------------------------------------------------------------------------------------------- looks

    def clients(self) -> dict[str, ServerLink]:
        """Client identifier -> connection, of those the broker has accepted."""
        opened = (link for link in self._links if link.opened)
        return {link.handler.client_id: link for link in opened if link.handler.session is not None}

    def _stepped(self, count: int) -> bool:
        return self._steps >= count or not self.running

    def settled(self, timeout_s: float) -> list[str]:
        """Wait until all connections have ended; returns those that have not in time, in words.

        The second of two steps sees all that the system knew before, connections not accepted yet among it.
        """
        end = time.monotonic() + timeout_s
        for _ in range(2):
            after = self._steps + 1
            self.wake()
            self._news.wait_for(functools.partial(self._stepped, after), end - time.monotonic())
        self._news.wait_for(lambda: not self._links, end - time.monotonic())
        known = {link: client_id for client_id, link in self.clients().items()}
        return [
            f"client {known[link]!r}" if link in known else f"a connection from {link.peer}" for link in self._links
        ]

    # ------------------------------------------------------------------------------------------------------ faults

    def cut(self, link: ServerLink) -> None:
        """The connection is gone, with no word to anybody."""
        link.abort()
        self.driver.tick()
        self.wake()

    def pause(self, link: ServerLink) -> None:
        """Nothing goes either way any more, and the connection stays."""
        self._paused.add(link)
        link.writable = False
        self._readable.pop(link, None)
        self.link_changed(link)
        self.wake()

    def pause_everybody(self) -> None:
        """`pause` for all there are, and all who come."""
        self._everybody_paused = True
        for link in [link for link in self._links if link.opened]:
            self.pause(link)

    def resume_link(self, link: ServerLink) -> None:
        """The opposite of `pause`, which a connection that was not paused does not notice."""
        if link in self._paused:
            self._paused.remove(link)
            link.set_reading(link.reading)
            link.ready(selectors.EVENT_WRITE)
            self.driver.tick()
            self.wake()

    def resume_everybody(self) -> None:
        """The opposite of `pause_everybody`."""
        self._everybody_paused = False
        for link in list(self._paused):
            self.resume_link(link)

    # -------------------------------------------------------------------------------------------------------- time

    def advance(self, seconds: float) -> None:
        """Let time pass at once. Clients that are there and not paused count as heard from all the while."""
        target = self.now() + seconds
        for link in self.clients().values():
            if link not in self._paused:
                link.handler.last_received = max(link.handler.last_received, target)
                link.handler.arm()
        while (due := self._next_due()) is not None and due <= target:
            self._move_to(due)
            self._handle_time()
            self.driver.tick()
        self._move_to(target)
        self.wake()

    def _next_due(self) -> float | None:
        times = [*self._hurried.values(), *(at for at in (self._timer_at, self._accept_at or None) if at is not None)]
        return min(times, default=None)

    def _move_to(self, moment: float) -> None:
        self._clock.offset += max(0.0, moment - self.now())

    # -------------------------------------------------------------------------------- what the server does itself

    def wake(self) -> None:
        """See `ServerVerbs`."""
        super().wake()
        with self.lock:
            self._news.notify_all()

    def _step(self, timeout: float) -> None:
        super()._step(timeout)
        with self.lock:
            self._steps += 1
            self._news.notify_all()

    def _serve_link(self, link: ServerLink, mask: int) -> None:
        if link not in self._paused:  # the selector may have found it before
            super()._serve_link(link, mask)

    def link_made(self, link: ServerLink) -> None:
        """See `MqttServer`."""
        super().link_made(link)
        if self._everybody_paused:
            self.pause(link)

    def link_changed(self, link: ServerLink) -> None:
        """See `MqttServer`."""
        if link in self._paused:
            link.wanted = 0
        super().link_changed(link)

    def link_gone(self, link: ServerLink) -> None:
        """See `MqttServer`."""
        self._paused.discard(link)
        super().link_gone(link)


class _Observer:
    """The owner of an in-process subscription, as the driver knows it: hands on each message within the tick."""

    def __init__(self, subscriber: LocalSubscriber, observe: Callable[[LocalMessage], None]) -> None:
        self._subscriber = subscriber
        self._observe = observe
        subscriber.owner = self

    def flush(self) -> None:
        """There are messages to take. Called by the driver."""
        for message in self._subscriber.take_messages():
            self._observe(message)

    def abort(self) -> None:
        """The driver found a bug in `flush`, and has logged it."""

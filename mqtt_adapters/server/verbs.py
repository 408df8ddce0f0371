"""What the host of a server may do inside its process, before anybody waits: the same for servers of every I/O style.

Laws: a message is shown, and is durable, only when what it rests on is; a subscriber that does not take its messages
costs the core's bound (`local_queue_max`) and nobody any time. Nothing here waits, and nothing here knows an I/O style.
"""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Sequence

from mqtt_adapters.driver import BrokerDriver
from mqtt_adapters.payload import Payload, payload_bytes
from mqtt_adapters.server.listening import Listening
from mqtt_adapters.server.settings import ServerSettings
from mqtt_adapters.waiter import Waiter
from mqtt_core.broker import Broker, ClientHandler, Decision
from mqtt_core.codec import NO_PROPERTIES, Properties, ReasonCode, StorageError, SubscribeFilter
from mqtt_core.persistence import Journal, Snapshot
from mqtt_core.router.local import LocalMessage, LocalSubscriber
from mqtt_core.session import Message

__all__ = ["HostSubscription", "HostVerbs", "ServerStoppedError", "stop_signals", "storage_error"]


def stop_signals() -> tuple[signal.Signals, ...]:
    """What asks a running server to stop: SIGTERM, SIGINT, and SIGHUP (the terminal has gone) unless it is ignored, as
    `nohup` has it."""
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGTERM, signal.SIGINT
    return signal.SIGTERM, signal.SIGINT, signal.SIGHUP


class ServerStoppedError(RuntimeError):
    """The server something was asked of is not running."""


class HostSubscription:
    """Messages for the host, made by `MqttServer.subscribe`; a style adds the waiting.

    The iteration ends when the subscription is closed or the server stops. Messages of QoS 1 and 2 count as
    acknowledged when they are taken out of the broker, or, with ``manual_ack``, when `acknowledge` says so.
    """

    def __init__(self, server: HostVerbs, subscriber: LocalSubscriber) -> None:
        self._server = server
        self._subscriber = subscriber
        self._taken: deque[LocalMessage] = deque()
        self._over = False
        subscriber.owner = self

    def wake(self) -> None:
        """Somebody may be waiting for a message, or for the end."""
        raise NotImplementedError

    def flush(self) -> None:
        """There are messages to take. Called by the driver."""
        self.wake()

    def abort(self) -> None:
        """End the iteration. Called by the driver and by a server that stops."""
        self._over = True
        self.wake()

    def take(self) -> LocalMessage | None:
        """The next message that is there, None for none. What is taken from a server that has stopped is written
        nowhere, and so comes again to a named subscription when the next one starts."""
        if not self._taken:
            self._taken.extend(self._subscriber.take_messages())
            if not self._taken:
                return None
            self._server.driver.tick()  # taking acknowledges, and that is a write
        return self._taken.popleft()

    def acknowledge(self, message: LocalMessage) -> None:
        """Say that a message of QoS 1 or 2 is done with, where that is not automatic. Nothing after a stop: see `take`.

        Raises:
            LocalProtocolError: it is of QoS 0, or was acknowledged before.
        """
        self._subscriber.acknowledge(message.token, self._server.now())
        self._server.driver.tick()

    def close(self) -> None:
        """End the subscription, and what a named one has stored. Closing twice is closing once."""
        if not self._over:
            self._subscriber.unsubscribe(self._server.now())
            self._server.driver.tick()
            self._server.subscription_over(self)
            self.abort()


class HostVerbs:
    """The part of `MqttServer` that a host program calls while the server runs.

    settings: what it was constructed with; config: the greater part of that. broker: the core, to look into
    (`sessions`, `retained`, `counters`). now: the clock of the server. running: from `start` to the end of `stop`.
    started: it was asked to start, and never will again. stop_wanted: it was asked to stop, be it while it starts.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.config = settings.config
        self.now = settings.clock
        self.running = False
        self.started = False
        self.stop_wanted = False
        self.broker: Broker
        self.driver: BrokerDriver
        self._subscriptions: dict[HostSubscription, None] = {}
        self._commit_waiters: list[tuple[int, Waiter]] = []
        self._ended_by: StorageError | None = None
        self._listeners: Sequence[Listening] = ()

    @property
    def addresses(self) -> list[str]:
        """Where the server listens, as people write it; empty while it does not."""
        return [address for listener in self._listeners for address in listener.addresses]

    @property
    def port(self) -> int:
        """The TCP port of the first listener that has one; 0 while the server does not listen."""
        return next((listener.port for listener in self._listeners if listener.port), 0)

    def publish(
        self,
        topic: str,
        payload: Payload = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
    ) -> int:
        """Publish to every subscriber, as the host itself; no policy is asked. qos: 0 to 2.

        Returns the barrier of the message, for `committed`.

        Raises:
            InvalidTopic, LocalProtocolError: what a client would be refused for; nothing has been published.
            ServerStoppedError: the server does not run.
        """
        self.check_running()
        message = Message(topic, payload_bytes(payload), qos, retain, properties)
        barrier = self.broker.publish(message, self.now())
        self.driver.tick()
        return barrier

    def open_subscriber(self, topic_filter: str, qos: int, name: str | None, manual_ack: bool) -> LocalSubscriber:
        """The core's part of `subscribe`. Raises ServerStoppedError when the server does not run."""
        self.check_running()
        options = SubscribeFilter(topic_filter, qos)
        return self.broker.subscribe(topic_filter, options, self.now(), name, manual_ack)

    def add_subscription(self, subscription: HostSubscription) -> None:
        """A subscription was made: what is retained for it is there after the tick."""
        self._subscriptions[subscription] = None
        self.driver.tick()

    def subscription_over(self, subscription: HostSubscription) -> None:
        """A subscription was closed."""
        self._subscriptions.pop(subscription, None)

    def disconnect(self, client_id: str, reason_code: int = ReasonCode.ADMINISTRATIVE_ACTION) -> bool:
        """End a client's connection, telling a 5.0 client why. Returns whether it was connected.

        Raises:
            ServerStoppedError: the server does not run.
        """
        self.check_running()
        found = self.broker.disconnect(client_id, reason_code, self.now())
        self.driver.tick()
        return found

    def resume(self, handler: ClientHandler, decision: Decision) -> None:
        """Answer an `AuthenticationPending` event: go on with a connection whose authentication was deferred."""
        handler.resume(decision, self.now())
        self.driver.tick()

    def policy_changed(self) -> None:
        """The policy would answer differently now: every verdict is asked for anew."""
        self.broker.policy_changed()
        self.driver.tick()

    def check_running(self) -> None:
        """Refuse what only a server that runs can do. Raises ServerStoppedError."""
        if not self.running:
            if hasattr(self, "broker"):
                raise ServerStoppedError("the server has stopped") from self._ended_by
            raise ServerStoppedError("the server was not started: use it in a with block, or call start")

    # ------------------------------------------------------------------------------------------- the server's side

    def start_once(self) -> None:
        """A start begins. Raises RuntimeError when it is not the first."""
        if self.started:
            raise RuntimeError("a server starts once; make another one")
        self.started = True

    def check_wanted(self) -> None:
        """Give up a start that nobody wants any more. Raises ServerStoppedError."""
        if self.stop_wanted:
            raise ServerStoppedError("the server was stopped while it started")

    def reading_store(self, done: int, total: int) -> None:
        """The progress of reading the store, which a stop ends. Maybe in the store's thread.

        done, total: see `Progress`. Raises ServerStoppedError.
        """
        self.check_wanted()
        if self.settings.on_progress is not None:
            self.settings.on_progress(done, total)

    def restore_broker(self, snapshot: Snapshot | None) -> None:
        """Make the broker, with what its store holds; None without a store."""
        journal = None
        if snapshot is not None:
            journal = Journal()
            if (behind := snapshot.stamp - self.now()) > 0:
                clock = self.now
                self.now = lambda: clock() + behind  # the wall clock was set back since the last commit
        config, settings = self.config.broker_config(), self.settings
        self.broker = Broker(config, policy=settings.policy, journal=journal, rng=settings.rng, snapshot=snapshot)

    def expect_commit(self, barrier: int, waiter: Waiter) -> bool:
        """Finish `waiter` when the barrier is durable. False, and nothing to wait for, when it is already.

        Raises:
            StorageError: it never will be, for the server has stopped.
        """
        if barrier <= self.driver.committed:
            return False
        if self._ended_by is not None:
            raise self._ended_by
        self._commit_waiters.append((barrier, waiter))
        return True

    def committed_up_to(self, number: int) -> None:
        """See `DriverHost`."""
        waiting = []
        for barrier, waiter in self._commit_waiters:
            if barrier > number:
                waiting.append((barrier, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._commit_waiters = waiting

    def end_verbs(self, reason: StorageError) -> None:
        """The server has stopped: streams end, and whoever waits for a commit is told why there will be none."""
        self.running = False
        self._ended_by = reason
        self.driver.over = True
        for subscription in list(self._subscriptions):
            subscription.abort()
        for _, waiter in self._commit_waiters:
            if not waiter.done():
                waiter.set_exception(reason)


def storage_error(error: Exception) -> StorageError:
    """What a server tells about a storage that failed."""
    if isinstance(error, StorageError):
        return error
    failure = StorageError(str(error))
    failure.__cause__ = error
    return failure

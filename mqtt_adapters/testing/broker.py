"""A broker to test an application against: real sockets, a thread of its own, faults on demand, time as you like it.

    def test_the_lamp_says_it_is_on(mqtt_broker):
        with Lamp(mqtt_broker.host, mqtt_broker.port):
            mqtt_broker.expect_subscription("lamp/set")
            mqtt_broker.publish("lamp/set", "on")
            mqtt_broker.expect("lamp/state", "on")

`mqtt_adapters.pytest_plugin` has the fixtures; the object itself needs no pytest. Every verb may be called from any
thread, and none sleeps: what waits is woken by the message, the client or the subscription it waits for. In a coroutine
wait with ``await asyncio.to_thread(broker.expect, ...)``, so that the event loop of the application goes on.

Laws: nothing is shared between two brokers, so any number of tests may run beside each other. After `close` no thread
and no socket is left. Only the clock of the broker is virtual: clients live in real time. The recording is a subscriber
like any other, so a publisher is never told that there was none (0x10).
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final, TypeVar

from mqtt_adapters.config import ServerConfig, nearest
from mqtt_adapters.config import settings as config_settings
from mqtt_adapters.payload import Payload, payload_bytes
from mqtt_adapters.testing.record import Received, Record, check_observable
from mqtt_adapters.testing.server import FaultyServer, GatePolicy, VirtualClock
from mqtt_core.broker import LocalMessage, Policy
from mqtt_core.codec import CONNACK, NO_PROPERTIES, Properties, ReasonCode
from mqtt_core.codec.reason_codes import REASON_CODES
from mqtt_core.persistence import MemoryStore, Storage

__all__ = ["MqttTestBroker", "Received"]

__tracebackhide__ = True  # pytest shows the line of the test that failed, and nothing of this module

T = TypeVar("T")

HOST: Final = "127.0.0.1"
EXPECT_S: Final = 2.0
STOP_S: Final = 2.0
"""Seconds `close` takes at most, half of which it gives to clients that are still saying goodbye."""

ADVANCE_MAX_S: Final = float(1 << 32)
"""The longest step of time: more than any interval of the standard, which ends at 0xFFFFFFFF seconds."""

REFUSALS: Final = sorted(code for code in REASON_CODES[CONNACK] if code >= 0x80)
CLIENT_THREADS: Final = ("mqtt-client", "paho-mqtt-client")
DEFAULTS: Final[dict[str, Any]] = {"sys_interval_s": 0.0, "close_timeout_s": 0.5}


class MqttTestBroker:
    """A broker on a free port of 127.0.0.1.

    users: user name -> password, without which nobody comes in. policy: a `Policy` instead. store: a file for what is
    to survive `restart`, or a `Storage`; True for memory that lasts as long as this object. settings: those of
    `ServerConfig`, such as ``tls_cert_file`` or ``maximum_qos``; there are no $SYS topics unless they say so.

    Raises:
        ConfigError: a setting cannot be used.
        ValueError: both users and a policy are given.
        TypeError: there is no such setting, or a password is no text.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        policy: Policy | None = None,
        store: bool | str | os.PathLike[str] | Storage = False,
        **settings: Any,
    ) -> None:
        if users is not None and policy is not None:
            raise ValueError("users and policy: give one of them")
        if "bind_addr" in settings:
            raise TypeError(f"a broker to test against listens on a free port of {HOST}: leave bind_addr out")
        known = [row.name for row in config_settings(ServerConfig)]
        if unknown := [name for name in settings if name not in known]:
            raise TypeError(f"a broker has no setting {unknown[0]!r}{nearest(unknown[0], known)}")
        self._config = ServerConfig(bind_addr=f"{HOST}:0", **(DEFAULTS | settings))
        self._policy = GatePolicy(users, policy)
        self._store = MemoryStore() if store is True else store
        self._clock = VirtualClock()
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._record = Record()
        self._threads_before = set(threading.enumerate())
        self._server: FaultyServer | None = None
        self._port = 0

    # ------------------------------------------------------------------------------------------- start and stop

    def start(self) -> None:
        """Listen: on a free port, and on the same one when started again.

        Raises:
            OSError: somebody else has taken the port meanwhile. ConfigError: a TLS file cannot be used.
            RuntimeError: it is running.
        """
        if self._server is not None:
            raise RuntimeError("the broker is running")
        server = FaultyServer(
            dataclasses.replace(self._config, bind_addr=f"{HOST}:{self._port}"),
            policy=self._policy,
            store=self._open_store(),
            clock=self._clock,
            lock=self._lock,
            news=self._news,
            observe=self._observe,
        )
        server.start_observed()
        self._server = server
        self._port = server.port

    def _open_store(self) -> Storage | None:
        if isinstance(self._store, (str, os.PathLike)):
            from mqtt_adapters.storage.sqlite import SqliteStore  # noqa: PLC0415 - a Python may come without SQLite

            return SqliteStore(self._store, "process")
        return None if isinstance(self._store, bool) else self._store

    def stop(self) -> None:
        """Stop, telling clients of 5.0 so; `start` begins again with what the store holds.

        Raises:
            RuntimeError: it took longer than two seconds.
        """
        server, self._server = self._running(), None
        if not server.stop_within(STOP_S):
            raise RuntimeError(f"the broker has not stopped within {STOP_S:g} s")

    def restart(self) -> None:
        """Stop and start on the same port. Without a store, sessions and retained messages are lost."""
        self.stop()
        self.start()

    def close(self) -> list[str]:
        """Stop for good, within two seconds, and tell in one line each what the test has left behind.

        That is: clients still connected, threads of clients still running, and a broker that does not end.
        """
        left = []
        end = time.monotonic() + STOP_S
        server, self._server = self._server, None
        if server is not None:
            if self._lock.acquire(timeout=STOP_S / 2):
                try:
                    server.resume_everybody()
                    left += [f"{name} is still connected: close it in the test" for name in server.settled(STOP_S / 2)]
                finally:
                    self._lock.release()
            if not server.stop_within(end - time.monotonic()):
                left.append(f"the thread of the broker has not ended within {STOP_S:g} s")
        for thread in threading.enumerate():
            if thread not in self._threads_before and thread.name.startswith(CLIENT_THREADS):
                thread.join(max(0.0, end - time.monotonic()))
                if thread.is_alive():
                    left.append(f"thread {thread.name!r} is still running: stop it in the test")
        return left

    def _running(self) -> FaultyServer:
        if self._server is None:
            raise RuntimeError("the broker is not running")
        return self._server

    # ------------------------------------------------------------------------------------------------------- looks

    @property
    def host(self) -> str:
        """The address it listens on."""
        return HOST

    @property
    def port(self) -> int:
        """The port it listens on; it stays the same for the life of this object."""
        return self._port

    @property
    def url(self) -> str:
        """Where it listens as an URL: mqtt, mqtts, ws or wss."""
        scheme = "ws" if self._config.websocket else "mqtt"
        return f"{scheme}{'s' if self._config.tls else ''}://{HOST}:{self._port}"

    @property
    def clients(self) -> list[str]:
        """Identifiers of the clients connected now."""
        with self._lock:
            return list(self._running().clients())

    def received(self, topic_filter: str = "#") -> list[Received]:
        """All that clients have published so far, oldest first; wills too, and what `expect` has returned."""
        check_observable(topic_filter)
        with self._lock:
            return self._record.matching(topic_filter)

    def retained(self, topic_filter: str = "#") -> dict[str, bytes]:
        """Topic -> payload of the retained messages."""
        with self._lock:
            return {message.topic: message.payload for message in self._running().broker.retained(topic_filter)}

    # ------------------------------------------------------------------------------------------------ expectations

    def expect(self, topic_filter: str, payload: Payload | None = None, *, timeout: float = EXPECT_S) -> Received:
        """Wait until a client has published on a topic the filter matches, and return the message.

        It may have come before; each message answers one `expect`. payload: what it has to be, None for anything.
        timeout: seconds of real time.

        Raises:
            AssertionError: it did not come; the text lists what did, and the nearest topics.
            TypeError: no payload can be that.
        """
        check_observable(topic_filter)
        wanted = None if payload is None else payload_bytes(payload)
        what = f"no message on {topic_filter!r}" + ("" if wanted is None else f" with payload {wanted!r}")
        return self._wait(
            lambda: self._record.take(topic_filter, wanted),
            timeout,
            lambda: f"{what} within {timeout:g} s; {self._record.account(topic_filter)}",
        )

    def expect_connected(self, client_id: str, *, timeout: float = EXPECT_S) -> None:
        """Wait until a client is connected. Raises AssertionError, with those that are, when it does not come."""
        self._wait(
            lambda: client_id in self.clients,
            timeout,
            lambda: f"client {client_id!r} has not connected within {timeout:g} s; connected: {self._names()}",
        )

    def expect_disconnected(self, client_id: str, *, timeout: float = EXPECT_S) -> None:
        """Wait until a client is not connected. Raises AssertionError when it stays."""
        self._wait(
            lambda: client_id not in self.clients,
            timeout,
            lambda: f"client {client_id!r} is still connected after {timeout:g} s",
        )

    def expect_subscription(self, topic_filter: str, client_id: str = "", *, timeout: float = EXPECT_S) -> None:
        """Wait until a client, or the one named, has subscribed to exactly this filter.

        Raises AssertionError, with all subscriptions there are, when that does not happen.
        """
        self._wait(
            lambda: any(name == topic_filter and client_id in {"", who} for who, name in self._subscriptions()),
            timeout,
            lambda: (
                f"nobody has subscribed to {topic_filter!r} within {timeout:g} s; subscriptions: "
                + (", ".join(f"{name} ({who})" for who, name in self._subscriptions()) or "none")
            ),
        )

    def _wait(self, found: Callable[[], T | None], timeout: float, failure: Callable[[], str]) -> T:
        with self._lock:
            result = self._news.wait_for(found, None if timeout == inf else timeout)
            if not result:
                raise AssertionError(failure())
            return result

    def _observe(self, message: LocalMessage) -> None:
        self._record.add(message)
        self._news.notify_all()

    def _names(self) -> str:
        return ", ".join(self.clients) or "nobody"

    def _subscriptions(self) -> list[tuple[str, str]]:
        sessions = self._running().broker.sessions()
        return [(s.client_id, name) for s in sessions if s.local is None for name in s.subscriptions]

    # -------------------------------------------------------------------------------------------- what happens to it

    def publish(
        self,
        topic: str,
        payload: Payload = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
    ) -> None:
        """Publish to whoever has subscribed; `expect` and `received` do not see it.

        Raises:
            InvalidTopic, LocalProtocolError: what a client would be refused for.
        """
        self._running().publish(topic, payload, qos=qos, retain=retain, properties=properties)

    def drop(self, client_id: str, reason_code: int | None = None) -> None:
        """Cut a client's connection without a word, or with DISCONNECT and a reason code. Its will is published.

        Raises:
            LookupError: there is no such client. LocalProtocolError: no server says that code in DISCONNECT.
        """
        with self._lock:
            server = self._running()
            link = self._link(client_id)
            if reason_code is None:
                server.cut(link)
            else:
                server.disconnect(client_id, reason_code)

    def refuse(self, reason_code: int = ReasonCode.SERVER_UNAVAILABLE) -> None:
        """Refuse everybody who connects from now on, with this reason code in CONNACK (0x80 and above).

        Raises:
            ValueError: it is no code that a CONNACK refuses with (5.0 section 3.2.2.2).
        """
        if reason_code not in REFUSALS:
            known = ", ".join(f"0x{code:02X}" for code in REFUSALS)
            raise ValueError(f"CONNACK does not refuse with 0x{reason_code:02X}, but with one of {known}")
        with self._lock:
            self._policy.refusing = reason_code

    def accept(self) -> None:
        """Let clients connect again."""
        with self._lock:
            self._policy.refusing = 0

    def pause(self, client_id: str | None = None) -> None:
        """Stall a client's connection, or everybody's and those to come: it stays, and nothing moves either way.

        Raises:
            LookupError: there is no such client.
        """
        with self._lock:
            if client_id is None:
                self._running().pause_everybody()
            else:
                self._running().pause(self._link(client_id))

    def resume(self, client_id: str | None = None) -> None:
        """Let a client's bytes move again, or everybody's. Raises LookupError when there is no such client."""
        with self._lock:
            if client_id is None:
                self._running().resume_everybody()
            else:
                self._running().resume_link(self._link(client_id))

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass for the broker, at once: when this returns, all that was due has happened.

        Wills with a delay, expiry of sessions and messages, timeouts. The keep alive of connected clients is taken
        to be kept, unless they are paused.

        Raises:
            ValueError: seconds is below 0, or above 2**32.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back, not even by {-seconds:g} s")
        if not seconds <= ADVANCE_MAX_S:
            raise ValueError(f"{seconds:g} s is no step of time; the longest interval of MQTT is {0xFFFFFFFF} s")
        with self._lock:
            self._running().advance(seconds)

    def _link(self, client_id: str) -> Any:
        link = self._running().clients().get(client_id)
        if link is None:
            raise LookupError(f"no client {client_id!r} is connected; connected: {self._names()}")
        return link

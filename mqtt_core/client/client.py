"""The client role: one object for all connections of one client, without a socket.

Laws. Inputs are verbs that take `now` (epoch seconds, never going back) and return nothing but a token. Outputs are
pulled: `data_to_send`, `take_events`, `take_writes`, `next_deadline`. A server can never raise into the host:
whatever it sends that it may not is answered here, in the one `except` of `receive_data`, with DISCONNECT and its
reason code (5.0) or a closed connection (3.1.1), and reported as `Disconnected`. Misuse by the host raises
`LocalProtocolError` before anything has changed.

How to drive it: connect a transport, call `connect`; feed what arrives to `receive_data`, the end to `receive_eof`;
after each input write what `data_to_send` gives, close the transport when `closing` is true, do not read while
`reading_paused` is, call `handle_timer` at `next_deadline`. When the connection is gone, `reconnect_at` says when to
try again with a new transport and a new `connect`.
"""

from __future__ import annotations

from math import inf

from mqtt_core.client.backoff import Backoff, Rng, worth_retrying
from mqtt_core.client.bulk import Bulk
from mqtt_core.client.config import ClientConfig, OfflinePolicy
from mqtt_core.client.connecting import Connecting, refusal_code
from mqtt_core.client.events import ConnectionRefused, Disconnected, Event
from mqtt_core.client.receiving import Receiving
from mqtt_core.client.recovering import recover
from mqtt_core.client.sending import Sending
from mqtt_core.client.state import ClientState
from mqtt_core.client.subscribing import Subscribing
from mqtt_core.codec.decode import decode
from mqtt_core.codec.error import LocalProtocolError, MqttError, ProtocolError
from mqtt_core.codec.packet import (
    AuthPacket,
    ConnackPacket,
    DisconnectPacket,
    PubackPacket,
    PubcompPacket,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubackPacket,
    SubscribeFilter,
    UnsubackPacket,
)
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.reason_codes import DISCONNECT_BY_CLIENT
from mqtt_core.codec.sender import check_problem_information
from mqtt_core.codec.types import ReasonCode
from mqtt_core.persistence.journal import Batch, Journal
from mqtt_core.persistence.recovery import Snapshot
from mqtt_core.session.connection import ALLOWED, CLIENT, CLOSED, CLOSING, OPEN
from mqtt_core.session.message import payload_bytes

__all__ = ["MqttClient"]


class MqttClient:
    """An MQTT client of either version (5.0 section 4, 3.1.1 section 4).

    config: see `ClientConfig`. rng: for the pauses between attempts to connect. journal: where QoS 1/2 state is
    written (law 5); none keeps everything in memory. snapshot: what an earlier process left in the storage behind the
    journal. Raises LocalProtocolError for a journal without a client identifier, and PERSIST without a lasting session.

    reconnect_at: when to connect again (epoch seconds), None while connected and when nothing is to be tried.
    reading_held: set by a host that does not read for reasons of its own, so that silence is not taken for death.
    """

    __slots__ = (
        "_backoff",
        "_bulk",
        "_connecting",
        "_receiving",
        "_sending",
        "_state",
        "_stopped",
        "_subscribing",
        "reading_held",
        "reconnect_at",
    )

    def __init__(
        self, config: ClientConfig, *, rng: Rng, journal: Journal | None = None, snapshot: Snapshot | None = None
    ) -> None:
        if journal is None:
            journal = Journal(enabled=False)
        if journal.enabled and not config.client_id:
            raise LocalProtocolError("a stored session needs a client identifier")
        if config.offline is OfflinePolicy.PERSIST and not (journal.enabled and config.persistent):
            raise LocalProtocolError("PERSIST needs a journal, and a session that outlives connections")
        self._state = ClientState(config, journal)
        self._sending = Sending(self._state)
        self._receiving = Receiving(self._state)
        self._subscribing = Subscribing(self._state)
        self._connecting = Connecting(self._state, rng, self._sending, self._receiving, self._subscribing)
        self._bulk = Bulk(self._state)
        self._backoff = Backoff(config.reconnect_min_s, config.reconnect_max_s, rng)
        self._stopped = False
        self.reading_held = False
        self.reconnect_at: float | None = None
        self._connecting.established = recover(self._state, self._sending, snapshot)

    # -- looks -------------------------------------------------------------------------------------------------------

    @property
    def config(self) -> ClientConfig:
        """The settings it was made with."""
        return self._state.config

    @property
    def client_id(self) -> str:
        """The client identifier in use: configured, or assigned by the server."""
        return self._state.session.client_id

    @property
    def now(self) -> float:
        """The newest time an input has told (epoch seconds)."""
        return self._state.now

    @property
    def connected(self) -> bool:
        """CONNACK has accepted the connection, and nothing has ended it."""
        return self._state.link.phase == OPEN

    @property
    def unacknowledged(self) -> int:
        """Publishes of QoS 1 and 2 that are in flight or wait in the queue, and QoS 0 that wait."""
        return len(self._state.session.inflight) - len(self._subscribing.asked) + len(self._sending.queue)

    @property
    def outbox_bytes(self) -> int:
        """Bytes that wait to be written, or for the storage."""
        return self._state.link.outbox.size

    @property
    def barrier(self) -> int:
        """Number of the batch with the newest write: all that was done so far is durable once it is committed; 0 when
        it is."""
        barrier = self._state.session.barrier
        return barrier if barrier > self._state.journal.committed else 0

    @property
    def subscriptions(self) -> list[str]:
        """The topic filters that are subscribed, as far as the server has granted them."""
        return list(self._state.session.subscriptions)

    # -- verbs of the host -------------------------------------------------------------------------------------------

    def connect(self, now: float) -> None:
        """Send CONNECT on a new transport. Raises LocalProtocolError while another is in use, or for a bad setting."""
        if self._state.link.phase != CLOSED:
            raise LocalProtocolError("the previous connection has not ended")
        self._clock(now)
        self._connecting.start(now)
        self.reconnect_at = None
        self._stopped = False

    def connect_failed(self, reason: str, now: float) -> None:
        """No transport could be connected; the pause before the next attempt grows."""
        self._clock(now)
        if self._state.link.phase != CLOSED:
            return
        self.reconnect_at = now + self._backoff.ended(0.0) if self._state.config.reconnect else None
        self._state.events.append(Disconnected(ReasonCode.SERVER_UNAVAILABLE, reason, reconnect_at=self.reconnect_at))

    def publish(
        self,
        topic: str,
        payload: bytes | bytearray | memoryview = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
        now: float,
    ) -> int:
        """Publish a message (section 3.3) and return its token, which `PublishCompleted` or `PublishFailed` names.

        The token is 0 for a QoS 0 message that is not queued: there is nothing to wait for. While there is no
        connection the offline policy decides; a message that finds no quota joins the queue.

        Raises:
            LocalProtocolError: for anything the standard or this server does not allow, or when the queue is full.
            InvalidTopic: for a topic that is no topic name. TypeError: for a payload that is not bytes.
        """
        self._clock(now)
        return self._sending.publish(topic, payload_bytes(payload), qos, retain, properties, now)

    def subscribe(
        self, subscriptions: list[SubscribeFilter], *, properties: Properties = NO_PROPERTIES, now: float
    ) -> int:
        """Subscribe to topic filters (section 3.8); `SubscribeCompleted` names the returned token.

        Raises LocalProtocolError or InvalidTopicFilter for what the standard or this server does not allow.
        """
        self._clock(now)
        return self._subscribing.subscribe(subscriptions, properties)

    def unsubscribe(self, filters: list[str], *, properties: Properties = NO_PROPERTIES, now: float) -> int:
        """Give subscriptions back (section 3.10); `UnsubscribeCompleted` names the returned token."""
        self._clock(now)
        return self._subscribing.unsubscribe(filters, properties)

    def acknowledge(
        self, token: int, *, reason_code: int = 0, properties: Properties = NO_PROPERTIES, now: float
    ) -> None:
        """The host has dealt with a message (manual acknowledgement); a second time, or too late, does nothing.

        reason_code, properties: of PUBACK or PUBREC, 5.0 only.
        """
        self._clock(now)
        self._receiving.acknowledge(token, reason_code, properties)

    def authenticate(self, data: bytes, *, properties: Properties = NO_PROPERTIES, now: float) -> None:
        """Answer an `AuthChallenge` (section 4.12)."""
        self._clock(now)
        self._connecting.authenticate(data, properties, now)

    def reauthenticate(self, data: bytes, *, properties: Properties = NO_PROPERTIES, now: float) -> None:
        """Authenticate again on the open connection (section 4.12.1); ends in `Authenticated` or `Disconnected`."""
        self._clock(now)
        self._connecting.reauthenticate(data, properties)

    def disconnect(self, now: float, *, reason_code: int = 0, properties: Properties = NO_PROPERTIES) -> None:
        """Say goodbye (section 3.14); there is no reconnecting after it. Without a connection nothing is sent.

        reason_code: 0, or with 5.0 any a client may send (0x04: the will is to be published). properties: 5.0, for
        example another Session Expiry Interval.
        """
        packet = self._connecting.goodbye(reason_code, properties)
        self._clock(now)
        self.reconnect_at = None
        if self._state.link.phase in {CLOSING, CLOSED}:
            return
        self._state.send_packet(packet)
        # [MQTT-3.14.4-1 v5] [MQTT-3.14.4-2 v3.1.1]
        self._end(reason_code, "disconnected by the host", now, retry=False)

    # -- inputs of the transport -------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes arrived. Ignored when the connection has ended for this side."""
        self._clock(now)
        link = self._state.link
        if link.phase in {CLOSING, CLOSED}:
            return
        link.reader.feed(data)
        link.last_received = now
        self._process(now)

    def receive_eof(self, now: float) -> None:
        """The transport is closed, by whichever side."""
        self._clock(now)
        link = self._state.link
        if link.phase == CLOSED:
            return
        if link.phase != CLOSING:
            self._end(ReasonCode.UNSPECIFIED_ERROR, "the connection was closed by the peer", now)
        self._state.link.silence()
        link.phase = CLOSED

    def handle_timer(self, now: float) -> None:
        """The time of `next_deadline` has come; being early is no harm."""
        self._clock(now)
        link = self._state.link
        if link.phase == OPEN:
            if self._stopped:
                self._process(now)
            if self._sending.unfinished():
                self._sending.drain(now)
            if link.phase == OPEN and link.keep_alive_s:
                self._keep_alive(now)
        elif link.phase != CLOSED and now >= link.give_up_at:
            if link.phase == CLOSING:
                link.outbox.discard_held()
                link.give_up_at = inf
            else:
                self._end(ReasonCode.UNSPECIFIED_ERROR, "no CONNACK in time", now)

    def writes_committed(self, number: int) -> None:
        """The batch of that number is durable: what waited for it may leave."""
        self._state.journal.mark_committed(number)
        self._state.link.outbox.release(number)

    # -- pulls -------------------------------------------------------------------------------------------------------

    def data_to_send(self) -> list[bytes]:
        """The bytes to write now, in pieces."""
        return self._state.link.take(self._state.now)

    def take_events(self) -> list[Event]:
        """What has happened since the last call, in order."""
        state = self._state
        events, state.events = state.events, []
        state.unread_messages = state.unread_bytes = 0
        return events

    def take_writes(self) -> Batch | None:
        """The next batch for the storage; None while one is under way or there is nothing to write."""
        return self._state.journal.take_batch()

    def next_deadline(self) -> float | None:
        """When to call `handle_timer` (epoch seconds), None for no need. `reconnect_at` is apart from it."""
        state = self._state
        link = state.link
        if link.phase == CLOSED:
            return None
        if link.phase != OPEN:
            return link.give_up_at if link.give_up_at < inf else None
        if (self._stopped and not self._receiving.full()) or self._sending.unfinished():
            return state.now
        if not link.keep_alive_s:
            return None
        return min(link.ping_at(), link.ping_timeout_at(state.config.ping_timeout_s))

    @property
    def closing(self) -> bool:
        """Write what `data_to_send` gives, then close the transport and call `receive_eof`."""
        link = self._state.link
        return link.phase == CLOSING and link.outbox.held is None

    @property
    def reading_paused(self) -> bool:
        """The host should not read: it has messages to take or to acknowledge first."""
        return self._receiving.full()

    # -- packets -----------------------------------------------------------------------------------------------------

    def _clock(self, now: float) -> None:
        state = self._state
        if now > state.now:
            state.now = now
            if state.durable:
                state.journal.stamp(now)

    def _process(self, now: float) -> None:
        """Handle the packets that have arrived, as far as the host's limits allow."""
        link = self._state.link
        full = self._receiving.full
        try:
            while True:
                if link.phase == OPEN and self._bulk.run(link):
                    self._sending.drain(now)
                if full():
                    self._stopped = True
                    return
                frame = link.reader.next_frame()
                if frame is None:
                    break
                self._handle(frame, now)
                if link.phase == CLOSING:
                    break
        except MqttError as error:
            # [MQTT-4.8.0-1 v3.1.1] [MQTT-4.8.0-2 v3.1.1] [MQTT-4.13.2-1 v5] [MQTT-2.2.2-2 v3.1.1]
            self._fail(error, now)
        self._stopped = False

    def _handle(self, frame: bytes, now: float) -> None:
        state = self._state
        kind = frame[0] >> 4
        if not ALLOWED[CLIENT][state.link.phase] >> kind & 1:
            raise ProtocolError(0x82 if kind else 0x81, f"packet type {kind} is not legal here")
        packet = decode(frame, state.config.version)
        if not state.config.request_problem_information:
            check_problem_information(packet)
        if isinstance(packet, PublishPacket):
            self._receiving.on_publish(packet)
        elif isinstance(packet, PubackPacket):
            self._sending.on_puback(packet, now)
        elif isinstance(packet, PubrecPacket):
            self._sending.on_pubrec(packet, now)
        elif isinstance(packet, PubrelPacket):
            self._receiving.on_pubrel(packet)
        elif isinstance(packet, PubcompPacket):
            self._sending.on_pubcomp(packet, now)
        elif isinstance(packet, SubackPacket):
            self._subscribing.on_suback(packet)
        elif isinstance(packet, UnsubackPacket):
            self._subscribing.on_unsuback(packet)
        elif isinstance(packet, ConnackPacket):
            self._on_connack(packet, now)
        elif isinstance(packet, AuthPacket):
            self._connecting.on_auth(packet)
        elif isinstance(packet, DisconnectPacket):
            self._on_disconnect(packet, now)
        else:  # PINGRESP: the table lets nothing else pass
            state.link.ping_sent = inf

    def _on_connack(self, packet: ConnackPacket, now: float) -> None:
        if not packet.reason_code:
            self._connecting.on_connack(packet, now)
            return
        code = refusal_code(packet, self._state.config.version)
        self._state.link.silence()
        self._end(code, "refused", now, properties=packet.properties, by_server=True, refused=True)

    def _on_disconnect(self, packet: DisconnectPacket, now: float) -> None:
        reason = self._connecting.on_disconnect(packet)
        self._state.link.silence()
        self._end(packet.reason_code, reason, now, properties=packet.properties, by_server=True)

    # -- time --------------------------------------------------------------------------------------------------------

    def _keep_alive(self, now: float) -> None:
        link = self._state.link
        if now >= link.ping_timeout_at(self._state.config.ping_timeout_s):
            if self.reading_held or self._receiving.full():
                # This side does not read, so the answer cannot have been seen.
                link.last_received = now
            else:
                self._state.link.silence()
                self._end(ReasonCode.KEEP_ALIVE_TIMEOUT, "no answer to PINGREQ in time", now)
                return
        if now >= link.ping_at():
            link.ping(now)

    # -- the end of a connection -------------------------------------------------------------------------------------

    def _fail(self, error: MqttError, now: float) -> None:
        """The server broke a rule: say so (5.0) and close."""
        code = error.reason_code if error.reason_code in DISCONNECT_BY_CLIENT else ReasonCode.PROTOCOL_ERROR.value
        if self._state.version5:
            self._state.send_packet(DisconnectPacket(code, Properties(reason_string=error.reason[:256])))
        self._end(code, error.reason, now)

    def _end(
        self,
        reason_code: int,
        reason: str,
        now: float,
        *,
        properties: Properties = NO_PROPERTIES,
        by_server: bool = False,
        refused: bool = False,
        retry: bool = True,
    ) -> None:
        """The connection has ended for this side: what is in the outbox still leaves, nothing more comes in."""
        state = self._state
        link = state.link
        lasted_s = now - link.opened_at if link.phase == OPEN else 0.0
        link.phase = CLOSING
        link.give_up_at = now + state.config.close_timeout_s
        self._stopped = False
        state.session.connected = False
        state.session.disconnected_at = now
        self._subscribing.link_ended()
        self._receiving.link_ended()
        if retry and state.config.reconnect and (not by_server or worth_retrying(reason_code)):
            self.reconnect_at = now + self._backoff.ended(lasted_s)
        if refused:
            state.events.append(ConnectionRefused(reason_code, properties, self.reconnect_at))
        else:
            state.events.append(Disconnected(reason_code, reason, by_server, properties, self.reconnect_at))

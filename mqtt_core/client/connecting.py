"""CONNECT, CONNACK and AUTH: how a connection opens.

Laws. Nothing but AUTH and DISCONNECT follows CONNECT until CONNACK has come; what the host asked for meanwhile waits.
Clean Start is asked for once, until the first success. What the CONNACK allows is copied into the `Link`, with the
standard's default for everything it does not say. A CONNACK or AUTH that claims what cannot be true is a protocol
error.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.client.backoff import Rng
from mqtt_core.client.events import AuthChallenge, Authenticated, Connected, SessionLost
from mqtt_core.client.receiving import Receiving
from mqtt_core.client.sending import Sending
from mqtt_core.client.state import PACKET_SIZE_LIMIT, ClientState, Link
from mqtt_core.client.subscribing import Subscribing
from mqtt_core.codec.encode import encode
from mqtt_core.codec.error import LocalProtocolError, ProtocolError
from mqtt_core.codec.packet import AuthPacket, ConnackPacket, ConnectPacket, DisconnectPacket
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.reason_codes import DISCONNECT_BY_CLIENT
from mqtt_core.codec.sender import check_auth, check_disconnect
from mqtt_core.codec.types import V5, ReasonCode
from mqtt_core.session.connection import AUTHENTICATING, NEW, OPEN
from mqtt_core.session.packet_id import PACKET_ID_MAX

__all__ = ["Connecting", "refusal_code"]

_DEFAULT_RECEIVE_MAXIMUM: Final = 65535

_RETURN_CODES: Final = (
    ReasonCode.SUCCESS.value,
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION.value,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID.value,
    ReasonCode.SERVER_UNAVAILABLE.value,
    ReasonCode.BAD_USER_NAME_OR_PASSWORD.value,
    ReasonCode.NOT_AUTHORIZED.value,
)


def refusal_code(packet: ConnackPacket, version: int) -> int:
    """The reason code of a CONNACK; a return code of 3.1.1 (0 to 5) is given as the 5.0 code that means the same."""
    return packet.reason_code if version == V5 else _RETURN_CODES[packet.reason_code]


class Connecting:
    """Opens connections. `established`: the client has session state, from a connection before or from storage."""

    __slots__ = ("established", "opened", "receiving", "rng", "sending", "state", "subscribing")

    def __init__(
        self, state: ClientState, rng: Rng, sending: Sending, receiving: Receiving, subscribing: Subscribing
    ) -> None:
        self.state = state
        self.rng = rng
        self.sending = sending
        self.receiving = receiving
        self.subscribing = subscribing
        self.established = False
        self.opened = False

    def clean_start(self) -> bool:
        """Whether the next CONNECT asks for a new session: 3.1.1 as configured, 5.0 only until it got one."""
        config = self.state.config
        if not self.state.session.client_id and config.version != V5:
            return True  # [MQTT-3.1.3-7 v3.1.1]
        return config.clean_start and not (self.opened and config.version == V5)

    def start(self, now: float) -> None:
        """A new connection: CONNECT is its first packet [MQTT-3.1.0-1]. Raises before anything has changed."""
        state = self.state
        config = state.config
        packet = ConnectPacket(
            state.session.client_id,  # [MQTT-3.1.3-2] [MQTT-3.1.3-3]
            version=config.version,
            clean_start=self.clean_start(),  # [MQTT-3.1.2-4 v5] [MQTT-3.1.2-6 v3.1.1]
            keep_alive_s=config.keep_alive_s,
            username=config.username,
            password=config.password,
            will=config.will,
            properties=self._connect_properties() if config.version == V5 else NO_PROPERTIES,
        )
        frame = encode(packet, config.version)
        link = Link(NEW, config.maximum_packet_size)
        link.method = config.authentication_method
        link.outbox.release(state.journal.committed)
        link.give_up_at = now + config.connack_timeout_s
        link.last_received = link.last_sent = now
        state.link = link
        state.send(frame, state.session.barrier)

    def _connect_properties(self) -> Properties:
        config = self.state.config
        return Properties(
            session_expiry_interval=config.session_expiry_s or None,
            receive_maximum=config.receive_maximum if config.receive_maximum != _DEFAULT_RECEIVE_MAXIMUM else None,
            maximum_packet_size=config.maximum_packet_size,
            topic_alias_maximum=config.topic_alias_maximum or None,
            request_response_information=True if config.request_response_information else None,
            request_problem_information=None if config.request_problem_information else False,
            authentication_method=config.authentication_method,
            authentication_data=config.authentication_data,
            user_properties=config.user_properties,
        )

    def goodbye(self, reason_code: int, properties: Properties) -> DisconnectPacket:
        """The host's DISCONNECT, checked (section 3.14)."""
        config = self.state.config
        if reason_code not in DISCONNECT_BY_CLIENT:  # [MQTT-3.14.2-1 v5]
            raise LocalProtocolError(f"a client sends no DISCONNECT with reason code {reason_code:#04x}")
        if properties.session_expiry_interval and not config.session_expiry_s:
            raise LocalProtocolError("a session that ends with its connection cannot get an expiry interval at its end")
        packet = DisconnectPacket(reason_code, properties)
        encode(packet, config.version)
        return packet

    def on_disconnect(self, packet: DisconnectPacket) -> str:
        """The server said goodbye; returns why, in words. Raises if it may not say that."""
        if self.state.config.version != V5:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a 3.1.1 server sent DISCONNECT")
        check_disconnect(packet, from_server=True)
        return packet.properties.reason_string or "disconnected by the server"

    # -- CONNACK -----------------------------------------------------------------------------------------------------

    def on_connack(self, packet: ConnackPacket, now: float) -> None:
        """The server accepted: open the link, resume or rebuild the session, send what waits (section 3.2)."""
        state = self.state
        link = state.link
        session = state.session
        properties = packet.properties
        if packet.session_present and self.clean_start():  # [MQTT-3.2.2-4 v5]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "the server claims a session that was not asked for")
        if state.version5 and properties.authentication_method != link.method:  # [MQTT-4.12.0-5 v5]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "CONNACK with another authentication method than CONNECT")
        self._take_limits(link, properties)
        if properties.assigned_client_identifier is not None and not session.client_id:
            session.client_id = properties.assigned_client_identifier
        link.phase = OPEN
        link.opened_at = now
        link.give_up_at = float("inf")
        session.connected = True
        session.connected_at = now
        state.events.append(Connected(packet.session_present, session.client_id, link.keep_alive_s, properties))
        if not packet.session_present:
            self._start_anew()  # [MQTT-3.2.2-5 v5]
        elif not self.established:
            # Nothing is known of the identifiers an earlier process used; a random start avoids them.
            session.outgoing.ids.last = int(self.rng.random() * PACKET_ID_MAX)
        self.established = self.opened = True
        self.subscribing.link_opened(session_present=packet.session_present)
        if packet.session_present:
            self.sending.resume(now)
        else:
            self.sending.drain(now)

    def _start_anew(self) -> None:
        republished, completed = self.sending.start_anew()
        forgotten = self.receiving.start_anew()
        if self.established and (self.state.config.persistent or republished or completed or forgotten):
            self.state.events.append(SessionLost(republished, completed, forgotten))

    def _take_limits(self, link: Link, properties: Properties) -> None:
        config = self.state.config
        maximum = properties.receive_maximum or _DEFAULT_RECEIVE_MAXIMUM
        # [MQTT-3.3.4-7 v5] [MQTT-4.9.0-1 v5]
        # What requests may need is left free: without an identifier they and the connection would fail.
        self.state.session.outgoing.limit = min(maximum, config.inflight_limit, PACKET_ID_MAX - config.requests_max)
        if properties.maximum_qos is not None:
            link.maximum_qos = properties.maximum_qos
        link.retain_available = properties.retain_available != 0
        link.packet_size_max = min(properties.maximum_packet_size or PACKET_SIZE_LIMIT, PACKET_SIZE_LIMIT)
        link.wildcards = properties.wildcard_subscription_available != 0
        link.shared = properties.shared_subscription_available != 0
        link.subscription_ids = properties.subscription_identifier_available != 0
        link.aliases_out_max = min(properties.topic_alias_maximum or 0, config.outbound_aliases_max)
        server_keep_alive = properties.server_keep_alive
        # [MQTT-3.1.2-21 v5] [MQTT-3.2.2-21 v5]
        link.keep_alive_s = config.keep_alive_s if server_keep_alive is None else server_keep_alive

    # -- AUTH --------------------------------------------------------------------------------------------------------

    def on_auth(self, packet: AuthPacket) -> None:
        """A step of the authentication exchange (section 4.12)."""
        state = self.state
        link = state.link
        check_auth(packet, from_server=True)
        properties = packet.properties
        if link.method is None or (link.phase == OPEN and not link.reauthenticating):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "AUTH that was not asked for")
        said = properties.authentication_method
        if said != link.method and (said is not None or packet.reason_code):  # [MQTT-4.12.0-5 v5]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "AUTH with another authentication method than CONNECT")
        data = properties.authentication_data or b""
        if packet.reason_code == ReasonCode.CONTINUE_AUTHENTICATION:
            if link.phase == NEW:
                link.phase = AUTHENTICATING
            link.challenged = True
            state.events.append(AuthChallenge(data, properties))
            return
        if link.phase != OPEN:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "AUTH 0x00 before CONNACK")
        link.reauthenticating = link.challenged = False
        state.events.append(Authenticated(data, properties))

    def authenticate(self, data: bytes, properties: Properties, now: float) -> None:
        """The host's answer to a challenge."""
        link = self.state.link
        if not link.challenged:
            raise LocalProtocolError("the server has asked for no authentication step")  # [MQTT-4.12.0-7 v5]
        self._send_auth(ReasonCode.CONTINUE_AUTHENTICATION, data, properties)  # [MQTT-4.12.0-3 v5]
        link.challenged = False
        if link.phase == AUTHENTICATING:
            link.give_up_at = now + self.state.config.connack_timeout_s

    def reauthenticate(self, data: bytes, properties: Properties) -> None:
        """Start an authentication on the open connection (section 4.12.1)."""
        link = self.state.link
        if link.phase != OPEN or link.method is None or link.reauthenticating:
            raise LocalProtocolError("re-authentication needs an open connection that was authenticated by a method")
        self._send_auth(ReasonCode.RE_AUTHENTICATE, data, properties)  # [MQTT-4.12.1-1 v5]
        link.reauthenticating = True

    def _send_auth(self, reason_code: int, data: bytes, properties: Properties) -> None:
        method = self.state.link.method
        full = properties.replace(authentication_method=method, authentication_data=data or None)
        self.state.send_packet(AuthPacket(reason_code, full))

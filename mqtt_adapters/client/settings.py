"""What a client of any I/O style is constructed with: one list of keyword arguments, turned into one value.

Law: each setting exists once. Those of the protocol have the names, defaults and meaning of `ClientConfig`; those of
the adapters stand in `ClientSettings`. A wrong one is refused in the constructor, before any socket exists.
"""

from __future__ import annotations

import dataclasses
import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from mqtt_adapters.client.streams import BUFFER_BYTES, BUFFER_MESSAGES, MessageBuffer, Overflow
from mqtt_adapters.client.url import Address, parse_address
from mqtt_adapters.clock import epoch_clock
from mqtt_adapters.config import nearest
from mqtt_adapters.parts import check_store, check_websocket
from mqtt_core.client import ClientConfig, MqttClient, OfflinePolicy
from mqtt_core.client.backoff import Rng
from mqtt_core.codec import NO_PROPERTIES, DisconnectPacket, LocalProtocolError, Properties, Will, encode
from mqtt_core.persistence import Storage

__all__ = ["ClientOptions", "ClientSettings", "make_settings"]

_CONFIG_FIELDS: Final = {field.name for field in dataclasses.fields(ClientConfig)}


class ClientOptions(TypedDict, total=False):
    """Keyword arguments of `Client` beside host and port; see `ClientConfig` and `ClientSettings`."""

    client_id: str
    version: int
    clean_start: bool
    session_expiry_s: int
    keep_alive_s: int
    username: str | None
    password: str | bytes | None
    will: Will | None
    authentication_method: str | None
    authentication_data: bytes | None
    receive_maximum: int
    maximum_packet_size: int
    topic_alias_maximum: int
    request_response_information: bool
    request_problem_information: bool
    user_properties: tuple[tuple[str, str], ...]
    manual_ack: bool
    inflight_max: int | None
    outbound_aliases_max: int
    offline: OfflinePolicy | str
    queue_messages_max: int
    queue_bytes_max: int
    requests_max: int
    inbound_messages_max: int
    inbound_bytes_max: int
    connack_timeout_s: float
    ping_timeout_s: float
    close_timeout_s: float
    reconnect: bool
    reconnect_min_s: float
    reconnect_max_s: float
    start_offline: bool
    tls: ssl.SSLContext | bool | None
    ws_headers: Sequence[tuple[str, str]]
    connect_timeout_s: float
    ack_timeout_s: float | None
    buffer_messages: int
    buffer_bytes: int
    overflow: Overflow | str
    store: Storage | None
    authenticate: Callable[[bytes], bytes] | None
    disconnect_properties: Properties
    clock: Callable[[], float] | None
    rng: Rng | None


_SETTINGS_FIELDS: Final = {*ClientOptions.__annotations__} - _CONFIG_FIELDS - {"tls"}


@dataclass(frozen=True)
class ClientSettings:
    """Settings of a client with sockets.

    address: where the server is. config: the protocol's settings. tls: context of an encrypted transport, None for a
    plain one. ws_headers: sent with a WebSocket's handshake.
    start_offline: starting neither waits for the server nor fails without it: the first connection is made in the
    background, like one after a loss, and `offline` says what becomes of messages until then.
    connect_timeout_s: for the transport with its handshakes, above 0. ack_timeout_s: for SUBACK, UNSUBACK, PUBACK and
    PUBCOMP, reconnecting included, above 0; None waits for ever.
    buffer_messages: 1 or more, buffer_bytes: 1 or more, the bound of `Client.messages`; overflow: what happens there.
    store: where the session survives the process, opened and closed by the client; None for memory.
    authenticate: answers each step of enhanced authentication, given the server's data.
    disconnect_properties: what DISCONNECT says when the client is closed (5.0 section 3.14.2.2), for example another
    Session Expiry Interval.
    clock: epoch seconds, never going back. rng: for the pauses between attempts to connect.
    """

    address: Address
    config: ClientConfig
    tls: ssl.SSLContext | None = None
    ws_headers: Sequence[tuple[str, str]] = ()
    start_offline: bool = False
    connect_timeout_s: float = 10.0
    ack_timeout_s: float | None = 60.0
    buffer_messages: int = BUFFER_MESSAGES
    buffer_bytes: int = BUFFER_BYTES
    overflow: Overflow | str = Overflow.PAUSE
    store: Storage | None = None
    authenticate: Callable[[bytes], bytes] | None = None
    disconnect_properties: Properties = NO_PROPERTIES
    clock: Callable[[], float] = dataclasses.field(default_factory=epoch_clock)
    rng: Rng = dataclasses.field(default_factory=random.SystemRandom)


def make_settings(host: str, port: int | None, options: ClientOptions) -> ClientSettings:
    """Settings from what `Client` was called with; host may be a URL, whose user name and password then count.

    port: 0 to 65,535, None for the default of the scheme.

    Raises:
        ValueError: the address cannot be understood, or an adapter's setting is out of range.
        LocalProtocolError: a setting is out of range or contradicts another.
        TypeError: there is no such setting, or `store` is no storage.
    """
    given: dict[str, Any] = {**options}
    check_store(given.get("store"))
    tls = given.pop("tls", None)
    address = parse_address(host, port, tls=bool(tls))
    if address.websocket:
        check_websocket()
    password = given.get("password")
    if isinstance(password, str):
        given["password"] = password.encode()
    if address.username is not None:
        given.setdefault("username", address.username)
    if address.password is not None:
        given.setdefault("password", address.password.encode())
    if "offline" in given:
        given["offline"] = OfflinePolicy(given["offline"])
    elif given.get("store") is not None:
        given["offline"] = OfflinePolicy.PERSIST
    config = ClientConfig(**{name: given.pop(name) for name in list(given) if name in _CONFIG_FIELDS})
    if unknown := [name for name in given if name not in _SETTINGS_FIELDS]:
        known = sorted(ClientOptions.__annotations__)
        raise TypeError(f"a client has no setting {unknown[0]!r}{nearest(unknown[0], known)}")
    goodbye = given.get("disconnect_properties", NO_PROPERTIES)
    encode(DisconnectPacket(0, goodbye), config.version)  # refuses what cannot be said
    if goodbye.session_expiry_interval and not config.session_expiry_s:  # [MUST-3.14.2.2.2-2 v5]
        raise LocalProtocolError("disconnect_properties: a session that ends with its connection gets no expiry then")
    rest = {name: value for name, value in given.items() if value is not None or name == "ack_timeout_s"}
    settings = ClientSettings(address, config, _context(address, tls), **rest)
    _try_out(settings)
    return settings


def _try_out(settings: ClientSettings) -> None:
    """See that the parts of a client can be made of the settings, and that its CONNECT can be said."""
    for name, span_s in (("connect_timeout_s", settings.connect_timeout_s), ("ack_timeout_s", settings.ack_timeout_s)):
        if span_s is not None and not span_s > 0:
            raise ValueError(f"{name} is {span_s}, not above 0")
    MessageBuffer(settings.buffer_messages, settings.buffer_bytes, settings.overflow)
    config = settings.config
    if settings.store is not None:
        config = dataclasses.replace(config, offline=OfflinePolicy.QUEUE)  # PERSIST is for a client with its store open
    MqttClient(config, rng=settings.rng).connect(0.0)


def _context(address: Address, tls: ssl.SSLContext | bool | None) -> ssl.SSLContext | None:
    if not address.tls and not (tls and address.scheme == "unix"):
        return None
    if isinstance(tls, ssl.SSLContext):
        return tls
    context = ssl.create_default_context()
    if not address.websocket:
        context.set_alpn_protocols(["mqtt"])
    return context

"""The settings of a listener and of a broker with sockets.

`ServerConfig` is one table: the settings of a listener, of the server, and all of `BrokerConfig`. Each setting exists
once and has one name.

Not here: the protocol's own limits (`mqtt_core.broker.config`) and what a program does with the result
(`mqtt_adapters.bin`).
"""

from __future__ import annotations

import dataclasses
import re
import ssl
from dataclasses import dataclass
from typing import Final

from mqtt_adapters.config.mistakes import ConfigError, no_password, why_unusable
from mqtt_adapters.config.table import setting, settings
from mqtt_core.broker.config import BrokerConfig
from mqtt_core.codec.error import LocalProtocolError

__all__ = ["Endpoint", "ListenerConfig", "ServerConfig", "parse_bind_addr"]

DEFAULT_BIND_ADDR: Final = "127.0.0.1:1883"
SYSTEM_INT_MAX: Final = 2**31 - 1
PORT: Final = 1883
TLS_PORT: Final = 8883
WEBSOCKET_PORT: Final = 80
WEBSOCKET_TLS_PORT: Final = 443


@dataclass(frozen=True)
class Endpoint:
    """Where a listener listens. host: None for every interface. port: 0 to 65535, 0 for any free one. path: of a unix
    socket, in which case the two others mean nothing."""

    host: str | None = None
    port: int = 0
    path: str | None = None


def parse_bind_addr(text: str, default_port: int = PORT) -> Endpoint:
    """Read ``HOST:PORT``, ``HOST``, ``[IPV6]:PORT``, ``:PORT`` or ``*:PORT`` (every interface), or ``unix:PATH``.

    text: one of these. default_port: 0 to 65,535, where it names none.

    Raises:
        ConfigError: it is none of these, or the port is not 0 to 65535.
    """
    if text.startswith("unix:"):
        if not text[5:]:
            raise ConfigError("bind_addr: unix: needs a path")
        return Endpoint(path=text[5:])
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]\s]*))(?::([0-9]+))?", text, flags=re.ASCII)
    if match is None or not text:
        raise ConfigError(f"bind_addr: expected HOST:PORT, [IPV6]:PORT or unix:PATH, got {text!r}")
    port = int(match[3]) if match[3] else default_port
    if port > 65535:
        raise ConfigError(f"bind_addr: a port is 0 to 65535, got {port}")
    host = match[1] or match[2]
    return Endpoint(host=None if host in {"", "*"} else host, port=port)


@dataclass(frozen=True)
class ListenerConfig:
    """One listening socket: where, with which TLS, whether over WebSocket, whether behind a proxy.

    Raises:
        ConfigError: an address or a combination of TLS settings that cannot work.
    """

    bind_addr: str | None = setting(
        None, f"HOST:PORT, [IPV6]:PORT or unix:PATH to listen on; {DEFAULT_BIND_ADDR} unless there are listeners"
    )
    backlog: int = setting(1024, "connections the system may hold until they are accepted", unit="connections")
    tls_cert_file: str | None = setting(None, "PEM file with the certificate chain; turns TLS on")
    tls_key_file: str | None = setting(None, "PEM file with the private key, if it is not in tls_cert_file")
    tls_ca_file: str | None = setting(None, "PEM file of authorities: clients must then show a certificate of theirs")
    tls_context: ssl.SSLContext | None = setting(  # noqa: RUF009 - the default is None
        None, "a ready ssl.SSLContext instead of files (Python only)", flag=False
    )
    websocket: bool = setting(False, "speak MQTT over WebSocket, default port 80, with TLS 443; needs the extra ws")
    ws_origins: tuple[str, ...] = setting(
        (), "web sites whose pages may connect over WebSocket, such as https://example.org; none: all"
    )
    proxy_networks: tuple[str, ...] = setting(
        (), "addresses or networks of proxies, or unix; only they may connect, with the PROXY protocol, version 2"
    )

    def __post_init__(self) -> None:
        _check_types(self)
        if self.tls_cert_file is None and (self.tls_key_file is not None or self.tls_ca_file is not None):
            name = "tls_key_file" if self.tls_key_file is not None else "tls_ca_file"
            raise ConfigError(f"{name}: has no effect without tls_cert_file")
        if self.backlog < 1:
            raise ConfigError(f"backlog: expected at least 1, got {self.backlog}")
        if self.backlog > SYSTEM_INT_MAX:
            raise ConfigError(f"backlog: expected at most {SYSTEM_INT_MAX}, got {self.backlog}")
        if self.ws_origins and not self.websocket:
            raise ConfigError("ws_origins: has no effect without websocket")
        if self.bind_addr is not None:
            parse_bind_addr(self.bind_addr)

    @property
    def tls(self) -> bool:
        """Whether this listener speaks TLS."""
        return self.tls_context is not None or self.tls_cert_file is not None

    @property
    def endpoint(self) -> Endpoint:
        """The address in parts."""
        plain, tls = (WEBSOCKET_PORT, WEBSOCKET_TLS_PORT) if self.websocket else (PORT, TLS_PORT)
        return parse_bind_addr(self.address, tls if self.tls else plain)

    @property
    def address(self) -> str:
        """The address as it was written, or the default one."""
        return self.bind_addr or DEFAULT_BIND_ADDR

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context to listen with, or None without TLS.

        Raises:
            ConfigError: a file is missing, or certificate and key do not belong together.
        """
        if self.tls_context is not None or self.tls_cert_file is None:
            return self.tls_context
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1" if self.websocket else "mqtt"])
        try:
            context.load_cert_chain(self.tls_cert_file, self.tls_key_file, no_password)
        except OSError as error:
            files = f"{self.tls_cert_file} and {self.tls_key_file}" if self.tls_key_file else self.tls_cert_file
            raise ConfigError(f"tls_cert_file: cannot use {files}: {why_unusable(error)}") from error
        if self.tls_ca_file is not None:
            try:
                context.load_verify_locations(self.tls_ca_file)
            except OSError as error:
                raise ConfigError(f"tls_ca_file: cannot use {self.tls_ca_file}: {why_unusable(error)}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _check_types(config: ListenerConfig) -> None:
    """A number in quotes is a mistake, in Python as in TOML."""
    for row in settings(type(config)):
        value = getattr(config, row.name)
        if value is None and row.optional:
            continue
        items = value if row.many and isinstance(value, tuple) else (value,)
        allowed = (int, float) if row.kind is float else row.kind
        fits = all(isinstance(item, allowed) and (row.kind is bool or not isinstance(item, bool)) for item in items)
        if not fits or (row.many and not isinstance(value, tuple)):
            raise ConfigError(f"{row.name}: expected {row.expected()}, got {value!r}")


@dataclass(frozen=True)
class ServerConfig(BrokerConfig, ListenerConfig):
    """A broker with sockets: the settings of its first listener, of the server, and every setting of `BrokerConfig`.

    The listener settings given here make one listener; `listeners` adds more, each with its own settings. When
    `bind_addr` is not given and `listeners` is, only those are opened.

    Raises:
        ConfigError: a setting is out of range; the text names it.
    """

    listeners: tuple[ListenerConfig, ...] = setting((), "further listeners, each with its own settings", flag=False)
    write_buffer_bytes: int = setting(
        65_536, "bytes handed to the system at a time per connection; the rest waits in the outbox", unit="bytes"
    )

    def __post_init__(self) -> None:
        ListenerConfig.__post_init__(self)
        self.broker_config()
        if self.write_buffer_bytes < 1:
            raise ConfigError(f"write_buffer_bytes: expected at least 1, got {self.write_buffer_bytes}")
        if self.write_buffer_bytes > SYSTEM_INT_MAX:
            raise ConfigError(f"write_buffer_bytes: expected at most {SYSTEM_INT_MAX}, got {self.write_buffer_bytes}")

    def broker_config(self) -> BrokerConfig:
        """The part the core reads. Raises ConfigError when a value is out of its range."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(BrokerConfig)}
        try:
            return BrokerConfig(**values)
        except LocalProtocolError as error:
            raise ConfigError(error.reason) from error

    def all_listeners(self) -> tuple[ListenerConfig, ...]:
        """Every listener to open, the one described by this object itself first."""
        if self.bind_addr is None and self.listeners:
            return self.listeners
        return (self, *self.listeners)

"""The settings of a broker with sockets, and their three notations.

`ServerConfig` is one table: the settings of a listener, of the server, and all of `BrokerConfig`. Each setting exists
once and has one name: ``max_packet_size`` as an argument in Python and as a key in TOML, ``--max-packet-size`` as a
flag. Help text and unit stand in the field's metadata, from which flags and documentation are made.

What a user got wrong is a `ConfigError` with one line of text: the file and line, the setting, what was expected, and
the nearest name when a name is unknown. Nothing is ignored: an unknown key refuses the start.

Not here: the protocol's own limits (`mqtt_core.broker.config`) and what a program does with the result
(`mqtt_adapters.bin`).
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import ssl
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from mqtt_core.broker.config import BrokerConfig
from mqtt_core.codec.error import LocalProtocolError

__all__ = [
    "ConfigError",
    "Endpoint",
    "ListenerConfig",
    "ServerConfig",
    "Setting",
    "add_flags",
    "given_flags",
    "load_toml",
    "no_password",
    "parse_bind_addr",
    "settings",
    "why_unusable",
]

DEFAULT_BIND_ADDR: Final = "127.0.0.1:1883"
PORT: Final = 1883
TLS_PORT: Final = 8883
WEBSOCKET_PORT: Final = 80
WEBSOCKET_TLS_PORT: Final = 443

C = TypeVar("C")


class ConfigError(ValueError):
    """A setting is not usable. The text is one line that names it."""


def setting(default: Any, text: str, *, unit: str = "", flag: bool = True, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field that knows its help text, its unit, whether it is also a flag, and the words it may hold."""
    return dataclasses.field(
        default=default, kw_only=True, metadata={"help": text, "unit": unit, "flag": flag, "choices": choices}
    )


# ---------------------------------------------------------------------------------------------------- the table


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
        if self.tls_cert_file is None and (self.tls_key_file or self.tls_ca_file):
            name = "tls_key_file" if self.tls_key_file else "tls_ca_file"
            raise ConfigError(f"{name}: has no effect without tls_cert_file")
        if self.backlog < 1:
            raise ConfigError(f"backlog: expected at least 1, got {self.backlog}")
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


def no_password() -> str:
    """Given to `SSLContext.load_cert_chain`: an encrypted key is an OSError and not a question on the terminal."""
    raise OSError("the private key is encrypted")


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


def why_unusable(error: OSError) -> str:
    """Why a file could not be used, in words; what OpenSSL says of a wrong PEM file helps nobody."""
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the certificate and the private key do not belong together"
    return "there is no certificate, or no private key to it, in PEM form"


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


# ------------------------------------------------------------------------------------------------------ the names


@dataclass(frozen=True)
class Setting:
    """One row of the table. kind: the type without None. many: whether it is a tuple of that type."""

    name: str
    kind: type
    many: bool
    optional: bool
    default: Any
    help: str
    unit: str
    flag: str | None
    choices: tuple[str, ...]

    def expected(self) -> str:
        """What a value should look like, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
        word = words.get(self.kind, "a table")
        if self.many:
            word = f"a list, each entry {word}"
        return f"{word} ({self.unit})" if self.unit else word


def settings(cls: type) -> tuple[Setting, ...]:
    """The rows of a configuration class, in the order of its definition."""
    return tuple(_rows(cls))


def _rows(cls: type) -> Iterator[Setting]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        kind, many, optional = hints[field.name], False, False
        if isinstance(kind, types.UnionType):
            kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
            optional = True
        if typing.get_origin(kind) is tuple:
            kind, many = typing.get_args(kind)[0], True
        plain = kind in {int, float, bool, str}
        flag = "--" + field.name.replace("_", "-") if plain and field.metadata.get("flag", True) else None
        yield Setting(
            field.name,
            kind,
            many,
            optional,
            field.default,
            field.metadata.get("help", ""),
            field.metadata.get("unit", ""),
            flag,
            field.metadata.get("choices", ()),
        )


def nearest(name: str, names: list[str]) -> str:
    """``; did you mean 'x'?`` when one of `names` is close to `name`, else nothing."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


# ---------------------------------------------------------------------------------------------------------- flags


def add_flags(parser: argparse.ArgumentParser, cls: type, title: str, skip: frozenset[str] = frozenset()) -> None:
    """Add a flag for every setting of `cls` that can have one, except the names in `skip`, to a group called `title`.

    A flag not given leaves no trace in the namespace, so a file's value or the default stands.
    """
    group = parser.add_argument_group(title)
    for row in settings(cls):
        if row.flag is None or row.name in skip:
            continue
        usual = "none" if row.default is None else row.default
        text = f"{row.help} ({row.unit + ', ' if row.unit else ''}default {usual})".replace("%", "%%")
        common: dict[str, Any] = {"dest": row.name, "default": argparse.SUPPRESS, "help": text}
        if row.kind is bool:
            group.add_argument(row.flag, action=argparse.BooleanOptionalAction, **common)
        else:
            action = "append" if row.many else "store"
            group.add_argument(
                row.flag, type=row.kind, action=action, choices=row.choices or None, metavar=_metavar(row), **common
            )


def _metavar(row: Setting) -> str | None:
    if row.choices:
        return None
    return {int: "N", float: "X", str: "FILE" if row.name.endswith("_file") else "TEXT"}[row.kind]


def given_flags(cls: type, namespace: argparse.Namespace) -> dict[str, Any]:
    """The settings of `cls` that were given on the command line."""
    given = {}
    for row in settings(cls):
        if hasattr(namespace, row.name):
            value = getattr(namespace, row.name)
            given[row.name] = tuple(value) if row.many else value
    return given


# ----------------------------------------------------------------------------------------------------------- TOML


def load_toml(path: str | Path, cls: type[C], overrides: Mapping[str, Any] | None = None) -> C:
    """Read a configuration of type `cls` from a TOML file; `overrides` win over what it says.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or says something that is not a setting. The text begins with
            the path and, where there is one, the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {why_unusable(error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        values = _table(cls, document, ())
        return _construct(cls, {**values, **(overrides or {})}, ())
    except _Wrong as wrong:
        blame_flag = len(wrong.path) == 1 and wrong.path[0] in (overrides or {})
        place = "" if blame_flag else f"{path}:{_line_of(text, wrong.path)}: "
        raise ConfigError(place + wrong.text) from wrong


class _Wrong(Exception):
    """What is wrong, and the path of the key that says so."""

    def __init__(self, path: tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.path = path
        self.text = text


def _table(cls: type, table: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    rows = {row.name: row for row in settings(cls) if row.kind is not ssl.SSLContext}
    values = {}
    for key, value in table.items():
        if key not in rows:
            raise _Wrong((*path, key), f"unknown setting {key!r}{nearest(key, list(rows))}")
        values[key] = _value(rows[key], value, (*path, key))
    return values


def _value(row: Setting, value: Any, path: tuple[str | int, ...]) -> Any:
    if not row.many:
        return _item(row, value, path)
    if not isinstance(value, list):
        raise _Wrong(path, f"{row.name}: expected {row.expected()}, got {value!r}")
    return tuple(_item(row, item, (*path, index)) for index, item in enumerate(value))


def _item(row: Setting, value: Any, path: tuple[str | int, ...]) -> Any:
    if dataclasses.is_dataclass(row.kind) and isinstance(value, dict):
        return _construct(row.kind, _table(row.kind, value, path), path)
    if row.kind is float and type(value) is int:
        return float(value)
    if type(value) is not row.kind or (row.choices and value not in row.choices):
        raise _Wrong(path, f"{row.name}: expected {row.expected()}, got {value!r}")
    return value


def _construct(cls: type[C], values: dict[str, Any], path: tuple[str | int, ...]) -> C:
    try:
        return cls(**values)
    except ConfigError as error:
        text = str(error)
        name = re.split(r"\W", text, maxsplit=1)[0]
        raise _Wrong((*path, name) if name in values else path, text) from error


def _line_of(text: str, path: tuple[str | int, ...]) -> int:
    """The line on which the value at `path` begins: the first whole prefix of the file that knows it ends there, and
    the longest one that does not ends just before."""
    lines = text.splitlines(keepends=True)
    begin = 1
    for count in range(1, len(lines) + 1):
        try:
            found: Any = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        try:
            for step in path:
                found = found[step]
        except (KeyError, IndexError):
            begin = count + 1
        else:
            break
    return begin

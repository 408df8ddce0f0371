"""A policy made of a file: users, their passwords, and the topics each may use.

    [users.ann]
    password = "scrypt$..."                what `mqtt-broker password` prints
    publish = ["house/#", "user/%u/+"]     %u is the user's own name
    subscribe = ["#"]

    [anonymous]                            who gives no user name; without this table: refused
    subscribe = ["public/#"]

Laws: what is not allowed is refused. A subscription is granted when everything it could match is allowed, so that no
client believes in a subscription that stays silent. The file is read once and understood as a whole: what is wrong with
it is a `ConfigError` with one line.

Checking a password costs some ten milliseconds, on purpose, and the broker serves nobody meanwhile; so the last one
that was right for a user is remembered as a keyed digest, and only wrong ones pay again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mqtt_adapters.config import ConfigError, nearest
from mqtt_core.broker import Accept, Decision, Principal, Refuse
from mqtt_core.codec import AuthPacket, ConnectPacket, MqttError, ReasonCode
from mqtt_core.topic_matcher import TopicFilter, split_share

__all__ = ["Rights", "UsersPolicy", "hash_password"]

COST: Final = 2**12
"""Of scrypt: 4 MiB of memory, some ten milliseconds."""

_SALT_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_NOBODY: Final = "scrypt$AAAAAAAAAAAAAAAAAAAAAA==$AAAA"
"""Checked for users that do not exist, so that they take as long as others."""


@dataclass(frozen=True)
class Rights:
    """What somebody may do. publish, subscribe: filters of the topics allowed. password: as `hash_password` made it."""

    publish: tuple[TopicFilter, ...] = ()
    subscribe: tuple[TopicFilter, ...] = ()
    password: str = ""


def hash_password(password: bytes) -> str:
    """A password as it stands in the file: salted, and slow to guess from."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(_scrypt(password, salt)).decode()}"


def _scrypt(password: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=COST, r=8, p=1, dklen=_DIGEST_BYTES)


def _parts(hashed: str) -> tuple[bytes, bytes]:
    """Salt and digest. Raises ValueError."""
    kind, salt, digest = hashed.split("$")
    if kind != "scrypt":
        raise ValueError(kind)
    return base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)


class UsersPolicy:
    """A `mqtt_core.broker.Policy`. users: by name. anonymous: for whoever gives no name, None to refuse them."""

    def __init__(self, users: Mapping[str, Rights], anonymous: Rights | None = None) -> None:
        self._users = dict(users)
        self._anonymous = anonymous
        self._key = secrets.token_bytes(32)
        self._known: dict[str, bytes] = {}

    @classmethod
    def from_file(cls, path: str | Path) -> UsersPolicy:
        """Read the TOML file at `path`.

        Raises:
            ConfigError: it cannot be read, or says something that is not understood.
        """
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from error
        try:
            _check_keys(document, ("users", "anonymous"), "")
            users = {name: _rights(name, table) for name, table in _table(document, "users", "").items()}
            anonymous = _rights("", document["anonymous"]) if "anonymous" in document else None
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        return cls(users, anonymous)

    def _rights_of(self, principal: Principal) -> Rights:
        rights = self._users.get(principal.identity) if principal.identity else self._anonymous
        return rights or Rights()

    def _right_password(self, name: str, password: bytes) -> bool:
        mark = hmac.digest(self._key, password, "sha256")
        if name in self._known and hmac.compare_digest(self._known[name], mark):
            return True
        user = self._users.get(name)
        salt, digest = _parts(_NOBODY if user is None else user.password)
        if not hmac.compare_digest(_scrypt(password, salt), digest) or user is None:
            return False
        self._known[name] = mark
        return True

    # -- Policy ------------------------------------------------------------------------------------------------------

    def authenticate(self, connect: ConnectPacket, peer: str) -> Decision:  # noqa: ARG002 - part of `Policy`
        """See `Policy`. A user name is the identity; nobody else may use that user's sessions."""
        if connect.properties.authentication_method is not None:
            return Refuse(ReasonCode.BAD_AUTHENTICATION_METHOD)
        if not connect.username:
            return Refuse(ReasonCode.NOT_AUTHORIZED, "a user name is needed") if self._anonymous is None else Accept()
        if not self._right_password(connect.username, connect.password or b""):
            return Refuse(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
        return Accept(connect.username)

    def continue_authentication(self, connect: ConnectPacket, auth: AuthPacket, peer: str) -> Decision:  # noqa: ARG002
        """See `Policy`. There are no methods to continue with."""
        return Refuse(ReasonCode.BAD_AUTHENTICATION_METHOD)

    def authorize_publish(self, principal: Principal, topic: str, qos: int, retain: bool) -> bool:  # noqa: ARG002
        """See `Policy`."""
        return any(allowed.matches(topic) for allowed in self._rights_of(principal).publish)

    def authorize_subscribe(self, principal: Principal, topic_filter: str, qos: int) -> int:
        """See `Policy`."""
        _, wanted = split_share(topic_filter)
        allowed = self._rights_of(principal).subscribe
        return qos if any(covers(one.pattern, wanted) for one in allowed) else ReasonCode.NOT_AUTHORIZED

    def authorize_deliver(self, principal: Principal, topic: str) -> bool:
        """See `Policy`. For sessions from before the file was changed."""
        return any(allowed.matches(topic) for allowed in self._rights_of(principal).subscribe)


def covers(allowed: str, wanted: str) -> bool:
    """Every topic that the filter `wanted` matches is matched by the filter `allowed` too (section 4.7)."""
    if wanted.startswith("$") and allowed[0] in "+#":
        return False
    levels, asked = allowed.split("/"), wanted.split("/")
    for number, level in enumerate(levels):
        if level == "#":
            return True
        if number == len(asked) or asked[number] == "#" or level not in {"+", asked[number]}:
            return False
    return len(levels) == len(asked)


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{place}unknown key {key!r}{nearest(key, list(known))}")


def _table(holder: Mapping[str, Any], key: str, place: str) -> dict[str, Any]:
    found = holder.get(key, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{place}{key}: expected a table, got {found!r}")
    return found


def _rights(name: str, table: Any) -> Rights:
    place = f"users.{name}: " if name else "anonymous: "
    if not isinstance(table, dict):
        raise ConfigError(f"{place}expected a table, got {table!r}")
    _check_keys(table, ("password", "publish", "subscribe") if name else ("publish", "subscribe"), place)
    password = table.get("password", "")
    if name:
        try:
            salt, digest = _parts(password)
        except (AttributeError, ValueError, binascii.Error):
            salt = digest = b""
        if (len(salt), len(digest)) != (_SALT_BYTES, _DIGEST_BYTES):
            raise ConfigError(f"{place}password: expected what `mqtt-broker password` prints")
    publish, subscribe = (_filters(table.get(key, []), name, f"{place}{key}: ") for key in ("publish", "subscribe"))
    return Rights(publish, subscribe, password)


def _filters(given: Any, name: str, place: str) -> tuple[TopicFilter, ...]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ConfigError(f"{place}expected a list of topic filters, got {given!r}")
    if set(name) & {"+", "#", "/"} and any("%u" in one for one in given):
        raise ConfigError(f"{place}%u: a user name with +, # or / cannot be a part of a topic")
    try:
        filters = tuple(TopicFilter(one.replace("%u", name)) for one in given)
    except MqttError as error:
        raise ConfigError(f"{place}{error.reason}") from error
    for one in filters:
        if one.share_name:
            raise ConfigError(f"{place}{one.pattern}: name the topics; who may have them may share them")
    return filters

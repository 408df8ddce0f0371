"""What the clients raise, one tree for the three I/O styles.

Law: every error knows the reason code, the reason in words, and the properties the server sent with it, so that nothing
has to be parsed out of a text. All derive from `MqttError`, like the errors of the core; `LocalProtocolError` (the
program asked for something the protocol does not allow) is raised as it is::

    ClientError
        ConnectError            no connection: the network, TLS, or a timeout
            ConnectRefused      the server said no
        ConnectionLost          the connection ended, and none will follow
        PublishError            the server refused the message, or it was given up
        SubscribeError          at least one filter was refused; UnsubscribeError likewise
        OperationTimeout        also a TimeoutError
        StreamOverflow          a stream with the policy RAISE was too slow
        ClientClosed            the client is not open
"""

from __future__ import annotations

import errno
import socket
import ssl

from mqtt_core.codec.error import MqttError
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.types import ReasonCode

__all__ = [
    "ClientClosed",
    "ClientError",
    "ConnectError",
    "ConnectRefused",
    "ConnectionLost",
    "OperationTimeout",
    "PublishError",
    "StreamOverflow",
    "SubscribeError",
    "UnsubscribeError",
    "connect_error",
]


class ClientError(MqttError):
    """Base of what clients raise.

    reason_code: 0 to 255, in the terms of 5.0. reason: one line. properties: of the server's packet, if there was one.
    """

    def __init__(self, reason_code: int, reason: str, properties: Properties = NO_PROPERTIES) -> None:
        super().__init__(reason_code, reason)
        self.properties = properties

    @property
    def reason_string(self) -> str | None:
        """What the server said for people to read (5.0)."""
        return self.properties.reason_string

    @property
    def user_properties(self) -> tuple[tuple[str, str], ...]:
        """What the server said for programs to read (5.0)."""
        return self.properties.user_properties


class ConnectError(ClientError):
    """No connection could be made. The cause, an OSError perhaps, is in `__cause__`."""


class ConnectRefused(ConnectError):
    """The server refused the connection in CONNACK; `server_reference` names another, if it did (0x9C, 0x9D)."""

    @property
    def server_reference(self) -> str | None:
        """The server to use instead."""
        return self.properties.server_reference


class ConnectionLost(ClientError):
    """The connection has ended and the client does not connect again."""


class PublishError(ClientError):
    """The server refused the message (reason code 0x80 and above), or it was given up before it was sent."""


class SubscribeError(ClientError):
    """At least one topic filter was refused.

    filters, reason_codes: side by side, all of the request; what is below 0x80 was granted and holds.
    """

    def __init__(self, filters: tuple[str, ...], reason_codes: tuple[int, ...], properties: Properties) -> None:
        refused = [(name, code) for name, code in zip(filters, reason_codes, strict=True) if code >= 0x80]
        text = ", ".join(f"{name!r} ({reason_name(code)})" for name, code in refused)
        super().__init__(refused[0][1], f"refused: {text}", properties)
        self.filters = filters
        self.reason_codes = reason_codes


class UnsubscribeError(SubscribeError):
    """At least one topic filter could not be given back."""


class OperationTimeout(ClientError, TimeoutError):
    """No answer in time. What was sent may still be answered; a message stays with the client until it is."""

    def __init__(self, reason: str) -> None:
        super().__init__(ReasonCode.UNSPECIFIED_ERROR, reason)


class StreamOverflow(ClientError):
    """The program did not take messages as fast as they came, and the stream ended (policy RAISE)."""

    def __init__(self, reason: str) -> None:
        super().__init__(ReasonCode.QUOTA_EXCEEDED, reason)


class ClientClosed(ClientError):
    """The client is closed, or was not opened."""

    def __init__(self, reason: str = "the client is closed") -> None:
        super().__init__(ReasonCode.UNSPECIFIED_ERROR, reason)


def reason_name(code: int) -> str:
    """A reason code in words: "not authorized"; its number if the standard has no name for it."""
    try:
        return ReasonCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"{code:#04x}"


def connect_error(address: object, error: Exception, timeout_s: float, *, tls: bool) -> ConnectError:
    """What a client raises when its transport could not be connected, with the reason in words people know.

    address: who was called. error: what the system, TLS or the address said. timeout_s: the seconds that were allowed.
    tls: the transport is encrypted.
    """
    return ConnectError(ReasonCode.SERVER_UNAVAILABLE, f"{address}: {_why(error, timeout_s, tls)}")


def _why(error: Exception, timeout_s: float, tls: bool) -> str:
    text = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError | ConnectionResetError) and tls:
        return f"no TLS connection ({text or 'the server hung up'}): does it speak TLS on this port?"
    if isinstance(error, socket.gaierror):
        return f"no such host ({error.strerror})"
    if _nobody_listens(error):
        return "connection refused: nobody listens there"
    if isinstance(error, TimeoutError):
        return f"no connection within {timeout_s:g} s"
    return text or type(error).__name__


def _nobody_listens(error: BaseException) -> bool:
    """Every address of the host refused: asyncio writes the errors into one text, anyio makes a group of them."""
    if isinstance(error, BaseExceptionGroup):
        return all(_nobody_listens(one) for one in error.exceptions)
    if f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return True
    return error.__cause__ is not None and _nobody_listens(error.__cause__)

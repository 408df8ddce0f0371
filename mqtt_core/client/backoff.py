"""When to connect again.

Law: never a storm. The pause doubles with each failure up to a maximum, and a random half of it is taken away, so that
many clients that lost the same server do not come back together. A connection that did not last does not count as a
success. Randomness comes from outside.
"""

from __future__ import annotations

from typing import Final, Protocol

from mqtt_core.codec.types import ReasonCode

__all__ = ["Backoff", "Rng", "worth_retrying"]

STABLE_S: Final = 30.0
"""Seconds a connection has to last before its end starts with the shortest pause again."""

_DOUBLINGS_MAX: Final = 32

# Trying the same again cannot help, or (0x8E) would throw out whoever took the session over.
_FINAL: Final = frozenset(
    {
        ReasonCode.UNSUPPORTED_PROTOCOL_VERSION.value,
        ReasonCode.CLIENT_IDENTIFIER_NOT_VALID.value,
        ReasonCode.BAD_USER_NAME_OR_PASSWORD.value,
        ReasonCode.NOT_AUTHORIZED.value,
        ReasonCode.BANNED.value,
        ReasonCode.BAD_AUTHENTICATION_METHOD.value,
        ReasonCode.SESSION_TAKEN_OVER.value,
        ReasonCode.USE_ANOTHER_SERVER.value,
        ReasonCode.SERVER_MOVED.value,
    }
)


class Rng(Protocol):
    """What the client needs of `random.Random`."""

    def random(self) -> float:
        """A float from 0 up to, not including, 1."""
        ...


def worth_retrying(reason_code: int) -> bool:
    """Whether the same connection may succeed later after the server gave this reason code (0 to 255)."""
    return reason_code not in _FINAL


class Backoff:
    """Pauses between attempts: minimum_s, doubling up to maximum_s, each shortened by up to a half."""

    __slots__ = ("failures", "maximum_s", "minimum_s", "rng")

    def __init__(self, minimum_s: float, maximum_s: float, rng: Rng) -> None:
        self.minimum_s = minimum_s
        self.maximum_s = maximum_s
        self.rng = rng
        self.failures = 0

    def ended(self, lasted_s: float) -> float:
        """A connection, or an attempt (0 seconds), is over; return the pause before the next in seconds."""
        if lasted_s >= STABLE_S:
            self.failures = 0
        pause = min(self.minimum_s * 2.0 ** min(self.failures, _DOUBLINGS_MAX), self.maximum_s)
        self.failures += 1
        return pause * (1.0 - 0.5 * self.rng.random())

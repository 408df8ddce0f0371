"""Which reason code may stand in which packet: the tables of 5.0, and the return codes of 3.1.1.

A code outside these sets is refused in both directions. Which side may say what in DISCONNECT and AUTH is asked by
:mod:`mqtt_core.codec.sender`; encoder and decoder, who do not know the sides, ask for what either may say.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.codec.types import (
    AUTH,
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
)

__all__ = [
    "AUTH_BY_CLIENT",
    "AUTH_BY_SERVER",
    "DISCONNECT_BY_CLIENT",
    "DISCONNECT_BY_SERVER",
    "REASON_CODES",
    "RETURN_CODES",
]

_PUBLISH_CODES: Final[frozenset[int]] = frozenset({0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99})
_RELEASE_CODES: Final[frozenset[int]] = frozenset({0x00, 0x92})

# Table 3-10, by sender.
_DISCONNECT_BY_BOTH: Final[frozenset[int]] = frozenset({0x00, *range(0x80, 0x84), 0x90, *range(0x93, 0x9A)})
DISCONNECT_BY_CLIENT: Final[frozenset[int]] = _DISCONNECT_BY_BOTH | {0x04}
DISCONNECT_BY_SERVER: Final[frozenset[int]] = _DISCONNECT_BY_BOTH | {
    0x87,
    0x89,
    0x8B,
    0x8D,
    0x8E,
    0x8F,
    *range(0x9A, 0xA3),
}
AUTH_BY_CLIENT: Final[frozenset[int]] = frozenset({0x18, 0x19})
AUTH_BY_SERVER: Final[frozenset[int]] = frozenset({0x00, 0x18})

# 5.0, by packet type.
REASON_CODES: Final[dict[int, frozenset[int]]] = {
    CONNACK: frozenset({0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F}),
    PUBACK: _PUBLISH_CODES,
    PUBREC: _PUBLISH_CODES,
    PUBREL: _RELEASE_CODES,
    PUBCOMP: _RELEASE_CODES,
    SUBACK: frozenset({0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}),
    UNSUBACK: frozenset({0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}),
    DISCONNECT: DISCONNECT_BY_CLIENT | DISCONNECT_BY_SERVER,
    AUTH: AUTH_BY_CLIENT | AUTH_BY_SERVER,
}

# 3.1.1, by packet type.
RETURN_CODES: Final[dict[int, frozenset[int]]] = {
    CONNACK: frozenset(range(6)),
    SUBACK: frozenset({0x00, 0x01, 0x02, 0x80}),
}

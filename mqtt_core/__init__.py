"""MQTT 3.1.1 and 5.0 without a socket: both roles of the protocol as plain, typed, synchronous Python.

The law of this package: inputs are verbs that take ``now``, outputs are pulled. Nothing below this package opens a
socket, reads a clock, starts a thread or rolls dice; the host hands in bytes and the time, and takes bytes, events,
writes and the next deadline. What drives it lives in `mqtt_adapters`.

The sub-packages, in the order in which they may import one another: `codec.error`, `codec.types` and `codec.varint`,
`transport`, the rest of `codec`, `topic_matcher` and `timers`, `session`, `persistence`, `router`, `client` and
`broker`, `testing`. This module exports the version and `codec`, which every other part needs, and nothing else, so
that a program pays only for what it imports.
"""

from __future__ import annotations

# Before any other sub-package can be: `transport` needs the first modules of `codec`, and the last module of `codec`
# needs `transport`. Entered from this end the chain has no loop.
from mqtt_core import codec

__all__ = ["__version__", "codec"]

__version__ = "0.1.0"

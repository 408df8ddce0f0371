"""MQTT 3.1.1 and 5.0 without a socket: both roles of the protocol as plain, typed, synchronous Python.

The law of this package: inputs are verbs that take ``now``, outputs are pulled. Nothing below this package opens a
socket, reads a clock, starts a thread or rolls dice; the host hands in bytes and the time, and takes bytes, events,
writes and the next deadline. What drives it lives in `mqtt_adapters`.

The sub-packages, in the order in which they may import one another: `codec`, `transport`, `topic_matcher`, `timers`,
`session`, `persistence`, `router`, `client`, `broker`, `testing`. This module exports nothing but the version, so that
a program pays only for the part it imports.
"""

from __future__ import annotations

__version__ = "0.1.0"

"""Bytes to frames and frames to bytes.

Two laws: the package knows no MQTT beyond the length in a fixed header, and nothing in it touches a socket. A
:class:`FrameReader` cuts a stream of chunks into frames, an :class:`Outbox` collects the frames of one connection
until they may leave and somebody writes them.
"""

from __future__ import annotations

from mqtt_core.transport.framing import FrameReader
from mqtt_core.transport.outbox import Countdown, Outbox

__all__ = ["Countdown", "FrameReader", "Outbox"]

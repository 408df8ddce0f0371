"""What the bulk path has to know of one PUBLISH frame: where its parts are, and whether it may pass unchanged.

Law: index arithmetic over the bytes of a read, nothing is cut out. A frame whose header is incomplete or in a longer
form than it needs is unclear, and left to the object path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_core.router.router import Route

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler

__all__ = ["body_at", "end_at", "may_pass"]


def body_at(chunk: bytes, pos: int, size: int) -> int:
    """Where the body of the frame at `pos` begins, whose remaining length has more than one byte; 0 if unclear."""
    if size - pos < 5:
        return 0
    if chunk[pos + 2] < 128:
        return pos + 3 if chunk[pos + 2] else 0
    if chunk[pos + 3] < 128:
        return pos + 4 if chunk[pos + 3] else 0
    return pos + 5 if 0 < chunk[pos + 4] < 128 else 0


def end_at(chunk: bytes, pos: int, body: int) -> int:
    """Where the frame at `pos` ends whose body begins at `body`."""
    remaining = 0
    for at in range(body - 1, pos, -1):
        remaining = remaining << 7 | (chunk[at] & 127)
    return body + remaining


def may_pass(handler: ClientHandler, route: Route, qos: int, frame_size: int) -> bool:
    """May frames like this one go along this route unchanged? Asked once per run."""
    if route.version != handler.version or (qos > route.qos_min and qos):
        return False
    if frame_size > handler.reader.max_size or (route.size_max and frame_size > route.size_max):
        return False
    if qos > handler.config.maximum_qos:
        return False
    if handler.state.policy is None:
        return True
    verdicts = handler.verdicts
    if verdicts is None or handler.epoch != handler.state.policy_epoch:
        return False
    return verdicts.get((route.topic, qos, False), False)

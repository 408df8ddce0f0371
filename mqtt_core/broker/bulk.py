"""The bulk path."""
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mqtt_core.broker.handler import ClientHandler


def serve(handler: ClientHandler, now: float) -> None:
    """Serve."""

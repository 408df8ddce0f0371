"""What a server of any I/O style is constructed with: one list of keyword arguments, turned into one value.

Law: each argument exists once, here. A wrong part is refused in the constructor, before any socket exists; the values
of a config were checked when it was made.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypedDict

from mqtt_adapters.clock import epoch_clock
from mqtt_adapters.config import ServerConfig, nearest
from mqtt_adapters.parts import check_policy, check_store
from mqtt_core.broker import Event, Policy
from mqtt_core.persistence import Progress, Storage

__all__ = ["ServerOptions", "ServerSettings"]


class ServerOptions(TypedDict, total=False):
    """Keyword arguments of `MqttServer` beside its config.

    policy: who may do what, None for everybody everything. store: where sessions and retained messages survive, None
    for memory only; the server opens and closes it. clock: returns epoch seconds and never goes back. rng: source of
    client identifiers and other random choices. on_event: called with each event of the broker, in the thread that
    serves. on_progress: called now and then while the store is read, maybe in the store's thread, with what is done and
    what there is to do.
    """

    policy: Policy | None
    store: Storage | None
    clock: Callable[[], float] | None
    rng: random.Random | None
    on_event: Callable[[Event], None] | None
    on_progress: Progress | None


class ServerSettings:
    """A config and options, checked and complete.

    Raises:
        TypeError: there is no such option, or the policy or the store lacks a method.
    """

    def __init__(self, config: ServerConfig | None, options: ServerOptions) -> None:
        known = list(ServerOptions.__annotations__)
        if unknown := [name for name in options if name not in known]:
            raise TypeError(f"a server has no setting {unknown[0]!r}{nearest(unknown[0], known)}")
        self.config = config or ServerConfig()
        self.policy = options.get("policy")
        self.store = options.get("store")
        self.clock = options.get("clock") or epoch_clock()
        self.rng = options.get("rng") or random.SystemRandom()
        self.on_event = options.get("on_event")
        self.on_progress = options.get("on_progress")
        check_policy(self.policy)
        check_store(self.store)

"""The targets by name. A target is a module with `run(data)`, which raises when an invariant breaks, and `seeds()`.

Importing this module imports the core: the fuzzer does it with instrumentation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz import broker, client, decoder, mosquitto, paths


class Target(NamedTuple):
    """run: one input. seeds: inputs to begin with. size_max: bytes of an input."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    size_max: int


TARGETS = {
    "decoder": Target(decoder.run, decoder.seeds, 600),
    "broker": Target(broker.run, broker.seeds, 1000),
    "client": Target(client.run, client.seeds, 1000),
    "paths": Target(paths.run, paths.seeds, 1500),
    "mosquitto": Target(mosquitto.run, mosquitto.seeds, 200),
}

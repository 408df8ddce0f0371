"""A scenario for the simulator: meters on a bad mobile network, a broker that keeps crashing, a slow disk.

Ten seeds, each another history of the same kind, in virtual time. The oracle raises `Violation` when a message that was
acknowledged is lost, doubled or out of order; then the same seed gives the same history again, step by step.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from mqtt_core.testing.simulation import Options, World

METERS = Options(
    clients=8,
    steps=3000,
    topics=8,
    share_persistent=1.0,  # everybody has a session that survives a lost connection
    share_stored=0.5,  # and half of them a store of their own, so they may crash too
    storage="log",
    commit_s=0.02,
    delay_from=0.05,
    delay_to=0.4,
    reset_rate=0.5,  # lost connections a virtual second
    broker_crash_rate=0.2,
    client_crash_rate=0.2,
)


def main() -> None:
    seen: Counter[str] = Counter()
    for seed in range(1, 11):
        world = World(replace(METERS, seed=seed))
        world.run()
        seen += world.oracle.counts
    assert min(seen[what] for what in ("broker crash", "client crash", "reset", "resent")) > 0
    print("nothing that was acknowledged is lost:", seen["delivered qos 2"] > 1000)


if __name__ == "__main__":
    main()

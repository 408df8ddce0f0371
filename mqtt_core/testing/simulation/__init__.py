"""The simulator: a broker and many clients in virtual time, on bad networks and failing disks, from one seed.

    python -m mqtt_core.testing.simulation --seeds 1000

The parts can be used one by one: `Schedule` (virtual time), `Link` (connections as TCP has them), `SimStorage` (a disk
that is slow, fails and crashes), `World` (all of it) and `Oracle` (the judge).
"""

from __future__ import annotations

from mqtt_core.testing.simulation.links import Link, Pipe, Weather
from mqtt_core.testing.simulation.options import Options, draw
from mqtt_core.testing.simulation.oracle import Oracle, Violation
from mqtt_core.testing.simulation.schedule import Schedule, Transcript
from mqtt_core.testing.simulation.shrinking import shrink
from mqtt_core.testing.simulation.storage import SimStorage, Sleep
from mqtt_core.testing.simulation.world import World

__all__ = [
    "Link",
    "Options",
    "Oracle",
    "Pipe",
    "Schedule",
    "SimStorage",
    "Sleep",
    "Transcript",
    "Violation",
    "Weather",
    "World",
    "draw",
    "shrink",
]

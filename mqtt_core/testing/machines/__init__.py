"""State machines for Hypothesis that run a part of the core, or your replacement for it, against a naive model.

Subclass a machine, override the method that makes the part, and hand its `TestCase` to pytest. Needs the extra
`hypothesis`.
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis  # noqa: F401 - asked for here, so that what is missing has a name
except ModuleNotFoundError as error:
    missing = "hypothesis is not installed (pip install 'mqtt-core[hypothesis]')"
    raise ModuleNotFoundError(missing, name="hypothesis") from error

from mqtt_core.testing.machines.broker import BrokerMachine
from mqtt_core.testing.machines.qos import IncomingFlowMachine, OutgoingFlowMachine
from mqtt_core.testing.machines.retained import RetainedMachine
from mqtt_core.testing.machines.session import SessionMachine
from mqtt_core.testing.machines.topic_tree import TopicTreeMachine
from mqtt_core.testing.machines.trie import TrieMachine

__all__ = [
    "BrokerMachine",
    "IncomingFlowMachine",
    "OutgoingFlowMachine",
    "RetainedMachine",
    "SessionMachine",
    "TopicTreeMachine",
    "TrieMachine",
]

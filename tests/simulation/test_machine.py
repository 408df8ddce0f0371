"""The state machine of broker and clients, run against the broker, and against one that breaks a rule."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from mqtt_core.testing.machines import BrokerMachine

FEW = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def test_the_broker_keeps_its_promise():
    run_state_machine_as_test(BrokerMachine, settings=FEW)


class Forgetful(BrokerMachine):
    """Starts from nothing after a crash."""

    def make_broker(self, snapshot):
        return super().make_broker(None)


def test_a_broker_that_forgets_is_found_out():
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Forgetful, settings=settings(FEW, phases=[Phase.generate]))

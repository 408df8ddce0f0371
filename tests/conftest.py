"""What holds for every test: how Hypothesis searches, and that interop tests run only when asked for.

The suite is deterministic by default. ``HYPOTHESIS_PROFILE=deep`` searches at random and fifty times longer.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

INTEROP = Path(__file__).parent / "interop"

settings.register_profile(
    "suite",
    deadline=None,  # a shared machine may stall; pytest-timeout bounds a test as a whole
    derandomize=True,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("deep", parent=settings.get_profile("suite"), derandomize=False, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture
def socket_path():
    """Where a unix socket can be bound: its address has 107 bytes at most, and tmp_path may be longer than that."""
    with tempfile.TemporaryDirectory(prefix="mqtt-", dir="/tmp") as directory:
        yield f"{directory}/mqtt.sock"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Interop tests need programs from outside: they are collected only when named on the command line."""
    if not collection_path.is_relative_to(INTEROP):
        return None
    named = (Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in config.args)
    return None if any(path.is_relative_to(INTEROP) for path in named) else True

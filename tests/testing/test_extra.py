"""What of the test kit needs Hypothesis says so, in one line, where that is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["strategies", "machines"])
def test_a_missing_hypothesis_is_named_with_how_to_install_it(name):
    code = f"import sys; sys.modules['hypothesis'] = None; import mqtt_core.testing.{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: hypothesis is not installed (pip install 'mqtt-core[hypothesis]')"
    )

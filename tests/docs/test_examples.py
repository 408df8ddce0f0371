"""Every example in docs/examples runs by itself and says what it should."""

from __future__ import annotations

import asyncio
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mqtt_core.codec import StorageError
from mqtt_core.persistence import Journal
from mqtt_core.session import Message

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
SAID = {
    "authenticating_policy.py": [
        "refused: BAD_USER_NAME_OR_PASSWORD",
        "heard: fine",
        "not allowed: NOT_AUTHORIZED",
    ],
    "bridge.py": [
        "office reads plant/machine/speed 1200",
        "machine reads plant/orders slower",
        "office reads plant/machine/speed 900",
        "night watch reads plant/machine/speed 1200",
    ],
    "custom_storage.py": ["after a restart: while you were away"],
    "embedded_broker.py": ["measure every 60 seconds", "rooms heard of: 1", "{'kitchen': 21.5}"],
    "simulator_scenario.py": ["nothing that was acknowledged is lost: True"],
    "serial_transport.py": ["boiler/temperature 71.5", "boiler/burner off"],
    "lifespan.py": ["accepted", "light/hall/set on", "stopped: True"],
}


@pytest.mark.parametrize("name", SAID)
def test_an_example_says_what_it_should(name):
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == SAID[name]


def test_no_example_is_left_out():
    """Examples that need more than a process of their own have a test elsewhere, which names them."""
    elsewhere = {
        path.name
        for path in EXAMPLES.glob("*.py")
        if any(path.stem in test.read_text(encoding="utf-8") for test in (ROOT / "tests").rglob("test_*.py"))
    }
    assert {path.name for path in EXAMPLES.glob("*.py")} <= {*SAID, *elsewhere}


def test_the_storage_of_the_example_stays_failed_when_the_disk_is_full():
    """What a store has to do, as the guide beside it says."""

    async def test():
        store = runpy.run_path(str(EXAMPLES / "custom_storage.py"))["FileLog"](Path("/dev/full"))
        await store.open()
        journal = Journal()
        journal.store_retained("t", Message("t", b"x", sequence=1))
        batch = journal.take_batch()
        for _ in range(2):
            with pytest.raises(StorageError, match="/dev/full"):
                await store.apply(batch)
        await store.close()

    asyncio.run(test())

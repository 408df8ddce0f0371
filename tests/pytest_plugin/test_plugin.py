"""The plugin in a pytest of its own: what it costs, what a failing test says, what counts as left behind."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "mqtt_adapters.pytest_plugin"
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "test_thermostat.py"
HEADER = """
import contextlib, threading
import pytest
from mqtt_adapters.blocking import Client
"""


def by_name():
    """How pytest is told of the plugin: not at all where it is installed, or it would be there twice."""
    installed = importlib.metadata.entry_points(group="pytest11")
    return () if any(point.value == PLUGIN for point in installed) else ("-p", PLUGIN)


@pytest.fixture
def run(pytester):
    """Run the text of a test module. In a compiled core there are no assertions to rewrite, as pytest would like to."""
    quiet = "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning"

    def run_text(text, *arguments):
        pytester.makepyfile(HEADER + text)
        return pytester.runpytest_inprocess(*by_name(), "-p", "no:cacheprovider", "-W", quiet, *arguments)

    return run_text


def test_the_package_announces_the_plugin():
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'[project.entry-points.pytest11]\nmqtt = "{PLUGIN}"\n' in pyproject


def test_importing_the_plugin_imports_next_to_nothing():
    code = (
        "import sys, pytest; before = set(sys.modules); import mqtt_adapters.pytest_plugin;"
        "print(sorted(set(sys.modules) - before), [m for m in ('asyncio', 'hypothesis', 'ssl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['mqtt_adapters', 'mqtt_adapters.pytest_plugin'] []"


def test_a_test_that_leaves_nothing_passes(run):
    outcome = run("""
def test(mqtt_broker, mqtt_broker_factory):
    with Client(mqtt_broker.url) as client:
        client.publish("a", "b")
        mqtt_broker.expect("a", "b")
    assert mqtt_broker_factory(users={}).port != mqtt_broker.port
""")
    outcome.assert_outcomes(passed=1)


def test_a_failed_expectation_is_what_the_test_fails_with(run):
    outcome = run("""
def test(mqtt_broker):
    with Client(mqtt_broker.url, client_id="lamp") as client:
        client.publish("lamp/state", "on", qos=1)
        mqtt_broker.expect("lamp/stat", timeout=0)
""")
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines([
        ">*mqtt_broker.expect(*",
        "E*no message on 'lamp/stat' within 0 s; what has arrived, oldest first:",
        "E*lamp/state  b'on'  (QoS 1, from 'lamp')",
        "E*nearest topics: lamp/state",
    ])  # fmt: skip
    outcome.stdout.no_fnmatch_line("*testing_broker.py*")


def test_a_client_left_behind_fails_the_test(run):
    outcome = run("""
kept = []

def test(mqtt_broker):
    kept.append(Client(mqtt_broker.url, client_id="lamp", reconnect=False).start())

def test_after(mqtt_broker):
    kept.pop().close()
""")
    outcome.assert_outcomes(passed=2, errors=1)
    outcome.stdout.fnmatch_lines(["*the test has left something behind:", "client 'lamp' is still connected*"])


def test_a_connection_left_behind_fails_the_test(run):
    outcome = run("""
import socket
kept = []

def test(mqtt_broker):
    kept.append(socket.create_connection((mqtt_broker.host, mqtt_broker.port)))

def test_after():
    kept.pop().close()
""")
    outcome.assert_outcomes(passed=2, errors=1)
    outcome.stdout.fnmatch_lines(["a connection from 127.0.0.1* is still connected*"])


def test_a_thread_of_a_client_left_behind_fails_the_test(run):
    outcome = run("""
kept = []

def test(mqtt_broker):
    kept.append(Client(mqtt_broker.url, reconnect_min_s=30, reconnect_max_s=30).start())
    mqtt_broker.stop()

def test_after():
    kept.pop().close()
""")
    outcome.assert_outcomes(passed=2, errors=1)
    outcome.stdout.fnmatch_lines(["thread 'mqtt-client' is still running*"])


def test_a_broker_that_hangs_is_given_up_after_two_seconds(run):
    outcome = run("""
from mqtt_core.broker import Accept
from mqtt_core.codec import MqttError

asked, gate = threading.Event(), threading.Event()

class Stubborn:
    def authenticate(self, connect, peer):
        asked.set()
        gate.wait()
        return Accept()

def connect(url):
    with contextlib.suppress(MqttError), Client(url, reconnect=False):
        pass

def test(mqtt_broker_factory):
    broker = mqtt_broker_factory(policy=Stubborn())
    global client
    client = threading.Thread(target=connect, args=[broker.url])
    client.start()
    asked.wait()

def test_after():
    gate.set()
    client.join()
""")
    outcome.assert_outcomes(passed=2, errors=1)
    outcome.stdout.fnmatch_lines(["the thread of the broker has not ended within 2 s"])


def test_the_example_suite_passes_on_two_workers_at_once(tmp_path):
    """docs/examples/test_thermostat.py."""
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # away from the settings of this project
    arguments = ["-q", "-p", "xdist", "-n", "2", "-p", PLUGIN]
    command = [sys.executable, "-W", "error", "-m", "pytest", *arguments]
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout

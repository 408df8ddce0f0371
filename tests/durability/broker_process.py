"""A `mqtt-broker` in a process of its own that can be killed and started again on the same port and store."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class BrokerProcess:
    """The reference broker with a store, on one port for its whole life."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.port = free_port()
        self.starts = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start and wait for the line that says it is ready."""
        command = [sys.executable, "-m", "mqtt_adapters.bin.broker", "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, "--store", str(self.store)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "listening on" in line:
                self.starts += 1
                return
        raise AssertionError(f"the broker did not start: {''.join(said)}")

    def kill(self) -> None:
        """End it as a power cut would, at whatever instruction it is."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()

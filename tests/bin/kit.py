"""Running the command-line programs as programs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
import threading

from mqtt_adapters.asyncio import MqttServer, ServerConfig
from mqtt_core.broker import Accept, Refuse


def run(program, *arguments, **options):
    """Run a program to its end: (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", f"mqtt_adapters.bin.{program}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


class RunningBroker:
    """A broker in a process of its own. line: what it said when it was ready."""

    def __init__(self, process):
        self.process = process
        self.line = process.stdout.readline()
        found = re.search(r":(\d+)", self.line)
        self.port = int(found[1]) if found else 0

    def end(self, number):
        """Send a signal and wait: (exit code, the rest of stdout, stderr)."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextlib.contextmanager
def broker(*arguments, **options):
    """A running ``mqtt-broker`` on a free loopback port."""
    command = [sys.executable, "-m", "mqtt_adapters.bin.broker", *map(str, arguments)]
    if not {"-p", "--config", "--bind-addr"} & set(arguments):
        command += ["-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            yield RunningBroker(process)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


def start(program, *arguments, **options):
    """Start a program and leave it running; its output is read through pipes."""
    command = [sys.executable, "-m", f"mqtt_adapters.bin.{program}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


class OpenPolicy:
    """Everybody may do everything; a test overrides what it is about."""

    def authenticate(self, connect, peer):
        return Accept()

    def continue_authentication(self, connect, auth, peer):
        return Refuse()

    def authorize_publish(self, principal, topic, qos, retain):
        return True

    def authorize_subscribe(self, principal, topic_filter, qos):
        return qos

    def authorize_deliver(self, principal, topic):
        return True


@contextlib.contextmanager
def served(*, policy=None, on_event=None, **settings):
    """An `MqttServer` in a thread of this process, for tests that have to look into it."""
    settings.setdefault("bind_addr", "127.0.0.1:0")
    server = MqttServer(ServerConfig(**settings), policy=policy, on_event=on_event)
    ready = threading.Event()
    thread = threading.Thread(target=server.run, kwargs={"on_ready": lambda _: ready.set()})
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), server.loop).result(10)
        thread.join()

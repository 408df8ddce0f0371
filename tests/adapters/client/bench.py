"""CPU per message of our clients beside paho-mqtt, aiomqtt and gmqtt: the same server, the same messages, one after
another.

    python -m tests.adapters.client.bench [--count 20000] [--server own|mosquitto] [--modes p0,p1,r0,r1]

`p` publishes, `r` receives; the number is the QoS; 64 bytes a message, 3.1.1 on all sides, up to 500 messages in
flight. Each client runs in a process of its own; printed is the CPU time of that process between the first and the
last message, in microseconds a message. Publishing QoS 1, all but gmqtt wait for every acknowledgement (gmqtt
cannot).
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import subprocess
import sys
import tempfile
import time

from tests.adapters.client.kit import Mosquitto, OwnBroker

WINDOW = 500
PAYLOAD = b"x" * 64
OPTIONS = {"version": 4, "inflight_max": WINDOW, "client_id": "bench"}


class Meter:
    """CPU time from the first call of `tick` (or `start`) to the last of `count`."""

    def __init__(self, count):
        self.count = count
        self.seen = 0
        self.begun = None
        self.result = 0.0

    def start(self):
        self.begun = time.process_time()

    def tick(self):
        """One message; True when it was the last."""
        if self.begun is None:
            self.start()
        self.seen += 1
        return self.seen == self.count and self.stop()

    def stop(self):
        self.result = (time.process_time() - self.begun) / self.count * 1e6
        return True


def ready():
    """Tell the parent that messages may come."""
    print("ready", flush=True)


async def own_asyncio(port, mode, qos, meter):
    from mqtt_adapters.asyncio import Client

    async with Client("127.0.0.1", port, **OPTIONS) as client:
        if mode == "p":
            meter.start()
            if qos == 0:
                for _ in range(meter.count):
                    await client.publish("bench/t", PAYLOAD)
            else:
                for _ in range(0, meter.count, WINDOW):
                    for future in [client.publish_nowait("bench/t", PAYLOAD, qos=1) for _ in range(WINDOW)]:
                        await future
            meter.stop()
            return
        await client.subscribe("feed/#", qos)
        ready()
        async for _ in client.messages:
            if meter.tick():
                return


def own_blocking(port, mode, qos, meter):
    from mqtt_adapters.blocking import Client

    with Client("127.0.0.1", port, **OPTIONS) as client:
        if mode == "p":
            meter.start()
            if qos == 0:
                for _ in range(meter.count):
                    client.publish("bench/t", PAYLOAD)
            else:
                for _ in range(0, meter.count, WINDOW):
                    for one in [client.publish_nowait("bench/t", PAYLOAD, qos=1) for _ in range(WINDOW)]:
                        one.result()
            meter.stop()
            return
        client.subscribe("feed/#", qos)
        ready()
        for _ in client.messages(timeout=30):
            if meter.tick():
                return


def paho(port, mode, qos, meter):
    from paho.mqtt.client import CallbackAPIVersion, Client

    client = Client(CallbackAPIVersion.VERSION2, "bench")
    client.max_inflight_messages_set(WINDOW)
    client.connect("127.0.0.1", port)
    if mode == "p":
        client.loop_start()
        time.sleep(0.2)
        meter.start()
        for _ in range(0, meter.count, WINDOW):
            for one in [client.publish("bench/t", PAYLOAD, qos) for _ in range(WINDOW)]:
                one.wait_for_publish()
        meter.stop()
        client.loop_stop()
        return
    client.on_connect = lambda *_: client.subscribe("feed/#", qos)
    client.on_subscribe = lambda *_: ready()
    client.on_message = lambda *_: meter.tick() and client.disconnect()
    client.loop_forever()


async def gmqtt(port, mode, qos, meter):
    from gmqtt import Client

    client = Client("bench")
    done = asyncio.Event()
    client.on_message = lambda *_: meter.tick() and done.set()
    await client.connect("127.0.0.1", port, version=4)
    if mode == "p":
        meter.start()
        for n in range(meter.count):
            client.publish("bench/t", PAYLOAD, qos=qos)
            if n % WINDOW == WINDOW - 1:
                await asyncio.sleep(0.002)
        meter.stop()
    else:
        client.subscribe("feed/#", qos)
        await asyncio.sleep(0.3)
        ready()
        await done.wait()
    await client.disconnect()


async def aiomqtt(port, mode, qos, meter):
    from aiomqtt import Client

    async with Client("127.0.0.1", port, max_inflight_messages=WINDOW) as client:
        if mode == "p":
            meter.start()
            for _ in range(0, meter.count, WINDOW):
                if qos == 0:
                    for _ in range(WINDOW):
                        await client.publish("bench/t", PAYLOAD)
                else:
                    await asyncio.gather(*[client.publish("bench/t", PAYLOAD, qos=1) for _ in range(WINDOW)])
            meter.stop()
            return
        await client.subscribe("feed/#", qos)
        ready()
        async for _ in client.messages:
            if meter.tick():
                return


async def feed(port, qos, count):
    """What a receiver is given: bursts, so that nobody's queue overflows."""
    from mqtt_adapters.asyncio import Client

    async with Client("127.0.0.1", port, **{**OPTIONS, "client_id": "feed"}) as client:
        for start in range(0, count, 200):
            size = min(200, count - start)
            for future in [client.publish_nowait("feed/t", PAYLOAD, qos=qos) for _ in range(size)]:
                await future
            await asyncio.sleep(0.004)
        await client.publish("feed-done", b"", qos=1)


CLIENTS = {f.__name__: f for f in (own_asyncio, own_blocking, paho, gmqtt, aiomqtt)}


def child(name, port, mode, count):
    """Measure one client, in this process."""
    meter = Meter(count)
    outcome = CLIENTS[name](port, mode[0], int(mode[1]), meter)
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)
    print(f"{meter.result:.2f}", flush=True)


def measure(name, port, mode, count):
    """Microseconds of CPU a message, from a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--child", name, "--port", str(port), "--modes", mode]
    with subprocess.Popen(
        [*command, "--count", str(count)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        line = process.stdout.readline().strip()
        if line == "ready":
            asyncio.run(feed(port, int(mode[1]), count))
            line = process.stdout.readline().strip()
    return float(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--server", choices=["own", "mosquitto"], default="mosquitto")
    parser.add_argument("--modes", default="p0,p1,r0,r1")
    parser.add_argument("--child", choices=CLIENTS)
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.port, given.modes, given.count)
        return
    print(f"{'':6}" + "".join(f"{name:>14}" for name in CLIENTS))
    with tempfile.TemporaryDirectory() as directory:
        server = OwnBroker() if given.server == "own" else Mosquitto(directory, "max_inflight_messages 1000")
        with server:
            for mode in given.modes.split(","):
                row = [measure(name, server.port, mode, given.count) for name in CLIENTS]
                print(f"{mode:6}" + "".join(f"{value:14.2f}" for value in row), flush=True)


if __name__ == "__main__":
    main()

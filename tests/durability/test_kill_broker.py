"""Acknowledged means on disk: the broker is killed at random moments, again and again, on the same store.

Four publishers (both versions, QoS 1 and 2) send numbered messages and one retained counter each, and keep them until
they are acknowledged; two persistent subscribers listen all the time, one is away until the end. Whatever was
acknowledged must arrive: QoS 2 exactly once, QoS 1 at least once, both in order; the retained counter is the last one
acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from random import Random

import pytest

from mqtt_adapters.asyncio import Client
from tests.durability.broker_process import BrokerProcess

KILLS = int(os.environ.get("MQTT_KILLS", "20"))
LINES = [(version, qos) for version in (4, 5) for qos in (1, 2)]


def make_client(broker: BrokerProcess, name: str, version: int) -> Client:
    return Client(
        "127.0.0.1",
        broker.port,
        client_id=name,
        version=version,
        clean_start=False,
        session_expiry_s=100_000,
        reconnect_min_s=0.02,
        reconnect_max_s=0.1,
        ack_timeout_s=60.0,
    )


class Publisher:
    """Sends 0, 1, 2, … on one topic, a window at a time, until it is told to stop."""

    def __init__(self, client: Client, name: str, qos: int) -> None:
        self.client = client
        self.topic = f"kill/{name}"
        self.qos = qos
        self.sent = 0
        self.acknowledged = 0
        self.retained = -1
        self.stopping = False

    async def run(self) -> None:
        while not self.stopping:
            window = []
            for _ in range(10):
                window.append(self.client.publish(self.topic, b"%d" % self.sent, qos=self.qos))
                self.sent += 1
            await asyncio.gather(*window)
            self.acknowledged = self.sent
            await self.client.publish(f"last/{self.topic}", b"%d" % self.sent, qos=self.qos, retain=True)
            self.retained = self.sent


class Subscriber:
    """Notes the numbers that arrive on each topic."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.numbers: dict[str, list[int]] = {}
        self.news = asyncio.Event()

    async def run(self) -> None:
        async for message in self.client.messages:
            self.numbers.setdefault(message.topic, []).append(int(message.payload))
            self.news.set()

    async def wait_for(self, publishers: list[Publisher]) -> None:
        while any(p.sent - 1 not in self.numbers.get(p.topic, [])[-40:] for p in publishers):
            self.news.clear()
            await self.news.wait()

    def check(self, publishers: list[Publisher]) -> None:
        for publisher in publishers:
            got = self.numbers[publisher.topic]
            if publisher.qos == 2:
                assert got == list(range(publisher.sent)), publisher.topic
            else:
                assert list(dict.fromkeys(got)) == list(range(publisher.sent)), publisher.topic


async def subscribe(broker: BrokerProcess, name: str, version: int) -> Subscriber:
    client = await make_client(broker, name, version).start()
    await client.subscribe("kill/#", qos=2)
    return Subscriber(client)


async def session(broker: BrokerProcess, rng: Random) -> None:
    async with contextlib.AsyncExitStack() as stack:
        absent = await subscribe(broker, "absent", 5)
        await absent.client.close()
        present = [await subscribe(broker, f"present{v}", v) for v in (4, 5)]
        publishers = []
        for version, qos in LINES:
            client = await make_client(broker, f"publisher{version}{qos}", version).start()
            publishers.append(Publisher(client, f"v{version}q{qos}", qos))
        for one in [*present, *publishers]:
            stack.push_async_callback(one.client.close)
        async with asyncio.TaskGroup() as group:
            listening = [group.create_task(s.run()) for s in present]
            sending = [group.create_task(p.run()) for p in publishers]
            for _ in range(KILLS):
                await asyncio.sleep(rng.uniform(0.02, 0.3))  # the moment of the kill is what is random here
                broker.kill()
                await asyncio.to_thread(broker.start)
            for publisher in publishers:
                publisher.stopping = True
            await asyncio.gather(*sending)
            for subscriber in present:
                await subscriber.wait_for(publishers)
            back = await make_client(broker, "absent", 5).start()
            stack.push_async_callback(back.close)
            returned = Subscriber(back)
            listening.append(group.create_task(returned.run()))
            await returned.wait_for(publishers)
            for subscriber in (*present, returned):
                subscriber.check(publishers)
            await check_retained(broker, publishers)
            for task in listening:
                task.cancel()


async def check_retained(broker: BrokerProcess, publishers: list[Publisher]) -> None:
    async with make_client(broker, "reader", 5) as reader:
        await reader.subscribe("last/#", qos=1)
        last = {}
        async for message in reader.messages:
            assert message.retain
            last[message.topic] = int(message.payload)
            if len(last) == len(publishers):
                break
    assert last == {f"last/{p.topic}": p.retained for p in publishers}


@pytest.mark.timeout(180)
@pytest.mark.spec("MQTT-4.3.2-3", "MQTT-4.3.3-3", "MQTT-4.4.0-1", "MQTT-4.5.0-1", version="5.0")
def test_nothing_acknowledged_is_lost_by_killing_the_broker(tmp_path):
    broker = BrokerProcess(tmp_path / "broker.db")
    broker.start()
    try:
        asyncio.run(session(broker, Random(1)))
        assert broker.starts == KILLS + 1
    finally:
        broker.kill()

"""Server and store together while the disk takes its time: the loop goes on, and only what rests on a write waits."""

from __future__ import annotations

import asyncio
import threading

from mqtt_adapters.asyncio import MqttServer, ServerConfig
from mqtt_adapters.storage import SqliteStore
from mqtt_core.codec import PingreqPacket, PingrespPacket, PubackPacket, PublishPacket, encode
from tests.adapters.kit import LOOPBACK, client, every_loop_test, read_publish, subscribe

WINDOW = 50


class SlowDisk(SqliteStore):
    """A store whose disk can be made to stand still."""

    def __init__(self, path):
        super().__init__(path)
        self.moving = threading.Event()
        self.moving.set()
        self.threads = set()

    def apply_sync(self, batch):
        if not self.moving.is_set():
            self.threads.add(threading.current_thread())
            assert self.moving.wait(30)
        super().apply_sync(batch)


def make_server(store, **settings):
    config = ServerConfig(bind_addr=LOOPBACK, sys_interval_s=0, receive_maximum=WINDOW, **settings)
    return MqttServer(config, store=store)


async def until(condition):
    """Let the loop turn until something is true."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def publishes(count, topic="kept"):
    return b"".join([encode(PublishPacket(topic, b"%d" % n, 1, packet_id=n), 4) for n in range(1, count + 1)])


@every_loop_test
async def test_a_publisher_is_read_until_its_window_is_full_and_no_further(tmp_path):
    store = SlowDisk(tmp_path / "s.db")
    async with (
        make_server(store) as server,
        client(server, "keeper", version=4, clean_start=False) as keeper,
        client(server, "publisher", version=4) as publisher,
    ):
        await subscribe(keeper, "kept", 1)
        store.moving.clear()
        await publisher.write_bytes(publishes(3 * WINDOW))
        counters = server.broker.counters
        await until(lambda: counters.publish_received == WINDOW)
        await keeper.write(PingreqPacket())
        assert isinstance(await keeper.read(), PingrespPacket)  # overtakes what is held
        assert counters.publish_received == WINDOW
        store.moving.set()
        for number in range(1, 3 * WINDOW + 1):
            assert await publisher.read() == PubackPacket(number)
        for number in range(1, 3 * WINDOW + 1):
            assert (await read_publish(keeper)).payload == b"%d" % number
    assert threading.main_thread() not in store.threads


@every_loop_test
async def test_a_publisher_is_read_until_the_bytes_it_is_owed_reach_the_limit(tmp_path):
    store = SlowDisk(tmp_path / "s.db")
    async with (
        make_server(store, outbox_bytes_max=4000) as server,
        client(server, "echo", version=4, clean_start=False) as echo,
    ):
        await subscribe(echo, "kept", 1)
        store.moving.clear()
        counters = server.broker.counters
        sent = 0
        while counters.publish_received == sent and sent < 30:
            sent += 1
            await echo.write(PublishPacket("kept", bytes(500), 1, packet_id=sent))
            for _ in range(20):
                if counters.publish_received == sent:
                    break
                await asyncio.sleep(0.005)
        assert 5 <= counters.publish_received < sent < 15
        store.moving.set()
        answers = [await echo.read() for _ in range(2 * sent)]
        assert sorted(p.packet_id for p in answers if isinstance(p, PubackPacket)) == list(range(1, sent + 1))


@every_loop_test
async def test_what_needs_no_write_goes_on_while_the_disk_stands_still(tmp_path):
    store = SlowDisk(tmp_path / "s.db")
    async with (
        make_server(store) as server,
        client(server, "keeper", version=4, clean_start=False) as keeper,
        client(server, "publisher", version=4) as publisher,
        client(server, "listener") as listener,
        client(server, "other") as other,
    ):
        await subscribe(keeper, "kept", 1)
        await subscribe(listener, "live", 1)
        store.moving.clear()
        await publisher.write(PublishPacket("kept", b"x", 1, packet_id=1))
        await until(lambda: store.threads)
        for number in range(1, 101):
            await other.write(PublishPacket("live", b"%d" % number, 1, packet_id=number))
            assert (await other.read()).packet_id == number
            message = await read_publish(listener)
            assert message.payload == b"%d" % number
            await listener.write(PubackPacket(message.packet_id))
        async with client(server, "newcomer") as newcomer:
            await newcomer.write(PingreqPacket())
            assert isinstance(await newcomer.read(), PingrespPacket)
        store.moving.set()
        assert await publisher.read() == PubackPacket(1)
        assert (await read_publish(keeper)).payload == b"x"


@every_loop_test
async def test_all_that_waited_for_one_commit_shares_the_next(tmp_path):
    store = SlowDisk(tmp_path / "s.db")
    async with (
        make_server(store) as server,
        client(server, "keeper", version=4, clean_start=False) as keeper,
        client(server, "a", version=4) as first,
        client(server, "b", version=4) as second,
    ):
        await subscribe(keeper, "kept", 1)
        store.moving.clear()
        await first.write(PublishPacket("kept", b"0", 1, packet_id=1))
        await until(lambda: store.threads)
        before = server.driver.committed
        for number in range(1, 11):
            await second.write(PublishPacket("kept", b"%d" % number, 1, packet_id=number))
        await until(lambda: server.broker.counters.publish_received == 11)
        store.moving.set()
        assert await first.read() == PubackPacket(1)
        for number in range(1, 11):
            assert await second.read() == PubackPacket(number)
        assert server.driver.committed == before + 2

"""A server that starts on what an earlier one left: it says how far it is, and its time never goes back."""

from __future__ import annotations

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig
from mqtt_adapters.storage import SqliteStore
from mqtt_core.persistence import MemoryStore
from tests.adapters.kit import LOOPBACK, every_loop_test

LASTING = {"clean_start": False, "session_expiry_s": 1000}


class Watch:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self):
        return self.now


def make_server(store, **options):
    return MqttServer(ServerConfig(bind_addr=LOOPBACK, sys_interval_s=0), store=store, **options)


@every_loop_test
async def test_reading_the_store_is_told_from_nothing_to_all(tmp_path):
    path = tmp_path / "s.db"
    async with make_server(SqliteStore(path)) as server:
        for number in range(20):
            await server.committed(server.publish(f"r/{number}", b"kept", qos=1, retain=True))
    told = []
    async with make_server(SqliteStore(path), on_progress=lambda done, total: told.append(done / total)) as server:
        assert len(server.broker.retained()) == 20
    assert told[0] == 0
    assert told == sorted(told)
    assert told[-1] == 1


@every_loop_test
async def test_a_clock_that_was_set_back_goes_on_from_the_newest_time_in_the_store():
    store = MemoryStore()
    async with (
        make_server(store, clock=lambda: 9000.0) as server,
        Client(port=server.port, client_id="c", **LASTING),
    ):
        pass
    async with make_server(store, clock=lambda: 5000.0) as server:
        assert server.now() == 9000.0
        (session,) = server.broker.sessions()
        assert session.expires_at() == 10_000.0


@every_loop_test
async def test_the_clock_of_a_client_goes_on_from_its_store_too():
    store = MemoryStore()
    watch = Watch()
    async with make_server(None) as server:
        for start, newest in ((9000.0, 9010.0), (5000.0, 9020.0)):
            watch.now = start
            async with Client(port=server.port, client_id="c", store=store, clock=watch, **LASTING) as client:
                watch.now += 10.0
                await client.publish("t", b"x", qos=1)
                await client.committed()
            assert await store.load_stamp() == newest

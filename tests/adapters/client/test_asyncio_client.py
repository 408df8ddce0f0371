"""What only the asyncio and anyio clients have: cancellation, futures, callbacks of an event loop."""

from __future__ import annotations

import asyncio

import anyio
import pytest

import mqtt_adapters.anyio
from mqtt_adapters.asyncio import Client
from mqtt_adapters.errors import ClientClosed
from mqtt_adapters.storage.sqlite import SqliteStore
from tests.adapters.client.kit import take
from tests.adapters.kit import asyncio_test


@asyncio_test
async def test_a_cancelled_verb_leaves_the_client_as_it_was(own_broker):
    async with Client("127.0.0.1", own_broker.port) as client:
        await client.subscribe("cancel/#", 2)
        for qos in (1, 2):
            task = asyncio.create_task(client.publish("cancel/t", b"%d" % qos, qos=qos))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        task = asyncio.create_task(client.subscribe("cancelled/#", 1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert [m.payload for m in await take(client.messages, 2)] == [b"1", b"2"]
        await client.publish("cancelled/t", b"granted all the same", qos=1)
        assert [m.payload for m in await take(client.messages, 1)] == [b"granted all the same"]
        waiting = asyncio.create_task(anext(client.messages))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await client.publish("cancel/t", b"nobody lost it", qos=1)
        assert [m.payload for m in await take(client.messages, 1)] == [b"nobody lost it"]


@asyncio_test
async def test_a_cancelled_start_leaves_nothing(silent_port):
    task = asyncio.create_task(Client("127.0.0.1", silent_port, close_timeout_s=0.1).start())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@asyncio_test
async def test_futures_of_publishes(own_broker):
    async with Client("127.0.0.1", own_broker.port) as client:
        futures = [client.publish_nowait("t", b"", qos=n % 3) for n in range(300)]
        results = await asyncio.gather(*futures)
        assert all(r.reason_code < 0x80 for r in results)
        assert len({r.token for r in results}) == 201  # 0 for all of QoS 0


@asyncio_test
async def test_a_callback_that_fails_is_reported_and_hurts_nobody(own_broker):
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fail(message):
        raise ValueError("mine")

    async with Client("127.0.0.1", own_broker.port) as client:
        stop = client.on_message("callback/#", fail)
        with client.stream("callback/#") as stream:
            await client.subscribe("callback/#", 1)
            await client.publish("callback/t", b"1", qos=1)
            assert [m.payload for m in await take(stream, 1)] == [b"1"]
            stop()
            await client.publish("callback/t", b"2", qos=1)
            assert [m.payload for m in await take(stream, 1)] == [b"2"]
    assert [str(f) for f in failures] == ["mine"]


@asyncio_test
async def test_who_waits_when_the_client_closes_is_told(deaf_broker):
    client = await Client("127.0.0.1", deaf_broker, close_timeout_s=0.2).start()
    reading = asyncio.create_task(take(client.messages, 1))
    publishing = asyncio.create_task(client.publish("t", b"", qos=1))
    await asyncio.sleep(0)
    await client.close()
    await client.close()
    assert await reading == []
    with pytest.raises(ClientClosed):
        await publishing


@asyncio_test
async def test_a_durable_client_goes_on_where_the_last_one_stopped(own_broker, tmp_path):
    options = {"client_id": "durable", "clean_start": False, "session_expiry_s": 600}
    for _ in range(2):
        async with Client("127.0.0.1", own_broker.port, store=SqliteStore(tmp_path / "client.db"), **options) as client:
            await client.subscribe("durable/#", 2)
            for qos in (1, 2):
                await client.publish("durable/t", b"%d" % qos, qos=qos)
            assert [m.payload for m in await take(client.messages, 2)] == [b"1", b"2"]
            assert client.unacknowledged == 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_on_anyio_a_failing_callback_ends_the_client_and_errors_of_the_program_pass_as_they_are(own_broker, backend):
    def fail(message):
        raise ValueError("callback")

    async def failing():
        async with mqtt_adapters.anyio.Client("127.0.0.1", own_broker.port) as client:
            client.on_message("fail/#", fail)
            await client.subscribe("fail/#")
            await client.publish("fail/t", b"")
            await anyio.sleep(10)

    async def raising():
        async with mqtt_adapters.anyio.Client("127.0.0.1", own_broker.port):
            raise KeyError("program")

    async def cancelled():
        with anyio.move_on_after(0.1) as scope:
            async with mqtt_adapters.anyio.Client("127.0.0.1", own_broker.port):
                await anyio.sleep(10)
        assert scope.cancelled_caught

    with pytest.raises(ExceptionGroup) as caught:
        anyio.run(failing, backend=backend)
    assert caught.value.subgroup(ValueError) is not None
    with pytest.raises(KeyError):
        anyio.run(raising, backend=backend)
    anyio.run(cancelled, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_on_anyio_a_durable_client_commits_in_a_thread(own_broker, backend, tmp_path):
    async def main():
        options = {"client_id": f"durable-{backend}", "clean_start": False, "session_expiry_s": 600}
        for _ in range(2):
            store = SqliteStore(tmp_path / "client.db")
            async with mqtt_adapters.anyio.Client("127.0.0.1", own_broker.port, store=store, **options) as client:
                for qos in (1, 2):
                    await client.publish("durable/t", b"", qos=qos)
                assert client.unacknowledged == 0

    anyio.run(main, backend=backend)

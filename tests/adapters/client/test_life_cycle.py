"""Ends of a client that do not come at a quiet moment: what waits is told, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from mqtt_adapters.asyncio import Client
from mqtt_adapters.errors import ClientError
from mqtt_core.codec import LocalProtocolError, StorageError
from mqtt_core.persistence import MemoryStore
from tests.adapters.client.kit import contract
from tests.adapters.kit import asyncio_test

LASTING = {"client_id": "lasting", "session_expiry_s": 1000}
QUICK = {"reconnect_min_s": 0.01, "reconnect_max_s": 0.01}


class FrailStore(MemoryStore):
    """Fails when it is told to; `closed` counts."""

    def __init__(self, failing=""):
        super().__init__()
        self.failing = failing
        self.closed = 0

    async def load_snapshot(self, progress=None):
        if self.failing == "load":
            raise StorageError("unreadable")
        return await super().load_snapshot(progress)

    async def apply(self, batch):
        if self.failing == "apply":
            raise StorageError("the disk is full")
        await super().apply(batch)

    async def close(self):
        self.closed += 1


@contract
async def test_a_client_whose_storage_failed_connects_no_more(style, counting_server):
    store = FrailStore()
    async with style.client(port=counting_server.port, store=store, **LASTING, **QUICK) as client:
        store.failing = "apply"
        with pytest.raises(ClientError, match="the disk is full"):
            await client.publish("t", b"1", qos=1)
        for _ in range(30):
            await style.sleep(0.01)
            if style.name == "pump":
                client._client._loop.step(0)
        assert not client.connected
    assert counting_server.connections == 1


@pytest.mark.parametrize("flaw", ["unreadable", "no client identifier"])
@contract
async def test_a_client_that_cannot_start_gives_its_store_back(style, flaw):
    store = FrailStore("load" if flaw == "unreadable" else "")
    client = style.client(store=store, client_id="x" if flaw == "unreadable" else "", session_expiry_s=9)
    with pytest.raises((StorageError, LocalProtocolError)):
        await client.__aenter__()
    assert store.closed == 1


@asyncio_test
async def test_close_may_be_cancelled_while_it_waits_for_the_server(stuck_server):
    store = FrailStore()
    client = await Client("127.0.0.1", stuck_server, store=store, **LASTING).start()
    client.publish_nowait("t", bytes(20_000_000))
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert client._loop._link is None
    assert store.closed == 1

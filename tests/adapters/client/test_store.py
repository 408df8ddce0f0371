"""A client with a store: what was done is in it when `committed` says so, and goes on in the next process."""

from __future__ import annotations

import contextlib

import pytest

from mqtt_adapters.bin.inspect import survey
from mqtt_adapters.errors import ClientError, OperationTimeout
from mqtt_adapters.storage import SqliteStore
from mqtt_core.codec import StorageError
from mqtt_core.persistence import MemoryStore
from tests.adapters.client.kit import contract, take

LASTING = {"client_id": "durable", "clean_start": False, "session_expiry_s": 1000}


async def publish_into_the_void(client, *payloads, qos=1):
    """Publish to a server that answers nothing."""
    for payload in payloads:
        with contextlib.suppress(OperationTimeout):
            await client.publish("void", payload, qos=qos, timeout=0.01)


@contract
async def test_what_was_published_is_in_the_store(style, deaf_broker, tmp_path):
    path = tmp_path / "client.db"
    async with style.client(port=deaf_broker, store=SqliteStore(path), close_timeout_s=0.01, **LASTING) as client:
        await publish_into_the_void(client, b"1", b"2")
        await client.committed()
        (session,) = survey(path)["sessions"]
        assert (session["client_id"], session["inflight"]) == ("durable", 2)
        await client.committed(timeout=5)


@contract
async def test_what_was_not_acknowledged_goes_out_in_the_next_process(style, deaf_broker, own_broker, tmp_path):
    path = tmp_path / "client.db"
    for first in (1, 3):
        async with style.client(port=deaf_broker, store=SqliteStore(path), close_timeout_s=0.01, **LASTING) as client:
            await publish_into_the_void(client, b"%d" % first, b"%d" % (first + 1), qos=2)
    async with style.client(port=own_broker.port) as listener:
        await listener.subscribe("void", qos=2)
        async with style.client(port=own_broker.port, store=SqliteStore(path), **LASTING) as client:
            assert [m.payload for m in await take(listener.messages, 4)] == [b"1", b"2", b"3", b"4"]
            assert client.unacknowledged <= 4
            await client.publish("void", b"5", qos=2)
            assert client.unacknowledged == 0
            assert [m.payload for m in await take(listener.messages, 1)] == [b"5"]
    (session,) = survey(path)["sessions"]
    assert session["inflight"] + session["released"] + session["queued"] == 0


@contract
async def test_without_a_store_there_is_nothing_to_wait_for(style, deaf_broker):
    async with style.client(port=deaf_broker, close_timeout_s=0.01) as client:
        await publish_into_the_void(client, b"1")
        await client.committed(timeout=5)


class Full(MemoryStore):
    """A store that takes the session, and then nothing more."""

    def __init__(self):
        super().__init__()
        self.batches = 0

    async def apply(self, batch):
        self.batches += 1
        if self.batches > 1:
            raise StorageError("the disk is full")
        await super().apply(batch)


@contract
async def test_a_storage_failure_ends_the_client(style, own_broker):
    async with style.client(port=own_broker.port, store=Full(), **{**LASTING, "client_id": "full"}) as client:
        with pytest.raises(ClientError, match="the disk is full"):
            await client.publish("t", b"x", qos=1)
        with pytest.raises(ClientError, match="the disk is full"):
            await client.committed()

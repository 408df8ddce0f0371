"""The two functions that make a storage out of verbs, where the contract does not reach: damage and progress."""

from __future__ import annotations

import asyncio

import pytest

from mqtt_core.codec.error import StorageError
from mqtt_core.persistence import Batch, MemoryStore, Replay, apply_with_verbs, load, snapshot_with_verbs
from mqtt_core.persistence.log import ENTRY, RETAIN, UNRETAIN, LogWriter, pack_batch
from mqtt_core.session.record import SessionRecord


def batch(data):
    return Batch(1, 1.0, data, {}, {})


@pytest.mark.parametrize("op", [ENTRY, RETAIN])
def test_a_record_without_its_body_is_refused_by_either_way_of_reading(op):
    writer = LogWriter()
    writer.add(op, 1, "c", 5)
    data = writer.pack(1.0)
    store = MemoryStore()
    with pytest.raises(StorageError, match="no body for message 5"):
        asyncio.run(apply_with_verbs(store, batch(data)))
    with pytest.raises(StorageError, match="no body for message 5"):
        Replay().feed(1, data)
    store.lose_uncommitted()
    assert asyncio.run(load(store)).sessions == {}


def test_a_topic_that_is_not_utf8_is_refused():
    writer = LogWriter()
    writer.add(UNRETAIN, 0, None, 0, body=b"\xff")
    with pytest.raises(StorageError, match="UTF-8"):
        Replay().feed(1, writer.pack(1.0))


def test_a_client_identifier_that_is_not_utf8_is_refused():
    data = pack_batch(1.0, ["c"], [5, 1], [])
    position = data.index(b"c", 20)
    with pytest.raises(StorageError, match="UTF-8"):
        Replay().feed(1, data[:position] + b"\xff" + data[position + 1 :])


class Forgetful:
    """Lists a session that it does not have."""

    async def client_ids(self):
        return ["c"]

    async def load_session(self, client_id):
        return None


def test_progress_is_told_in_sessions():
    store = MemoryStore()
    told = []

    async def test():
        for number in range(3):
            await store.store_session(SessionRecord(f"c{number}", "", 4, 1, None, [], 0.0, 0.0))
        await store.commit(1.0)
        await load(store, lambda done, total: told.append((done, total)))

    asyncio.run(test())
    assert told == [(3, 6), (4, 6), (5, 6)]  # opening was the first half


def test_a_store_that_cannot_find_what_it_lists_is_refused():
    with pytest.raises(StorageError, match="cannot be found"):
        asyncio.run(snapshot_with_verbs(Forgetful()))

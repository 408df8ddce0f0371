"""MemoryStore keeps the contract of storages; it is also the example of a store made of verbs."""

from __future__ import annotations

from mqtt_core.persistence import MemoryStore
from mqtt_core.testing.contracts import StorageContract


class MemoryBench:
    """The place is the object: a crash takes what is pending."""

    def __init__(self):
        self.store = MemoryStore()

    async def start(self):
        await self.store.open()
        return self.store

    async def restart(self, storage):
        await storage.close()
        return await self.start()

    async def crash(self, storage):
        storage.lose_uncommitted()
        return storage

    async def crash_during(self, storage, batch, moment):
        if moment == 1.0:
            await storage.apply(batch)
        return await self.crash(storage)

    async def finish(self, storage):
        await storage.close()


class TestMemoryStore(StorageContract):
    def make_bench(self, tmp_path):
        return MemoryBench()

"""What the contract of storages gives to a bench."""

from __future__ import annotations

import pytest

from mqtt_core.persistence import MemoryStore
from mqtt_core.testing.contracts import StorageContract


class FileBench:
    """Keeps nothing, but makes a file at its place as a bench with a real store would."""

    def __init__(self, path):
        path.touch(exist_ok=False)

    async def start(self):
        store = MemoryStore()
        await store.open()
        return store

    async def restart(self, store):
        await store.close()
        await store.open()
        return store

    async def crash(self, store):
        store.lose_uncommitted()
        return store

    async def crash_during(self, store, batch, moment):
        if moment > 0.5:
            await store.apply(batch)
        return await self.crash(store)

    async def finish(self, store):
        await store.close()


class FileContract(StorageContract):
    def make_bench(self, tmp_path):
        return FileBench(tmp_path / "store")


@pytest.mark.parametrize("name", [name for name in dir(StorageContract) if name.startswith("test_")])
def test_every_bench_has_a_directory_of_its_own(name, tmp_path):
    getattr(FileContract(), name)(tmp_path)

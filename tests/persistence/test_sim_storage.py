"""SimStorage keeps the contract in both forms, in virtual time, and breaks it when it is told to."""

from __future__ import annotations

from random import Random

import pytest

from mqtt_core.codec.error import StorageError
from mqtt_core.testing.contracts import History, StorageContract, snapshot_state
from mqtt_core.testing.simulation.storage import SimStorage


class SimBench:
    """The machine stays; a crash takes what it had not yet made durable."""

    def __init__(self, rows):
        self.storage = SimStorage(Random(1), rows=rows)

    async def start(self):
        await self.storage.open()
        return self.storage

    async def restart(self, storage):
        await storage.close()
        return await self.start()

    async def crash(self, storage):
        storage.crash()
        return await self.start()

    async def crash_during(self, storage, batch, moment):
        storage.commit_s = 1.0
        begin(storage, batch)
        storage.crash()
        storage.commit_s = 0.0
        return await self.start()

    async def finish(self, storage):
        await storage.close()


class TestSimStorageOfRows(StorageContract):
    def make_bench(self, tmp_path):
        return SimBench(True)


class TestSimStorageOfBatches(StorageContract):
    def make_bench(self, tmp_path):
        return SimBench(False)


def begin(storage, batch):
    """Start a commit: (the coroutine, the seconds it wants to sleep)."""
    coroutine = storage.apply(batch)
    return coroutine, coroutine.send(None)


def filled(rows=False, **options):
    """A storage with one durable batch, the history, and a second batch."""
    storage = SimStorage(Random(3), rows=rows, **options)
    history = History(Random(4))
    history.inputs(200)
    first = history.take_batch()
    storage._keep(first)
    history.commit(first)
    history.inputs(200)
    return storage, history, history.take_batch()


def test_a_commit_is_durable_when_its_time_has_passed():
    storage, history, batch = filled(commit_s=0.5)
    coroutine, seconds = begin(storage, batch)
    assert 0.0 <= seconds <= 1.0
    assert snapshot_state(storage.load()) == history.committed
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert not storage.crash()
    assert snapshot_state(storage.load()) == history.taken


def test_a_crash_during_a_commit_has_both_outcomes():
    outcomes = set()
    for _ in range(20):
        storage, history, batch = filled(commit_s=0.5)
        storage._rng.seed(len(outcomes) + _)
        begin(storage, batch)
        kept = storage.crash()
        outcomes.add(kept)
        assert snapshot_state(storage.load()) == (history.taken if kept else history.committed)
    assert outcomes == {True, False}


@pytest.mark.parametrize("rows", [True, False])
def test_a_failed_disk_refuses_everything_until_the_machine_has_crashed(rows):
    storage, history, batch = filled(rows)
    storage.fail_next = True
    for _ in range(2):
        with pytest.raises(StorageError):
            storage.apply(batch).send(None)
    kept = storage.crash()
    assert snapshot_state(storage.load()) == (history.taken if kept else history.committed)
    with pytest.raises(StopIteration):
        storage.apply(batch).send(None)


def test_a_storage_that_tears_batches_leaves_what_no_model_allows():
    """A part of a batch is neither the state before nor the state after: the contract would notice."""
    torn = 0
    for seed in range(30):
        storage, history, batch = filled(commit_s=0.5, tear=True)
        storage._rng.seed(seed)
        begin(storage, batch)
        storage.crash()
        torn += snapshot_state(storage.load()) not in (history.committed, history.taken)
    assert torn > 5

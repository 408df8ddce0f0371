"""What every storage must keep, as a pytest class: subclass it, say how to make and crash your store, run pytest.

    class TestMyStore(StorageContract):
        def make_bench(self, tmp_path):
            return MyBench(tmp_path / "store")

A `StorageBench` stands for the place where the data survive: it opens a store there, restarts it in good order, and
ends it without warning, also in the middle of a commit. The store is used as a driver uses it (`apply`), verb by
verb, and along random histories whose outcome a model knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Protocol

from mqtt_core.codec import Properties
from mqtt_core.codec.properties import NO_PROPERTIES
from mqtt_core.persistence import Batch, Storage, load
from mqtt_core.session.message import Message
from mqtt_core.session.record import (
    QUEUED,
    RECEIPT,
    RELEASED,
    SENT,
    EntryRecord,
    SessionRecord,
    SubscriptionRecord,
    WillRecord,
)
from mqtt_core.testing.contracts.history import History, message_state, snapshot_state

__all__ = ["StorageBench", "StorageContract"]


class StorageBench(Protocol):
    """One place for data, and how to open, leave and lose a store there."""

    async def start(self) -> Storage:
        """An open store on the place, empty the first time."""
        ...

    async def restart(self, storage: Storage) -> Storage:
        """Close the store in good order and open it again."""
        ...

    async def crash(self, storage: Storage) -> Storage:
        """The process dies, with no warning, between two calls; open what it left."""
        ...

    async def crash_during(self, storage: Storage, batch: Batch, moment: float) -> Storage:
        """The process or the machine dies while `apply(batch)` runs; open what it left.

        moment: 0.0 (nothing of the batch has been written) to 1.0 (all of it has).
        """
        ...

    async def finish(self, storage: Storage) -> None:
        """The test is over."""
        ...


def _run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(test)


def _message(sequence: int, topic: str = "a/b", payload: bytes = b"x", retain: bool = False) -> Message:
    return Message(topic, payload, 1, retain, NO_PROPERTIES, 0.0, "publisher", sequence)


def _session(client_id: str, expiry_s: int = 3600) -> SessionRecord:
    return SessionRecord(client_id, "identity", 5, expiry_s, None, [], 1000.0, 0.0)


def _keys(entries: list[EntryRecord]) -> list[int]:
    return [entry.sequence for entry in entries]


class StorageContract:
    """The contract; see the module's text."""

    def make_bench(self, tmp_path: Path) -> StorageBench:
        """A bench on a fresh place. tmp_path: an empty directory for it alone."""
        raise NotImplementedError

    def _bench_below(self, tmp_path: Path, name: str) -> StorageBench:
        place = tmp_path / name
        place.mkdir()
        return self.make_bench(place)

    # ------------------------------------------------------------------------------------------------ verbs

    def test_an_empty_store_has_an_empty_snapshot(self, tmp_path: Path) -> None:
        """Nothing is found, and nothing raises."""

        async def test() -> None:
            bench = self.make_bench(tmp_path)
            store = await bench.start()
            snapshot = await load(store)
            assert snapshot_state(snapshot) == {"stamp": 0.0}
            assert snapshot.next_sequence == 1
            assert await store.client_ids() == []
            assert await store.load_session("nobody") is None
            assert await store.load_queue("nobody") == []
            assert await store.load_entry("nobody", 1) is None
            assert await store.load_retained() == {}
            assert await store.load_stamp() == 0.0
            await bench.finish(store)

        _run(test())

    def test_a_session_comes_back_with_every_field(self, tmp_path: Path) -> None:
        """Will, subscriptions with their options, replays, times, and the newest stamp."""
        record = SessionRecord(
            "Zürich/❄",
            "user",
            5,
            0xFFFFFFFF,
            WillRecord("w/❄", b"\x00\xff", 2, True, Properties(content_type="t"), 60, "Zürich/❄"),
            [SubscriptionRecord("a/+/#", 2, True, True, 2, 268_435_455), SubscriptionRecord("$share/g/❄", 1)],
            1234.5,
            2345.5,
            (("a/+/#", 2**40),),
        )

        async def test() -> None:
            bench = self.make_bench(tmp_path)
            store = await bench.start()
            await store.store_session(_session("Zürich/❄", 7))
            await store.commit(1.0)
            await store.store_session(record)
            await store.commit(2.5)
            store = await bench.restart(store)
            assert await store.client_ids() == ["Zürich/❄"]
            assert await store.load_session("Zürich/❄") == record
            assert await store.load_stamp() == 2.5
            await bench.finish(store)

        _run(test())

    def test_deleting_a_session_takes_its_entries_along(self, tmp_path: Path) -> None:
        """A new session of the same name starts empty; others are untouched."""

        async def test() -> None:
            bench = self.make_bench(tmp_path)
            store = await bench.start()
            for client_id in ("a", "b"):
                await store.store_session(_session(client_id))
                await store.enqueue(client_id, EntryRecord(1, _message(1)))
            await store.commit(1.0)
            await store.delete_session("a")
            await store.delete_session("nobody")
            await store.commit(2.0)
            await store.store_session(_session("a", 5))
            await store.commit(3.0)
            store = await bench.restart(store)
            assert await store.load_session("a") == _session("a", 5)
            assert await store.load_queue("a") == []
            assert _keys(await store.load_queue("b")) == [1]
            await bench.finish(store)

        _run(test())

    def test_entries_come_in_the_order_they_were_enqueued_last(self, tmp_path: Path) -> None:
        """Replacing an entry moves it to the end."""

        async def test() -> None:
            bench = self.make_bench(tmp_path)
            store = await bench.start()
            await store.store_session(_session("a"))
            for sequence in (5, 3, 9):
                await store.enqueue("a", EntryRecord(sequence, _message(sequence)))
            await store.commit(1.0)
            await store.enqueue("a", EntryRecord(5, _message(5), 2, True, (1, 268_435_455), 17, SENT, "group/a/+"))
            await store.dequeue("a", 9)
            await store.dequeue("a", 1000)
            await store.commit(2.0)
            store = await bench.restart(store)
            queue = await store.load_queue("a")
            assert queue == [
                EntryRecord(3, _message(3), 1),
                EntryRecord(5, _message(5), 2, True, (1, 268_435_455), 17, SENT, "group/a/+"),
            ]
            assert await store.load_entry("a", 5) == queue[1]
            assert await store.load_entry("a", 9) is None
            await bench.finish(store)

        _run(test())

    def test_each_state_of_an_entry_comes_back(self, tmp_path: Path) -> None:
        """And a receipt is no message, even under the same number."""
        entries = [
            EntryRecord(1, _message(1), 2, False, (), 65535, SENT),
            EntryRecord(2, None, 2, False, (), 2, RELEASED),
            EntryRecord(3, _message(3), 1, False, (), 0, QUEUED),
            EntryRecord(-3, None, 0, False, (), 3, RECEIPT),
        ]

        async def test() -> None:
            bench = self.make_bench(tmp_path)
            store = await bench.start()
            await store.store_session(_session("a"))
            for entry in entries:
                await store.enqueue("a", entry)
            await store.commit(1.0)
            store = await bench.restart(store)
            assert await store.load_queue("a") == entries
            snapshot = await load(store)
            session = snapshot.sessions["a"]
            assert (_keys(session.inflight), session.released) == ([1], [(2, 2)])
            assert (_keys(session.queued), session.receipts) == ([3], [3])
            await store.dequeue("a", -3)
            await store.commit(2.0)
            store = await bench.restart(store)
            assert _keys(await store.load_queue("a")) == [1, 2, 3]
            await bench.finish(store)

        _run(test())

    def test_a_message_comes_back_to_the_byte(self, tmp_path: Path) -> None:
        """The empty and the large, with every property a message can have."""
        properties = Properties(
            payload_format_indicator=0,
            content_type="❄",
            response_topic="r",
            correlation_data=bytes(range(256)),
            user_properties=(("k", "1"), ("k", "1"), ("", "")),
        )
        messages = [
            Message("t", b"", 0, False, NO_PROPERTIES, 0.0, "", 1),
            Message("❄/" + "x" * 65000, bytes(range(256)) * 4096, 2, True, properties, 1e9 + 0.125, "Zürich", 2),
        ]

        async def test() -> None:
            bench = self.make_bench(tmp_path)
            store = await bench.start()
            await store.store_session(_session("a"))
            for message in messages:
                await store.enqueue("a", EntryRecord(message.sequence, message))
                await store.store_retained(message.topic, message)
            await store.commit(1.0)
            store = await bench.restart(store)
            wanted = [message_state(message) for message in messages]
            assert [message_state(entry.message) for entry in await store.load_queue("a")] == wanted
            assert [message_state(message) for message in (await store.load_retained()).values()] == wanted
            await bench.finish(store)

        _run(test())

    def test_retained_messages_are_set_replaced_and_removed(self, tmp_path: Path) -> None:
        """One message per topic; removing none is no error."""

        async def test() -> None:
            bench = self.make_bench(tmp_path)
            store = await bench.start()
            for sequence, topic in enumerate(("a", "b", "c"), 1):
                await store.store_retained(topic, _message(sequence, topic, b"old", True))
            await store.commit(1.0)
            await store.store_retained("a", _message(4, "a", b"new", True))
            await store.store_retained("b", None)
            await store.store_retained("nothing", None)
            await store.commit(2.0)
            store = await bench.restart(store)
            retained = await store.load_retained()
            assert {topic: message.payload for topic, message in retained.items()} == {"a": b"new", "c": b"old"}
            await bench.finish(store)

        _run(test())

    def test_a_message_of_many_sessions_is_one_object_in_the_snapshot(self, tmp_path: Path) -> None:
        """So that memory holds it once; its number is not given again."""

        async def test() -> None:
            bench = self.make_bench(tmp_path)
            store = await bench.start()
            message = _message(41, retain=True)
            for client_id in ("a", "b", "c"):
                await store.store_session(_session(client_id))
                await store.enqueue(client_id, EntryRecord(41, message))
            await store.store_retained(message.topic, message)
            await store.commit(1.0)
            store = await bench.restart(store)
            snapshot = await load(store)
            found = [session.queued[0].message for session in snapshot.sessions.values()]
            assert all(one is found[0] for one in [*found, snapshot.retained["a/b"]])
            assert snapshot.next_sequence == 42
            await bench.finish(store)

        _run(test())

    # ------------------------------------------------------------------------------------------------ crashes

    def test_a_crash_takes_what_was_not_committed_and_nothing_else(self, tmp_path: Path) -> None:
        """Additions and removals alike, and the store goes on."""

        async def test() -> None:
            bench = self.make_bench(tmp_path)
            store = await bench.start()
            await store.store_session(_session("a"))
            await store.enqueue("a", EntryRecord(1, _message(1)))
            await store.store_retained("r", _message(2, "r"))
            await store.commit(1.0)
            await store.store_session(_session("b"))
            await store.enqueue("a", EntryRecord(3, _message(3)))
            await store.dequeue("a", 1)
            await store.store_retained("r", None)
            store = await bench.crash(store)
            assert await store.client_ids() == ["a"]
            assert _keys(await store.load_queue("a")) == [1]
            assert list(await store.load_retained()) == ["r"]
            assert await store.load_stamp() == 1.0
            await store.dequeue("a", 1)
            await store.commit(2.0)
            store = await bench.crash(store)
            assert await store.load_queue("a") == []
            await bench.finish(store)

        _run(test())

    def test_random_histories_survive_restarts_and_crashes(self, tmp_path: Path) -> None:
        """After each, the store says what the model says."""

        async def test(seed: int) -> None:
            rng = Random(seed)
            bench = self._bench_below(tmp_path, f"history-{seed}")
            store = await bench.start()
            history = History(rng)
            for _ in range(40):
                history.inputs(rng.randrange(1, 30))
                batch = history.take_batch()
                if batch is not None:
                    await store.apply(batch)
                    history.commit(batch)
                if rng.random() < 0.3:
                    store = await (bench.crash(store) if rng.random() < 0.5 else bench.restart(store))
                    assert snapshot_state(await load(store)) == history.committed, f"seed {seed}"
            await bench.finish(store)

        for seed in range(12):
            _run(test(seed))

    def test_a_commit_that_a_crash_interrupts_is_there_whole_or_not_at_all(self, tmp_path: Path) -> None:
        """And whichever it was, it stays so."""

        async def test(seed: int) -> None:
            rng = Random(seed)
            bench = self._bench_below(tmp_path, f"torn-{seed}")
            store = await bench.start()
            history = History(rng)
            for _ in range(rng.randrange(4)):
                history.inputs(20)
                batch = history.take_batch()
                if batch is not None:
                    await store.apply(batch)
                    history.commit(batch)
            history.inputs(40)
            batch = history.take_batch()
            if batch is not None:
                store = await bench.crash_during(store, batch, rng.choice((0.0, rng.random(), rng.random(), 1.0)))
                found = snapshot_state(await load(store))
                assert found in (history.committed, history.taken), f"seed {seed}"
                # What it found stays: the next crash does not bring the other outcome.
                store = await bench.crash(store)
                assert snapshot_state(await load(store)) == found, f"seed {seed}"
            await bench.finish(store)

        for seed in range(24):
            _run(test(seed))

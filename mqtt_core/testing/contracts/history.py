"""Random histories of a journal beside a model so simple that one believes it.

`History` makes up inputs as a broker would and tells each to a `Journal` and to a `JournalModel`: plain dicts in which
replacing means putting last. What a store holds after any crash is then compared with what the model held when a batch
was taken. Needs nothing but a seed; the contract of storages and the tests of the log live on it.
"""

from __future__ import annotations

from random import Random
from typing import Final

from mqtt_core.codec import Properties, encode_publish
from mqtt_core.codec.properties import NO_PROPERTIES
from mqtt_core.codec.types import V5, V311
from mqtt_core.persistence import Batch, Journal, Snapshot
from mqtt_core.session.message import Message
from mqtt_core.session.record import QUEUED, RELEASED, SENT, EntryRecord, SessionRecord, SubscriptionRecord, WillRecord

__all__ = ["History", "JournalModel", "message_state", "snapshot_state"]

State = dict[str, object]
"""A snapshot in a form that can be compared and printed."""


def message_state(message: Message | None) -> object:
    """Everything a message has to keep, its bookkeeping included."""
    if message is None:
        return None
    return (
        message.sequence,
        message.topic,
        message.payload,
        message.qos,
        message.retain,
        repr(message.properties),
        message.expires_at,
        message.publisher,
    )


def _entry_state(entry: EntryRecord) -> object:
    return (
        entry.sequence,
        entry.packet_id,
        entry.qos,
        entry.retain,
        entry.subscription_ids,
        entry.shared,
        message_state(entry.message),
    )


def snapshot_state(snapshot: Snapshot) -> State:
    """What a snapshot says, comparable with `JournalModel.state`."""
    state: State = {"stamp": snapshot.stamp}
    for client_id, session in snapshot.sessions.items():
        state[f"session {client_id}"] = session.record
        state[f"inflight {client_id}"] = [_entry_state(entry) for entry in session.inflight]
        state[f"released {client_id}"] = session.released
        state[f"queued {client_id}"] = [_entry_state(entry) for entry in session.queued]
        state[f"receipts {client_id}"] = session.receipts
    for topic, message in snapshot.retained.items():
        state[f"retained {topic}"] = message_state(message)
    return state


class JournalModel:
    """What the verbs of a journal mean, in dicts.

    sessions: by client identifier. entries: of each client, by sequence, last changed last. receipts: of each client.
    retained: by topic. stamp: epoch seconds.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, SessionRecord] = {}
        self.entries: dict[str, dict[int, EntryRecord]] = {}
        self.receipts: dict[str, list[int]] = {}
        self.retained: dict[str, Message] = {}
        self.stamp = 0.0

    def delete(self, client_id: str) -> None:
        """A session is gone with all it has."""
        self.sessions.pop(client_id, None)
        self.entries.pop(client_id, None)
        self.receipts.pop(client_id, None)

    def put(self, client_id: str, entry: EntryRecord) -> None:
        """An entry is new or replaced; it is the last."""
        entries = self.entries.setdefault(client_id, {})
        entries.pop(entry.sequence, None)
        entries[entry.sequence] = entry

    def change(self, client_id: str, sequence: int, state: int, packet_id: int) -> None:
        """An entry is assigned or released. state: what it becomes, of `mqtt_core.persistence.record`."""
        old = self.entries[client_id][sequence]
        message = None if state == RELEASED else old.message
        self.put(
            client_id,
            EntryRecord(sequence, message, old.qos, old.retain, old.subscription_ids, packet_id, state, old.shared),
        )

    def state(self) -> State:
        """What a snapshot of a store must say."""
        state: State = {"stamp": self.stamp}
        for client_id, record in self.sessions.items():
            entries = list(self.entries.get(client_id, {}).values())
            state[f"session {client_id}"] = record
            state[f"inflight {client_id}"] = [_entry_state(entry) for entry in entries if entry.state == SENT]
            state[f"released {client_id}"] = [(e.packet_id, e.sequence) for e in entries if e.state == RELEASED]
            state[f"queued {client_id}"] = [_entry_state(entry) for entry in entries if entry.state == QUEUED]
            state[f"receipts {client_id}"] = list(self.receipts.get(client_id, []))
        for topic, message in self.retained.items():
            state[f"retained {topic}"] = message_state(message)
        return state


class _LiveSession:
    """What `Journal.store_session` takes: says the model's record of the moment."""

    def __init__(self, model: JournalModel, client_id: str) -> None:
        self.client_id = client_id
        self._model = model

    def to_record(self) -> SessionRecord:
        return self._model.sessions[self.client_id]


_CLIENTS: Final = ("sensor-1", "sensor-2", "Zürich/❄", "c", "a much longer client identifier than the others")
_TOPICS: Final = ("a", "plant/1/temperature", "plant/2/temperature", "$x/y", "ä/❄")
_PROPERTIES: Final = (
    NO_PROPERTIES,
    Properties(content_type="text/plain", user_properties=(("a", "1"), ("a", "2"))),
    Properties(response_topic="answer", correlation_data=b"\x00\xff", payload_format_indicator=1),
)


class History:
    """A broker's life in random steps, told to a journal and a model.

    committed: the model's state when the newest durable batch was taken. taken: the same of the batch in flight.
    payload_max: bytes of the largest payload, 1 or more.
    """

    def __init__(self, rng: Random, journal: Journal | None = None, payload_max: int = 200) -> None:
        self.rng = rng
        self.journal = journal or Journal()
        self.model = JournalModel()
        self.sequence = 0
        self.now = 1_700_000_000.0
        self.committed: State = self.model.state()
        self.taken: State = self.committed
        self._payload_max = payload_max
        self._gone: list[tuple[str, int]] = []

    def inputs(self, count: int) -> None:
        """`count` random inputs, some of which do nothing."""
        steps = (
            [self.publish] * 6
            + [self.publish_frame] * 6
            + [self.acknowledge] * 10
            + [self.assign] * 4
            + [self.release] * 2
            + [self.receive] * 2
            + [self.finish_receiving] * 2
            + [self.retain] * 3
            + [self.store_session] * 2
            + [self.delete_session, self.put_back, self.stray]
        )
        for _ in range(count):
            self.now += self.rng.choice((0.0, 0.25))
            self.rng.choice(steps)()

    def take_batch(self) -> Batch | None:
        """The open batch; `taken` is then what a store holds that has it."""
        self.journal.stamp(self.now)
        batch = self.journal.take_batch()
        if batch is not None:
            self.model.stamp = self.now
            self.taken = self.model.state()
        return batch

    def commit(self, batch: Batch) -> None:
        """The batch is durable."""
        self.journal.mark_committed(batch.number)
        self.committed = self.taken

    # ------------------------------------------------------------------------------------------------ inputs

    def store_session(self) -> None:
        """A session is made, or subscribes, or connects."""
        self._session(self.rng.choice(_CLIENTS))

    def delete_session(self) -> None:
        """A session ends, perhaps to begin anew at once."""
        client_id = self.rng.choice(_CLIENTS)
        self._gone += [(client_id, sequence) for sequence in self.model.entries.get(client_id, {})]
        self.model.delete(client_id)
        self.journal.delete_session(client_id)
        if self.rng.random() < 0.5:
            self._session(client_id)

    def publish(self) -> None:
        """A message for some clients, sent at once to those that are there."""
        rng = self.rng
        message = self._message()
        for client_id in self._some_sessions():
            packet_id = self._free_id(client_id) if rng.random() < 0.5 else 0
            ids = rng.choice(((), (), (7,), (1, 268_435_455)))
            shared = rng.choice(("", "", "group/plant/#"))
            qos = rng.choice((1, 2))
            state = SENT if packet_id else QUEUED
            retain = message.retain and rng.random() < 0.5
            entry = EntryRecord(message.sequence, message, qos, retain, ids, packet_id, state, shared)
            self.model.put(client_id, entry)
            self.journal.enqueue(client_id, message, qos, retain, ids, packet_id, shared)
        if message.retain:
            self._retain(message)

    def publish_frame(self) -> None:
        """A message on the bulk path."""
        rng = self.rng
        version = rng.choice((V311, V5))
        message = self._message()
        message.retain = False
        message.expires_at = 0.0
        message.publisher = ""
        message.properties = NO_PROPERTIES
        packet_id = rng.randrange(1, 65536) if message.qos else 0
        properties = b"\x00" if version == V5 else None
        frame = encode_publish(
            message.topic.encode(), message.payload, message.qos, False, False, packet_id, properties
        )
        for client_id in self._some_sessions():
            packet_id = self._free_id(client_id) if rng.random() < 0.8 else 0
            qos = rng.choice((1, 2))
            state = SENT if packet_id else QUEUED
            self.model.put(client_id, EntryRecord(message.sequence, message, qos, False, (), packet_id, state))
            self.journal.enqueue_frames(client_id, message.sequence, version, [frame], [packet_id], qos)

    def acknowledge(self) -> None:
        """PUBACK or PUBCOMP, or a queue that drops."""
        found = self._some_entry()
        if found is not None:
            client_id, entry = found
            del self.model.entries[client_id][entry.sequence]
            self._gone.append((client_id, entry.sequence))
            self.journal.dequeue(client_id, entry.sequence)

    def assign(self) -> None:
        """A queued message is sent."""
        found = self._some_entry(QUEUED)
        if found is not None:
            client_id, entry = found
            packet_id = self._free_id(client_id)
            self.model.change(client_id, entry.sequence, SENT, packet_id)
            self.journal.assign(client_id, entry.sequence, packet_id)

    def release(self) -> None:
        """PUBREC."""
        found = self._some_entry(SENT)
        if found is not None:
            client_id, entry = found
            self.model.change(client_id, entry.sequence, RELEASED, entry.packet_id)
            self.journal.release(client_id, entry.sequence)

    def put_back(self) -> None:
        """A message leaves one session and goes to another, or to the end of its own queue."""
        found = self._some_entry()
        if found is None or found[1].message is None:
            return
        client_id, entry = found
        message = entry.message
        assert message is not None
        del self.model.entries[client_id][entry.sequence]
        self.journal.dequeue(client_id, entry.sequence)
        target = self.rng.choice(list(self.model.sessions))
        self.model.put(target, EntryRecord(entry.sequence, message, entry.qos, False, (), 0, QUEUED))
        self.journal.enqueue(target, message, entry.qos, False, ())

    def stray(self) -> None:
        """Something is said of an entry that is gone, perhaps a moment ago: it means nothing."""
        gone, self._gone = self._gone, []
        for client_id, sequence in gone:
            if sequence not in self.model.entries.get(client_id, {}):
                verb = self.rng.randrange(3)
                if verb == 0:
                    self.journal.assign(client_id, sequence, 1)
                elif verb == 1:
                    self.journal.release(client_id, sequence)
                else:
                    self.journal.dequeue(client_id, sequence)

    def receive(self) -> None:
        """An inbound QoS 2 PUBLISH."""
        for client_id in self._some_sessions()[:1]:
            receipts = self.model.receipts.setdefault(client_id, [])
            packet_id = self.rng.randrange(1, 65536)
            if packet_id not in receipts:
                receipts.append(packet_id)
                self.journal.store_receipt(client_id, packet_id)

    def finish_receiving(self) -> None:
        """PUBREL."""
        for client_id in self._some_sessions()[:1]:
            receipts = self.model.receipts.get(client_id)
            if receipts:
                packet_id = receipts.pop(self.rng.randrange(len(receipts)))
                self.journal.forget_receipt(client_id, packet_id)

    def retain(self) -> None:
        """A retained message is set or removed."""
        if self.rng.random() < 0.6:
            message = self._message()
            message.retain = True
            self._retain(message)
        else:
            topic = self.rng.choice(_TOPICS)
            self.model.retained.pop(topic, None)
            self.journal.store_retained(topic, None)

    # ------------------------------------------------------------------------------------------------ parts

    def _session(self, client_id: str) -> None:
        rng = self.rng
        filters = [
            SubscriptionRecord(
                f"plant/{number}/#",
                rng.randrange(3),
                rng.random() < 0.3,
                rng.random() < 0.3,
                rng.randrange(3),
                rng.choice((0, 0, 9)),
            )
            for number in range(rng.randrange(4))
        ]
        will = None
        if rng.random() < 0.5:
            properties = rng.choice(_PROPERTIES)
            will = WillRecord("will/❄", rng.randbytes(5), 1, True, properties, rng.choice((0, 60)), client_id)
        expiry_s = rng.choice((1, 3600, 0xFFFFFFFF))
        version = rng.choice((V311, V5))
        away = rng.choice((0.0, self.now))
        replays = tuple((item.filter, self.sequence) for item in filters if rng.random() < 0.2)
        record = SessionRecord(client_id, "user:ä", version, expiry_s, will, filters, self.now - 1, away, replays)
        self.model.sessions.pop(client_id, None)
        self.model.sessions[client_id] = record
        self.journal.store_session(_LiveSession(self.model, client_id))

    def _message(self) -> Message:
        rng = self.rng
        self.sequence += rng.choice((1, 1, 1, 5))
        payload = rng.randbytes(rng.choice((0, 1, rng.randrange(self._payload_max + 1))))
        return Message(
            rng.choice(_TOPICS),
            payload,
            rng.randrange(3),
            rng.random() < 0.2,
            rng.choice(_PROPERTIES),
            rng.choice((0.0, self.now + 10.5)),
            rng.choice(_CLIENTS),
            self.sequence,
        )

    def _retain(self, message: Message) -> None:
        self.model.retained.pop(message.topic, None)
        self.model.retained[message.topic] = message
        self.journal.store_retained(message.topic, message)

    def _some_sessions(self) -> list[str]:
        known = list(self.model.sessions)
        return self.rng.sample(known, self.rng.randrange(len(known) + 1))

    def _some_entry(self, state: int = -1) -> tuple[str, EntryRecord] | None:
        for client_id in self._some_sessions():
            entries = [e for e in self.model.entries.get(client_id, {}).values() if state in (-1, e.state)]
            if entries:
                # Mostly the oldest, as acknowledgements come in order mostly.
                return client_id, entries[0] if self.rng.random() < 0.7 else self.rng.choice(entries)
        return None

    def _free_id(self, client_id: str) -> int:
        used = {entry.packet_id for entry in self.model.entries.get(client_id, {}).values()}
        packet_id = self.rng.randrange(1, 65536)
        while packet_id in used:
            packet_id = packet_id % 65535 + 1
        return packet_id

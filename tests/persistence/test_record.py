"""Records come back equal, and bytes that are no records are a StorageError and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqtt_core.codec import Properties
from mqtt_core.codec.error import StorageError
from mqtt_core.codec.properties import NO_PROPERTIES
from mqtt_core.persistence import LogReader
from mqtt_core.persistence.log import BODY, ENTRY, SESSION, LogWriter, pack_batch
from mqtt_core.persistence.record import (
    decode_extras,
    decode_message,
    decode_session,
    encode_extras,
    encode_message,
    encode_session,
    message_from_frame,
    message_topic,
)
from mqtt_core.persistence.recovery import Replay
from mqtt_core.session.message import Message
from mqtt_core.session.record import EntryRecord, SessionRecord, SubscriptionRecord, WillRecord
from mqtt_core.testing.contracts.history import message_state

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
TOPICS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=20)
TIMES = st.floats(0.0, 1e11)
PROPERTIES = st.builds(
    Properties,
    content_type=TEXTS,
    user_properties=st.lists(st.tuples(TEXTS, TEXTS), max_size=3),
    correlation_data=st.binary(max_size=10),
) | st.just(NO_PROPERTIES)
MESSAGES = st.builds(
    Message, TOPICS, st.binary(max_size=50), st.integers(0, 2), st.booleans(), PROPERTIES, TIMES, TEXTS, st.just(7)
)
SUBSCRIPTIONS = st.builds(
    SubscriptionRecord,
    TEXTS,
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
    st.integers(0, 268_435_455),
)
WILLS = st.builds(
    WillRecord,
    TOPICS,
    st.binary(max_size=50),
    st.integers(0, 2),
    st.booleans(),
    PROPERTIES,
    st.integers(0, 0xFFFFFFFF),
    TEXTS,
)
SESSIONS = st.builds(
    SessionRecord,
    st.just("c"),
    TEXTS,
    st.sampled_from([4, 5]),
    st.integers(0, 0xFFFFFFFF),
    st.none() | WILLS,
    st.lists(SUBSCRIPTIONS, max_size=4),
    TIMES,
    TIMES,
    st.lists(st.tuples(TEXTS, st.integers(1, 2**63)), max_size=3).map(tuple),
)
EXTRAS = st.tuples(st.lists(st.integers(1, 268_435_455), max_size=5).map(tuple), TEXTS)


@given(MESSAGES)
def test_a_message_comes_back_with_all_it_has(message):
    body = encode_message(message)
    assert message_state(decode_message(body, 7)) == message_state(message)
    assert message_topic(body) == message.topic


@given(SESSIONS)
def test_a_session_comes_back_equal(record):
    assert decode_session(encode_session(record), "c") == record


@given(EXTRAS)
def test_the_extras_of_an_entry_come_back_equal(extras):
    assert decode_extras(encode_extras(*extras)) == extras


DECODERS = {
    "message": lambda data: decode_message(data, 1),
    "topic": message_topic,
    "session": lambda data: decode_session(data, "c"),
    "extras": decode_extras,
    "frame 4": lambda data: message_from_frame(data, 4, 1),
    "frame 5": lambda data: message_from_frame(data, 5, 1),
    "batch": lambda data: Replay().feed(1, data),
}


@pytest.mark.parametrize("decoder", DECODERS)
@given(data=st.binary(max_size=80))
@example(data=b"\xc0\x00")
def test_any_bytes_decode_or_are_a_storage_error(decoder, data):
    with contextlib.suppress(StorageError):
        DECODERS[decoder](data)


@given(SESSIONS, MESSAGES, st.data())
def test_a_batch_with_any_byte_changed_decodes_or_is_a_storage_error(session, message, data):
    writer = LogWriter()
    writer.add(SESSION, 0, "c", 0, body=encode_session(session))
    writer.add(BODY, 0, None, 7, body=encode_message(message))
    writer.add(ENTRY, 1, "c", 7, 12)
    batch = bytearray(writer.pack(1.0))
    position = data.draw(st.integers(0, len(batch) - 1))
    batch[position] = data.draw(st.integers(0, 255))
    replay = Replay()
    with contextlib.suppress(StorageError):
        replay.feed(1, bytes(batch))
        replay.snapshot()


@given(SESSIONS, MESSAGES)
def test_a_batch_cut_anywhere_is_a_storage_error(session, message):
    writer = LogWriter()
    writer.add(SESSION, 0, "c", 0, body=encode_session(session))
    writer.add(BODY, 0, None, 7, body=encode_message(message))
    batch = writer.pack(1.0)
    for length in range(0, len(batch), 7):
        with pytest.raises(StorageError):
            Replay().feed(1, batch[:length])


@pytest.mark.parametrize(
    "words, bodies",
    [
        ([99, 0], []),  # no such operation
        ([ENTRY, 5], []),  # no body for message 5
        ([BODY, 1, 2], []),  # half a record
        ([BODY | 0x80 << 8, 1, 9], [b"short"]),
        ([5, 1], [b"too much"]),
    ],
)
def test_words_that_do_not_add_up_are_a_storage_error(words, bodies):
    with pytest.raises(StorageError):
        Replay().feed(1, pack_batch(0.0, ["c"], words, bodies))


def test_a_reader_shows_where_a_record_is_and_what_it_takes():
    writer = LogWriter()
    sizes = [writer.add(SESSION, 0, "c", 0, body=b"12345"), writer.add(ENTRY, 2, "d", 9, 3, None, 77)]
    reader = LogReader(writer.pack(4.5))
    seen = []
    while reader.next():
        seen.append((reader.op, reader.client_id, reader.sequence, reader.packet_id, reader.order, reader.size))
    assert seen == [(SESSION, "c", 0, 0, -1, 29), (ENTRY, "d", 9, 3, 77, 24)]
    assert sizes == [29, 24]
    assert reader.stamp == 4.5


def test_records_compare_by_value_and_print_what_matters():
    one = SubscriptionRecord("a", 1)
    assert one == SubscriptionRecord("a", 1)
    assert one != SubscriptionRecord("a", 2)
    will = WillRecord("w", b"", 0, False, NO_PROPERTIES)
    session = SessionRecord("c", "i", 5, 1, will, [one], 0.0, 0.0)
    entry = EntryRecord(1, None)
    for record, text in ((one, "'a'"), (will, "'w'"), (session, "'c'"), (entry, "state=0")):
        assert text in repr(record)
        assert record.__eq__(object()) in (NotImplemented, False)

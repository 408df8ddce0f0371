"""Retained messages: one a topic, within bounds, gone when their time is over."""

from __future__ import annotations

import pytest
from hypothesis import settings

from mqtt_core.codec import Properties
from mqtt_core.router import RetainStore
from mqtt_core.router.retain import REFUSED, REMOVED, STORED, UNCHANGED
from mqtt_core.session import Message
from mqtt_core.testing.machines import RetainedMachine

NOW = 1000.0


def store(messages_max=10, bytes_max=1000):
    return RetainStore(messages_max, bytes_max)


def message(topic, payload=b"x", expires_at=0.0, sequence=1, properties=None):
    return Message(topic, payload, 1, True, properties or Properties(), expires_at, "", sequence)


def topics(kept, topic_filter="#", now=NOW):
    return sorted(m.topic for m in kept.matching(topic_filter, now))


@pytest.mark.spec("MQTT-3.3.1-5", version="5.0")
@pytest.mark.spec("MQTT-3.3.1-5", "MQTT-3.3.1-7", version="3.1.1")
def test_a_message_replaces_the_one_of_its_topic():
    kept = store()
    assert kept.store(message("t", b"old")) == STORED
    newer = message("t", b"newer")
    assert kept.store(newer) == STORED
    assert kept.get("t", NOW) is newer
    assert len(kept) == 1
    assert kept.bytes == newer.size()


@pytest.mark.spec("MQTT-3.3.1-6", "MQTT-3.3.1-7", version="5.0")
@pytest.mark.spec("MQTT-3.3.1-10", "MQTT-3.3.1-11", version="3.1.1")
def test_an_empty_payload_removes_and_is_not_kept():
    kept = store()
    kept.store(message("t"))
    assert kept.store(message("t", b"")) == REMOVED
    assert kept.get("t", NOW) is None
    assert kept.store(message("t", b"")) == UNCHANGED
    assert len(kept) == 0
    assert kept.bytes == 0


def test_a_message_on_a_new_topic_beyond_the_number_is_refused():
    kept = store(messages_max=2)
    kept.store(message("a"))
    kept.store(message("b"))
    assert kept.store(message("c")) == REFUSED
    assert topics(kept) == ["a", "b"]
    assert kept.store(message("a", b"new")) == STORED


@pytest.mark.spec("MQTT-3.3.1-7", version="3.1.1")
def test_a_message_too_large_to_keep_still_ends_the_one_before_it():
    kept = store(bytes_max=100)
    assert kept.store(message("t", b"x" * 50)) == STORED
    assert kept.store(message("t", b"x" * 200)) == REFUSED
    assert kept.get("t", NOW) is None
    assert kept.bytes == 0


def test_properties_count_towards_the_bytes():
    kept = store(bytes_max=1000)
    heavy = Properties(user_properties=(("name", "v" * 2000),))
    assert kept.store(message("t", b"x", properties=heavy)) == REFUSED
    assert kept.bytes == 0


def test_the_bytes_of_all_messages_are_bounded():
    kept = store(bytes_max=100)
    assert kept.store(message("a", b"x" * 60)) == STORED
    assert kept.store(message("b", b"x" * 60)) == REFUSED
    assert kept.store(message("b", b"x" * 20)) == STORED
    assert topics(kept) == ["a", "b"]


def test_a_wildcard_at_the_front_does_not_find_dollar_topics():
    kept = store()
    kept.store(message("$SYS/x"))
    kept.store(message("a/x"))
    assert topics(kept) == ["a/x"]
    assert topics(kept, "+/x") == ["a/x"]
    assert topics(kept, "$SYS/#") == ["$SYS/x"]


# -- expiry ---------------------------------------------------------------------------------------------------------


def test_an_expired_message_is_as_good_as_absent():
    kept = store()
    kept.store(message("t", expires_at=NOW + 5))
    assert kept.get("t", NOW + 4) is not None
    assert kept.get("t", NOW + 5) is None
    assert topics(kept, now=NOW + 4) == ["t"]
    assert topics(kept, now=NOW + 5) == []


def test_expired_messages_are_taken_out_in_order_of_time_and_bounded_in_number():
    kept = store()
    for index, topic in enumerate(("c", "a", "b")):
        kept.store(message(topic, expires_at=NOW + index, sequence=index + 1))
    kept.store(message("forever", sequence=9))
    assert kept.next_expiry() == NOW
    assert kept.expire(NOW + 10, 2) == ["c", "a"]
    assert kept.next_expiry() == NOW + 2
    assert kept.expire(NOW + 10, 2) == ["b"]
    assert kept.next_expiry() == 0.0
    assert topics(kept) == ["forever"]


def test_a_replaced_message_does_not_take_its_successor_with_it():
    kept = store()
    kept.store(message("t", expires_at=NOW + 1, sequence=1))
    kept.store(message("t", b"newer", sequence=2))
    assert kept.expire(NOW + 10, 10) == []
    assert kept.get("t", NOW + 10) is not None


@pytest.mark.parametrize("last_expires", [False, True])
def test_replacing_a_message_often_costs_no_memory(last_expires):
    kept = store(messages_max=10, bytes_max=10_000)
    for sequence in range(1, 2001):
        expires_at = NOW + sequence if last_expires or sequence < 2000 else 0.0
        kept.store(message("t", b"x", expires_at=expires_at, sequence=sequence))
    assert len(kept._deadlines) <= 100
    assert kept.expire(NOW + 1999, 10_000) == []
    assert kept.expire(NOW + 2000, 10_000) == (["t"] if last_expires else [])


TestRetained = RetainedMachine.TestCase
TestRetained.settings = settings(max_examples=60, stateful_step_count=40)

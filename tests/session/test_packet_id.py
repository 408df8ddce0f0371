"""Packet identifiers: never 0, never one in use, found in bounded steps."""

from __future__ import annotations

import pytest

from mqtt_core.codec import LocalProtocolError
from mqtt_core.session import PacketIdAllocator


@pytest.mark.spec("MQTT-2.2.1-4", version="5.0")
@pytest.mark.spec("MQTT-2.3.1-4", version="3.1.1")
def test_identifiers_rise_from_one_and_are_unique_while_in_use():
    ids = PacketIdAllocator()
    assert [ids.allocate() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert list(ids.used) == [1, 2, 3, 4, 5]


def test_a_released_identifier_is_not_handed_out_again_at_once():
    ids = PacketIdAllocator()
    first = ids.allocate()
    ids.release(first)
    assert ids.allocate() == first + 1


@pytest.mark.spec("MQTT-2.2.1-4", version="5.0")
@pytest.mark.spec("MQTT-2.3.1-4", version="3.1.1")
def test_after_65535_comes_the_lowest_free_one_and_never_zero():
    ids = PacketIdAllocator()
    ids.last = 65_534
    ids.used.update({1: None, 2: None})
    assert [ids.allocate() for _ in range(3)] == [65_535, 3, 4]


def test_an_identifier_borrowed_from_a_publisher_is_skipped():
    ids = PacketIdAllocator()
    ids.used[1] = b"a frame"
    assert ids.allocate() == 2
    assert ids.used[1] == b"a frame"


def test_all_65535_can_be_in_use_and_then_none_is_left():
    ids = PacketIdAllocator()
    assert sorted(ids.allocate() for _ in range(65_535)) == list(range(1, 65_536))
    with pytest.raises(LocalProtocolError, match="65535"):
        ids.allocate()
    ids.release(77)
    assert ids.allocate() == 77


def test_releasing_what_is_not_in_use_is_refused_and_changes_nothing():
    ids = PacketIdAllocator()
    ids.allocate()
    with pytest.raises(LocalProtocolError, match="9"):
        ids.release(9)
    assert list(ids.used) == [1]


class CountingDict(dict):
    """Counts how often it is asked whether it has a key."""

    looks = 0

    def __contains__(self, key):
        self.looks += 1
        return super().__contains__(key)


@pytest.mark.parametrize("in_use", [0, 1, 1000])
def test_with_n_identifiers_in_use_at_most_n_plus_two_are_looked_at(in_use):
    ids = PacketIdAllocator()
    used = CountingDict.fromkeys(range(1, in_use + 1))
    used.looks = 0
    ids.used = used
    ids.last = 65_535
    assert ids.allocate() == in_use + 1
    assert used.looks <= in_use + 2

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_core.codec import MalformedVariableByteInteger, MqttError, PacketTooLarge
from mqtt_core.transport import FrameReader


def frame(size: int, first: int = 0x30) -> bytes:
    """A frame of `size` bytes in all, its content a pattern that shows shifted bytes."""
    for digits in range(1, 5):
        remaining = size - 1 - digits
        if remaining < 128**digits:
            header = [remaining >> 7 * n & 127 | (128 if n < digits - 1 else 0) for n in range(digits)]
            return bytes((first, *header)) + (bytes(range(251)) * (remaining // 251 + 1))[:remaining]
    raise ValueError(size)


def pull(reader: FrameReader) -> list[bytes]:
    frames = []
    while (one := reader.next_frame()) is not None:
        frames.append(one)
    return frames


SIZES = [2, 3, 128, 129, 131, 200, 16_386, 16_388, 70_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_frames_come_whole_however_they_arrive(size, step):
    if size > 20_000 and step < 7:
        step = 7
    stream = b"\xc0\x00" + frame(size) + b"\xd0\x00"
    reader = FrameReader(100_000)
    frames = []
    for start in range(0, len(stream), step):
        reader.feed(stream[start : start + step])
        frames += pull(reader)
    assert frames == [b"\xc0\x00", frame(size), b"\xd0\x00"]
    assert reader.pending == 0


@given(st.lists(st.integers(2, 400), max_size=12), st.lists(st.integers(0, 3000), max_size=12), st.lists(st.booleans()))
def test_feeding_and_pulling_may_alternate_in_any_way(sizes, cuts, pulls):
    expected = [b"\xc0\x00" if size == 130 else frame(size) for size in sizes]
    stream = b"".join(expected)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = FrameReader(1000)
    frames = []
    for number, (start, stop) in enumerate(pairwise(edges)):
        reader.feed(stream[start:stop])
        assert reader.pending == stop - sum(map(len, frames))
        if number >= len(pulls) or pulls[number]:
            frames += pull(reader)
    assert frames + pull(reader) == expected
    assert reader.pending == 0


def test_one_frame_at_a_time():
    reader = FrameReader(100)
    reader.feed(b"\xc0\x00\x40\x02\x00\x01\xd0")
    assert reader.next_frame() == b"\xc0\x00"
    assert reader.next_frame() == b"\x40\x02\x00\x01"
    assert reader.next_frame() is None
    assert reader.pending == 1
    reader.feed(b"")
    assert reader.next_frame() is None
    reader.feed(b"\x00")
    assert reader.next_frame() == b"\xd0\x00"


def test_somebody_else_may_read_the_chunk():
    """The bulk path scans `chunk` and moves `position`; what it leaves, next_frame finds."""
    reader = FrameReader(100)
    reader.feed(b"\xc0\x00\x40\x02\x00\x01\xd0")
    assert reader.chunk[reader.position :] == b"\xc0\x00\x40\x02\x00\x01\xd0"
    reader.position += 2
    assert reader.pending == 5
    assert reader.next_frame() == b"\x40\x02\x00\x01"
    assert reader.next_frame() is None
    reader.feed(b"\x00\xc0\x00")
    assert reader.chunk[reader.position :] == b"\xd0\x00\xc0\x00"
    reader.position = len(reader.chunk)
    assert reader.pending == 0
    reader.feed(b"\xc0\x00")
    assert reader.next_frame() == b"\xc0\x00"


def test_a_completed_frame_is_in_the_chunk_as_soon_as_it_is_fed():
    reader = FrameReader(1000)
    data = frame(300)
    reader.feed(data[:100])
    assert reader.next_frame() is None
    reader.feed(data[100:299])
    assert reader.chunk == data[:100]
    reader.feed(data[299:] + b"\xc0")
    assert reader.chunk == data + b"\xc0"


def test_a_used_chunk_is_not_kept():
    reader = FrameReader(1000)
    reader.feed(b"\xc0\x00" * 1000)
    pull(reader)
    assert reader.chunk == b""
    reader.feed(b"\xc0\x00" * 1000 + b"\x30\x05")
    pull(reader)
    assert reader.chunk == b"\x30\x05"
    reader = FrameReader(1000)
    reader.feed(b"\xc0\x00")
    reader.position = 2
    assert reader.next_frame() is None
    assert reader.chunk == b""


def test_a_frame_that_is_a_whole_chunk_is_not_copied():
    reader = FrameReader(1000)
    data = frame(500)
    reader.feed(data)
    assert reader.next_frame() is data


@pytest.mark.spec("MUST-3.2.2.3.6-3", version="5.0")
def read_as_advised(stream, most):
    """Read a stream from a transport that always has enough; gives the frames and the sizes of the reads."""
    reader = FrameReader(300_000)
    frames, sizes = [], []
    position = 0
    while position < len(stream):
        size = reader.read_size(most)
        assert 0 < size <= most
        sizes.append(len(stream[position : position + size]))
        reader.feed(stream[position : position + size])
        position += size
        frames += pull(reader)
    return frames, sizes


def test_reads_end_with_a_frame_where_large_ones_follow_each_other():
    frames, sizes = read_as_advised(frame(60_000) * 11, 250_000)
    assert frames == [frame(60_000)] * 11
    assert sizes == [250_000, 50_000 + 180_000, 180_000]
    reader = FrameReader(100_000)
    reader.feed(frame(60_000) + frame(60_000)[:1000])
    pull(reader)
    assert reader.read_size(250_000) == 59_000 + 180_000
    reader.feed(frame(60_000)[1000:])
    assert len(pull(reader)) == 1
    assert reader.chunk == b""
    assert reader.read_size(250_000) == 240_000


@pytest.mark.parametrize("size", [100, 16_000, 250_001, 270_000])
def test_small_frames_and_those_larger_than_a_read_change_no_read(size):
    frames, sizes = read_as_advised(frame(size) * 20, 250_000)
    assert frames == [frame(size)] * 20
    assert set(sizes[:-1]) <= {250_000}


@given(st.lists(st.sampled_from([2, 200, 16_388, 40_000, 70_000, 129_000, 260_000]), max_size=12))
def test_whatever_follows_large_frames_is_read_all_the_same(sizes):
    frames, _ = read_as_advised(b"".join(frame(size) for size in sizes), 131_072)
    assert [len(one) for one in frames] == sizes


def test_a_frame_above_the_limit_is_refused_from_its_header():
    reader = FrameReader(200)
    reader.feed(frame(200))
    assert reader.next_frame() == frame(200)
    reader.feed(frame(201)[:3])
    with pytest.raises(PacketTooLarge) as caught:
        reader.next_frame()
    assert caught.value.reason_code == 0x95
    assert reader.pending == 3


def test_a_frame_is_refused_from_its_header_whatever_byte_comes_behind_it():
    reader = FrameReader(64)
    reader.feed(b"\x30\xff\x6c\xff")  # a length of two bytes, and a byte that would continue one
    with pytest.raises(PacketTooLarge):
        reader.next_frame()


def test_the_limit_may_change_between_frames():
    reader = FrameReader(10)
    reader.feed(frame(10) + frame(100))
    assert reader.next_frame() == frame(10)
    reader.max_size = 100
    assert reader.next_frame() == frame(100)


@pytest.mark.spec("MUST-2.2.3-1", version="3.1.1")
@pytest.mark.spec("MUST-1.5.5-1", version="5.0")
@pytest.mark.parametrize("data", [b"\x30\x80\x80\x80\x80", b"\x30\xff\xff\xff\xff\x7f", b"\x10\x80\x80\x80\x80\x00"])
def test_a_length_of_five_bytes_is_malformed(data):
    reader = FrameReader(300_000_000)
    for byte in data[:4]:
        reader.feed(bytes((byte,)))
        assert reader.next_frame() is None
    reader.feed(data[4:])
    with pytest.raises(MalformedVariableByteInteger) as caught:
        reader.next_frame()
    assert caught.value.reason_code == 0x81


@pytest.mark.spec("MQTT-1.5.5-1", version="5.0")
@pytest.mark.parametrize("data", [b"\xc0\x80\x00", b"\x30\xff\x00", b"\x30\x80\x80\x80\x00"])
def test_a_length_longer_than_it_needs_is_malformed(data):
    reader = FrameReader(300_000_000)
    reader.feed(data)
    with pytest.raises(MalformedVariableByteInteger):
        reader.next_frame()


def test_nothing_is_allocated_from_a_length():
    reader = FrameReader(268_435_460)
    tracemalloc.start()
    try:
        reader.feed(b"\x30\xff\xff\xff\x7f" + bytes(1000))
        assert reader.next_frame() is None
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pulled", [True, False])
def test_a_large_frame_in_small_chunks_is_joined_once(pulled):
    """8 MiB in 8,000 chunks: joining at every chunk would move 32 GiB, and the test's time limit ends that."""
    size = 8 * 1024 * 1024
    data = frame(size)
    reader = FrameReader(size)
    for start in range(0, size, 1024):
        assert reader.next_frame() is None or not pulled
        reader.feed(data[start : start + 1024])
    assert reader.next_frame() == data


def test_many_small_frames_fed_before_the_first_is_pulled():
    """200,000 reads without a pull: keeping them joined would be quadratic."""
    reader = FrameReader(100)
    for _ in range(200_000):
        reader.feed(b"\xc0\x00\xd0")
        reader.feed(b"\x00")
    assert reader.pending == 800_000
    assert pull(reader) == [b"\xc0\x00", b"\xd0\x00"] * 200_000


@given(st.binary(max_size=40))
def test_any_bytes_give_frames_or_an_error(data):
    reader = FrameReader(1000)
    reader.feed(data)
    try:
        frames = pull(reader)
    except MqttError:
        return
    assert b"".join(frames) == data[: len(data) - reader.pending]


@pytest.mark.parametrize("data", ["text", 5, [1, 2], None], ids=repr)
def test_what_is_not_bytes_is_refused_and_changes_nothing(data):
    reader = FrameReader(100)
    reader.feed(b"\xc0")
    with pytest.raises(TypeError, match=f"bytes, not {type(data).__name__}"):
        reader.feed(data)
    reader.feed(b"\x00")
    assert pull(reader) == [b"\xc0\x00"]

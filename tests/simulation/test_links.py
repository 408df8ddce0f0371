"""The links of the simulator behave as TCP does."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace

from mqtt_core.testing.simulation import Pipe, Schedule, Weather, World, draw


class End:
    def __init__(self):
        self.log = []

    def receive(self, data):
        self.log.append(data)

    def lost(self):
        self.log.append(None)

    def writable(self):
        self.log.append("room")


def pipe(chunk_chance=0.0, buffer_bytes=1000):
    schedule = Schedule(0.0)
    writer, reader = End(), End()
    weather = Weather(Random(1), 0.001, 0.01, chunk_chance, buffer_bytes)
    return schedule, Pipe(schedule, weather, writer, reader), writer, reader


def test_the_end_comes_behind_the_last_byte_and_an_empty_write_is_none():
    schedule, line, _, reader = pipe()
    line.write(b"")
    line.write(b"one")
    line.write(b"")
    line.write(b"two")
    line.finish()
    schedule.run(1.0, 100)
    assert b"".join(reader.log[:-1]) == b"onetwo"
    assert reader.log[-1] is None


def test_bytes_are_cut_anywhere_and_keep_their_order():
    schedule, line, _, reader = pipe(chunk_chance=0.9)
    sent = bytes(range(200))
    line.write(sent)
    schedule.run(100.0, 10_000)
    assert b"".join(reader.log) == sent
    assert len(reader.log) > 5


def test_who_does_not_read_fills_the_pipe_and_makes_room_by_reading():
    schedule, line, writer, reader = pipe(buffer_bytes=10)
    line.reading = False
    line.write(bytes(10))
    assert not line.room()
    schedule.run(1.0, 100)
    assert (writer.log, reader.log) == ([], [])
    line.reading = True
    line.go()
    schedule.run(2.0, 100)
    assert (writer.log, reader.log) == (["room"], [bytes(10)])


def test_a_cut_loses_what_is_on_its_way():
    schedule, line, _, reader = pipe()
    line.write(b"lost")
    line.cut()
    schedule.run(1.0, 100)
    assert reader.log == []


def test_the_end_of_an_old_link_is_nothing_to_a_client_that_has_a_new_one():
    world = World(replace(draw(3), clients=1, steps=100))
    world.run()
    client = world.clients[0]
    client.link = new = object()
    World.tell_lost(SimpleNamespace(client=client))
    assert client.link is new

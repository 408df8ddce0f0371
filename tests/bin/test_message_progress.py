"""A long run of the producer shows how far it is, to people only."""

from __future__ import annotations

import io

from mqtt_adapters.bin.message_progress import MessageProgress


class Terminal(io.StringIO):
    """A terminal, if it is told to be one."""

    def __init__(self, *, people):
        super().__init__()
        self.people = people

    def isatty(self):
        return self.people


def shown(people, *times):
    """What is written when a message is counted at each of these times."""
    stream = Terminal(people=people)
    moments = iter((0.0, *times))
    progress = MessageProgress("p", stream, lambda: next(moments))
    for _ in times:
        progress.count(5)
    progress.finish()
    return stream.getvalue()


def test_a_long_run_is_one_line_that_is_wiped_away():
    line = "p: 10 messages, 5 a second"
    assert shown(True, 0.5, 2.0, 2.05) == f"\r{line}\r{' ' * len(line)}\r"


def test_a_short_run_says_nothing():
    assert shown(True, 0.5, 0.9) == ""


def test_files_and_pipes_are_told_nothing():
    assert shown(False, 2.0, 3.0) == ""

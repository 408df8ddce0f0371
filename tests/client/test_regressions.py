"""What the simulator found in the client, each as the shortest story that shows it. The seed is that of the finding."""

from __future__ import annotations

from tests.client.kit import Wire


def test_a_timer_that_comes_after_the_end_of_a_connection_changes_nothing():  # seed 7
    wire = Wire(close_timeout_s=5.0)
    wire.open()
    wire.client.disconnect(wire.now)
    wire.raw()
    wire.client.receive_eof(wire.now)
    wire.events()
    wire.now += 10.0
    wire.client.handle_timer(wire.now)
    assert wire.events() == []
    wire.client.connect(wire.now)

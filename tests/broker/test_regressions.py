"""What the simulator found, each as the shortest conversation that shows it. The seed is that of the finding."""

from __future__ import annotations

import pytest

from mqtt_core.codec import UnsubackPacket, UnsubscribePacket


@pytest.mark.spec("MQTT-3.10.4-4", "MQTT-3.10.4-5", version="3.1.1")
def test_unsuback_of_311_has_no_codes(world):  # seed 3
    client = world.connect("a", version=4)
    client.send(UnsubscribePacket(7, ["x", "y"]))
    assert client.received() == [UnsubackPacket(7, [])]
    assert not client.closed

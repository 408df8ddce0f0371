"""The driver's timer: a process that was stopped reads what has arrived before it closes anybody for silence."""

from __future__ import annotations

from random import Random

import pytest

from mqtt_adapters.driver import BrokerDriver, Link
from mqtt_core.broker import Broker, BrokerConfig
from mqtt_core.codec import ConnectPacket, PingreqPacket, PingrespPacket, decode, encode


class Frozen(Link):
    """A driver's host and its one connection, at a time that the test chooses."""

    def __init__(self):
        super().__init__()
        self.time = self.armed_at = 0.0
        self.said = b""
        broker = Broker(BrokerConfig(sys_interval_s=0), rng=Random(1))
        self.driver = BrokerDriver(broker, self, lambda: self.time, None)
        self.handler = broker.connection_made(0.0, owner=self)
        self.hear(ConnectPacket("c", keep_alive_s=2))

    def hear(self, packet):
        self.driver.receive(self, encode(packet, 5))
        self.driver.tick()

    def arm_timer(self, deadline):
        self.armed_at = deadline

    def run_commit(self, commit):
        raise AssertionError("nothing is stored")

    def wake_up(self, time):
        self.time = time
        self.driver.timer_fired()

    def write(self, data):
        self.said = data

    def finish(self, wrote):
        self.finished = True


@pytest.mark.parametrize("pinged", [True, False])
def test_a_process_that_stood_still_reads_before_it_misses_anybody(pinged):
    link = Frozen()
    assert link.armed_at == 3.0
    link.wake_up(60.0)
    assert not link.finished
    assert 60.0 < link.armed_at < 60.1
    if pinged:  # it lay in the socket all the while
        link.hear(PingreqPacket())
    link.wake_up(link.armed_at)
    assert link.finished is not pinged
    assert decode(link.said, 5) == PingrespPacket() if pinged else b"keep alive" in link.said


def test_a_timer_that_is_always_late_is_put_off_only_once():
    link = Frozen()
    link.wake_up(60.0)
    link.wake_up(link.armed_at + 1.0)
    assert link.finished

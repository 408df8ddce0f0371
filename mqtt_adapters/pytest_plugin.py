"""A pytest plugin: a broker for each test that asks for one.

    def test_a_reading_is_published(mqtt_broker):
        with Thermometer(mqtt_broker.host, mqtt_broker.port):
            mqtt_broker.expect("room/+/temperature", "21.5")

`mqtt_broker` is a `mqtt_adapters.testing.broker.MqttTestBroker` with no settings; `mqtt_broker_factory` makes any
number of them, with users, TLS, a store. Both stop their brokers after the test, within two seconds each, and fail the
test when a client or a thread was left behind. Installing the package is enough for pytest to find them (entry point
`mqtt`, group `pytest11`).

Law: this module is imported by every run of pytest, so it imports nothing but pytest; a test that asks for no broker
pays for none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mqtt_adapters.testing.broker import MqttTestBroker

__all__ = ["mqtt_broker", "mqtt_broker_factory"]


@pytest.fixture
def mqtt_broker_factory() -> Iterator[Callable[..., MqttTestBroker]]:
    """A function that starts a broker; its arguments are those of `MqttTestBroker`."""
    from mqtt_adapters.testing.broker import MqttTestBroker  # noqa: PLC0415 - see the law

    brokers: list[MqttTestBroker] = []

    def make(**arguments: Any) -> MqttTestBroker:
        broker = MqttTestBroker(**arguments)
        broker.start()
        brokers.append(broker)
        return broker

    yield make
    left = [line for broker in reversed(brokers) for line in broker.close()]
    if left:
        pytest.fail("the test has left something behind:\n" + "\n".join(left), pytrace=False)


@pytest.fixture
def mqtt_broker(mqtt_broker_factory: Callable[..., MqttTestBroker]) -> MqttTestBroker:
    """A broker on a free port, for this test alone."""
    return mqtt_broker_factory()

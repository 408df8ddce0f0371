"""A pytest suite for an application: a thermostat that hears a thermometer and switches a heater.

The application is real and talks over a real socket; the broker belongs to the test. No test sleeps, and no port, no
container and no other test is in the way: run it with `pytest -n auto` if you like.
"""

from __future__ import annotations

from typing import Self

import pytest

from mqtt_adapters.blocking import Client
from mqtt_core.client import MessageReceived
from mqtt_core.codec import Properties, Will


class Thermostat:
    """Heats below the wanted temperature; says when it goes, and for how long it has been gone."""

    def __init__(self, url: str, wanted: float = 20.0) -> None:
        self.wanted = wanted
        self.client = Client(
            url,
            client_id="thermostat",
            will=Will("house/thermostat", b"lost", properties=Properties(will_delay_interval=3600)),
            session_expiry_s=7200,
            keep_alive_s=30,
            reconnect_min_s=0.01,
        )

    def __enter__(self) -> Self:
        self.client.start()
        self.client.on_message("house/temperature", self.on_temperature)
        self.client.subscribe("house/temperature", qos=1)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def on_temperature(self, message: MessageReceived) -> None:
        heat = float(message.payload) < self.wanted
        self.client.publish_nowait("house/heater/set", "on" if heat else "off", qos=1)


@pytest.fixture
def thermostat(mqtt_broker):
    with Thermostat(mqtt_broker.url) as running:
        yield running


@pytest.mark.usefixtures("thermostat")
def test_it_heats_when_it_is_cold(mqtt_broker):
    mqtt_broker.publish("house/temperature", "17.5")
    mqtt_broker.expect("house/heater/set", "on")


@pytest.mark.usefixtures("thermostat")
def test_it_stops_when_it_is_warm(mqtt_broker):
    mqtt_broker.publish("house/temperature", "17.5")
    mqtt_broker.publish("house/temperature", "22")
    mqtt_broker.expect("house/heater/set", "on")
    mqtt_broker.expect("house/heater/set", "off")


@pytest.mark.usefixtures("thermostat")
def test_it_comes_back_when_the_network_fails(mqtt_broker):
    mqtt_broker.drop("thermostat")
    mqtt_broker.expect_connected("thermostat")
    mqtt_broker.publish("house/temperature", "17.5", qos=1)
    mqtt_broker.expect("house/heater/set", "on")


@pytest.mark.usefixtures("thermostat")
def test_it_is_reported_lost_after_an_hour_of_silence(mqtt_broker):
    mqtt_broker.pause("thermostat")  # the cable is out: nothing closes, nothing comes
    mqtt_broker.advance(3600)
    assert mqtt_broker.received("house/thermostat") == []
    mqtt_broker.advance(60)  # the keep alive ran out first, and the hour began there
    mqtt_broker.expect("house/thermostat", "lost")


def test_it_has_to_know_the_password(mqtt_broker_factory):
    broker = mqtt_broker_factory(users={"thermostat": "warm"})
    with Thermostat(broker.url.replace("//", "//thermostat:warm@")):
        assert broker.clients == ["thermostat"]

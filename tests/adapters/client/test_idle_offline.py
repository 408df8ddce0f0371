"""A client without a server waits for its next attempt and does nothing else."""

from __future__ import annotations

import asyncio

import pytest

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig


@pytest.mark.parametrize("attempt_fails", [False, True])
def test_a_client_whose_connection_is_gone_has_no_timer_left(attempt_fails):
    async def lost():
        async with (
            MqttServer(ServerConfig(bind_addr="127.0.0.1:0")) as server,
            Client("127.0.0.1", server.port, client_id="c", version=4, keep_alive_s=0) as client,
        ):
            driver = client._loop.driver
            server.disconnect("c")
            while driver.core.connected:
                await asyncio.sleep(0)
            if attempt_fails:
                driver.connect_failed("nobody is there")
            return driver.next_deadline()

    assert asyncio.run(lost()) is None

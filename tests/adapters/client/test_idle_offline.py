"""A client without a server waits for its next attempt and does nothing else."""

from __future__ import annotations

import asyncio

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig


def test_a_client_whose_connection_is_gone_has_no_timer_left():
    async def lost():
        async with (
            MqttServer(ServerConfig(bind_addr="127.0.0.1:0")) as server,
            Client("127.0.0.1", server.port, client_id="c", version=4, keep_alive_s=0) as client,
        ):
            driver = client._loop.driver
            server.disconnect("c")
            while driver.core.connected:
                await asyncio.sleep(0)
            return driver.next_deadline()

    assert asyncio.run(lost()) is None

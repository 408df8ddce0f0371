"""A gateway that bridges two brokers: what is said on one side below a prefix is said on the other as well.

Messages are taken with manual acknowledgement and acknowledged only when the far side has acknowledged them, so that a
gateway that dies loses nothing. No Local keeps a message from coming straight back.
"""

from __future__ import annotations

import asyncio

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig


async def carry(source: Client, target: Client, topics: str) -> None:
    """Subscribe on one side, publish on the other, acknowledge when it has arrived."""
    await source.subscribe(topics, qos=1, no_local=True)
    async for message in source.messages:
        await target.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)
        source.acknowledge(message)


async def bridge(near_port: int, far_port: int, topics: str) -> None:
    """Run until cancelled."""
    async with (
        Client("127.0.0.1", near_port, client_id="bridge-near", manual_ack=True) as near,
        Client("127.0.0.1", far_port, client_id="bridge-far", manual_ack=True) as far,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(carry(near, far, topics))
        group.create_task(carry(far, near, topics))


async def main() -> None:
    config = ServerConfig(bind_addr="127.0.0.1:0")
    async with MqttServer(config) as near, MqttServer(config) as far:
        bridging = asyncio.create_task(bridge(near.port, far.port, "plant/#"))
        async with (
            Client("127.0.0.1", near.port, client_id="machine") as machine,
            Client("127.0.0.1", far.port, client_id="office") as office,
        ):
            await office.subscribe("plant/machine/#", qos=1)
            await machine.publish("plant/machine/speed", b"1200", qos=1, retain=True)
            reading = await anext(aiter(office.messages))
            print("office reads", reading.topic, reading.payload.decode())
            await machine.subscribe("plant/orders", qos=1)
            await office.publish("plant/orders", b"slower", qos=1, retain=True)
            order = await anext(aiter(machine.messages))
            print("machine reads", order.topic, order.payload.decode())
        bridging.cancel()


if __name__ == "__main__":
    asyncio.run(main())

"""A gateway that bridges two brokers: what is said on one side below a prefix is said on the other as well.

Messages are taken with manual acknowledgement and acknowledged only when the far side has acknowledged them, and the
gateway's sessions outlive it by a day: a gateway that dies loses nothing, and says at worst a message twice. No Local
keeps a message from coming straight back, Retain As Published lets retained messages be retained on both sides.
"""

from __future__ import annotations

import asyncio

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig

LASTING = {"clean_start": False, "session_expiry_s": 86_400, "manual_ack": True}


async def carry(source: Client, target: Client, topics: str) -> None:
    """Subscribe on one side, publish on the other, acknowledge when it has arrived."""
    await source.subscribe(topics, qos=1, no_local=True, retain_as_published=True)
    async for message in source.messages:
        own = message.properties.replace(subscription_identifiers=None, topic_alias=None)
        await target.publish(message.topic, message.payload, qos=message.qos, retain=message.retain, properties=own)
        source.acknowledge(message)


async def bridge(near_port: int, far_port: int, topics: str) -> None:
    """Run until cancelled."""
    async with (
        Client("127.0.0.1", near_port, client_id="bridge-near", **LASTING) as near,
        Client("127.0.0.1", far_port, client_id="bridge-far", **LASTING) as far,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(carry(near, far, topics))
        group.create_task(carry(far, near, topics))


async def read(client: Client, who: str) -> None:
    message = await anext(aiter(client.messages))
    print(who, "reads", message.topic, message.payload.decode())


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
            await read(office, "office")
            await machine.subscribe("plant/orders", qos=1)
            await office.publish("plant/orders", b"slower", qos=1, retain=True)
            await read(machine, "machine")

            bridging.cancel()
            await asyncio.wait([bridging])
            await machine.publish("plant/machine/speed", b"900", qos=1)  # it waits for the gateway
            bridging = asyncio.create_task(bridge(near.port, far.port, "plant/#"))
            await read(office, "office")
        async with Client("127.0.0.1", far.port, client_id="night watch") as late:
            await late.subscribe("plant/machine/#", qos=1)
            await read(late, "night watch")
        bridging.cancel()


if __name__ == "__main__":
    asyncio.run(main())

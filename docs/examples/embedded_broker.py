"""A broker inside an asyncio application, which publishes and listens without a socket of its own.

The application keeps the newest temperature of every room and tells the rooms how often to measure. Devices connect
over TCP as to any other broker; here one of our own clients plays the device.
"""

from __future__ import annotations

import asyncio

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig


class House:
    """The application: a broker, and what it has heard."""

    def __init__(self) -> None:
        self.server = MqttServer(ServerConfig(bind_addr="127.0.0.1:0"))
        self.temperatures: dict[str, float] = {}

    async def listen(self) -> None:
        async for message in self.server.subscribe("room/+/temperature", qos=1):
            self.temperatures[message.topic.split("/")[1]] = float(message.payload)
            self.server.publish("house/rooms", b"%d" % len(self.temperatures), retain=True)


async def main() -> None:
    house = House()
    async with house.server:
        listening = asyncio.create_task(house.listen())
        house.server.publish("house/interval", b"60", retain=True)

        async with Client("127.0.0.1", house.server.port, client_id="kitchen") as device:
            await device.subscribe("house/#")
            interval = await anext(aiter(device.messages))
            print("measure every", int(interval.payload), "seconds")
            await device.publish("room/kitchen/temperature", b"21.5", qos=1)
            rooms = await anext(aiter(device.messages))
            print("rooms heard of:", int(rooms.payload))

        print(house.temperatures)
        listening.cancel()


if __name__ == "__main__":
    asyncio.run(main())

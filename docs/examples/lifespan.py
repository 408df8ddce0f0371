"""A broker that lives exactly as long as a web application, in the style of ASGI's lifespan.

FastAPI and Starlette take such a context manager as `FastAPI(lifespan=lifespan)`: what it yields to is the
application's life. Nothing here needs either; `App` stands for one with two routes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig


class App:
    """The least of a web application: state, and handlers that use it."""

    def __init__(self) -> None:
        self.mqtt: MqttServer | None = None

    async def post_light(self, room: str, on: bool) -> str:
        """POST /light/{room}: passes the wish on to whatever listens."""
        assert self.mqtt is not None
        barrier = self.mqtt.publish(f"light/{room}/set", b"on" if on else b"off", qos=1)
        await self.mqtt.committed(barrier)  # with a store: the wish survives us from here on
        return "accepted"


@contextlib.asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    """Start the broker before the first request, stop it after the last."""
    async with MqttServer(ServerConfig(bind_addr="127.0.0.1:0")) as server:
        app.mqtt = server
        try:
            yield
        finally:
            app.mqtt = None


async def main() -> None:
    app = App()
    async with lifespan(app):
        assert app.mqtt is not None
        async with Client("127.0.0.1", app.mqtt.port, client_id="lamp") as lamp:
            await lamp.subscribe("light/hall/set", qos=1)
            print(await app.post_light("hall", on=True))
            wish = await anext(aiter(lamp.messages))
            print(wish.topic, wish.payload.decode())
    print("stopped:", app.mqtt is None)


if __name__ == "__main__":
    asyncio.run(main())

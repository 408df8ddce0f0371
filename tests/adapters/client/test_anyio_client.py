"""What only the anyio client has to fear: a cancellation of its tasks while they write."""

from __future__ import annotations

import socket
import threading

import anyio
import pytest

from mqtt_adapters.anyio import Client
from mqtt_core.codec import ConnackPacket, ConnectPacket, DisconnectPacket, MqttDecoder, PublishPacket, encode

LARGE = bytes(20_000_000)  # more than the system's buffers hold


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancellation_tears_no_packet(backend):
    listener = socket.create_server(("127.0.0.1", 0))
    reading = threading.Event()
    packets = []

    def serve():
        decoder = MqttDecoder(5, len(LARGE) + 100)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            decoder.feed(connection.recv(1000))
            connection.sendall(encode(ConnackPacket(), 5))
            reading.wait(20)
            while data := connection.recv(1_000_000):
                decoder.feed(data)
        while (packet := decoder.next_packet()) is not None:
            packets.append(packet)

    async def program():
        with anyio.CancelScope() as scope:
            async with Client("127.0.0.1", listener.getsockname()[1]) as client, anyio.create_task_group() as group:
                group.start_soon(client.publish, "t", LARGE)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                reading.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        anyio.run(program, backend=backend)
    finally:
        reading.set()
        thread.join(20)
        listener.close()
    assert [type(packet) for packet in packets] == [ConnectPacket, PublishPacket, DisconnectPacket]

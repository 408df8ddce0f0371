"""What the program brought along fails: an answer to an authentication that is none, a connector with a fault."""

from __future__ import annotations

import asyncio
import queue
import socket
import sys
import threading

import pytest

from mqtt_adapters.asyncio import Client
from mqtt_adapters.blocking import Client as BlockingClient
from mqtt_adapters.errors import ClientError, ConnectError
from mqtt_core.codec import AuthPacket, ConnackPacket, LocalProtocolError, MqttDecoder, Properties, encode
from tests.adapters.client.kit import contract

CHALLENGE = encode(AuthPacket(0x18, Properties(authentication_method="m")), 5)
CONNACK = encode(ConnackPacket(), 5)


def _everything(connection):
    data = b""
    while more := connection.recv(1000):
        data += more
    return data


@pytest.fixture
def server_that_says():
    """A server that answers the first packet of each connection with these bytes; gives the port and what it was
    told after that on a connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    told = queue.SimpleQueue()

    def serve(answer, keep):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(answer)
                if keep:
                    told.put(_everything(connection))

    threads = []

    def start(answer, *, keep):
        threads.append(threading.Thread(target=serve, args=(answer, keep)))
        threads[0].start()
        return listener.getsockname()[1]

    yield start, told
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    threads[0].join(10)


@contract
async def test_an_answer_to_an_authentication_that_is_no_bytes_ends_the_connection(
    style, server_that_says, monkeypatch
):
    start, told = server_that_says
    port = start(CHALLENGE, keep=True)
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: reported.append(error))
    if style.name == "asyncio":
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    with pytest.raises((ConnectError, ExceptionGroup)) as caught:
        async with style.client(
            "127.0.0.1", port, authentication_method="m", authenticate=lambda _: "text", reconnect=False
        ):
            pass
    if isinstance(caught.value, ExceptionGroup):
        reported += caught.value.exceptions
    assert len(reported) == 1
    assert isinstance(reported[0], LocalProtocolError | TypeError)  # a compiled core looks at types first
    decoder = MqttDecoder(5)
    decoder.feed(told.get(timeout=10))
    assert decoder.next_packet().reason_code == 0x83
    assert decoder.next_packet() is None


def test_a_connector_with_a_fault_ends_the_client_on_asyncio(server_that_says):
    port = server_that_says[0](CONNACK, keep=False)
    calls = []

    async def connector(factory):
        calls.append(factory)
        if len(calls) > 1:
            raise RuntimeError("not my day")
        await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)

    async def program():
        async with Client(connector=connector, reconnect_min_s=0) as client:
            with pytest.raises(ClientError, match="not my day"):
                await client.publish("t", qos=1, timeout=10)
            with pytest.raises(ClientError, match="not my day"):
                async for _ in client.messages:
                    pass

    asyncio.run(program())
    assert len(calls) == 2


def test_a_connector_with_a_fault_ends_the_blocking_client(server_that_says, monkeypatch):
    port = server_that_says[0](CONNACK, keep=False)
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(str(args.exc_value)))
    calls = []

    def connector(timeout_s):
        calls.append(timeout_s)
        if len(calls) > 1:
            raise RuntimeError("not my day")
        return socket.create_connection(("127.0.0.1", port), timeout_s)

    with BlockingClient(connector=connector, reconnect_min_s=0) as client:
        with pytest.raises(ClientError, match="not my day"):
            client.publish("t", qos=1, timeout=10)
        with pytest.raises(ClientError, match="not my day"):
            next(client.messages())
    assert reported == ["not my day"]
    assert len(calls) == 2

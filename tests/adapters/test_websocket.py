"""MQTT over WebSocket as it looks from the wire: the handshake, frames of any cut, and what ends a connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as serve_websockets
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from mqtt_adapters.asyncio import Client, ConfigError, ListenerConfig, MqttServer, ServerConfig
from mqtt_adapters.errors import ConnectError, ConnectionLost
from mqtt_adapters.websocket import FRAME_BYTES, ServerLayer
from mqtt_core.broker import ClientDisconnected
from mqtt_core.codec import ConnackPacket, ConnectPacket, DisconnectPacket, MqttDecoder, PingreqPacket, encode
from tests.adapters.kit import LOOPBACK, client, every_loop_test, read_publish, subscribe

WHAT_TO_INSTALL = "the package websockets is not installed (pip install 'mqtt-core[ws]')"
CONNACK = b"\x20\x03\x00\x00\x00"


def make_server(**settings):
    given = {"bind_addr": LOOPBACK, "sys_interval_s": 0, "websocket": True, **settings}
    return MqttServer(ServerConfig(**given))


def raw(server, **options):
    options = {"subprotocols": ["mqtt"], "compression": None, "proxy": None, **options}
    return connect(f"ws://127.0.0.1:{server.port}/mqtt", **options)


def connect_bytes(client_id="x", version=5):
    return encode(ConnectPacket(client_id, version=version, keep_alive_s=0), version)


async def receive(websocket, size):
    """The next `size` bytes of MQTT."""
    data = b""
    while len(data) < size:
        message = await websocket.recv()
        assert isinstance(message, bytes)
        data += message
    return data


# ------------------------------------------------------------------------------------------------------ handshake


@pytest.mark.spec("MQTT-6.0.0-4", version="3.1.1")
@pytest.mark.spec("MQTT-6.0.0-4", version="5.0")
@every_loop_test
async def test_the_server_selects_mqtt_among_what_is_offered():
    async with make_server() as server, raw(server, subprotocols=["other", "mqtt"]) as websocket:
        assert websocket.subprotocol == "mqtt"


@every_loop_test
async def test_who_does_not_offer_mqtt_gets_an_http_error():
    async with make_server() as server:
        for offered in (None, ["mqttv3.1"]):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with raw(server, subprotocols=offered):
                    pass
            assert refused.value.response.status_code == 400


@every_loop_test
async def test_who_speaks_plain_http_or_plain_mqtt_is_answered_and_closed():
    async with make_server() as server:
        for request, status in ((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 426 "), (connect_bytes() * 9, b"")):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request + b"\r\n\r\n")
            answer = await reader.read()
            assert answer.startswith(status)
            writer.close()
            await writer.wait_closed()
        assert not server.broker.sessions()


@every_loop_test
async def test_only_pages_of_named_sites_may_connect():
    async with make_server(ws_origins=("https://good.example",)) as server:
        async with raw(server, origin="https://good.example"), raw(server):
            pass
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with raw(server, origin="https://bad.example"):
                pass
        assert refused.value.response.status_code == 403


@pytest.mark.spec("MQTT-6.0.0-3", version="3.1.1")
@pytest.mark.spec("MQTT-6.0.0-3", version="5.0")
@every_loop_test
async def test_the_client_offers_mqtt_and_insists_on_it():
    offered = []

    tasks = []

    async def serve(reader, writer):
        tasks.append(asyncio.current_task())
        protocol = ServerProtocol(subprotocols=None)
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = protocol.events_received()
        offered.append(request.headers["Sec-WebSocket-Protocol"])
        protocol.send_response(protocol.accept(request))
        writer.writelines(protocol.data_to_send())
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(ConnectError, match="does not speak mqtt over WebSocket"):
            await Client(f"ws://127.0.0.1:{port}/", reconnect=False).start()
        await asyncio.gather(*tasks)
    assert offered == ["mqtt"]


# --------------------------------------------------------------------------------------------------------- frames


@pytest.mark.spec("MQTT-6.0.0-2", version="3.1.1")
@pytest.mark.spec("MQTT-6.0.0-2", version="5.0")
@pytest.mark.parametrize("version", [4, 5])
@every_loop_test
async def test_frames_and_packets_need_not_begin_together(version):
    ping = encode(PingreqPacket(), version)
    said = connect_bytes(version=version) + ping * 3
    answer = len(CONNACK) - (version == 4)
    for size in (1, 7, len(said)):
        async with make_server() as server, raw(server) as websocket:
            for start in range(0, len(said), size):
                await websocket.send(said[start : start + size])
            decoder = MqttDecoder(version)
            decoder.feed(await receive(websocket, answer + 6))
            assert isinstance(decoder.next_packet(), ConnackPacket)


@every_loop_test
async def test_a_fragmented_message_is_taken_piece_by_piece():
    async with make_server() as server, raw(server) as websocket:
        data = connect_bytes()
        await websocket.send([data[:5], data[5:9], data[9:]])
        assert (await websocket.recv())[0] == 0x20


@pytest.mark.spec("MQTT-6.0.0-1", version="3.1.1")
@pytest.mark.spec("MQTT-6.0.0-1", version="5.0")
@every_loop_test
async def test_a_text_frame_ends_the_connection_and_what_came_before_it_counts():
    async with make_server() as server, raw(server) as websocket:
        await websocket.send(connect_bytes())
        assert isinstance(await websocket.recv(), bytes)
        await websocket.send("text")
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await websocket.recv()
        assert closed.value.rcvd.code == 1003
        assert not server.broker.sessions()


@pytest.mark.spec("MQTT-6.0.0-1", version="5.0")
@every_loop_test
async def test_the_client_leaves_a_server_that_sends_text():
    async def serve(websocket):
        await websocket.recv()
        await websocket.send(CONNACK)
        await websocket.send("text")
        await websocket.wait_closed()

    async with serve_websockets(serve, "127.0.0.1", 0, subprotocols=["mqtt"]) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with Client(f"ws://127.0.0.1:{port}/", reconnect=False) as found:
            with pytest.raises(ConnectionLost):
                async for _ in found.messages:
                    pass


@every_loop_test
async def test_pings_of_the_websocket_are_answered():
    async with make_server() as server, raw(server) as websocket:
        await (await websocket.ping(b"are you there"))


@every_loop_test
async def test_a_frame_larger_than_any_packet_ends_the_connection():
    async with make_server(max_packet_size=1000) as server, raw(server) as websocket:
        await websocket.send(bytes(1001 + FRAME_BYTES))
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await websocket.recv()
        assert closed.value.rcvd.code == 1009


@every_loop_test
async def test_large_packets_leave_in_frames_of_bounded_size():
    async with make_server() as server, Client(f"ws://127.0.0.1:{server.port}/") as publisher, raw(server) as websocket:
        await websocket.send(connect_bytes() + b"\x82\x07\x00\x01\x00\x00\x01a\x00")
        await receive(websocket, 9)
        await publisher.publish("a", bytes(3 * FRAME_BYTES))
        found = 0
        while found < 3 * FRAME_BYTES:
            frame = await websocket.recv()
            assert len(frame) <= FRAME_BYTES
            found += len(frame)


@every_loop_test
async def test_the_server_says_goodbye_in_the_words_of_mqtt_and_of_websocket():
    async with make_server() as server, raw(server) as websocket:
        await websocket.send(connect_bytes())
        await websocket.recv()
        await server.stop()
        decoder = MqttDecoder(5)
        decoder.feed(await websocket.recv())
        goodbye = decoder.next_packet()
        assert isinstance(goodbye, DisconnectPacket)
        assert goodbye.reason_code == 0x8B
        with pytest.raises(websockets.ConnectionClosedOK):
            await websocket.recv()


@every_loop_test
async def test_a_closing_frame_is_the_end_of_the_client():
    events = []
    gone = asyncio.Event()

    def on_event(event):
        events.append(event)
        if isinstance(event, ClientDisconnected):
            gone.set()

    config = ServerConfig(bind_addr=LOOPBACK, websocket=True, sys_interval_s=0)
    async with MqttServer(config, on_event=on_event) as server:
        async with raw(server) as websocket:
            await websocket.send(connect_bytes())
            await websocket.recv()
        await gone.wait()
        while server.connections:
            await asyncio.sleep(0)


@every_loop_test
async def test_who_pings_and_does_not_read_is_not_read_either():
    async with make_server(write_buffer_bytes=1000) as server:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        sock.setblocking(False)
        protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), subprotocols=["mqtt"])
        protocol.send_request(protocol.connect())
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b"".join(protocol.data_to_send()))
        await loop.sock_recv(sock, 1000)
        pings = Frame(0x9, bytes(100)).serialize(mask=True) * 1000
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000_000:
                async with asyncio.timeout(1):
                    await loop.sock_sendall(sock, pings)
                sent += len(pings)
        sock.close()
        assert sent < 50_000_000


# ------------------------------------------------------------------------------------------------- our own clients


@pytest.mark.parametrize("version", [4, 5])
@every_loop_test
async def test_clients_over_websocket_and_tcp_meet(version):
    listeners = (ListenerConfig(bind_addr=LOOPBACK),)
    async with make_server(listeners=listeners) as server:
        assert server.addresses[0] == f"127.0.0.1:{server.port} (WebSocket)"
        tcp = int(server.addresses[1].split(":")[1])
        async with (
            Client(f"ws://127.0.0.1:{server.port}/mqtt", version=version) as publisher,
            client(server, port=tcp) as subscriber,
        ):
            await subscribe(subscriber, "a", qos=1)
            await publisher.publish("a", b"x" * 200_000, qos=1)
            assert (await read_publish(subscriber)).payload == b"x" * 200_000


@every_loop_test
async def test_websocket_over_tls(certificates):
    settings = {"tls_cert_file": certificates["server"], "tls_key_file": certificates["server-key"]}
    async with make_server(**settings) as server:
        trusted = ssl.create_default_context(cafile=certificates["ca"])
        async with Client(f"wss://127.0.0.1:{server.port}/mqtt", tls=trusted) as found:
            assert await found.subscribe("a", qos=2) == 2
            await found.publish("a", b"secret", qos=2)
            async for message in found.messages:
                assert message.payload == b"secret"
                break


# ------------------------------------------------------------------------------------------------------- settings


def test_the_default_port_is_that_of_the_url_scheme():
    assert ListenerConfig(bind_addr="127.0.0.1", websocket=True).endpoint.port == 80
    assert ListenerConfig(bind_addr="127.0.0.1", websocket=True, tls_cert_file="x").endpoint.port == 443


def test_origins_without_websocket_are_a_mistake():
    with pytest.raises(ConfigError, match="ws_origins: has no effect without websocket"):
        ListenerConfig(ws_origins=("https://x",))


def test_without_the_extra_a_server_says_what_to_install():
    program = (
        "import sys; sys.modules['websockets'] = None\n"
        "from mqtt_adapters.bin.broker import main\n"
        "main(['-p', '0', '--websocket'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"mqtt-broker: websocket: {WHAT_TO_INSTALL}\n"


def test_without_the_extra_a_client_says_what_to_install():
    program = (
        "import sys; sys.modules['websockets'] = None; sys.modules['websockets.client'] = None\n"
        "from mqtt_adapters.bin.producer import main\n"
        "sys.exit(main(['-L', 'ws://127.0.0.1:1/', '-t', 'a', '-m', 'x']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"mqtt-producer: {WHAT_TO_INSTALL}\n"


def test_frames_right_behind_the_handshake_are_taken():
    layer = ServerLayer(ListenerConfig(websocket=True), 1000)
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), subprotocols=["mqtt"])
    protocol.send_request(protocol.connect())
    request = b"".join(protocol.data_to_send())
    frames = Frame(Opcode.BINARY, b"abc").serialize(mask=True) + Frame(Opcode.TEXT, b"text").serialize(mask=True)
    assert layer.receive(request + frames) == b"abc"
    assert layer.closing


def test_unknown_bytes_are_never_an_exception():
    for data in (b"\x00" * 100_000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000, b"\xff\r\n\r\n", b"POST / x\r\n\r\n"):
        layer = ServerLayer(ListenerConfig(websocket=True), 1000)
        layer.receive(data)
        assert layer.closing
        assert layer.receive(data) == b""

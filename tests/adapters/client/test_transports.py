"""The same client over TLS, unix sockets, WebSocket, memory, and lines it has never heard of."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import queue
import socket
import ssl
import threading
import tty

import anyio
import pytest
from websockets.exceptions import ConnectionClosed

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig
from mqtt_adapters.asyncio.memory import connect_in_memory, connect_pair
from mqtt_adapters.blocking.client_link import READ_BYTES, ClientLink
from mqtt_adapters.config import ListenerConfig
from mqtt_adapters.errors import ConnectError, ConnectionLost
from mqtt_adapters.websocket import ServerLayer
from mqtt_core.client import Disconnected
from mqtt_core.codec import ConnackPacket, DisconnectPacket, encode
from tests.adapters.client.kit import Mosquitto, OwnBroker, Style, contract, take
from tests.adapters.kit import asyncio_test


async def talk(style, *where, **options):
    """Connect, and see that messages of a few sizes pass."""
    async with style.client(*where, **options) as client:
        await client.subscribe("talk/#", 1)
        for size in (0, 1, 125, 126, 70_000):
            await client.publish("talk/t", b"x" * size, qos=1)
        assert [len(m.payload) for m in await take(client.messages, 5)] == [0, 1, 125, 126, 70_000]
        await client.unsubscribe("talk/#")


# -- TLS -------------------------------------------------------------------------------------------


def trusting(certificates, *, own=False):
    """A context that trusts the test authority, and shows a certificate of its own."""
    context = ssl.create_default_context(cafile=certificates["ca"])
    context.set_alpn_protocols(["mqtt"])
    if own:
        context.load_cert_chain(certificates["client"], certificates["client-key"])
    return context


@pytest.fixture(scope="module")
def own_tls(certificates):
    with OwnBroker(tls_cert_file=certificates["server"], tls_key_file=certificates["server-key"]) as broker:
        yield broker


@pytest.fixture(scope="module")
def mosquitto_mutual(certificates, tmp_path_factory):
    with Mosquitto(
        tmp_path_factory.mktemp("mutual"),
        f"cafile {certificates['ca']}",
        f"certfile {certificates['server']}",
        f"keyfile {certificates['server-key']}",
        "require_certificate true",
    ) as server:
        yield server


@contract
async def test_tls(style, own_tls, certificates):
    await talk(style, f"mqtts://127.0.0.1:{own_tls.port}", tls=trusting(certificates))
    with pytest.raises(ConnectError) as caught:
        await talk(style, "127.0.0.1", own_tls.port, tls=True)
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


@contract
async def test_mutual_tls(style, mosquitto_mutual, certificates):
    where = ("127.0.0.1", mosquitto_mutual.port)
    await talk(style, *where, tls=trusting(certificates, own=True))
    with pytest.raises(ConnectError):
        await talk(style, *where, tls=trusting(certificates))


# -- unix sockets ----------------------------------------------------------------------------------


@contract
async def test_unix_sockets(style, socket_path):
    with OwnBroker(bind_addr=f"unix:{socket_path}"):
        await talk(style, f"unix:{socket_path}")
    with pytest.raises(ConnectError):
        await talk(style, f"unix:{socket_path}")


# -- WebSocket -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_ws():
    with OwnBroker(websocket=True) as broker:
        yield broker


@pytest.mark.spec("MQTT-6.0.0-1", "MQTT-6.0.0-3", version="5.0")
@pytest.mark.spec("MQTT-6.0.0-1", "MQTT-6.0.0-3", version="3.1.1")
@contract
async def test_websocket(style, own_ws):
    await talk(style, f"ws://127.0.0.1:{own_ws.port}/mqtt", ws_headers=[("X-Test", "1")])


@contract
async def test_websocket_over_tls(style, certificates):
    tls = {"tls_cert_file": certificates["server"], "tls_key_file": certificates["server-key"]}
    with OwnBroker(websocket=True, **tls) as broker:
        context = ssl.create_default_context(cafile=certificates["ca"])
        await talk(style, f"wss://127.0.0.1:{broker.port}/mqtt", tls=context)


class WebServer:
    """A WebSocket server of the `websockets` package in a thread; `serve` gets each connection."""

    def __init__(self, serve, subprotocol="mqtt"):
        self._serve = serve
        self._subprotocol = subprotocol
        self.requests = []

    def __enter__(self):
        from websockets.sync.server import serve

        self._server = serve(
            self._handle,
            "127.0.0.1",
            0,
            subprotocols=[self._subprotocol],
            select_subprotocol=lambda *_: self._subprotocol,
        )
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def _handle(self, connection):
        self.requests.append(connection.request)
        with contextlib.suppress(Exception):
            self._serve(connection)

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()


@pytest.mark.spec("MQTT-6.0.0-2", "MQTT-6.0.0-3", version="5.0")
@pytest.mark.spec("MQTT-6.0.0-2", "MQTT-6.0.0-3", version="3.1.1")
@contract
async def test_packets_and_frames_have_nothing_to_do_with_each_other(style):
    def serve(connection):
        assert isinstance(connection.recv(), bytes)
        publish = b"\x30\x06\x00\x01t\x00ok"
        for piece in (b"\x20", b"\x03\x00", b"\x00\x00" + publish + publish[:3], b"", publish[3:]):
            connection.send(piece)
        connection.send([publish[:2], publish[2:]])  # one message in two fragments
        connection.recv()

    with WebServer(serve) as server:
        async with style.client(f"ws://127.0.0.1:{server.port}", reconnect=False) as client:
            assert [m.payload for m in await take(client.messages, 3)] == [b"ok"] * 3
        assert server.requests[0].headers["Sec-WebSocket-Protocol"] == "mqtt"


@pytest.mark.spec("MQTT-6.0.0-1", version="5.0")
@pytest.mark.spec("MQTT-6.0.0-1", version="3.1.1")
@contract
async def test_a_text_frame_ends_the_connection(style):
    closed = queue.Queue()

    def serve(connection):
        connection.recv()
        connection.send(b"\x20\x03\x00\x00\x00")
        connection.send("text")
        with pytest.raises(ConnectionClosed) as caught:
            while True:  # what the client says meanwhile
                connection.recv(timeout=5)
        closed.put(caught.value.rcvd.code)

    with WebServer(serve) as server:
        async with style.client(f"ws://127.0.0.1:{server.port}", reconnect=False) as client:
            with pytest.raises(Exception, match="closed"):
                await client.publish("t", b"", qos=1, timeout=10)
        assert closed.get(timeout=5) == 1003


@contract
async def test_a_server_that_is_none_of_ours(style, own_broker):
    with pytest.raises(ConnectError):
        await talk(style, f"ws://127.0.0.1:{own_broker.port}/mqtt", connect_timeout_s=2)
    with WebServer(lambda _: None, subprotocol="chat") as server, pytest.raises(ConnectError):
        await talk(style, f"ws://127.0.0.1:{server.port}", connect_timeout_s=2)


# -- memory ----------------------------------------------------------------------------------------


@asyncio_test
async def test_a_client_and_a_broker_in_one_loop_without_a_socket():
    async with (
        MqttServer(ServerConfig(bind_addr="127.0.0.1:0")) as server,
        Client(connector=connect_in_memory(server)) as client,
        Client(connector=connect_in_memory(server), version=4) as other,
    ):
        await client.subscribe("t/#", 2)
        for n in range(5000):
            await other.publish("t/0", b"%d" % n + b"." * 100, qos=0)
        await other.publish("t/2", b"end", qos=2)
        found = await take(client.messages, 5001)
        assert [int(m.payload.rstrip(b".")) for m in found[:-1]] == list(range(5000))
        assert found[-1].payload == b"end"
    with pytest.raises(ConnectError):
        async with Client(connector=connect_in_memory(server)):
            raise AssertionError("the server is not running")


@asyncio_test
async def test_a_memory_transport_behaves_like_a_transport():
    log = []

    class End(asyncio.Protocol):
        def __init__(self, name):
            self.name = name

        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            log.append((self.name, data))

        def eof_received(self):
            log.append((self.name, "eof"))
            return True

        def connection_lost(self, exc):
            log.append((self.name, "lost"))

        def pause_writing(self):
            log.append((self.name, "pause"))

        def resume_writing(self):
            log.append((self.name, "resume"))

    one, other = End("one"), End("other")
    connect_pair(one, other)
    one.transport.set_write_buffer_limits(high=3)
    other.transport.pause_reading()
    one.transport.write(b"12")
    one.transport.write(bytearray(b"34"))
    await asyncio.sleep(0)
    assert log == [("one", "pause")]
    assert one.transport.get_write_buffer_size() == 4
    other.transport.resume_reading()
    await asyncio.sleep(0)
    assert log[1:] == [("other", b"12"), ("one", "resume"), ("other", b"34")]
    del log[:]
    one.transport.write_eof()
    one.transport.write(b"too late")
    await asyncio.sleep(0)
    assert log == [("other", "eof")]
    other.transport.write(b"bye")
    other.transport.close()
    for _ in range(4):
        await asyncio.sleep(0)
    assert log[1:] == [("one", b"bye"), ("other", "lost"), ("one", "eof")] or ("one", "lost") in log
    one.transport.abort()
    for _ in range(4):
        await asyncio.sleep(0)
    assert log.count(("one", "lost")) == 1
    assert log.count(("other", "lost")) == 1


# -- a line of one's own ---------------------------------------------------------------------------


class SerialLine:
    """One end of a pseudo-terminal pair, as a blocking transport: what a serial port would look like."""

    def __init__(self, fd):
        self._fd = fd

    def fileno(self):
        return self._fd

    def recv(self, size):
        try:
            return os.read(self._fd, size)
        except BlockingIOError:
            raise
        except OSError:
            return b""  # the other end of the line is gone

    def send(self, data):
        return os.write(self._fd, data)

    def setblocking(self, flag):
        os.set_blocking(self._fd, flag)

    def close(self):
        os.close(self._fd)


class SerialServer:
    """Joins the far end of a pseudo-terminal to a broker's TCP port."""

    def __init__(self, port):
        self._far, near = pty.openpty()
        tty.setraw(self._far)
        tty.setraw(near)
        self.near = near
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._threads = [
            threading.Thread(target=self._copy, args=(lambda: os.read(self._far, 4096), self._sock.sendall)),
            threading.Thread(target=self._copy, args=(lambda: self._sock.recv(4096), self._write)),
        ]

    def _write(self, data):
        while data:
            data = data[os.write(self._far, data) :]

    @staticmethod
    def _copy(read, write):
        with contextlib.suppress(OSError):
            while data := read():
                write(data)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._sock.close()
        os.close(self._far)


class AnyioSerialLine(anyio.abc.ByteStream):
    """One end of a pseudo-terminal pair as a byte stream."""

    def __init__(self, fd):
        self._line = SerialLine(fd)
        self._line.setblocking(False)

    async def receive(self, max_bytes=65536):
        while True:
            await anyio.wait_readable(self._line)
            with contextlib.suppress(BlockingIOError):
                if data := self._line.recv(max_bytes):
                    return data
                raise anyio.EndOfStream

    async def send(self, item):
        while item:
            await anyio.wait_writable(self._line)
            item = item[self._line.send(item) :]

    async def send_eof(self):
        await self.aclose()

    async def aclose(self):
        self._line.close()


@contract
async def test_a_serial_line(style, own_broker):
    with SerialServer(own_broker.port) as line:

        def blocking(timeout_s):
            return SerialLine(line.near)

        async def byte_stream():
            return AnyioSerialLine(line.near)

        async def asyncio_pipes(factory):
            await connect_serial(factory, line.near)

        connectors = {"blocking": blocking, "pump": blocking, "anyio": byte_stream, "trio": byte_stream}
        options = {"connector": connectors.get(style.name, asyncio_pipes), "reconnect": False}
        async with style.client(**options) as client:
            await client.subscribe(f"serial/{style.name}", 1)
            await client.publish(f"serial/{style.name}", b"x" * 10_000, qos=1)
            (message,) = await take(client.messages, 1)
            assert len(message.payload) == 10_000


class SerialTransport(asyncio.Transport):
    """A transport over a file descriptor, as an asyncio serial library would bring."""

    def __init__(self, loop, protocol, fd):
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._line = SerialLine(fd)
        self._line.setblocking(False)
        self._unsent = b""
        self._closing = False
        loop.add_reader(fd, self._readable)
        loop.call_soon(protocol.connection_made, self)

    def _readable(self):
        data = self._line.recv(65536)
        if data:
            self._protocol.data_received(data)
        else:
            self.abort()

    def write(self, data):
        self._unsent += data
        self._writable()

    def _writable(self):
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self._line.send(self._unsent) :]
        if self._unsent:
            self._loop.add_writer(self._line.fileno(), self._writable)
        else:
            self._loop.remove_writer(self._line.fileno())
            if self._closing:
                self.abort()

    def is_closing(self):
        return self._closing

    def close(self):
        self._closing = True
        self._writable()

    def abort(self):
        if self._line is not None:
            self._closing = True
            self._loop.remove_reader(self._line.fileno())
            self._loop.remove_writer(self._line.fileno())
            self._line.close()
            self._line = None
            self._loop.call_soon(self._protocol.connection_lost, None)

    def pause_reading(self):
        self._loop.remove_reader(self._line.fileno())

    def resume_reading(self):
        self._loop.add_reader(self._line.fileno(), self._readable)


async def connect_serial(factory, fd):
    """What `loop.create_connection` is for sockets."""
    SerialTransport(asyncio.get_running_loop(), factory(), fd)
    await asyncio.sleep(0)


@pytest.mark.parametrize("style", ["asyncio", "blocking"])
def test_the_last_words_of_a_server_arrive_over_websocket_and_tls(style, certificates):
    context = ssl.create_default_context(cafile=certificates["ca"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates["server"], certificates["server-key"])
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with tls.wrap_socket(listener.accept()[0], server_side=True) as sock:
                layer = ServerLayer(ListenerConfig(bind_addr="127.0.0.1:0", websocket=True), 100_000)
                while not layer.receive(sock.recv(1000)):
                    sock.sendall(layer.data_to_send())
                words = layer.wrap(encode(ConnackPacket(0), 5))
                sock.sendall(words + layer.wrap(encode(DisconnectPacket(0x8B), 5)) + layer.close())
                with contextlib.suppress(OSError):
                    sock.unwrap()

        server = threading.Thread(target=serve)
        server.start()
        url = f"wss://127.0.0.1:{listener.getsockname()[1]}/mqtt"

        async def talk_to_it(style):
            async with style.client(url, tls=context, reconnect=False, start_offline=True) as client:
                client.on_event(seen.append)
                with pytest.raises(ConnectionLost):
                    await client.publish("t", b"", qos=1)

        Style(style).run(talk_to_it, Style(style))
        server.join()
    assert [(e.reason_code, e.reason) for e in seen if isinstance(e, Disconnected)] == [
        (0x8B, "disconnected by the server")
    ]


@asyncio_test
async def test_a_transport_that_is_lost_before_its_connector_is_done_is_no_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def connector(factory):
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(factory, *listener.getsockname())
            listener.accept()[0].close()
            while not transport.is_closing():
                await asyncio.sleep(0)
            await asyncio.sleep(0)

        client = Client(connector=connector)
        with pytest.raises(ConnectError, match="the server closed the connection"):
            async with asyncio.timeout(5):
                await client.start()


class Script:
    """A transport that says what it was told to."""

    def __init__(self, *chunks):
        self._chunks = list(chunks)

    def recv(self, size):
        return self._chunks.pop(0) if self._chunks else b""

    def setblocking(self, flag):
        pass


class Shouting:
    """A layer that shows what passed through it."""

    closing = False

    def receive(self, data):
        return data.upper()

    def data_to_send(self):
        return b""


def test_what_comes_together_with_the_end_passes_through_the_layer_too():
    link = ClientLink(Script(b"a" * READ_BYTES, b"b" * READ_BYTES, b""), Shouting())
    assert link.read() == b"A" * READ_BYTES + b"B" * READ_BYTES
    assert link.read() is None

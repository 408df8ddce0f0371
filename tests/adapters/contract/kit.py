"""Servers of every I/O style in a thread of their own, and a peer that speaks packets over every transport."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import socket
import ssl
import tempfile
import threading

import anyio
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

import mqtt_adapters.anyio
import mqtt_adapters.asyncio
import mqtt_adapters.blocking
from mqtt_adapters.config import ServerConfig
from mqtt_core.codec import ConnackPacket, ConnectPacket, MqttCodec, PublishPacket, SubackPacket, SubscribeFilter
from mqtt_core.codec import SubscribePacket as Subscribe

STYLES = ["asyncio", "anyio", "trio", "blocking"]
TRANSPORTS = ["tcp", "tls", "unix", "ws", "wss"]


class Running:
    """A server of one style that runs in another thread; in the end no socket, thread or task of it is left."""

    def __init__(self, style, **options):
        self.style = style
        self.options = options
        self.error = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server-under-test")

    def __enter__(self):
        self._before = set(threading.enumerate())
        self._thread.start()
        assert self._ready.wait(20)
        if self.error is not None:
            self._thread.join()
            raise self.error
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        self._stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        left = set(threading.enumerate()) - self._before
        # Idle workers of an event loop's pool go with it.
        assert [t for t in left if not re.search("AnyIO|Trio", t.name)] == []

    def _run(self):
        try:
            if self.style == "blocking":
                self.server = mqtt_adapters.blocking.MqttServer(background=False, **self.options)
                self._stop = self.server.stop
                self.server.run(on_ready=lambda _: self._ready.set())
            elif self.style == "asyncio":
                asyncio.run(self._serve_asyncio())
            else:
                backend = "trio" if self.style == "trio" else "asyncio"
                anyio.run(self._serve_anyio, backend=backend)
        except Exception as error:  # noqa: BLE001 - told to the test
            self.error = error
            self._stop = lambda: None
            self._ready.set()

    async def _serve_asyncio(self):
        self.server = mqtt_adapters.asyncio.MqttServer(**self.options)
        stopping = asyncio.Event()
        self._stop = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, stopping.set)
        async with self.server:
            self._ready.set()
            await stopping.wait()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def _serve_anyio(self):
        self.server = mqtt_adapters.anyio.MqttServer(**self.options)
        stopping = anyio.Event()
        async with self.server, anyio.from_thread.BlockingPortal() as portal:
            self._stop = lambda: portal.start_task_soon(stopping.set)
            self._ready.set()
            await stopping.wait()


def settings(transport, certificates):
    """Of a listener with this transport."""
    given = {"sys_interval_s": 0.0, "bind_addr": "127.0.0.1:0"}
    if transport == "unix":
        given["bind_addr"] = f"unix:{tempfile.mkdtemp(prefix='mqtt-', dir='/tmp')}/mqtt.sock"
    if transport in {"tls", "wss"}:
        given |= {"tls_cert_file": certificates["server"], "tls_key_file": certificates["server-key"]}
    if transport in {"ws", "wss"}:
        given["websocket"] = True
    return given


def running(style, transport, certificates, **more):
    """A running server with one listener."""
    options = {name: more.pop(name) for name in ("policy", "store", "on_event", "clock") if name in more}
    return Running(style, config=ServerConfig(**settings(transport, certificates), **more), **options)


def url(server, transport):
    """Where a client finds the server."""
    if transport == "unix":
        return server.addresses[0]
    scheme = {"tcp": "mqtt", "tls": "mqtts"}.get(transport, transport)
    return f"{scheme}://127.0.0.1:{server.port}"


class Peer:
    """A client that says what it is told to, packet by packet."""

    def __init__(self, server, transport, certificates, version=5):
        self.version = version
        self._codec = MqttCodec(version)
        self._web = None
        tls = ssl.create_default_context(cafile=certificates["ca"]) if transport in {"tls", "wss"} else None
        if transport == "unix":
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(server.addresses[0].removeprefix("unix:"))
        else:
            self.sock = socket.create_connection(("127.0.0.1", server.port))
        self.sock.settimeout(20)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="127.0.0.1")
        if transport in {"ws", "wss"}:
            self._shake_hands(url(server, transport))

    def _shake_hands(self, where):
        # No thread of a library: in Python 3.11 two threads must not use one TLS socket.
        self._web = ClientProtocol(parse_uri(where), subprotocols=["mqtt"])
        self._web.send_request(self._web.connect())
        self._flush()
        while self._web.state is State.CONNECTING:
            self._web.receive_data(self.sock.recv(65536))
        assert self._web.handshake_exc is None
        assert self._web.subprotocol == "mqtt"
        self._web.events_received()

    def _flush(self):
        self.sock.sendall(b"".join(self._web.data_to_send()))

    def _receive(self):
        """Bytes of MQTT, b"" at the end."""
        while data := self.sock.recv(65536):
            if self._web is None:
                return data
            self._web.receive_data(data)
            if found := b"".join(f.data for f in self._web.events_received() if f.opcode is Opcode.BINARY):
                return found
        return b""

    def send(self, *packets):
        self.send_bytes(b"".join(self._codec.encode(packet) for packet in packets))

    def send_bytes(self, data):
        if self._web is not None:
            self._web.send_binary(data)
            self._flush()
        else:
            self.sock.sendall(data)

    def read(self):
        """The next packet; None when the server has closed."""
        while (packet := self._codec.next_packet()) is None:
            try:
                data = self._receive()
            except (ConnectionError, ssl.SSLError):
                return None
            if not data:
                return None
            self._codec.feed(data)
        return packet

    def connect(self, client_id="x", **options):
        self.send(ConnectPacket(client_id, version=self.version, keep_alive_s=0, **options))
        answer = self.read()
        assert isinstance(answer, ConnackPacket)
        assert answer.reason_code == 0
        return answer

    def subscribe(self, pattern, qos=0):
        self.send(Subscribe(1, [SubscribeFilter(pattern, qos)]))
        answer = self.read()
        assert isinstance(answer, SubackPacket)
        assert answer.reason_codes == [qos]

    def receive(self):
        packet = self.read()
        assert isinstance(packet, PublishPacket), packet
        return packet

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

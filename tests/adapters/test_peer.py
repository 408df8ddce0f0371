"""Who a policy is told is at the other end: the address, a proxy's word for it, and the client's certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct

import pytest

from mqtt_adapters.asyncio import ConfigError, MqttServer, ServerConfig, open_connection
from mqtt_adapters.server.peer import Peer
from mqtt_adapters.server.proxy import HEADER_BYTES_MAX, SIGNATURE, ProxyError, ProxyReader
from mqtt_core.broker import Accept, Refuse
from mqtt_core.codec import ConnackPacket, ConnectPacket, encode
from tests.adapters.kit import LOOPBACK, every_loop_test


class Watching:
    """Lets everybody in, and keeps who it was."""

    def __init__(self, refuse=lambda peer: False):
        self.peers = []
        self.refuse = refuse

    def authenticate(self, connect, peer):
        self.peers.append(peer)
        return Refuse() if self.refuse(peer) else Accept(peer.common_name)

    def continue_authentication(self, connect, auth, peer):
        return Refuse()

    def authorize_publish(self, principal, topic, qos, retain):
        return True

    def authorize_subscribe(self, principal, topic_filter, qos):
        return qos

    def authorize_deliver(self, principal, topic):
        return True


def make_server(policy, **settings):
    return MqttServer(ServerConfig(**{"bind_addr": LOOPBACK, "sys_interval_s": 0, **settings}), policy=policy)


def header(family, source, port, *, command=0x21, more=b""):
    """A header of the PROXY protocol; the target's address is of no interest."""
    packed = socket.inet_pton(family, source)
    addresses = packed + packed + struct.pack("!HH", port, 1883) + more
    kind = 0x11 if family == socket.AF_INET else 0x21
    return SIGNATURE + bytes([command, kind]) + struct.pack("!H", len(addresses)) + addresses


CONNECT = encode(ConnectPacket("x", keep_alive_s=0), 5)


async def say(server, data, size=5):
    """Send bytes; what comes back, at most `size` bytes, b"" when the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data[:11])  # never a whole header at once
        await asyncio.sleep(0)
        writer.write(data[11:])
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, OSError, RuntimeError):  # uvloop knows no other word for closed
        return b""
    finally:
        writer.close()


# --------------------------------------------------------------------------------------------------- certificates


@every_loop_test
async def test_a_policy_is_shown_the_checked_certificate(certificates):
    tls = {f"tls_{k}_file": certificates[v] for k, v in (("cert", "server"), ("key", "server-key"), ("ca", "ca"))}
    policy = Watching(refuse=lambda peer: peer.common_name != "client")
    async with make_server(policy, **tls) as server:
        context = ssl.create_default_context(cafile=certificates["ca"])
        context.load_cert_chain(certificates["client"], certificates["client-key"])
        async with await open_connection("127.0.0.1", server.port, ssl=context) as connection:
            await connection.write(ConnectPacket("x"))
            answer = await connection.read()
            assert isinstance(answer, ConnackPacket)
            assert answer.reason_code == 0
            (session,) = server.broker.sessions()
        assert session.identity == "client"
    (peer,) = policy.peers
    assert peer.subject == "commonName=client"
    assert peer.certificate["issuer"] == ((("commonName", "test authority"),),)
    assert peer.startswith("127.0.0.1:")


@every_loop_test
async def test_without_a_certificate_there_is_no_name(certificates):
    policy = Watching()
    tls = {"tls_cert_file": certificates["server"], "tls_key_file": certificates["server-key"]}
    async with make_server(policy, **tls) as server:
        context = ssl.create_default_context(cafile=certificates["ca"])
        async with await open_connection("127.0.0.1", server.port, ssl=context) as connection:
            await connection.write(ConnectPacket("x"))
            await connection.read()
    (peer,) = policy.peers
    assert (peer.certificate, peer.subject, peer.common_name) == (None, "", "")


def test_a_peer_is_a_string_and_the_last_common_name_counts():
    certificate = {"subject": ((("commonName", "a"),), (("organizationName", "O"), ("commonName", "b")))}
    peer = Peer("1.2.3.4:5", certificate)
    assert peer == "1.2.3.4:5"
    assert peer.common_name == "b"
    assert peer.subject == "commonName=a,organizationName=O,commonName=b"


# -------------------------------------------------------------------------------------------------- PROXY protocol


@pytest.mark.parametrize(
    "family, source, peer",
    [(socket.AF_INET, "203.0.113.7", "203.0.113.7:4711"), (socket.AF_INET6, "2001:db8::7", "[2001:db8::7]:4711")],
)
@every_loop_test
async def test_a_trusted_proxy_says_where_the_client_is(family, source, peer):
    policy = Watching()
    async with make_server(policy, proxy_networks=("127.0.0.0/8",)) as server:
        assert await say(server, header(family, source, 4711, more=b"\x04\x00\x01x") + CONNECT)
    assert policy.peers == [peer]


@every_loop_test
async def test_the_header_stands_in_front_of_tls(certificates):
    policy = Watching()
    tls = {"tls_cert_file": certificates["server"], "tls_key_file": certificates["server-key"]}
    async with make_server(policy, proxy_networks=("127.0.0.1",), **tls) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(header(socket.AF_INET, "203.0.113.7", 1))
        sock.setblocking(False)
        context = ssl.create_default_context(cafile=certificates["ca"])
        reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname="127.0.0.1")
        writer.write(CONNECT)
        assert await reader.readexactly(1) == b"\x20"
        writer.close()
        await writer.wait_closed()
    assert policy.peers == ["203.0.113.7:1"]


@every_loop_test
async def test_a_proxy_that_speaks_for_itself_is_the_peer():
    policy = Watching()
    async with make_server(policy, proxy_networks=("127.0.0.1",)) as server:
        assert await say(server, SIGNATURE + b"\x20\x00\x00\x00" + CONNECT)
    (peer,) = policy.peers
    assert peer.startswith("127.0.0.1:")


@every_loop_test
async def test_nobody_else_is_believed_and_nobody_comes_in_without_a_header():
    policy = Watching()
    async with make_server(policy, proxy_networks=("10.0.0.0/8",)) as server:
        assert await say(server, header(socket.AF_INET, "10.1.1.1", 1) + CONNECT) == b""
    async with make_server(policy, proxy_networks=("127.0.0.1",)) as server:
        assert await say(server, CONNECT) == b""
        assert await say(server, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + CONNECT) == b""
    assert policy.peers == []


@every_loop_test
async def test_a_header_that_does_not_come_is_waited_for_no_longer_than_a_connect():
    async with make_server(Watching(), proxy_networks=("127.0.0.1",), connect_timeout_s=0.05) as server:
        assert await say(server, SIGNATURE) == b""


@every_loop_test
async def test_a_server_stops_while_headers_are_awaited():
    async with make_server(Watching(), proxy_networks=("127.0.0.1",)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(SIGNATURE)
        await server.stop()
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r",
        SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),  # version 1
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),  # a command nobody knows
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),  # too short for its addresses
        SIGNATURE + b"\x21\x11" + struct.pack("!H", HEADER_BYTES_MAX + 1),
        b"",
    ],
)
def test_what_is_no_header_is_refused(data):
    reader = ProxyReader(("127.0.0.1", 1))
    with pytest.raises(ProxyError):
        while reader.wanted:
            size = reader.wanted
            reader.receive(data[:size])
            data = data[size:]


def test_other_families_are_passed_over():
    reader = ProxyReader(("127.0.0.1", 1))
    reader.receive(SIGNATURE + b"\x21\x31\x00\x03")
    assert reader.wanted == 3
    reader.receive(b"abc")
    assert (reader.wanted, reader.peer) == (0, "127.0.0.1:1")


@every_loop_test
async def test_a_network_that_is_none_is_told():
    with pytest.raises(ConfigError, match=r"proxy_networks: '10\.0\.0' does not appear to be"):
        await make_server(None, proxy_networks=("10.0.0",)).start()

"""A client that is started while its server is away: a device that comes up before the network does."""

from __future__ import annotations

import contextlib

import pytest

from mqtt_adapters.bin.inspect import survey
from mqtt_adapters.errors import ConnectionLost, ConnectRefused, OperationTimeout
from mqtt_adapters.storage import SqliteStore
from mqtt_core.codec import LocalProtocolError, ReasonCode
from tests.adapters.client.kit import OwnBroker, Proxy, contract, free_port, take

SOON = {"start_offline": True, "reconnect_min_s": 0.02, "reconnect_max_s": 0.05}
LASTING = {"client_id": "device", "clean_start": False, "session_expiry_s": 1000}


async def publish_offline(client, *payloads, topic="reading"):
    for payload in payloads:
        with contextlib.suppress(OperationTimeout):
            await client.publish(topic, payload, qos=1, timeout=0.01)


@contract
async def test_what_is_published_before_there_is_a_server_is_in_the_store_and_goes_out_in_the_next_process(
    style, own_broker, tmp_path
):
    path = tmp_path / "client.db"
    async with style.client(port=free_port(), store=SqliteStore(path), **SOON, **LASTING) as client:
        assert not client.connected
        await publish_offline(client, b"1", b"2")
        await client.committed(timeout=10)
        (session,) = survey(path)["sessions"]
        assert (session["client_id"], session["queued"]) == ("device", 2)
        assert client.unacknowledged == 2
    async with style.client(port=own_broker.port) as listener:
        await listener.subscribe("reading", qos=1)
        async with style.client(port=own_broker.port, store=SqliteStore(path), **SOON, **LASTING) as client:
            await client.wait_connected(10)
            await client.publish("reading", b"3", qos=1)
            assert [m.payload for m in await take(listener.messages, 3)] == [b"1", b"2", b"3"]


@contract
async def test_the_connection_is_made_when_the_server_comes(style):
    port = free_port()
    broker = OwnBroker(bind_addr=f"127.0.0.1:{port}")
    async with style.client(port=port, **SOON) as client:
        with pytest.raises(OperationTimeout):
            await client.subscribe("t", 1, timeout=0.05)
        await publish_offline(client, b"early", topic="t")
        broker.start()
        try:
            await client.wait_connected(20)
            assert [m.payload for m in await take(client.messages, 1)] == [b"early"]
            await client.publish("t", b"now", qos=1)
            assert [m.payload for m in await take(client.messages, 1)] == [b"now"]
        finally:
            broker.stop()


@contract
async def test_a_commit_does_not_wait_for_an_attempt_to_connect(style, silent_port, tmp_path):
    path = tmp_path / "client.db"
    # The transport is there, but TLS is never spoken: the attempt lasts until its time-out.
    url = f"mqtts://127.0.0.1:{silent_port}"
    async with style.client(url, store=SqliteStore(path), connect_timeout_s=2, **SOON, **LASTING) as client:
        await style.sleep(0.1)
        await publish_offline(client, b"1")
        if style.name != "pump":
            await client.committed(timeout=1)
        assert survey(path)["sessions"][0]["queued"] == 1


@contract
async def test_a_server_that_refuses_for_good_ends_the_client(style, strict_broker):
    async with style.client(port=strict_broker.port, username="u", password="wrong", **SOON) as client:
        with pytest.raises(ConnectRefused) as refused:
            await client.wait_connected(10)
        assert refused.value.reason_code == ReasonCode.BAD_USER_NAME_OR_PASSWORD
        with pytest.raises(ConnectRefused):
            await client.publish("t", b"x", qos=1)


@contract
async def test_without_reconnecting_there_is_one_attempt(style):
    async with style.client(port=free_port(), reconnect=False, start_offline=True) as client:
        with pytest.raises(ConnectionLost):
            await client.wait_connected(10)


@contract
async def test_without_a_queue_what_is_published_offline_is_refused(style):
    async with style.client(port=free_port(), offline="fail", **SOON) as client:
        with pytest.raises(LocalProtocolError):
            await client.publish("t", b"x", qos=1)


@contract
async def test_a_client_may_be_closed_before_it_was_ever_connected(style, silent_port):
    for port in (silent_port, free_port()):
        async with style.client(port=port, close_timeout_s=0.01, **SOON) as client:
            assert not client.connected


@contract
async def test_a_connection_lost_at_once_is_made_again(style, own_broker):
    with Proxy(own_broker.port, seed=3, cuts=2, budget=(1, 30)) as proxy:
        async with style.client(port=proxy.port, **SOON) as client:
            await client.publish("t", b"x", qos=1, timeout=20)
            assert client.connected

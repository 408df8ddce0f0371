"""What a client does is the same in every I/O style, against our broker and against mosquitto."""

from __future__ import annotations

import itertools

import pytest

from mqtt_adapters.client.streams import Overflow
from mqtt_adapters.errors import (
    ClientClosed,
    ConnectError,
    ConnectRefused,
    OperationTimeout,
    StreamOverflow,
    SubscribeError,
)
from mqtt_core.client import Connected, Disconnected, SessionLost
from mqtt_core.codec import LocalProtocolError, Properties, ReasonCode, SubscribeFilter, Will
from tests.adapters.client.kit import OwnBroker, Proxy, contract, free_port, take

versions = pytest.mark.parametrize("version", [4, 5])
_numbers = itertools.count()


def unique():
    """A topic level nobody else uses."""
    return f"u{next(_numbers)}"


@pytest.mark.spec("MQTT-4.2.0-1", version="5.0")
@pytest.mark.spec("MQTT-7.1.2-1", "MQTT-7.0.0-2", version="3.1.1")
@versions
@contract
async def test_messages_of_every_qos_go_and_come(style, server, version):
    root = unique()
    async with style.client("127.0.0.1", server.port, version=version) as client:
        assert client.connected
        assert await client.subscribe(f"{root}/#", qos=2) == 2
        for qos in (0, 1, 2):
            result = await client.publish(f"{root}/{qos}", b"%d" % qos, qos=qos)
            assert result.reason_code == 0
        found = await take(client.messages, 3)
        assert [(m.topic, m.payload, m.qos, m.retain) for m in found] == [
            (f"{root}/{qos}", b"%d" % qos, qos, False) for qos in (0, 1, 2)
        ]
        await client.unsubscribe(f"{root}/#")
    assert not client.connected


@versions
@contract
async def test_many_messages_in_order(style, server, version):
    root = unique()
    async with style.client("127.0.0.1", server.port, version=version) as client:
        await client.subscribe(f"{root}/+", 1)
        for n in range(500):
            await client.publish(f"{root}/{n % 3}", b"%d" % n, qos=0)
        last = [client.publish_nowait(f"{root}/q", b"%d" % n, qos=1) for n in range(300)]
        found = await take(client.messages, 500 + len(last))
        assert [int(m.payload) for m in found if m.qos == 0] == list(range(500))
        assert [int(m.payload) for m in found if m.qos == 1] == list(range(len(last)))


@contract
async def test_properties_come_as_they_were_sent(style, server):
    root = unique()
    properties = Properties(
        content_type="text/plain", message_expiry_interval=100, user_properties=(("a", "1"), ("a", "2"))
    )
    async with style.client("127.0.0.1", server.port) as client:
        await client.subscribe(SubscribeFilter(root, 1).filter, 1, properties=Properties(subscription_identifiers=(7,)))
        await client.publish(root, "text", qos=1, properties=properties)
        (message,) = await take(client.messages, 1)
        assert message.payload == b"text"
        assert message.properties.content_type == "text/plain"
        assert message.properties.user_properties == (("a", "1"), ("a", "2"))
        assert message.properties.subscription_identifiers == (7,)
        assert 0 < message.properties.message_expiry_interval <= 100


@contract
async def test_several_filters_in_one_subscribe(style, server):
    root = unique()
    async with style.client("127.0.0.1", server.port) as client:
        assert await client.subscribe([f"{root}/a", SubscribeFilter(f"{root}/b", 2)], 1) == [1, 2]
        assert await client.unsubscribe([f"{root}/a", f"{root}/none"]) in ([0, 0x11], [0, 0])


@contract
async def test_retained_messages_and_a_will(style, server):
    root = unique()
    will = Will(f"{root}/will", b"gone", 1, True)
    async with style.client("127.0.0.1", server.port, will=will, version=4) as client:
        await client.publish(f"{root}/kept", b"kept", qos=1, retain=True)
    async with style.client("127.0.0.1", server.port, version=4) as client:
        await client.subscribe(f"{root}/#", 1)
        (message,) = await take(client.messages, 1)  # a client that said goodbye has no will
        assert (message.payload, message.retain) == (b"kept", True)
        await client.publish(f"{root}/kept", b"", qos=1, retain=True)


@versions
@contract
async def test_a_session_keeps_messages_for_who_comes_back(style, server, version):
    root = unique()
    mine = {"client_id": root, "clean_start": False, "version": version}
    if version == 5:
        mine["session_expiry_s"] = 60
    async with style.client("127.0.0.1", server.port, **mine) as client:
        await client.subscribe(f"{root}/#", 2)
    async with style.client("127.0.0.1", server.port) as other:
        for qos in (1, 2):
            await other.publish(f"{root}/x", b"%d" % qos, qos=qos)
    async with style.client("127.0.0.1", server.port, **mine) as client:
        found = await take(client.messages, 2)
        assert [m.payload for m in found] == [b"1", b"2"]
        await client.unsubscribe(f"{root}/#")


@contract
async def test_each_stream_gets_what_it_asked_for_and_the_rest_goes_to_messages(style, server):
    root = unique()
    seen = []
    async with style.client("127.0.0.1", server.port) as client:
        with client.stream(f"{root}/a/#") as first, client.stream(f"{root}/+/x") as second:
            client.on_message(f"{root}/c/#", seen.append)
            await client.subscribe(f"{root}/#", 1)
            for topic in ("a/x", "a/y", "b/x", "b/y", "c/z"):
                await client.publish(f"{root}/{topic}", topic, qos=1)
            assert [m.payload for m in await take(first, 2)] == [b"a/x", b"a/y"]
            assert [m.payload for m in await take(second, 2)] == [b"a/x", b"b/x"]
            assert [m.payload for m in await take(client.messages, 1)] == [b"b/y"]
        await client.publish(f"{root}/a/x", b"now there is no stream", qos=1)
        assert [m.payload for m in await take(client.messages, 1)] == [b"now there is no stream"]
        assert [m.payload for m in seen] == [b"c/z"]


@contract
async def test_a_slow_consumer_does_not_stop_the_others(style, own_broker):
    root = unique()
    async with style.client("127.0.0.1", own_broker.port) as client:
        oldest = client.stream(f"{root}/#", buffer_messages=5, overflow=Overflow.DROP_OLDEST)
        newest = client.stream(f"{root}/#", buffer_messages=5, overflow=Overflow.DROP_NEWEST)
        strict = client.stream(f"{root}/#", buffer_messages=5)
        quick = client.stream(f"{root}/#")
        await client.subscribe(f"{root}/#", 1)
        for n in range(20):
            await client.publish(f"{root}/t", b"%d" % n, qos=1)
        assert [int(m.payload) for m in await take(quick, 20)] == list(range(20))
        assert [int(m.payload) for m in await take(oldest, 5)] == list(range(15, 20))
        assert [int(m.payload) for m in await take(newest, 5)] == list(range(5))
        assert (oldest.dropped, newest.dropped) == (15, 15)
        assert [int(m.payload) for m in await take(strict, 5)] == list(range(5))
        with pytest.raises(StreamOverflow):
            await take(strict, 1)
        assert client.connected


@contract
async def test_a_full_stream_pauses_the_connection_and_loses_nothing(style, own_broker):
    root = unique()
    count = 3000
    # Whoever sleeps instead of pumping sends no pings.
    quick = {} if style.name == "pump" else {"ping_timeout_s": 2.0, "keep_alive_s": 2}
    async with style.client("127.0.0.1", own_broker.port, **quick) as client:
        stream = client.stream(f"{root}/#", buffer_messages=50, overflow=Overflow.PAUSE)
        await client.subscribe(f"{root}/#", 1)
        async with style.client("127.0.0.1", own_broker.port) as other:
            for n in range(count):
                await other.publish(f"{root}/t", b"%d" % n + b"." * 500, qos=0 if n % 100 else 1)
            await style.sleep(4.5)  # longer than keep alive and ping timeout together
        assert [int(m.payload.rstrip(b".")) for m in await take(stream, count)] == list(range(count))
        assert client.connected


@contract
async def test_request_and_response(style, own_broker):
    if style.name == "pump":
        return  # one thread cannot wait for itself to answer
    root = unique()
    async with (
        style.client("127.0.0.1", own_broker.port) as service,
        style.client("127.0.0.1", own_broker.port) as client,
    ):
        answered = []

        def answer(message):
            answered.append(message)
            properties = Properties(correlation_data=message.properties.correlation_data)
            service.publish_nowait(message.properties.response_topic, message.payload.upper(), properties=properties)

        if style.name in {"asyncio", "blocking"}:
            service.on_message(f"{root}/service", answer)
            await service.subscribe(f"{root}/service", 1)
            for word in ("one", "two"):
                assert (await client.request(f"{root}/service", word)).payload == word.upper().encode()
            assert len({m.properties.correlation_data for m in answered}) == 2
        with pytest.raises(OperationTimeout):
            await client.request(f"{root}/nobody", b"?", timeout=0.1)
        with pytest.raises(LocalProtocolError):
            await service.respond((await request_without_topic(client, root)), b"!")


async def request_without_topic(client, root):
    """A message that asks for no answer."""
    await client.subscribe(f"{root}/plain", 1)
    await client.publish(f"{root}/plain", b"", qos=1)
    return (await take(client.messages, 1))[0]


@contract
async def test_311_has_no_requests(style, own_broker):
    async with style.client("127.0.0.1", own_broker.port, version=4) as client:
        with pytest.raises(LocalProtocolError):
            await client.request("t", b"")


@contract
async def test_nobody_listens(style):
    with pytest.raises(ConnectError) as caught:
        async with style.client("127.0.0.1", free_port()):
            raise AssertionError("there is no server")
    assert caught.value.reason_code == ReasonCode.SERVER_UNAVAILABLE
    assert isinstance(caught.value.__cause__, OSError)
    assert "127.0.0.1" in caught.value.reason


@contract
async def test_a_server_that_says_nothing(style, silent_port):
    with pytest.raises(ConnectError):
        async with style.client("127.0.0.1", silent_port, connack_timeout_s=0.2, close_timeout_s=0.2):
            raise AssertionError("there is no CONNACK")


@contract
async def test_use_before_and_after(style, own_broker):
    client = style.client("127.0.0.1", own_broker.port)
    with pytest.raises(ClientClosed):
        await client.publish("t", b"")
    async with client:
        pass
    with pytest.raises(ClientClosed):
        await client.publish("t", b"")
    with pytest.raises(ClientClosed):
        async with client:
            raise AssertionError("once is enough")


@contract
async def test_what_is_refused_says_why(style, strict_broker):
    with pytest.raises(ConnectRefused) as refused:
        async with style.client("127.0.0.1", strict_broker.port, username="u", password="wrong"):
            raise AssertionError("the password is wrong")
    assert refused.value.reason_code == ReasonCode.BAD_USER_NAME_OR_PASSWORD
    async with style.client(f"mqtt://u:right@127.0.0.1:{strict_broker.port}") as client:
        with pytest.raises(SubscribeError) as subscribe:
            await client.subscribe(["open/#", "secret/#"], 1)
        assert subscribe.value.reason_codes == (1, 0x87)
        assert subscribe.value.filters == ("open/#", "secret/#")
        with pytest.raises(Exception, match="not authorized") as publish:
            await client.publish("secret/x", b"", qos=1)
        assert publish.value.reason_code == ReasonCode.NOT_AUTHORIZED
        with pytest.raises(LocalProtocolError):
            await client.publish("t", b"", qos=3)


@versions
@contract
async def test_reconnecting_restores_subscriptions_and_loses_nothing(style, server, version):
    root = unique()
    events = []
    options = {"client_id": root, "version": version, "reconnect_min_s": 0.02, "reconnect_max_s": 0.05}
    with Proxy(server.port, seed=1, cuts=0) as proxy:
        async with style.client("127.0.0.1", proxy.port, **options) as client:
            client.on_event(events.append)
            await client.subscribe(f"{root}/#", 1)
            for n in range(3):
                proxy.cut_all()
                await client.publish(f"{root}/t", b"%d" % n, qos=1, timeout=10)
            payloads = {m.payload for m in await take(client.messages, 3)}
            assert payloads == {b"0", b"1", b"2"}
            assert client.connected
    assert {Connected, Disconnected} <= {type(e) for e in events}
    assert any(isinstance(e, Disconnected) and e.reconnect_at is not None for e in events)
    assert proxy.connections >= 2


@contract
async def test_a_broker_that_restarts_without_its_sessions(style):
    root = unique()
    events = []
    port = free_port()
    options = {"client_id": root, "session_expiry_s": 60, "reconnect_min_s": 0.02, "reconnect_max_s": 0.1}
    broker = OwnBroker(bind_addr=f"127.0.0.1:{port}").start()
    try:
        async with style.client("127.0.0.1", port, **options) as client:
            client.on_event(events.append)
            await client.subscribe(f"{root}/#", 1)
            broker.stop()
            broker.start()
            await client.publish(f"{root}/t", b"there again", qos=1, timeout=20)
            assert [m.payload for m in await take(client.messages, 1)] == [b"there again"]
    finally:
        broker.stop()
    assert any(isinstance(e, SessionLost) for e in events)


@contract
async def test_manual_acknowledgement_happens_when_the_program_says_so(style, server):
    root = unique()
    options = {"client_id": root, "clean_start": False, "session_expiry_s": 60, "manual_ack": True}
    async with style.client("127.0.0.1", server.port, **options) as client:
        await client.subscribe(f"{root}/#", 1)
        for word in (b"done", b"not done"):
            await client.publish(f"{root}/t", word, qos=1)
        done, _ = await take(client.messages, 2)
        client.acknowledge(done)
        await style.sleep(0)
        await client.publish(f"{root}-other", b"", qos=1)  # the acknowledgement has left before this was answered
    async with style.client("127.0.0.1", server.port, **options) as client:
        (again,) = await take(client.messages, 1)
        assert (again.payload, again.dup) == (b"not done", True)
        client.acknowledge(again)
        await client.unsubscribe(f"{root}/#")


@contract
async def test_no_answer_in_time(style, deaf_broker):
    async with style.client("127.0.0.1", deaf_broker, ack_timeout_s=0.1, close_timeout_s=0.2) as client:
        with pytest.raises(OperationTimeout):
            await client.subscribe("t")
        with pytest.raises(TimeoutError):
            await client.publish("t", b"", qos=1, timeout=0.05)
        with pytest.raises(OperationTimeout):
            await client.publish("t", b"", qos=2)


@contract
async def test_a_dead_server_is_noticed_by_its_silence(style, deaf_broker):
    events = []
    options = {"keep_alive_s": 1, "ping_timeout_s": 0.2, "reconnect": False, "close_timeout_s": 0.2}
    async with style.client("127.0.0.1", deaf_broker, **options) as client:
        client.on_event(events.append)
        with pytest.raises(Exception, match="PINGREQ") as caught:
            await client.publish("t", b"", qos=1)
        assert caught.value.reason_code == ReasonCode.KEEP_ALIVE_TIMEOUT
    assert [type(e) for e in events] == [Disconnected]

"""Other people's clients against our broker, and ours against theirs: each scenario for each partner and both versions.

What a scenario expects of a partner is filtered by `shown`: our command-line tool, for one, writes no QoS.
"""

from __future__ import annotations

import itertools

import pytest

from tests.interop.libraries import Aiomqtt, Gmqtt, MqttJs, Paho
from tests.interop.ours import OurClient, OurTools
from tests.interop.partner import Message, Options
from tests.interop.tools import Mosquitto, PahoC, PahoCSync

pytestmark = pytest.mark.anyio

PARTNERS = [Mosquitto, Paho, Aiomqtt, Gmqtt, MqttJs, PahoC, PahoCSync, OurClient, OurTools]
KEEPING = [p for p in PARTNERS if p.keeps_sessions]
VERSIONS = ["3.1.1", "5.0"]
COUNT = itertools.count(1)

each_version = pytest.mark.parametrize("version", VERSIONS)
each_partner = pytest.mark.parametrize("partner", PARTNERS, ids=lambda p: p.__name__)
each_keeping_partner = pytest.mark.parametrize("partner", KEEPING, ids=lambda p: p.__name__)
each_qos = pytest.mark.parametrize("qos", [0, 1, 2])


@pytest.fixture
def name() -> str:
    """Part of topics and client identifiers, new for each test: the broker lives as long as the session."""
    return f"t{next(COUNT)}"


@each_qos
@each_version
@each_partner
async def test_messages_arrive_in_order(client_of, partner, version, qos, name):
    subscriber, publisher = client_of(partner), client_of(partner)
    await subscriber.connect(Options(name + "s", version))
    await subscriber.subscribe(f"{name}/+/#", qos)
    await publisher.connect(Options(name + "p", version))
    sent = [Message(f"{name}/a/{i % 2}", f"number {i} ü".encode(), qos) for i in range(5)]
    for message in sent:
        await publisher.publish(message)
    assert await subscriber.receive(len(sent)) == [subscriber.shown(m) for m in sent]
    await publisher.disconnect()
    await subscriber.disconnect()


@each_version
@each_partner
async def test_delivery_uses_the_lower_of_both_qos(client_of, partner, version, name):
    subscriber, publisher = client_of(partner), client_of(partner)
    await subscriber.connect(Options(name + "s", version))
    await subscriber.subscribe(f"{name}/t", 1)
    await publisher.connect(Options(name + "p", version))
    for qos in (0, 1, 2):
        await publisher.publish(Message(f"{name}/t", b"m", qos))
    expected = [subscriber.shown(Message(f"{name}/t", b"m", qos)) for qos in (0, 1, 1)]
    assert await subscriber.receive(3) == expected
    await publisher.disconnect()
    await subscriber.disconnect()


@each_qos
@each_version
@each_partner
async def test_retained_message_greets_a_new_subscriber_until_it_is_cleared(client_of, partner, version, qos, name):
    topic = f"{name}/state"
    publisher, watcher = client_of(partner), client_of(Paho)
    await publisher.connect(Options(name + "p", version))
    await watcher.connect(Options(name + "w", version))
    await watcher.subscribe(topic, 0)

    async def publish(payload: bytes) -> None:
        """What the watcher has seen the broker has stored, also at QoS 0."""
        await publisher.publish(Message(topic, payload, qos, retain=True))
        assert await watcher.receive() == [Message(topic, payload, 0)]

    await publish(b"old")
    await publish(b"new")
    first = client_of(partner)
    await first.connect(Options(name + "a", version))
    await first.subscribe(topic, qos)
    assert await first.receive() == [first.shown(Message(topic, b"new", qos, retain=True))]
    await publish(b"live")
    assert await first.receive() == [first.shown(Message(topic, b"live", qos, retain=False))]
    await first.disconnect()

    await publish(b"")
    second = client_of(partner)
    await second.connect(Options(name + "b", version))
    await second.subscribe(topic, qos)
    await publisher.publish(Message(topic, b"end", qos))
    assert await second.receive_until(b"end") == []
    for client in (second, publisher, watcher):
        await client.disconnect()


@each_version
@each_partner
@pytest.mark.parametrize("lost", [True, False], ids=["connection lost", "disconnected"])
async def test_will_is_published_when_the_connection_is_lost_and_only_then(client_of, partner, version, lost, name):
    topic = f"{name}/will"
    watcher, mortal = client_of(Paho), client_of(partner)
    await watcher.connect(Options(name + "w", version))
    await watcher.subscribe(topic, 1)
    await mortal.connect(Options(name + "m", version, will=Message(topic, b"gone", 1)))
    await mortal.subscribe(f"{name}/x", 0)
    await (mortal.drop() if lost else mortal.disconnect())
    if lost or version in partner.asks_for_will:
        assert await watcher.receive() == [Message(topic, b"gone", 1)]
    await watcher.publish(Message(topic, b"end", 1))
    assert await watcher.receive_until(b"end") == []
    await watcher.disconnect()


@each_version
@each_keeping_partner
@pytest.mark.parametrize("lost", [True, False], ids=["connection lost", "disconnected"])
async def test_session_keeps_subscriptions_and_messages_across_a_reconnect(client_of, partner, version, lost, name):
    topic = f"{name}/queue"
    absent, publisher = client_of(partner), client_of(partner)
    options = Options(name + "s", version, clean=False, keep=True)
    assert await absent.connect(options) in {False, None}
    await absent.subscribe(topic, 2)
    await (absent.drop() if lost else absent.disconnect())

    await publisher.connect(Options(name + "p", version))
    sent = [Message(topic, f"number {i}".encode(), 1 + i % 2) for i in range(6)]
    for message in sent:
        await publisher.publish(message)

    assert await absent.connect(options) in {True, None}
    await absent.resume(topic, 2)
    received = await absent.receive(len(sent))
    # Messages of one QoS keep their order; those of QoS 2 may be shown later, when their PUBREL has come.
    for qos in (1, 2):
        expected = [absent.shown(m) for m in sent if m.qos == qos]
        assert [m for m in received if m in expected] == expected
    await absent.disconnect()

    # A clean start ends the session: what is published now has no one to wait for.
    assert await absent.connect(Options(name + "s", version)) in {False, None}
    await absent.subscribe(f"{name}/other", 1)
    await publisher.publish(Message(topic, b"lost", 1))
    await publisher.publish(Message(f"{name}/other", b"end", 1))
    assert await absent.receive_until(b"end") == []
    await absent.disconnect()
    await publisher.disconnect()


@each_version
@each_partner
async def test_shared_subscription_gives_each_message_to_one_member(client_of, partner, version, name):
    members = [client_of(partner) for _ in range(2)]
    for i, member in enumerate(members):
        await member.connect(Options(f"{name}m{i}", version))
        await member.subscribe(f"$share/{name}/{name}/job/#", 1)
    publisher = client_of(Paho)
    await publisher.connect(Options(name + "p", version))
    for i in range(10):
        await publisher.publish(Message(f"{name}/job/{i}", str(i).encode(), 1))
    shares = [await member.receive(5) for member in members]
    assert sorted(int(m.payload) for share in shares for m in share) == list(range(10))
    await publisher.disconnect()
    for member in members:
        await member.disconnect()

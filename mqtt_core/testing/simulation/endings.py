"""What must hold when a world has come to rest: a roll call, the retained messages, and nothing left behind.

Law: everything is asked for over the wire, by clients, but for the broker's own looks (`sessions`, `counters`) that say
whether it has let go of what it does not need any more.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from mqtt_core.client import ClientConfig
from mqtt_core.codec.packet import SubscribeFilter
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.types import V5
from mqtt_core.testing.simulation.client import Client
from mqtt_core.testing.simulation.model import NEVER

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.world import World

__all__ = ["check_limits", "check_nothing_left", "check_retained", "roll_call"]

CALLERS_MAX = 4
PAUSE_S = 30.0


def roll_call(world: World) -> None:
    """In calm weather a message of every QoS reaches everybody who is surely subscribed, QoS 0 too."""
    oracle = world.oracle
    for client in world.clients[:CALLERS_MAX]:
        for qos in (0, 1, 2):
            message = oracle.new_message(client.name, world.workload.topics[0], 8, qos, False)
            message.calm = True
            client.publish(message)
            world.rest()
            for session in oracle.sessions.values():
                if message.number in session.owed:
                    oracle.fault(f"{session.client_id} never got {message!r} although all was calm")
    oracle.count("roll call")


def check_retained(world: World) -> None:
    """A new client that subscribes to everything gets the last retained messages, and no others."""
    oracle = world.oracle
    now = world.schedule.now
    config = ClientConfig(client_id="probe", version=V5, session_expiry_s=0, keep_alive_s=0)
    probe = Client(world, "probe", config, None, Random("probe"))
    probe.start()
    world.schedule.run(now + PAUSE_S, 1_000_000)
    probe.subscribe(SubscribeFilter("t/#", 1), 0)
    world.schedule.run(world.schedule.now + PAUSE_S, 1_000_000)
    got: dict[str, list[int]] = {}
    for number in oracle.sessions["probe"].seen:
        message = oracle.messages[number]
        got.setdefault(message.topic, []).append(number)
    for topic, slot in oracle.retained.slots.items():
        found = got.get(topic, [])
        last = slot.writes[-1]
        expired = last > 0 and oracle.messages[last].deadline <= world.schedule.now
        if not slot.unsure and not expired and found != ([last] if last > 0 else []):
            oracle.fault(f"retained on {topic} is {found}, last written was {last}")
        if any(number not in slot.writes for number in found):
            oracle.fault(f"retained on {topic} is {found}, it can only be one of {slot.writes}")
    oracle.count("retained checked")
    assert probe.core is not None
    probe.awake = False
    probe.core.disconnect(world.schedule.now)
    probe.tick()


def check_limits(world: World) -> None:
    """No queue, flight or outbox is above its limit."""
    broker = world.server.broker
    if broker is None:
        return
    config = broker.config
    for session in broker.sessions():
        if session.queued() > config.queue_messages_max:
            world.oracle.fault(f"{session.queued()} messages queued for {session.client_id}")
        if len(session.inflight) > config.inflight_max and session.local is None:
            world.oracle.fault(f"{len(session.inflight)} messages in flight to {session.client_id}")
    if broker.counters.queued_messages < 0 or broker.counters.queued_bytes < 0:
        world.oracle.fault("the books of the queues are wrong")


def check_nothing_left(world: World) -> None:
    """Everybody leaves and every session expires: the broker and its storage are as empty as new."""
    options = world.options
    for client in world.clients:
        core = client.core
        assert core is not None
        client.awake = False
        ends = client.config.version == V5 and client.config.session_expiry_s > 0 and options.session_expiry_s == NEVER
        core.disconnect(world.schedule.now, properties=Properties(session_expiry_interval=0) if ends else NO_PROPERTIES)
        client.tick()
    wait_s = options.session_expiry_s if options.session_expiry_s != NEVER else 0
    world.schedule.run(world.schedule.now + wait_s + 2 * PAUSE_S, 1_000_000)
    broker = world.server.broker
    assert broker is not None
    left = [session.client_id for session in broker.sessions() if session.expiry_s != NEVER]
    if left:
        world.oracle.fault(f"sessions that should have expired: {left}")
    if not list(broker.sessions()) and (broker.counters.queued_messages or broker.counters.queued_bytes):
        world.oracle.fault("no session is left, but queues are")
    if world.server.storage is not None:
        stored = world.server.storage.load().sessions
        known = {session.client_id: None for session in broker.sessions()}
        extra = [client_id for client_id in stored if client_id not in known]
        if extra:
            world.oracle.fault(f"sessions left in the storage: {extra}")
    world.oracle.count("nothing left")

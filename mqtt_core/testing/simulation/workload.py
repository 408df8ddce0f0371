"""What the clients of a world do: publish, subscribe, sleep, go away.

Law: everything is drawn from the seed when it is due. Plain topics live below `t/`, those of shared subscriptions below
`s/`, so that it is always clear for which subscription a message came; retained messages have topics of their own.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from mqtt_core.codec.packet import SubscribeFilter, Will
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.types import V5

if TYPE_CHECKING:
    from mqtt_core.testing.simulation.client import Client
    from mqtt_core.testing.simulation.world import World

__all__ = ["Workload"]


class Workload:
    """Acts for the clients of one world, each by its own turns."""

    def __init__(self, world: World) -> None:
        options = world.options
        self.world = world
        self.rng = Random(f"workload/{options.seed}")
        self.active = True
        self.topics = [f"t/{i}/{'ab'[i % 2]}" for i in range(options.topics)]
        self.retained_topics = [f"t/{i}/r" for i in range(options.topics)]
        self.shared_topics = [f"s/x{i}" for i in range(max(options.topics // 2, 1))]
        self.filters = [*self.topics, *self.retained_topics, "t/#", "t/+/a", "t/+/+", "+/0/#", "t/1/#"]
        if not options.shared:
            self.filters.append("#")
        self.groups = ["$share/g/s/#", "$share/h/s/+", "$share/g/s/0"]

    def pick(self, choices: list[str]) -> str:
        """One of them."""
        return choices[int(self.rng.random() * len(choices))]

    def act(self, client: Client) -> None:
        """A client's turn: do something, and take the next turn later."""
        if not self.active:
            return
        options = self.world.options
        rng = self.rng
        self.world.schedule.at(self.world.schedule.now + rng.random() * 2 * options.pause_s, self.act, client)
        if client.core is None:
            return
        turn = rng.random()
        if turn < 0.82:
            for _ in range(1 + int(rng.random() * options.burst)):
                self.publish(client)
        elif turn < 0.92 or not client.core.subscriptions:
            self.subscribe(client)
        elif turn < 0.95:
            client.unsubscribe(self.pick(client.core.subscriptions))
        elif client.awake and rng.random() < options.share_sleepy:
            client.sleep(rng.random() * 20 * options.pause_s)

    def publish(self, client: Client) -> None:
        """Publish one message."""
        options = self.world.options
        rng = self.rng
        draw = rng.random()
        qos = 0 if draw < options.qos0 else 2 if draw < options.qos0 + options.qos2 else 1
        retain = rng.random() < options.retain
        topics = self.retained_topics if retain else self.topics
        if not retain and rng.random() < options.shared:
            topics = self.shared_topics
        size = 8 + int(rng.random() * options.payload_max)
        if options.max_packet_size and client.config.version != V5:
            size = min(size, options.max_packet_size - 60)  # nothing tells a 3.1.1 client how much the broker takes
        message = self.world.oracle.new_message(client.name, self.pick(topics), size, qos, retain)
        properties = NO_PROPERTIES
        if client.config.version == V5:
            if rng.random() < options.expiry:
                message.expiry_s = (1, 5, 3600)[int(rng.random() * 3)]
            if rng.random() < options.properties:
                message.content = f"type {message.number}"
            if message.expiry_s >= 0 or message.content is not None:
                properties = Properties(
                    message_expiry_interval=message.expiry_s if message.expiry_s >= 0 else None,
                    content_type=message.content,
                )
        client.publish(message, properties, empty=retain and rng.random() < 0.15)

    def subscribe(self, client: Client) -> None:
        """Subscribe to a filter, maybe one that is there already."""
        options = self.world.options
        rng = self.rng
        qos = int(rng.random() * 3)
        if rng.random() < options.shared and client.config.version == V5:
            client.subscribe(SubscribeFilter(self.groups[len(client.name) % 2], qos), 0)
            return
        version5 = client.config.version == V5
        wanted = SubscribeFilter(
            self.pick(self.filters),
            qos,
            version5 and rng.random() < 0.15,
            version5 and rng.random() < 0.2,
            int(rng.random() * 3) if version5 else 0,
        )
        client.subscribe(wanted, 1 + int(rng.random() * 200) if version5 and rng.random() < 0.3 else 0)

    def make_will(self, name: str, rng: Random, version: int) -> Will:
        """A will for a client."""
        topic = self.topics[int(rng.random() * len(self.topics))]
        message = self.world.oracle.new_message(name, topic, 12, int(rng.random() * 3), False)
        message.will = True
        delay_s = int(rng.random() * 10)
        properties = Properties(will_delay_interval=delay_s) if version == V5 and delay_s else NO_PROPERTIES
        return Will(message.topic, message.payload, message.qos, False, properties)

"""A client under test, and what its server would see and say.

Server packets are made by hand and fed as bytes; what the client sends is decoded, or compared as bytes. Time is a
number that tests move.
"""

from __future__ import annotations

from mqtt_core.client import ClientConfig, Connected, MqttClient
from mqtt_core.codec import ConnackPacket, MqttDecoder, Properties, encode


class Dice:
    """Randomness that always says the same."""

    def __init__(self, value=0.0):
        self.value = value

    def random(self):
        return self.value


class Wire:
    """One client, its clock, and the server's end of its connection."""

    def __init__(self, *, version=5, journal=None, snapshot=None, rng=None, now=1000.0, **config):
        config.setdefault("client_id", "c")
        self.version = version
        self.now = now
        self.client = MqttClient(
            ClientConfig(version=version, **config), rng=rng or Dice(), journal=journal, snapshot=snapshot
        )
        self.decoder = MqttDecoder(version)

    def connect(self):
        """A new connection as far as CONNECT, which is returned."""
        self.decoder = MqttDecoder(self.version)
        self.client.connect(self.now)
        return self.sent()[0]

    def open(self, *, present=False, **properties):
        """A new connection, accepted; returns the events of that."""
        self.events()
        self.connect()
        return self.open_now(present=present, **properties)

    def open_now(self, *, present=False, **properties):
        """CONNACK for a connection that was begun; returns the events of that."""
        self.receive(ConnackPacket(0, present, Properties(**properties)))
        events = self.events()
        assert isinstance(events[0], Connected), events
        return events

    def receive(self, *packets):
        """The server sends packets, all in one chunk."""
        self.receive_bytes(b"".join([encode(packet, self.version) for packet in packets]))

    def receive_bytes(self, data):
        self.client.receive_data(data, self.now)

    def raw(self):
        """The bytes the client wants written."""
        return b"".join(self.client.data_to_send())

    def sent(self):
        """The packets the client wants written."""
        self.decoder.feed(self.raw())
        packets = []
        while (packet := self.decoder.next_packet()) is not None:
            packets.append(packet)
        return packets

    def events(self):
        return self.client.take_events()

    def lose(self):
        """The connection breaks; returns the events of that."""
        self.client.receive_eof(self.now)
        return self.events()

    def wait(self, seconds):
        """Time passes, and the timer is handled at each deadline on the way."""
        end = self.now + seconds
        while (deadline := self.client.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.client.handle_timer(self.now)
            yield from self.sent()
        self.now = end

    def publish(self, topic, payload=b"", **options):
        return self.client.publish(topic, payload, now=self.now, **options)

    def commit(self):
        """The storage makes one batch durable; returns whether there was one."""
        batch = self.client.take_writes()
        if batch is None:
            return False
        self.client.writes_committed(batch.number)
        return True

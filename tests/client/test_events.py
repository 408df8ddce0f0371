from __future__ import annotations

from mqtt_core.client import ClientConfig, MessageReceived, PublishCompleted
from mqtt_core.codec import Properties
from tests.client.kit import Wire


def test_events_compare_by_what_they_say():
    message = MessageReceived("t", b"p", 1, True, False, Properties(content_type="x"), 3)
    assert message == MessageReceived("t", b"p", 1, True, False, Properties(content_type="x"), 3)
    assert message != MessageReceived("t", b"p", 1, True, False, Properties(content_type="x"), 4)
    assert PublishCompleted(1, 0x10) == PublishCompleted(1, 0x10)
    assert PublishCompleted(1) != PublishCompleted(2)
    assert (message == 1, PublishCompleted(1) == 1) == (False, False)


def test_events_show_what_they_say():
    assert repr(MessageReceived("t", b"p", 1)) == (
        "MessageReceived(topic='t', payload=b'p', qos=1, retain=False, dup=False, properties=Properties(), token=0)"
    )
    assert repr(PublishCompleted(3, 0x87)) == "PublishCompleted(token=3, reason_code=135, properties=Properties())"


def test_a_client_can_be_looked_at():
    wire = Wire()
    assert wire.client.config == ClientConfig("c")
    assert (wire.client.connected, wire.client.client_id, wire.client.subscriptions) == (False, "c", [])
    assert (wire.client.outbox_bytes, wire.client.unacknowledged) == (0, 0)
    assert wire.client.next_deadline() is None
    wire.open()
    assert wire.client.now == wire.now

"""What a message is: its size for the limits, and what makes two of them equal."""

from __future__ import annotations

from time import process_time

from mqtt_core.codec import Properties
from mqtt_core.session import Message


def test_the_size_of_a_message_is_that_of_topic_payload_and_properties():
    assert Message("a/b", b"1234").size() == 7
    assert Message("ä", b"").size() == 2
    assert Message("a", b"12", properties=Properties(content_type="x")).size() == 3 + 1 + 4


def test_a_message_with_very_many_properties_is_measured_once():
    properties = Properties(user_properties=tuple(("a", "b") for _ in range(20_000)))
    message = Message("a", b"", 1, properties=properties)
    began = process_time()
    sizes = [message.size() for _ in range(2000)]
    assert process_time() - began < 2  # measured anew for each of 2,000 recipients it takes 20 s
    assert set(sizes) == {1 + 3 + 20_000 * 7}

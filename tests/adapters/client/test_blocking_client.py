"""What only the blocking client has: threads, a background thread, and none."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from mqtt_adapters.blocking import Client
from mqtt_adapters.errors import ClientClosed
from mqtt_adapters.storage.sqlite import SqliteStore
from mqtt_core.codec import LocalProtocolError


def test_many_threads_publish_through_one_client(own_broker):
    with Client("127.0.0.1", own_broker.port) as client:
        client.subscribe("threads/#", 1)

        def publish(name):
            for n in range(200):
                client.publish(f"threads/{name}", b"%d" % n, qos=n % 3)

        threads = [threading.Thread(target=publish, args=(name,)) for name in range(5)]
        for thread in threads:
            thread.start()
        found = {}
        stream = client.messages(timeout=20)
        for _ in range(1000):
            message = next(stream)
            found.setdefault(message.topic, []).append(int(message.payload))
        for thread in threads:
            thread.join()
    assert len(found) == 5
    for numbers in found.values():
        assert sorted(numbers) == list(range(200))


def test_the_background_thread_ends_with_the_client(own_broker):
    before = threading.active_count()
    with Client("127.0.0.1", own_broker.port):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    with Client("127.0.0.1", own_broker.port, background=False):
        assert threading.active_count() == before


def test_iterating_ends_after_a_silence_and_can_begin_again(own_broker):
    with Client("127.0.0.1", own_broker.port) as client:
        client.subscribe("silence", 1)
        stream = client.messages(timeout=0.1)
        assert list(stream) == []
        client.publish("silence", b"1", qos=1)
        assert [m.payload for m in stream] == [b"1"]


def test_pumping_does_everything_a_thread_would(own_broker):
    seen = []
    with Client("127.0.0.1", own_broker.port, background=False, keep_alive_s=1) as client:
        client.on_message("pump/#", lambda m: seen.append(m.payload))
        client.subscribe("pump/#", 1)
        pending = client.publish_nowait("pump/t", b"1", qos=1)
        end = time.monotonic() + 5
        while (not pending.done() or not seen) and time.monotonic() < end:
            client.pump(0.1)
        assert pending.result().reason_code == 0
        assert seen == [b"1"]
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            client.pump(0.5)
        assert client.connected
    with Client("127.0.0.1", own_broker.port) as client, pytest.raises(LocalProtocolError):
        client.pump()


def test_a_callback_may_publish_but_not_wait_for_itself(own_broker):
    refused = []
    done = threading.Event()

    def answer(message):
        client.publish("answers", b"from a callback")
        try:
            client.publish("answers", b"", qos=1)
        except LocalProtocolError as error:
            refused.append(error)
        done.set()

    with Client("127.0.0.1", own_broker.port) as client:
        client.on_message("questions", answer)
        client.subscribe(["questions", "answers"], 0)
        client.publish("questions", b"?")
        assert done.wait(10)
        assert next(client.messages(timeout=10)).payload == b"from a callback"
    assert len(refused) == 1


def test_a_callback_that_fails_is_reported(own_broker, monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(str(args.exc_value)))
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: told.append(str(error)))

    def fail(message):
        raise ValueError(message.payload.decode())

    for background in (True, False):
        with Client("127.0.0.1", own_broker.port, background=background) as client:
            client.on_message("fail/#", fail)
            client.subscribe("fail/#", 1)
            client.publish("fail/t", str(background), qos=1)
            with client.stream("fail/#", timeout=10) as stream:
                client.publish("fail/t", "again", qos=1)
                next(stream)
    assert told == ["True", "again", "False", "again"]


def test_who_waits_when_another_thread_closes_the_client_is_told(own_broker):
    client = Client("127.0.0.1", own_broker.port).start()
    told = []

    def read():
        told.append(list(client.messages()))

    reader = threading.Thread(target=read)
    reader.start()
    client.close()
    reader.join(10)
    assert told == [[]]
    client.close()
    with pytest.raises(ClientClosed):
        client.publish("t", b"")


def test_a_durable_client_goes_on_where_the_last_one_stopped(own_broker, tmp_path):
    options = {"client_id": "durable-blocking", "clean_start": False, "session_expiry_s": 600}
    for background in (True, False):
        store = SqliteStore(tmp_path / "client.db")
        with Client("127.0.0.1", own_broker.port, background=background, store=store, **options) as client:
            for qos in (1, 2):
                client.publish("durable/t", b"", qos=qos)
            assert client.unacknowledged == 0

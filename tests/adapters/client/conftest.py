"""Servers for the client tests."""

from __future__ import annotations

import socket
import threading

import pytest

from mqtt_core.broker import Accept, Refuse
from mqtt_core.codec import ReasonCode
from tests.adapters.client.kit import Mosquitto, OwnBroker


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory):
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as server:
        yield server


@pytest.fixture(scope="session")
def own_broker():
    with OwnBroker() as server:
        yield server


@pytest.fixture(params=["own", "mosquitto"])
def server(request):
    return request.getfixturevalue("own_broker" if request.param == "own" else "mosquitto")


class StrictPolicy:
    """User "u" with password "right" may do everything outside of secret/."""

    def authenticate(self, connect, peer):
        if (connect.username, connect.password) != ("u", b"right"):
            return Refuse(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
        return Accept("u")

    def continue_authentication(self, connect, auth, peer):
        return Refuse()

    def authorize_publish(self, principal, topic, qos, retain):
        return not topic.startswith("secret/")

    def authorize_subscribe(self, principal, topic_filter, qos):
        return ReasonCode.NOT_AUTHORIZED if topic_filter.startswith("secret/") else qos

    def authorize_deliver(self, principal, topic):
        return True


@pytest.fixture(scope="session")
def strict_broker():
    with OwnBroker(policy=StrictPolicy()) as server:
        yield server


@pytest.fixture
def silent_port():
    """Somebody listens, accepts, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def deaf_broker():
    """Answers CONNECT, and nothing else."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        kept = []
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                break
            kept.append(sock)
            sock.recv(1000)
            sock.sendall(b"\x20\x03\x00\x00\x00")
        for sock in kept:
            sock.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


class CountingServer:
    """Accepts every CONNECT and answers nothing else; `connections` counts."""

    def __init__(self):
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with sock:
                try:
                    sock.recv(1000)
                    sock.sendall(b"\x20\x03\x00\x00\x00")
                    while sock.recv(1000):
                        pass
                except OSError:
                    continue

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def counting_server():
    server = CountingServer()
    yield server
    server.stop()


@pytest.fixture
def stuck_server():
    """Answers one CONNECT and reads nothing more."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    done = threading.Event()

    def serve():
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock:
            sock.recv(1000)
            sock.sendall(b"\x20\x03\x00\x00\x00")
            done.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    done.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()

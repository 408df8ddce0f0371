"""One connection of a blocking server does not keep the others waiting, however much it has to say."""

from __future__ import annotations

import socket
import ssl
import threading

from mqtt_adapters.blocking import MqttServer, ServerConfig
from mqtt_core.codec import ConnectPacket, PublishPacket, encode

COUNT = 200


def test_a_busy_connection_with_tls_takes_turns(certificates):
    config = ServerConfig(
        bind_addr="127.0.0.1:0", tls_cert_file=certificates["server"], tls_key_file=certificates["server-key"]
    )
    context = ssl.create_default_context(cafile=certificates["ca"])
    connected, begin, sent, over = [threading.Event() for _ in range(4)]
    with MqttServer(config, background=False) as server:

        def talk():
            with context.wrap_socket(
                socket.create_connection(("127.0.0.1", server.port)), server_hostname="127.0.0.1"
            ) as sock:
                sock.sendall(encode(ConnectPacket("c", keep_alive_s=0), 5))
                sock.recv(1000)
                connected.set()
                begin.wait(10)
                for _ in range(COUNT):
                    sock.sendall(encode(PublishPacket("t"), 5))  # a TLS record each
                sent.set()
                over.wait(10)

        talker = threading.Thread(target=talk)
        talker.start()
        while not connected.is_set():
            server.pump(0.01)
        subscription = server.subscribe("t")
        begin.set()
        sent.wait(10)
        taken = []
        while sum(taken) < COUNT:
            server.pump(1)
            taken.append(0)
            while subscription.take() is not None:
                taken[-1] += 1
        over.set()
        talker.join()
    assert max(taken) < COUNT // 2

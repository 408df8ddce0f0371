"""MQTT over a serial line: a broker at one end of a pseudo-terminal pair, a client at the other.

A pseudo-terminal behaves as a serial port does, so `SerialLine` is what a transport over ``/dev/ttyUSB0`` would be.
Neither broker nor client knows: the broker is given the transport, the client a function that connects one.
"""

from __future__ import annotations

import os
import pty
import tty

from mqtt_adapters.blocking import Client, MqttServer, ServerConfig


class SerialLine:
    """A blocking transport over the file descriptor of a terminal. It keeps no byte and makes none up."""

    def __init__(self, descriptor: int) -> None:
        tty.setraw(descriptor)  # no echo, no line editing, no byte with a meaning of its own
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def recv(self, size: int) -> bytes:
        try:
            return os.read(self._descriptor, size)
        except BlockingIOError:
            raise  # nothing has arrived yet
        except OSError:
            return b""  # the other end has hung up

    def send(self, data: bytes) -> int:
        return os.write(self._descriptor, data)

    def setblocking(self, flag: bool) -> None:
        os.set_blocking(self._descriptor, flag)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def main() -> None:
    broker_end, client_end = pty.openpty()
    with MqttServer(ServerConfig(bind_addr="127.0.0.1:0")) as server:
        server.serve_transport(SerialLine(broker_end), peer="ttyS0")
        with Client(connector=lambda _: SerialLine(client_end), reconnect=False) as client:
            client.subscribe("boiler/#", qos=2)
            client.publish("boiler/temperature", b"71.5", qos=2)
            for message in client.messages(timeout=10):
                print(message.topic, message.payload.decode())
                break
            server.publish("boiler/burner", b"off", qos=1)
            for message in client.messages(timeout=10):
                print(message.topic, message.payload.decode())
                break


if __name__ == "__main__":
    main()

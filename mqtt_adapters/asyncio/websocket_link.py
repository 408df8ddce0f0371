"""One connection of the asyncio server over WebSocket: a `ServerLink` with a `ServerLayer` between the bytes.

Laws: those of `ServerLink`; the layer knows no MQTT, and the link no WebSocket. Whatever ends the WebSocket is, for the
broker, the end of the client's input. Answers to pings are written only as fast as the client reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqtt_adapters.asyncio.link import ServerLink
from mqtt_adapters.config import ListenerConfig
from mqtt_adapters.server.peer import Peer
from mqtt_adapters.websocket import ServerLayer

if TYPE_CHECKING:
    from mqtt_adapters.asyncio.server import MqttServer

__all__ = ["WebSocketLink"]


class WebSocketLink(ServerLink):
    """See the module. throttled: not read, because the client does not read the answers to its pings."""

    __slots__ = ("_layer", "_throttled")

    def __init__(self, server: MqttServer, tls: bool, address: Peer, listener: ListenerConfig) -> None:
        super().__init__(server, tls, address)
        self._layer = ServerLayer(listener, server.config.max_packet_size)
        self._throttled = False

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes have arrived."""
        if self.finished:
            return
        server, layer = self._server, self._layer
        payload = layer.receive(bytes(server.buffer[:nbytes]))
        if answer := layer.data_to_send():
            self._transport.write(answer)
            if not self.writable and not self._throttled:
                self._throttled = True
                self.set_reading(False)
        if payload:
            server.driver.receive(self, payload)
        if layer.closing and not self.finished:
            server.driver.receive_eof(self)
        server.input_arrived()

    def resume_writing(self) -> None:
        """The transport has room again."""
        if self._throttled:
            self._throttled = False
            self.set_reading(self.reading)
        super().resume_writing()

    def write(self, data: bytes) -> None:
        """Give `data` to the transport, in frames."""
        self._transport.write(self._layer.wrap(data))

    def set_reading(self, reading: bool) -> None:
        """Pause or resume reading."""
        super().set_reading(reading and not self._throttled)

    def finish(self, wrote: bool) -> None:
        """Close the WebSocket, then as every connection."""
        if goodbye := self._layer.close():
            self._transport.write(goodbye)
            wrote = True
        super().finish(wrote)

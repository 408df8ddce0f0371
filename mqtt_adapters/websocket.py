"""MQTT over WebSocket: the layer between a byte stream and MQTT's bytes (section 6), without I/O.

It stands on the sans-IO layer of the `websockets` package (extra `ws`), which does the handshake, the frames and their
masks. Laws: MQTT's bytes travel in binary frames, cut anyhow; any other kind of data frame ends the connection; the
sub-protocol is "mqtt", offered by the client and confirmed by the server.
"""

from __future__ import annotations

from typing import Final

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Protocol, State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from mqtt_adapters.client_settings import ClientSettings

__all__ = ["SUBPROTOCOL", "WebSocketLayer"]

SUBPROTOCOL: Final = Subprotocol("mqtt")


class WebSocketLayer:
    """The client's side of one WebSocket.

    Feed what arrives to `receive`, write what `data_to_send` gives. open: the handshake is done. closing: close the
    transport once that is written. failure: why there is no WebSocket, "" while there may be one.
    """

    def __init__(self, settings: ClientSettings) -> None:
        uri = parse_uri(str(settings.address))
        self._protocol = ClientProtocol(uri, subprotocols=[SUBPROTOCOL], max_size=None)  # [MQTT-6.0.0-3]
        request = self._protocol.connect()
        request.headers.update(Headers(list(settings.ws_headers)))
        self._protocol.send_request(request)
        self.open = False
        self.failure = ""
        self._continued = False

    @property
    def closing(self) -> bool:
        """The transport is to be closed."""
        return self._protocol.close_expected() or bool(self.failure)

    def receive(self, data: bytes) -> bytes:
        """Take what arrived; returns the bytes of MQTT in it, in order, whatever the frames [MQTT-6.0.0-2]."""
        protocol: Protocol = self._protocol
        protocol.receive_data(data)
        payload: list[bytes] = []
        for event in protocol.events_received():
            if isinstance(event, Response):
                self._finish_handshake(event)
            elif isinstance(event, Frame) and not self.failure:
                self._take(event, payload)
        if self._protocol.handshake_exc is not None and not self.failure:
            self.failure = f"no WebSocket: {self._protocol.handshake_exc}"
        return b"".join(payload)

    def _finish_handshake(self, response: Response) -> None:
        error = self._protocol.handshake_exc
        if error is not None:
            self.failure = f"no WebSocket: {error}" if isinstance(error, InvalidHandshake) else str(error)
        elif response.headers.get("Sec-WebSocket-Protocol") != SUBPROTOCOL:
            self.failure = "the server does not speak mqtt over WebSocket"
            self._protocol.fail(CloseCode.PROTOCOL_ERROR, "no mqtt")
        else:
            self.open = True

    def _take(self, frame: Frame, payload: list[bytes]) -> None:
        if frame.opcode is Opcode.BINARY or (frame.opcode is Opcode.CONT and self._continued):
            payload.append(bytes(frame.data))
            self._continued = not frame.fin
        elif frame.opcode in {Opcode.TEXT, Opcode.CONT}:  # [MQTT-6.0.0-1]
            self.failure = "a WebSocket frame that is not binary"
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "binary only")

    def wrap(self, data: bytes) -> bytes:
        """Bytes of MQTT as a frame, with whatever else there is to send [MQTT-6.0.0-1]."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(data)
        return self.data_to_send()

    def data_to_send(self) -> bytes:
        """What the layer itself has to say: the handshake, answers to pings, the closing frame."""
        return b"".join(self._protocol.data_to_send())

    def close(self) -> bytes:
        """The closing frame."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        return self.data_to_send()

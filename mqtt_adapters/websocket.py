"""MQTT over WebSocket: the layer between a byte stream and MQTT's bytes (section 6), without I/O.

It stands on the sans-IO layer of the `websockets` package (extra `ws`), which does the handshake, the frames and their
masks. Laws: MQTT's bytes travel in binary frames, cut anyhow; any other kind of data frame ends the connection; the
sub-protocol is "mqtt", offered by the client and confirmed by the server. What waits here is less than one frame, and
the size of a frame is limited.
"""

from __future__ import annotations

import logging
from typing import Final

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from mqtt_adapters.client.settings import ClientSettings
from mqtt_adapters.config import ListenerConfig

_SILENT: Final = logging.getLogger("mqtt_adapters.websocket")
_SILENT.setLevel(logging.CRITICAL)  # what a client does wrong is told to the broker, not to a log

__all__ = ["SUBPROTOCOL", "ClientLayer", "ServerLayer", "WebSocketLayer"]

SUBPROTOCOL: Final = Subprotocol("mqtt")
FRAME_BYTES: Final = 64 * 1024
"""The largest frame that is sent: a receiver has to hold a whole one."""
HEAD_BYTES_MAX: Final = 16 * 1024
"""Of an HTTP request."""


class WebSocketLayer:
    """One end of one WebSocket: `ClientLayer` or `ServerLayer`.

    Feed what arrives to `receive`, write what `data_to_send` gives. open: the handshake is done. closing: close the
    transport once that is written. failure: why there is no WebSocket, "" while there may be one.
    """

    def __init__(self, protocol: ClientProtocol | ServerProtocol) -> None:
        self._protocol = protocol
        self.open = False
        self.failure = ""
        self._continued = False

    @property
    def closing(self) -> bool:
        """The transport is to be closed."""
        return self._protocol.close_expected() or bool(self.failure)

    def receive(self, data: bytes) -> bytes:
        """Take what arrived; returns the bytes of MQTT in it, in order, whatever the frames [MQTT-6.0.0-2]."""
        protocol = self._protocol
        protocol.receive_data(data)
        payload: list[bytes] = []
        for event in protocol.events_received():
            if isinstance(event, Frame):
                if self.open and not self.failure:
                    self._take(event, payload)
            elif not self.failure:
                self._shake_hands(event)
        if protocol.handshake_exc is not None and not self.failure:
            self.failure = f"no WebSocket: {protocol.handshake_exc}"
        return b"".join(payload)

    def _shake_hands(self, message: Event) -> None:
        """The other end's part of the handshake has come: set `open` or `failure`."""
        raise NotImplementedError

    def _take(self, frame: Frame, payload: list[bytes]) -> None:
        if frame.opcode is Opcode.BINARY or (frame.opcode is Opcode.CONT and self._continued):
            payload.append(bytes(frame.data))
            self._continued = not frame.fin
        elif frame.opcode in {Opcode.TEXT, Opcode.CONT}:  # [MQTT-6.0.0-1]
            self.failure = "a WebSocket frame that is not binary"
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "binary only")

    def wrap(self, data: bytes) -> bytes:
        """Bytes of MQTT as frames, with whatever else there is to send [MQTT-6.0.0-1]."""
        if self._protocol.state is State.OPEN:
            for start in range(0, len(data), FRAME_BYTES):
                self._protocol.send_binary(data[start : start + FRAME_BYTES])
        return self.data_to_send()

    def data_to_send(self) -> bytes:
        """What the layer itself has to say: the handshake, answers to pings, the closing frame."""
        return b"".join(self._protocol.data_to_send())

    def close(self) -> bytes:
        """The closing frame."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        return self.data_to_send()


class ClientLayer(WebSocketLayer):
    """The client's side: its request is there to be sent at once."""

    def __init__(self, settings: ClientSettings) -> None:
        uri = parse_uri(str(settings.address))
        protocol = ClientProtocol(uri, subprotocols=[SUBPROTOCOL], max_size=None)  # [MQTT-6.0.0-3]
        request = protocol.connect()
        request.headers.update(Headers(list(settings.ws_headers)))
        protocol.send_request(request)
        super().__init__(protocol)

    def _shake_hands(self, message: Event) -> None:
        assert isinstance(message, Response)
        error = self._protocol.handshake_exc
        if error is not None:
            self.failure = f"no WebSocket: {error}" if isinstance(error, InvalidHandshake) else str(error)
        elif message.headers.get("Sec-WebSocket-Protocol") != SUBPROTOCOL:
            self.failure = "the server does not speak mqtt over WebSocket"
            self._protocol.fail(CloseCode.PROTOCOL_ERROR, "no mqtt")
        else:
            self.open = True


class ServerLayer(WebSocketLayer):
    """The server's side. packet_size_max: bytes of the largest packet a client may send; a message of the WebSocket may
    be one frame larger. A client that does not offer "mqtt", or comes from another web site, gets an HTTP error."""

    def __init__(self, listener: ListenerConfig, packet_size_max: int) -> None:
        self._server = ServerProtocol(
            origins=[*map(Origin, listener.ws_origins), None] if listener.ws_origins else None,
            subprotocols=[SUBPROTOCOL],  # [MQTT-6.0.0-4]
            max_size=packet_size_max + FRAME_BYTES,
            logger=_SILENT,
        )
        super().__init__(self._server)
        self._head = b""

    def receive(self, data: bytes) -> bytes:
        """See `WebSocketLayer`; what stands behind the request waits for the handshake to be decided."""
        if self.open:
            return super().receive(data)
        self._head += data
        end = self._head.find(b"\r\n\r\n") + 4
        if end < 4 and len(self._head) < HEAD_BYTES_MAX:
            return b""
        head, self._head = self._head, b""
        return self._answer(head[:end], head[end:])

    def _answer(self, request: bytes, rest: bytes) -> bytes:
        if self.closing:
            return b""
        super().receive(request or rest)
        if self.open:
            return super().receive(rest)
        if not self.failure:
            self.failure = "no WebSocket: no request"
        return b""

    def _shake_hands(self, message: Event) -> None:
        assert isinstance(message, Request)
        response = self._server.accept(message)
        self._server.send_response(response)
        if self._server.handshake_exc is None:
            self.open = True
        else:
            self.failure = f"no WebSocket: {self._server.handshake_exc}"

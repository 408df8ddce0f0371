"""What a program may give as the payload of a message: bytes, or a string.

Law: the same for clients and servers of every style. A number or a dictionary is not turned into text here; how it is
written is the program's decision, and an error says so before anything is published.
"""

from __future__ import annotations

__all__ = ["Payload", "payload_bytes"]

Payload = bytes | bytearray | memoryview | str
"""What is accepted as a payload."""


def payload_bytes(payload: Payload) -> bytes:
    """Bytes of a payload, 0 to 268,435,455 of them; a string is encoded as UTF-8.

    Raises:
        TypeError: it is neither bytes nor a string.
    """
    match payload:
        case str():
            return payload.encode()
        case bytes() | bytearray() | memoryview():
            return bytes(payload)
    raise TypeError(f"a payload is bytes or a string, not {type(payload).__name__}; str() or json.dumps() makes one")

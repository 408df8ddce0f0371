"""What a host may set a property to: the keyword arguments of `Properties`, and the check of each value.

Law: a value that passes can be encoded as it is, and decodes to an equal one. Flags become bools, sequences tuples,
bytes-like data bytes.
"""

from __future__ import annotations

from typing import TypedDict

from mqtt_core.codec.error import LocalProtocolError
from mqtt_core.codec.fields import write_binary, write_string
from mqtt_core.codec.property_table import (
    HIGHEST_OF_KIND,
    KIND_BINARY,
    KIND_FLAG,
    KIND_OF,
    KIND_PAIR,
    KIND_STRING,
    KIND_VARINT,
    LOWEST_OF,
    NAME_OF,
    RESPONSE_TOPIC,
)
from mqtt_core.codec.varint import VARINT_MAX

__all__ = ["PropertyFields", "checked_value"]


class PropertyFields(TypedDict, total=False):
    """The keyword arguments of :class:`Properties`; intervals are in seconds, sizes in bytes."""

    payload_format_indicator: int | None
    message_expiry_interval: int | None
    content_type: str | None
    response_topic: str | None
    correlation_data: bytes | None
    subscription_identifiers: tuple[int, ...] | None
    session_expiry_interval: int | None
    assigned_client_identifier: str | None
    server_keep_alive: int | None
    authentication_method: str | None
    authentication_data: bytes | None
    request_problem_information: bool | None
    will_delay_interval: int | None
    request_response_information: bool | None
    response_information: str | None
    server_reference: str | None
    reason_string: str | None
    receive_maximum: int | None
    topic_alias_maximum: int | None
    topic_alias: int | None
    maximum_qos: int | None
    retain_available: bool | None
    user_properties: tuple[tuple[str, str], ...] | None
    maximum_packet_size: int | None
    wildcard_subscription_available: bool | None
    subscription_identifier_available: bool | None
    shared_subscription_available: bool | None


def checked_value(identifier: int, value: object) -> object:
    """Return a value given by the host in the form in which it is kept, if it may stand for this property."""
    kind = KIND_OF[identifier]
    name = NAME_OF[identifier]
    if kind == KIND_STRING:
        if isinstance(value, str):
            write_string(value, name)
            if identifier == RESPONSE_TOPIC and (not value or "+" in value or "#" in value):  # [MQTT-3.3.2-14 v5]
                raise LocalProtocolError(f"response_topic {value!r} is not a topic name", 0x90)
            return value
    elif kind == KIND_BINARY:
        if isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value)
            write_binary(data, name)
            return data
    elif kind == KIND_PAIR:
        return tuple([_checked_pair(pair) for pair in _sequence(value, name)])
    elif kind == KIND_VARINT:
        return tuple([_checked_int(number, 1, VARINT_MAX, name) for number in _sequence(value, name)])
    elif kind == KIND_FLAG:
        return bool(_checked_int(value, 0, 1, name))
    else:
        return _checked_int(value, LOWEST_OF[identifier], HIGHEST_OF_KIND[kind], name)
    raise LocalProtocolError(f"{name} cannot be {value!r}")


def _sequence(value: object, name: str) -> list[object]:
    if isinstance(value, tuple | list):
        return list(value)
    raise LocalProtocolError(f"{name} must be a sequence, not {value!r}")


def _checked_pair(pair: object) -> tuple[str, str]:
    if isinstance(pair, tuple | list) and len(pair) == 2:
        name, value = pair
        if isinstance(name, str) and isinstance(value, str):
            write_string(name, "name of a user property")  # [MQTT-1.5.7-1 v5]
            write_string(value, "value of a user property")  # [MQTT-1.5.7-1 v5]
            return name, value
    raise LocalProtocolError(f"a user property is a pair of strings, not {pair!r}")


def _checked_int(value: object, lowest: int, highest: int, name: str) -> int:
    if isinstance(value, int) and lowest <= value <= highest:
        return int(value)
    raise LocalProtocolError(f"{name} must be an integer from {lowest} to {highest}, not {value!r}")

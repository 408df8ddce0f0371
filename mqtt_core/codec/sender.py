"""What one role may say and the other may not, in packets that both may send (5.0).

A decoder does not know who sent the bytes; whoever does asks here. Each function takes a packet that was decoded and
raises if its sender was not allowed to say that. 3.1.1 has no such rules, and its packets always pass.
"""

from __future__ import annotations

from mqtt_core.codec.error import ProtocolError
from mqtt_core.codec.packet import AuthPacket, ConnackPacket, DisconnectPacket, Packet, PublishPacket
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.reason_codes import AUTH_BY_CLIENT, AUTH_BY_SERVER, DISCONNECT_BY_CLIENT, DISCONNECT_BY_SERVER

__all__ = ["check_auth", "check_disconnect", "check_problem_information", "check_publish_by_client"]


def check_publish_by_client(packet: PublishPacket) -> None:
    """Refuse a PUBLISH of a client that has a Subscription Identifier (section 3.3.4).

    Raises:
        ProtocolError: with 0x82.
    """
    if packet.properties.subscription_identifiers:  # [MQTT-3.3.4-6 v5]
        raise ProtocolError(0x82, "a client sent a PUBLISH with a Subscription Identifier")


def check_disconnect(packet: DisconnectPacket, from_server: bool) -> None:
    """Refuse a DISCONNECT that its sender may not send (section 3.14.2).

    Raises:
        ProtocolError: with 0x82.
    """
    allowed = DISCONNECT_BY_SERVER if from_server else DISCONNECT_BY_CLIENT
    if packet.reason_code not in allowed:  # [MQTT-3.14.2-1 v5]
        raise ProtocolError(0x82, f"DISCONNECT with reason code 0x{packet.reason_code:02X} from the wrong side")
    if from_server and packet.properties.session_expiry_interval is not None:  # [MQTT-3.14.2-2 v5]
        raise ProtocolError(0x82, "a server sent a DISCONNECT with a Session Expiry Interval")


def check_auth(packet: AuthPacket, from_server: bool) -> None:
    """Refuse an AUTH with a reason code that its sender may not send (5.0 section 3.15.2.1, table 3-11).

    Raises:
        ProtocolError: with 0x82.
    """
    if packet.reason_code not in (AUTH_BY_SERVER if from_server else AUTH_BY_CLIENT):  # [MQTT-3.15.2-1 v5]
        raise ProtocolError(0x82, f"AUTH with reason code 0x{packet.reason_code:02X} from the wrong side")


def check_problem_information(packet: Packet) -> None:
    """Refuse what a server may not send to a client that set Request Problem Information to 0: a Reason String or User
    Properties in a packet other than PUBLISH, CONNACK and DISCONNECT (section 3.1.2.11.7).

    Raises:
        ProtocolError: with 0x82.
    """
    if isinstance(packet, PublishPacket | ConnackPacket | DisconnectPacket):
        return
    properties: Properties = getattr(packet, "properties", NO_PROPERTIES)
    if properties.reason_string is not None or properties.user_properties:  # [MQTT-3.1.2-29 v5]
        raise ProtocolError(0x82, "a Reason String or User Properties that were not to be sent")

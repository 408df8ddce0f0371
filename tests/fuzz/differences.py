"""Known differences between our broker and mosquitto 2.0, each with the reason why ours is as it is.

A row applies to one observed frame: `applies` looks at the version, the packet and what both sides answered. Rows are
as narrow as the difference they explain; a frame that no row explains is a finding. Where a row says that both are
allowed, ours stays as the design has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mqtt_core.codec import (
    AckPacket,
    AuthPacket,
    ConnackPacket,
    ConnectPacket,
    DisconnectPacket,
    MqttError,
    Packet,
    PingrespPacket,
    Properties,
    PublishPacket,
    PubrecPacket,
    PubrelPacket,
    SubackPacket,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
    UnsupportedProtocolVersion,
    decode,
)
from mqtt_core.codec.types import (
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    V5,
)
from mqtt_core.topic_matcher import matches, split_share
from tests.fuzz.observed import Observation

SMALL = frozenset({PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGREQ, PINGRESP})
BY_SERVER = ConnackPacket | PingrespPacket | SubackPacket | UnsubackPacket


@dataclass(frozen=True)
class Difference:
    """name: what differs. why: and why that is right. applies: to which observations."""

    name: str
    why: str
    applies: Callable[[Observation], bool]


def both_closed(seen: Observation) -> bool:
    """They differ at most in what they said at the end."""
    return seen.ours.closed and seen.theirs.closed and seen.ours.heard == seen.theirs.heard


def only_we_closed(seen: Observation) -> bool:
    return seen.ours.closed and not seen.theirs.closed


def only_they_closed(seen: Observation) -> bool:
    return seen.theirs.closed and not seen.ours.closed


def texts(seen: Observation) -> list[str]:
    """The strings of an accepted packet."""
    packet = seen.packet
    if isinstance(packet, SubscribePacket):
        return [wanted.filter for wanted in packet.subscriptions]
    if isinstance(packet, UnsubscribePacket):
        return list(packet.filters)
    about: list[Properties] = []
    found: list[str | None] = []
    if isinstance(packet, ConnectPacket):
        about = [packet.properties]
        found = [packet.client_id, packet.username]
        if packet.will is not None:
            about.append(packet.will.properties)
            found.append(packet.will.topic)
    elif isinstance(packet, PublishPacket):
        about = [packet.properties]
        found = [packet.topic]
    for properties in about:
        found += [properties.response_topic, properties.content_type, properties.authentication_method]
        found += [text for pair in properties.user_properties for text in pair]
    return [text for text in found if text]


def control(seen: Observation) -> bool:
    """A string holds a control character or a non-character, and one of the two refuses it."""
    return any(
        ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 or 0xFDD0 <= ord(sign) <= 0xFDEF or ord(sign) & 0xFFFE == 0xFFFE
        for text in texts(seen)
        for sign in text
    )


def code_of_unknown(seen: Observation) -> bool:
    if seen.version != V5 or not isinstance(seen.packet, PubrecPacket | PubrelPacket):
        return False
    name = "PUBREL" if isinstance(seen.packet, PubrecPacket) else "PUBCOMP"
    return seen.ours.codes(name) == [0x92] and seen.theirs.codes(name) == [0]


def unheard(seen: Observation) -> bool:
    if seen.version != V5 or not isinstance(seen.packet, PublishPacket):
        return False
    return seen.ours.codes("PUBREC") == [0x10] and seen.theirs.codes("PUBREC") == [0]


def retained_for_shared(seen: Observation) -> bool:
    if not isinstance(seen.packet, SubscribePacket) or seen.ours.said != seen.theirs.said:
        return False
    shared = any(wanted.filter.startswith("$share/") for wanted in seen.packet.subscriptions)
    return shared and all(message in seen.theirs.delivered for message in seen.ours.delivered)


def overlapping(seen: Observation) -> bool:
    """The client has more than one subscription, and got the same messages in another number or quality."""
    if not isinstance(seen.packet, PublishPacket) or seen.ours.said != seen.theirs.said:
        return False
    names = [
        wanted.filter
        for frame in seen.history
        for packet in [parsed(frame, seen.version)]
        if isinstance(packet, SubscribePacket)
        for wanted in packet.subscriptions
    ]
    matching = [name for name in names if matches(split_share(name)[1], seen.packet.topic)]
    if any(name in names[index + 1 :] for index, name in enumerate(names) if name in matching):
        return True  # subscribed again: mosquitto keeps the No Local of the first time
    same = {message[:2] for message in seen.ours.delivered} == {message[:2] for message in seen.theirs.delivered}
    return len(matching) > 1 and same and seen.ours.heard == seen.theirs.heard


def own_retained(seen: Observation) -> bool:
    """Somebody subscribes with No Local, and is sent retained messages by mosquitto that ours does not send."""
    if not isinstance(seen.packet, SubscribePacket) or seen.ours.said != seen.theirs.said:
        return False
    no_local = any(wanted.no_local for wanted in seen.packet.subscriptions)
    return no_local and all(message in seen.theirs.delivered for message in seen.ours.delivered)


def small_window(seen: Observation) -> bool:
    """The client takes few messages at a time, or has subscribed often enough to a retained one to fill the 20 that a
    broker has in flight, and ours holds back some of what mosquitto sends it."""
    packets = [parsed(frame, seen.version) for frame in (*seen.history, seen.frame)]
    asked = sum(len(packet.subscriptions) for packet in packets if isinstance(packet, SubscribePacket))
    opening = packets[0]
    small = (isinstance(opening, ConnectPacket) and (opening.properties.receive_maximum or 100) < 100) or asked >= 10
    same = seen.ours.said == seen.theirs.said and seen.ours.heard == seen.theirs.heard
    theirs = {message[:2] for message in seen.theirs.delivered}
    return small and same and all(message[:2] in theirs for message in seen.ours.delivered)


def retained_later(seen: Observation) -> bool:
    """A client whose window is full subscribes."""
    return isinstance(seen.packet, SubscribePacket) and small_window(seen)


def copy_past_window(seen: Observation) -> bool:
    """A message of QoS 1 or 2, of which mosquitto sends a QoS 0 copy to a client whose window is full."""
    extra = [message for message in seen.theirs.delivered if message not in seen.ours.delivered]
    acknowledged = isinstance(seen.packet, PublishPacket) and seen.packet.qos > 0
    return acknowledged and small_window(seen) and all(message[2] == 0 for message in extra)


def room_by_stray(seen: Observation) -> bool:
    """A client that takes few messages at a time has acknowledged something, and ours holds back some messages."""
    acknowledged = any(isinstance(parsed(frame, seen.version), AckPacket) for frame in seen.history)
    return acknowledged and isinstance(seen.packet, PublishPacket | SubscribePacket) and small_window(seen)


def too_large(seen: Observation) -> bool:
    """A message for a client with a limit, of about that size, which ours does not send to it."""
    opening = parsed(seen.history[0], seen.version) if seen.history else None
    if not isinstance(opening, ConnectPacket) or not isinstance(seen.packet, PublishPacket):
        return False
    limit = opening.properties.maximum_packet_size or 0
    near = limit - 10 <= len(seen.frame) <= limit + 10
    return near and not seen.ours.delivered and seen.ours.heard == seen.theirs.heard


def behind_too_large(seen: Observation) -> bool:
    """A message for a client with a limit, after one that is larger: only ours sends it."""
    opening = parsed(seen.history[0], seen.version) if seen.history else None
    if not isinstance(opening, ConnectPacket) or not isinstance(seen.packet, PublishPacket | SubscribePacket):
        return False
    limit = opening.properties.maximum_packet_size or 0
    larger = any(frame[0] >> 4 == PUBLISH and len(frame) > limit for frame in seen.history)
    same = seen.ours.said == seen.theirs.said and seen.ours.heard == seen.theirs.heard
    return limit > 0 and larger and same and all(message in seen.ours.delivered for message in seen.theirs.delivered)


def parsed(frame: bytes, version: int) -> Packet | None:
    try:
        return decode(frame, version)
    except MqttError:
        return None


def tolerated(seen: Observation) -> bool:
    """Surplus bytes, reason codes and flags of the small packets, which mosquitto does not look at."""
    return seen.frame[0] >> 4 in SMALL and seen.error is not None and only_we_closed(seen)


def astray(seen: Observation) -> bool:
    """An acknowledgement that fits a message in flight on one side, and none or another on the other side."""
    return isinstance(seen.packet, AckPacket) and (seen.ours.closed or seen.theirs.closed)


def will_of_offender(seen: Observation) -> bool:
    both = seen.ours.closed and seen.theirs.closed and not seen.theirs.heard and bool(seen.history)
    return both and seen.frame[0] >> 4 in {CONNECT, DISCONNECT}


DIFFERENCES = [
    Difference(
        "a faulty packet ends the connection with another code, or with none",
        "A 5.0 server SHOULD say why it closes (4.13.1), and ours always does, with the most telling code of the "
        "standard; mosquitto closes many malformed packets silently, and calls some protocol errors malformed.",
        lambda seen: seen.version == V5 and seen.error is not None and both_closed(seen),
    ),
    Difference(
        "a packet that is not allowed here ends the connection with another code, or with none",
        "CONNECT twice, AUTH without a method and DISCONNECT with a code of servers are protocol errors (0x82); "
        "mosquitto closes without a word.",
        lambda seen: (
            seen.version == V5
            and isinstance(seen.packet, ConnectPacket | AuthPacket | DisconnectPacket)
            and seen.ours.closed
            and both_closed(seen)
        ),
    ),
    Difference(
        "the will of a client that says CONNECT twice or DISCONNECT with an error",
        "Only DISCONNECT 0x00 deletes a will [MQTT-3.14.4-3], every other end publishes it [MQTT-3.1.2-8]; mosquitto "
        "forgets it at a second CONNECT, and at DISCONNECT with any code but 0x04.",
        will_of_offender,
    ),
    Difference(
        "the will of a client whose Maximum Packet Size leaves no room for CONNACK",
        "Ours never accepts it, so that there is no session and no will; mosquitto does, fails to write and publishes.",
        lambda seen: (
            isinstance(seen.packet, ConnectPacket)
            and 0 < (seen.packet.properties.maximum_packet_size or 0) < 100
            and seen.ours.closed
            and seen.theirs.closed
        ),
    ),
    Difference(
        "faults of acknowledgements and pings",
        "Reserved flags [MQTT-2.2.2-2], surplus bytes and codes that the packet does not have end the connection "
        "(2.1.4, 4.13.1); mosquitto does not look at them.",
        tolerated,
    ),
    Difference(
        "DUP with QoS 0",
        "DUP must be 0 for QoS 0 [MQTT-3.3.1-2], so that the packet is malformed; mosquitto passes the message on.",
        lambda seen: seen.frame[0] & 0xFE == 0x38 and seen.error is not None and only_we_closed(seen),
    ),
    Difference(
        "Payload Format Indicator above 1",
        "It is 0 or 1 (5.0 3.3.2.3.2), anything else a protocol error; mosquitto takes any byte.",
        lambda seen: "payload_format_indicator is" in str(seen.error) and only_we_closed(seen),
    ),
    Difference(
        "MQTT 3.1",
        "Ours speaks 3.1.1 and 5.0, and refuses the older protocol with code 1; mosquitto speaks it too.",
        lambda seen: isinstance(seen.error, UnsupportedProtocolVersion) and only_we_closed(seen),
    ),
    Difference(
        "a PUBLISH with an alias that is none, or with a Subscription Identifier",
        "Both close; ours says why (0x94 or 0x82, 3.3.2.3.4, [MQTT-3.3.4-6]), as a 5.0 server SHOULD (4.13.1).",
        lambda seen: (
            isinstance(seen.packet, PublishPacket)
            and bool(seen.packet.properties.topic_alias is not None or seen.packet.properties.subscription_identifiers)
            and both_closed(seen)
        ),
    ),
    Difference(
        "No Local on a shared subscription",
        "It is a protocol error [MQTT-3.8.3-4]; mosquitto overlooks it.",
        lambda seen: "No Local on a shared subscription" in str(seen.error) and only_we_closed(seen),
    ),
    Difference(
        "a SUBSCRIBE that ends before the options of its last filter",
        "It is malformed (3.8.3); mosquitto overlooks the rest where it is an empty filter.",
        lambda seen: "ends before the options" in str(seen.error) and only_we_closed(seen),
    ),
    Difference(
        "a shared subscription without a filter",
        "Behind the name of the group comes a slash and a topic filter (4.8.2), or the packet is malformed; mosquitto "
        "grants a subscription that nothing matches.",
        lambda seen: (
            only_we_closed(seen) and any(name.startswith("$share/") and name.count("/") < 2 for name in texts(seen))
        ),
    ),
    Difference(
        "Authentication Data without a method",
        "It is a protocol error (5.0 3.1.2.11.10); mosquitto overlooks it.",
        lambda seen: "Authentication Data without" in str(seen.error) and only_we_closed(seen),
    ),
    Difference(
        "a Response Topic that is none",
        "It is a topic name, without wildcards [MQTT-3.3.2-14] and not empty (4.7.3); mosquitto passes it on.",
        lambda seen: "Response Topic" in str(seen.error) and only_we_closed(seen),
    ),
    Difference(
        "Subscription Identifier 0",
        "The value 0 is a protocol error wherever it stands (5.0 3.3.2.3.8, 3.8.2.1.2); mosquitto overlooks it in a "
        "PUBLISH.",
        lambda seen: "Subscription Identifier is 0" in str(seen.error) and only_we_closed(seen),
    ),
    Difference(
        "packets of a server, sent by a client",
        "They are protocol errors (2.1.2, table 2-1) and end the connection with 0x82; mosquitto ignores PINGRESP, "
        "SUBACK and UNSUBACK, and closes silently for CONNACK.",
        lambda seen: isinstance(seen.packet, BY_SERVER) and seen.ours.closed,
    ),
    Difference(
        "an acknowledgement that fits no message, or one of another QoS",
        "Each server gives packet identifiers as it likes, so that the same number is one message here, another there. "
        "Ours answers an unknown one as the standard has it (PUBREL 0x92, 5.0 3.6.2.1) and closes for one of another "
        "QoS; so does mosquitto, which also closes for some that are unknown.",
        astray,
    ),
    Difference(
        "copies, QoS and No Local of a message that several subscriptions of one client match",
        "A server may send one copy or one for each (3.3.4). A single copy has the highest QoS [MQTT-3.3.5-1 v3.1.1], "
        "which mosquitto's has not always; a shared subscription is one apart (4.8.2), and gets its own copy here. "
        "Subscribing again replaces No Local [MQTT-3.8.4-3]; mosquitto keeps the first.",
        overlapping,
    ),
    Difference(
        "No Local and retained messages",
        "A message does not come back to the client that published it, retained or not [MQTT-3.8.3-3]; mosquitto sends "
        "it its own retained ones.",
        own_retained,
    ),
    Difference(
        "retained messages for a client whose window is full",
        "Ours sends what is retained when there is room again, in one order whatever the QoS; mosquitto lets QoS 0 "
        "pass.",
        retained_later,
    ),
    Difference(
        "a message of QoS 1 or 2 for a client whose window is full",
        "Where several subscriptions match, ours sends one copy, with the highest QoS [MQTT-3.3.5-1 v3.1.1], and it "
        "waits for room (4.9); mosquitto's copy for a QoS 0 subscription goes out past the window.",
        copy_past_window,
    ),
    Difference(
        "a message a few bytes larger than the client takes",
        "Maximum Packet Size counts the whole packet, its fixed header too (5.0 3.1.2.11.4); for mosquitto not.",
        too_large,
    ),
    Difference(
        "a message behind one that was too large for the client",
        "What is larger than Maximum Packet Size is dropped as if it had been sent [MQTT-3.1.2-25], and takes no room "
        "in the window; mosquitto's window stays occupied by it.",
        behind_too_large,
    ),
    Difference(
        "room that an acknowledgement makes which fits no message",
        "Here the window is the number of messages in flight, which such a one does not change; mosquitto counts each "
        "PUBACK and PUBCOMP, as 5.0 4.9 may be read too.",
        room_by_stray,
    ),
    Difference(
        "the code for an unknown packet identifier",
        "0x92 is what the standard has for PUBREL and PUBCOMP without a message (5.0 3.6.2.1, 3.7.2.1); "
        "mosquitto says 0.",
        code_of_unknown,
    ),
    Difference(
        "UNSUBSCRIBE from a tree that begins with $",
        "Without a subscription the code is 0x11 (5.0 3.11.3); mosquitto says 0 for a tree that it does not know.",
        lambda seen: (
            isinstance(seen.packet, UnsubscribePacket)
            and any(name.startswith("$") for name in seen.packet.filters)
            and not seen.ours.closed
            and not seen.theirs.closed
        ),
    ),
    Difference(
        "a QoS 2 message that nobody has subscribed to",
        "PUBREC may say so with 0x10 (5.0 3.5.2.1), as PUBACK does on both sides; mosquitto's PUBREC says 0.",
        unheard,
    ),
    Difference(
        "retained messages for a shared subscription",
        "They are not sent to one (5.0 4.8.2), and a 3.1.1 client that uses one gets it with the same meaning; "
        "mosquitto sends them.",
        retained_for_shared,
    ),
    Difference(
        "control characters and non-characters in strings",
        "Receivers MAY refuse them (1.5.4); ours accepts them, as other implementations send them, mosquitto closes.",
        lambda seen: control(seen) and only_they_closed(seen),
    ),
]


def explain(seen: Observation) -> str:
    """The name of the difference that this is, "" for an unknown one."""
    return next((row.name for row in DIFFERENCES if row.applies(seen)), "")

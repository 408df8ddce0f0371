"""What the oracle believes: messages, subscriptions and sessions, each with what is sure and what is only possible.

Law: knowledge comes from the wire at the broker's end and from what applications were given, never from the broker's
memory. A moment is an index, the number of the packet that was seen then. Between a request's arrival and its answer's
leaving, and after a crash, a fact is possible but not sure; what has to happen is demanded only of sure facts, what
must not happen is forbidden only where it is not even possible.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

__all__ = ["GONE", "MAYBE", "SURE", "MessageModel", "SessionModel", "SlotModel", "SubscriptionModel", "filter_matches"]

SURE: Final = 2
MAYBE: Final = 1
GONE: Final = 0

NEVER: Final = 0xFFFFFFFF


def filter_matches(topic_filter: str, topic: str) -> bool:
    """Section 4.7 in its simplest form, for topics and filters that are valid."""
    if topic[0] == "$" and topic_filter[0] in "+#":
        return False
    levels = topic.split("/")
    for index, level in enumerate(topic_filter.split("/")):
        if level == "#":
            return True
        if index >= len(levels) or (level != "+" and level != levels[index]):
            return False
    return topic_filter.count("/") + 1 == len(levels)


class MessageModel:
    """A message of the workload. number: in its payload. publisher: client identifier.

    arrived, came: indices at which the broker first and last got it (0: not yet). arrived_at: time of the first.
    arrivals, acks: how often it came and was answered.
    done: index of the answer to its last arrival, 0 while one is open. deadline: when it expires (inf: never), from its
    last arrival. doubled: a second copy is in order.
    calm: it has to arrive whatever its QoS. wills: how
    often it may have been published as a will. superseded: index at which it surely was retained no more.
    """

    __slots__ = (
        "acks",
        "arrivals",
        "arrived",
        "arrived_at",
        "calm",
        "came",
        "charged",
        "content",
        "deadline",
        "done",
        "doubled",
        "expiry_s",
        "number",
        "payload",
        "publisher",
        "qos",
        "retain",
        "superseded",
        "topic",
        "will",
        "wills",
    )

    def __init__(self, number: int, publisher: str, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self.number = number
        self.publisher = publisher
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.expiry_s = -1
        self.content: str | None = None
        self.calm = False
        self.will = False
        self.wills = 0
        self.arrived = 0
        self.arrived_at = 0.0
        self.came = 0
        self.arrivals = 0
        self.acks = 0
        self.done = 0
        self.charged = False
        self.deadline = float("inf")
        self.doubled = False
        self.superseded = 0

    def __repr__(self) -> str:
        return f"message {self.number} ({self.publisher} on {self.topic}, qos {self.qos})"


class SubscriptionModel:
    """One SUBSCRIBE of one filter. asked, sure, ending, ended: indices, 0 for not yet.

    asked: the request arrived. sure: its answer left. ending: something arrived that may end it. ended: it surely has.
    """

    __slots__ = (
        "asked",
        "ended",
        "ending",
        "filter",
        "identifier",
        "no_local",
        "qos",
        "retain_as_published",
        "retain_handling",
        "share",
        "sure",
    )

    def __init__(self, topic_filter: str, qos: int, asked: int) -> None:
        self.share = ""
        self.filter = topic_filter
        if topic_filter.startswith("$share/"):
            _, self.share, self.filter = topic_filter.split("/", 2)
        self.qos = qos
        self.no_local = False
        self.retain_as_published = False
        self.retain_handling = 0
        self.identifier = 0
        self.asked = asked
        self.sure = 0
        self.ending = 0
        self.ended = 0

    def covers(self, message: MessageModel) -> bool:
        """It was surely there from before the message came until now."""
        return 0 < self.sure < message.arrived and not self.ending

    def possible(self, message: MessageModel) -> bool:
        """It may have been there at some moment between the message's coming and its answer's leaving.

        A member of a shared subscription may be given later what another member has left behind.
        """
        return (not self.ended or self.ended >= message.arrived) and (
            not message.done or self.asked <= message.done or self.share != ""
        )


class SessionModel:
    """A session of the broker. state: SURE it exists, MAYBE, or GONE.

    expiry_low, expiry_high: seconds, and lost_low, lost_high: moments between which it lost its connection (the same
    unless a crash made them unsure). inflight: packet identifier -> (message number, PUBREC has arrived). owed:
    numbers of messages it has to be given. asked: numbers of retained messages it has to be given, each with the
    subscription that asked for it. seen: number -> how often it was. heir: its client had one before. told: its
    client has received a CONNACK of it. misled: the client takes an heir for the session it knows, see `Oracle`.
    swallowed: numbers of messages it may have taken for others because of that.
    """

    __slots__ = (
        "asked",
        "client_id",
        "connected",
        "connects",
        "ended_at",
        "expiry_high",
        "expiry_low",
        "forgiven",
        "heir",
        "inflight",
        "lost_high",
        "lost_low",
        "misled",
        "newest",
        "overflowed",
        "owed",
        "packet_size_max",
        "seen",
        "seen_qos0",
        "state",
        "subscribes",
        "subscriptions",
        "swallowed",
        "told",
        "version",
        "wills_qos2",
    )

    def __init__(self, client_id: str, version: int, heir: bool) -> None:
        self.client_id = client_id
        self.version = version
        self.heir = heir
        self.told = False
        self.misled = False
        self.swallowed: dict[int, None] = {}
        self.state = SURE
        self.connected = False
        self.connects = 0
        self.ended_at = 0.0
        self.subscribes = 0
        self.expiry_low = 0
        self.expiry_high = 0
        self.lost_low = 0.0
        self.lost_high = 0.0
        self.subscriptions: dict[str, list[SubscriptionModel]] = {}
        self.inflight: dict[int, tuple[int, bool]] = {}
        self.owed: dict[int, int] = {}
        self.asked: dict[int, SubscriptionModel] = {}
        self.seen: dict[int, int] = {}
        self.seen_qos0: dict[int, None] = {}
        self.wills_qos2: dict[int, int] = {}  # number -> how often it was given that with QoS 2
        self.newest: dict[tuple[str, str, int, int], int] = {}
        self.forgiven: Counter[int] = Counter()  # number -> copies that crashes of its client make possible
        self.overflowed = False
        self.packet_size_max = 0

    def present_at(self, now: float) -> int:
        """SURE, MAYBE or GONE, for a moment at which it has no connection."""
        if self.state == GONE or self.connected:
            return self.state
        if self.expiry_high != NEVER and now >= self.lost_high + self.expiry_high:
            return GONE
        if self.expiry_low != NEVER and now >= self.lost_low + self.expiry_low:
            return MAYBE
        return self.state

    def too_large(self, message: MessageModel) -> bool:
        """Its client may not take a packet with this message."""
        size = len(message.payload) + len(message.topic) + len(message.content or "") + 40
        return 0 < self.packet_size_max < size

    def given(self, number: int) -> None:
        """Its application has a message, or may have it."""
        self.owed.pop(number, None)
        self.asked.pop(number, None)

    def fly(self, packet_id: int, number: int, resent: list[int] | None) -> None:
        """A message was sent under an identifier: new (resent is None), or again behind those resent already."""
        if resent is None:
            self.inflight[packet_id] = (number, False)
            return
        order = list(self.inflight.items())
        behind = [at for at, (known, _) in enumerate(order) if known in resent]
        order.insert(behind[-1] + 1 if behind else 0, (packet_id, (number, False)))
        self.inflight.clear()
        self.inflight.update(order)

    def doubt(self, index: int) -> None:
        """Nothing of it is sure any more."""
        self.state = MAYBE
        self.owed.clear()
        self.asked.clear()
        self.inflight.clear()
        for history in self.subscriptions.values():
            for subscription in history:
                subscription.ending = subscription.ending or index

    def end(self, index: int, now: float) -> None:
        """It is gone."""
        if self.state != GONE:
            self.ended_at = now
        self.doubt(index)
        self.state = GONE
        self.connected = False
        for history in self.subscriptions.values():
            for subscription in history:
                subscription.ended = subscription.ended or index


class SlotModel:
    """The retained message of one topic. writes: what it may be now, oldest first; the first is durable.

    A write is a message number, or minus an index for a deletion. unsure: a crash or an end of a connection makes any
    of them possible; otherwise it is the last.
    """

    __slots__ = ("unsure", "writes")

    def __init__(self) -> None:
        self.writes: list[int] = [0]
        self.unsure = False

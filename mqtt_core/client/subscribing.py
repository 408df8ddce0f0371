"""SUBSCRIBE and UNSUBSCRIBE: asked for by the host, answered by the server, restored after the loss of a session.

Laws. A request has one token and ends in one completion, however many connections it takes: one that was not answered
is sent again, as a new packet, on the next. What the server granted is remembered as it was asked for, and asked for
again exactly when the server has no session. A request of the host made while there is no connection follows the
offline policy.
"""

from __future__ import annotations

from mqtt_core.client.config import OfflinePolicy
from mqtt_core.client.events import Event, SubscribeCompleted, SubscriptionsRestored, UnsubscribeCompleted
from mqtt_core.client.state import ClientState
from mqtt_core.codec.encode import encode
from mqtt_core.codec.error import LocalProtocolError, ProtocolError
from mqtt_core.codec.packet import (
    SubackPacket,
    SubscribeFilter,
    SubscribePacket,
    UnsubackPacket,
    UnsubscribePacket,
)
from mqtt_core.codec.properties import NO_PROPERTIES, Properties
from mqtt_core.codec.types import ReasonCode
from mqtt_core.session.connection import OPEN
from mqtt_core.session.session import Subscription
from mqtt_core.topic_matcher.validation import check_filter, split_share

__all__ = ["Request", "Subscribing"]

_RESTORE_SLICE: int = 100
"""Filters of one SUBSCRIBE that restores subscriptions."""


class Request:
    """A SUBSCRIBE or UNSUBSCRIBE that has no answer yet.

    token: of the host, 0 for a restoration. subscriptions: what to subscribe to; empty for an UNSUBSCRIBE of `names`.
    packet_id: on the connection of the moment, 0 while it waits for one.
    """

    __slots__ = ("names", "packet_id", "properties", "subscriptions", "token")

    def __init__(
        self, token: int, subscriptions: list[SubscribeFilter], names: list[str], properties: Properties
    ) -> None:
        self.token = token
        self.subscriptions = subscriptions
        self.names = names
        self.properties = properties
        self.packet_id = 0

    def packet(self, packet_id: int) -> SubscribePacket | UnsubscribePacket:
        """The packet that asks."""
        if self.subscriptions:
            return SubscribePacket(packet_id, self.subscriptions, self.properties)
        return UnsubscribePacket(packet_id, self.names, self.properties)


class Subscribing:
    """Requests under way. `waiting` have no connection yet, `asked` (packet identifier -> request) no answer."""

    __slots__ = ("asked", "state", "waiting")

    def __init__(self, state: ClientState) -> None:
        self.state = state
        self.waiting: list[Request] = []
        self.asked: dict[int, Request] = {}

    # -- from the host -----------------------------------------------------------------------------------------------

    def subscribe(self, subscriptions: list[SubscribeFilter], properties: Properties) -> int:
        """Ask for topic filters; returns the token."""
        if not subscriptions:
            raise LocalProtocolError("SUBSCRIBE needs at least one topic filter")
        for subscription in subscriptions:
            if not isinstance(subscription, SubscribeFilter):
                raise TypeError(f"SUBSCRIBE takes a list of SubscribeFilter, not {subscriptions!r}")
            self._check(subscription)
        return self._request(subscriptions, [s.filter for s in subscriptions], properties)

    def unsubscribe(self, filters: list[str], properties: Properties) -> int:
        """Give topic filters back; returns the token."""
        if not isinstance(filters, list | tuple):
            raise TypeError(f"UNSUBSCRIBE takes a list of topic filters, not {filters!r}")
        if not filters:
            raise LocalProtocolError("UNSUBSCRIBE needs at least one topic filter")
        for name in filters:
            check_filter(name)
        return self._request([], filters, properties)

    def _check(self, subscription: SubscribeFilter) -> None:
        name = subscription.filter
        check_filter(name)
        if not 0 <= subscription.qos <= 2:
            raise LocalProtocolError(f"QoS is 0, 1 or 2, not {subscription.qos}")
        if not self.state.version5:
            if subscription.no_local or subscription.retain_as_published or subscription.retain_handling:
                raise LocalProtocolError("3.1.1 has no subscription options but the QoS")
            return
        link = self.state.link
        shared = split_share(name)[0] != ""
        if shared and subscription.no_local:
            raise LocalProtocolError("No Local on a shared subscription")
        if shared and not link.shared:
            raise LocalProtocolError(
                "the server has no shared subscriptions", ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
            )
        if not link.wildcards and ("+" in name or "#" in name):
            raise LocalProtocolError(
                "the server has no wildcard subscriptions", ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
            )

    def _request(self, subscriptions: list[SubscribeFilter], names: list[str], properties: Properties) -> int:
        state = self.state
        if properties:
            if not state.version5:
                raise LocalProtocolError("3.1.1 has no properties")
            if properties.subscription_identifiers and not state.link.subscription_ids:
                raise LocalProtocolError(
                    "the server has no subscription identifiers", ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
                )
        if len(self.waiting) + len(self.asked) >= state.config.requests_max:
            raise LocalProtocolError(f"{state.config.requests_max} requests wait already", ReasonCode.QUOTA_EXCEEDED)
        connected = state.link.phase == OPEN
        if not connected and state.config.offline is OfflinePolicy.FAIL:
            raise LocalProtocolError("not connected, and the offline policy is to fail")
        request = Request(0, subscriptions, names, properties)
        # Encoding also checks everything that can be wrong with it, before anything has changed.
        size = len(encode(request.packet(65535), state.config.version))
        if connected and size > state.link.packet_size_max:  # [MQTT-3.2.2-15 v5]
            raise LocalProtocolError(
                f"a packet of {size} bytes, the server takes {state.link.packet_size_max}", ReasonCode.PACKET_TOO_LARGE
            )
        request.token = state.next_token()
        if connected:
            self._ask(request)
        else:
            self.waiting.append(request)
        return request.token

    def _unavailable(self, name: str, identifier: int) -> int:
        """The reason code if this server cannot subscribe to a filter, 0 if it can."""
        link = self.state.link
        if not link.shared and split_share(name)[0]:
            return ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED.value
        if not link.wildcards and ("+" in name or "#" in name):
            return ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED.value
        if identifier and not link.subscription_ids:
            return ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED.value
        return 0

    def _ask(self, request: Request) -> None:
        """Send a request. One that waited for a connection may turn out to be nothing for its server."""
        state = self.state
        code = 0
        if len(encode(request.packet(65535), state.config.version)) > state.link.packet_size_max:
            code = ReasonCode.PACKET_TOO_LARGE.value
        ids = request.properties.subscription_identifiers
        for wanted in request.subscriptions:
            code = code or self._unavailable(wanted.filter, ids[0] if ids else 0)
        if code:
            self._complete(request, (code,) * len(request.names), NO_PROPERTIES)
            return
        packet_id = state.session.outgoing.reserve()  # [MQTT-2.2.1-3 v5] [MQTT-2.3.1-2 v3.1.1] [MQTT-3.3.4-8 v5]
        request.packet_id = packet_id
        self.asked[packet_id] = request
        state.send_packet(request.packet(packet_id))

    # -- from the server ---------------------------------------------------------------------------------------------

    def on_suback(self, packet: SubackPacket) -> None:
        """The answer to a SUBSCRIBE (section 3.9)."""
        request = self._answered(packet.packet_id, subscribe=True)
        codes = packet.reason_codes
        if len(codes) != len(request.subscriptions):
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"SUBACK with {len(codes)} codes for {len(request.subscriptions)} filters"
            )
        state = self.state
        kept = state.session.subscriptions
        ids = request.properties.subscription_identifiers
        for wanted, code in zip(request.subscriptions, codes, strict=True):
            if code < 0x80:
                kept[wanted.filter] = Subscription(
                    state.session,
                    wanted.filter,
                    wanted.qos,
                    wanted.no_local,
                    wanted.retain_as_published,
                    wanted.retain_handling,
                    ids[0] if ids else 0,
                )
            elif not request.token:
                kept.pop(wanted.filter, None)
        self._store()
        self._complete(request, tuple(codes), packet.properties)

    def on_unsuback(self, packet: UnsubackPacket) -> None:
        """The answer to an UNSUBSCRIBE (section 3.11)."""
        request = self._answered(packet.packet_id, subscribe=False)
        codes = packet.reason_codes if self.state.version5 else [0] * len(request.names)
        if len(codes) != len(request.names):
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"UNSUBACK with {len(codes)} codes for {len(request.names)} filters"
            )
        for name, code in zip(request.names, codes, strict=True):
            if code < 0x80:
                self.state.session.subscriptions.pop(name, None)
        self._store()
        self._complete(request, tuple(codes), packet.properties)

    def _complete(self, request: Request, codes: tuple[int, ...], properties: Properties) -> None:
        names = tuple(request.names)
        event: Event
        if not request.subscriptions:
            event = UnsubscribeCompleted(request.token, names, codes, properties)
        elif request.token:
            event = SubscribeCompleted(request.token, names, codes, properties)
        else:
            event = SubscriptionsRestored(names, codes, properties)
        self.state.events.append(event)

    def _answered(self, packet_id: int, *, subscribe: bool) -> Request:
        request = self.asked.get(packet_id)
        if request is None or bool(request.subscriptions) is not subscribe:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"an answer to nothing: identifier {packet_id}")
        del self.asked[packet_id]
        self.state.session.outgoing.unreserve(packet_id)
        return request

    def _store(self) -> None:
        state = self.state
        if state.durable:
            state.session.barrier = state.journal.store_session(state.session)

    # -- sessions ----------------------------------------------------------------------------------------------------

    def link_ended(self) -> None:
        """What was asked has to be asked again, in the same order, before what waited already."""
        flow = self.state.session.outgoing
        for packet_id, request in self.asked.items():
            flow.unreserve(packet_id)
            request.packet_id = 0
        self.waiting = [*self.asked.values(), *self.waiting]
        self.asked = {}

    def link_opened(self, *, session_present: bool) -> None:
        """Ask what waits; without a session on the server, first for everything that was granted before."""
        if not session_present:
            self.waiting = [*self._restoration(), *[request for request in self.waiting if request.token]]
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self._ask(request)

    def _give_up_unavailable(self) -> None:
        """Forget, and tell, what a server with fewer features than the one before would hang up for."""
        subscriptions = self.state.session.subscriptions
        refused: dict[str, int] = {}
        for kept in subscriptions.values():
            code = self._unavailable(kept.filter, kept.subscription_id)
            if code:
                refused[kept.filter] = code
        if refused:
            for name in refused:
                del subscriptions[name]
            self._store()
            self.state.events.append(SubscriptionsRestored(tuple(refused), tuple(refused.values()), NO_PROPERTIES))

    def _restoration(self) -> list[Request]:
        """SUBSCRIBEs for all subscriptions the session had, one for each identifier and slice of filters."""
        groups: dict[int, list[SubscribeFilter]] = {}
        self._give_up_unavailable()
        for kept in self.state.session.subscriptions.values():
            wanted = SubscribeFilter(
                kept.filter, kept.qos, kept.no_local, kept.retain_as_published, kept.retain_handling
            )
            groups.setdefault(kept.subscription_id, []).append(wanted)
        requests: list[Request] = []
        for identifier, wanted_all in groups.items():
            properties = Properties(subscription_identifiers=(identifier,)) if identifier else NO_PROPERTIES
            requests += [
                Request(0, part, [s.filter for s in part], properties) for part in _slices(wanted_all, self.state)
            ]
        return requests


def _slices(subscriptions: list[SubscribeFilter], state: ClientState) -> list[list[SubscribeFilter]]:
    """Cut a list so that each part fits into one SUBSCRIBE of the server's Maximum Packet Size."""
    room = state.link.packet_size_max - 16
    parts: list[list[SubscribeFilter]] = []
    size = 0
    for subscription in subscriptions:
        need = len(subscription.filter.encode()) + 3
        if not parts or size + need > room or len(parts[-1]) >= _RESTORE_SLICE:
            parts.append([])
            size = 0
        parts[-1].append(subscription)
        size += need
    return parts

"""What the host decides: who may connect, publish, subscribe and be delivered to.

Law: the broker asks, synchronously, and never guesses. Only authentication may take its time: a policy that has to ask
elsewhere returns DEFERRED and the adapter or host calls `handler.resume(decision, now)` later; meanwhile the connection
is WAITING and nothing of it is processed. Without a policy everybody may do everything, and nothing is asked.

`Policy` is a plain protocol: any object with these methods will do; none has to be subclassed.
"""

from __future__ import annotations

from typing import Final, Protocol

from mqtt_core.codec.packet import AuthPacket, ConnectPacket
from mqtt_core.codec.types import ReasonCode

__all__ = ["DEFERRED", "Accept", "Challenge", "Decision", "Deferred", "Policy", "Principal", "Refuse"]


class Principal:
    """Who a session acts as: client identifier, identity (say, the user name) and the policy's own rights object."""

    __slots__ = ("client_id", "identity", "rights")

    def __init__(self, client_id: str, identity: str = "", rights: object = None) -> None:
        self.client_id = client_id
        self.identity = identity
        self.rights = rights

    def __repr__(self) -> str:
        return f"Principal({self.client_id!r}, {self.identity!r})"


class Accept:
    """The client may come in. identity: owner of its session. rights: passed back in every question about it.

    data: Authentication Data of the last step of an enhanced authentication (5.0 section 4.12), None for none.
    """

    __slots__ = ("data", "identity", "rights")

    def __init__(self, identity: str = "", rights: object = None, data: bytes | None = None) -> None:
        self.identity = identity
        self.rights = rights
        self.data = data


class Refuse:
    """The client is refused with a CONNACK (or DISCONNECT) reason code of 0x80 or above and an optional reason."""

    __slots__ = ("reason", "reason_code")

    def __init__(self, reason_code: int = ReasonCode.NOT_AUTHORIZED, reason: str = "") -> None:
        self.reason_code = reason_code
        self.reason = reason


class Challenge:
    """Enhanced authentication goes on: the client is sent AUTH 0x18 with this Authentication Data."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | None = None) -> None:
        self.data = data


class Deferred:
    """The answer comes later through `handler.resume(decision, now)`."""

    __slots__ = ()


DEFERRED: Final = Deferred()

Decision = Accept | Refuse | Challenge | Deferred


class Policy(Protocol):
    """Questions the broker asks its host. All are synchronous; only the first two may be deferred."""

    def authenticate(self, connect: ConnectPacket, peer: str) -> Decision:
        """A client wants in (section 3.1.4). `peer` is what the adapter knows of the other end, "" for nothing.

        A CONNECT with an Authentication Method starts an enhanced authentication: answer Refuse with 0x8C for a method
        that is not supported, Challenge to go on, Accept to end it.
        """

    def continue_authentication(self, connect: ConnectPacket, auth: AuthPacket, peer: str) -> Decision:
        """The client answered a Challenge (AUTH 0x18) or asks to authenticate anew (AUTH 0x19), 5.0 section 4.12."""

    def authorize_publish(self, principal: Principal, topic: str, qos: int, retain: bool) -> bool:
        """May this client publish here? Asked once per connection, topic, QoS and RETAIN until `policy_changed()`."""

    def authorize_subscribe(self, principal: Principal, topic_filter: str, qos: int) -> int:
        """The QoS granted (0 to 2, at most `qos`), or the SUBACK reason code of 0x80 or above that refuses."""

    def authorize_deliver(self, principal: Principal, topic: str) -> bool:
        """May this client be sent messages on this topic? Asked when a route is built."""

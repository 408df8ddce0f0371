"""A policy: who may connect, publish, subscribe and be delivered to.

Any object with these methods will do. Passwords are checked here at once; a policy that has to ask elsewhere returns
`DEFERRED` and the host calls `server.resume(handler, decision)` when the answer is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os

from mqtt_adapters.asyncio import Client, MqttServer, ServerConfig
from mqtt_adapters.errors import ClientError, ConnectRefused
from mqtt_core.broker import Accept, Decision, Principal, Refuse
from mqtt_core.codec import AuthPacket, ConnectPacket, ReasonCode

SALT = os.urandom(16)  # the digests live no longer than this process; what is stored has a salt for each user


def digest(password: bytes) -> bytes:
    return hashlib.scrypt(password, salt=SALT, n=2**12, r=8, p=1)


class HomePolicy:
    """Users with a password; everyone writes below their own name only and reads everything but what is private."""

    def __init__(self, passwords: dict[str, bytes]) -> None:
        self._digests = {user: digest(password) for user, password in passwords.items()}

    def authenticate(self, connect: ConnectPacket, peer: str) -> Decision:
        if connect.properties.authentication_method is not None:
            return Refuse(ReasonCode.BAD_AUTHENTICATION_METHOD)
        # Who is unknown waits as long for the answer as who is known: names cannot be found out by the clock.
        known = self._digests.get(connect.username or "", b"")
        if not hmac.compare_digest(known, digest(connect.password or b"")):
            return Refuse(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "who are you?")
        return Accept(identity=connect.username or "")

    def continue_authentication(self, connect: ConnectPacket, auth: AuthPacket, peer: str) -> Decision:
        return Refuse(ReasonCode.BAD_AUTHENTICATION_METHOD)

    def authorize_publish(self, principal: Principal, topic: str, qos: int, retain: bool) -> bool:
        return topic.startswith(f"user/{principal.identity}/")

    def authorize_subscribe(self, principal: Principal, topic_filter: str, qos: int) -> int:
        return qos if not topic_filter.startswith("private/") else ReasonCode.NOT_AUTHORIZED

    def authorize_deliver(self, principal: Principal, topic: str) -> bool:
        return not topic.startswith("private/")


async def main() -> None:
    policy = HomePolicy({"ann": b"secret", "bob": b"hidden"})
    async with MqttServer(ServerConfig(bind_addr="127.0.0.1:0"), policy=policy) as server:
        try:
            await Client("127.0.0.1", server.port, username="ann", password="wrong", reconnect=False).start()
        except ConnectRefused as refused:
            print("refused:", ReasonCode(refused.reason_code).name)
        async with Client("127.0.0.1", server.port, client_id="a", username="ann", password="secret") as ann:
            await ann.subscribe("#")
            await ann.publish("user/ann/mood", b"fine", qos=1)
            print("heard:", (await anext(aiter(ann.messages))).payload.decode())
            try:
                await ann.publish("user/bob/mood", b"bad", qos=1)
            except ClientError as error:
                print("not allowed:", ReasonCode(error.reason_code).name)


if __name__ == "__main__":
    asyncio.run(main())

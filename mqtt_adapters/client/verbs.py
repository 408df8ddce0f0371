"""What the verbs of the three clients have in common before anybody waits: filters, requests and responses.

Law: nothing here waits, and nothing here knows an I/O style. A request is told apart from others by its correlation
data, which nobody else can guess; an answer that nobody waits for any more is dropped.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Final, TypedDict, TypeVar, cast

from mqtt_adapters.client.driver import ClientDriver
from mqtt_adapters.errors import ClientClosed
from mqtt_adapters.waiter import Waiter
from mqtt_core.client import MessageReceived
from mqtt_core.codec import V5, LocalProtocolError, Properties, SubscribeFilter

__all__ = ["Answers", "SubscribeOptions", "finish_now", "response_properties", "subscribe_filters"]

T = TypeVar("T")

_NO_WILDCARDS: Final = str.maketrans("+#", "__")


class SubscribeOptions(TypedDict, total=False):
    """Options of `Client.subscribe`.

    no_local, retain_as_published, retain_handling (0 to 2): 5.0, for every filter given as a string. properties:
    subscription identifier and user properties. timeout: seconds to wait for the SUBACK, default `ack_timeout_s`.
    """

    no_local: bool
    retain_as_published: bool
    retain_handling: int
    properties: Properties
    timeout: float | None


def subscribe_filters(
    topic_filter: str | Sequence[str | SubscribeFilter], qos: int, options: SubscribeOptions
) -> list[SubscribeFilter]:
    """The filters of a SUBSCRIBE from what people write; options hold for those written as strings."""
    wanted = [topic_filter] if isinstance(topic_filter, str) else topic_filter
    no_local = options.get("no_local", False)
    as_published = options.get("retain_as_published", False)
    handling = options.get("retain_handling", 0)
    return [
        SubscribeFilter(one, qos, no_local, as_published, handling) if isinstance(one, str) else one for one in wanted
    ]


def response_properties(request: MessageReceived) -> tuple[str, Properties]:
    """Where and with what a request wants to be answered.

    Raises LocalProtocolError when the message names no response topic.
    """
    topic = request.properties.response_topic
    if topic is None:
        raise LocalProtocolError("the message has no response topic: nobody waits for an answer")
    return topic, Properties(correlation_data=request.properties.correlation_data)


def finish_now(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine that does not wait for any event loop, and return its result.

    Raises LocalProtocolError when it does wait for one.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise LocalProtocolError("this storage needs an event loop; a blocking client has none")


class Answers:
    """Requests that wait for their answers (5.0 section 4.10): one response topic, told apart by correlation data.

    topic: begins with the server's Response Information if there is one. subscribed: the style has subscribed to it.

    Raises:
        LocalProtocolError: the connection speaks 3.1.1, which has no requests.
    """

    def __init__(self, driver: ClientDriver) -> None:
        if driver.settings.config.version != V5:
            raise LocalProtocolError("3.1.1 has no response topic")
        self._driver = driver
        self._count = 0
        self._secret = f"{int(driver.settings.rng.random() * 2**48):012x}"
        prefix = driver.response_information or f"response/{driver.core.client_id.translate(_NO_WILDCARDS)}"
        self.topic = f"{prefix}/{self._secret}"
        self.subscribed = False
        driver.routes.add(self.topic, self._answered)

    def expect(self, waiter: Waiter) -> bytes:
        """The correlation data whose answer finishes `waiter`."""
        self._count += 1
        correlation = f"{self._secret}-{self._count}".encode()
        self._driver.requests[correlation] = waiter
        return correlation

    def forget(self, correlation: bytes) -> None:
        """Nobody waits for that answer any more."""
        self._driver.requests.pop(correlation, None)

    def answer(self, found: MessageReceived | None) -> MessageReceived:
        """What the waiter was finished with. Raises what ended the client, if that was it."""
        if found is None:
            self._driver.check_open()
            raise ClientClosed
        return found

    def properties(self, properties: Properties, correlation: bytes) -> Properties:
        """Properties of a request."""
        return properties.replace(response_topic=self.topic, correlation_data=correlation)

    def _answered(self, message: MessageReceived) -> None:
        waiter = self._driver.requests.pop(message.properties.correlation_data or b"", None)
        if waiter is not None and not waiter.done():
            waiter.set_result(message)

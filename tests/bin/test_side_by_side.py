"""The same flags for our programs and for mosquitto's, at the same broker: the same output, the same exit code."""

from __future__ import annotations

import json
import subprocess

import pytest

from mqtt_adapters.bin.output_format import MessageFormat
from mqtt_core.client import MessageReceived
from mqtt_core.codec import Properties
from tests.bin.kit import run, served, start

PROPERTIES = [
    "-D publish content-type text/plain", "-D publish correlation-data abc", "-D publish response-topic r/t",
    "-D publish user-property k v", "-D publish user-property k2 v2", "-D publish payload-format-indicator 1",
    "-D publish message-expiry-interval 100000",
]  # fmt: skip
PROPERTY_WORDS = " ".join(PROPERTIES).split()


@pytest.fixture(scope="module")
def server():
    with served() as running:
        yield running


def theirs(program, *arguments, **options):
    """mosquitto's program: (exit code, stdout, stderr)."""
    name = {"producer": "mosquitto_pub", "consumer": "mosquitto_sub"}[program]
    done = subprocess.run(
        [name, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False, **options
    )
    return done.returncode, done.stdout, done.stderr


BOTH = pytest.mark.parametrize("speak", [run, theirs], ids=["ours", "mosquitto"])


def at(server, *arguments):
    return "-h", "127.0.0.1", "-p", server.port, "-V", "5", *arguments


@BOTH
def test_properties_arrive_as_they_were_given(server, speak):
    subscription = server.threadsafe.subscribe("props", qos=1)
    assert speak("producer", *at(server, "-t", "props", "-m", "x", "-q", "1", *PROPERTY_WORDS))[0] == 0
    found = subscription.get(20).message.properties
    subscription.close()
    assert found.content_type == "text/plain"
    assert found.correlation_data == b"abc"
    assert found.response_topic == "r/t"
    assert found.user_properties == (("k", "v"), ("k2", "v2"))
    assert found.payload_format_indicator == 1
    assert found.message_expiry_interval == 100000


@pytest.fixture(scope="module")
def retained(server):
    """Two messages that wait for every subscriber."""
    assert run("producer", *at(server, "-t", "keep/1", "-m", 'hé "y"', "-q", "1", "-r", *PROPERTY_WORDS))[0] == 0
    assert run("producer", *at(server, "-t", "keep/2", "-m", '{"n":1}', "-r"))[0] == 0


@pytest.mark.parametrize(
    "flags",
    [
        ("-C", "2"),
        ("-v", "-C", "2"),
        ("-N", "-C", "2"),
        ("-C", "2", "-T", "keep/1", "-W", "1"),
        ("-E",),
        ("-C", "1", "-R", "-W", "1"),
        ("-C", "2", "-q", "1", "-F", "[%t|%10t|%-10t|%.3t|%10.1t|%x|%X|%l|%06l|%-6l|%q|%r|%%|%p|%12p|%-12p|%010t]"),
        ("-C", "2", "-F", r"%C|%D|%F|%R|%S|%P|%3F|%20C\t\\@@\a\e\r\v"),
        ("-C", "2", "-D", "subscribe", "subscription-identifier", "7", "-F", "%S"),
        ("-C", "2", "-D", "connect", "receive-maximum", "1", "-q", "1"),
    ],
    ids=" ".join,
)
def test_messages_are_written_alike(server, retained, flags):
    ours = run("consumer", *at(server, "-t", "keep/+", *flags))
    others = theirs("consumer", *at(server, "-t", "keep/+", *flags))
    assert ours[:2] == others[:2]


def test_json_has_the_same_keys_and_values(server, retained):
    def parsed(output):
        found = [json.loads(line) for line in output.splitlines()]
        for message in found:
            assert message.pop("tst").startswith("20")
            message.pop("mid", None)  # the packet identifier stays within the protocol here
            message.get("properties", {}).pop("message-expiry-interval", None)
        return found

    ours = run("consumer", *at(server, "-t", "keep/+", "-C", "2", "--json"))
    others = theirs("consumer", *at(server, "-t", "keep/+", "-C", "2", "-F", "%j"))
    assert parsed(ours[1]) == parsed(others[1])
    whole = run("consumer", *at(server, "-t", "keep/2", "-C", "1", "-F", "%J"))
    assert json.loads(whole[1])["payload"] == {"n": 1}
    code, out, err = run("consumer", *at(server, "-t", "keep/1", "-C", "1", "-F", "%J"))
    assert (code, out) == (0, "")
    assert err == "mqtt-consumer: the message on topic keep/1 is not valid JSON\n"


@BOTH
def test_a_will_with_properties_is_published(server, speak):
    """Being disconnected by the server is the end without a goodbye."""
    subscription = server.threadsafe.subscribe("last/words", qos=1)
    will = ["--will-topic", "last/words", "--will-payload", "gone", "--will-qos", "1"]
    will += ["-D", "will", "content-type", "text/will"]
    name = {run: "consumer", theirs: "mosquitto_sub"}[speak]
    command = ["/usr/bin/env", name] if speak is theirs else None
    arguments = [str(word) for word in at(server, "-t", "x", "-i", "willing", *will)]

    process = subprocess.Popen([*command, *arguments]) if command else start("consumer", *arguments)
    try:
        while not any(session.client_id == "willing" for session in server.broker.sessions()):
            server.threadsafe.publish("tick")
        server.threadsafe.disconnect("willing")
        message = subscription.get(20)
        assert (message.payload, message.qos) == (b"gone", 1)
        assert message.message.properties.content_type == "text/will"
    finally:
        process.kill()
        process.communicate()
        subscription.close()


@pytest.mark.parametrize(
    "program, flags",
    [
        ("producer", "-t a -m x -D publish foo 1"),
        ("producer", "-t a -m x -D publish content-type"),
        ("producer", "-t a -m x -D publish will-delay-interval 1"),
        ("producer", "-t a -m x -D nowhere content-type x"),
        ("producer", "-t a -m x -D publish user-property k"),
        ("consumer", "-t a -F %z"),
        ("consumer", "-t a -F %"),
        ("consumer", r"-t a -F \x"),
        ("producer", "-t a/+ -m x"),
        ("consumer", "-t a/#/b"),
    ],
)
def test_mistakes_are_mistakes_for_both(server, program, flags):
    ours = run(program, *at(server, *flags.split()))
    assert ours[0] == theirs(program, *at(server, *flags.split()))[0] == 1
    assert ours[2].count("\n") == 1
    assert ours[2].startswith(f"mqtt-{program}: ")


def test_a_number_has_to_be_one_and_versions_have_to_know_properties(server):
    for flags, text in [
        ("-D publish message-expiry-interval ten", "-D: message-expiry-interval: expected a whole number, got 'ten'"),
        ("-D publish contenttype x", "-D: unknown property 'contenttype'; did you mean 'content-type'?"),
        ("-V 3.1.1 -D publish content-type x", "-D needs protocol version 5"),
        ("-D will content-type x", "a will needs --will-topic"),
    ]:
        code, _, err = run("producer", *at(server, "-t", "a", "-m", "x", *flags.split()))
        assert (code, err) == (1, f"mqtt-producer: {text}\n")


def test_times_are_written_as_asked_for():
    message = MessageReceived("a", b"\xff", properties=Properties(topic_alias=3))
    ns = 1_700_000_000_123_456_789
    assert MessageFormat("%U @N %A").write(message, ns) == b"1700000000.123456789 123456789 3"
    assert MessageFormat("@Y").write(message, ns) == b"2023"
    assert MessageFormat("%I").write(message, ns)[:8] == b"2023-11-"
    told = json.loads(MessageFormat("%j").write(message, ns))
    assert told["payload-base16"] == "ff"
    assert told["tst"][19:26] == ".123456"


def test_retained_messages_are_removed(server):
    server.threadsafe.publish("gone/a", b"1", retain=True)
    server.threadsafe.publish("gone/b", b"2", retain=True)
    code, out, _ = run("consumer", *at(server, "-t", "gone/#", "--remove-retained", "--retained-only", "-C", "2"))
    assert (code, sorted(out.split())) == (0, ["1", "2"])
    code, out, _ = run("consumer", *at(server, "-t", "gone/#", "--retained-only", "-W", "1"))
    assert (code, out) == (27, "")


@BOTH
def test_disconnect_says_what_it_was_given(server, speak):
    lasting = at(server, "-t", "t", "-E", "-x", "100", "-i")
    assert speak("consumer", *lasting, "stays")[0] == 0
    assert speak("consumer", *lasting, "goes", "-D", "disconnect", "session-expiry-interval", "0")[0] == 0
    ids = {session.client_id for session in server.threadsafe.call(_sessions(server), 10)}
    assert "stays" in ids
    assert "goes" not in ids


async def _sessions(server):
    return list(server.broker.sessions())


def test_disconnect_cannot_say_everything(server):
    expiry = ("-D", "disconnect", "session-expiry-interval", "9")
    code, _, err = run("producer", *at(server, "-t", "t", "-m", "x", *expiry))
    assert (code, err) == (
        1,
        "mqtt-producer: disconnect_properties: a session that ends with its connection gets no expiry then\n",
    )
    code, _, err = run("producer", *at(server, "-t", "t", "-m", "x", "-D", "disconnect", "content-type", "x"))
    assert (code, err) == (1, "mqtt-producer: -D: disconnect has no property content-type\n")


def test_pretty_json_takes_several_lines():
    message = MessageReceived("a", b'{"b": 1}')
    for form in ("%j", "%J"):
        plain, pretty = (MessageFormat(form, pretty=wanted).write(message, 0) for wanted in (False, True))
        assert b"\n" not in plain
        assert pretty.count(b"\n") >= 6
        assert json.loads(plain) == json.loads(pretty)


@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize("payload", [b"[" * 100_000, b"NaN", b"1e999", b'"\\ud800"', b"{"])
def test_what_json_cannot_say_is_an_error_of_that_message(payload, pretty):
    form = MessageFormat("%J", pretty=pretty)
    with pytest.raises(ValueError, match=r"^the message on topic t is not valid JSON$"):
        form.write(MessageReceived("t", payload), 0)
    assert b"payload" in form.write(MessageReceived("t", b"[1.5]"), 0)


def test_the_width_of_a_field_is_bounded():
    assert len(MessageFormat("%99999p").write(MessageReceived("t", b"x"), 0)) == 99999
    with pytest.raises(ValueError, match=r"^a field of the format is at most 99999 characters wide$"):
        MessageFormat("%100000p")

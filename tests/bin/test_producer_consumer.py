"""``mqtt-producer`` and ``mqtt-consumer`` as people type them: flags, standard input and output, exit codes."""

from __future__ import annotations

import functools
import os
import queue
import re
import subprocess

import pytest

from mqtt_core.broker import Accept, ClientConnected, Refuse
from mqtt_core.codec import ReasonCode
from tests.bin.kit import OpenPolicy, run, served, start


@pytest.fixture(scope="module")
def server():
    with served() as running:
        yield running


@pytest.fixture
def hear(server):
    """Subscribe inside the server: a function that gives the next message."""
    subscriptions = []

    def subscribe(topic_filter, qos=2):
        subscription = server.threadsafe.subscribe(topic_filter, qos=qos)
        subscriptions.append(subscription)
        return lambda: subscription.get(10)

    yield subscribe
    for subscription in subscriptions:
        subscription.close()


def produce(server, *arguments, **options):
    return run("producer", "-h", "127.0.0.1", "-p", server.port, *arguments, **options)


def consume(server, *arguments, **options):
    return run("consumer", "-h", "127.0.0.1", "-p", server.port, *arguments, **options)


class Consumer:
    """A consumer that has subscribed by the time it is made."""

    def __init__(self, server, *arguments):
        self.process = start("consumer", "-h", "127.0.0.1", "-p", server.port, "-d", *arguments)
        # -d says on stderr what happens: the last word before messages is the answer to SUBSCRIBE.
        for line in self.process.stderr:
            if b"SubscribeCompleted" in line:
                break

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def result(self):
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, out


# --------------------------------------------------------------------------------------------------------- producer


@pytest.mark.parametrize("version", ["5", "3.1.1", "mqttv311", "mqttv5"])
def test_one_message_with_flags_in_mosquittos_style(server, hear, version):
    heard = hear("a/b")
    assert produce(server, "-t", "a/b", "-m", "hello", "-q", "1", "-r", "-V", version) == (0, "", "")
    message = heard()
    assert (message.topic, message.payload, message.qos) == ("a/b", b"hello", 1)
    assert server.threadsafe.call(_retained(server, "a/b"), 10) == [b"hello"]
    assert produce(server, "-t", "a/b", "-n", "-r") == (0, "", "")
    assert server.threadsafe.call(_retained(server, "a/b"), 10) == []


async def _retained(server, topic):
    return [message.payload for message in server.broker.retained(topic)]


def test_topics_may_stand_alone_and_several_get_the_message_each(server, hear):
    heard = hear("several/#")
    assert produce(server, "several/1", "-m", "x", "several/2", "-t", "several/3", "-q", "2")[0] == 0
    assert sorted(heard().topic for _ in range(3)) == ["several/1", "several/2", "several/3"]


@pytest.mark.parametrize("arguments", [(), ("-l",)])
def test_each_line_of_standard_input_is_a_message(server, hear, arguments):
    heard = hear("lines")
    text = "one\n\nthree\nno end of line"
    assert produce(server, "lines", "-q", "1", *arguments, input=text) == (0, "", "")
    assert [heard().payload for _ in range(4)] == [b"one", b"", b"three", b"no end of line"]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_many_lines_keep_their_order_and_none_is_lost(server, hear, qos):
    heard = hear("many")
    lines = [f"line {number}" for number in range(3000)]
    assert produce(server, "many", "-q", qos, "-M", "50", input="\n".join(lines)) == (0, "", "")
    assert [heard().payload.decode() for _ in lines] == lines


def test_a_file_and_all_of_standard_input_are_one_message(server, hear, tmp_path):
    heard = hear("whole")
    (tmp_path / "file").write_bytes(b"a\nb\x00\xff")
    assert produce(server, "whole", "-f", tmp_path / "file")[0] == 0
    assert heard().payload == b"a\nb\x00\xff"
    assert produce(server, "whole", "-s", input="c\nd\n")[0] == 0
    assert heard().payload == b"c\nd\n"


def test_a_message_is_repeated(server, hear):
    heard = hear("again")
    assert produce(server, "again", "-m", "x", "--repeat", "3", "--repeat-delay", "0.01")[0] == 0
    assert [heard().payload for _ in range(3)] == [b"x"] * 3


def test_topic_and_address_may_come_as_a_url(hear, server):
    heard = hear("by/url")
    code, _, err = run("producer", "-L", f"mqtt://127.0.0.1:{server.port}/by/url", "-m", "x")
    assert (code, err) == (0, "")
    assert heard().topic == "by/url"


def test_a_will_is_published_when_the_producer_is_killed(server, hear):
    heard = hear("will")
    said = hear("said")
    flags = ("--will-topic", "will", "--will-payload", os.fsdecode(b"gone\xff"), "--will-qos", "1")
    with start("producer", "-h", "127.0.0.1", "-p", server.port, "said", *flags, stdin=subprocess.PIPE) as process:
        process.stdin.write(b"one line\n")
        process.stdin.flush()
        assert said().payload == b"one line"
        process.kill()
        process.communicate()
    assert heard().payload == b"gone\xff"


# --------------------------------------------------------------------------------------------------------- consumer


def test_sigterm_says_goodbye_so_that_no_will_is_published(server, hear):
    heard = hear("last/#")
    will = ("--will-topic", "last/will", "--will-payload", "gone", "--will-qos", "1")
    with Consumer(server, *will, "x/quiet") as consumer:
        consumer.process.terminate()
        assert consumer.result() == (0, b"")
    server.threadsafe.publish("last/word", b"of ours", qos=1)
    assert heard().topic == "last/word"


def test_a_count_of_messages_with_their_topics(server):
    with Consumer(server, "-v", "-C", "2", "-q", "1", "x/+") as consumer:
        server.threadsafe.publish("x/1", b"one", qos=1)
        server.threadsafe.publish("x/2", b"two", qos=1)
        server.threadsafe.publish("x/3", b"three", qos=1)
        assert consumer.result() == (0, b"x/1 one\nx/2 two\n")


def test_messages_come_as_they_are_and_n_is_a_count_too(server):
    with Consumer(server, "-n", "2", "-N", "-t", "raw") as consumer:
        server.threadsafe.publish("raw", b"\x00\xff\n")
        server.threadsafe.publish("raw", b"end")
        assert consumer.result() == (0, b"\x00\xff\nend")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_message_of_any_size_comes(version):
    payload = bytes(3_000_000)
    with (
        served(max_packet_size=4_000_000) as server,
        Consumer(server, "-V", version, "-N", "-C", "1", "big") as consumer,
    ):
        server.threadsafe.publish("big", payload)
        assert consumer.result() == (0, payload)


def test_a_message_is_written_at_once_when_no_other_waits(server):
    with Consumer(server, "now") as consumer:
        server.threadsafe.publish("now", b"x")
        assert consumer.process.stdout.readline() == b"x\n"


def test_filtered_and_retained_messages_are_not_shown_when_not_wanted(server):
    server.threadsafe.publish("f/old", b"retained", retain=True)
    with Consumer(server, "-R", "-T", "f/no/#", "-C", "1", "f/#") as consumer:
        server.threadsafe.publish("f/no/1", b"not this")
        server.threadsafe.publish("f/yes", b"this")
        assert consumer.result() == (0, b"this\n")
    server.threadsafe.publish("f/old", b"", retain=True)


def test_retained_only_ends_at_the_first_live_message(server):
    server.threadsafe.publish("r/1", b"kept", retain=True)
    with Consumer(server, "--retained-only", "r/#") as consumer:
        server.threadsafe.publish("r/2", b"live")
        assert consumer.result() == (0, b"kept\n")


def test_a_timeout_is_exit_code_27(server):
    assert consume(server, "-W", "0.3", "nothing") == (27, "", "mqtt-consumer: timed out\n")
    assert consume(server, "-W", "0.3", "--quiet", "nothing") == (27, "", "")


def test_exit_after_subscribe_and_a_session_that_keeps_what_came_meanwhile(server):
    session = ("-i", "keeper", "-c", "-q", "1")
    assert consume(server, *session, "-E", "kept/#") == (0, "", "")
    for number in range(5):
        server.threadsafe.publish("kept/x", b"%d" % number, qos=1)
    assert consume(server, *session, "-C", "2", "kept/#") == (0, "0\n1\n", "")
    assert consume(server, *session, "-C", "3", "kept/#") == (0, "2\n3\n4\n", "")  # not acknowledged, not lost
    assert consume(server, *session, "-U", "kept/#", "-x", "0", "-W", "0.2")[0] == 27


def test_a_reader_that_goes_away_ends_the_consumer_without_a_word(server):
    with Consumer(server, "pipe") as consumer:
        consumer.process.stdout.close()
        consumer.process.stdout = None
        server.threadsafe.publish("pipe", b"x" * 10)
        assert b"mqtt-consumer:" not in consumer.process.stderr.read()
        assert consumer.process.wait(10) == 1


# ----------------------------------------------------------------------------------------------- what the server sees


def test_identity_and_session_flags_reach_the_server():
    connects = queue.SimpleQueue()

    class Seeing(OpenPolicy):
        def authenticate(self, connect, peer):
            connects.put(connect)
            return Accept()

    with served(policy=Seeing()) as server:
        assert produce(server, "a", "-m", "x", "-i", "me", "-u", "user", "-P", "secret", "-k", "7", "-x", "9")[0] == 0
        connect = connects.get(timeout=10)
        assert (connect.client_id, connect.username, connect.password) == ("me", "user", b"secret")
        assert (connect.keep_alive_s, connect.clean_start, connect.version) == (7, True, 5)
        assert connect.properties.session_expiry_interval == 9
        assert produce(server, "a", "-m", "x", "-I", "pre-", "-V", "4")[0] == 0
        connect = connects.get(timeout=10)
        assert re.fullmatch(r"pre-\d+", connect.client_id)
        assert connect.version == 4


@pytest.mark.parametrize(
    "version,code,line",
    [("5", 135, "connection refused: not authorized"), ("3.1.1", 5, "connection refused: not authorized")],
)
@pytest.mark.parametrize("program", ["producer", "consumer"])
def test_a_refused_connection_is_the_connack_code(program, version, code, line):
    class Refusing(OpenPolicy):
        def authenticate(self, connect, peer):
            return Refuse(ReasonCode.NOT_AUTHORIZED)

    with served(policy=Refusing()) as server:
        arguments = ("-m", "x") if program == "producer" else ()
        got = run(program, "-h", "127.0.0.1", "-p", server.port, "-V", version, "a", *arguments)
        assert got == (code, "", f"mqtt-{program}: {line}\n")


def test_a_refused_publish_or_subscription_is_exit_code_1():
    class Private(OpenPolicy):
        def authorize_publish(self, principal, topic, qos, retain):
            return topic != "private"

        def authorize_subscribe(self, principal, topic_filter, qos):
            return ReasonCode.NOT_AUTHORIZED if topic_filter == "private" else qos

    with served(policy=Private()) as server:
        code, _, err = produce(server, "private", "-m", "x", "-q", "1")
        assert code == 1
        assert "not authorized" in err
        code, _, err = consume(server, "private", "-W", "5")
        assert (code, err) == (1, "mqtt-consumer: refused: 'private' (not authorized)\n")
        code, _, err = consume(server, "private", "public", "-E")  # one is granted: that is enough
        assert (code, err) == (0, "mqtt-consumer: refused: 'private' (not authorized)\n")


def test_debug_shows_what_happens(server):
    code, out, err = consume(server, "-d", "-E", "a")
    assert (code, out) == (0, "")
    assert "connected to mqtt://127.0.0.1:" in err
    assert "SubscribeCompleted" in err


def test_the_server_hears_a_clean_goodbye():
    heard = []
    with served(on_event=heard.append) as server:
        assert produce(server, "a", "-m", "x")[0] == 0
        assert produce(server, "a", "-m", "x")[0] == 0
    first = next(event for event in heard if not isinstance(event, ClientConnected))
    assert (type(first).__name__, first.reason_code) == ("ClientDisconnected", 0)


# ----------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "program,arguments,line",
    [
        ("producer", ["-m", "x"], "which topic? (-t TOPIC)"),
        ("consumer", [], "which topic? (-t TOPIC)"),
        ("producer", ["a/#", "-m", "x"], "'a/#': a topic name contains no wildcard"),
        ("producer", ["", "-m", "x"], "'': a topic name has at least one character"),
        ("consumer", ["a/#/b"], "'a/#/b': a topic filter has its # alone at the end"),
        ("producer", ["a", "-m", "x", "-q", "3"], "argument -q/--qos: QoS is 0, 1 or 2, got '3' *"),
        ("consumer", ["a", "--timout", "3"], "unknown option '--timout'; did you mean '--timeout'? *"),
        ("consumer", ["a", "-C", "0"], "argument -C/-n/--count: expected a whole number of at least 1, got '0' *"),
        ("consumer", ["a", "-W", "x"], "argument -W/--timeout: expected a number of seconds above 0, got 'x' *"),
        ("producer", ["a", "-m", "x", "-n"], "argument -n/--null-message: not allowed with argument -m/--message *"),
        ("producer", ["a", "-m", "x", "-V", "6"], "argument -V/--protocol-version: expected 5 or 3.1.1 *"),
        ("producer", ["a", "-f", "/none"], "/none: No such file or directory"),
        ("producer", ["a", "-m", "x", "-p", "99999"], "argument -p/--port: a port is 0 to 65535, got '99999' *"),
        ("producer", ["a", "-m", "x", "-L", "http://h"], "http: an address begins with *"),
        ("producer", ["a", "-m", "x", "-c"], "-c keeps a session by its client identifier: give one with -i"),
        ("producer", ["a", "-m", "x", "-V", "4", "-x", "5"], "-x needs protocol version 5"),
        ("producer", ["a", "-m", "x", "--will-payload", "y"], "a will needs --will-topic"),
        ("producer", ["a", "-m", "x", "--cafile", "/none"], "TLS: cannot use /none: No such file or directory"),
        ("producer", ["a", "-m", "x", "--key", "k"], "--key is the private key of a certificate: *"),
        ("producer", ["a", "-m", "x", "-k", "70000"], "keep_alive_s is 70000, not within 0 to 65535"),
        ("producer", ["a", "-m", "x", "--unix", "/none"], "unix:/none: *"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(server, inside, program, arguments, line):
    where = () if {"-p", "-L", "--unix"} & set(arguments) else ("-h", "127.0.0.1", "-p", server.port)
    code, out, err = inside(program, *where, *arguments)
    assert (code, out) == (1, "")
    assert re.fullmatch(re.escape(f"mqtt-{program}: {line}\n").replace(r"\*", ".*"), err), err


def test_nobody_listening_is_one_line_and_exit_code_1(inside, unused_port):
    code, out, err = inside("producer", "-h", "127.0.0.1", "-p", unused_port, "a", "-m", "x")
    assert (code, out) == (1, "")
    assert err.startswith("mqtt-producer: ")
    assert err.count("\n") == 1
    assert inside("producer", "-h", "127.0.0.1", "-p", unused_port, "a", "-m", "x", "--quiet") == (1, "", "")


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        yield sock.getsockname()[1]


@pytest.mark.parametrize("program", ["producer", "consumer"])
def test_help_is_help_and_h_is_host(inside, program):
    code, out, err = inside(program, "--help")
    assert (code, err) == (0, "")
    assert "-h HOST, --host HOST" in " ".join(out.split())


@pytest.mark.parametrize("how", [(), ("-l",), ("-s",)])
def test_closed_standard_input_is_one_line_and_exit_code_1(server, how):
    done = produce(server, "-t", "t", *how, preexec_fn=functools.partial(os.close, 0))
    assert done == (1, "", "mqtt-producer: standard input is closed\n")


def test_standard_input_that_cannot_be_read_is_one_line_and_exit_code_1(server, tmp_path):
    with (tmp_path / "file").open("wb") as only_to_be_written:
        done = produce(server, "-t", "t", stdin=only_to_be_written)
    assert done == (1, "", "mqtt-producer: Bad file descriptor\n")


def test_closed_standard_output_is_one_line_and_exit_code_1(server):
    where = ("-h", "127.0.0.1", "-p", server.port)
    done = run("consumer", *where, "-t", "t", preexec_fn=functools.partial(os.close, 1))
    assert done == (1, "", "mqtt-consumer: standard output is closed\n")

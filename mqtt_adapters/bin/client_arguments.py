"""What ``mqtt-producer`` and ``mqtt-consumer`` share: the flags people know from mosquitto's tools, and how such a
program ends.

Law: a flag means here what it means there. The exit code is mosquitto's where it has one (the CONNACK code of a refused
connection, 27 when the time given with -W is over), else 0 and 1; an error is one line on stderr, which --quiet hushes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, cast

from mqtt_adapters.asyncio import Client
from mqtt_adapters.bin.arguments import EXIT_ERROR, Parser, fail, forget_stdout, port_number, say
from mqtt_adapters.bin.property_flags import PropertyFlags, add_property_flag
from mqtt_adapters.client.settings import ClientOptions
from mqtt_adapters.client.url import parse_address
from mqtt_adapters.config import no_password, why_unusable
from mqtt_adapters.errors import ConnectRefused, reason_name
from mqtt_core.client import Event
from mqtt_core.codec import PACKET_SIZE_MAX, V5, V311, MqttError, ReasonCode, Will

__all__ = [
    "EXIT_TIMEOUT",
    "add_connection_flags",
    "check_each",
    "debug",
    "make_client",
    "parse_flags",
    "quality",
    "run_program",
    "seconds",
    "whole_number",
]

EXIT_TIMEOUT: Final = 27

_VERSIONS: Final = {
    "5": V5, "5.0": V5, "mqttv5": V5, "v5": V5,
    "4": V311, "3.1.1": V311, "311": V311, "mqttv311": V311, "v3.1.1": V311,
}  # fmt: skip
_RETURN_CODES: Final = {
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: 1,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: 2,
    ReasonCode.SERVER_UNAVAILABLE: 3,
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: 4,
    ReasonCode.NOT_AUTHORIZED: 5,
}
"""The return codes a 3.1.1 server refuses a connection with (section 3.2.2.3)."""
_FOR_EVER: Final = 0xFFFFFFFF


# ----------------------------------------------------------------------------------------------------------- flags


def protocol_version(text: str) -> int:
    """4 or 5 from what people write for it, as an argument type."""
    version = _VERSIONS.get(text.lower())
    if version is None:
        raise argparse.ArgumentTypeError(f"expected 5 or 3.1.1 (or mqttv5, mqttv311), got {text!r}")
    return version


def quality(text: str) -> int:
    """A quality of service, 0 to 2, as an argument type."""
    if text not in {"0", "1", "2"}:
        raise argparse.ArgumentTypeError(f"QoS is 0, 1 or 2, got {text!r}")
    return int(text)


def whole_number(text: str) -> int:
    """A count of at least 1, as an argument type."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A span of time above 0, as an argument type."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text!r}")


def session_expiry(text: str) -> int:
    """Seconds from 0 to 4294967295, the last of which, like -1 and ∞, means for ever; as an argument type."""
    if text in {"-1", "∞"}:
        return _FOR_EVER
    if not (text.isascii() and text.isdigit()) or int(text) > _FOR_EVER:
        raise argparse.ArgumentTypeError(f"expected 0 to {_FOR_EVER}, or -1 for ever, got {text!r}")
    return int(text)


def add_connection_flags(parser: Parser) -> None:
    """The flags that say where to connect, and as whom."""
    where = parser.add_argument_group("where")
    where.add_argument("-h", "--host", metavar="HOST", help="server (default localhost)")
    where.add_argument("-p", "--port", metavar="PORT", type=port_number, help="port (default 1883, with TLS 8883)")
    where.add_argument("-L", "--url", metavar="URL", help="mqtt(s)|ws(s)://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC]")
    where.add_argument("--unix", metavar="PATH", help="connect to this unix socket instead")
    where.add_argument("--tls", "--tls-use-os-certs", action="store_true",
                       help="encrypt; the server's certificate must be one the system trusts")  # fmt: skip
    where.add_argument("--cafile", metavar="FILE", help="trust these authorities (PEM) instead of the system's")
    where.add_argument("--capath", metavar="DIR", help="trust the authorities in this directory")
    where.add_argument("--cert", metavar="FILE", help="our certificate (PEM), for a server that asks for one")
    where.add_argument("--key", metavar="FILE", help="its private key (PEM)")
    where.add_argument(
        "--insecure", action="store_true", help="do not check that the server's certificate is for this host name"
    )

    who = parser.add_argument_group("as whom")
    who.add_argument("-i", "--id", metavar="ID", help="client identifier (default: the server chooses one)")
    who.add_argument("-I", "--id-prefix", metavar="PREFIX", help="client identifier: this and the process number")
    who.add_argument("-u", "--username", metavar="NAME", help="user name")
    who.add_argument("-P", "--pw", "--password", dest="password", metavar="PASSWORD", help="password")
    who.add_argument("-V", "--protocol-version", metavar="VERSION", type=protocol_version, default=V5,
                     help="5 (default) or 3.1.1; also mqttv5, mqttv311")  # fmt: skip
    who.add_argument("-k", "--keepalive", metavar="S", type=int, default=60, help="keep alive, seconds (default 60)")
    who.add_argument("-c", "--disable-clean-session", action="store_true", help="keep the session; needs -i")
    who.add_argument("-x", "--session-expiry-interval", dest="session_expiry", metavar="S", type=session_expiry,
                     help="seconds the server keeps the session (5.0; with -c for ever)")  # fmt: skip

    will = parser.add_argument_group("will: what the server publishes when the connection is lost")
    will.add_argument("--will-topic", metavar="TOPIC", help="its topic")
    will.add_argument("--will-payload", metavar="TEXT", help="its message")
    will.add_argument("--will-qos", metavar="QOS", type=quality, default=0, help="its QoS")
    will.add_argument("--will-retain", action="store_true", help="it is retained")

    add_property_flag(parser)

    talk = parser.add_argument_group("what is said on stderr")
    talk.add_argument("-d", "--debug", action="store_true", help="every event of the connection")
    talk.add_argument("--quiet", action="store_true", help="no errors")


def parse_flags(parser: Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; `properties` of the result is what was given with ``-D``."""
    properties = PropertyFlags()
    try:
        rest = properties.take(sys.argv[1:] if argv is None else argv)
    except ValueError as error:
        fail(parser.prog, error)
    namespace = parser.parse(rest)
    namespace.properties = properties
    namespace.topics += namespace.topic
    return namespace


def check_each(check: Callable[[str], None], topics: Sequence[str]) -> None:
    """Check topics or filters before anything is connected. Raises ValueError, which names the one that is wrong."""
    for topic in topics:
        try:
            check(topic)
        except MqttError as error:
            raise ValueError(f"{topic!r}: {error.reason}") from error


# ---------------------------------------------------------------------------------------------------------- client


def make_client(namespace: argparse.Namespace, *, manual_ack: bool = False) -> Client:
    """The client the flags describe; a topic in the URL is put in front of `namespace.topics`.

    manual_ack: messages are acknowledged when the program says so.

    Raises:
        ValueError, MqttError, OSError: flags that make no sense together, or files that cannot be read.
    """
    host, port = namespace.host or "localhost", namespace.port
    if namespace.unix is not None:
        host, port = f"unix:{namespace.unix}", None
    elif namespace.url is not None:
        address = parse_address(namespace.url)
        host = namespace.url
        if address.path and not address.websocket:
            namespace.topics.insert(0, address.path)
    client_id = namespace.id or ""
    if namespace.id_prefix is not None:
        client_id = f"{namespace.id_prefix}{os.getpid()}"
    options: ClientOptions = {
        "client_id": client_id,
        "version": namespace.protocol_version,
        "clean_start": not namespace.disable_clean_session,
        "keep_alive_s": namespace.keepalive,
        "will": _will(namespace),
        "tls": _tls(namespace),
        "manual_ack": manual_ack,
        "maximum_packet_size": PACKET_SIZE_MAX,  # whoever types a command wants the message, as with mosquitto_sub
        "disconnect_properties": namespace.properties.of("disconnect"),
    }
    properties: PropertyFlags = namespace.properties
    if properties.given and namespace.protocol_version != V5:
        raise ValueError("-D needs protocol version 5")
    if namespace.protocol_version == V5:
        for_ever = _FOR_EVER if namespace.disable_clean_session else 0
        options["session_expiry_s"] = for_ever if namespace.session_expiry is None else namespace.session_expiry
    elif namespace.session_expiry is not None:
        raise ValueError("-x needs protocol version 5")
    if namespace.disable_clean_session and not client_id:
        raise ValueError("-c keeps a session by its client identifier: give one with -i")
    if namespace.username is not None:
        options["username"] = namespace.username
    if namespace.password is not None:
        options["password"] = namespace.password
    return Client(host, port, **cast("ClientOptions", {**options, **properties.connect}))


def _will(namespace: argparse.Namespace) -> Will | None:
    properties = namespace.properties.of("will")
    if namespace.will_topic is None:
        if namespace.will_payload is not None or namespace.will_qos or namespace.will_retain or properties:
            raise ValueError("a will needs --will-topic")
        return None
    payload = os.fsencode(namespace.will_payload or "")
    return Will(namespace.will_topic, payload, namespace.will_qos, namespace.will_retain, properties)


def _tls(namespace: argparse.Namespace) -> ssl.SSLContext | None:
    files = (namespace.cafile, namespace.capath, namespace.cert, namespace.key)
    if namespace.key is not None and namespace.cert is None:
        raise ValueError("--key is the private key of a certificate: give that with --cert")
    encrypted = namespace.url is not None and parse_address(namespace.url).tls
    if not (namespace.tls or namespace.insecure or encrypted or any(files)):
        return None
    try:
        context = ssl.create_default_context(cafile=namespace.cafile, capath=namespace.capath)
        if namespace.cert is not None:
            context.load_cert_chain(namespace.cert, namespace.key, no_password)
    except OSError as error:
        named = ", ".join(name for name in files if name)
        raise ValueError(f"TLS: cannot use {named}: {why_unusable(error)}") from error
    if namespace.insecure:
        context.check_hostname = False
    return context


def debug(client: Client) -> None:
    """Write to stderr how a client is connected, and from now on each of its events."""
    print(f"connected to {client.settings.address} as {client.client_id!r}", file=sys.stderr, flush=True)

    def show(event: Event) -> None:
        print(event, file=sys.stderr, flush=True)

    client.on_event(show)


# ------------------------------------------------------------------------------------------------------ the way out


async def _ending_on_sigterm(work: Coroutine[object, object, int]) -> int:
    """SIGTERM ends the program in order: the server is told, so that it publishes no will."""
    task = asyncio.current_task()
    assert task is not None
    # Neither Windows nor a thread other than the main one has it.
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def run_program(
    program: str, namespace: argparse.Namespace, work: Coroutine[object, object, int], *, terminated: int = 0
) -> int:
    """Run a program's coroutine; whatever ends it becomes an exit code and at most one line on stderr.

    terminated: the exit code when SIGTERM ended it.
    """
    what: object
    try:
        return asyncio.run(_ending_on_sigterm(work))
    except asyncio.CancelledError:
        return terminated
    except ConnectRefused as error:
        what = f"connection refused: {error.reason_string or reason_name(error.reason_code)}"
        code = error.reason_code
        if namespace.protocol_version == V311:
            code = _RETURN_CODES.get(ReasonCode(code), EXIT_ERROR)
    except BrokenPipeError:
        forget_stdout()
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130
    except (MqttError, OSError, ValueError) as error:
        what, code = error, EXIT_ERROR
    if not namespace.quiet:
        say(program, what)
    return code

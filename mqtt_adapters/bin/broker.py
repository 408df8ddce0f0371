"""``mqtt-broker``: the reference broker.

Listens on the loopback interface unless told otherwise. Says exactly one line when it is ready, when a start is
refused, and when it stops; SIGTERM, SIGINT and SIGHUP drain. Exit code 0 after a drain, 1 after a refusal or a failure.
Every setting of `ServerConfig` is a flag and a TOML key under the same name; a flag wins over the file, the file over
the default.

Things only a program may do to its process, and a library may not, are here: event loop, garbage collector, allocator.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import dataclasses
import errno
import gc
import io
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mqtt_adapters.asyncio import MqttServer
from mqtt_adapters.bin.arguments import Parser, fail, forget_stdout, port_number
from mqtt_adapters.bin.password import main as password
from mqtt_adapters.bin.progress import RecoveryProgress
from mqtt_adapters.config import ConfigError, ListenerConfig, ServerConfig, add_flags, given_flags, load_toml, setting
from mqtt_adapters.users import UsersPolicy
from mqtt_core.broker.events import Event
from mqtt_core.codec.error import StorageError
from mqtt_core.persistence import Storage

PROGRAM: Final = "mqtt-broker"

# <malloc.h> of glibc
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3

log = logging.getLogger("mqtt_adapters")


@dataclass(frozen=True)
class ProgramConfig(ServerConfig):
    """The settings of the server, and those of the program around it."""

    store: str | None = setting(None, "SQLite file in which sessions and retained messages survive; none: memory only")
    durability: str = setting(
        "strict", "what a commit survives: a power cut, or the end of the process", choices=("strict", "process")
    )
    users_file: str | None = setting(
        None, "TOML file of users, their passwords and the topics of each; none: everybody may do everything"
    )
    loop: str = setting("asyncio", "event loop; uvloop needs the package of that name", choices=("asyncio", "uvloop"))
    verbose: bool = setting(False, "log connections and refusals to stderr")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the broker, or one of its sub-commands ``inspect`` and ``password``. Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["inspect"]:
            from mqtt_adapters.bin.inspect import main as inspect  # noqa: PLC0415 - needs SQLite

            return inspect(arguments[1:])
        if arguments[:1] == ["password"]:
            return password(arguments[1:])
        return _serve(_configuration(arguments))
    except KeyboardInterrupt:  # while it reads what it was given; what serves drains
        fail(PROGRAM, "interrupted")
    except (ConfigError, StorageError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            fail(PROGRAM, f"{error.strerror}: is another broker running? (-p chooses another port)")
        fail(PROGRAM, error)


def _configuration(arguments: Sequence[str]) -> ProgramConfig:
    parser = Parser(
        PROGRAM,
        "[-h HOST] [-p PORT] [-c FILE] [-v] [--store FILE] [SETTING ...]",
        "An MQTT 3.1.1 and 5.0 broker. To look into a store: mqtt-broker inspect --help; for passwords of users: "
        "mqtt-broker password --help",
    )
    unset = argparse.SUPPRESS
    parser.add_argument("-h", "--host", metavar="HOST", help="address to listen on (default 127.0.0.1; * is every one)")
    parser.add_argument("-p", "--port", metavar="PORT", type=port_number, help="port (default 1883; 0 is any free one)")
    parser.add_argument("-c", "--config", metavar="FILE", help="TOML file to read settings from; flags win over it")
    parser.add_argument("-v", dest="verbose", action="store_true", default=unset, help="the same as --verbose")
    parser.add_argument("--max-clients", dest="max_connections", metavar="N", type=int, default=unset,
                        help="the same as --max-connections")  # fmt: skip
    add_flags(parser, ProgramConfig, "settings, each also a key of the TOML file (with _ for -)")
    namespace = parser.parse(arguments)
    given = given_flags(ProgramConfig, namespace)
    config = load_toml(namespace.config, ProgramConfig, given) if namespace.config else ProgramConfig(**given)
    if namespace.host is None and namespace.port is None:
        return config
    # -h and -p are the two halves of bind_addr, and win over it; a unix socket has neither half.
    endpoint = ListenerConfig().endpoint if config.endpoint.path is not None else config.endpoint
    host = namespace.host or endpoint.host or "*"
    port = endpoint.port if namespace.port is None else namespace.port
    bracketed = f"[{host}]" if ":" in host else host
    return dataclasses.replace(config, bind_addr=f"{bracketed}:{port}")


def _serve(config: ProgramConfig) -> int:
    if config.verbose:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    else:
        log.addFilter(lambda record: record.levelno < logging.CRITICAL)  # what ends the program is its last line
    _tune_process()
    progress = RecoveryProgress(f"{PROGRAM}: reading {config.store}", sys.stderr or io.StringIO())
    server = MqttServer(
        config,
        policy=None if config.users_file is None else UsersPolicy.from_file(config.users_file),
        store=_store(config),
        on_event=_log_event if config.verbose else None,
        on_progress=progress,
    )

    def ready(server: MqttServer) -> None:
        progress.finish()
        _ready(server)

    gc.disable()  # restoring makes objects that stay: looking for garbage among them would double its time
    try:
        server.run(on_ready=ready, loop_factory=_loop_factory(config.loop))
    finally:
        progress.finish()
        gc.enable()
    _log_totals(server)
    _tell("stopped")
    return 0


def _store(config: ProgramConfig) -> Storage | None:
    if config.store is None:
        return None
    from mqtt_adapters.storage.sqlite import SqliteStore  # noqa: PLC0415 - a Python may come without SQLite

    return SqliteStore(config.store, config.durability)


def _ready(server: MqttServer) -> None:
    # What has been restored lives as long as the broker: it need not be looked at by every full collection.
    gc.collect()
    gc.freeze()
    # A connection is some twenty objects that stay: with the default of 700 a storm of them is a storm of collections.
    # A full collection looks at every session, for half a second with 100,000 of them, and finds next to nothing.
    gc.set_threshold(5_000, 10, 100)
    gc.enable()
    asyncio.get_running_loop().set_exception_handler(_loop_exception)
    _tell(f"listening on {', '.join(server.addresses)}")


def _tell(text: str) -> None:
    """Write a line to stdout. A broker serves though nobody reads what it says."""
    try:
        print(f"{PROGRAM}: {text}", flush=True)
    except OSError:
        forget_stdout()


def _loop_exception(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the loop reports is for operators: running out of file descriptors, a failed TLS handshake."""
    error = context.get("exception")
    log.warning("%s%s", context["message"], f": {error}" if error else "")


def _log_totals(server: MqttServer) -> None:
    counters = server.broker.counters
    log.info(
        "%d packets received, %d of them in bulk; %d messages received, %d sent, %d dropped",
        counters.messages_received,
        counters.bulk_frames,
        counters.publish_received,
        counters.publish_sent,
        counters.dropped(),
    )


def _log_event(event: Event) -> None:
    told = {name: value for name, value in vars(event).items() if name != "now"}  # the log has its own clock
    if isinstance(told.get("reason_code"), int):
        told["reason_code"] = f"{told['reason_code']:#04x}"
    log.info(
        "%s: %s", type(event).__name__, ", ".join(f"{name} {value!s}" for name, value in told.items() if value != "")
    )


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        raise ConfigError("loop: uvloop is not installed (pip install 'mqtt-core[uvloop]')") from None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _tune_process() -> None:
    """As many connections as the system allows, and an allocator that keeps what it will need again.

    glibc gives buffers of 128 KiB and more back to the system after each use and takes them anew, page fault by page
    fault: 8 KiB payloads cost 9.9 us a message so, and 3.0 us with the thresholds raised.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not everywhere

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library than glibc
            libc = ctypes.CDLL(None)
            libc.mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024)
            libc.mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024)


if __name__ == "__main__":
    sys.exit(main())

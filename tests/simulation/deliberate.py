"""Deliberate faults, each put alone into a copy of the source: which seed of the simulator sees it?

    python -m tests.simulation.deliberate                         # all of them
    python -m tests.simulation.deliberate NAME ...                # some
    python -m tests.simulation.deliberate --table tests/simulation/faults.md

A fault is a piece of source and what stands in its place; the piece has to occur exactly once, which a fast test
checks, so that the list cannot become untrue unnoticed. Seeds run until one fails, and that seed is run again without
the fault: only if it is clean then has the fault been seen. One that was not is a failure of this program.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import mqtt_core

SOURCE = Path(mqtt_core.__file__).parent
SEEDS = 150


class Fault(NamedTuple):
    """One fault. options: of the simulator, to look where the fault is. also: a second place (path, old, new)."""

    name: str
    path: str
    old: str
    new: str
    options: tuple[str, ...] = ()
    also: tuple[str, str, str] | None = None


OBJECTS = ("bulk=False",)
STORED = ("bulk=False", "storage=log", "commit_s=0.02", "broker_crash_rate=0.4")

FAULTS = [
    Fault(
        "acks are not held",
        "broker/handler.py",
        "self.send(frame, barrier, 1)",
        "self.send(frame, 0, 1)",
        STORED,
    ),
    Fault(
        "deliveries are not held",
        "router/sender.py",
        "if barrier <= self.journal.committed:",
        "if barrier <= self.journal.committed or frame[0] >> 4 == 3:",
        STORED,
    ),
    Fault(
        "a batch is split",
        "testing/simulation/storage.py",
        "_part(batch, self._rng.random()) if self.tear else batch",
        "_part(batch, self._rng.random())",
        STORED,
    ),
    Fault(
        "PUBREC is not held",
        "broker/handler.py",
        "self.send(frame, barrier, credits)  #",
        "self.send(frame, 0, credits)  #",
        STORED,
    ),
    Fault("DUP is forgotten", "router/frames.py", "BYTE[frame[0] | 0x08]", "BYTE[frame[0]]"),
    Fault(
        "resends in reverse",
        "session/qos.py",
        "self.resend = dict.fromkeys(waiting) if waiting else None",
        "self.resend = dict.fromkeys(waiting[::-1]) if waiting else None",
    ),
    Fault(
        "no resend", "session/qos.py", "self.resend = dict.fromkeys(waiting) if waiting else None", "self.resend = None"
    ),
    Fault(
        "one message above the quota",
        "session/qos.py",
        "            return self.limit - len(self.inflight)\n        return",
        "            return self.limit + 1 - len(self.inflight)\n        return",
    ),
    Fault(
        "QoS 2 is repeated",
        "broker/handler.py",
        "again = qos == 2 and packet_id in session.incoming.received",
        "again = qos == 2 and packet_id < 0",
        OBJECTS,
    ),
    Fault(
        "a will after a normal DISCONNECT",
        "broker/handler.py",
        "self.leave(now, packet.reason_code != 0)",
        "self.leave(now, True)",
        ("wills=1.0",),
    ),
    Fault(
        "no will at all",
        "broker/sessions.py",
        "            if delay_s == 0:\n                publish_will(state, session, now)",
        "            if delay_s == 0:\n                session.will = None",
        ("wills=1.0",),
    ),
    Fault(
        "the delay of a will is ignored",
        "broker/sessions.py",
        "delay_s = min(will.delay_s, session.expiry_s)",
        "delay_s = 0",
        ("wills=1.0", "share_v5=1.0"),
    ),
    Fault(
        "a will after the client's return",
        "broker/sessions.py",
        "        session.will_at = 0.0\n        return session, True",
        "        return session, True",
        ("wills=1.0", "share_v5=1.0"),
    ),
    Fault(
        "a session lives seven seconds longer",
        "session/session.py",
        "return self.disconnected_at + self.expiry_s",
        "return self.disconnected_at + self.expiry_s + 7",
        ("session_expiry_s=20", "share_sleepy=0.6"),
    ),
    Fault("clean start keeps the session", "broker/sessions.py", "if clean_start or expired or", "if expired or"),
    Fault("no session is ever present", "broker/sessions.py", "if clean_start or expired or", "if True or expired or"),
    Fault(
        "an expired message is sent from the queue",
        "router/draining.py",
        "if message.expires_at and message.expires_at <= now:  # [MQTT-3.3.2-5 v5]",
        "if not message:  # [MQTT-3.3.2-5 v5]",
        ("expiry=0.6", "share_v5=0.5", "inflight_max=1"),
        ("transport/outbox.py", "            if left <= 0:", "            if left <= 0 <= countdown.offset:"),
    ),
    Fault(
        "an hour is added to the expiry",
        "transport/outbox.py",
        "seconds = min(int(left + 0.999)",
        "seconds = min(int(left + 3600.999)",
        ("expiry=0.6", "share_v5=1.0"),
    ),
    Fault(
        "live messages carry RETAIN",
        "router/router.py",
        "retain = message.retain and delivery.retain_as_published",
        "retain = message.retain",
        ("retain=0.5",),
    ),
    Fault(
        "RETAIN as published is ignored",
        "router/router.py",
        "retain = message.retain and delivery.retain_as_published",
        "retain = False",
        ("retain=0.5", "share_v5=1.0"),
    ),
    Fault(
        "nothing is retained",
        "router/router.py",
        "barrier = max(barrier, self.retain(message))",
        "pass",
        ("retain=0.5",),
    ),
    Fault(
        "an empty payload does not delete",
        "router/retain.py",
        "if not message.payload:",
        "if message is None:",
        ("retain=0.5",),
    ),
    Fault("queued messages swap", "router/queues.py", "session.queue.append(entry)", "session.queue.appendleft(entry)"),
    Fault(
        "the queue forgets",
        "router/queues.py",
        "session.queue.append(entry)",
        "session.queue.append(entry) if len(session.queue) < 3 else None",
    ),
    Fault(
        "aliases are kept after a reconnect",
        "broker/handshake.py",
        "session.aliases = {} if alias_max else None",
        "session.aliases = (session.aliases or {}) if alias_max else None",
        ("topic_alias_maximum=5", "share_v5=1.0", "share_persistent=1.0", "reset_rate=1.0"),
        ("broker/sessions.py", "    session.aliases = None\n", ""),
    ),
    Fault(
        "one alias too many",
        "router/sender.py",
        "if len(aliases) >= session.alias_max or",
        "if len(aliases) > session.alias_max or",
        ("topic_alias_maximum=2", "share_v5=1.0"),
    ),
    Fault(
        "PUBREL is answered twice",
        "broker/handler.py",
        "self.send(PUBCOMP_FRAMES[packet_id], session.barrier, credits)",
        "self.send(PUBCOMP_FRAMES[packet_id] * 2, session.barrier, credits)",
        OBJECTS,
    ),
    Fault(
        "shared members all get a copy",
        "router/router.py",
        "            self._give_to_member(group, member, message, held, now)\n",
        "            self._give_to_member(group, member, message, held, now)\n"
        "            self._give_to_member(group, self._member(group, message.topic, None), message, held, now)\n",
        ("shared=0.8", "share_v5=1.0"),
    ),
    Fault(
        "unsubscribing does nothing",
        "router/router.py",
        "        self._invalidate(subscription)  # [MQTT-3.10.4-2]",
        "        # not invalidated",
    ),
    Fault(
        "a DISCONNECT before CONNACK",
        "broker/connection.py",
        "unanswered = self.unanswered()",
        "unanswered = False",
        ("takeover_rate=0.5", "commit_s=0.2", "storage=log"),
    ),
    Fault(
        "reading is not resumed",
        "broker/handler.py",
        "self.outbox.mark_dirty()  # nothing",
        "pass  # nothing",
        ("receive_maximum=1", "share_v5=0.0"),
    ),
    Fault(
        "restarts prolong sessions",
        "broker/restore.py",
        "session.barrier = state.journal.store_session(session)",
        "pass",
        ("session_expiry_s=20", "broker_crash_rate=0.3", "storage=log"),
    ),
    Fault(
        "a late timer ends an ended connection",
        "client/client.py",
        "elif link.phase != CLOSED and now >= link.give_up_at:",
        "elif now >= link.give_up_at:",
        ("share_sleepy=0.6",),
    ),
    Fault(
        "the wrong identifier is released",
        "session/qos.py",
        'is not QoS 1")\n        self._finish(packet_id)',
        'is not QoS 1")\n        self._finish(next(iter(self.inflight)))',
        ("bulk=False", "inflight_max=5"),
    ),
    Fault(
        "No Local is ignored",
        "router/router.py",
        "if row.no_local and row.session.client_id == message.publisher:",
        "if row.no_local and not row.session.client_id:",
        ("share_v5=1.0",),
    ),
    Fault(
        "members of a shared subscription that are away are skipped",
        "router/registry.py",
        "return self.next_of(self.online, refused) or self.next_of(self.absent, refused)",
        "return self.next_of(self.online, refused)",
        ("shared=0.8", "share_v5=1.0", "share_sleepy=0.6"),
    ),
    Fault(
        "the last member of a shared subscription gets nothing",
        "router/registry.py",
        "            if session is not refused:",
        "            if session is not refused and session.client_id != max(m.client_id for m in members):",
        ("shared=0.8", "share_v5=1.0"),
    ),
    Fault(
        "a message says a second too much",
        "transport/outbox.py",
        "seconds = min(int(left + 0.999)",
        "seconds = min(int(left + 1.999)",
        ("expiry=0.6", "share_v5=1.0"),
    ),
    Fault(
        "a session lives a second longer",
        "session/session.py",
        "return self.disconnected_at + self.expiry_s",
        "return self.disconnected_at + self.expiry_s + 1",
        ("session_expiry_s=2", "share_sleepy=0.6", "share_persistent=1.0"),
    ),
    Fault(
        "one message less than the announced Receive Maximum",
        "broker/handler.py",
        "if qos and self.version == V5 and self.window_full():",
        "if qos and self.version == V5 and self.unacked >= self.config.receive_maximum - 1:",
        ("receive_maximum=5", "share_v5=1.0", "bulk=False", "commit_s=0.02"),
    ),
    Fault(
        "the bulk path does not hold PUBREL",
        "broker/bulk_acks.py",
        "len(replies), 0, session.barrier)\n    return pos\n\n\ndef complete_run",
        "len(replies), 0, 0)\n    return pos\n\n\ndef complete_run",
        ("storage=log", "commit_s=0.02", "broker_crash_rate=0.4", "qos2=0.8"),
    ),
    Fault(
        "one subscription identifier of many is told",
        "router/router.py",
        "ids[subscription.subscription_id] = None",
        "ids = {subscription.subscription_id: None}",
        ("share_v5=1.0",),
    ),
    Fault(
        "a lower QoS is granted than was asked for",
        "broker/subscribing.py",
        "        return wanted.qos  # [MQTT-3.2.2-10 v5]",
        "        return min(wanted.qos, 1)",
    ),
    Fault(
        "a message of QoS 0 gets another topic",
        "router/frames.py",
        "    name = (message.topic if topic is None else topic).encode()\n",
        "    name = (message.topic if topic is None else topic).encode()\n"
        "    name = name.replace(b't/', b'u/') if not qos else name\n",
        ("bulk=False", "topic_alias_maximum=0"),
    ),
    Fault(
        "a crash ends what retained messages were still to come",
        "broker/restore.py",
        "if item.filter in replays:",
        "if item.filter in replays and not item.filter:",
        (*STORED, "retain=0.03", "inflight_max=1", "share_persistent=1.0", "delay_to=1.0", "topics=20"),
    ),
]


def places(fault: Fault) -> list[tuple[str, str, str]]:
    """Where the fault changes the source: path, what is there, what shall be there."""
    first = (fault.path, fault.old, fault.new)
    return [first, fault.also] if fault.also is not None else [first]


def copy_with(fault: Fault, target: Path) -> None:
    """The package with one fault in it, as Python: extension modules of a compiled build are left out."""
    left_out = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    shutil.copytree(SOURCE, target / "mqtt_core", ignore=left_out)
    for name, old, new in places(fault):
        path = target / "mqtt_core" / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def failure(source: Path, options: tuple[str, ...], *seeds: str) -> str:
    """What the simulator says of the source in a directory, "" when the seeds run clean."""
    command = [sys.executable, "-m", "mqtt_core.testing.simulation", *seeds]
    for option in options:
        command += ["--set", option]
    measured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment = {**measured, "PYTHONPATH": str(source)}  # the coverage of a copy is nobody's
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    return next((line for line in done.stdout.splitlines() if " FAILS: " in line), "")


def caught_by(fault: Fault, seeds: int = SEEDS) -> str:
    """The line that names the seed that fails, "" when none does.

    A seed that fails without the fault too says nothing about it: then the line says that, and begins with "CLEAN".
    """
    with tempfile.TemporaryDirectory() as name:
        copy_with(fault, Path(name))
        line = failure(Path(name), fault.options, "--seeds", str(seeds))
    if not line:
        return ""
    control = failure(SOURCE.parent, fault.options, "--seed", line.split()[1])
    return f"CLEAN SOURCE FAILS TOO: {control}" if control else line


def row(fault: Fault, line: str) -> str:
    """A row of the table in the documentation."""
    _, seed, rest = line.split(" ", 2)
    said = rest.removeprefix("FAILS: Violation: ").removeprefix("FAILS: ").split(";")[0].split(" at /")[0]
    options = " ".join(f"`{option}`" for option in fault.options)
    return f"| {fault.name} | `{fault.path}` | {options} | {seed} | {said.strip()} |"


def main(arguments: list[str] | None = None) -> int:
    """Try the faults; the exit status says whether all were seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.deliberate")
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults to try (default: all)")
    parser.add_argument("--table", type=Path, help="write what was seen as a table to this file")
    asked = parser.parse_args(arguments)
    missed = 0
    rows = ["| fault | in | options | seed | what the simulator says |", "| --- | --- | --- | --- | --- |"]
    for fault in FAULTS:
        if asked.names and fault.name not in asked.names:
            continue
        line = caught_by(fault)
        print(f"{fault.name:60} {line[:140] or 'NOT SEEN'}", flush=True)
        if not line or line.startswith("CLEAN"):
            missed += 1
        else:
            rows.append(row(fault, line))
    if asked.table is not None:
        asked.table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())

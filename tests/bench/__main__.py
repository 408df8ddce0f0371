"""`python -m tests.bench`: run the scenarios, print the tables, write docs/performance.md if asked to.

    python -m tests.bench                                  everything, about 20 minutes
    python -m tests.bench --short                          a minute, for CI: does it still hold?
    python -m tests.bench --scenarios a0,b1 --reps 5       some of it
    python -m tests.bench --output docs/performance.md     also write the page and its plot

Exit code 1 when our broker lost, doubled, damaged or reordered a message, or the bulk path served less than 99 % of the
frames of plain traffic.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.bench import report, scale
from tests.bench.brokers import NAMES, is_compiled, missing, run_load, running
from tests.bench.scenarios import ALL, GROUPS, OURS

SLOW = {"amqtt": ("f10k", "f100k", "f100kt", "h5k", "e64k")}  # minutes each
BULK_SHARE_MIN = 99.0


def brokers_for(scenario, brokers):
    """Who takes part in a scenario; the byte forwarder for its ceiling."""
    names = []
    for name in brokers:
        special = "-" in name
        if (scenario.only and name not in scenario.only) or (special and name not in scenario.only):
            continue
        if scenario.name not in SLOW.get(name, ()):
            names.append(name)
    return [*names, "forwarder"] if scenario.ceiling else names


def measure(scenarios, brokers, reps, duration_s):
    """{scenario: {broker: [result of each repetition]}}, the brokers taking turns."""
    results = {}
    with contextlib.ExitStack() as stack:
        up = {}
        for scenario in scenarios:
            table = results.setdefault(scenario.name, {})
            for _ in range(reps):
                for name in brokers_for(scenario, brokers):
                    if scenario.fresh:
                        with running(name) as broker:
                            found = run_load(scenario, broker, duration_s)
                    else:
                        if name not in up:
                            up[name] = stack.enter_context(running(name))
                        found = run_load(scenario, up[name], duration_s)
                    table.setdefault(name, []).append(found)
            print(f"{scenario.name:7}", summary(table), flush=True)
    return results


def summary(table):
    base = report.median(table.get("mosquitto", []), "cpu_us")
    parts = []
    for name, runs in table.items():
        cpu = report.median(runs, "cpu_us")
        if cpu is None:
            parts.append(f"{name} refused")
        else:
            parts.append(f"{name} {cpu:.2f}us" + (f" x{cpu / base:.3f}" if base and name != "mosquitto" else ""))
    return "  ".join(parts)


def bulk_shares(scenarios, build):
    """{scenario: per cent of PUBLISH and acknowledgements that the bulk path served}, plain traffic of a to d."""
    shares = {}
    for scenario in scenarios:
        if scenario.name[0] in "abcd" and scenario.name != "b1d":
            with running(build, verbose=True) as broker:
                found = run_load(scenario, broker, 0.5)
            received, bulk = re.search(r"(\d+) packets received, (\d+) of them in bulk", broker.output).groups()
            probe = 1
            shares[scenario.name] = 100 * int(bulk) / (int(received) - found.get("handshakes", 0) - probe)
    return shares


def page(results, shares, codecs, scales, arguments, left_out):
    """The text of docs/performance.md."""
    tables = {name: report.Table(group, results) for name, group in GROUPS.items()}
    faults = [fault for table in tables.values() for fault in table.faults()]
    shared = ", ".join(f"{name} {share:.1f}" for name, share in shares.items())
    sections = [
        PAGE_HEAD.format(command=" ".join(["python -m tests.bench", *arguments]), machine=report.machine()),
        tables["traffic"].markdown("cpu_us"),
        RATES,
        tables["traffic"].markdown("per_s", True),
        f"The bulk path served this share of the PUBLISH packets and acknowledgements (per cent): {shared}.",
        LATENCY,
        *[tables["latency"].markdown(key) for key in ("cpu_us", "p50_us", "p99_us")],
        "## Connections\n\nCPU microseconds per client that connects, connections a second, bytes of memory each.",
        *[tables["connections"].markdown(key) for key in ("cpu_us", "per_s", "bytes")],
        "## Messages that are kept\n\nCPU microseconds per message, first to store it and then to hand it over.",
        *[tables["kept"].markdown(key) for key in ("cpu_us", "collect_us")],
        DURABLE,
        tables["durable"].markdown("per_s"),
        scale.HEAD,
        scale.table(scales),
        "## Codecs\n\nA PUBLISH of 64 bytes with a topic of 27; `python -m tests.bench.codecs`.",
        report.codec_table(codecs),
        "## Targets\n\nWhat this project aims at, and where it stands.",
        report.target_table(results),
        REMARKS,
        "## Refused figures and absent brokers",
        "\n".join(f"- {line}" for line in [*faults, *left_out] or ["none"]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


PAGE_HEAD = """# Performance

<!-- Written by `python -m tests.bench --output docs/performance.md`; do not edit. -->

The main figure is CPU of the broker process per delivered message, in microseconds, with the ratio to mosquitto of the
same run in brackets. It hardly depends on what else a machine does; absolute times of two machines or days cannot be
compared, the ratios can. Every message was checked: a figure with a lost, doubled, damaged or reordered one is refused.
Brokers took turns, run by run; figures are medians. Ours ran with default settings.

```{{image}} performance.svg
:alt: CPU per delivered message by scenario and broker
```

    {command}

{machine}

## CPU per message"""

REMARKS = """### What stands in the way of the rest

- d0, d1, i0, i1: a read brings few messages, so the price of a wake-up is not shared: selecting, receiving, sending and
  the event loop's own Python, which no compilation of the core touches. The byte forwarder, which does nothing else,
  costs more in d0 than the compiled target is.
- e64k: what counts is how often 64 KiB are copied. The figures of every broker, mosquitto's too, differ by half from
  run to run, and with them the ratio.
- r10k: each message opens a topic of its own, so there is nothing to serve in one piece: a string is decoded and
  checked, a node is made in the tree of topics, and two objects stay.
- f100kt against f100k: where topics alternate, each frame is looked up by itself, in about a microsecond; where they
  do not, a thousand frames are one slice."""

RATES = """## Messages a second

A figure with * is within 1.5 times the ceiling, which is what a program reaches that passes the bytes on without
looking at them: there the load generator and the machine are part of the figure."""

LATENCY = """## Latency

Ten publishers, ten subscribers, a thousand messages a second in all; microseconds from the moment a message was due to
its arrival. First CPU per message, then the median and the 99th percentile."""

DURABLE = """## On disk before the acknowledgement

Persistent sessions, SQLite with `durability = strict`, against mosquitto that keeps nothing. Messages a second."""


def codec_figures():
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.codecs"], capture_output=True, text=True, check=True, timeout=300
    )
    return json.loads(done.stdout)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the essential scenarios once, half a second each")
    parser.add_argument("--scenarios", default="", help="names, with commas between; default: all")
    parser.add_argument("--brokers", default="", help=f"of {', '.join(NAMES)}; default: all that are installed")
    parser.add_argument("--reps", type=int, default=0, help="repetitions (3)")
    parser.add_argument("--duration", type=float, default=0.0, help="seconds a run of traffic lasts (1)")
    parser.add_argument("--output", type=Path, help="write this page, and a plot beside it")
    return parser.parse_args(arguments)


def main(arguments):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the brokers are ended, too
    options = parse(arguments)
    scenarios = [s for s in ALL if not options.short or s.in_short]
    if options.scenarios:
        wanted = options.scenarios.split(",")
        scenarios = [s for s in ALL if s.name in wanted]
    brokers = options.brokers.split(",") if options.brokers else NAMES[:3] if options.short else NAMES
    left_out = [f"{name}: {why}" for name in brokers if (why := missing(name))]
    brokers = [name for name in brokers if not missing(name)]
    print(report.machine(), *left_out, sep="\n")
    reps, duration_s = (1, 0.5) if options.short else (3, 1.0)
    results = measure(scenarios, brokers, options.reps or reps, options.duration or duration_s)
    build = "compiled" if is_compiled() else "pure"
    shares = bulk_shares(scenarios, build) if build in brokers else {}
    for name, group in GROUPS.items():
        table = report.Table(group, results)
        if table.scenarios:
            keys = {"latency": ("cpu_us", "p50_us", "p99_us"), "connections": ("cpu_us", "per_s", "bytes"),
                    "kept": ("cpu_us", "collect_us")}.get(name, ("cpu_us", "per_s"))  # fmt: skip
            for key in keys:
                print(f"\n{name}, {key}", report.plain(table.markdown(key, key == "per_s")), sep="\n")
    print("\nbulk share, per cent:", {name: round(share, 2) for name, share in shares.items()})
    if options.output is not None:
        codecs, absent = codec_figures()
        scales = {name: scale.figures(name) for name in brokers if name in ("mosquitto", *OURS)}
        shown = [word for word in arguments if word not in {"--output", str(options.output)}]
        options.output.write_text(page(results, shares, codecs, scales, shown, [*left_out, *absent]), encoding="utf-8")
        options.output.with_suffix(".svg").write_text(report.plot(results), encoding="utf-8")
    ours = {name: [run for kind in OURS for run in table.get(kind, [])] for name, table in results.items()}
    broken = [name for name, runs in ours.items() if any("fault" in run for run in runs)]
    low = [name for name, share in shares.items() if share < BULK_SHARE_MIN]
    if broken or low:
        print(f"refused: {broken}; bulk share below {BULK_SHARE_MIN} %: {low}")
    return 1 if broken or low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

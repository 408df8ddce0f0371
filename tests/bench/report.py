"""What was measured, for people: tables for the terminal and for docs/performance.md, and one plot."""

from __future__ import annotations

import math
import platform
import statistics
from pathlib import Path

from tests.bench.scenarios import GROUPS, TRAFFIC

NEAR_CEILING = 1.5
SVG_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">'
)
PLOT_TITLE = "CPU microseconds of the broker per delivered message: shorter is better, each line is ten times"
TITLES = {
    "mosquitto": "mosquitto",
    "pure": "mqtt-core",
    "compiled": "mqtt-core compiled",
    "pure-uvloop": "mqtt-core, uvloop",
    "compiled-uvloop": "compiled, uvloop",
    "pure-durable": "mqtt-core, on disk",
    "compiled-durable": "compiled, on disk",
    "amqtt": "amqtt",
    "nats": "nats-server",
    "forwarder": "byte forwarder",
}
COLOURS = {
    "mosquitto": "#7f7f7f",
    "pure": "#1f77b4",
    "compiled": "#0b3d66",
    "amqtt": "#ff9d5c",
    "nats": "#9ac87f",
}


def median(runs, key):
    """The median of a figure over the runs of one broker; None when one of them was refused or has no such figure."""
    values = [run.get(key) for run in runs]
    return None if not values or None in values else statistics.median(values)


def number(value):
    if value is None:
        return "–"
    if value >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


class Table:
    """Figures of one group of scenarios. results: {scenario: {broker: runs}}."""

    def __init__(self, scenarios, results):
        self.scenarios = [s for s in scenarios if s.name in results]
        self.results = results
        found = {broker for s in self.scenarios for broker in results[s.name]}
        self.brokers = [name for name in TITLES if name in found and name != "forwarder"]

    def figure(self, scenario, broker, key):
        return median(self.results[scenario.name].get(broker, []), key)

    def near_ceiling(self, scenario, broker):
        ceiling = self.figure(scenario, "forwarder", "per_s")
        rate = self.figure(scenario, broker, "per_s")
        return bool(ceiling and rate and rate * NEAR_CEILING > ceiling)

    def rows(self, key, mark=False):
        """Cells `figure (ratio to mosquitto)`; a `*` where the rate is within reach of the ceiling."""
        for scenario in self.scenarios:
            base = self.figure(scenario, "mosquitto", key)
            cells = [f"**{scenario.name}** {scenario.about}"]
            for broker in self.brokers:
                value = self.figure(scenario, broker, key)
                cell = number(value)
                if value is not None and base:
                    cell += f" (×{value / base:.2f})" if value / base < 10 else f" (×{value / base:.0f})"
                if mark and self.near_ceiling(scenario, broker):
                    cell += " *"
                cells.append(cell)
            if mark:
                cells.append(number(self.figure(scenario, "forwarder", key)))
            yield cells

    def markdown(self, key, mark=False):
        if not self.scenarios:
            return ""
        head = ["", *[TITLES[b] for b in self.brokers], *(["ceiling"] if mark else [])]
        lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        lines += ["| " + " | ".join(cells) + " |" for cells in self.rows(key, mark)]
        return "\n".join(lines)

    def verdicts(self):
        """How the two builds stand against their targets: (scenario, build, ratio, target)."""
        for scenario in self.scenarios:
            base = self.figure(scenario, "mosquitto", "cpu_us")
            for build, target in (("pure", scenario.pure), ("compiled", scenario.compiled)):
                value = self.figure(scenario, build, "cpu_us")
                if value is not None and base and target is not None:
                    yield scenario.name, build, value / base, target

    def faults(self):
        for scenario in self.scenarios:
            for broker, runs in self.results[scenario.name].items():
                told = sorted({run["fault"] for run in runs if "fault" in run})
                yield from (f"{scenario.name}, {TITLES[broker]}: {fault}" for fault in told)


def plain(markdown):
    """A markdown table in aligned columns, for a terminal."""
    rows = [[cell.strip().replace("**", "") for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    rows = [row for row in rows if not row[0].startswith("---")]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def machine():
    """One line about the machine."""
    model = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = f"{len(models)} × {models[0]}" if models else ""
    return (
        f"{platform.system()} {platform.release()}, {model or platform.machine()}, Python {platform.python_version()}"
    )


def plot(results):
    """Bars of CPU per message on a logarithmic scale, as SVG; shorter is better."""
    table = Table([s for s in TRAFFIC if s.in_short], results)
    brokers = [b for b in table.brokers if b in COLOURS]
    left, top, width, bar, gap = 60, 46, 640, 7, 9
    height = top + len(table.scenarios) * (bar * len(brokers) + gap) + 30
    low, high = -2.0, 3.0

    def x(value):
        return left + (min(max(math.log10(value), low), high) - low) / (high - low) * width

    parts = [
        SVG_HEAD.format(width=left + width + 20, height=height),
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="16" font-size="13">{PLOT_TITLE}</text>',
    ]
    for k, broker in enumerate(brokers):
        at = left + k * 130
        parts.append(f'<rect x="{at}" y="25" width="10" height="10" fill="{COLOURS[broker]}"/>')
        parts.append(f'<text x="{at + 14}" y="34">{TITLES[broker]}</text>')
    for power in range(int(low), int(high) + 1):
        at = x(10**power)
        parts.append(f'<line x1="{at}" y1="{top}" x2="{at}" y2="{height - 22}" stroke="#dddddd"/>')
        parts.append(f'<text x="{at}" y="{height - 8}" text-anchor="middle">{10.0**power:g}</text>')
    y = top
    for scenario in table.scenarios:
        parts.append(f'<text x="8" y="{y + bar * len(brokers) / 2 + 4}">{scenario.name}</text>')
        for broker in brokers:
            value = table.figure(scenario, broker, "cpu_us")
            if value:
                parts.append(
                    f'<rect x="{left}" y="{y}" width="{x(value) - left:.1f}" height="{bar - 1}" '
                    f'fill="{COLOURS[broker]}"><title>{TITLES[broker]} {scenario.name}: {value:.3g} µs</title></rect>'
                )
            y += bar
        y += gap
    return "\n".join([*parts, "</svg>", ""])


def codec_table(best):
    columns = sorted({name for row in best.values() for name in row})
    lines = ["| nanoseconds | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for library, row in best.items():
        cells = [number(row.get(name)) for name in columns]
        lines.append(f"| {library} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def target_table(results):
    rows = [verdict for group in GROUPS.values() for verdict in Table(group, results).verdicts()]
    lines = ["| scenario | build | CPU, ratio to mosquitto | target | |", "|---|---|---|---|---|"]
    for name, build, ratio, target in rows:
        lines.append(f"| {name} | {build} | {ratio:.3f} | {target} | {'reached' if ratio <= target else 'missed'} |")
    return "\n".join(lines)

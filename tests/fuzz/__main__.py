"""`python -m tests.fuzz [TARGET ...] [--seconds N] [--jobs N]`: fuzz each target in a process of its own.

With atheris the core is instrumented and inputs are guided by coverage; without it they are drawn at random from seeds,
and the command says so. An input that breaks an invariant is printed, saved in the directory of `--findings` and makes
the exit code 1. `--input FILE` runs one input, with a traceback.

Nothing of the core is imported here: the worker does that, under instrumentation.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from tests.fuzz import partner
from tests.fuzz.mutation import make_input

NAMES = ["decoder", "broker", "client", "paths", "mosquitto"]
NOISE = ("INFO:", "WARNING: Failed", "#", '"')
INPUT_S_MAX = 20  # an input that takes longer is a finding


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the core.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--jobs", type=int, default=1, help="how many targets at the same time (default: 1)")
    parser.add_argument("--seed", type=int, help="of the fuzzer's own choices (default: the clock's; for mosquitto 1)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="where inputs that fail are kept")
    parser.add_argument("--input", type=Path, help="run one target with this file, and nothing else")
    parser.add_argument("--blind", action="store_true", help="do not use atheris")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [name for name in given.targets if name not in NAMES]
    if unknown:
        parser.error(f"unknown target {unknown[0]}; there are {', '.join(NAMES)}")
    if given.input is not None and len(given.targets) != 1:
        parser.error("--input needs exactly one target")
    return given


def report(name: str, data: bytes, findings: Path, error: BaseException) -> None:
    findings.mkdir(parents=True, exist_ok=True)
    path = findings / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    print(
        f"{name}: {type(error).__name__}: {error}\n  input: {data.hex()}\n"
        f"  again: python -m tests.fuzz {name} --input {path}"
    )


def guarded(name: str, run: Callable[[bytes], None], findings: Path) -> Callable[[bytes], None]:
    """The target, which reports what it finds before it fails."""

    def one(data: bytes) -> None:
        try:
            run(data)
        except Exception as error:
            report(name, data, findings, error)
            raise

    return one


def work_blindly(run: Callable[[bytes], None], seeds: list[bytes], size_max: int, seconds: float) -> None:
    start = time.monotonic()
    for number in count():
        if time.monotonic() >= start + seconds:
            print(f"{number} inputs, {number / seconds:.0f} a second, not guided by coverage")
            return
        run(make_input(number, seeds, size_max))


def work_guided(name: str, given: argparse.Namespace) -> None:
    """Never returns: the fuzzer ends the process."""
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=["mqtt_core"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={given.seconds}",
        f"-max_len={target.size_max}",
        f"-timeout={INPUT_S_MAX}",
        f"-artifact_prefix={given.findings}/{name}-",
        "-print_final_stats=1",
        "-verbosity=0",
        "-close_fd_mask=0",
    ]
    if given.seed is not None:
        options.append(f"-seed={given.seed}")
    elif name == "mosquitto":
        options.append("-seed=1")  # what is new there has to be explained, not repaired: no surprise for a build
    atheris.Setup([sys.argv[0], *options, str(corpus)], guarded(name, target.run, given.findings))
    atheris.Fuzz()


def work(name: str, given: argparse.Namespace) -> int:
    """One target, in this process."""
    if given.input is None and not given.blind:
        work_guided(name, given)
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    if given.input is not None:
        target.run(given.input.read_bytes())
        print(f"{name}: nothing found")
    else:
        work_blindly(guarded(name, target.run, given.findings), target.seeds(), target.size_max, given.seconds)
    return 0


def start(name: str, given: argparse.Namespace) -> int:
    """One target, in a process of its own; its exit code."""
    print(f"{name}: {'one input' if given.input is not None else f'{given.seconds} s'}", flush=True)
    command = [sys.executable, "-m", "tests.fuzz", "--worker", name, "--seconds", str(given.seconds)]
    command += ["--findings", str(given.findings)]
    command += ["--blind"] if given.blind else []
    command += ["--seed", str(given.seed)] if given.seed is not None else []
    command += ["--input", str(given.input)] if given.input is not None else []
    if name != "mosquitto":
        return watch(name, command, {})
    if not partner.installed():
        print("mosquitto: not run, because mosquitto is not installed")
        return 1
    with partner.running() as port:
        return watch(name, command, {partner.PORT_VARIABLE: str(port)})


def watch(name: str, command: list[str], environment: dict[str, str]) -> int:
    """Run the worker of a target; what the fuzzer says about itself is left out.

    The order of sets is fixed, so that the same seed makes the same inputs on every machine.
    """
    whole = {**os.environ, "PYTHONHASHSEED": "0", **environment}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=whole) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if not line.startswith(NOISE):
                print(f"{name}: {line}", end="", flush=True)
    return process.returncode


def main() -> int:
    given = arguments()
    if given.worker:
        return work(given.targets[0], given)
    if importlib.util.find_spec("atheris") is None and not given.blind:
        print("atheris is not installed: inputs are drawn at random, not guided by coverage")
        given.blind = True
    given.findings.mkdir(parents=True, exist_ok=True)
    names = given.targets or NAMES
    with ThreadPoolExecutor(given.jobs) as pool:
        codes = pool.map(lambda name: start(name, given), names)
        failed = [name for name, code in zip(names, codes, strict=True) if code]
    print(f"failed: {', '.join(failed)}" if failed else "nothing found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

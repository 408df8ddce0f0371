"""Everything that is done to this project, one session each: `nox -l` lists them, `nox -s NAME` runs one.

Tests run against the installed wheel: a session installs it and runs the suite in a copy of the tree that has no
package source in it. Arguments after ``--`` go to the tool: `nox -s tests -- tests/codec -x`.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests", "docs"]

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml("pyproject.toml")
COVERAGE_MIN = 97  # per cent of the core's branches
SUITE = ["tests", "docs", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "noxfile.py", "hatch_build.py"]
LEFT_OUT = shutil.ignore_patterns("__pycache__", "_build", "node_modules")


def install(session: nox.Session, *groups: str, compiled: bool = False) -> None:
    """Build the wheel, install it with the dependencies of some groups."""
    packages = list(dict.fromkeys(p for g in groups for p in nox.project.dependency_groups(PYPROJECT, g)))
    environment = {"MQTT_CORE_COMPILE": "1" if compiled else "0"}
    session.install("--force-reinstall", "--no-deps", "--no-cache-dir", str(ROOT), env=environment)
    session.install(*packages)


def copy_suite(session: nox.Session) -> Path:
    """A directory with the tests and what they read, and without the packages: those come from the wheel."""
    target = Path(session.create_tmp()).resolve() / f"tests-{session.name}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in SUITE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=LEFT_OUT)
        elif source.exists():
            shutil.copy2(source, target / name)
    return target


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite, with branch coverage of the core."""
    install(session, "test")
    with session.chdir(copy_suite(session)):
        if session.posargs:
            session.run("python", "-m", "pytest", *session.posargs)
            return
        # A test out of time ends its worker: raised as an exception it could leave coverage's lock taken for ever.
        session.run("python", "-m", "pytest", "-q", "-n", "2", "--timeout-method=thread", "--cov", "--cov-report=")
        session.run("coverage", "report", "--include=*/mqtt_core/*", f"--fail-under={COVERAGE_MIN}")


@nox.session
def compiled(session: nox.Session) -> None:
    """The whole suite against the core compiled by mypyc."""
    install(session, "test", compiled=True)
    cache = Path(session.create_tmp()).resolve() / "cache"
    with session.chdir(copy_suite(session)):
        check = "import mqtt_core.timers as m; assert not m.__file__.endswith('.py'), m.__file__"
        session.run("python", "-c", check)
        # Whether a test is steady is for the session `tests` to say; here is asked whether this build behaves alike.
        # So what fails is run once more, alone, and has to pass then; both results are printed.
        pytest = ["python", "-m", "pytest", "-q", "-o", f"cache_dir={cache}"]
        session.run(*pytest, "--cache-clear", "-n", "2", *session.posargs, success_codes=[0, 1])
        session.run(*pytest, "--last-failed", "--last-failed-no-failures=none", *session.posargs, success_codes=[0, 5])


@nox.session
def interop(session: nox.Session) -> None:
    """Other people's clients against the broker, our client against mosquitto; a missing partner is a failure."""
    install(session, "test", "interop")
    with session.chdir(copy_suite(session)):
        modules = Path("tests", "interop", "node_modules")
        if not modules.exists():
            session.run("npm", "install", "--no-fund", "--no-audit", "--prefix", "tests/interop", external=True)
        session.run("python", "-m", "pytest", "-q", "-n", "2", *(session.posargs or ["tests/interop"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Style: ruff's checks and its formatter."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on both packages."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "types"))
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, without a warning, in docs/_build/html."""
    install(session, "docs")
    output = ROOT / "docs" / "_build"
    with session.chdir(copy_suite(session)):
        session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", str(output / "html"))


@nox.session
def sensitivity(session: nox.Session) -> None:
    """Disable the tagged lines of the core one at a time; fails when the tests of a cited statement stay green."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "test"))
    session.run("python", "-m", "tests.spec.sensitivity", *session.posargs)


@nox.session
def simulate(session: nox.Session) -> None:
    """The broker and many clients in virtual time, with faults: 200 fixed seeds and 50 that nobody has chosen."""
    install(session, "test")
    short = ["--seeds", "200", "--fresh", "50", "--jobs", str(os.cpu_count() or 1)]
    with session.chdir(copy_suite(session)):
        session.run("python", "-m", "mqtt_core.testing.simulation", *(session.posargs or short))


@nox.session
def fuzz(session: nox.Session) -> None:
    """Coverage-guided fuzzing of the decoder, the handlers and both paths, a minute for each target, two at a time."""
    install(session, "fuzz")
    with session.chdir(copy_suite(session)):
        session.run("python", "-m", "tests.fuzz", *(session.posargs or ["--seconds", "60", "--jobs", "2"]))


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks against other brokers and codecs, both builds of ours; writes docs/performance.md."""
    install(session, "bench", compiled=True)
    output = ROOT / "docs" / "performance.md"
    with session.chdir(copy_suite(session)):
        session.run("python", "-m", "tests.bench", *(session.posargs or ["--output", str(output)]))


@nox.session
def dist(session: nox.Session) -> None:
    """What a release uploads, in dist/: the source, the pure wheel, a compiled one for this Python and platform."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "dist"))
    output = ROOT / "dist"
    shutil.rmtree(output, ignore_errors=True)
    compiled = Path(session.create_tmp()).resolve() / "compiled"
    shutil.rmtree(compiled, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(output), str(ROOT), env={"MQTT_CORE_COMPILE": "0"})
    build = ("python", "-m", "build", "--wheel", "--outdir", str(compiled), str(ROOT))
    session.run(*build, env={"MQTT_CORE_COMPILE": "1"})
    for wheel in compiled.glob("*.whl"):
        if sys.platform == "linux":  # the oldest Linux that it runs on goes into its name
            session.run("auditwheel", "repair", "--wheel-dir", str(output), str(wheel))
        else:
            shutil.copy2(wheel, output)
    session.run("twine", "check", "--strict", *[str(file) for file in sorted(output.iterdir())])

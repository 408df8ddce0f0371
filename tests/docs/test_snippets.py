"""Every code block of the documentation that can run is run.

Python blocks of a page make one program, in order, in a process of its own with warnings as errors. A comment behind a
`print` is what has to come out. A block that cannot run says so and why: ``python no-run: reason``. Shell blocks are
checked for options and sessions that exist.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqtt_adapters.bin.broker import ProgramConfig
from mqtt_adapters.config import load_toml, settings
from mqtt_adapters.users import UsersPolicy
from mqtt_core.broker import BrokerConfig

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if "_build" not in p.parts)
FENCE = re.compile(r"^```(\w+)(.*)$")


def blocks(page: Path, language: str) -> list[tuple[int, str, list[str]]]:
    """First line (from 1), rest of the fence's line, and text of every block in a language."""
    found: list[tuple[int, str, list[str]]] = []
    current = None  # language of the block we are in, "" for a block without one
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if current is None:
            if line.startswith("```"):
                fence = FENCE.match(line)
                current = fence[1] if fence else ""
                if fence and current == language:
                    found.append((number + 1, fence[2].strip(), []))
        elif line.startswith("```"):
            current = None
        elif current == language:
            found[-1][2].append(line)
    return found


def program(page: Path) -> str:
    """The page's Python, each line where it stands in the page, so that a traceback names the right line."""
    lines: list[str] = []
    for start, note, block in blocks(page, "python"):
        if note.startswith("no-run"):
            assert re.fullmatch(r"no-run: .{10,}", note), f"{page}:{start}: say why the block cannot run"
            continue
        lines += [""] * (start - 1 - len(lines)) + block
    return "\n".join(lines)


PROGRAMS = {str(page.relative_to(ROOT)): text for page in PAGES if (text := program(page)).strip()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_python_on_a_page_does_what_the_page_says(name, tmp_path):
    text = PROGRAMS[name]
    path = tmp_path / Path(name).name
    path.write_text(text, encoding="utf-8")
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2])",
    ]
    done = subprocess.run([*command, ROOT, path], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"^\s*print\(.*\)  # (.*)$", text, re.MULTILINE)
    assert done.stdout.splitlines() == expected


def shell_commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of every command in the shell blocks."""
    for page in PAGES:
        for start, _note, block in blocks(page, "sh"):
            for part in re.split(r"&&|\||;|&\s*$|\n", "\n".join(block).replace("\\\n", " "), flags=re.MULTILINE):
                if words := shlex.split(part, comments=True):
                    yield f"{page.relative_to(ROOT)}:{start}", words


def test_options_of_our_programs_on_a_page_exist():
    helps: dict[str, str] = {}
    wrong = []
    for where, words in shell_commands():
        name = Path(words[0]).name
        if name not in {"mqtt-broker", "mqtt-producer", "mqtt-consumer"}:
            continue
        if name not in helps:
            module = "mqtt_adapters.bin." + name.removeprefix("mqtt-")
            run = subprocess.run(
                [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
            )
            helps[name] = run.stdout
        options = [w.partition("=")[0] for w in words[1:] if re.match(r"--?[a-zA-Z]", w)]
        wrong += [f"{where}: {name} {o}" for o in options if not re.search(rf"(?<![\w-]){o}(?![\w-])", helps[name])]
    assert wrong == []


TOML = [(page, start, "\n".join(block)) for page in PAGES for start, _note, block in blocks(page, "toml")]


@pytest.mark.parametrize("page, start, text", TOML, ids=[f"{page.stem}-{start}" for page, start, _ in TOML])
def test_a_configuration_on_a_page_is_one(page, start, text, tmp_path):
    path = tmp_path / "file.toml"
    path.write_text(text)
    if re.search(r"^\[(users\.|anonymous)", text, re.MULTILINE):
        assert isinstance(UsersPolicy.from_file(path), UsersPolicy)
    else:
        assert isinstance(load_toml(path, ProgramConfig), ProgramConfig)


def test_every_setting_of_the_broker_program_is_explained():
    """Those of the core stand in the generated table of limits, all others in the guide."""
    guide = (ROOT / "docs" / "guides" / "run-the-broker.md").read_text(encoding="utf-8")
    core = {row.name for row in settings(BrokerConfig)}
    names = {row.name for row in settings(ProgramConfig)} - core
    told = {name for name in names if re.search(rf"\b{name}\b|--{name.replace('_', '-')}\b", guide)}
    assert names - told == set()


def test_nox_sessions_on_a_page_exist():
    sessions = set(re.findall(r"^@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    named = {
        (str(page.relative_to(ROOT)), name)
        for page in PAGES
        for name in re.findall(r"nox -s (\w+)", page.read_text(encoding="utf-8"))
    }
    assert {(page, name) for page, name in named if name not in sessions and name != "NAME"} == set()
    assert sessions


def test_readme_opens_with_two_shell_blocks():
    """The first starts the broker, the second passes the tests; .ci/run runs the second as it stands."""
    first, second = blocks(ROOT / "README.md", "sh")[:2]
    assert first[2][-1] == ".venv/bin/mqtt-broker"
    assert second[2][-1] == ".venv/bin/nox -s tests"

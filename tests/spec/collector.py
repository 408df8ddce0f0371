"""A pytest plug-in that writes down which test cites which statement (--citations), or which tests failed (--failures).

Marks are read from the collected tests, not from their source, so that a mark on a row of a parametrized table, on a
class or on a module counts like one on a function.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

VERSION_OF = {4: "3.1.1", 5: "5.0"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--citations", help="write the citations of all collected tests to this file (JSON)")
    parser.addoption("--failures", help="write the node ids of failed tests to this file (JSON)")


def pytest_collection_finish(session: pytest.Session) -> None:
    target = session.config.getoption("--citations")
    if not target:
        return
    tests = []
    for item in session.items:
        # A case for one version of the protocol speaks for that version's statements only.
        callspec = getattr(item, "callspec", None)
        spoken = VERSION_OF.get(callspec.params.get("version")) if callspec is not None else None
        marks = [
            {
                "ids": list(mark.args),
                "version": mark.kwargs.get("version"),
                "extra": sorted(set(mark.kwargs) - {"version"}),
            }
            for mark in item.iter_markers("spec")
            if spoken is None or mark.kwargs.get("version") == spoken
        ]
        path, line, _name = item.location
        tests.append({"nodeid": item.nodeid, "path": path, "line": (line or 0) + 1, "marks": marks})
    Path(target).write_text(json.dumps(tests), encoding="utf-8")


class Failures:
    """Writes down the node ids of the tests that failed."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.nodeids: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.nodeids.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.target.write_text(json.dumps(self.nodeids), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    if target := config.getoption("--failures"):
        config.pluginmanager.register(Failures(Path(target)))

from __future__ import annotations

import re

import pytest

from tests.spec.conformance import Survey, page, survey
from tests.spec.tables import CITATIONS_MAX, UNTESTABLE_MAX, VERSIONS, read_statements, read_untestable

ACTORS = {"server", "client", "both", "text"}
LAYERS = {"codec", "topic", "session", "router", "connection", "transport", "app"}


@pytest.fixture(scope="module")
def found() -> Survey:
    return survey()


def test_the_tables_are_well_formed():
    statements = read_statements()
    numbered = {version: sum(v == version and i.startswith("MQTT-") for i, v in statements) for version in VERSIONS}
    assert numbered == {"3.1.1": 141, "5.0": 251}
    for statement in statements.values():
        assert re.fullmatch(r"(MQTT|MUST)-\d+(\.\d+)*-\d+", statement.id), statement
        assert statement.version in VERSIONS
        assert statement.actor in ACTORS
        assert statement.layer in LAYERS
        assert statement.text.endswith(".")


def test_what_cannot_be_tested_is_little_and_argued():
    statements = read_statements()
    untestable = read_untestable()
    assert len(untestable) <= UNTESTABLE_MAX
    for key, reason in untestable.items():
        assert key in statements
        assert len(reason) > 20, f"{key}: say why"


def test_marks_and_tags_name_statements_that_exist(found: Survey):
    assert found.faults == []


def test_no_test_claims_too_much(found: Survey):
    greedy = {test.nodeid: test.cites for test in found.tests if len(test.cites) > CITATIONS_MAX}
    assert greedy == {}


def test_no_statement_is_both_tested_and_argued_untestable(found: Survey):
    assert [key for key in found.untestable if key in found.cited] == []


def test_every_statement_that_binds_us_is_cited_by_a_test(found: Survey):
    missing = [f"{s.id} of {s.version} ({s.actor}): {s.text}" for s in found.missing()]
    assert not missing, f"{len(missing)} without a test:\n" + "\n".join(missing)


def test_the_page_shows_every_statement(found: Survey):
    text = page(found)
    for statement in found.statements.values():
        assert f"| **{statement.id}** " in text

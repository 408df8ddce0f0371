"""The specification of matching, and the filter as a value."""

from __future__ import annotations

import pytest
from hypothesis import given

from mqtt_core.codec.error import InvalidTopicFilter
from mqtt_core.testing.strategies.topics import filters, matching_pairs, topics
from mqtt_core.topic_matcher import Level, LevelKind, TopicFilter, matches
from tests.topic_matcher.table import INVALID_FILTERS, TABLE


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.filter} {row.topic}")
def test_the_specification_agrees_with_the_table(row):
    assert matches(row.filter, row.topic) == row.match


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.filter} {row.topic}")
def test_a_filter_matches_as_the_table_says(row):
    assert TopicFilter(row.filter).matches(row.topic) == row.match


@given(filters(shared=True), topics())
def test_a_filter_matches_as_specified(pattern, topic):
    assert TopicFilter(pattern).matches(topic) == matches(pattern, topic)


@given(matching_pairs())
def test_a_filter_matches_the_topics_it_was_made_for(pair):
    assert TopicFilter(pair[0]).matches(pair[1])


@pytest.mark.spec("MQTT-4.7.2-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.2-1", version="5.0")
@pytest.mark.parametrize("pattern,match", [("#", False), ("+/a", False), ("+/#", False), ("$x/#", True)])
def test_a_leading_wildcard_matches_no_dollar_topic(pattern, match):
    assert TopicFilter(pattern).matches("$x/a") is match


def test_a_filter_is_taken_apart():
    pattern = TopicFilter("$share/team/home/+/#")
    assert pattern.pattern == "$share/team/home/+/#"
    assert pattern.share_name == "team"
    assert pattern.levels == (Level("home"), Level("+"), Level("#"))
    assert [level.kind for level in pattern.levels] == [LevelKind.EXACT, LevelKind.SINGLE, LevelKind.MULTI]
    assert TopicFilter("/a").share_name == ""
    assert [level.text for level in TopicFilter("/a").levels] == ["", "a"]


@pytest.mark.parametrize("row", INVALID_FILTERS, ids=lambda row: row.text[:20].encode("unicode-escape").decode())
def test_an_invalid_filter_cannot_be_made(row):
    with pytest.raises(InvalidTopicFilter):
        TopicFilter(row.text)


def test_filters_and_levels_are_values():
    assert TopicFilter("a/+") == TopicFilter("a/+")
    assert TopicFilter("a/+") != TopicFilter("a/b")
    assert TopicFilter("a/+") != "a/+"
    assert len({TopicFilter("a/+"), TopicFilter("a/+"), TopicFilter("a")}) == 2
    assert Level("+") != "+"
    assert len({Level("+"), Level("+"), Level("a")}) == 2
    assert repr(TopicFilter("a/+")) == "TopicFilter('a/+')"
    assert repr(Level("+")) == "Level('+')"

"""Which strings are topic names and topic filters."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqtt_core.codec.error import InvalidTopic, InvalidTopicFilter
from mqtt_core.testing.strategies.topics import filters, matching_pairs, topics
from mqtt_core.topic_matcher import check_filter, check_plain_filter, check_topic, matches, split_share
from tests.topic_matcher.table import INVALID_FILTERS, INVALID_TOPICS, TABLE

# Texts near the rules: separators, wildcards, prefixes, and characters that UTF-8 cannot or may not carry.
near_texts = st.lists(st.sampled_from(["a", "/", "+", "#", "$", "$share/", "\0", "\ud800", "\u00e9"])).map("".join)


def reason(call, *args):
    """The reason of the error that a check raises, which must have the right code; "" if it raises none."""
    fault, code = (InvalidTopic, 0x90) if call is check_topic else (InvalidTopicFilter, 0x8F)
    try:
        call(*args)
    except fault as error:
        return error.reason if error.reason_code == code else f"code {error.reason_code}"
    return ""


@pytest.mark.parametrize("row", INVALID_FILTERS, ids=lambda row: row.text[:20].encode("unicode-escape").decode())
def test_invalid_filters_are_refused(row):
    assert reason(check_filter, row.text)


@pytest.mark.parametrize("row", INVALID_TOPICS, ids=lambda row: row.text[:20].encode("unicode-escape").decode())
def test_invalid_topics_are_refused(row):
    assert reason(check_topic, row.text)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.filter} {row.topic}")
def test_every_row_of_the_table_is_valid(row):
    assert reason(check_filter, row.filter) == ""
    assert reason(check_topic, row.topic) == ""


@pytest.mark.spec("MQTT-4.7.1-1", "MQTT-3.3.2-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.0-1", "MQTT-3.3.2-2", "MQTT-3.3.2-14", version="5.0")
@pytest.mark.parametrize("topic", ["+", "#", "a/+", "a/#", "a+b", "a#b", "a/+/b", "$SYS/#"])
def test_a_topic_name_contains_no_wildcard(topic):
    assert reason(check_topic, topic) == "a topic name contains no wildcard"


@pytest.mark.spec("MQTT-4.7.1-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.1-1", version="5.0")
@pytest.mark.parametrize(
    "pattern,valid",
    [("#", True), ("a/#", True), ("/#", True), ("a#", False), ("#/a", False), ("a/#/b", False), ("##", False)],
)
def test_a_multi_level_wildcard_stands_alone_at_the_end(pattern, valid):
    assert reason(check_filter, pattern) == ("" if valid else "a topic filter has its # alone at the end")


@pytest.mark.spec("MQTT-4.7.1-3", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.1-2", version="5.0")
@pytest.mark.parametrize(
    "pattern,valid",
    [
        ("+", True),
        ("+/a", True),
        ("a/+/b", True),
        ("a/+", True),
        ("+/+", True),
        ("+/#", True),
        ("a+", False),
        ("+a", False),
        ("a/b+/c", False),
        ("a/+b/c", False),
        ("++", False),
        ("+/++", False),
    ],
)
def test_a_single_level_wildcard_fills_its_level(pattern, valid):
    assert reason(check_filter, pattern) == ("" if valid else "a topic filter has each + alone in its level")


@pytest.mark.spec("MQTT-4.7.3-1", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.3-1", version="5.0")
def test_names_and_filters_have_at_least_one_character():
    assert reason(check_topic, "") == "a topic name has at least one character"
    assert reason(check_filter, "") == "a topic filter has at least one character"
    assert reason(check_topic, "/") == reason(check_filter, "/") == ""


@pytest.mark.spec("MQTT-4.7.3-2", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.3-2", version="5.0")
@pytest.mark.parametrize("text", ["\0", "a\0", "a/\0/b", "\u00e9\0"])
def test_names_and_filters_contain_no_nul(text):
    assert reason(check_topic, text) == "a topic name does not contain U+0000"
    assert reason(check_filter, text) == "a topic filter does not contain U+0000"
    assert reason(check_filter, f"$share/{text.replace('/', '')}/a") == "a topic filter does not contain U+0000"


@pytest.mark.spec("MQTT-4.7.3-3", version="3.1.1")
@pytest.mark.spec("MQTT-4.7.3-3", version="5.0")
@pytest.mark.parametrize(
    "text,valid",
    [
        ("a" * 65535, True),
        ("a" * 65536, False),
        ("\u00e9" * 32767, True),
        ("\u00e9" * 32768, False),
        ("\U0001f600" * 16383, True),
        ("\U0001f600" * 16384, False),
    ],
    ids=["1-byte", "1-byte, long", "2-byte", "2-byte, long", "4-byte", "4-byte, long"],
)
def test_names_and_filters_have_at_most_65535_bytes(text, valid):
    assert reason(check_topic, text) == ("" if valid else "a topic name has at most 65535 bytes")
    assert reason(check_filter, text) == ("" if valid else "a topic filter has at most 65535 bytes")


def test_the_share_prefix_counts_towards_the_length():
    assert reason(check_filter, "$share/g/" + "a" * 65526) == ""
    assert reason(check_filter, "$share/g/" + "a" * 65527) == "a topic filter has at most 65535 bytes"


def test_names_and_filters_contain_no_surrogates():
    assert reason(check_topic, "a\ud800") == "a topic name contains no surrogates"
    assert reason(check_filter, "a\udfff") == "a topic filter contains no surrogates"


@pytest.mark.spec("MQTT-4.8.2-1", version="5.0")
@pytest.mark.parametrize("call", [check_filter, split_share])
def test_a_share_has_a_group(call):
    expected = "the group of a shared subscription has at least one character"
    assert reason(call, "$share/") == reason(call, "$share//a") == reason(call, "$share//") == expected
    assert split_share("$share/g/a") == ("g", "a")


@pytest.mark.spec("MQTT-4.8.2-2", version="5.0")
@pytest.mark.parametrize("call", [check_filter, split_share])
def test_a_group_contains_no_wildcard_and_a_filter_follows_it(call):
    for pattern in ("$share/+/a", "$share/#/a", "$share/g+/a", "$share/#", "$share/+"):
        assert reason(call, pattern) == "the group of a shared subscription contains no wildcard"
    for pattern in ("$share/g", "$share/g/"):
        assert reason(call, pattern) == "a shared subscription has a topic filter after its group"
    assert split_share("$share/g/+/#") == ("g", "+/#")


def test_the_filter_of_a_share_is_checked_like_any_other():
    assert reason(check_filter, "$share/g/a#") == "a topic filter has its # alone at the end"
    assert reason(check_filter, "$share/g/+a") == "a topic filter has each + alone in its level"
    assert split_share("$share/g/a#") == ("g", "a#")


def test_a_share_may_begin_with_an_empty_level():
    assert reason(check_filter, "$share/g//a") == ""
    assert split_share("$share/g//a") == ("g", "/a")


@pytest.mark.parametrize("pattern", ["$share", "$shared/a", "$Share/", "a/$share/", "/$share/"])
def test_only_the_prefix_makes_a_share(pattern):
    assert reason(check_filter, pattern) == ""
    assert split_share(pattern) == ("", pattern)


def test_behind_the_prefix_share_is_text():
    assert reason(check_filter, "$share/g/$share/h") == ""
    assert reason(check_plain_filter, "$share/h") == ""
    assert reason(check_plain_filter, "$share/+a") == "a topic filter has each + alone in its level"


@pytest.mark.parametrize("call", [check_topic, check_filter])
def test_levels_are_limited_where_a_limit_is_given(call):
    assert reason(call, "a/b/c", 3) == reason(call, "/" * 65535) == reason(call, "/" * 65535, 0) == ""
    assert reason(call, "a/b/c/", 3).endswith("has at most 3 levels here")
    assert reason(call, "a", 1) == ""
    assert reason(call, "/", 1).endswith("has at most 1 levels here")


def test_the_level_limit_counts_wildcards_and_not_the_share_prefix():
    assert reason(check_filter, "$share/g/a/+/#", 3) == ""
    assert reason(check_filter, "$share/g/a/+/+/#", 3) == "a topic filter has at most 3 levels here"


def test_a_hostile_filter_of_wildcards_is_checked_in_one_pass():
    assert reason(check_filter, "+/" * 32767 + "#") == ""
    assert reason(check_filter, "+/" * 32766 + "+a") == "a topic filter has each + alone in its level"


@given(filters(shared=True))
def test_drawn_filters_are_valid(pattern):
    assert reason(check_filter, pattern) == ""


@given(topics())
def test_drawn_topics_are_valid(topic):
    assert reason(check_topic, topic) == ""


@given(matching_pairs())
def test_drawn_pairs_are_valid_and_match(pair):
    pattern, topic = pair
    assert reason(check_filter, pattern) == reason(check_topic, topic) == ""
    assert matches(pattern, topic)


@given(near_texts)
@example("$share/a/#")
def test_the_rules_taken_literally(text):
    """The rules once more, level by level, without any short cut."""
    body, good = text, True
    if text.startswith("$share/"):
        _, group, *rest = text.split("/")
        body = "/".join(rest)
        good = bool(group) and "+" not in group and "#" not in group and bool(rest)
    levels = body.split("/")
    good = good and body != "" and "\0" not in text and "\ud800" not in text
    good = good and all(level == "+" or "+" not in level for level in levels)
    good = good and all("#" not in level for level in levels[:-1]) and ("#" not in levels[-1] or levels[-1] == "#")
    assert (reason(check_filter, text) == "") == good
    plain = text != "" and not set(text) & set("+#\0\ud800")
    assert (reason(check_topic, text) == "") == plain


@pytest.mark.parametrize("text", [b"a", 5, None], ids=repr)
def test_what_is_no_string_is_told(text):
    with pytest.raises(TypeError, match=rf"a topic name is a string, not {type(text).__name__}|str object expected"):
        check_topic(text)
    with pytest.raises(TypeError, match=rf"a topic filter is a string, not {type(text).__name__}|str object expected"):
        check_filter(text)

"""Hypothesis strategies for topic names, topic filters, and pairs that match.

Levels are drawn mostly from a handful of short texts, so that independent draws often meet: a filter and a topic that
have nothing in common test little. The rest is any text the standard allows. Everything drawn is valid by
construction; examples shrink to few levels of "a".
"""

from __future__ import annotations

from hypothesis import strategies as st

from mqtt_core.topic_matcher import check_filter

__all__ = ["filters", "level_texts", "matching_pairs", "share_names", "topics"]

COMMON = ("a", "b", "c", "", "$x", "$")


def level_texts() -> st.SearchStrategy[str]:
    """What may stand between two `/` of a topic name; may be empty."""
    odd = st.text(st.characters(exclude_characters="/+#\0", exclude_categories=["Cs"]), max_size=8)
    return st.one_of(st.sampled_from(COMMON), st.sampled_from(COMMON), st.sampled_from(COMMON), odd)


def topics(levels_max: int = 5) -> st.SearchStrategy[str]:
    """Valid topic names of 1 to `levels_max` levels; some start with `$`, some have empty levels."""
    return st.lists(level_texts(), min_size=1, max_size=levels_max).map("/".join).filter(bool)


def share_names() -> st.SearchStrategy[str]:
    """The group of a shared subscription."""
    return level_texts().filter(bool)


@st.composite
def filters(draw: st.DrawFn, levels_max: int = 5, *, shared: bool = False) -> str:
    """Valid topic filters of 1 to `levels_max` levels, `#` included; none begins with `$share/` unless `shared`."""
    levels = draw(st.lists(st.one_of(level_texts(), st.just("+")), min_size=0, max_size=levels_max))
    if not levels or (len(levels) < levels_max and draw(st.booleans())):
        levels.append("#")
    if levels == [""] or levels[0] == "$share":
        levels[0] = "a"
    text = "/".join(levels)
    if shared and draw(st.booleans()):
        text = f"$share/{draw(share_names())}/{text}"
    check_filter(text)
    return text


@st.composite
def matching_pairs(draw: st.DrawFn, levels_max: int = 5) -> tuple[str, str]:
    """A topic filter and a topic name that it matches."""
    topic = draw(topics(levels_max).filter(lambda text: not text.startswith("$share/")))
    levels = topic.split("/")
    first = 1 if topic.startswith("$") else 0  # a wildcard in the first level would not match [MQTT-4.7.2-1]
    for depth in range(first, len(levels)):
        if draw(st.booleans()):
            levels[depth] = "+"
    if draw(st.booleans()):
        kept = draw(st.integers(first, len(levels)))
        levels[kept:] = ["#"]
    return "/".join(levels), topic

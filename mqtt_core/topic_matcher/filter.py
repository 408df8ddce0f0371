"""Topic filters as values, and the specification of matching.

`matches` is the whole of section 4.7 in a few lines that can be checked by eye. It is slow and deliberately so: the
trie, the topic tree and the simulator's oracle are all measured against it.

`TopicFilter` is a filter taken apart once, for programs that match a handful of filters themselves. Many filters
against one topic is the work of `TopicTrie`; one filter against many topics that of `TopicTree`.
"""

from __future__ import annotations

from enum import IntEnum

from mqtt_core.topic_matcher.validation import check_filter, split_share

__all__ = ["Level", "LevelKind", "TopicFilter", "matches"]


def matches(filter: str, topic: str) -> bool:
    """Whether a topic filter matches a topic name (section 4.7), both valid; `$share/{group}/` is looked through."""
    filter_levels = split_share(filter)[1].split("/")
    topic_levels = topic.split("/")
    if topic.startswith("$") and filter_levels[0] in {"+", "#"}:
        return False
    for depth, level in enumerate(filter_levels):
        if level == "#":
            return True
        if depth == len(topic_levels) or level not in {"+", topic_levels[depth]}:
            return False
    return len(filter_levels) == len(topic_levels)


class LevelKind(IntEnum):
    """What a level of a topic filter matches."""

    EXACT = 0
    """The same text."""
    SINGLE = 1
    """`+`: any one level."""
    MULTI = 2
    """`#`: the parent level and everything below it."""


class Level:
    """One level of a topic filter.

    Args:
        text: what stands between two `/` of a valid filter; may be empty.
    """

    __slots__ = ("kind", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.kind = LevelKind.SINGLE if text == "+" else LevelKind.MULTI if text == "#" else LevelKind.EXACT

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Level) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Level({self.text!r})"


class TopicFilter:
    """A valid topic filter, taken apart.

    Args:
        pattern: the filter as it stands in a SUBSCRIBE, `$share/{group}/{filter}` included.

    Raises:
        InvalidTopicFilter: the pattern breaks section 4.7 or 4.8.2.

    Attributes:
        pattern: the filter as given.
        share_name: the group of a shared subscription, "" where it is not shared.
        levels: the levels of the filter proper, without `$share/{group}`.
    """

    __slots__ = ("levels", "pattern", "share_name")

    def __init__(self, pattern: str) -> None:
        check_filter(pattern)
        self.pattern = pattern
        share_name, plain = split_share(pattern)
        self.share_name = share_name
        self.levels: tuple[Level, ...] = tuple([Level(text) for text in plain.split("/")])

    def matches(self, topic: str) -> bool:
        """Whether the filter matches this topic name, which must be valid (section 4.7)."""
        levels = self.levels
        if topic[0] == "$" and levels[0].kind != LevelKind.EXACT:
            return False  # [MQTT-4.7.2-1]
        texts = topic.split("/")
        exact_length = len(levels)
        if levels[-1].kind == LevelKind.MULTI:
            exact_length -= 1
            if len(texts) < exact_length:
                return False
        elif len(texts) != exact_length:
            return False
        for depth in range(exact_length):
            level = levels[depth]
            if level.kind == LevelKind.EXACT and level.text != texts[depth]:
                return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TopicFilter) and self.pattern == other.pattern

    def __hash__(self) -> int:
        return hash(self.pattern)

    def __repr__(self) -> str:
        return f"TopicFilter({self.pattern!r})"

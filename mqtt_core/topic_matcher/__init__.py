"""Topic names, topic filters and wildcards: section 4.7 of both standards, shared filters of 4.8.2.

Which strings are valid (`check_topic`, `check_filter`, `split_share`), one filter (`TopicFilter`), many filters
against one topic (`TopicTrie`), many topics against one filter (`TopicTree`), and the specification all of them are
tested against (`matches`).
"""

from __future__ import annotations

from mqtt_core.topic_matcher.filter import Level, LevelKind, TopicFilter, matches
from mqtt_core.topic_matcher.names import Cursor, TopicTree
from mqtt_core.topic_matcher.trie import TopicTrie
from mqtt_core.topic_matcher.validation import check_filter, check_plain_filter, check_topic, split_share

__all__ = [
    "Cursor",
    "Level",
    "LevelKind",
    "TopicFilter",
    "TopicTree",
    "TopicTrie",
    "check_filter",
    "check_plain_filter",
    "check_topic",
    "matches",
    "split_share",
]

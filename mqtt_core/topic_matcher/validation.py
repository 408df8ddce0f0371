"""Which strings may be topic names and topic filters: section 4.7 of both standards, 4.8.2 of 5.0.

The law: every topic or filter that enters the core, from a peer or from the host, passes `check_topic` or
`check_filter` once, and nothing behind that point checks again. Text is taken as it is: no normalization, no case
folding, no stripping [MQTT-4.7.3-4].

Both functions are written for the common case, a short ASCII string without wildcards: a few scans in C, no split,
no encoding. The time for a hostile string is linear in its length.

Not here: the empty topic name that 5.0 allows beside a topic alias (the alias is resolved first), and what a server
permits whom.
"""

from __future__ import annotations

from typing import Final

from mqtt_core.codec.error import InvalidTopic, InvalidTopicFilter

__all__ = ["SHARE_PREFIX", "check_filter", "check_plain_filter", "check_topic", "split_share"]

SHARE_PREFIX: Final = "$share/"

BYTES_MAX: Final = 65535
"""The longest string that fits behind a two-byte length."""


def check_topic(topic: str, levels_max: int = 0) -> None:
    """Make sure that a string may be the topic name of a PUBLISH, of a will, or a Response Topic.

    Args:
        topic: the topic name.
        levels_max: the most levels it may have ("a/b" has two); 0 sets no limit.

    Raises:
        InvalidTopic: it is empty, longer than 65,535 bytes of UTF-8, contains a wildcard, U+0000 or a surrogate
            (sections 1.5.4 and 4.7), or has too many levels.
        TypeError: it is no string.
    """
    try:
        wildcard = "+" in topic or "#" in topic
    except TypeError:
        raise TypeError(f"a topic name is a string, not {type(topic).__name__}") from None
    if wildcard:
        # [MQTT-4.7.1-1 v3.1.1] [MQTT-4.7.0-1 v5] [MQTT-3.3.2-2] [MQTT-3.3.2-14 v5]
        raise InvalidTopic("a topic name contains no wildcard")
    fault = _fault(topic, levels_max)
    if fault:
        raise InvalidTopic(f"a topic name {fault}")


def check_filter(filter: str, levels_max: int = 0) -> None:
    """Make sure that a string may be the topic filter of a SUBSCRIBE or UNSUBSCRIBE, `$share/...` included.

    Args:
        filter: the topic filter as it stands in the packet.
        levels_max: the most levels it may have, wildcards included and `$share/{group}` not; 0 sets no limit.

    Raises:
        InvalidTopicFilter: it is empty, longer than 65,535 bytes of UTF-8, contains U+0000 or a surrogate, has a
            misplaced wildcard (section 4.7.1) or too many levels, or is not a proper `$share/{group}/{filter}`
            (section 4.8.2 of 5.0; the same is asked of 3.1.1 clients).
        TypeError: it is no string.
    """
    if not isinstance(filter, str):
        raise TypeError(f"a topic filter is a string, not {type(filter).__name__}")
    if filter.startswith(SHARE_PREFIX):
        plain = split_share(filter)[1]
        fault = _fault(filter, 0)
        if fault:
            raise InvalidTopicFilter(f"a topic filter {fault}")
        check_plain_filter(plain, levels_max)
    else:
        check_plain_filter(filter, levels_max)


def check_plain_filter(filter: str, levels_max: int = 0) -> None:
    """`check_filter` for what `split_share` has left: a `$share/` at its start is text like any other.

    Raises:
        InvalidTopicFilter: as `check_filter`, but for the rules of section 4.8.2.
    """
    fault = _fault(filter, levels_max)
    if not fault and ("#" in filter or "+" in filter):
        fault = _wildcard_fault(filter)
    if fault:
        raise InvalidTopicFilter(f"a topic filter {fault}")


def split_share(filter: str) -> tuple[str, str]:
    """Take `$share/{group}/{filter}` apart (section 4.8.2 of 5.0).

    Returns:
        The group and the filter proper, which is not checked here; an empty group where the filter is not shared.

    Raises:
        InvalidTopicFilter: the group is empty or contains a wildcard, or no filter follows it.
    """
    if not filter.startswith(SHARE_PREFIX):
        return "", filter
    group, _, plain = filter[len(SHARE_PREFIX) :].partition("/")
    if not group:
        raise InvalidTopicFilter("the group of a shared subscription has at least one character")  # [MQTT-4.8.2-1 v5]
    if "+" in group or "#" in group:
        raise InvalidTopicFilter("the group of a shared subscription contains no wildcard")  # [MQTT-4.8.2-2 v5]
    if not plain:
        raise InvalidTopicFilter("a shared subscription has a topic filter after its group")  # [MQTT-4.8.2-2 v5]
    return group, plain


def _fault(text: str, levels_max: int) -> str:
    """What is wrong with a topic name or filter as a string, "" if nothing is."""
    if not text:
        return "has at least one character"  # [MQTT-4.7.3-1]
    if "\0" in text:
        return "does not contain U+0000"  # [MQTT-4.7.3-2]
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            return "contains no surrogates"
    if size > BYTES_MAX:
        return "has at most 65535 bytes"  # [MQTT-4.7.3-3]
    if levels_max and text.count("/") >= levels_max:
        return f"has at most {levels_max} levels here"
    return ""


def _wildcard_fault(filter: str) -> str:
    """What is wrong with the wildcards of a filter, "" if nothing is."""
    last = len(filter) - 1
    multi = filter.find("#")
    if multi >= 0 and (multi != last or (multi > 0 and filter[multi - 1] != "/")):
        return "has its # alone at the end"  # [MQTT-4.7.1-2 v3.1.1] [MQTT-4.7.1-1 v5]
    single = filter.find("+")
    while single >= 0:
        if (single > 0 and filter[single - 1] != "/") or (single < last and filter[single + 1] != "/"):
            return "has each + alone in its level"  # [MQTT-4.7.1-3 v3.1.1] [MQTT-4.7.1-2 v5]
        single = filter.find("+", single + 1)
    return ""

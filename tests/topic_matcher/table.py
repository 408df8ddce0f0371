"""The rules of section 4.7 as one table: which filter matches which topic name.

Every matcher in the project is tested with every row, and the page on topics shows the same rows. A row stands for a
rule; its note says which.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A topic filter, a topic name, whether they match, and why."""

    filter: str
    topic: str
    match: bool
    note: str


class Invalid(NamedTuple):
    """A string that may not be a topic filter, or not a topic name, and why."""

    text: str
    note: str


TABLE = [
    # text
    Row("home/kitchen", "home/kitchen", True, "the same text"),
    Row("home/kitchen", "home/cellar", False, "another text"),
    Row("home/kitchen", "home", False, "a filter matches whole names, not their beginnings"),
    Row("home", "home/kitchen", False, "nor does a beginning match what is below it"),
    Row("home/kitchen", "home/kitchens", False, "a level is compared as a whole"),
    Row("Home", "home", False, "letters have a case"),
    Row("home kitchen", "home kitchen", True, "spaces are characters like any other"),
    Row(" home", "home", False, "and are not stripped"),
    Row("caf\u00e9", "caf\u00e9", True, "any Unicode character may be used"),
    Row("caf\u00e9", "cafe\u0301", False, "texts are not normalized: one letter differs from letter and accent"),
    Row("\ufeffa", "a", False, "U+FEFF is a character and is not removed"),
    Row("a.b", "a/b", False, "only / separates levels"),
    Row("a.c", "abc", False, "a filter is not a regular expression"),
    Row("a*", "ab", False, "nor a file name pattern"),
    # empty levels
    Row("/home", "/home", True, "a / at the start makes an empty first level"),
    Row("/home", "home", False, "which is a level nevertheless"),
    Row("home/", "home", False, "and so does a / at the end"),
    Row("home/", "home/", True, "an empty last level equals an empty last level"),
    Row("a//b", "a/b", False, "an empty level in the middle counts too"),
    Row("/", "/", True, "two empty levels"),
    Row("//", "/", False, "three are not two"),
    # +
    Row("+", "home", True, "+ matches any one level"),
    Row("+", "home/kitchen", False, "but not two"),
    Row("+", "/home", False, "a / at the start makes a second level"),
    Row("+/+", "/home", True, "+ matches an empty level"),
    Row("/+", "/home", True, "+ in the last level"),
    Row("/+", "home", False, "the first level must be there"),
    Row("home/+", "home", False, "+ needs a level"),
    Row("home/+", "home/", True, "even if it is an empty one"),
    Row("home/+", "home/kitchen", True, "+ after text"),
    Row("home/+", "home/kitchen/lamp", False, "+ does not reach further down"),
    Row("home/+/lamp", "home/kitchen/lamp", True, "+ in the middle"),
    Row("home/+/lamp", "home/lamp", False, "+ stands for exactly one level"),
    Row("home/+/lamp", "home/a/b/lamp", False, "never for more"),
    Row("home/+/lamp", "home//lamp", True, "an empty level in the middle is one level"),
    Row("+/kitchen/+", "home/kitchen/lamp", True, "more than one +"),
    Row("+/+/+", "a/b/c", True, "nothing but +"),
    Row("+/+", "a/b/c", False, "as many levels as there are +"),
    # #
    Row("#", "home", True, "# alone matches every name"),
    Row("#", "home/kitchen/lamp", True, "of any depth"),
    Row("#", "/", True, "and empty levels"),
    Row("home/#", "home/kitchen", True, "# matches the level in its place"),
    Row("home/#", "home/kitchen/lamp", True, "and all below"),
    Row("home/#", "home", True, "and the level above it"),
    Row("home/#", "home/", True, "an empty level is below"),
    Row("home/#", "homes", False, "the levels before # are compared as ever"),
    Row("home/#", "house/kitchen", False, "all of them"),
    Row("home/kitchen/#", "home", False, "only one level above it"),
    Row("/#", "/home", True, "# below an empty level"),
    Row("/#", "home", False, "which must be there"),
    Row("//#", "/", True, "the level above # may be an empty one"),
    # + and #
    Row("+/#", "home", True, "+ may be the level above #"),
    Row("+/#", "home/kitchen", True, "+ and # together"),
    Row("+/+/#", "home", False, "each + before # needs a level"),
    Row("+/+/#", "home/", True, "which may be empty"),
    Row("+/kitchen/#", "home/kitchen", True, "text between + and #"),
    Row("+/kitchen/#", "home/kitchen/lamp/state", True, "the same further down"),
    Row("+/kitchen/#", "home/cellar/lamp", False, "text must still be equal"),
    # $
    Row("#", "$SYS/uptime", False, "# at the start does not match a name that starts with $"),
    Row("#", "$", False, "not even $ alone"),
    Row("+", "$SYS", False, "nor does + at the start"),
    Row("+/uptime", "$SYS/uptime", False, "whatever follows"),
    Row("+/#", "$SYS/uptime", False, "both wildcards together neither"),
    Row("+/+", "$/a", False, "a first level $ is enough"),
    Row("$SYS/#", "$SYS/uptime", True, "$ written out matches"),
    Row("$SYS/#", "$SYS", True, "the level above # too"),
    Row("$SYS/+", "$SYS/uptime", True, "wildcards further down are as ever"),
    Row("$SYS/uptime", "$SYS/uptime", True, "the same text, with $"),
    Row("$SYS/+/#", "$SYS/a/b/c", True, "both wildcards below $"),
    Row("$other/#", "$SYS/uptime", False, "another text that starts with $"),
    Row("a/+", "a/$b", True, "a $ in another level is a character like any other"),
    Row("a/#", "a/$b/c", True, "for # as well"),
    Row("+/$b", "a/$b", True, "and in the filter"),
    Row("/#", "/$b", True, "an empty first level is no $"),
    # shared subscriptions
    Row("$share/team/home/+", "home/kitchen", True, "a shared subscription matches what its filter matches"),
    Row("$share/team/home/+", "home", False, "and nothing else"),
    Row("$share/team/#", "home", True, "its filter may be #"),
    Row("$share/team/#", "$SYS/uptime", False, "which still does not match $"),
    Row("$share/team/$SYS/#", "$SYS/uptime", True, "$ written out"),
    Row("$share/team//home", "/home", True, "the filter may start with an empty level"),
    Row("$share/team/home", "$share/team/home", False, "the prefix is no part of the filter"),
    Row("$share", "$share", True, "without a / it is an ordinary name"),
    Row("$shared/x", "$shared/x", True, "and so is a longer word"),
]

INVALID_FILTERS = [
    Invalid("", "at least one character"),
    Invalid("a\0b", "no U+0000"),
    Invalid("a\ud800", "no surrogates"),
    Invalid("home#", "# alone in its level"),
    Invalid("home/#/lamp", "# in the last level"),
    Invalid("#/home", "# in the last level, not the first"),
    Invalid("home/##", "one # at most"),
    Invalid("home/#+", "no + beside #"),
    Invalid("##", "# alone"),
    Invalid("/home/k#", "no text before #"),
    Invalid("home+", "+ alone in its level"),
    Invalid("+home", "no text after +"),
    Invalid("home/+lamp/x", "not in the middle either"),
    Invalid("home/lamp+/x", "no text before +"),
    Invalid("++", "one + a level"),
    Invalid("+/a/++", "one + a level, further down"),
    Invalid("+#", "no # beside +"),
    Invalid("a" * 65536, "at most 65535 bytes"),
    Invalid("\u00e9" * 32768, "bytes of UTF-8 are counted, not characters"),
    Invalid("$share/", "a share has a group"),
    Invalid("$share//home", "the group has at least one character"),
    Invalid("$share/team", "a share has a filter"),
    Invalid("$share/team/", "the filter has at least one character"),
    Invalid("$share/+/home", "no + in the group"),
    Invalid("$share/te+m/home", "no + beside text in the group"),
    Invalid("$share/#", "no # in the group"),
    Invalid("$share/te#m/home", "no # beside text in the group"),
    Invalid("$share/team/home#", "the filter itself is checked"),
    Invalid("$share/te\0m/home", "no U+0000 in the group"),
    Invalid("$share/te\udfffm/home", "no surrogates in the group"),
    Invalid("$share/team/" + "a" * 65524, "the prefix counts towards the length"),
]

INVALID_TOPICS = [
    Invalid("", "at least one character"),
    Invalid("a\0b", "no U+0000"),
    Invalid("a\udc00", "no surrogates"),
    Invalid("home/+", "no +"),
    Invalid("#", "no #"),
    Invalid("home+", "no + beside text"),
    Invalid("home#1", "no # beside text"),
    Invalid("a" * 65536, "at most 65535 bytes"),
    Invalid("\u20ac" * 21846, "bytes of UTF-8 are counted, not characters"),
]

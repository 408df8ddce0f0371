"""Many topic filters against one topic name: who wants this message?

A filter without wildcards matches one topic only, so those live in a hash table and cost one look-up together. The
others are spread over a trie, a node per level, and a match walks it level by level with the list of nodes reached so
far. No recursion, no backtracking: since every node has one parent, a match enters each node at most once, so its
cost is bounded by the number of nodes that agree with the topic so far, however the filters and the topic were
chosen. The public counter `visits` shows that cost.

`$` topics are apart by construction [MQTT-4.7.2-1]: filters that start with `$` have a root of their own, and the
other root, where the filters that start with a wildcard are, is never entered for a topic that starts with `$`.

Memory is what limits a broker with millions of filters, so a node with one child has no dict, a filter with one
subscriber has no dict, and level texts that are not keys of a large dict are interned. A removed filter leaves
nothing behind.

Results come in a fixed order: exact filters first, then by level, and within a filter in the order of insertion.
Shared subscriptions are the router's affair: it inserts the filter that `split_share` gives. Here `$share/` is text.
"""

from __future__ import annotations

from sys import intern
from typing import Generic, TypeVar

from mqtt_core.topic_matcher.validation import check_plain_filter

__all__ = ["TopicTrie"]

T = TypeVar("T")


class _Subscribers(Generic[T]):
    """The values of one filter by key: a single one inline, a dict while there are more. Never empty."""

    __slots__ = ("key", "many", "value")

    def __init__(self, key: str, value: T) -> None:
        self.key = key
        self.value: T | None = value  # None while there are many
        self.many: dict[str, T] | None = None

    def get(self, key: str) -> T | None:
        if self.many is not None:
            return self.many.get(key)
        return self.value if key == self.key else None

    def put(self, key: str, value: T) -> None:
        if self.many is not None:
            self.many[key] = value
        elif key == self.key:
            self.value = value
        elif self.value is not None:
            self.many = {self.key: self.value, key: value}
            self.value = None

    def drop(self, key: str) -> bool:
        """Remove a key that is present; False if it is the last one, which the caller removes with the filter."""
        many = self.many
        if many is None:
            return False
        del many[key]
        if len(many) == 1:
            self.key, self.value = next(iter(many.items()))
            self.many = None
        return True


class _Node(Generic[T]):
    """A level that the wildcard filters below it have in common, `+` or text; `#` is a slot of its parent."""

    __slots__ = ("children", "ends", "only", "plus", "rest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.only: _Node[T] | None = None  # the one child with a text, while there is just one
        self.children: dict[str, _Node[T]] | None = None  # those children by text, from the second on
        self.plus: _Node[T] | None = None  # the child for `+`
        self.ends: _Subscribers[T] | None = None  # of the filter that ends here
        self.rest: _Subscribers[T] | None = None  # of the filter that goes on with `#`

    def child(self, level: str) -> _Node[T] | None:
        """The child for a level of a filter."""
        if level == "+":
            return self.plus
        if self.children is not None:
            return self.children.get(level)
        only = self.only
        return only if only is not None and only.text == level else None

    def add_child(self, level: str) -> _Node[T]:
        """Make the child for a level of a filter that has none yet."""
        node: _Node[T]
        if level == "+":
            self.plus = node = _Node("+")
        elif self.children is not None:
            self.children[level] = node = _Node(level)
        elif self.only is None:
            self.only = node = _Node(intern(level))
        else:
            node = _Node(level)
            self.children = {self.only.text: self.only, level: node}
            self.only = None
        return node

    def drop_child(self, node: _Node[T]) -> None:
        """Forget a child."""
        children = self.children
        if node is self.plus:
            self.plus = None
        elif children is None:
            self.only = None
        else:
            del children[node.text]
            if len(children) == 1:
                self.only = next(iter(children.values()))
                self.children = None

    def is_bare(self) -> bool:
        """Whether no filter ends or goes on here, so that the node may go."""
        return (
            self.ends is None
            and self.rest is None
            and self.plus is None
            and self.only is None
            and self.children is None
        )


class TopicTrie(Generic[T]):
    """A multimap from topic filters to (key, value), queried by topic name (section 4.7).

    The key tells the subscribers of one filter apart (a client identifier); the value is what a match returns and
    may be anything but None. `visits` counts the nodes that matches have entered so far.
    """

    __slots__ = ("_dollar", "_exact", "_length", "_root", "_wildcards", "visits")

    def __init__(self) -> None:
        self._exact: dict[str, _Subscribers[T]] = {}
        self._root: _Node[T] = _Node("")
        self._dollar: _Node[T] = _Node("")  # of filters that start with `$`
        self._wildcards: int = 0  # filters in the two tries
        self._length: int = 0
        self.visits: int = 0

    def __len__(self) -> int:
        """The number of (filter, key) pairs."""
        return self._length

    def insert(self, filter: str, key: str, value: T) -> T | None:
        """Add or replace the value of a key under a filter; gives the value it replaces.

        Args:
            filter: a topic filter, without `$share/{group}/`. Its length and levels are the caller's to limit
                (`check_filter`): a filter takes one node for each level that no other filter has.
            key: whose value this is.
            value: what `matches` returns.

        Raises:
            InvalidTopicFilter: the filter breaks section 4.7; nothing has changed.
        """
        check_plain_filter(filter)
        if "+" in filter or filter[-1] == "#":
            found = self._insert_wildcard(filter, key, value)
        else:
            found = self._exact.get(filter)
            if found is None:
                self._exact[filter] = _Subscribers(key, value)
        replaced: T | None = None
        if found is not None:
            replaced = found.get(key)
            found.put(key, value)
        if replaced is None:
            self._length += 1
        return replaced

    def _insert_wildcard(self, filter: str, key: str, value: T) -> _Subscribers[T] | None:
        """Find the subscribers of a filter, or make them with this first one and give None."""
        levels = filter.split("/")
        multi = levels[-1] == "#"
        if multi:
            levels.pop()
        node = self._dollar if filter[0] == "$" else self._root
        for level in levels:
            child = node.child(level)
            node = node.add_child(level) if child is None else child
        found = node.rest if multi else node.ends
        if found is None:
            self._wildcards += 1
            if multi:
                node.rest = _Subscribers(key, value)
            else:
                node.ends = _Subscribers(key, value)
        return found

    def remove(self, filter: str, key: str) -> T | None:
        """Take away the value of a key under a filter, and whatever only it needed; None if it is not there."""
        if "+" in filter or filter[-1:] == "#":
            return self._remove_wildcard(filter, key)
        found = self._exact.get(filter)
        removed = None if found is None else found.get(key)
        if found is None or removed is None:
            return None
        self._length -= 1
        if not found.drop(key):
            del self._exact[filter]
            if not self._exact:
                self._exact = {}  # an emptied dict keeps its size
        return removed

    def _remove_wildcard(self, filter: str, key: str) -> T | None:
        levels = filter.split("/")
        multi = levels[-1] == "#"
        if multi:
            levels.pop()
        node = self._dollar if filter[0] == "$" else self._root
        path: list[_Node[T]] = []
        for level in levels:
            path.append(node)
            child = node.child(level)
            if child is None:
                return None
            node = child
        found = node.rest if multi else node.ends
        removed = None if found is None else found.get(key)
        if found is None or removed is None:
            return None
        self._length -= 1
        if not found.drop(key):
            self._wildcards -= 1
            if multi:
                node.rest = None
            else:
                node.ends = None
            while path and node.is_bare():
                parent = path.pop()
                parent.drop_child(node)
                node = parent
        return removed

    def matches(self, topic: str) -> list[T]:
        """The values of all filters that match a valid topic name, a value for each pair of filter and key."""
        values: list[T] = []
        found = self._exact.get(topic)  # [MQTT-4.7.3-4]
        if found is not None:
            if found.value is not None:
                values.append(found.value)
            elif found.many is not None:
                values.extend(found.many.values())
        if self._wildcards:
            self._match_wildcards(topic, values)
        return values

    def _match_wildcards(self, topic: str, values: list[T]) -> None:
        node = self._dollar if topic[0] == "$" else self._root  # [MQTT-4.7.2-1]
        reached = [node]
        visits = 1
        complete: list[_Subscribers[T]] = []
        for level in topic.split("/"):
            below: list[_Node[T]] = []
            for node in reached:
                if node.rest is not None:
                    complete.append(node.rest)
                child = node.only
                if child is not None:
                    if child.text == level:
                        below.append(child)  # [MQTT-3.3.2-3]
                elif node.children is not None:
                    child = node.children.get(level)
                    if child is not None:
                        below.append(child)
                if node.plus is not None:
                    below.append(node.plus)
            reached = below
            if not reached:
                break
            visits += len(reached)
        for node in reached:
            if node.ends is not None:
                complete.append(node.ends)
            if node.rest is not None:
                complete.append(node.rest)  # the parent level itself
        for found in complete:
            if found.value is not None:
                values.append(found.value)
            elif found.many is not None:
                values.extend(found.many.values())
        self.visits += visits

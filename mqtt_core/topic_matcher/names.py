"""Many topic names against one topic filter: which of them does it match?

The mirror image of the trie. It holds retained messages, and the topics whose prepared routes a new wildcard
subscription makes out of date. Both can number a million, and one filter may match them all, so a match can be walked
in slices: each call of `matching_slice` does a bounded amount of work, and the tree may change between two calls.

How a walk survives change: every node gets the next number of one sequence when it is made, children are kept in that
order, and a removed node stays in its parent's order, empty, until the dead outnumber the living. A cursor is the
newest number at the start of the walk and the numbers on the path to the node entered last; it refers to no node.
Resuming is a binary search at each level of that path. Nodes made after the start are left out, so that a walk ends
however fast topics are added. A topic that is there from the start of a walk to its end is given exactly once.

`$` topics have a root of their own, which no filter that starts with a wildcard enters [MQTT-4.7.2-1].

Not here: whether a topic or a filter is valid (`validation`), and what the values mean.
"""

from __future__ import annotations

from sys import intern
from typing import Final, Generic, TypeAlias, TypeVar

__all__ = ["Cursor", "TopicTree"]

T = TypeVar("T")

Cursor: TypeAlias = tuple[int, ...]
"""Where a walk stands; keep it and hand it back, nothing else."""

VISITS_PER_ITEM: Final = 4
"""Nodes a slice may enter for each item it may return."""

VISITS_MIN: Final = 64
"""Nodes a slice may enter at least."""

UNBOUNDED: Final = -1

DEAD_MIN: Final = 8
"""Removed children that stay in their parent's order before tidying up is considered."""


class _Name(Generic[T]):
    """A level of a topic name. A node in the tree has a value or children; a removed one has neither."""

    __slots__ = ("branch", "only", "sequence", "text", "topic", "value")

    def __init__(self, text: str, sequence: int) -> None:
        self.text = text
        self.sequence = sequence
        self.topic: str = ""  # the whole name, where there is a value
        self.value: T | None = None
        self.only: _Name[T] | None = None  # the child, while there is just one
        self.branch: _Branch[T] | None = None  # the children, from the second on

    def child(self, text: str) -> _Name[T] | None:
        """The child with this text."""
        if self.branch is not None:
            return self.branch.by_text.get(text)
        only = self.only
        return only if only is not None and only.text == text else None

    def add_child(self, text: str, sequence: int) -> _Name[T]:
        """Make a child that is not there yet."""
        node: _Name[T]
        if self.branch is not None:
            node = _Name(text, sequence)
            self.branch.by_text[text] = node
            self.branch.order.append(node)
        elif self.only is None:
            self.only = node = _Name(intern(text), sequence)
        else:
            node = _Name(text, sequence)
            self.branch = _Branch(self.only, node)
            self.only = None
        return node

    def drop_child(self, node: _Name[T]) -> None:
        """Forget a child that has become empty."""
        branch = self.branch
        if branch is None:
            self.only = None
            return
        by_text = branch.by_text
        del by_text[node.text]
        if len(by_text) == 1:
            self.only = next(iter(by_text.values()))
            self.branch = None
        elif len(branch.order) > 2 * len(by_text) + DEAD_MIN:
            branch.order = list(by_text.values())
            branch.by_text = {child.text: child for child in branch.order}  # a dict never shrinks by itself

    def is_empty(self) -> bool:
        """Whether no topic ends or goes on here, so that the node may go."""
        return self.value is None and self.only is None and self.branch is None


class _Branch(Generic[T]):
    """Two or more children, by text and by sequence."""

    __slots__ = ("by_text", "order")

    def __init__(self, first: _Name[T], second: _Name[T]) -> None:
        self.by_text: dict[str, _Name[T]] = {first.text: first, second.text: second}
        self.order: list[_Name[T]] = [first, second]

    def index_from(self, sequence: int) -> int:
        """The index of the first child, dead or alive, with this number or a later one."""
        order = self.order
        low = 0
        high = len(order)
        while low < high:
            middle = (low + high) // 2
            if order[middle].sequence < sequence:
                low = middle + 1
            else:
                high = middle
        return low


class _Walk(Generic[T]):
    """One slice of a walk: the nodes from the root to the current one, and which child of each comes next.

    The position in a branch is an index into its order; where there is at most one candidate, 0 and 1 are before and
    after it.
    """

    __slots__ = ("depth_max", "levels", "multi", "nodes", "positions", "until")

    def __init__(self, pattern: str, root: _Name[T], until: int) -> None:
        self.levels = pattern.split("/")
        self.multi = self.levels[-1] == "#"
        if self.multi:
            self.levels.pop()
        self.depth_max = len(self.levels)
        self.until = until
        self.nodes: list[_Name[T]] = [root]
        self.positions: list[int] = [0]

    def resume(self, after: Cursor) -> None:
        """Go to the place just after the node that was entered last, or where it was."""
        for sequence in after[1:]:
            depth = len(self.nodes) - 1
            node = self.nodes[depth]
            child: _Name[T] | None
            if depth < self.depth_max and self.levels[depth] != "+":
                child = node.child(self.levels[depth])
            elif node.branch is not None:
                order = node.branch.order
                index = node.branch.index_from(sequence)
                child = order[index] if index < len(order) else None
                self.positions[depth] = index
            else:
                child = node.only
            if child is None or child.sequence > sequence:
                return
            self.positions[depth] += 1
            if child.sequence < sequence:
                return
            self.nodes.append(child)
            self.positions.append(0)

    def run(self, items: list[tuple[str, T]], limit: int, visits_max: int) -> tuple[int, Cursor | None]:
        """Collect until one of the limits is reached; gives the nodes entered and the cursor, None at the end."""
        nodes = self.nodes
        positions = self.positions
        visits = 0
        while nodes:
            depth = len(nodes) - 1
            node = nodes[depth]
            position = positions[depth]
            child: _Name[T] | None = None
            if depth < self.depth_max and self.levels[depth] != "+":
                if position == 0:
                    child = node.child(self.levels[depth])
            elif depth >= self.depth_max and not self.multi:
                pass
            elif node.branch is not None:
                if position < len(node.branch.order):
                    child = node.branch.order[position]
            elif position == 0:
                child = node.only
            if child is None or child.sequence > self.until:
                nodes.pop()
                positions.pop()
                continue
            positions[depth] = position + 1
            nodes.append(child)
            positions.append(0)
            visits += 1
            if child.value is not None and depth + 1 >= self.depth_max:
                items.append((child.topic, child.value))
            if visits == visits_max or len(items) == limit:
                return visits, (self.until, *[entered.sequence for entered in nodes[1:]])
        return visits, None


class TopicTree(Generic[T]):
    """A map from topic names to values, queried by topic filter (section 4.7).

    Values may be anything but None. Names and filters must be valid, filters without `$share/{group}/`. `visits`
    counts the nodes that walks have entered so far.
    """

    __slots__ = ("_dollar", "_length", "_near", "_near_prefix", "_root", "_sequence", "visits")

    def __init__(self) -> None:
        self._root: _Name[T] = _Name("", 0)
        self._dollar: _Name[T] = _Name("", 0)  # of topics that start with `$`
        self._sequence: int = 0
        self._length: int = 0
        self._near: _Name[T] | None = None  # where the topic set last has its parent: the next one often has it too
        self._near_prefix: str = ""
        self.visits: int = 0

    def __len__(self) -> int:
        """The number of topics."""
        return self._length

    def set(self, topic: str, value: T) -> T | None:
        """Add or replace the value of a topic; gives the value it replaces."""
        prefix, slash, last = topic.rpartition("/")
        near = self._near
        if near is not None and slash and prefix == self._near_prefix:
            node = self._step(near, last)
        else:
            node = self._dollar if topic[0] == "$" else self._root
            if slash:
                for text in prefix.split("/"):
                    node = self._step(node, text)
                self._near = node
                self._near_prefix = prefix
            node = self._step(node, last)
        replaced = node.value
        if replaced is None:
            self._length += 1
        node.topic = topic
        node.value = value
        return replaced

    def _step(self, node: _Name[T], text: str) -> _Name[T]:
        """The child with this text, made if it is not there."""
        child = node.child(text)
        if child is None:
            self._sequence += 1
            child = node.add_child(text, self._sequence)
        return child

    def get(self, topic: str) -> T | None:
        """The value of a topic."""
        node = self._dollar if topic[0] == "$" else self._root
        for text in topic.split("/"):
            child = node.child(text)
            if child is None:
                return None
            node = child
        return node.value

    def pop(self, topic: str) -> T | None:
        """Remove a topic and whatever only it needed; gives its value, None if it is not there."""
        node = self._dollar if topic[0] == "$" else self._root
        path: list[_Name[T]] = []
        for text in topic.split("/"):
            path.append(node)
            child = node.child(text)
            if child is None:
                return None
            node = child
        removed = node.value
        if removed is None:
            return None
        self._length -= 1
        self._near = None
        node.value = None
        node.topic = ""
        while path and node.is_empty():
            parent = path.pop()
            parent.drop_child(node)
            node = parent
        return removed

    def matching(self, filter: str) -> list[tuple[str, T]]:
        """All topics that a filter matches, and their values, level by level in the order of insertion.

        The work is bounded only by the tree; where that matters walk it in slices.
        """
        return self._slice(filter, None, self._length + 1, UNBOUNDED)[0]

    def matching_slice(
        self, filter: str, after: Cursor | None, limit: int
    ) -> tuple[list[tuple[str, T]], Cursor | None]:
        """The next topics that a filter matches, and their values.

        Args:
            filter: the same filter in each call of a walk.
            after: None for the first slice, then the cursor that the slice before gave.
            limit: the most topics to return, 1 or more. A call enters at most `VISITS_PER_ITEM` nodes for each of
                them and `VISITS_MIN` besides, and so may return fewer, even none, although more match.

        Returns:
            Topics with their values, and the cursor for the next call, which is None when there is nothing left.
        """
        return self._slice(filter, after, limit, limit * VISITS_PER_ITEM + VISITS_MIN)

    def _slice(
        self, pattern: str, after: Cursor | None, limit: int, visits_max: int
    ) -> tuple[list[tuple[str, T]], Cursor | None]:
        if "+" not in pattern and pattern[-1] != "#":
            value = self.get(pattern)
            return ([] if value is None else [(pattern, value)]), None
        root = self._dollar if pattern[0] == "$" else self._root  # [MQTT-4.7.2-1]
        walk = _Walk(pattern, root, self._sequence if after is None else after[0])
        if after is not None:
            walk.resume(after)
        items: list[tuple[str, T]] = []
        visits, cursor = walk.run(items, limit, visits_max)
        self.visits += visits
        return items, cursor

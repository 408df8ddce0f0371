"""A base for values that are their fields: packets, stored records, events with a message.

Two of them are equal when they are of one class and equal in every field that the class names; what it keeps beside
them, such as its own encoded form, does not count. They can be changed, so they have no hash.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["Value"]


class Value:
    """Equality and representation by the fields a class names in ``fields``."""

    __slots__ = ()

    fields: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.fields)

    __hash__ = None  # type: ignore[assignment]  # compared by value, never a key

    def __repr__(self) -> str:
        values = ", ".join([f"{name}={getattr(self, name)!r}" for name in self.fields])
        return f"{type(self).__name__}({values})"

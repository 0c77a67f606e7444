"""Units, the categories that select them, and what a module decided about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self

UnitId = int | str

EVERYTHING = "all"
REST = "rest"
NO_CATEGORY = ""


class UnitRef(NamedTuple):
    """A unit of one sorting."""

    sorting: str
    unit: UnitId


class Action(StrEnum):
    """What a module did with a unit."""

    KEPT = "kept"
    REMOVED = "removed"
    CHANGED = "changed"
    CATEGORIZED = "categorized"
    MERGED = "merged"
    PAIRED = "paired"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a module did with one unit and why, as data.

    Parameters
    ----------
    unit
        The unit as it was called before the module ran.
    action
        What was done.
    reason
        One short clause, as it goes into the log.
    numbers
        The values that decided, by name (a NaN says that a value could not be computed).
    """

    unit: UnitRef
    action: Action
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selector:
    """A choice of units by category: ``all``, ``rest``, ``CS`` or ``CS+SS``.

    Parameters
    ----------
    text
        As the user wrote it.
    categories
        Names that are selected, in the order written; may hold ``all`` and ``rest``.
    """

    text: str
    categories: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one selector; raise ValueError with the reason where it makes no sense."""
        names = tuple(name.strip() for name in text.split("+"))
        if not all(names):
            msg = f"{text!r} has an empty category name"
            raise ValueError(msg)
        if len(set(names)) < len(names):
            msg = f"{text!r} names a category twice"
            raise ValueError(msg)
        return cls("+".join(names), names)

    @classmethod
    def parse_passes(cls, text: str) -> tuple[Self, ...]:
        """Read ``A;B``: one selector per pass over the units."""
        return tuple(cls.parse(part) for part in text.split(";"))

    def matches(self, category: str) -> bool:
        """Tell whether a unit with this category (``""`` for none) is selected."""
        return EVERYTHING in self.categories or (category or REST) in self.categories

    def overlaps(self, other: "Selector") -> bool:
        """Tell whether some unit could be selected by both."""
        both = (self.categories, other.categories)
        return any(EVERYTHING in names for names in both) or not set(both[0]).isdisjoint(both[1])

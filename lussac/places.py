"""Which folder may lie in which: what is written or removed never holds what is read or kept."""

import os
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from lussac.jsonc import Keys


class Role(Enum):
    """What a place is for, in the words of a message."""

    INPUT = "read"
    LOGS = "where the logs go"
    SCRATCH = "scratch space that is removed at the end"
    CACHE = "written by the preprocessing"
    RESULT = "written by a sorter"
    EXPORT = "written as a whole"


class Place(NamedTuple):
    """A file or folder that the params name.

    Parameters
    ----------
    where
        The keys that lead to its name.
    path
        Absolute.
    role
        What it is for.
    """

    where: Keys
    path: Path
    role: Role


_NEVER_HOLDS: dict[Role, frozenset[Role]] = {
    Role.INPUT: frozenset(),
    Role.LOGS: frozenset({Role.INPUT, Role.SCRATCH}),
    Role.SCRATCH: frozenset(set(Role) - {Role.SCRATCH}),
    Role.CACHE: frozenset(Role),
    Role.RESULT: frozenset(Role),
    Role.EXPORT: frozenset(Role),
}


def conflicts(places: Sequence[Place]) -> Iterator[tuple[Place, Place]]:
    """Return the pairs of places of which the first holds (or is) the second and must not, in the order given."""
    real = [place.path.resolve() for place in places]
    for index, outer in enumerate(places):
        for other, inner in enumerate(places):
            same = real[index] == real[other]
            told = same and other < index and outer.role in _NEVER_HOLDS[inner.role]  # by the pair the other way round
            if index != other and not told and inner.role in _NEVER_HOLDS[outer.role] and real[other].is_relative_to(real[index]):
                yield outer, inner


def is_free(path: Path, marker: str) -> bool:
    """Tell whether a folder may be written: it isn't there, is empty, or holds the marker of what we wrote."""
    if not path.exists():
        return True
    return path.is_dir() and ((path / marker).is_file() or not any(path.iterdir()))


def obstacle(place: Place) -> Path | None:
    """Return what keeps a folder from being written: the nearest file or folder on its path, or None where it can be written.

    A result, an export or a cache that is there already may be finished, and then needs not be written again.
    """
    is_there = place.path.is_dir()
    if place.role is Role.INPUT or (is_there and place.role in (Role.RESULT, Role.EXPORT, Role.CACHE)):
        return None
    nearest = next(path for path in (place.path, *place.path.parents) if os.path.exists(path))  # noqa: PTH110 - never raises
    return None if nearest.is_dir() and os.access(nearest, os.R_OK | os.W_OK | os.X_OK) else nearest

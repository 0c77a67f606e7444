"""Which spikes of which candidates are proposed to which unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.trains import Flat, order_of

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BEFORE = 40
"""How far before a stretch of time spikes are looked at to tell where runs begin, in gaps."""


class Member(NamedTuple):
    """A candidate that may hold spikes of a unit.

    Parameters
    ----------
    candidate
        Which.
    lag
        What to add to its positions so that they are the unit's.
    shares
        Whether it has spikes in common with the unit; otherwise it only looks like it.
    """

    candidate: int
    lag: int
    shares: bool


@dataclass(frozen=True, slots=True)
class Proposed:
    """Where units may have spikes, sorted by position, then unit; doubtful where no candidate that shares spikes has one."""

    samples: Ints
    units: Ints
    doubtful: Bools


@dataclass(frozen=True, slots=True)
class Pool:
    """What proposes spikes to units; proposals are made for a stretch of time, so that they need no memory beyond it.

    Parameters
    ----------
    trains
        The units' own spikes so far, and others that may be.
    members
        Trains of the members of all units, laid on the units' spikes.
    owners, shares
        (members,), the unit that each is a member of, and whether it has spikes in common with it.
    gap
        Spikes of one unit within this many samples are one proposal.
    barred
        Where units have no spike: nothing is proposed within `gap` of that.
    """

    trains: Flat
    members: Flat
    owners: Ints
    shares: Bools
    gap: int
    barred: Flat

    @classmethod
    def of(
        cls, candidates: Flat, members: Sequence[Sequence[Member]], trains: Flat, gap: int, barred: Sequence[Ints] = ()
    ) -> "Pool":
        """Collect what proposes spikes.

        Parameters
        ----------
        candidates
            Aligned trains.
        members
            For every unit, the candidates that may hold its spikes.
        trains, gap
            As above.
        barred
            For each unit, where it has no spike; empty where none is known of any unit.
        """
        table = [(unit, *member) for unit, own in enumerate(members) for member in own]
        owners, which, lags, shares = np.array(table, np.int64).reshape(-1, 4).T
        return cls(trains, candidates.only(which).moved(lags), owners, shares.astype(np.bool_), gap, Flat.of(barred))

    def between(self, start: int, stop: int) -> Proposed:
        """Return the proposals with start <= position < stop: every run of spikes of a unit, at its median.

        A run is at most `gap` long. Where it begins is told by what comes before, back to a silence longer than `gap`: that is
        never far, since a neuron is silent after each spike, in whatever train.
        """
        wide = (start - BEFORE * self.gap, stop + BEFORE * self.gap)
        own, others = self.trains.unit_by_unit(*wide), self.members.unit_by_unit(*wide)
        samples = np.concatenate([own.samples, others.samples])
        units = np.concatenate([own.units, self.owners[others.units]])
        known = np.concatenate([np.zeros(len(own.samples), np.bool_), self.shares[others.units]])
        order = np.lexsort((samples, units))
        medians, owners, doubtful = _proposals(samples[order], units[order], known[order], self.gap)
        inside = np.flatnonzero((medians >= start) & (medians < stop))
        inside = inside[order_of(medians[inside] - start)]
        places = self.barred.between(*wide)
        inside = inside[~_are_near(medians[inside], owners[inside], places.samples, places.units, self.gap)]
        return Proposed(medians[inside], owners[inside], doubtful[inside])


@numba.njit(cache=True, nogil=True)
def _proposals(samples: Ints, units: Ints, known: Bools, gap: int) -> tuple[Ints, Ints, Bools]:
    """Replace every run of positions that are at most `gap` from the run's first by their median.

    Parameters
    ----------
    samples, units, known
        Sorted by unit, then by position, and whether a candidate that shares spikes with the unit has the spike.
    gap
        In samples.

    Returns
    -------
    The medians, their units, and whether none of the known spikes of the unit is within `gap` of them.
    """
    medians, owners, doubtful = (
        np.empty(len(samples), np.int64),
        np.empty(len(samples), np.int64),
        np.empty(len(samples), np.bool_),
    )
    count = first = low = 0
    for index in range(1, len(samples) + 1):
        unit = units[first]
        if index < len(samples) and units[index] == unit and samples[index] - samples[first] <= gap:
            continue
        median = samples[(first + index) // 2]
        while units[low] < unit or samples[low] < median - gap:
            low += 1
        near, doubt = low, True
        while doubt and near < len(samples) and units[near] == unit and samples[near] <= median + gap:
            doubt = not known[near]
            near += 1
        medians[count], owners[count], doubtful[count] = median, unit, doubt
        count += 1
        first = index
    return medians[:count], owners[:count], doubtful[:count]


@numba.njit(cache=True, nogil=True)
def _are_near(samples: Ints, units: Ints, others: Ints, other_units: Ints, gap: int) -> Bools:
    """Tell which positions have one of the same unit among others within `gap`; all in the order of time."""
    out = np.zeros(len(samples), np.bool_)
    first = 0
    for index in range(len(samples)):
        while first < len(others) and others[first] < samples[index] - gap:
            first += 1
        other = first
        while other < len(others) and others[other] <= samples[index] + gap:
            out[index] |= other_units[other] == units[index]
            other += 1
    return out

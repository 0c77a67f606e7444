"""Which spikes of which candidates are proposed to which unit."""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.trains import Flat

Ints = NDArray[np.int64]


@numba.njit(cache=True, nogil=True)
def thin(samples: Ints, gap: int) -> Ints:
    """Replace every run of positions that are at most `gap` from the run's first by their median."""
    out = np.empty(len(samples), np.int64)
    count, first = 0, 0
    for index in range(1, len(samples) + 1):
        if index == len(samples) or samples[index] - samples[first] > gap:
            out[count] = samples[(first + index) // 2]
            count += 1
            first = index
    return out[:count]


def propose(candidates: Flat, members: Sequence[Sequence[tuple[int, int]]], trains: Flat, gap: int) -> Flat:
    """Unite the trains of each unit's members with its own.

    Parameters
    ----------
    candidates
        Aligned trains.
    members
        For every unit, the candidates that may hold its spikes, and what to add to their positions.
    trains
        The units' own spikes so far, and others that may be.
    gap
        Spikes of several members within this many samples are one proposal.
    """

    def united(unit: int) -> Ints:
        return np.sort(np.concatenate([trains[unit], *(candidates[member] + lag for member, lag in members[unit])]))

    return Flat.of([thin(united(unit), gap) for unit in range(len(trains))])

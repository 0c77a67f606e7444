"""Which spikes of which candidates are proposed to which unit."""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.trains import Flat, Growing, has_near

Ints = NDArray[np.int64]


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


def propose(candidates: Flat, members: Sequence[Sequence[Member]], trains: Flat, gap: int) -> Flat:
    """Unite the trains of each unit's members with its own.

    Parameters
    ----------
    candidates
        Aligned trains.
    members
        For every unit, the candidates that may hold its spikes.
    trains
        The units' own spikes so far, and others that may be.
    gap
        Spikes of several members within this many samples are one proposal.
    """

    def united(unit: int) -> Ints:
        return np.sort(np.concatenate([trains[unit], *(candidates[one.candidate] + one.lag for one in members[unit])]))

    samples, sizes = Growing(np.int64), np.zeros(len(trains), np.int64)
    for unit in range(len(trains)):
        own = thin(united(unit), gap)
        samples.add(own)
        sizes[unit] = len(own)
    return Flat.one_after_another(samples.values(), sizes)


def known(proposals: Flat, candidates: Flat, members: Sequence[Sequence[Member]], gap: int) -> NDArray[np.bool_]:
    """Tell for every proposal whether a candidate that shares spikes with the unit has one there.

    Parameters
    ----------
    proposals
        What `propose` returned.
    candidates, members, gap
        As for `propose`.
    """
    out = np.zeros(len(proposals.samples), np.bool_)
    for unit, own in enumerate(members):
        sharing = [candidates[one.candidate] + one.lag for one in own if one.shares]
        if sharing:
            out[proposals.slice(unit)] = has_near(proposals[unit], np.sort(np.concatenate(sharing)), gap)
    return out

"""What the analyses have of each unit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.candidates import Candidates
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.fusion.turns import together_at_most

Ints = NDArray[np.int64]

INSIDE = 0.5


@dataclass(frozen=True, slots=True)
class Support:
    """What an analysis has of a unit: one of its units, or several that take turns, and how far these agree with the unit."""

    parts: tuple[int, ...]
    agreement: float


def supports(
    trains: Flat, candidates: Candidates, common: NDArray[np.int32], together: float, turn: int, duration: int
) -> list[list[Support]]:
    """Return for every unit what each analysis has of it, best first.

    Parameters
    ----------
    trains, candidates, common
        The units, the units of all analyses, and the spikes that they have in common.
    together, turn, duration
        Units of one analysis are taken together that are active at the same time less often than this share of chance: parts of
        a neuron that the analysis lost and found again. What counts as the same time, and the recording's length: in samples.
    """
    analyses = [np.flatnonzero(candidates.analyses == analysis) for analysis in np.unique(candidates.analyses)]
    sizes = candidates.trains.counts

    def support(unit: int, own: Ints) -> Support:
        size = int(trains.counts[unit])
        shared = common[unit]
        alone = shared[own] / (size + sizes[own] - shared[own])
        first = int(own[np.argmax(alone)])
        parts, union, found, more = [first], candidates.trains[first], shared[first], float(sizes[first])
        for part in own[np.argsort(-shared[own], kind="stable")]:
            inside = shared[part] >= max(INSIDE * sizes[part], 1) and part != first
            if inside and together_at_most(union, candidates.trains[int(part)], turn, duration) < together:
                parts.append(int(part))
                union = np.sort(np.concatenate([union, candidates.trains[int(part)]]))
                found, more = found + shared[part], more + sizes[part]
        return Support(tuple(parts), float(min(found / max(size + more - found, 1), 1)))

    rows = [[support(unit, own) for own in analyses] for unit in range(len(trains))]
    return [sorted(row, key=lambda one: (-one.agreement, one.parts)) for row in rows]

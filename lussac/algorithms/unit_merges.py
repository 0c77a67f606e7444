"""Which units of one analysis are parts of one neuron: decided by what a merge does to the score (Llobet et al. 2022).

The score of a unit is its number of spikes x (1 - (balance + 1) x contamination); with its rate instead of the number, all
scores would only be divided by the duration. Merging parts of a neuron adds spikes; merging anything else adds contamination.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lussac.algorithms.contamination import contamination
from lussac.algorithms.spiketrains import remove_close_spikes
from lussac.algorithms.timeline import Train

Pair = tuple[int, int]
K = TypeVar("K", int, Pair)


@dataclass(frozen=True, slots=True)
class Score:
    """How good a train is as a single neuron.

    Parameters
    ----------
    censored, refractory
        Periods in samples.
    duration
        Samples of the recording.
    balance
        Spikes that one contaminating spike cancels out.
    """

    censored: int
    refractory: int
    duration: int
    balance: float

    def of(self, train: Train) -> float:
        """Return the score of a train; a train of fewer than two spikes counts as clean."""
        foreign = contamination(train, self.censored, self.refractory, self.duration)
        return len(train) * (1.0 - (self.balance + 1.0) * float(np.nan_to_num(foreign)))

    def joined(self, a: Train, b: Train) -> Train:
        """Return the spikes of both trains, those within the censored period only once."""
        return remove_close_spikes(np.sort(np.concatenate([a, b])), self.censored)


@dataclass(frozen=True, slots=True)
class BadSplit:
    """A unit that is worse than another of the same neuron, and would spoil it.

    Parameters
    ----------
    unit, better
        Indices of the unit that goes and of the one that stays.
    score, better_score, merged_score
        Of both, and of the merge that was not made.
    """

    unit: int
    better: int
    score: float
    better_score: float
    merged_score: float


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """What became of units that may be parts of one neuron.

    Parameters
    ----------
    unit
        Index of the unit that stays.
    train
        Its spikes, with those of the units merged into it.
    score
        Of that train.
    merged
        Indices of the units merged into it, in the order of the merges.
    left_over
        Indices of the others, which would lower the score.
    """

    unit: int
    train: Train
    score: float
    merged: tuple[int, ...]
    left_over: tuple[int, ...]


def bad_splits(trains: Sequence[Train], pairs: Sequence[Pair], score: Score) -> dict[Pair, BadSplit]:
    """Return the pairs whose merge scores less than the better unit alone.

    Parameters
    ----------
    trains
        Of all units.
    pairs
        Indices of units that may be parts of one neuron.
    score
        What decides.
    """
    scores = {unit: score.of(trains[unit]) for unit in chain.from_iterable(pairs)}
    found = {}
    for pair in pairs:
        better, worse = sorted(pair, key=lambda unit: (-scores[unit], unit))
        merged = score.of(score.joined(trains[better], trains[worse]))
        if merged < scores[better]:
            found[pair] = BadSplit(worse, better, scores[worse], scores[better], merged)
    return found


def merge_groups(trains: Sequence[Train], pairs: Sequence[Pair], score: Score) -> list[Group]:
    """Merge the units that are connected by pairs, as long as that improves the best score among them.

    Parameters
    ----------
    trains
        Of all units.
    pairs
        Indices of units that may be parts of one neuron.
    score
        What decides.

    Returns
    -------
    One result for each connected group, in the order of their first units.
    """
    return [_merge_group(trains, group, [pair for pair in pairs if pair[0] in group], score) for group in _connected(pairs)]


def _connected(pairs: Sequence[Pair]) -> list[list[int]]:
    """Return the units of each connected group, sorted."""
    units = sorted(set(chain.from_iterable(pairs)))
    ends = np.searchsorted(units, np.reshape(pairs, (-1, 2))).T
    edges = coo_array((np.ones(len(pairs), np.int8), (ends[0], ends[1])), shape=(len(units), len(units)))
    count, labels = connected_components(edges, directed=False)
    return [[unit for unit, label in zip(units, labels.tolist(), strict=True) if label == group] for group in range(count)]


def _merge_group(trains: Sequence[Train], group: Sequence[int], pairs: Sequence[Pair], score: Score) -> Group:
    """Merge the pair that scores highest, again and again, until no merge beats the best unit."""
    left = {unit: trains[unit] for unit in group}
    scores = {unit: score.of(train) for unit, train in left.items()}
    merged: dict[int, tuple[int, ...]] = dict.fromkeys(group, ())
    values = _merged_scores(left, pairs, score)
    while values and max(values.values()) > max(scores.values()):
        best = _highest(values)
        stays, goes = sorted(best, key=lambda unit: (-scores[unit], unit))
        left[stays], scores[stays] = score.joined(left[stays], left.pop(goes)), values[best]
        merged[stays] += (goes, *merged[goes])
        del scores[goes]
        touched = {unit for pair in values if stays in pair or goes in pair for unit in pair} - {stays, goes}
        values = {pair: value for pair, value in values.items() if stays not in pair and goes not in pair}
        values |= _merged_scores(left, [(stays, unit) for unit in touched], score)
    unit = _highest(scores)
    rest = tuple(other for other in group if other != unit and other not in merged[unit])
    return Group(unit, left[unit], scores[unit], merged[unit], rest)


def _merged_scores(left: Mapping[int, Train], pairs: Sequence[Pair], score: Score) -> dict[Pair, float]:
    return {(min(pair), max(pair)): score.of(score.joined(left[pair[0]], left[pair[1]])) for pair in pairs}


def _highest(values: Mapping[K, float]) -> K:
    """Return the key of the highest value, the first of equal ones."""
    return max(sorted(values), key=lambda key: values[key])

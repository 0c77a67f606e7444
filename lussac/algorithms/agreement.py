"""The graph of the units of all analyses: which found the same neuron, which merged two, and what the analyses agree on.

Units are numbered; trains and analyses are sequences in that order. Nothing depends on chance or on the order of a set: of equal
choices the one with the smaller number is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lussac.algorithms.contamination import contamination, refractory_violations
from lussac.algorithms.spiketrains import (
    best_shift,
    coincidence_matrix,
    consensus,
    lag_counts,
    match_spikes,
    remove_close_spikes,
)
from lussac.algorithms.timeline import Train


def similarity_matrix(coincidences: NDArray[np.int64], window: int, duration: int) -> NDArray[np.float64]:
    """Return the share of the smaller train's spikes that the other one has too, beyond chance.

    Parameters
    ----------
    coincidences
        Units x units, with the numbers of spikes on the diagonal.
    window, duration
        Of a coincidence and of the recording, in samples.

    Returns
    -------
    Units x units: about 0 for independent trains, 1 where one train holds the other; 0 on the diagonal.
    """
    counts = np.diagonal(coincidences)
    smaller = np.minimum.outer(counts, counts)
    chance = np.multiply.outer(counts, counts) * ((2 * window + 1) / duration)
    similarity = np.zeros(coincidences.shape)
    np.divide(coincidences - chance, smaller - chance, out=similarity, where=smaller > chance)
    np.fill_diagonal(similarity, 0.0)
    return similarity


def overall_agreement(one: Sequence[Train], other: Sequence[Train], window: int) -> float:
    """Return how far two sortings are the same: of all spikes that either has, the share that both have.

    Units are paired so that most spikes match.

    Parameters
    ----------
    one, other
        Trains of each.
    window
        Largest distance of a match, in samples.

    Returns
    -------
    Between 0 and 1, which is where every spike has a match in a unit of its own; 1 for two empty sortings.
    """
    shared = coincidence_matrix([*one, *other], window)[: len(one), len(one) :]
    hits = int(shared[linear_sum_assignment(-shared)].sum())
    spikes = sum(map(len, one)) + sum(map(len, other))
    return hits / (spikes - hits) if spikes else 1.0


def link(similarity: NDArray[np.float64], analyses: Sequence[object], min_similarity: float) -> NDArray[np.bool_]:
    """Return the edges of the graph: pairs of units of different analyses that are similar enough; bool, units x units."""
    names = np.asarray(analyses)
    return (similarity >= min_similarity) & (names[:, np.newaxis] != names)


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What the units share, each pair at its best shift.

    Parameters
    ----------
    coincidences
        Units x units, symmetric; the numbers of spikes on the diagonal.
    shifts
        For each pair of units (the smaller number first) that were realigned, the samples to add to the first one.
    """

    coincidences: NDArray[np.int64]
    shifts: Mapping[tuple[int, int], int]

    def shift(self, unit: int, onto: int) -> int:
        """Return the samples to add to a unit's train so that it is aligned with another one's."""
        return self.shifts.get((unit, onto), 0) if unit < onto else -self.shifts.get((onto, unit), 0)


def compare(trains: Sequence[Train], analyses: Sequence[object], max_shift: int, window: int, min_similarity: float) -> Shared:
    """Count the coincidences of all pairs of units, whatever sample of a spike each analysis calls its time.

    Parameters
    ----------
    trains, analyses
        Of each unit; pairs of one analysis are not realigned.
    max_shift, window
        Largest shift between two units, and largest distance of a coincidence, in samples.
    min_similarity
        Pairs that share less of the smaller train at any shift are not realigned.
    """
    coincidences, near = (coincidence_matrix(trains, reach) for reach in (window, max_shift + window))
    counts = np.diagonal(near)
    similarity = near / np.maximum(np.minimum.outer(counts, counts), 1)
    shifts = {}
    for a, b in np.argwhere(np.triu(link(similarity, analyses, min_similarity))).tolist():
        shifts[a, b] = central_shift(trains[a], trains[b], max_shift, window)
        coincidences[a, b] = coincidences[b, a] = len(match_spikes(trains[a] + shifts[a, b], trains[b], window)[0])
    return Shared(coincidences, shifts)


def align(group: Sequence[int], shared: Shared, weights: NDArray[np.float64]) -> dict[int, int]:
    """Return the samples to add to each unit of a group so that all are aligned with the one that has the most spikes.

    Units are added one by one along the heaviest edge (Prim's algorithm).

    Parameters
    ----------
    group
        Units that edges connect.
    shared
        Their shifts.
    weights
        Units x units, 0 where there is no edge.
    """
    counts = np.diagonal(shared.coincidences)
    root = min(group, key=lambda unit: (-counts[unit], unit))
    moved = {root: 0}
    while len(moved) < len(group):
        edges = [(weights[unit, onto], -unit, -onto) for unit in group if unit not in moved for onto in moved]
        _, unit, onto = max(edges)
        moved[-unit] = moved[-onto] + shared.shift(-unit, -onto)
    return moved


def central_shift(a: Train, b: Train, max_shift: int, window: int) -> int:
    """Return the shift to add to a: the median lag of the coincidences at the best cross-shift.

    Around the best shift many others give as many coincidences; the median is the one that leaves the smallest distances.
    """
    best = best_shift(a, b, max_shift, window)
    reach = max_shift + window
    lags = lag_counts(a, b, reach)
    within = slice(best - window + reach, best + window + reach + 1)
    cumulated = np.cumsum(lags[within])
    median = best - window + int(np.searchsorted(cumulated, (cumulated[-1] + 1) // 2))
    return int(np.clip(median, -max_shift, max_shift)) if cumulated[-1] else 0


def near_pairs(edges: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the pairs of units that share an edge or a neighbour, as (pairs, 2), the smaller number first, sorted."""
    pairs = {(a, b) for a, b in np.argwhere(np.triu(edges)).tolist()}
    for row in edges:
        neighbours = np.flatnonzero(row).tolist()
        pairs.update((a, b) for place, a in enumerate(neighbours) for b in neighbours[place + 1 :])
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def find_merges(
    coincidences: NDArray[np.int64],
    edges: NDArray[np.bool_],
    similarity: NDArray[np.float64],
    different: NDArray[np.bool_],
    *,
    min_contained: float,
    min_share: float,
    min_similarity: float,
) -> dict[int, tuple[int, int]]:
    """Return the units that hold two different neurons, with the two units of other analyses that tell so.

    Parameters
    ----------
    coincidences, edges, similarity, different
        Units x units; `different` says which pairs can't be one neuron.
    min_contained
        Share of a part's spikes that must lie in the merge.
    min_share
        Share of the merge's spikes that each part must have.
    min_similarity
        Parts that are at least so similar are not two.
    """
    counts = np.diagonal(coincidences)
    apart = different & (similarity < min_similarity)
    merges = {}
    for unit in range(len(counts)):
        shared = coincidences[unit]
        inside = edges[unit] & (shared >= min_contained * counts) & (shared >= min_share * counts[unit])
        parts = np.flatnonzero(inside)
        pairs = np.argwhere(np.triu(apart[np.ix_(parts, parts)]))
        if len(pairs):
            best = pairs[np.argmax(shared[parts[pairs]].min(axis=1))]
            merges[unit] = (int(parts[best[0]]), int(parts[best[1]]))
    return merges


def group_neurons(weights: NDArray[np.float64], different: NDArray[np.bool_]) -> tuple[tuple[int, ...], ...]:
    """Return groups of units that are one neuron each: joined along the edges, the heaviest first.

    Two groups are never joined if they hold a pair that can't be one neuron. This is single-linkage clustering with cannot-link
    constraints (Davidson and Ravi 2005, doi:10.1007/11564126_11).

    Parameters
    ----------
    weights, different
        Units x units; no edge where the weight is 0.

    Returns
    -------
    Sorted groups of sorted units; a unit without edges is a group of its own.
    """
    group = {unit: {unit} for unit in range(len(weights))}
    pairs = np.argwhere(np.triu(weights > 0))
    order = np.argsort(-weights[pairs[:, 0], pairs[:, 1]], kind="stable")
    for a, b in pairs[order].tolist():
        first, second = group[a], group[b]
        if first is second or different[np.ix_(sorted(first), sorted(second))].any():
            continue
        first |= second
        group.update(dict.fromkeys(second, first))
    return tuple(sorted({tuple(sorted(units)) for units in group.values()}))


def jaccard(a: Train, b: Train, window: int) -> float:
    """Return the agreement of two trains: their matches over the spikes of either, 0 .. 1."""
    matches = len(match_spikes(a, b, window)[0])
    either = len(a) + len(b) - matches
    return matches / either if either else 0.0


def shifted_jaccard(a: Train, b: Train, max_shift: int, window: int) -> float:
    """Return the agreement of two trains at the shift that fits best, 0 .. 1."""
    return jaccard(a + best_shift(a, b, max_shift, window), b, window)


def union(trains: Sequence[Train]) -> Train:
    """Return the spikes of several trains as one sorted train."""
    return np.sort(np.concatenate([np.zeros(0, np.int64), *trains]))


def common(a: Train, b: Train, window: int) -> Train:
    """Return the spikes of a that b has too."""
    return a[match_spikes(a, b, window)[0]]


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the best train of a neuron is chosen.

    Parameters
    ----------
    window
        Largest distance of a coincidence, in samples.
    censored, refractory, duration
        Periods, and samples of the recording.
    balance
        How much a foreign spike costs (k; a spike counts 1, a foreign one -k).
    lone_weight
        What a spike counts that no other analysis has.
    """

    window: int
    censored: int
    refractory: int
    duration: int
    balance: float
    lone_weight: float

    def score(self, train: Train, others: Sequence[Train], votes: int = 1) -> float:
        """Score a train: how many good spikes it brings.

        Parameters
        ----------
        train
            The candidate.
        others
            One train of each other analysis that found the neuron.
        votes
            How many of them must have a spike for it to count fully.
        """
        found = np.zeros(len(train), np.int64)
        for other in others:
            found[match_spikes(train, other, self.window)[0]] += 1
        supported = int(np.count_nonzero(found >= votes))
        good = supported + self.lone_weight * (len(train) - supported)
        return good - (self.balance + 1) * len(train) * self.least_contamination(train)

    def least_contamination(self, train: Train) -> float:
        """Return the estimated contamination less its standard error: few violations in a small unit prove little."""
        violations = refractory_violations(train, self.censored, self.refractory)
        if violations < 2:
            return 0.0
        estimate = contamination(train, self.censored, self.refractory, self.duration)
        return float(estimate * (1.0 - violations**-0.5))

    def joined(self, trains: Sequence[Train]) -> Train:
        """Return the parts of a neuron as one train, without doublets; a single one as it is."""
        return remove_close_spikes(union(trains), self.censored) if len(trains) > 1 else trains[0]

    def consensus(self, votes: Sequence[Train], min_votes: int) -> Train:
        """Return the spikes that enough analyses agree on, without doublets."""
        return remove_close_spikes(consensus(votes, self.window, min_votes), self.censored)


@dataclass(frozen=True, slots=True)
class Choice:
    """The best train of a neuron.

    Parameters
    ----------
    train
        Its spikes, aligned as the trains it was chosen from.
    units
        The unit whose train it is, or the units of one analysis that are its parts; empty for a consensus.
    min_votes
        Analyses that had to agree on a spike of the consensus; 0 for units.
    score
        See `Scoring.score`.
    runner_up
        What would have been chosen instead; None where there was nothing else.
    """

    train: Train
    units: tuple[int, ...]
    min_votes: int
    score: float
    runner_up: "Choice | None" = None


def choose(units: Mapping[int, tuple[str, Train]], scoring: Scoring) -> Choice:
    """Return the best unit of a neuron, or the parts that an analysis split it into, or a consensus if that scores higher.

    Parameters
    ----------
    units
        Analysis and train of each unit.
    scoring
        How to score.
    """
    of_analysis: dict[str, tuple[int, ...]] = {}
    for unit, (analysis, _) in sorted(units.items()):
        of_analysis[analysis] = (*of_analysis.get(analysis, ()), unit)
    found_by = {analysis: scoring.joined([units[unit][1] for unit in parts]) for analysis, parts in of_analysis.items()}
    choices = []
    for analysis, parts in of_analysis.items():
        others = [train for other, train in found_by.items() if other != analysis]
        trains = {(unit,): units[unit][1] for unit in parts} | ({parts: found_by[analysis]} if len(parts) > 1 else {})
        choices += [Choice(train, chosen, 0, scoring.score(train, others)) for chosen, train in trains.items()]
    votes = list(found_by.values())
    for min_votes in range(2, len(votes) + 1):
        agreed = scoring.consensus(votes, min_votes)
        if len(agreed):
            choices.append(Choice(agreed, (), min_votes, scoring.score(agreed, votes, votes=2)))
    best, *rest = sorted(choices, key=lambda choice: -choice.score)
    return replace(best, runner_up=rest[0] if rest else None)


def redundant(similarity: NDArray[np.float64], ranks: Sequence[float], limit: float) -> dict[int, int]:
    """Return the trains that a better one makes superfluous, each with that one.

    Parameters
    ----------
    similarity
        Trains x trains, see `similarity_matrix`.
    ranks
        How good they are; of equal ones the first is better.
    limit
        Similarity from which on two trains are one neuron's.
    """
    kept: list[int] = []
    dropped = {}
    for train in sorted(range(len(ranks)), key=lambda place: -ranks[place]):
        rivals = [other for other in kept if similarity[train, other] >= limit]
        if rivals:
            dropped[train] = max(rivals, key=lambda other: similarity[train, other])
        else:
            kept.append(train)
    return dropped

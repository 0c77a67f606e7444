"""Many analyses into one set of neurons: from the units of all analyses to one train per neuron.

Only numbers go in and out; `agreement` holds the steps on the graph, `contrast` the evidence about two units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.agreement import (
    Choice,
    Scoring,
    choose,
    common,
    find_merges,
    group_neurons,
    jaccard,
    link,
    near_pairs,
    realignment,
    redundant,
    similarity_matrix,
    union,
)
from lussac.algorithms.contrast import Contrast, Limits, SpikeStatistics, template_contrast
from lussac.algorithms.spiketrains import coincidence_matrix
from lussac.algorithms.timeline import Train


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The units of all analyses.

    Parameters
    ----------
    trains
        Their spikes, at least one each.
    analyses
        The analysis of each.
    templates
        Units x samples x channels, float32, each channel in units of its noise.
    counts
        How many spikes went into each template.
    """

    trains: Sequence[Train]
    analyses: Sequence[str]
    templates: NDArray[np.float32]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides.

    Parameters
    ----------
    max_shift
        Largest realignment of two units, in samples.
    min_similarity
        Share of spikes in common from which on two units are linked, and two neurons are one.
    min_contained
        Share of a unit's spikes that must lie in another one for the unit to be part of it.
    min_agreement
        Jaccard index that a unit must have with its part of a merge for that analysis to have found the neuron.
    min_analyses
        Analyses that must have found a neuron.
    num_channels
        Channels on which templates are compared.
    merge_foreign, edge_foreign
        Shares of foreign spikes that two parts of a merge, and two linked units, may have and still be one neuron.
    limits, spikes, scoring
        See `contrast` and `agreement`.
    """

    max_shift: int
    min_similarity: float
    min_contained: float
    min_agreement: float
    min_analyses: int
    num_channels: int
    merge_foreign: float
    edge_foreign: float
    limits: Limits
    spikes: SpikeStatistics
    scoring: Scoring


@dataclass(frozen=True, slots=True, eq=False)
class Neuron:
    """A neuron that was found.

    Parameters
    ----------
    members
        Its units.
    choice
        Its best train.
    representative
        The unit whose train it is, or is most like it.
    analyses
        Those that found it, also inside of a unit that merges two neurons.
    agreements
        Jaccard index of the best train with the best unit of each other analysis.
    """

    members: tuple[int, ...]
    choice: Choice
    representative: int
    analyses: tuple[str, ...]
    agreements: Mapping[str, float]

    @property
    def mean_agreement(self) -> float:
        """Mean agreement with the other analyses; 0 where there is none."""
        return float(np.mean(list(self.agreements.values()))) if self.agreements else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Merging:
    """What became of all units.

    Parameters
    ----------
    neurons
        Those that remain.
    merges
        Units that hold two neurons, with the two units that tell so.
    lone
        Groups of units that too few analyses found.
    redundant
        Neurons that another one makes superfluous, with its place in `neurons`.
    shifts
        Samples that were added to each unit's train, so that all are aligned.
    evidence
        What was found out about pairs of units (the smaller number first).
    """

    neurons: tuple[Neuron, ...]
    merges: Mapping[int, tuple[int, int]]
    lone: tuple[Neuron, ...]
    redundant: tuple[tuple[Neuron, int], ...]
    shifts: NDArray[np.int64]
    evidence: Mapping[tuple[int, int], Contrast]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The realigned units and what they share; all matrices are units x units."""

    trains: Sequence[Train]
    analyses: Sequence[str]
    coincidences: NDArray[np.int64]
    similarity: NDArray[np.float64]
    edges: NDArray[np.bool_]

    @classmethod
    def of(cls, candidates: Candidates, shifts: NDArray[np.int64], settings: Settings) -> Self:
        """Build the graph: step 1."""
        trains = [train + shift for train, shift in zip(candidates.trains, shifts, strict=True)]
        coincidences = coincidence_matrix(trains, settings.scoring.window)
        similarity = similarity_matrix(coincidences, settings.scoring.window, settings.scoring.duration)
        edges = link(similarity, candidates.analyses, settings.min_similarity)
        return cls(trains, candidates.analyses, coincidences, similarity, edges)

    def agreement(self) -> NDArray[np.float64]:
        """Return the Jaccard index of all pairs."""
        counts = np.diagonal(self.coincidences)
        return self.coincidences / np.maximum(np.add.outer(counts, counts) - self.coincidences, 1)


def merge(candidates: Candidates, settings: Settings) -> Merging:
    """Merge all analyses into one set of neurons."""
    window = settings.scoring.window
    shifts = realignment(candidates.trains, candidates.analyses, settings.max_shift, window, settings.min_similarity)
    graph = Graph.of(candidates, shifts, settings)
    evidence = {(a, b): _contrast(candidates, graph, settings, a, b) for a, b in near_pairs(graph.edges).tolist()}
    different = _matrix(evidence, settings.limits, len(shifts))
    merges = find_merges(
        graph.coincidences,
        graph.edges,
        graph.similarity,
        different,
        min_contained=settings.min_contained,
        min_share=settings.merge_foreign,
        min_similarity=settings.min_similarity,
    )
    groups = _groups(graph, different, merges)
    confirmed = _confirmations(graph, groups, merges, settings)
    found = [_neuron(graph, group, confirmed.get(group, {}), settings.scoring) for group in groups]
    neurons = [neuron for neuron in found if len(neuron.analyses) >= settings.min_analyses]
    lone = tuple(neuron for neuron in found if len(neuron.analyses) < settings.min_analyses)
    kept, dropped = _without_redundant(neurons, settings)
    return Merging(kept, merges, lone, dropped, shifts, evidence)


def _contrast(candidates: Candidates, graph: Graph, settings: Settings, a: int, b: int) -> Contrast:
    """Gather the evidence about two units; correlograms are looked at only where they can decide."""
    difference, distance = template_contrast(
        candidates.templates[a],
        candidates.templates[b],
        (int(candidates.counts[a]), int(candidates.counts[b])),
        settings.num_channels,
        settings.max_shift,
    )
    allowed = settings.edge_foreign if graph.edges[a, b] else settings.merge_foreign
    pair = (graph.trains[a], graph.trains[b])
    estimate, p_foreign, p_same = settings.spikes.foreign(*pair, allowed, settings.limits.foreign_share)
    suspicious = p_foreign < settings.limits.p_value
    correlograms = settings.spikes.correlogram_difference(*pair) if suspicious else np.nan
    return Contrast(difference, distance, estimate, p_foreign, p_same, correlograms)


def _matrix(evidence: Mapping[tuple[int, int], Contrast], limits: Limits, units: int) -> NDArray[np.bool_]:
    different = np.zeros((units, units), np.bool_)
    for (a, b), contrast in evidence.items():
        different[a, b] = different[b, a] = contrast.different(limits)
    return different


def _groups(graph: Graph, different: NDArray[np.bool_], merges: Mapping[int, object]) -> list[tuple[int, ...]]:
    """Return the units of each neuron: steps 2 to 4, without the units that hold two."""
    edges = graph.edges & ~different
    taken_out = list(merges)
    edges[taken_out] = edges[:, taken_out] = False
    groups = group_neurons(edges, graph.agreement(), different)
    return [group for group in groups if group[0] not in merges]


def _confirmations(
    graph: Graph, groups: Sequence[tuple[int, ...]], merges: Mapping[int, object], settings: Settings
) -> dict[tuple[int, ...], dict[str, float]]:
    """Return which analyses found each group inside of a unit that holds two neurons, and how far they agree.

    Such a unit doesn't say whose a spike is. What no group explains may belong to any of them, so the agreement is a lower bound.
    """
    counts = np.diagonal(graph.coincidences)
    group_of = {member: group for group in groups for member in group}
    confirmed: dict[tuple[int, ...], dict[str, float]] = {}
    for unit in merges:
        inside = graph.edges[unit] & (graph.coincidences[unit] >= settings.min_contained * counts)
        held: dict[tuple[int, ...], list[Train]] = {}
        for member in np.flatnonzero(inside).tolist():
            if member in group_of:
                held.setdefault(group_of[member], []).append(graph.trains[member])
        parts = {group: union(trains) for group, trains in held.items()}
        shared = {group: common(graph.trains[unit], train, settings.scoring.window) for group, train in parts.items()}
        unexplained = counts[unit] - len(np.unique(union(list(shared.values()))))
        for group, train in parts.items():
            agreement = len(shared[group]) / (len(train) + unexplained)
            if agreement >= settings.min_agreement:
                analyses = confirmed.setdefault(group, {})
                analyses[graph.analyses[unit]] = max(agreement, analyses.get(graph.analyses[unit], 0.0))
    return confirmed


def _neuron(graph: Graph, group: tuple[int, ...], confirmed: Mapping[str, float], scoring: Scoring) -> Neuron:
    """Choose the best train of a neuron: step 4."""
    units = {unit: (graph.analyses[unit], graph.trains[unit]) for unit in group}
    trains: dict[str, list[Train]] = {}
    for analysis, train in units.values():
        trains.setdefault(analysis, []).append(train)
    choice = choose(units, scoring)
    own = {graph.analyses[unit] for unit in choice.units}
    agreements = dict(confirmed) | {
        analysis: max(jaccard(choice.train, train, scoring.window) for train in trains[analysis])
        for analysis in sorted(trains)
        if analysis not in own
    }
    likeness = {unit: jaccard(choice.train, train, scoring.window) for unit, (_, train) in units.items()}
    representative = max(choice.units or group, key=likeness.__getitem__)
    return Neuron(group, choice, representative, tuple(sorted({*trains, *confirmed})), agreements)


def _without_redundant(
    neurons: Sequence[Neuron], settings: Settings
) -> tuple[tuple[Neuron, ...], tuple[tuple[Neuron, int], ...]]:
    """Keep the neurons that most analyses found where two share their spikes: step 5."""
    order = sorted(range(len(neurons)), key=lambda place: (-len(neurons[place].analyses), -neurons[place].choice.score))
    ranks = np.zeros(len(neurons))
    ranks[order] = np.arange(len(neurons), 0, -1)
    scoring = settings.scoring
    trains = [neuron.choice.train for neuron in neurons]
    better = redundant(trains, ranks.tolist(), scoring.window, scoring.duration, settings.min_similarity)
    kept = [place for place in range(len(neurons)) if place not in better]
    dropped = tuple((neurons[place], kept.index(winner)) for place, winner in sorted(better.items()))
    return tuple(neurons[place] for place in kept), dropped

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
    Shared,
    align,
    choose,
    common,
    compare,
    find_merges,
    group_neurons,
    jaccard,
    link,
    near_pairs,
    redundant,
    similarity_matrix,
    union,
)
from lussac.algorithms.contrast import Contrast, Limits, SpikeStatistics, template_contrast
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
    train
        Its spikes, where its representative has them.
    choice
        How they were chosen.
    representative
        The unit whose train it is, or is most like it.
    analyses
        Those that found it, also inside of a unit that merges two neurons.
    agreements
        Jaccard index of the best train with the best unit of each other analysis.
    """

    members: tuple[int, ...]
    train: Train
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
    evidence
        What was found out about pairs of units (the smaller number first).
    """

    neurons: tuple[Neuron, ...]
    merges: Mapping[int, tuple[int, int]]
    lone: tuple[Neuron, ...]
    redundant: tuple[tuple[Neuron, int], ...]
    evidence: Mapping[tuple[int, int], Contrast]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The units and what they share; all matrices are units x units."""

    trains: Sequence[Train]
    analyses: Sequence[str]
    shared: Shared
    similarity: NDArray[np.float64]
    edges: NDArray[np.bool_]

    @classmethod
    def of(cls, candidates: Candidates, settings: Settings) -> Self:
        """Build the graph: step 1."""
        trains, analyses, scoring = candidates.trains, candidates.analyses, settings.scoring
        shared = compare(trains, analyses, settings.max_shift, scoring.window, settings.min_similarity)
        similarity = similarity_matrix(shared.coincidences, scoring.window, scoring.duration)
        return cls(trains, analyses, shared, similarity, link(similarity, analyses, settings.min_similarity))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Spikes of each unit."""
        return np.diagonal(self.shared.coincidences)

    def agreement(self) -> NDArray[np.float64]:
        """Return the Jaccard index of all pairs."""
        coincidences = self.shared.coincidences
        return coincidences / np.maximum(np.add.outer(self.counts, self.counts) - coincidences, 1)

    def moved(self, unit: int, onto: int) -> Train:
        """Return the train of a unit, aligned with another one."""
        return self.trains[unit] + self.shared.shift(unit, onto)


def merge(candidates: Candidates, settings: Settings) -> Merging:
    """Merge all analyses into one set of neurons."""
    graph = Graph.of(candidates, settings)
    evidence = {(a, b): _contrast(candidates, graph, settings, a, b) for a, b in near_pairs(graph.edges).tolist()}
    different = _matrix(evidence, settings.limits, len(candidates.trains))
    merges = find_merges(
        graph.shared.coincidences,
        graph.edges,
        graph.similarity,
        different,
        min_contained=settings.min_contained,
        min_share=settings.merge_foreign,
        min_similarity=settings.min_similarity,
    )
    weights = np.where(graph.edges & ~different, graph.agreement(), 0.0)
    weights[list(merges)] = weights[:, list(merges)] = 0.0
    groups = [group for group in group_neurons(weights, different) if group[0] not in merges]
    confirmed = _confirmations(graph, groups, merges, settings)
    found = [_neuron(graph, group, weights, confirmed.get(group, {}), settings.scoring) for group in groups]
    neurons = [neuron for neuron in found if len(neuron.analyses) >= settings.min_analyses]
    lone = tuple(neuron for neuron in found if len(neuron.analyses) < settings.min_analyses)
    kept, dropped = _without_redundant(neurons, graph, candidates, settings)
    return Merging(kept, merges, lone, dropped, evidence)


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
    pair = (graph.moved(a, b), graph.trains[b])
    estimate, p_foreign, p_same = settings.spikes.foreign(*pair, allowed, settings.limits.foreign_share)
    suspicious = p_foreign < settings.limits.p_value
    correlograms = settings.spikes.correlogram_difference(*pair) if suspicious else np.nan
    together = settings.spikes.simultaneity(*pair)
    return Contrast(difference, distance, together, estimate, p_foreign, p_same, correlograms)


def _matrix(evidence: Mapping[tuple[int, int], Contrast], limits: Limits, units: int) -> NDArray[np.bool_]:
    different = np.zeros((units, units), np.bool_)
    for (a, b), contrast in evidence.items():
        different[a, b] = different[b, a] = contrast.different(limits)
    return different


def _confirmations(
    graph: Graph, groups: Sequence[tuple[int, ...]], merges: Mapping[int, object], settings: Settings
) -> dict[tuple[int, ...], dict[str, float]]:
    """Return which analyses found each group inside of a unit that holds two neurons, and how far they agree.

    Such a unit doesn't say whose a spike is. What no group explains may belong to any of them, so the agreement is a lower bound.
    """
    group_of = {member: group for group in groups for member in group}
    confirmed: dict[tuple[int, ...], dict[str, float]] = {}
    for unit in merges:
        inside = graph.edges[unit] & (graph.shared.coincidences[unit] >= settings.min_contained * graph.counts)
        held: dict[tuple[int, ...], list[Train]] = {}
        for member in np.flatnonzero(inside).tolist():
            if member in group_of:
                held.setdefault(group_of[member], []).append(graph.moved(member, unit))
        parts = {group: union(trains) for group, trains in held.items()}
        shared = {group: common(graph.trains[unit], train, settings.scoring.window) for group, train in parts.items()}
        unexplained = graph.counts[unit] - len(np.unique(union(list(shared.values()))))
        for group, train in parts.items():
            agreement = len(shared[group]) / (len(train) + unexplained)
            if agreement >= settings.min_agreement:
                analyses = confirmed.setdefault(group, {})
                analyses[graph.analyses[unit]] = max(agreement, analyses.get(graph.analyses[unit], 0.0))
    return confirmed


def _neuron(
    graph: Graph, group: tuple[int, ...], weights: NDArray[np.float64], confirmed: Mapping[str, float], scoring: Scoring
) -> Neuron:
    """Choose the best train of a neuron: step 4."""
    shifts = align(group, graph.shared, weights)
    units = {unit: (graph.analyses[unit], graph.trains[unit] + shifts[unit]) for unit in group}
    choice = choose(units, scoring)
    own = {graph.analyses[unit] for unit in choice.units}
    likeness = {unit: jaccard(choice.train, train, scoring.window) for unit, (_, train) in units.items()}
    agreements = dict(confirmed)
    for unit, (analysis, _) in units.items():
        if analysis not in own:
            agreements[analysis] = max(likeness[unit], agreements.get(analysis, 0.0))
    representative = max(choice.units or group, key=likeness.__getitem__)
    train = choice.train - shifts[representative]
    return Neuron(group, train, choice, representative, tuple(sorted({*own, *agreements})), agreements)


def _without_redundant(
    neurons: Sequence[Neuron], graph: Graph, candidates: Candidates, settings: Settings
) -> tuple[tuple[Neuron, ...], tuple[tuple[Neuron, int], ...]]:
    """Keep the neurons that most analyses found where two share their spikes: step 5.

    Neurons that differ may share some, since neighbours fire together; they can't share most of them.
    """
    order = sorted(range(len(neurons)), key=lambda place: (-len(neurons[place].analyses), -neurons[place].choice.score))
    ranks = np.zeros(len(neurons))
    ranks[order] = np.arange(len(neurons), 0, -1)
    trains, scoring = [neuron.train for neuron in neurons], settings.scoring
    shared = compare(trains, range(len(trains)), settings.max_shift, scoring.window, settings.min_similarity)
    similarity = similarity_matrix(shared.coincidences, scoring.window, scoring.duration)
    doubtful = np.triu((similarity >= settings.min_similarity) & (similarity < settings.min_agreement))
    for first, second in np.argwhere(doubtful).tolist():
        pair = sorted((neurons[first].representative, neurons[second].representative))
        if _contrast(candidates, graph, settings, *pair).different(settings.limits):
            similarity[first, second] = similarity[second, first] = 0.0
    better = redundant(similarity, ranks.tolist(), settings.min_similarity)
    kept = [place for place in range(len(neurons)) if place not in better]
    dropped = tuple((neurons[place], kept.index(winner)) for place, winner in sorted(better.items()))
    return tuple(neurons[place] for place in kept), dropped

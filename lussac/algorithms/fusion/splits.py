"""Is a unit two neurons: tests on what is left at its spikes when all spikes are subtracted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.fitting import slope_of
from lussac.algorithms.fusion.matching import Found, Model
from lussac.algorithms.fusion.pool import Member
from lussac.algorithms.fusion.refinement import State
from lussac.algorithms.fusion.residuals import Choose, mean_residuals, projections
from lussac.algorithms.fusion.sizes import apart_in_size, distance
from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.trains import Flat, has_near

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

SMALLEST_PART = 20
LEAST_HIDDEN, MOST_HIDDEN = 0.25, 1.5
"""Amplitudes of a spike that was not found beside another: on average over a group, part of which may have it."""


def across(differences: Floats, template: Floats) -> Floats:
    """Take out of waveforms (any, samples, channels) what a change of amplitude or a shift in time of a template would be."""
    flat = differences.reshape(len(differences), -1).astype(np.float64)
    axes, _ = np.linalg.qr(np.stack([template.ravel(), slope_of(template).ravel()], axis=1).astype(np.float64))
    return np.asarray((flat - (flat @ axes) @ axes.T).reshape(differences.shape), dtype=np.float32)


def separation(differences: Floats, template: Floats) -> float:
    """Squared distance of two mean waveforms, apart from a change of amplitude and a shift in time, free of the bias by noise.

    Parameters
    ----------
    differences
        (2, samples, channels): the difference of the means, from each half of the spikes; the halves' noise is independent, so
        that the inner product has no bias (crossnobis distance, Walther et al. 2016). Negative values are chance.
    template
        (samples, channels): components along it and its slope are a change of amplitude and a shift in time, which do not count.
    """
    first, second = across(differences, template)
    return float((first * second).sum())


@dataclass(frozen=True, slots=True)
class Test:
    """A unit, and which of its spikes some candidate has too."""

    unit: int
    inside: NDArray[np.bool_]


def tests_of(trains: Flat, candidates: Flat, parts: Sequence[Sequence[Member]], window: int, least: float) -> list[Test]:
    """Return the parts of units that may be another neuron.

    Parameters
    ----------
    trains, candidates
        Spikes of the units, and of all candidates.
    parts
        For every unit the candidates that may hold its spikes, and what to add to their positions.
    window
        Spikes within it are the same, in samples.
    least
        Smallest share of a unit's spikes that is tested, inside or outside of the candidate.
    """
    tests = [
        Test(unit, has_near(trains[unit], candidates[candidate] + lag, window))
        for unit, own in enumerate(parts)
        for candidate, lag, _ in own
    ]
    sizes = [(int(test.inside.sum()), len(test.inside)) for test in tests]
    return [t for t, (part, all_) in zip(tests, sizes, strict=True) if min(part, all_ - part) >= max(least * all_, SMALLEST_PART)]


def split(
    source: Source,
    chunks: Sequence[Chunk],
    state: State,
    candidates: Flat,
    parts: Sequence[Sequence[Member]],
    window: int,
    *,
    one: float,
    two: float,
    size: float,
    least: float,
    most_hidden: float,
    most_beside: float,
    reach: int,
) -> tuple[Model, Flat]:
    """Split units whose spikes leave two different residuals behind.

    For every unit and every candidate that holds part of its spikes, what is left at these spikes is compared with what is
    left at the rest. All spikes are subtracted before, so that a difference is not due to overlaps that one sorter misses and
    another finds. Where the means differ, the single spikes must differ as well: overlaps that nobody resolved shift a mean,
    but not every spike. A change of amplitude alone is none, but for two sizes that come independently of each other.

    Parameters
    ----------
    source, chunks
        The recording.
    state
        The units, each with its spikes.
    candidates, parts, window, least
        As for `tests_of`.
    one
        Distance of the means up to which nothing more is looked at, in standard deviations of the noise.
    two
        Distance of the single spikes that shows two neurons, in standard deviations.
    size
        Distance of the amplitudes of spikes that come independently of each other which shows two neurons of one shape.
    most_hidden, reach
        Share of the difference of the groups' waveforms that another unit's may explain, at a lag of at most `reach` samples:
        beyond that, some of the spikes have one of the other unit's beside them which was not found, and all are one neuron's.
    most_beside
        How much larger the share of the candidate's spikes that have another unit's beside them may be than that of the rest:
        beyond that, it is what a sorter took overlaps for.

    Returns
    -------
    model, trains
        Of all units; the second part of each unit that was split comes at the end.
    """
    trains = state.trains()
    tests = tests_of(trains, candidates, parts, window, least)
    if not tests:
        return state.used, trains
    owned = state.owned()
    means, counts = mean_residuals(source, chunks, state.found, state.used, spikes_of(state.found, owned, tests), 2 * len(tests))
    templates = state.used.templates.mean(axis=0)
    axes = np.stack([across(means[2 * i + 1] - means[2 * i], templates[test.unit]) for i, test in enumerate(tests)])
    sizes = np.array([apart_in_size(state.found, owned[test.unit], test.inside, source) for test in tests])
    sizes[sizes <= size] = 0.0
    far = np.flatnonzero(((axes[:, 0] * axes[:, 1]).sum(axis=(1, 2)) > (one * state.noise) ** 2) | (sizes > 0))
    if not len(far):
        return state.used, trains
    tests, sizes, means, counts = (
        [tests[i] for i in far],
        sizes[far],
        means.reshape(-1, 2, *means.shape[1:])[far],
        counts.reshape(-1, 2, 2)[far],
    )
    whole, lengths = spikes_of(state.found, owned, tests, apart=False), np.array([len(test.inside) for test in tests])
    values = projections(source, chunks, state.found, state.used, whole, axes[far][:, ::-1], lengths)
    distances = np.array([distance(own, test.inside) for own, test in zip(values, tests, strict=True)])
    distances = np.where(sizes > 0, sizes, distances)
    weights = (counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)).astype(np.float32)
    left = np.einsum("tgh,tghsc->tgsc", weights, means)
    for i in np.flatnonzero(distances > two):
        unit = tests[i].unit
        subtracted = fitted_of(state.found, owned[unit], tests[i].inside, templates[unit])
        if sizes[i]:
            hidden, left[i] = 0.0, left[i] + subtracted - templates[unit]
        else:
            change = left[i, 1] - left[i, 0] + subtracted[1] - subtracted[0]
            hidden = share_of_another(change, unit, templates, state.used.channels, reach)
        if hidden > most_hidden or more_beside(trains, tests[i], reach) > most_beside:
            distances[i] = 0.0
    best = [int(np.argmax(np.where(units_of(tests) == unit, distances, -np.inf))) for unit in np.unique(units_of(tests))]
    chosen = [test for test in best if distances[test] > two]
    return _divided(state.used, trains, tests, chosen, left)


def more_beside(trains: Flat, test: Test, reach: int) -> float:
    """Share of the spikes inside of a candidate that have another unit's within `reach`, less that of the rest: the largest."""
    own = trains[test.unit]
    near = (has_near(own, trains[other], reach) for other in range(len(trains)) if other != test.unit)
    return max((float(beside[test.inside].mean() - beside[~test.inside].mean()) for beside in near), default=0.0)


def fitted_of(found: Found, own: Ints, inside: NDArray[np.bool_], template: Floats) -> Floats:
    """Return what was subtracted on average at a unit's spikes outside of a candidate and inside: (2, samples, channels)."""
    slope, groups = slope_of(template), (own[~inside], own[inside])
    subtracted = [found.fitted[group].mean() * template + found.tilts[group].mean() * slope for group in groups]
    return np.asarray(subtracted, dtype=np.float32)


@numba.njit(cache=True, nogil=True)
def share_of_another(difference: Floats, unit: int, templates: Floats, channels: Ints, reach: int) -> float:
    """Share of what two groups of a unit's spikes differ by that is the waveform of another unit, at its best lag.

    Parameters
    ----------
    difference
        (samples, channels of the unit).
    unit
        The unit.
    templates, channels
        (units, samples, channels of the unit) waveforms, and their channels.
    reach
        Largest lag, in samples.
    """
    own, length = channels[unit], templates.shape[1]
    total = max((difference**2).sum(), 1e-9)
    best = 0.0
    for other in range(len(templates)):
        if other == unit or not (own == channels[other, 0]).any():
            continue
        for lag in range(-reach, reach + 1):
            along, energy = 0.0, 1e-9
            for index in range(len(own)):
                for channel in range(len(own)):
                    if channels[other, channel] != own[index]:
                        continue
                    for sample in range(max(0, lag), min(length, length + lag)):
                        value = templates[other, sample - lag, channel]
                        along += value * difference[sample, index]
                        energy += value * value
            if LEAST_HIDDEN * energy < abs(along) < MOST_HIDDEN * energy:
                best = max(best, along**2 / (energy * total))
    return best


def spikes_of(found: Found, owned: Sequence[Ints], tests: Sequence[Test], *, apart: bool = True) -> Choose:
    """Return what chooses the spikes in all tests: a spike is in as many as its unit, so that a list of all would be large.

    Parameters
    ----------
    found, owned
        All spikes, and which of them are each unit's.
    tests
        Sorted by their units.
    apart
        Whether the spikes inside of a test's candidate are a group of their own: 2 x test + 1, the rest 2 x test; otherwise
        a test is one group.
    """
    edges = np.searchsorted(units_of(tests), np.arange(len(owned) + 1))
    inside = np.concatenate([test.inside for test in tests])
    starts = np.cumsum([0, *(len(test.inside) for test in tests)])

    def within(first: int, stop: int) -> tuple[Ints, Ints]:
        ranks = np.array([np.searchsorted(own, first) for own in owned])
        spikes, groups = _in_tests(found.units[first:stop], ranks, edges, inside, starts)
        return spikes + first, groups if apart else groups // 2

    return within


@numba.njit(cache=True, nogil=True)
def _in_tests(units: NDArray[np.integer], ranks: Ints, edges: Ints, inside: NDArray[np.bool_], starts: Ints) -> tuple[Ints, Ints]:
    """Return for each spike, in each test of its unit, its place, and 2 x test + whether it is inside of the candidate.

    Parameters
    ----------
    units
        Of the spikes, in the order of time.
    ranks
        (units,), how many spikes of each unit come before; counted on in place.
    edges
        Tests edges[u] to edges[u + 1] are those of unit u.
    inside, starts
        For the spikes of all tests, test by test, whether they are inside, and where each test's begin.
    """
    count = 0
    for unit in units:
        count += edges[unit + 1] - edges[unit]
    spikes, groups = np.empty(count, np.int64), np.empty(count, np.int64)
    count = 0
    for spike in range(len(units)):
        unit = units[spike]
        for test in range(edges[unit], edges[unit + 1]):
            spikes[count], groups[count] = spike, 2 * test + inside[starts[test] + ranks[unit]]
            count += 1
        ranks[unit] += 1
    return spikes, groups


def units_of(tests: Sequence[Test]) -> Ints:
    """Return the unit of each test."""
    return np.array([test.unit for test in tests], np.int64)


def _divided(model: Model, trains: Flat, tests: Sequence[Test], chosen: list[int], residuals: Floats) -> tuple[Model, Flat]:
    own = np.array([tests[index].unit for index in chosen], np.int64)
    out = model.of(np.concatenate([np.arange(len(model)), own]))
    templates = out.templates.copy()
    templates[:, own] += residuals[chosen, 0]
    templates[:, len(model) :] += residuals[chosen, 1]
    parts = list(trains)
    for index in chosen:
        test = tests[index]
        parts.append(trains[test.unit][test.inside])
        parts[test.unit] = trains[test.unit][~test.inside]
    return replace(out, templates=templates), Flat.of(parts)

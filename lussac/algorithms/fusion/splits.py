"""Is a unit two neurons, are two units one: tests on what is left when all spikes are subtracted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.learning import halves_of, overall
from lussac.algorithms.fusion.matching import Found, Model, slope_of, subtract
from lussac.algorithms.fusion.refinement import Members, State, trains_of
from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.fusion.waveforms import similarities

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

SMALLEST_PART = 20
LEAST_COSINE = 0.8
SAME_SIZE = 0.2


@numba.njit(cache=True, nogil=True)
def remove(traces, first, samples, units, fitted, tilts, templates, slopes, channels, before):  # noqa: ANN001, ANN201
    """Subtract spikes from traces that start at `first`, in place; those that are not wholly inside stay."""
    length = templates.shape[1]
    for spike in range(len(samples)):
        start, unit = samples[spike] - before - first, units[spike]
        if start >= 0 and start + length <= traces.shape[0]:
            subtract(traces, start, templates[unit], slopes[unit], channels[unit], fitted[spike], tilts[spike])


@numba.njit(cache=True, nogil=True)
def _gather(residual, first, samples, units, halves, groups, channels, before, sums, counts):  # noqa: ANN001, ANN202
    for member in range(len(samples)):
        start = samples[member] - before - first
        group, half = groups[member], halves[member]
        counts[group, half] += 1
        for sample in range(sums.shape[2]):
            for index in range(channels.shape[1]):
                sums[group, half, sample, index] += residual[start + sample, channels[units[member], index]]


def mean_residuals(
    source: Source, chunks: Sequence[Chunk], found: Found, model: Model, spikes: Ints, groups: Ints, size: int
) -> tuple[Floats, Ints]:
    """Mean of what is left at groups of spikes when all found spikes are subtracted.

    Parameters
    ----------
    source, chunks
        The recording.
    found, model
        The spikes and what they look like.
    spikes, groups
        Index of a found spike and the group it belongs to; a spike may be in many groups. All spikes of a group are of one unit.
    size
        Number of groups.

    Returns
    -------
    means
        (groups, 2, samples, channels of the unit): the spikes of even and odd rank in their unit.
    counts
        (groups, 2).
    """
    length, kept = model.templates.shape[2:]
    sums, counts = np.zeros((size, 2, length, kept), np.float32), np.zeros((size, 2), np.int64)
    halves = ranks(found.units) % 2
    order = np.argsort(spikes, kind="stable")
    spikes, groups = spikes[order], groups[order]
    for chunk in chunks:
        first = chunk.start - 2 * length
        traces = source.read(first, chunk.stop + 2 * length)
        low, high = np.searchsorted(found.samples, [first, chunk.stop + 2 * length])
        templates = model.templates[chunk.block]
        remove(
            traces, first, found.samples[low:high], found.units[low:high], found.fitted[low:high], found.tilts[low:high], templates,
            slope_of(templates), model.channels, model.before,
        )  # fmt: skip
        inside = slice(*np.searchsorted(spikes, np.searchsorted(found.samples, [chunk.start, chunk.stop])))
        chosen = spikes[inside]
        _gather(
            traces, first, found.samples[chosen], found.units[chosen], halves[chosen], groups[inside], model.channels, model.before, sums,
            counts,
        )  # fmt: skip
    return sums / np.maximum(counts, 1)[:, :, None, None].astype(np.float32), counts


def ranks(labels: Ints) -> Ints:
    """Rank of every element among those with its label: 0, 1, 2 ..."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[order])
    out = np.empty(len(labels), np.int64)
    out[order] = np.arange(len(labels)) - starts
    return out


def separation(differences: Floats, template: Floats) -> float:
    """Squared distance of two mean waveforms, apart from a change of amplitude and a shift in time, free of the bias by noise.

    Parameters
    ----------
    differences
        (2, samples, channels): the difference of the means, from each half of the spikes; the halves' noise is independent, so that the
        inner product has no bias (crossnobis distance, Walther et al. 2016). Negative values are chance.
    template
        (samples, channels): components along it and its slope are a change of amplitude and a shift in time, which do not count.
    """
    flat = differences.reshape(2, -1)
    axes, _ = np.linalg.qr(np.stack([template.ravel(), slope_of(template).ravel()], axis=1).astype(np.float64))
    across = flat - (flat @ axes) @ axes.T
    return float(across[0] @ across[1])


@numba.njit(cache=True, nogil=True)
def has_near(train: Ints, other: Ints, window: int) -> NDArray[np.bool_]:
    """Tell which spikes of a sorted train have one of another within `window`."""
    out = np.zeros(len(train), np.bool_)
    first = 0
    for spike in range(len(train)):
        while first < len(other) and other[first] < train[spike] - window:
            first += 1
        out[spike] = first < len(other) and other[first] <= train[spike] + window
    return out


@dataclass(frozen=True, slots=True)
class Test:
    """A unit, and which of its spikes some candidate has too."""

    unit: int
    inside: NDArray[np.bool_]


def tests_of(trains: Flat, candidates: Flat, parts: Members, window: int, least: float) -> list[Test]:
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
        for candidate, lag in own
    ]
    sizes = [(int(test.inside.sum()), len(test.inside)) for test in tests]
    return [t for t, (part, all_) in zip(tests, sizes, strict=True) if min(part, all_ - part) >= max(least * all_, SMALLEST_PART)]


def split(
    source: Source,
    chunks: Sequence[Chunk],
    state: State,
    candidates: Flat,
    parts: Members,
    window: int,
    *,
    two: float,
    least: float,
) -> tuple[Model, Flat]:
    """Split units whose spikes leave two different residuals behind.

    For every unit and every candidate that holds part of its spikes, the mean residual at these spikes is compared with that at the rest. All
    spikes are subtracted before, so that a difference is not due to the overlaps which one sorter misses and another finds.

    Parameters
    ----------
    source, chunks
        The recording.
    state
        The units, each with its spikes.
    candidates, parts, window, least
        As for `tests_of`.
    two
        Distance that shows two neurons, in standard deviations of the noise.

    Returns
    -------
    model, trains
        Of all units; the second part of each unit that was split comes at the end.
    """
    trains = trains_of(state.found, len(state.used))
    tests = tests_of(trains, candidates, parts, window, least)
    if not tests:
        return state.used, trains
    order = np.argsort(state.found.units, kind="stable")
    spikes = np.concatenate([order[trains.offsets[test.unit] : trains.offsets[test.unit + 1]] for test in tests])
    groups = np.concatenate([2 * index + test.inside.astype(np.int64) for index, test in enumerate(tests)])
    means, counts = mean_residuals(source, chunks, state.found, state.used, spikes, groups, 2 * len(tests))
    best = best_tests(tests, means, state.used.templates.mean(axis=0), (two * state.noise) ** 2)
    weights = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    return _divided(state.used, trains, tests, best, np.einsum("gh,ghsc->gsc", weights, means))


def best_tests(tests: Sequence[Test], means: Floats, templates: Floats, limit: float) -> list[int]:
    """Return for every unit the test with the largest squared distance, where that exceeds the limit."""
    best: dict[int, tuple[float, int]] = {}
    for index, test in enumerate(tests):
        distance = separation(means[2 * index + 1] - means[2 * index], templates[test.unit])
        if distance > max(limit, best.get(test.unit, (0.0, 0))[0]):
            best[test.unit] = distance, index
    return [index for _, index in best.values()]


def _divided(model: Model, trains: Flat, tests: Sequence[Test], best: list[int], residuals: Floats) -> tuple[Model, Flat]:
    own = np.array([tests[index].unit for index in best], np.int64)
    inside, outside = 2 * np.array(best, np.int64) + 1, 2 * np.array(best, np.int64)
    out = model.of(np.concatenate([np.arange(len(model)), own]))
    templates = out.templates.copy()
    templates[:, own] += residuals[outside]
    templates[:, len(model) :] += residuals[inside]
    parts = [trains[unit] for unit in range(len(trains))]
    for index in best:
        test = tests[index]
        parts.append(trains[test.unit][test.inside])
        parts[test.unit] = trains[test.unit][~test.inside]
    return replace(out, templates=templates), Flat.of(parts)


def duplicates(state: State, channels: int, one: float, max_lag: int) -> Ints:
    """Return the units that stay when of two that nobody can tell apart the smaller goes.

    Parameters
    ----------
    state
        Units, spikes and residuals.
    channels
        Number of channels of the recording.
    one
        Distance below which two units are one, in standard deviations of the noise.
    max_lag
        Largest shift between the two, in samples.
    """
    halves, total = overall(*halves_of(state.used, state.sums))
    means = np.einsum("uh,uhsc->usc", total / np.maximum(total.sum(axis=1, keepdims=True), 1e-6), halves)
    cosines, lags = similarities(means, state.used.channels, means, state.used.channels, max_lag)
    counts = state.counts
    gone = np.zeros(len(counts), bool)
    for unit in np.lexsort((np.arange(len(counts)), counts)):
        for other in np.argsort(-cosines[unit], kind="stable"):
            if cosines[unit, other] < LEAST_COSINE:
                break
            larger = (counts[other], other) > (counts[unit], unit)
            if gone[other] or not larger:
                continue
            distance, change = _apart(halves, state.used.channels, unit, other, int(lags[unit, other]), channels)
            if distance < (one * state.noise) ** 2 and abs(np.log(change)) < SAME_SIZE:
                gone[unit] = True
                break
    return np.flatnonzero(~gone)


def _apart(halves: Floats, channels: Ints, unit: int, other: int, lag: int, width: int) -> tuple[float, float]:
    """Squared distance of two units' waveforms where both are known, and the ratio of their sizes."""
    both = np.intersect1d(channels[unit], channels[other])
    a, b = (_on_all(halves[u], channels[u], width)[:, :, both] for u in (unit, other))
    reach = abs(lag)
    length = a.shape[1]
    a = a[:, reach : length - reach]
    b = b[:, reach - lag : length - reach - lag]
    sizes = [np.sqrt(max(float((x[0] * x[1]).sum()), 1e-6)) for x in (a, b)]
    return separation(a - b, (a + b).mean(axis=0)), sizes[0] / sizes[1]


def _on_all(halves: Floats, channels: Ints, width: int) -> Floats:
    out = np.zeros((2, halves.shape[1], width), np.float32)
    out[:, :, channels] = halves
    return out

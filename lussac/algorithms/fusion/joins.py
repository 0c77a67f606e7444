"""Units that nobody can tell apart are one."""

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.learning import halves_of, overall
from lussac.algorithms.fusion.matching import Model
from lussac.algorithms.fusion.refinement import State
from lussac.algorithms.fusion.splits import separation
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.fusion.waveforms import similarities

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

LEAST_COSINE = 0.8
SAME_SIZE = 0.2
LEAST_WEIGHT = 5.0
STEPS = 4.0
LEAST_SHARE = 0.01


def joined(state: State, channels: int, one: float, max_lag: int) -> Ints:
    """Tell which unit each unit belongs to: itself, or a larger one that nobody can tell from it.

    Waveforms of two units are compared over the whole recording, and also where they are nearest in time: halves of a neuron that
    drifts are far apart on average. There, they may differ as much as each changes from block to block.

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
    means, weights = halves_of(state.used, state.sums)
    halves, total = overall(means, weights)
    mean = np.einsum("uh,uhsc->usc", total / np.maximum(total.sum(axis=1, keepdims=True), 1e-6), halves)
    cosines, lags = similarities(mean, state.used.channels, mean, state.used.channels, max_lag)
    steps = changes_per_block(means, weights)
    counts = state.counts
    target = np.arange(len(counts))
    limit = (one * state.noise) ** 2
    for unit in np.lexsort((np.arange(len(counts)), counts)):
        for other in np.argsort(-cosines[unit], kind="stable"):
            if cosines[unit, other] < LEAST_COSINE:
                break
            if target[other] != other or (counts[other], other) <= (counts[unit], unit):
                continue
            lag = int(lags[unit, other])
            own = state.used.channels[unit], state.used.channels[other]
            same = alike(halves[unit], halves[other], own, lag, channels, limit)
            near = nearest_blocks(weights[:, unit], weights[:, other])
            if not same and near is not None:
                tolerance = limit + STEPS * max(steps[unit], steps[other])
                same = alike(means[near[0], unit], means[near[1], other], own, lag, channels, tolerance)
            if same:
                target[unit] = other
                break
    return target


def changes_per_block(means: Floats, weights: Floats) -> Floats:
    """Mean squared distance of each unit's waveforms in one block and the next, free of the bias by noise; at least 0."""
    if len(means) == 1:
        return np.zeros(means.shape[1], np.float32)
    apart = np.diff(means, axis=0)
    squared = np.einsum("busc,busc->bu", apart[:, :, 0], apart[:, :, 1])
    usable = np.minimum(weights[1:], weights[:-1]).min(axis=2)
    usable = np.where(usable >= LEAST_WEIGHT, usable, 0)
    return np.asarray(np.maximum((usable * squared).sum(axis=0) / np.maximum(usable.sum(axis=0), 1e-6), 0), dtype=np.float32)


def nearest_blocks(a: Floats, b: Floats) -> tuple[int, int] | None:
    """Blocks, one after the other at most, in which two units (blocks, 2) have most spikes; None where there are none."""
    best, place = 0.0, None
    least_a, least_b = a.min(axis=1), b.min(axis=1)
    for i in range(len(a)):
        for j in (i, i - 1, i + 1):
            if 0 <= j < len(b):
                weight = min(float(least_a[i]), float(least_b[j]))
                if weight >= LEAST_WEIGHT and weight > best:
                    best, place = weight, (i, j)
    return place


def alike(a: Floats, b: Floats, channels: tuple[Ints, Ints], lag: int, width: int, limit: float) -> bool:
    """Tell whether two mean waveforms (2 halves, samples, channels) are of one size and within a squared distance."""
    both = np.intersect1d(channels[0][holds_signal(a)], channels[1][holds_signal(b)])
    wide_a, wide_b = (on_all(halves, own, width)[:, :, both] for halves, own in zip((a, b), channels, strict=True))
    reach = abs(lag)
    length = a.shape[1]
    wide_a = wide_a[:, reach : length - reach]
    wide_b = wide_b[:, reach - lag : length - reach - lag]
    size_a, size_b = (max(float((wide[0] * wide[1]).sum()), 1e-6) for wide in (wide_a, wide_b))
    distance = separation(wide_a - wide_b, (wide_a + wide_b).mean(axis=0))
    return distance < limit and abs(np.log(size_a / size_b)) < 2 * SAME_SIZE


def holds_signal(halves: Floats) -> NDArray[np.bool_]:
    """Tell on which channels a mean waveform (2 halves, samples, channels) has at least a hundredth of its energy."""
    energy = (halves[0] * halves[1]).sum(axis=0)
    return np.asarray(energy > energy.sum() * LEAST_SHARE)


def on_all(halves: Floats, channels: Ints, width: int) -> Floats:
    """Lay waveforms (..., samples, channels of the unit) on all channels of the recording."""
    out = np.zeros((*halves.shape[:-1], width), np.float32)
    out[..., channels] = halves
    return out


def join(model: Model, trains: Flat, target: Ints, counts: Ints, width: int) -> tuple[Model, Flat]:
    """Give each unit the spikes of those that belong to it, and where it has none of its own, their waveform.

    Parameters
    ----------
    model, trains
        All units.
    target
        (units,), the unit that each belongs to.
    counts
        (blocks, units), spikes.
    width
        Number of channels of the recording.
    """
    kept = np.flatnonzero(target == np.arange(len(target)))
    templates = model.templates.copy()
    parts = [[trains[unit]] for unit in range(len(trains))]
    for unit in np.flatnonzero(target != np.arange(len(target))):
        into = target[unit]
        parts[into].append(trains[int(unit)])
        missing = np.flatnonzero((counts[:, into] < LEAST_WEIGHT) & (counts[:, unit] >= LEAST_WEIGHT))
        templates[missing, into] = on_all(templates[missing, unit], model.channels[unit], width)[..., model.channels[into]]
    joined_model = Model(templates, model.channels, model.before, model.stiffness, model.lows, model.highs)
    return joined_model.of(kept), Flat.of([np.sort(np.concatenate(parts[unit])) for unit in kept])

"""Templates and amplitudes of the units from what the last matching left over."""

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.evidence import shrink
from lussac.algorithms.fusion.matching import Found, Model, Sums

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

SMALLEST_SPREAD = 0.05
LOWEST, HIGHEST = (0.3, 0.7), (1.3, 2.0)
REACH = 4.0
WIDTHS = (0.5, 1.0, 2.0, 4.0)
FAR = 1e-4
UNITS_AT_ONCE = 16


def halves_of(model: Model, sums: Sums) -> tuple[Floats, Floats]:
    """Mean waveforms (blocks, units, 2, samples, channels) less all other spikes, and their weights (blocks, units, 2)."""
    weights = np.maximum(sums.weights, 1e-6)[..., None, None]
    means = model.templates[:, :, None] + sums.residuals / weights
    return np.asarray(means, dtype=np.float32), sums.weights


def overall_halves(model: Model, sums: Sums) -> Floats:
    """Return mean waveforms over all blocks, (units, 2, samples, channels): `overall` of `halves_of`, a few units at a time."""
    return np.concatenate([overall(*halves_of(model.of(few), sums.of(few)))[0] for few in few_units(len(model))])


def few_units(size: int) -> list[Ints]:
    """Return the numbers of so many units in pieces; at least one piece."""
    return np.array_split(np.arange(size), max(1, -(-size // UNITS_AT_ONCE)))


def overall(means: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Means over the blocks: (units, 2, samples, channels) and the weights (units, 2)."""
    total = weights.sum(axis=0)
    share = weights / np.maximum(total, 1e-6)
    return np.asarray(np.einsum("buh,buhsc->uhsc", share, means), dtype=np.float32), total


def relearn(model: Model, sums: Sums) -> Floats:
    """Return templates learned from the residuals at each unit's spikes (see `relearned`), a few units at a time."""
    return np.concatenate([relearned(model.of(few), sums.of(few)) for few in few_units(len(model))], axis=1)


def relearned(model: Model, sums: Sums) -> Floats:
    """Templates (blocks, units, samples, channels) from the residual at each unit's spikes.

    The template of a block is the mean over this block and those around it, drawn towards the mean over all blocks as far as its
    noise demands (empirical Bayes): how much the unit really changes between blocks is estimated from both halves of its spikes,
    whose noise is independent, less the standard error of that. How far around is what predicts one half of the unit's spikes
    best from the other (cross-validation). A unit that does not change gets one template; one that drifts gets its own in each
    block, where it has no spikes (yet) that of the blocks nearby.
    """
    means, weights = halves_of(model, sums)
    centre, total = overall(means, weights)
    count = total.sum(axis=1)
    mean = np.einsum("uh,uhsc->usc", total / np.maximum(count, 1e-6)[:, None], centre)
    apart = means - centre
    changes = np.einsum("busc,busc->bu", apart[:, :, 0], apart[:, :, 1])
    usable = np.where(weights.min(axis=2) >= 1, weights.sum(axis=2), 0.0)
    variance = at_least(changes, usable)
    kernels = np.stack([nearness(len(means), width) for width in WIDTHS])
    near = kernels[best_width(means, weights, kernels)]
    around = np.einsum("ubd,duh->buh", near, weights)
    summed = np.einsum("duh,duhsc->dusc", weights, means)
    local = np.einsum("ubd,dusc->busc", near, summed) / np.maximum(around.sum(axis=2), 1e-9)[..., None, None]
    noise = mean.shape[1] * mean.shape[2] / np.maximum(around.sum(axis=2), 1e-9)
    trust = variance / (variance + noise)
    learned = shrink(mean, count.astype(np.int64)) + trust[..., None, None] * (local - mean)
    return np.asarray(np.where(count[:, None, None] > 0, learned, model.templates), dtype=np.float32)


def at_least(changes: Floats, weights: Floats) -> Floats:
    """Weighted mean over blocks (first axis) less its standard error, and not below 0: what chance alone gives is no change."""
    total = np.maximum(weights.sum(axis=0), 1e-6)
    mean = (weights * changes).sum(axis=0) / total
    error = np.sqrt((weights**2 * (changes - mean) ** 2).sum(axis=0)) / total
    return np.asarray(np.maximum(mean - error, 0.0), dtype=np.float32)


def nearness(blocks: int, width: float) -> Floats:
    """Weights (blocks, blocks) with which a block is learned from the others: a Gaussian, and hardly anything beyond."""
    steps = np.subtract.outer(np.arange(blocks), np.arange(blocks)).astype(np.float64)
    return np.asarray(np.exp(-0.5 * (steps / width) ** 2) + FAR, dtype=np.float32)


def best_width(means: Floats, weights: Floats, kernels: Floats) -> Ints:
    """Return for every unit the kernel with which each half of its spikes predicts the other's waveforms best.

    Parameters
    ----------
    means, weights
        (blocks, units, 2, samples, channels) waveforms, and (blocks, units, 2) weights.
    kernels
        (kernels, blocks, blocks), weights with which a block is learned from the others.
    """
    errors, weighted = np.zeros((len(kernels), means.shape[1])), weights[..., None, None] * means
    for kernel, error in zip(kernels, errors, strict=True):
        around = np.maximum(np.einsum("bd,duh->buh", kernel, weights), 1e-9)
        learned = np.einsum("bd,duhsc->buhsc", kernel, weighted) / around[..., None, None]
        error[:] = (weights * ((means - learned[:, :, ::-1]) ** 2).sum(axis=(3, 4))).sum(axis=(0, 2))
    return np.asarray(errors.argmin(axis=0), dtype=np.int64)


def spreads(found: Found, size: int) -> tuple[Floats, Floats, Floats]:
    """Median of the amplitudes of every unit, and their half widths below and above (16th and 84th percentile)."""
    order = np.argsort(found.units, kind="stable")
    edges = np.searchsorted(found.units[order], np.arange(size + 1))
    table = np.ones((size, 3), np.float32)
    for unit in range(size):
        values = found.amplitudes[order[edges[unit] : edges[unit + 1]]]
        if len(values):
            table[unit] = np.percentile(values, [16, 50, 84])
    return table[:, 1], table[:, 1] - table[:, 0], table[:, 2] - table[:, 1]


def noise_gain(found: Found, energies: Floats) -> float:
    """Measure the standard deviation of the noise along a template: noise is coloured, so it is not 1.

    The lower quartile over units of the spread of their amplitudes times the template's norm; units whose amplitude truly changes
    lie above.
    """
    _, below, above = spreads(found, len(energies))
    counts = np.bincount(found.units, minlength=len(energies))
    width = (below + above) / 2 * np.sqrt(energies)
    usable = counts >= 30
    return float(np.percentile(width[usable], 25)) if usable.any() else 1.0


def amplitude_limits(found: Found, energies: Floats, noise: float) -> tuple[Floats, Floats, Floats]:
    """Stiffness, lowest and highest amplitude of every unit, from the amplitudes that its spikes have."""
    _, below, above = spreads(found, len(energies))
    own = np.maximum(((below + above) / 2) ** 2 - noise**2 / energies, SMALLEST_SPREAD**2)
    low = np.clip(1 - REACH * np.maximum(below, SMALLEST_SPREAD), *LOWEST)
    high = np.clip(1 + REACH * np.maximum(above, SMALLEST_SPREAD), *HIGHEST)
    return (1 / own).astype(np.float32), low.astype(np.float32), high.astype(np.float32)

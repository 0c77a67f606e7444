"""Is a unit one thing all the time: its amplitudes, when it fires, and whether the tissue moves."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

from lussac.algorithms.spiketrains import frozen, remove_close_spikes

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

FEWEST = 10
MOST_STRETCHES, EXPECTED = 20, 5
"""Stretches of time that are compared at most, and spikes in each on average at least."""
SILENT, VARIED, DOUBT = 0.2, 0.5, 0.001
NORMAL = (16, 84)
"""Percentiles that are one standard deviation from the mean of a normal distribution."""


def spread_of_like(samples: Ints, amplitudes: Floats, window: int) -> float:
    """Return the standard deviation of the amplitudes among spikes that have the same past.

    Spikes shrink within a burst (Quirk and Wilson 1999, Harris et al. 2001), so that the amplitudes of a neuron that bursts vary
    as those of a mixture of two neurons do. Here spikes are laid in an order, by how many there were in the time before, then by
    the time since the last: amplitudes of neighbours in it differ by what the past does not explain, and by that alone (variance
    from differences of neighbours: von Neumann 1941). Where the past tells nothing it is the plain standard deviation.

    Parameters
    ----------
    samples, amplitudes
        Sorted spikes of a unit.
    window
        Time that counts as past, in samples.
    """
    if len(samples) < FEWEST:
        low, high = np.percentile(amplitudes, NORMAL) if len(samples) else (0.0, 0.0)
        return float(high - low) / 2
    before = np.arange(len(samples)) - np.searchsorted(samples, samples - window)
    since = np.diff(samples, prepend=samples[0] - window)
    low, high = np.percentile(np.diff(amplitudes[np.lexsort((since, before))].astype(np.float64)), NORMAL)
    return float(high - low) / 2 / np.sqrt(2)


def absence(times: Ints, duration: int, apart: int) -> float:
    """Return the share of the time that a unit is surely not there for.

    Rates vary, so that only stretches count in which it fires less than a fifth of what it does in the half of the stretches
    that it fires most in; and these only where, all together, a neuron that fires half as much as then would hardly ever be so
    silent (Poisson, one in a thousand). A unit of few spikes is thus said to be there.

    Parameters
    ----------
    times
        Sorted spikes, in samples of recorded time (gaps between segments do not count).
    duration
        Recorded time, in samples.
    apart
        Spikes nearer to each other count once, in samples: a burst is not as many chances.
    """
    chances = remove_close_spikes(frozen(times), apart)
    stretches = min(MOST_STRETCHES, len(chances) // EXPECTED)
    if not stretches:
        return 0.0
    counts = np.bincount(chances * stretches // duration, minlength=stretches)
    active = float(np.sort(counts)[stretches // 2 :].mean())
    silent = counts < SILENT * active
    by_chance = gammaincc(counts[silent].sum() + 1, np.count_nonzero(silent) * VARIED * active)
    return float(silent.mean()) if silent.any() and by_chance < DOUBT else 0.0


def motion(templates: Floats, weights: Floats) -> float:
    """Return by how much of its norm the waveform of a unit changes over time, the median of all units: 0 where nothing moves.

    Parameters
    ----------
    templates
        (blocks, units, samples, channels) waveforms; a unit that is not sure to change has one.
    weights
        (blocks, units), spikes.
    """
    share = weights / np.maximum(weights.sum(axis=0), 1e-6)
    mean = np.einsum("bu,busc->usc", share, templates)
    apart = np.einsum("bu,bu->u", share, ((templates - mean) ** 2).sum(axis=(2, 3)))
    changes = np.sqrt(apart / np.maximum((mean**2).sum(axis=(1, 2)), 1e-6))
    return float(np.median(changes)) if len(changes) else 0.0

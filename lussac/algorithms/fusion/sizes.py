"""Are two groups of a unit's spikes two neurons that differ in size alone."""

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.matching import Found
from lussac.algorithms.fusion.source import Source
from lussac.algorithms.spiketrains import count_coincidences

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

NEAR_MS = 50.0
"""Time within which spikes of one burst lie, whose sizes differ."""
LEAST_CHANCE, CERTAIN = 10.0, 3.0
"""Pairs of spikes that chance must give to tell anything, and standard deviations by which as many as by chance may differ."""
MIXTURE_STEPS = 50


def apart_in_size(found: Found, own: Ints, inside: NDArray[np.bool_], source: Source) -> float:
    """Distance of the amplitudes of two groups of a unit's spikes; 0 where the groups do not come independently of each other.

    A neuron's spikes shrink in bursts, so that small ones come soon after large ones; they change over minutes, so that sizes
    take turns. Two neurons meet as often as chance lets them.

    Parameters
    ----------
    found
        The spikes of all units.
    own
        Which of them are the unit's, in order of time.
    inside
        Which of these belong to the second group.
    source
        The recording.
    """
    samples, near = found.samples[own], source.samples(NEAR_MS)
    first, second = samples[~inside], samples[inside]
    chance = len(first) * len(second) * (2 * near + 1) / source.total
    if chance < LEAST_CHANCE or abs(count_coincidences(first, second, near) - chance) > CERTAIN * np.sqrt(chance):
        return 0.0
    return distance(found.amplitudes[own], inside)


def distance(values: Floats, inside: NDArray[np.bool_]) -> float:
    """Distance of the two normal distributions that values are a mixture of, in standard deviations (pooled).

    Expectation maximisation, which starts with the values inside and outside: either may hold some of the other's.
    """
    share = np.where(inside, 0.9, 0.1)
    total = values.astype(np.float64)
    means, variances = np.zeros(2), np.ones(2)
    for _ in range(MIXTURE_STEPS):
        weights = np.stack([share, 1 - share])
        counts = np.maximum(weights.sum(axis=1), 1e-9)
        means = (weights @ total) / counts
        variances = np.maximum((weights * (total - means[:, None]) ** 2).sum(axis=1) / counts, 1e-9)
        logs = np.log(counts / np.sqrt(variances))[:, None] - (total - means[:, None]) ** 2 / (2 * variances[:, None])
        share = 1 / (1 + np.exp(np.clip(logs[1] - logs[0], -500, 500)))
    return float(abs(means[0] - means[1]) / np.sqrt(variances.mean()))

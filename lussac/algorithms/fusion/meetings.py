"""What two units look like where they are nearest in time: a neuron that changes is continuous, two neurons are not."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.refinement import State
from lussac.algorithms.fusion.residuals import mean_waveforms
from lussac.algorithms.fusion.source import Chunk, Source

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def meetings(
    source: Source, chunks: Sequence[Chunk], state: State, pairs: Sequence[tuple[int, int]], count: int, least: int
) -> Floats:
    """Mean waveforms of two units at their spikes that are nearest in time to one of the other, all other spikes subtracted.

    Parameters
    ----------
    source, chunks
        The recording.
    state
        Units and spikes.
    pairs
        The units to compare.
    count
        Spikes of each that are compared.
    least
        Spikes nearer than this overlap, and are only taken where there are no others; in samples.

    Returns
    -------
    means
        (pairs, 2, 2 halves, samples, channels of the unit).
    """
    trains = state.trains()
    owned = np.split(np.argsort(state.found.units, kind="stable"), np.cumsum(state.counts)[:-1])
    chosen, groups = [], []
    for place, (unit, other) in enumerate(pairs):
        for side, (own, rival) in enumerate(((unit, other), (other, unit))):
            chosen.append(owned[own][nearest(trains[own], trains[rival], count, least)])
            groups.append(np.full(len(chosen[-1]), 2 * place + side))
    spikes, labels = np.concatenate(chosen), np.concatenate(groups)
    order = np.argsort(spikes, kind="stable")
    means = mean_waveforms(source, chunks, state.found, state.used, spikes[order], labels[order], 2 * len(pairs))
    return means.reshape(len(pairs), 2, *means.shape[1:])


def nearest(train: Ints, other: Ints, count: int, least: int) -> Ints:
    """Return which spikes of a train are nearest to one of another train: at most `count`, those nearer than `least` last."""
    gaps = gaps_to(train, other)
    order = np.argsort(np.where(gaps < least, np.iinfo(np.int64).max, gaps), kind="stable")
    return np.sort(order[:count])


def gaps_to(train: Ints, other: Ints) -> Ints:
    """Time from every spike of a train to the nearest of another, which has some."""
    after = np.searchsorted(other, train)
    to_last = np.abs(train - other[np.maximum(after - 1, 0)])
    to_next = np.abs(other[np.minimum(after, len(other) - 1)] - train)
    return np.minimum(to_last, to_next)

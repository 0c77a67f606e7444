"""Which spikes lie under a louder unit's: they say little about what their own unit looks like."""

from collections.abc import Iterator

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.trains import Flat, pair_counts
from lussac.algorithms.fusion.waveforms import Waveforms

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SAME = 0.5
ENOUGH, LEAST = 0.3, 15


def uncovered(trains: Flat, waveforms: Waveforms, window: int) -> Iterator[Ints]:
    """Yield for every unit the spikes that no louder unit's spike overlaps.

    A mean over all spikes holds what neighbours that fire together with the unit add: a neighbour ten times as loud beside one
    spike in ten is as large as the unit itself. A unit that is nearly always covered keeps all its spikes.

    Parameters
    ----------
    trains
        Spikes of all units of all analyses.
    waveforms
        Means over all spikes.
    window
        Spikes of two units within it are the same event, in samples. Units that have half of the smaller one's spikes in common
        may be one neuron, or one holds the other: neither covers the other.

    Yields
    ------
    Sorted indices into each train.
    """
    counts = pair_counts(trains, window)
    smaller = np.minimum(trains.counts[:, None], trains.counts[None])
    same = np.minimum(counts, counts.T) >= SAME * smaller
    energies = (waveforms.means**2).sum(axis=(1, 2))
    louder = energies[None, :] > energies[:, None]
    covers = louder & ~same & meets(waveforms.channels)
    covered = covered_by(trains, covers, waveforms.halves.shape[2])
    for unit, count in enumerate(trains.counts.tolist()):
        own = np.flatnonzero(~covered[trains.slice(unit)])
        yield own if len(own) >= max(ENOUGH * count, LEAST) else np.arange(count)


def meets(channels: Ints) -> Bools:
    """Tell for all pairs of units whether the strongest channel of the second is a channel of the first: (units, units)."""
    return np.asarray((channels[:, None, :] == channels[None, :, :1]).any(axis=2))


def covered_by(trains: Flat, covers: Bools, reach: int) -> Bools:
    """Tell which spikes have one of a unit that covers theirs nearer than `reach`.

    Parameters
    ----------
    trains
        Spikes of all units.
    covers
        (units, units), whether the second covers the first.
    reach
        Length of a waveform, in samples.
    """
    out = np.zeros(len(trains.samples), np.bool_)
    for start, stop in trains.stretches():
        near = trains.between(start - reach, stop + reach)
        out[near.index] |= _covered(near.samples, near.units, covers, reach)
    return out


@numba.njit(cache=True, nogil=True)
def _covered(samples: Ints, units: Ints, covers: Bools, reach: int) -> Bools:
    """Tell which spikes, in the order of time, have one of a unit that covers theirs among them."""
    out = np.zeros(len(samples), np.bool_)
    first = 0
    for spike in range(len(samples)):
        while samples[first] <= samples[spike] - reach:
            first += 1
        other = first
        while other < len(samples) and samples[other] < samples[spike] + reach and not out[spike]:
            out[spike] = covers[units[spike], units[other]]
            other += 1
    return out

"""Spike trains of many units in two flat arrays, and what is counted on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Flat:
    """The trains of many units, one after the other: unit u owns `samples[offsets[u]:offsets[u + 1]]`, sorted."""

    samples: Ints
    offsets: Ints

    @classmethod
    def of(cls, trains: Sequence[Ints]) -> "Flat":
        """Lay trains one after the other."""
        offsets = np.concatenate([[0], np.cumsum([len(train) for train in trains])]).astype(np.int64)
        samples = np.concatenate([np.empty(0, np.int64), *trains]).astype(np.int64)
        return cls(samples, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, unit: int) -> Ints:
        return self.samples[self.offsets[unit] : self.offsets[unit + 1]]

    @property
    def counts(self) -> Ints:
        """Number of spikes of every unit."""
        return np.diff(self.offsets)

    @property
    def units(self) -> Ints:
        """Unit of every spike."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.counts)


@dataclass(frozen=True, slots=True)
class InTime:
    """The same spikes in the order of time: position, unit, and index into the flat arrays."""

    samples: Ints
    units: Ints
    index: Ints

    @classmethod
    def of(cls, flat: Flat) -> "InTime":
        """Sort spikes by position, then unit."""
        units = flat.units
        order = np.lexsort((units, flat.samples))
        return cls(flat.samples[order], units[order], order.astype(np.int64))

    def between(self, start: int, stop: int) -> slice:
        """Where the spikes with start <= position < stop lie."""
        first, last = np.searchsorted(self.samples, [start, stop])
        return slice(int(first), int(last))


@numba.njit(cache=True, nogil=True)
def pair_counts(samples: Ints, units: Ints, size: int, window: int) -> NDArray[np.int32]:
    """Count, for all pairs of units, the spikes of the first that lie within `window` of a spike of the second.

    Parameters
    ----------
    samples, units
        Spikes of all units in order of time.
    size
        Number of units.
    window
        In samples.

    Returns
    -------
    counts
        (size, size); a spike counts once however many spikes of the other unit are near. The diagonal is zero.
    """
    counts = np.zeros((size, size), np.int32)
    seen = np.full(size, -1, np.int64)
    first = 0
    for spike in range(len(samples)):
        while samples[first] < samples[spike] - window:
            first += 1
        other = first
        while other < len(samples) and samples[other] <= samples[spike] + window:
            unit = units[other]
            if unit != units[spike] and seen[unit] != spike:
                seen[unit] = spike
                counts[units[spike], unit] += 1
            other += 1
    return counts

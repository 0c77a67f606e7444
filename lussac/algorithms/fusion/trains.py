"""Spike trains of many units in one flat array, and what is counted on them.

Spikes in the order of time are only ever made for a stretch of time, so that they cost no memory that grows with a recording.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import DTypeLike, NDArray

Ints = NDArray[np.int64]

AT_ONCE = 1 << 15
"""Spikes that are laid in the order of time at once, more or less."""


class Growing:
    """A column of values that comes piece by piece, in memory that grows in place: no value is there twice."""

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._bytes = bytearray()

    def add(self, values: NDArray[Any]) -> None:
        """Add values at the end."""
        self._bytes += values.astype(self.dtype, copy=False).tobytes()

    def values(self) -> NDArray[Any]:
        """Return all values, without a copy; none can be added any more."""
        return np.frombuffer(self._bytes, self.dtype)


@dataclass(frozen=True, slots=True)
class InTime:
    """Spikes of several units in the order of time: position, unit, and index into the flat array."""

    samples: Ints
    units: Ints
    index: Ints


@dataclass(frozen=True, slots=True)
class Flat:
    """The trains of many units: the spikes of unit u are `samples[starts[u]:stops[u]] + shifts[u]`, sorted.

    Trains that are moved, chosen or named twice share the array: none of that copies a spike.
    """

    samples: Ints
    starts: Ints
    stops: Ints
    shifts: Ints

    @classmethod
    def of(cls, trains: "Sequence[Ints] | Flat") -> "Flat":
        """Lay trains one after the other, unless they are."""
        if isinstance(trains, Flat):
            return trains
        sizes = np.array([len(train) for train in trains], np.int64)
        samples = np.concatenate([np.empty(0, np.int64), *trains]).astype(np.int64, copy=False)
        return cls.one_after_another(samples, sizes)

    @classmethod
    def one_after_another(cls, samples: Ints, sizes: Ints) -> "Flat":
        """Return the trains of so many spikes each that lie one after the other in an array."""
        stops = np.cumsum(sizes, dtype=np.int64)
        return cls(samples, stops - sizes, stops, np.zeros(len(stops), np.int64))

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[Ints]:
        return (self[unit] for unit in range(len(self)))

    def __getitem__(self, unit: int) -> Ints:
        own = self.samples[self.slice(unit)]
        return own + self.shifts[unit] if self.shifts[unit] else own

    def slice(self, unit: int) -> slice:
        """Where the spikes of a unit lie."""
        return slice(int(self.starts[unit]), int(self.stops[unit]))

    @property
    def counts(self) -> Ints:
        """Number of spikes of every unit."""
        return self.stops - self.starts

    def only(self, units: Ints) -> "Flat":
        """Return the trains of these units; a unit may be named twice."""
        return Flat(self.samples, self.starts[units], self.stops[units], self.shifts[units])

    def followed_by(self, other: "Flat") -> "Flat":
        """Return the trains of these units, then of others; no spike is copied where both share the array."""
        if self.samples is not other.samples:
            return Flat.of([*self, *other])
        ends = ("starts", "stops", "shifts")
        return Flat(self.samples, *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in ends))

    def moved(self, by: Ints) -> "Flat":
        """Return the trains with something added to the positions of each unit."""
        return Flat(self.samples, self.starts, self.stops, self.shifts + by)

    def between(self, start: int, stop: int) -> InTime:
        """Return the spikes with start <= position < stop, sorted by position, then unit."""
        near = self.unit_by_unit(start, stop)
        order = order_of(near.samples - start)
        return InTime(near.samples[order], near.units[order], near.index[order])

    def inside(self, stretches: Sequence[tuple[int, int]]) -> "Flat":
        """Return the spikes in stretches of time, start <= position < stop, which are in order; none touches another."""
        edges = np.array(stretches, np.int64).ravel()
        return Flat.of([train[np.searchsorted(edges, train, side="right") % 2 == 1] for train in self])

    def unit_by_unit(self, start: int, stop: int) -> InTime:
        """Return the spikes with start <= position < stop, sorted by unit, then position."""
        return InTime(*_between(self.samples, self.starts, self.stops, self.shifts, start, stop))

    def stretches(self, margin: int = 0) -> Iterator[tuple[int, int]]:
        """Yield start and stop of stretches of time, each of about `AT_ONCE` spikes, that hold all and a margin around them."""
        some = self.only(np.flatnonzero(self.counts))
        if len(some):
            first, last = some.samples[some.starts] + some.shifts, some.samples[some.stops - 1] + some.shifts
            ends, pieces = (int(first.min()) - margin, int(last.max()) + margin + 1), 1 + int(some.counts.sum()) // AT_ONCE
            yield from pairwise(np.linspace(*ends, 1 + pieces).astype(np.int64).tolist())


def order_of(values: Ints) -> Ints:
    """Return the order of values from 0 to 2^31; equal ones stay as they are.

    Numbers that carry their place are sorted by vector units; places sorted by what they point to are not.
    """
    return np.asarray(np.sort((values << 32) | np.arange(len(values))) & 0xFFFFFFFF)


def by_label(labels: NDArray[np.integer], size: int) -> list[Ints]:
    """Return where each of so many labels is, in order."""
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels, minlength=size))[:-1])


@numba.njit(cache=True, nogil=True)
def _between(samples: Ints, starts: Ints, stops: Ints, shifts: Ints, start: int, stop: int) -> tuple[Ints, Ints, Ints]:
    """Return positions of the spikes in a stretch of time, unit by unit, their units, and their indices."""
    size = len(starts)
    edges = np.empty((size, 2), np.int64)
    for unit in range(size):
        own = samples[starts[unit] : stops[unit]]
        edges[unit, 0] = starts[unit] + np.searchsorted(own, start - shifts[unit])
        edges[unit, 1] = starts[unit] + np.searchsorted(own, stop - shifts[unit])
    total = (edges[:, 1] - edges[:, 0]).sum()
    positions, units, index = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.int64)
    count = 0
    for unit in range(size):
        for spike in range(edges[unit, 0], edges[unit, 1]):
            positions[count], units[count], index[count] = samples[spike] + shifts[unit], unit, spike
            count += 1
    return positions, units, index


def pair_counts(trains: Flat, window: int) -> NDArray[np.int32]:
    """Count, for all pairs of units, the spikes of the first that lie within `window` of a spike of the second.

    Parameters
    ----------
    trains
        Spikes of all units.
    window
        In samples.

    Returns
    -------
    counts
        (units, units); a spike counts once however many spikes of the other unit are near. The diagonal is zero.
    """
    counts = np.zeros((len(trains), len(trains)), np.int32)
    for start, stop in trains.stretches():
        near = trains.between(start - window, stop + window)
        _count_near(near.samples, near.units, near.samples, near.units, start, stop, window, counts)
    np.fill_diagonal(counts, 0)
    return counts


def coincidences(trains: Flat, others: Flat, window: int) -> NDArray[np.int32]:
    """Count the coincidences of all units with all others: (units, other units).

    Spikes of either that have one of the other within `window`; the smaller of the two numbers, so that none counts twice.
    """
    counts, back = (np.zeros(shape, np.int32) for shape in ((len(trains), len(others)), (len(others), len(trains))))
    for start, stop in others.stretches(window):
        own, near = (flat.between(start - window, stop + window) for flat in (trains, others))
        _count_near(own.samples, own.units, near.samples, near.units, start, stop, window, counts)
        _count_near(near.samples, near.units, own.samples, own.units, start, stop, window, back)
    return np.minimum(counts, back.T)


def agreements(trains: Flat, others: Flat, window: int) -> NDArray[np.float64]:
    """Return the coincidences of all units with all others over the spikes of either: (units, other units)."""
    return over_either(coincidences(trains, others, window), trains, others)


def over_either(common: NDArray[np.int32], trains: Flat, others: Flat) -> NDArray[np.float64]:
    """Return spikes in common over the spikes of either: (units, other units)."""
    return np.asarray(common / np.maximum(trains.counts[:, None] + others.counts[None] - common, 1), dtype=np.float64)


@numba.njit(cache=True, nogil=True)
def _count_near(
    samples: Ints, units: Ints, others: Ints, other_units: Ints, start: int, stop: int, window: int, counts: NDArray[np.int32]
) -> None:
    """Add the spikes with start <= position < stop that have one of each other unit near; all in the order of time."""
    seen = np.full(counts.shape[1], -1, np.int64)
    first = 0
    for spike in range(len(samples)):
        sample = samples[spike]
        if sample < start or sample >= stop:
            continue
        while first < len(others) and others[first] < sample - window:
            first += 1
        other = first
        while other < len(others) and others[other] <= sample + window:
            unit = other_units[other]
            if seen[unit] != spike:
                seen[unit] = spike
                counts[units[spike], unit] += 1
            other += 1


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

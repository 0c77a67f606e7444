"""Spikes of several units in the order in which they are met when a recording is read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseSorting

from lussac.units import UnitRef

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Spikes:
    """Spikes sorted by segment, then by time.

    Parameters
    ----------
    samples
        Of each spike, int64, counted in its segment.
    slots
        The place of its unit among all units, int32.
    borders
        Where the spikes of each segment start, and the number of all spikes: segments + 1.
    """

    samples: NDArray[np.int64]
    slots: NDArray[np.int32]
    borders: NDArray[np.int64]

    @classmethod
    def of(cls, sorting: BaseSorting, first_slot: int = 0) -> Self:
        """Return the spikes of a sorting in the order of its spike vector; its units get the slots from the first on."""
        vector = sorting.to_spike_vector()
        borders = np.searchsorted(vector["segment_index"], np.arange(sorting.get_num_segments() + 1)).astype(np.int64)
        slots = vector["unit_index"].astype(np.int32)
        slots += first_slot
        return cls(vector["sample_index"].astype(np.int64), slots, borders)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the spikes of all parts; equal times stay in the order of the parts."""
        samples = np.concatenate([np.empty(0, np.int64), *(part.samples for part in parts)])
        slots = np.concatenate([np.empty(0, np.int32), *(part.slots for part in parts)])
        segments = np.concatenate([np.empty(0, np.int64), *(part.segments() for part in parts)])
        order = np.lexsort((samples, segments))
        count = max((len(part.borders) for part in parts), default=1)
        return cls(samples[order], slots[order], np.searchsorted(segments[order], np.arange(count)).astype(np.int64))

    def segments(self) -> NDArray[np.int64]:
        """Return the segment of each spike."""
        return np.repeat(np.arange(len(self.borders) - 1), np.diff(self.borders))

    def taken(self, which: NDArray[np.bool_]) -> Self:
        """Return some of the spikes."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(which)])
        return type(self)(self.samples[which], self.slots[which], before[self.borders])

    def of_slots(self, first: int, stop: int) -> Self:
        """Return the spikes of a range of units, whose slots then start at 0."""
        chosen = self.taken((self.slots >= first) & (self.slots < stop))
        return type(self)(chosen.samples, chosen.slots - np.int32(first), chosen.borders)

    def counts(self, units: int) -> NDArray[np.int64]:
        """Return how many spikes each of so many units has."""
        return np.bincount(self.slots, minlength=units).astype(np.int64)

    def between(self, segment: int, start: int, stop: int) -> slice:
        """Return where the spikes of a stretch of one segment are."""
        if segment + 1 >= len(self.borders):
            return slice(0, 0)
        first, last = self.borders[segment : segment + 2]
        inside = first + np.searchsorted(self.samples[first:last], (start, stop))
        return slice(int(inside[0]), int(inside[1]))

    def fitting(self, durations: NDArray[np.int64], before: int, after: int) -> NDArray[np.bool_]:
        """Tell which spikes have their whole window inside their segment."""
        ends = np.repeat(durations[: len(self.borders) - 1], np.diff(self.borders))
        return (self.samples >= before) & (self.samples + after <= ends)

    def drawn(self, refs: Sequence[UnitRef], usable: NDArray[np.bool_], most: int, seed: int) -> NDArray[np.bool_]:
        """Tell which usable spikes are taken if at most so many random ones of each unit are."""
        taken = usable.copy()
        for ref, mine in zip(refs, by_unit(np.flatnonzero(usable), self.slots[usable], len(refs)), strict=True):
            if len(mine) > most:
                taken[mine] = False
                taken[np.random.default_rng(unit_seed(ref, seed)).choice(mine, most, replace=False)] = True
        return taken


def by_unit(values: NDArray[T], unit_indices: NDArray[np.integer], units: int) -> list[NDArray[T]]:
    """Split one value per spike into arrays of each of so many units, in the order of the spikes."""
    ordered = values[np.argsort(unit_indices, kind="stable")]
    stops = np.cumsum(np.bincount(unit_indices, minlength=units))
    return [ordered[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)] if units else []


def unit_seed(ref: UnitRef, seed: int) -> int:
    """Return a seed for one unit's random choices that doesn't depend on the other units."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{ref.sorting}/{ref.unit}".encode()).digest()[:8])

"""Spikes of several units in the order in which they are met when a recording is read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseSorting

from lussac.units import UnitRef

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Spikes:
    """Spikes of several units, sorted by segment, then by time. The slot is the unit's place among all units."""

    segments: NDArray[np.int64]
    samples: NDArray[np.int64]
    slots: NDArray[np.int64]

    @classmethod
    def of(cls, sortings: Mapping[str, BaseSorting]) -> Self:
        """Return all spikes of all units; those of a single sorting stay in the order of its spike vector."""
        columns, first = [np.empty((3, 0), dtype=np.int64)], 0
        for sorting in sortings.values():
            vector = sorting.to_spike_vector()
            columns.append(np.stack((vector["segment_index"], vector["sample_index"], vector["unit_index"] + first)))
            first += sorting.get_num_units()
        segments, samples, slots = np.concatenate(columns, axis=1).astype(np.int64)
        order = np.lexsort((samples, segments))
        return cls(segments[order], samples[order], slots[order])

    def taken(self, which: NDArray[np.bool_]) -> Self:
        """Return some of the spikes."""
        return type(self)(self.segments[which], self.samples[which], self.slots[which])

    def of_slots(self, first: int, stop: int) -> Self:
        """Return the spikes of a range of units, whose slots then start at 0."""
        chosen = self.taken((self.slots >= first) & (self.slots < stop))
        return type(self)(chosen.segments, chosen.samples, chosen.slots - first)

    def counts(self, units: int) -> NDArray[np.int64]:
        """Return how many spikes each of so many units has."""
        return np.bincount(self.slots, minlength=units).astype(np.int64)

    def by_unit(self, values: NDArray[T], units: int) -> list[NDArray[T]]:
        """Split one value per spike into arrays of each of so many units, in the order of time."""
        ordered = values[np.argsort(self.slots, kind="stable")]
        stops = np.cumsum(self.counts(units))
        return [ordered[stop - count : stop] for stop, count in zip(stops, self.counts(units), strict=True)]

    def between(self, segment: int, start: int, stop: int) -> slice:
        """Return where the spikes of a stretch of one segment are."""
        first, last = np.searchsorted(self.segments, (segment, segment + 1))
        inside = first + np.searchsorted(self.samples[first:last], (start, stop))
        return slice(int(inside[0]), int(inside[1]))

    def fitting(self, durations: NDArray[np.int64], before: int, after: int) -> NDArray[np.bool_]:
        """Tell which spikes have their whole window inside their segment."""
        return (self.samples >= before) & (self.samples + after <= durations[self.segments])

    def drawn(self, refs: tuple[UnitRef, ...], usable: NDArray[np.bool_], most: int, seed: int) -> NDArray[np.bool_]:
        """Tell which usable spikes are taken if at most so many random ones of each unit are."""
        taken = usable.copy()
        slots = np.where(usable, self.slots, len(refs))
        by_unit = np.argsort(slots, kind="stable")
        counts = np.bincount(slots, minlength=len(refs))[: len(refs)]
        for ref, stop, count in zip(refs, np.cumsum(counts), counts, strict=True):
            if count > most:
                mine = by_unit[stop - count : stop]
                taken[mine] = False
                taken[np.random.default_rng(unit_seed(ref, seed)).choice(mine, most, replace=False)] = True
        return taken


def unit_seed(ref: UnitRef, seed: int) -> int:
    """Return a seed for one unit's random choices that doesn't depend on the other units."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{ref.sorting}/{ref.unit}".encode()).digest()[:8])

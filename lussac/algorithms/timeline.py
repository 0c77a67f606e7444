"""All segments of a recording on one axis, so that the algorithms see a single sorted array per unit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Train = NDArray[np.int64]
"""Sorted positions of a unit's spikes on a timeline, in samples."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Segments laid one after the other, with a gap between them that is wider than any window.

    Parameters
    ----------
    durations
        Samples of each segment.
    gap
        Samples between the end of a segment and the start of the next: no pair of spikes across a border is ever near. The
        default is 140 s at 30 kHz.
    """

    durations: tuple[int, ...]
    gap: int = 1 << 22

    @property
    def total(self) -> int:
        """Samples of all segments without the gaps: what rates divide by."""
        return sum(self.durations)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Position of the first sample of each segment."""
        ends = np.cumsum(np.asarray(self.durations, dtype=np.int64) + self.gap)
        return np.concatenate([np.zeros(1, np.int64), ends[:-1]])

    def flatten(self, segment_index: ArrayLike, sample_index: ArrayLike) -> Train:
        """Return the positions of samples.

        Parameters
        ----------
        segment_index, sample_index
            Integers, of one shape or a segment for all.
        """
        return self.starts[np.asarray(segment_index, dtype=np.int64)] + np.asarray(sample_index, dtype=np.int64)

    def restore(self, positions: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return segment and sample of positions; the inverse of `flatten`.

        A position in a gap counts from the nearer segment: its sample is negative or not less than the segment's duration.
        """
        positions = np.asarray(positions, dtype=np.int64)
        starts = self.starts
        segment_index = np.searchsorted(starts[1:] - self.gap // 2, positions, side="right").astype(np.int64)
        return segment_index, positions - starts[segment_index]

    def inside(self, positions: ArrayLike) -> NDArray[np.bool_]:
        """Tell which positions lie in a segment, not in a gap or outside of the recording."""
        segment_index, sample_index = self.restore(positions)
        return (sample_index >= 0) & (sample_index < np.asarray(self.durations, dtype=np.int64)[segment_index])

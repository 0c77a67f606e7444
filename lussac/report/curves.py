"""What is drawn of a unit, from its spikes: small arrays of whole numbers."""

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.correlograms import auto_correlogram, cross_correlogram
from lussac.algorithms.timeline import Timeline, Train

BIN, REACH = 0.5, 50.0
"""Width of a bin and half of the width of a correlogram, in ms."""
ISI_BIN, ISI_LONGEST = 1.0, 100.0
"""Width of a bin and longest inter-spike interval that is shown, in ms."""
RATE_BINS = 120


def auto(train: Train, rate: float) -> list[int]:
    """Return the half of the auto-correlogram from lag 0 on, in spike pairs per bin."""
    window, bin_size = _window(rate)
    counts = auto_correlogram(train, window, bin_size)
    return _plain(counts[len(counts) // 2 :])


def cross(a: Train, b: Train, rate: float) -> list[int]:
    """Return the cross-correlogram, in spike pairs per bin."""
    return _plain(cross_correlogram(a, b, *_window(rate)))


def bin_width(rate: float) -> float:
    """Return the width of a correlogram's bin in ms: a whole number of samples."""
    return _window(rate)[1] / rate * 1e3


def intervals(train: Train, rate: float) -> list[int]:
    """Return the histogram of the inter-spike intervals."""
    edges = np.arange(0.0, ISI_LONGEST + ISI_BIN, ISI_BIN)
    return _plain(np.histogram(np.diff(train) / rate * 1e3, edges)[0])


def rates(train: Train, timeline: Timeline, rate: float) -> list[float]:
    """Return the firing rate in Hz over the recording, its segments one after the other without gaps."""
    if timeline.total == 0:
        return []
    joined = Timeline(timeline.durations, gap=0).flatten(*timeline.restore(train))
    counts = np.histogram(joined, RATE_BINS, range=(0, timeline.total))[0]
    return [round(value, 3) for value in (counts * (RATE_BINS * rate / timeline.total)).tolist()]


def _window(rate: float) -> tuple[int, int]:
    return round(REACH * 1e-3 * rate), max(round(BIN * 1e-3 * rate), 1)


def _plain(counts: NDArray[np.int64]) -> list[int]:
    return [int(count) for count in counts]

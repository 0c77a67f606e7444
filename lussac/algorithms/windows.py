"""Short windows of the traces, one per spike."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

TURNED_AT_ONCE = 64
"""Samples that are turned round at once."""


@njit(nogil=True, cache=True)
def add_windows(
    traces: NDArray[np.number], starts: NDArray[np.int64], slots: NDArray[np.int64], sums: NDArray[np.number]
) -> None:
    """Add the window of each spike to the sum of its unit.

    Every sum is added up in the order of the spikes, so that it doesn't depend on how units are shared out to threads.

    Parameters
    ----------
    traces
        Samples x channels, C-contiguous.
    starts
        First sample of each spike's window.
    slots
        Row of `sums` that each spike belongs to.
    sums
        Units x samples of the window x channels; changed in place.
    """
    samples, channels = sums.shape[1], sums.shape[2]
    for spike in range(len(starts)):
        start, slot = starts[spike], slots[spike]
        for sample in range(samples):
            for channel in range(channels):
                sums[slot, sample, channel] += traces[start + sample, channel]


@njit(nogil=True, cache=True)
def filtered_values(
    traces: NDArray[np.number], starts: NDArray[np.int64], channels: NDArray[np.int64], taps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the value of filtered traces at single points, without filtering the rest.

    Parameters
    ----------
    traces
        Samples x channels.
    starts
        First sample under the filter, for each point: the point less half of the taps.
    channels
        Channel of each point.
    taps
        Impulse response of the filter, reversed in time; symmetric ones need no reversal.

    Returns
    -------
    float64, one value per point.
    """
    values = np.zeros(len(starts))
    for point in range(len(starts)):
        start, channel = starts[point], channels[point]
        for tap in range(len(taps)):
            values[point] += taps[tap] * traces[start + tap, channel]
    return values


@njit(nogil=True, cache=True)
def gather_windows(
    traces: NDArray[np.number],
    starts: NDArray[np.int64],
    width: int,
    channels: NDArray[np.int64],
    gains: NDArray[np.float64],
    offsets: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the scaled window of each spike on channels of its own.

    Parameters
    ----------
    traces
        Samples x channels.
    starts
        First sample of each spike's window.
    width
        Samples of a window.
    channels
        Spikes x channels to take; negative where a spike has fewer: there the window is zero.
    gains, offsets
        Of each channel of the traces.

    Returns
    -------
    float32, spikes x samples of the window x channels taken.
    """
    windows = np.zeros((len(starts), width, channels.shape[1]), dtype=np.float32)
    for spike in range(len(starts)):
        for place in range(channels.shape[1]):
            channel = channels[spike, place]
            if channel >= 0:
                for sample in range(width):
                    windows[spike, sample, place] = traces[starts[spike] + sample, channel] * gains[channel] + offsets[channel]
    return windows


@njit(nogil=True, cache=True)
def scale_into(scaled: NDArray[np.float32], traces: NDArray[np.number], scale: NDArray[np.float32]) -> None:
    """Write traces times a factor per channel into an array whose samples of a channel lie side by side.

    Parameters
    ----------
    scaled
        Samples x channels, in Fortran order.
    traces
        Samples x channels, in C order as recordings are. A stretch at a time is turned round, so that it stays in the cache.
    scale
        Factor of each channel.
    """
    for start in range(0, len(traces), TURNED_AT_ONCE):
        stop = min(start + TURNED_AT_ONCE, len(traces))
        for channel in range(len(scale)):
            column, own, factor = scaled[start:stop, channel], traces[start:stop, channel], scale[channel]
            for sample in range(stop - start):
                column[sample] = np.float32(own[sample]) * factor

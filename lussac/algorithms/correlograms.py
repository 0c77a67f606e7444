"""Correlograms of spike trains, and how far two of them differ in shape."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from lussac.algorithms.spiketrains import lag_counts
from lussac.algorithms.timeline import Train


def bin_edges(window: int, bin_size: int) -> NDArray[np.float64]:
    """Return the edges of a correlogram's bins, in samples.

    The bins are centred at the multiples of the bin size, -n .. n with n = window // bin_size, so that a correlogram has
    2 n + 1 bins and the middle one holds lag 0. A lag on an edge belongs to the outer bin: the correlograms of (a, b) and of
    (b, a) are mirror images.
    """
    reach = window // bin_size
    return np.asarray((np.arange(-reach, reach + 2) - 0.5) * bin_size, np.float64)


def cross_correlogram(a: Train, b: Train, window: int, bin_size: int) -> NDArray[np.int64]:
    """Return the histogram of the lags b_j - a_i.

    Parameters
    ----------
    a, b
        Trains.
    window, bin_size
        Half of the width, and the width of a bin, in samples.

    Returns
    -------
    int64 (2 x (window // bin_size) + 1,), of the bins given by `bin_edges`.
    """
    reach = window // bin_size
    furthest = reach * bin_size + (bin_size - 1) // 2
    lags = np.arange(-furthest, furthest + 1)
    bins = np.sign(lags) * ((np.abs(lags) + bin_size // 2) // bin_size) + reach
    firsts = np.searchsorted(bins, np.arange(2 * reach + 1))
    return np.asarray(np.add.reduceat(lag_counts(a, b, furthest), firsts), np.int64)


def auto_correlogram(train: Train, window: int, bin_size: int) -> NDArray[np.int64]:
    """Return the histogram of the lags between all pairs of different spikes, in both directions (see `cross_correlogram`)."""
    histogram = cross_correlogram(train, train, window, bin_size)
    histogram[len(histogram) // 2] -= len(train)
    return histogram


def smooth(histogram: NDArray[np.int64] | NDArray[np.float64], std_bins: float, truncate: float = 5.0) -> NDArray[np.float64]:
    """Return the histogram convolved with a Gaussian, which is cut off at `truncate` standard deviations.

    Beyond its ends the histogram is taken to go on as its mirror image.
    """
    return np.asarray(gaussian_filter1d(np.asarray(histogram, np.float64), std_bins, truncate=truncate))


def adaptive_window(auto: NDArray[np.float64], threshold: float) -> int:
    """Return how far from the middle a unit's auto-correlogram tells its shape, in bins.

    That is up to the shoulder where firing has recovered from the refractory period: the first peak of the downward curvature at
    which the correlogram reaches a share of its maximum; where no peak does, the highest one. The idea is that of the merging
    of Llobet et al. (2022).

    Parameters
    ----------
    auto
        Smoothed auto-correlogram with 2 n + 1 bins.
    threshold
        Share of the maximum, 0 .. 1.

    Returns
    -------
    1 .. n; n where there is no shoulder.
    """
    reach = len(auto) // 2
    side = (auto[reach:] + auto[reach::-1]) / 2
    curvature = 2 * side[1:-1] - side[:-2] - side[2:]
    inner = curvature[1:-1]
    shoulders = np.flatnonzero((inner > 0) & (inner > curvature[:-2]) & (inner >= curvature[2:])) + 2
    if not len(shoulders):
        return max(reach, 1)
    reached = side[shoulders] >= threshold * side.max()
    return int(shoulders[np.argmax(reached)] if reached.any() else shoulders[np.argmax(side[shoulders])])


def difference(
    cross: NDArray[np.float64],
    auto_a: NDArray[np.float64],
    auto_b: NDArray[np.float64],
    n_spikes: tuple[int, int],
    half_widths: tuple[int, int],
) -> float:
    """Return how far the cross-correlogram of two units differs from their auto-correlograms.

    Parts of one neuron that share no spikes correlate with each other as each does with itself. Every correlogram is scaled to a
    mean of 1; the result is the mean absolute difference near the middle. The unit with more spikes weighs more, in the
    difference and in its width (Llobet et al. 2022).

    Parameters
    ----------
    cross, auto_a, auto_b
        Smoothed correlograms, 2 n + 1 bins each.
    n_spikes
        Of a and of b.
    half_widths
        `adaptive_window` of a and of b, in bins.

    Returns
    -------
    0 for equal shapes; about 1 where one is flat and the other empty near the middle. Infinity where a unit has no spikes or a
    correlogram is empty.
    """
    if min(n_spikes) == 0 or not (cross.any() and auto_a.any() and auto_b.any()):
        return math.inf
    near = _near(cross, n_spikes, half_widths)
    scaled = cross / cross.mean()
    differences = [float(np.abs(scaled - auto / auto.mean())[near].mean()) for auto in (auto_a, auto_b)]
    return float(np.average(differences, weights=n_spikes))


def counting_noise(
    cross: NDArray[np.float64],
    auto_a: NDArray[np.float64],
    auto_b: NDArray[np.float64],
    n_spikes: tuple[int, int],
    half_widths: tuple[int, int],
    std_bins: float,
) -> float:
    """Return the `difference` that is to be expected of correlograms of one shape, from the chance in their counts alone.

    Counts are taken to be Poisson, and smoothing with a Gaussian to divide their variance by 2 sqrt(pi) standard deviations.

    Parameters
    ----------
    cross, auto_a, auto_b, n_spikes, half_widths
        As for `difference`.
    std_bins
        Standard deviation of the Gaussian that smoothed, in bins.

    Returns
    -------
    Infinity where a unit has no spikes or a correlogram is empty.
    """
    if min(n_spikes) == 0 or not (cross.any() and auto_a.any() and auto_b.any()):
        return math.inf
    near = _near(cross, n_spikes, half_widths)
    expected = []
    for auto in (auto_a, auto_b):
        shape = (cross + auto)[near] / (cross.mean() + auto.mean())
        variance = np.maximum(shape, 0.0) * (1 / cross.mean() + 1 / auto.mean()) / (2 * math.sqrt(math.pi) * std_bins)
        expected.append(float(np.sqrt(2 / math.pi * variance).mean()))
    return float(np.average(expected, weights=n_spikes))


def _near(cross: NDArray[np.float64], n_spikes: tuple[int, int], half_widths: tuple[int, int]) -> slice:
    """Return the bins near the middle: the unit with more spikes says more about how many."""
    middle, width = len(cross) // 2, round(float(np.average(half_widths, weights=n_spikes)))
    return slice(max(middle - width, 0), middle + width + 1)

"""Filtering of traces, and measures of templates (mean waveforms)."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

PeakSign = Literal["both", "neg", "pos"]
MARGIN_STDS = 5.0
"""Standard deviations after which the response of a Gaussian filter is nothing."""


def gaussian_bandpass(
    traces: NDArray[np.generic], sampling_frequency: float, low: float | None, high: float | None, workers: int = 1
) -> NDArray[np.float32]:
    """Return the traces band-passed by a Gaussian filter, which has no ringing and no phase.

    Each cutoff is the standard deviation of a Gaussian low-pass in frequency; the high-pass is what that leaves.

    Parameters
    ----------
    traces
        Samples x channels, any real type; taken as zero beyond its ends, so that `bandpass_margin` samples on each side are of
        no use.
    sampling_frequency, low, high
        In Hz; None for no cutoff on that side.
    workers
        Threads; the result doesn't depend on it.

    Returns
    -------
    float32, samples x channels.
    """
    values = np.asarray(traces, dtype=np.float32)
    if low is None and high is None:
        return values.copy()
    samples = len(values)
    padded = fft.next_fast_len(samples + bandpass_margin(sampling_frequency, low, high), real=True)
    frequencies = np.arange(padded // 2 + 1) * (sampling_frequency / padded)
    gain = np.ones_like(frequencies)
    if high is not None:
        gain *= np.exp(-0.5 * (frequencies / high) ** 2)
    if low is not None:
        gain *= -np.expm1(-0.5 * (frequencies / low) ** 2)
    spectrum = fft.rfft(values, padded, axis=0, workers=workers)
    spectrum *= gain.astype(np.float32)[:, np.newaxis]
    return np.asarray(fft.irfft(spectrum, padded, axis=0, overwrite_x=True, workers=workers)[:samples], dtype=np.float32)


def bandpass_margin(sampling_frequency: float, low: float | None, high: float | None = None) -> int:
    """Return how many samples beside an end `gaussian_bandpass` can't be trusted, from its widest Gaussian."""
    cutoffs = [cutoff for cutoff in (low, high) if cutoff is not None]
    if not cutoffs:
        return 0
    return math.ceil(MARGIN_STDS * sampling_frequency / (2 * math.pi * min(cutoffs)))


def aligned_peak(waveform: NDArray[np.floating], threshold: float, check_next: int) -> int:
    """Return the sample of a waveform's first large peak.

    That is the first peak of |waveform| that reaches a share of the maximum, then the highest of that sample and the next ones.

    Parameters
    ----------
    waveform
        Samples of one channel.
    threshold
        Share of the maximum, 0 .. 1.
    check_next
        Samples after the first peak to look at.

    Raises
    ------
    ValueError
        The waveform is empty.
    """
    size = np.abs(waveform)
    rises = np.diff(size, prepend=-np.inf) > 0
    falls = np.diff(size, append=-np.inf) <= 0
    peaks = np.flatnonzero(rises & falls & (size >= threshold * size.max()))
    first = int(peaks[0]) if len(peaks) else int(size.argmax())
    return first + int(size[first : first + check_next + 1].argmax())


def extremum_channel(template: NDArray[np.floating], peak_sign: PeakSign = "both") -> int:
    """Return the channel of the highest peak of a template (samples x channels); the first of equal ones."""
    return int(signed(template, peak_sign).max(axis=0).argmax())


def signed(template: NDArray[np.floating], peak_sign: PeakSign) -> NDArray[np.floating]:
    """Return a template turned so that the peaks of that sign are its maxima."""
    return {"both": np.abs, "neg": np.negative, "pos": np.positive}[peak_sign](template)


def template_difference(a: NDArray[np.floating], b: NDArray[np.floating], channels: NDArray[np.integer], max_shift: int) -> float:
    """Return how far two templates differ: the summed absolute difference, as a share of the summed absolute values.

    Parameters
    ----------
    a, b
        Templates of one shape, samples x channels.
    channels
        Indices of the channels to compare.
    max_shift
        Largest shift between the two, in samples: the best one counts. Beyond its ends a template is zero.

    Returns
    -------
    0 for equal templates (also for two empty ones) .. 1 for templates that have nothing in common.
    """
    left, right = (np.ascontiguousarray(template[:, channels], dtype=np.float64) for template in (a, b))
    total = np.abs(left).sum() + np.abs(right).sum()
    return min(_smallest_difference(left, right, max_shift) / float(total), 1.0) if total else 0.0


@njit(nogil=True, cache=True)
def _smallest_difference(left: NDArray[np.float64], right: NDArray[np.float64], max_shift: int) -> float:
    samples, channels = left.shape
    smallest = np.inf
    for shift in range(-max_shift, max_shift + 1):
        summed = 0.0
        for sample in range(min(0, shift), max(samples, samples + shift)):
            for channel in range(channels):
                value = left[sample, channel] if 0 <= sample < samples else 0.0
                other = right[sample - shift, channel] if 0 <= sample - shift < samples else 0.0
                summed += abs(value - other)
        smallest = min(smallest, summed)
    return smallest


def strongest_channels(templates: Sequence[NDArray[np.floating]], count: int) -> NDArray[np.int64]:
    """Return the indices of the channels on which some of the templates (samples x channels) peaks highest, sorted."""
    peaks = np.max([np.abs(template).max(axis=0) for template in templates], axis=0)
    return np.sort(np.argsort(-peaks, kind="stable")[:count])


def center_of_mass(template: NDArray[np.floating], positions: NDArray[np.floating], radius: float) -> NDArray[np.float64]:
    """Return where a unit is: the mean position of the channels near its main one, weighted by their peak-to-peak amplitudes.

    Parameters
    ----------
    template
        Samples x channels.
    positions
        Channels x dimensions, in um.
    radius
        How far from the main channel, in um.

    Returns
    -------
    float64 (dimensions,); the position of the main channel where the template is empty.
    """
    main = extremum_channel(template)
    near = np.linalg.norm(positions - positions[main], axis=1) <= radius
    weights = np.ptp(template[:, near], axis=0).astype(np.float64)
    if not weights.any():
        return positions[main].astype(np.float64)
    return np.asarray(np.average(positions[near], axis=0, weights=weights), np.float64)

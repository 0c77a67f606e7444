"""One spike and the traces: fit it, subtract it in place, put it back. Kernels that work on one stretch of traces."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

LEAST_IN_MIDDLE = 0.2
"""Share of the smallest amplitude of a spike that must show at the proposed position; a sample or two beside, most of it does."""


class Library(NamedTuple):
    """Templates of all units in one block of time, and what is needed to judge a spike.

    Parameters
    ----------
    templates, slopes
        (units, samples, channels of the unit): waveforms in units of noise, and their derivative per sample.
    channels, widths
        (units, channels of the unit), strongest first, and (units,) how many of them hold anything.
    energies, steepness
        (units,), squared norms of the templates and of their derivatives.
    stiffness, lows, highs
        (units,), one over the variance of the amplitude, and its limits.
    """

    templates: Floats
    slopes: Floats
    channels: Ints
    widths: Ints
    energies: Floats
    steepness: Floats
    stiffness: Floats
    lows: Floats
    highs: Floats


class Proposals(NamedTuple):
    """Where a window of a unit may start, in order of time, and what became of it.

    Parameters
    ----------
    starts, units
        First sample of the window in the traces, and unit.
    amplitudes
        What was subtracted; 0 where the proposal is not taken.
    tilts
        Share of the template's slope that was subtracted too.
    shifts
        What to add to the start.
    gains
        Twice the log-likelihood that the spike explains.
    """

    starts: Ints
    units: Ints
    amplitudes: Floats
    tilts: Floats
    shifts: Ints
    gains: Floats

    @classmethod
    def at(cls, starts: Ints, units: Ints) -> "Proposals":
        """Return proposals of which none is taken."""
        amplitudes, tilts, gains = np.zeros((3, len(starts)), np.float32)
        return cls(starts, units, amplitudes, tilts, np.zeros(len(starts), np.int64), gains)


class Rules(NamedTuple):
    """How spikes are searched.

    Parameters
    ----------
    threshold
        Gain that a spike must bring: twice the log of how unlikely a spike is beforehand.
    jitter
        Samples by which a proposed position may be off.
    dead
        Samples within which a unit can't fire twice.
    polish
        How often every spike is reconsidered.
    """

    threshold: float
    jitter: int
    dead: int
    polish: int


def library_of(templates: Floats, channels: Ints, stiffness: Floats, lows: Floats, highs: Floats) -> Library:
    """Return the library of templates (units, samples, channels of the unit)."""
    templates = np.ascontiguousarray(templates)
    energies = np.maximum((templates**2).sum(axis=(1, 2)), 1e-3)
    filled = (templates != 0).any(axis=1)
    widths = channels.shape[1] - np.argmax(filled[:, ::-1], axis=1)
    widths = np.where(filled.any(axis=1), widths, 1).astype(np.int64)
    slopes = slope_of(templates)
    return Library(templates, slopes, channels, widths, energies, (slopes**2).sum(axis=(1, 2)), stiffness, lows, highs)


def slope_of(templates: Floats) -> Floats:
    """Return the derivative of templates (..., samples, channels) along time, per sample."""
    return np.asarray(np.gradient(templates, axis=-2), dtype=np.float32)


@numba.njit(cache=True, nogil=True)
def _gather(traces: Floats, start: int, channels: Ints, width: int, window: Floats) -> None:
    """Copy a stretch of some channels into a window (samples, channels), whose other channels become 0."""
    for sample in range(window.shape[0]):
        row = traces[start + sample]
        for index in range(width):
            window[sample, index] = row[channels[index]]
        window[sample, width:] = 0


@numba.njit(cache=True, nogil=True)
def _inner(window: Floats, waveform: Floats) -> float:
    """Inner product of two arrays (samples, channels), both contiguous.

    Each channel is added up for itself, four samples at a time: vector units do that, and every processor rounds it alike.
    """
    length, kept = waveform.shape
    sums = np.zeros(kept, np.float32)
    fours = length // 4 * 4
    for first in range(0, fours, 4):
        for channel in range(kept):
            sums[channel] += (
                window[first, channel] * waveform[first, channel] + window[first + 1, channel] * waveform[first + 1, channel]
            ) + (
                window[first + 2, channel] * waveform[first + 2, channel]
                + window[first + 3, channel] * waveform[first + 3, channel]
            )
    for sample in range(fours, length):
        for channel in range(kept):
            sums[channel] += window[sample, channel] * waveform[sample, channel]
    total = np.float32(0.0)
    for channel in range(kept):
        total += sums[channel]
    return float(total)


@numba.njit(cache=True, nogil=True)
def _dot(traces: Floats, start: int, waveform: Floats, channels: Ints, width: int) -> float:
    """Inner product of a waveform with the traces on its channels."""
    window = np.empty(waveform.shape, np.float32)
    _gather(traces, start, channels, width, window)
    return _inner(window, waveform)


@numba.njit(cache=True, nogil=True)
def subtract(traces: Floats, start: int, unit: int, library: Library, amplitude: float, tilt: float) -> None:
    """Subtract amplitude x template + tilt x its slope from traces, in place."""
    template, slope, channels = library.templates[unit], library.slopes[unit], library.channels[unit]
    for sample in range(template.shape[0]):
        for index in range(library.widths[unit]):
            traces[start + sample, channels[index]] -= amplitude * template[sample, index] + tilt * slope[sample, index]


@numba.njit(cache=True, nogil=True)
def tilt_of(traces: Floats, start: int, unit: int, library: Library, amplitude: float) -> float:
    """Share of the template's slope at a spike: its shift by less than a sample, to first order.

    Drawn towards 0 as a shift that is uniform within a sample demands, and at most half a sample.
    """
    energy = library.steepness[unit] + 12.0 / max(amplitude, 0.1) ** 2
    found = _dot(traces, start, library.slopes[unit], library.channels[unit], library.widths[unit]) / energy
    return min(max(found, -0.5 * amplitude), 0.5 * amplitude)


@numba.njit(cache=True, nogil=True)
def gain_of(projection: float, energy: float, stiffness: float, low: float, high: float) -> tuple[float, float]:
    """Most likely amplitude of a spike, and twice the log-likelihood it explains.

    White noise of variance 1 and a normal prior of the amplitude around 1, cut at `low` and `high`.

    Parameters
    ----------
    projection
        Inner product of traces and template.
    energy
        Squared norm of the template.
    stiffness
        One over the variance of the prior.
    low, high
        Limits of the amplitude.
    """
    measured = projection / energy
    if measured < low:
        return low, -np.inf
    amplitude = min(max((projection + stiffness) / (energy + stiffness), low), high)
    return amplitude, energy * amplitude * (2 * measured - amplitude) - stiffness * (amplitude - 1) ** 2


@numba.njit(cache=True, nogil=True)
def best_shift(traces: Floats, start: int, unit: int, jitter: int, library: Library, low: float) -> tuple[float, int, float]:
    """Best gain of a spike of at least an amplitude over small shifts: gain, shift, amplitude.

    Where next to nothing of the spike is at the middle, the shifts are not tried.
    """
    best, shift, amplitude = -np.inf, 0, 0.0
    template, channels, width = library.templates[unit], library.channels[unit], library.widths[unit]
    length, kept = template.shape
    window = np.empty((length + 2 * jitter, kept), np.float32)
    _gather(traces, start, channels, width, window[jitter : jitter + length])
    middle = _inner(window[jitter : jitter + length], template)
    if middle < LEAST_IN_MIDDLE * low * library.energies[unit]:
        return best, shift, amplitude
    _gather(traces, start - jitter, channels, width, window[:jitter])
    _gather(traces, start + length, channels, width, window[jitter + length :])
    for step in range(-jitter, jitter + 1):
        projection = middle if step == 0 else _inner(window[jitter + step : jitter + step + length], template)
        found, gain = gain_of(projection, library.energies[unit], library.stiffness[unit], low, library.highs[unit])
        if gain > best:
            best, shift, amplitude = gain, step, found
    return best, shift, amplitude


@numba.njit(cache=True, nogil=True)
def fit(traces: Floats, index: int, proposals: Proposals, library: Library, rules: Rules) -> tuple[float, int, float]:
    """Fit a proposal to the traces, within the limits of its unit's amplitude: gain, shift, amplitude."""
    unit = proposals.units[index]
    return best_shift(traces, proposals.starts[index], unit, rules.jitter, library, library.lows[unit])


@numba.njit(cache=True, nogil=True)
def take(traces: Floats, index: int, proposals: Proposals, library: Library, gain: float, shift: int, amplitude: float) -> None:
    """Take a proposal as it was fitted: subtract it from the traces, in place, shifted by part of a sample where that helps."""
    unit, start = proposals.units[index], proposals.starts[index] + shift
    tilt = tilt_of(traces, start, unit, library, amplitude)
    proposals.amplitudes[index], proposals.tilts[index] = amplitude, tilt
    proposals.shifts[index], proposals.gains[index] = shift, gain
    subtract(traces, start, unit, library, amplitude, tilt)


@numba.njit(cache=True, nogil=True)
def put(traces: Floats, index: int, proposals: Proposals, library: Library, amplitude: float, tilt: float) -> None:
    """Subtract a spike with this amplitude and tilt in place of those that it had, at the place that it has."""
    start, unit = proposals.starts[index] + proposals.shifts[index], proposals.units[index]
    change, turn = amplitude - proposals.amplitudes[index], tilt - proposals.tilts[index]
    subtract(traces, start, unit, library, change, turn)
    proposals.amplitudes[index], proposals.tilts[index] = amplitude, tilt


@numba.njit(cache=True, nogil=True)
def put_back(traces: Floats, index: int, proposals: Proposals, library: Library) -> float:
    """Put a spike back, and return what it explained: the energy that it had taken away, less how unlikely its amplitude is."""
    amplitude, tilt, unit = proposals.amplitudes[index], proposals.tilts[index], proposals.units[index]
    start, channels = proposals.starts[index] + proposals.shifts[index], library.channels[unit]
    template, slope = library.templates[unit], library.slopes[unit]
    put(traces, index, proposals, library, 0.0, 0.0)
    total = np.float32(0.0)
    for sample in range(template.shape[0]):
        row = traces[start + sample]
        for channel in range(library.widths[unit]):
            value = amplitude * template[sample, channel] + tilt * slope[sample, channel]
            total += value * (2 * row[channels[channel]] - value)
    return float(total) - library.stiffness[unit] * (amplitude - 1) ** 2


@numba.njit(cache=True, nogil=True)
def refit(traces: Floats, index: int, proposals: Proposals, library: Library, rules: Rules, low: float) -> bool:
    """Take a spike where it fits best now, if it has at least an amplitude there; tell whether."""
    if proposals.amplitudes[index] > 0:
        put(traces, index, proposals, library, 0.0, 0.0)
    gain, shift, amplitude = best_shift(traces, proposals.starts[index], proposals.units[index], rules.jitter, library, low)
    if gain == -np.inf:
        return False
    take(traces, index, proposals, library, gain, shift, amplitude)
    return True


@numba.njit(cache=True, nogil=True)
def energy_left(traces: Floats, index: int, proposals: Proposals, library: Library) -> float:
    """Energy of the traces at a spike that noise does not explain: less twice the standard deviation of white noise's."""
    start, unit = proposals.starts[index] + proposals.shifts[index], proposals.units[index]
    length, width = library.templates.shape[1], library.widths[unit]
    total = np.float32(0.0)
    for sample in range(length):
        row = traces[start + sample]
        for channel in range(width):
            total += row[library.channels[unit, channel]] ** 2
    size = length * width
    return float(total) - size - 2 * np.sqrt(2.0 * size)


@numba.njit(cache=True, nogil=True)
def collect(
    residual: Floats, starts: Ints, units: Ints, halves: Ints, amplitudes: Floats, library: Library, sums: Floats, weights:
    Floats, measured: Floats,
) -> None:  # fmt: skip
    """Add the residual at each spike, times its amplitude, to the sums; measure the spike's amplitude without the prior."""
    channels = library.channels
    for index in range(len(starts)):
        unit, half, start, amplitude = units[index], halves[index], starts[index], amplitudes[index]
        weights[unit, half] += amplitude * amplitude
        left = _dot(residual, start, library.templates[unit], channels[unit], library.widths[unit])
        measured[index] = amplitude + left / library.energies[unit]
        for sample in range(sums.shape[2]):
            for channel in range(channels.shape[1]):
                sums[unit, half, sample, channel] += amplitude * residual[start + sample, channels[unit, channel]]

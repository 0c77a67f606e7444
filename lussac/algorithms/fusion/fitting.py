"""One spike and the traces: fit it, subtract it in place, put it back. Kernels that work on one stretch of traces.

Traces are (samples, channels). The kernels go along the samples of a channel: they are fastest where these lie side by side in
memory (Fortran order).
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

FEW = 8
"""Values that are added up one after the other."""
LEAST_IN_MIDDLE = 0.2
"""Share of the smallest amplitude of a spike that must show at the proposed position; a sample or two beside, most of it does."""


class Library(NamedTuple):
    """Templates of all units in one block of time, and what is needed to judge a spike.

    Parameters
    ----------
    shapes, slopes
        (units, channels of the unit, samples): waveforms in units of noise, and their derivative per sample. A channel's samples
        lie side by side, as they should in traces.
    channels, widths
        (units, channels of the unit), strongest first, and (units,) how many of them hold anything.
    energies, steepness
        (units,), squared norms of the templates and of their derivatives.
    stiffness, lows, highs
        (units,), one over the variance of the amplitude, and its limits.
    """

    shapes: Floats
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
        Twice the log-likelihood that the spike explains, and its prior.
    stirred
        Whether anything near has changed since the proposal was looked at: otherwise it would fare as it did.
    priors
        What is added to the gain: twice the log of how likely the spike is beforehand, compared with a usual proposal.
    """

    starts: Ints
    units: Ints
    amplitudes: Floats
    tilts: Floats
    shifts: Ints
    gains: Floats
    stirred: Bools
    priors: Floats

    @classmethod
    def at(cls, starts: Ints, units: Ints, priors: Floats | None = None) -> "Proposals":
        """Return proposals of which none is taken; without priors all are as likely."""
        amplitudes, tilts, gains = np.zeros((3, len(starts)), np.float32)
        shifts, stirred = np.zeros(len(starts), np.int64), np.ones(len(starts), np.bool_)
        usual = np.zeros(len(starts), np.float32)
        return cls(starts, units, amplitudes, tilts, shifts, gains, stirred, usual if priors is None else priors)


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
    doubt
        What is taken from the gain of a proposal that is doubtful.
    """

    threshold: float
    jitter: int
    dead: int
    polish: int
    doubt: float = 0.0


def library_of(templates: Floats, channels: Ints, stiffness: Floats, lows: Floats, highs: Floats) -> Library:
    """Return the library of templates (units, samples, channels of the unit)."""
    templates = np.ascontiguousarray(templates)
    energies = np.maximum((templates**2).sum(axis=(1, 2)), 1e-3)
    filled = (templates != 0).any(axis=1)
    widths = channels.shape[1] - np.argmax(filled[:, ::-1], axis=1)
    widths = np.where(filled.any(axis=1), widths, 1).astype(np.int64)
    slopes = slope_of(templates)
    shapes, slants = (np.ascontiguousarray(np.swapaxes(values, 1, 2)) for values in (templates, slopes))
    return Library(shapes, slants, channels, widths, energies, (slopes**2).sum(axis=(1, 2)), stiffness, lows, highs)


def slope_of(templates: Floats) -> Floats:
    """Return the derivative of templates (..., samples, channels) along time, per sample."""
    return np.asarray(np.gradient(templates, axis=-2), dtype=np.float32)


@numba.njit(cache=True, nogil=True)
def _total(sums: Floats) -> float:
    """Sum of an array, folded in half until little is left: vector units do that, and every processor rounds it alike."""
    length = len(sums)
    while length > FEW:
        half = (length + 1) // 2
        for place in range(length - half):
            sums[place] += sums[half + place]
        length = half
    total = np.float32(0.0)
    for place in range(length):
        total += sums[place]
    return float(total)


@numba.njit(cache=True, nogil=True)
def _inner(traces: Floats, start: int, shape: Floats, channels: Ints, width: int, sums: Floats) -> float:
    """Inner product of a waveform (channels, samples) with the traces on its channels.

    Every sample is added up over the channels in `sums` (samples,), four channels at a time, before the samples are.
    """
    stop = start + len(sums)
    sums[:] = 0
    fours = width // 4 * 4
    for first in range(0, fours, 4):
        a, b, c, d = shape[first], shape[first + 1], shape[first + 2], shape[first + 3]
        on_a, on_b = traces[start:stop, channels[first]], traces[start:stop, channels[first + 1]]
        on_c, on_d = traces[start:stop, channels[first + 2]], traces[start:stop, channels[first + 3]]
        for sample in range(len(sums)):
            sums[sample] += (on_a[sample] * a[sample] + on_b[sample] * b[sample]) + (
                on_c[sample] * c[sample] + on_d[sample] * d[sample]
            )
    for index in range(fours, width):
        row, own = traces[start:stop, channels[index]], shape[index]
        for sample in range(len(sums)):
            sums[sample] += row[sample] * own[sample]
    return _total(sums)


@numba.njit(cache=True, nogil=True)
def subtract(traces: Floats, start: int, unit: int, library: Library, amplitude: float, tilt: float) -> None:
    """Subtract amplitude x template + tilt x its slope from traces, in place."""
    size, turn = np.float32(amplitude), np.float32(tilt)
    length = library.shapes.shape[2]
    for index in range(library.widths[unit]):
        row = traces[start : start + length, library.channels[unit, index]]
        shape, slope = library.shapes[unit, index], library.slopes[unit, index]
        for sample in range(length):
            row[sample] -= size * shape[sample] + turn * slope[sample]


@numba.njit(cache=True, nogil=True)
def tilt_of(traces: Floats, start: int, unit: int, library: Library, amplitude: float) -> float:
    """Share of the template's slope at a spike: its shift by less than a sample, to first order.

    Drawn towards 0 as a shift that is uniform within a sample demands, and at most half a sample.
    """
    energy = library.steepness[unit] + 12.0 / max(amplitude, 0.1) ** 2
    sums = np.empty(library.slopes.shape[2], np.float32)
    found = _inner(traces, start, library.slopes[unit], library.channels[unit], library.widths[unit], sums) / energy
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
    shape, channels, width = library.shapes[unit], library.channels[unit], library.widths[unit]
    sums = np.empty(shape.shape[1], np.float32)
    middle = _inner(traces, start, shape, channels, width, sums)
    if middle < LEAST_IN_MIDDLE * low * library.energies[unit]:
        return best, shift, amplitude
    for step in range(-jitter, jitter + 1):
        projection = middle if step == 0 else _inner(traces, start + step, shape, channels, width, sums)
        found, gain = gain_of(projection, library.energies[unit], library.stiffness[unit], low, library.highs[unit])
        if gain > best:
            best, shift, amplitude = gain, step, found
    return best, shift, amplitude


@numba.njit(cache=True, nogil=True)
def fit_from(
    traces: Floats, index: int, proposals: Proposals, library: Library, rules: Rules, low: float
) -> tuple[float, int, float]:
    """Fit a proposal to the traces, with at least an amplitude: gain with prior, shift, amplitude."""
    gain, shift, amplitude = best_shift(traces, proposals.starts[index], proposals.units[index], rules.jitter, library, low)
    return gain + proposals.priors[index], shift, amplitude


@numba.njit(cache=True, nogil=True)
def fit(traces: Floats, index: int, proposals: Proposals, library: Library, rules: Rules) -> tuple[float, int, float]:
    """Fit a proposal to the traces, within the limits of its unit's amplitude: gain with prior, shift, amplitude."""
    return fit_from(traces, index, proposals, library, rules, library.lows[proposals.units[index]])


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
    start, length = proposals.starts[index] + proposals.shifts[index], library.shapes.shape[2]
    put(traces, index, proposals, library, 0.0, 0.0)
    sums = np.zeros(length, np.float32)
    for channel in range(library.widths[unit]):
        row = traces[start : start + length, library.channels[unit, channel]]
        shape, slope = library.shapes[unit, channel], library.slopes[unit, channel]
        for sample in range(length):
            value = amplitude * shape[sample] + tilt * slope[sample]
            sums[sample] += value * (row[sample] + row[sample] - value)
    return _total(sums) - library.stiffness[unit] * (amplitude - 1) ** 2


@numba.njit(cache=True, nogil=True)
def refit(traces: Floats, index: int, proposals: Proposals, library: Library, rules: Rules, low: float) -> bool:
    """Take a spike where it fits best now, if it has at least an amplitude there; tell whether."""
    if proposals.amplitudes[index] > 0:
        put(traces, index, proposals, library, 0.0, 0.0)
    gain, shift, amplitude = fit_from(traces, index, proposals, library, rules, low)
    if gain == -np.inf:
        return False
    take(traces, index, proposals, library, gain, shift, amplitude)
    return True


@numba.njit(cache=True, nogil=True)
def energy_left(traces: Floats, index: int, proposals: Proposals, library: Library) -> float:
    """Energy of the traces at a spike that noise does not explain: less twice the standard deviation of white noise's."""
    start, unit = proposals.starts[index] + proposals.shifts[index], proposals.units[index]
    length, width = library.shapes.shape[2], library.widths[unit]
    sums = np.zeros(length, np.float32)
    for channel in library.channels[unit, :width]:
        row = traces[start : start + length, channel]
        for sample in range(length):
            sums[sample] += row[sample] * row[sample]
    size = length * width
    return _total(sums) - size - 2 * np.sqrt(2.0 * size)


@numba.njit(cache=True, nogil=True)
def collect(
    residual: Floats, starts: Ints, units: Ints, halves: Ints, amplitudes: Floats, library: Library, sums: Floats, weights:
    Floats, measured: Floats,
) -> None:  # fmt: skip
    """Add the residual at each spike, times its amplitude, to the sums; measure the spike's amplitude without the prior."""
    channels, scratch = library.channels, np.empty(library.shapes.shape[2], np.float32)
    for index in range(len(starts)):
        unit, half, start, amplitude = units[index], halves[index], starts[index], amplitudes[index]
        weights[unit, half] += amplitude * amplitude
        left = _inner(residual, start, library.shapes[unit], channels[unit], library.widths[unit], scratch)
        measured[index] = amplitude + left / library.energies[unit]
        for sample in range(sums.shape[2]):
            for channel in range(channels.shape[1]):
                sums[unit, half, sample, channel] += amplitude * residual[start + sample, channels[unit, channel]]

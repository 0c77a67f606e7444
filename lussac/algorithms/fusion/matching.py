"""Explain the recording by the units' templates: which of the proposed spikes are there, and whose they are."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.trains import InTime

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Model:
    """What the units look like.

    Parameters
    ----------
    templates
        (blocks, units, samples, channels of the unit), in units of noise.
    channels
        (units, channels of the unit).
    before
        Samples before the spike.
    stiffness
        (units,), one over the variance of the amplitude (relative to the template's) from spike to spike.
    lows, highs
        (units,), smallest and largest amplitude that a spike of the unit may have.
    """

    templates: Floats
    channels: Ints
    before: int
    stiffness: Floats
    lows: Floats
    highs: Floats

    def __len__(self) -> int:
        return len(self.channels)

    def of(self, units: Ints) -> "Model":
        """Return the model of these units; a unit may be named twice."""
        return Model(
            self.templates[:, units],
            self.channels[units],
            self.before,
            self.stiffness[units],
            self.lows[units],
            self.highs[units],
        )


@dataclass(frozen=True, slots=True)
class Found:
    """Spikes that the recording shows, in order of time.

    Parameters
    ----------
    samples, units
        Position and unit.
    amplitudes
        As measured with all other spikes subtracted.
    fitted
        What was subtracted: the measured amplitude drawn towards 1 as the unit's prior demands.
    tilts
        Share of the template's slope that was subtracted too: the shift by less than a sample.
    gains
        Twice the log-likelihood that the spike explains.
    """

    samples: Ints
    units: Ints
    amplitudes: Floats
    fitted: Floats
    tilts: Floats
    gains: Floats


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of what is left at the spikes of a unit when all spikes are subtracted, times the spike's amplitude.

    Parameters
    ----------
    residuals
        (blocks, units, 2, samples, channels of the unit); the two halves of the spikes.
    weights
        (blocks, units, 2): sums of squared amplitudes.
    """

    residuals: Floats
    weights: Floats


@numba.njit(cache=True, nogil=True)
def _dot(traces: Floats, start: int, template: Floats, channels: Ints) -> float:
    total = np.float32(0.0)
    for sample in range(template.shape[0]):
        row = traces[start + sample]
        for index in range(len(channels)):
            total += row[channels[index]] * template[sample, index]
    return total


@numba.njit(cache=True, nogil=True)
def subtract(traces: Floats, start: int, template: Floats, slope: Floats, channels: Ints, amplitude: float, tilt: float) -> None:
    """Subtract amplitude x template + tilt x its slope from traces, in place."""
    for sample in range(template.shape[0]):
        for index in range(len(channels)):
            traces[start + sample, channels[index]] -= amplitude * template[sample, index] + tilt * slope[sample, index]


@numba.njit(cache=True, nogil=True)
def tilt_of(traces: Floats, start: int, slope: Floats, channels: Ints, amplitude: float) -> float:
    """Share of the template's slope at a spike: its shift by less than a sample, to first order.

    Drawn towards 0 as a shift that is uniform within a sample demands, and at most half a sample.
    """
    energy = (slope**2).sum() + 12.0 / max(amplitude, 0.1) ** 2
    return min(max(_dot(traces, start, slope, channels) / energy, -0.5 * amplitude), 0.5 * amplitude)


def slope_of(templates: Floats) -> Floats:
    """Derivative of templates (..., samples, channels) along time, per sample."""
    return np.asarray(np.gradient(templates, axis=-2), dtype=np.float32)


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
def _try(traces, start, unit, jitter, templates, channels, energies, stiffness, lows, highs):  # noqa: ANN001, ANN202
    """Best gain of one proposal over small shifts: gain, shift, amplitude."""
    best, shift, amplitude = -np.inf, 0, 0.0
    for step in range(-jitter, jitter + 1):
        projection = _dot(traces, start + step, templates[unit], channels[unit])
        found, gain = gain_of(projection, energies[unit], stiffness[unit], lows[unit], highs[unit])
        if gain > best:
            best, shift, amplitude = gain, step, found
    return best, shift, amplitude


@numba.njit(cache=True, nogil=True)
def _take_greedily(  # noqa: ANN202
    traces,
    starts,
    units,
    templates,
    slopes,
    channels,
    energies,
    stiffness,
    lows,
    highs,
    threshold,
    jitter,
    dead,
    amplitudes,
    tilts,
    shifts,
    gains,  # noqa: ANN001, E501
):
    """Take proposals that are not taken yet, largest gain first, and subtract each; a gain is measured again before it is believed."""
    heap = [(0.0, -1)]
    heap.pop()
    for index in range(len(starts)):
        if amplitudes[index] == 0:
            gain, _, _ = _try(traces, starts[index], units[index], jitter, templates, channels, energies, stiffness, lows, highs)
            if gain > threshold:
                heap.append((-gain, index))
    heapq.heapify(heap)
    while len(heap) > 0:
        _, index = heapq.heappop(heap)
        if _blocked(index, starts, units, amplitudes, dead):
            continue
        gain, shift, amplitude = _try(
            traces, starts[index], units[index], jitter, templates, channels, energies, stiffness, lows, highs
        )
        if gain <= threshold:
            continue
        if len(heap) > 0 and gain < -heap[0][0]:
            heapq.heappush(heap, (-gain, index))
            continue
        unit, start = units[index], starts[index] + shift
        amplitudes[index], shifts[index], gains[index] = amplitude, shift, gain
        tilts[index] = tilt_of(traces, start, slopes[unit], channels[unit], amplitude)
        subtract(traces, start, templates[unit], slopes[unit], channels[unit], amplitude, tilts[index])


@numba.njit(cache=True, nogil=True)
def _reconsider(  # noqa: ANN202
    traces,
    starts,
    units,
    templates,
    slopes,
    channels,
    energies,
    stiffness,
    lows,
    highs,
    threshold,
    jitter,
    dead,
    amplitudes,
    tilts,
    shifts,
    gains,  # noqa: ANN001, E501
):
    """Put every spike back, and take what explains the place best now that all others are known: it, another unit, or nothing."""
    for index in range(len(starts)):
        if amplitudes[index] == 0:
            continue
        unit = units[index]
        subtract(
            traces,
            starts[index] + shifts[index],
            templates[unit],
            slopes[unit],
            channels[unit],
            -amplitudes[index],
            -tilts[index],
        )
        amplitudes[index] = 0
        best, chosen, chosen_shift, chosen_amplitude = threshold, -1, 0, 0.0
        other = index
        while other > 0 and starts[other - 1] >= starts[index] - dead // 2:
            other -= 1
        while other < len(starts) and starts[other] <= starts[index] + dead // 2:
            if amplitudes[other] == 0 and not _blocked(other, starts, units, amplitudes, dead):
                gain, shift, amplitude = _try(
                    traces, starts[other], units[other], jitter, templates, channels, energies, stiffness, lows, highs
                )
                if gain > best:
                    best, chosen, chosen_shift, chosen_amplitude = gain, other, shift, amplitude
            other += 1
        if chosen >= 0:
            unit, start = units[chosen], starts[chosen] + chosen_shift
            amplitudes[chosen], shifts[chosen], gains[chosen] = chosen_amplitude, chosen_shift, best
            tilts[chosen] = tilt_of(traces, start, slopes[unit], channels[unit], chosen_amplitude)
            subtract(traces, start, templates[unit], slopes[unit], channels[unit], chosen_amplitude, tilts[chosen])


@numba.njit(cache=True, nogil=True)
def explain(  # noqa: ANN202
    traces,
    starts,
    units,
    templates,
    slopes,
    channels,
    energies,
    stiffness,
    lows,
    highs,
    threshold,
    jitter,
    dead,
    polish,  # noqa: ANN001
):
    """Take proposals one by one, largest gain first, subtract each, and then reconsider each against all others.

    `traces` ends as the residual. Returns, for every proposal, its amplitude (0 where it is not taken), tilt, shift and gain.
    """
    amplitudes = np.zeros(len(starts), np.float32)
    tilts = np.zeros(len(starts), np.float32)
    shifts = np.zeros(len(starts), np.int64)
    gains = np.zeros(len(starts), np.float32)
    for turn in range(polish + 1):
        if turn:
            _reconsider(
                traces, starts, units, templates, slopes, channels, energies, stiffness, lows, highs, threshold, jitter, dead, amplitudes,
                tilts, shifts, gains,
            )  # fmt: skip
        _take_greedily(
            traces, starts, units, templates, slopes, channels, energies, stiffness, lows, highs, threshold, jitter, dead, amplitudes, tilts,
            shifts, gains,
        )  # fmt: skip
    return amplitudes, tilts, shifts, gains


@numba.njit(cache=True, nogil=True)
def _blocked(index: int, starts: Ints, units: Ints, amplitudes: Floats, dead: int) -> bool:
    """Tell whether the unit has a spike nearby already."""
    other = index - 1
    while other >= 0 and starts[other] >= starts[index] - dead:
        if units[other] == units[index] and amplitudes[other] > 0:
            return True
        other -= 1
    other = index + 1
    while other < len(starts) and starts[other] <= starts[index] + dead:
        if units[other] == units[index] and amplitudes[other] > 0:
            return True
        other += 1
    return False


@numba.njit(cache=True, nogil=True)
def _collect(  # noqa: ANN202
    residual,
    starts,
    units,
    halves,
    amplitudes,
    templates,
    channels,
    energies,
    sums,
    weights,
    measured,  # noqa: ANN001
):
    """Add the residual at each spike to the sums, and measure the spike's amplitude without the prior."""
    for index in range(len(starts)):
        unit, half, start, amplitude = units[index], halves[index], starts[index], amplitudes[index]
        weights[unit, half] += amplitude * amplitude
        left = _dot(residual, start, templates[unit], channels[unit])
        measured[index] = amplitude + left / energies[unit]
        for sample in range(templates.shape[1]):
            for channel in range(channels.shape[1]):
                sums[unit, half, sample, channel] += amplitude * residual[start + sample, channels[unit, channel]]


@dataclass(frozen=True, slots=True)
class Effort:
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

    threshold: float = 10.0
    jitter: int = 2
    dead: int = 12
    polish: int = 2


def match(source: Source, chunks: Sequence[Chunk], proposals: InTime, model: Model, effort: Effort) -> tuple[Found, Sums]:
    """Find which proposed spikes the recording shows when all units compete for it.

    Each chunk is explained for itself, with margins in which the result is thrown away: nothing depends on the order of chunks.
    """
    blocks, size, length, kept = model.templates.shape
    sums = Sums(np.zeros((blocks, size, 2, length, kept), np.float32), np.zeros((blocks, size, 2), np.float32))
    parts = [_match_chunk(source, chunk, proposals, model, effort, sums) for chunk in chunks]
    fields = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Found(*fields), sums


def _match_chunk(
    source: Source, chunk: Chunk, proposals: InTime, model: Model, effort: Effort, sums: Sums
) -> tuple[Ints, Ints, Floats, Floats, Floats, Floats]:
    templates = model.templates[chunk.block]
    length = templates.shape[1]
    margin = 3 * length
    energies = np.maximum((templates**2).sum(axis=(1, 2)), 1e-3)
    near = proposals.between(chunk.start - margin, chunk.stop + margin)
    units = proposals.units[near]
    first = chunk.start - margin - length
    traces = source.read(first, chunk.stop + margin + length)
    starts = proposals.samples[near] - first - model.before
    amplitudes, tilts, shifts, gains = explain(
        traces, starts, units, templates, slope_of(templates), model.channels, energies, model.stiffness, model.lows, model.highs, effort.threshold,
        effort.jitter, effort.dead, effort.polish,
    )  # fmt: skip
    samples = starts + shifts + first + model.before
    taken = np.flatnonzero((amplitudes > 0) & (samples >= chunk.start) & (samples < chunk.stop))
    taken = taken[np.argsort(samples[taken], kind="stable")]
    measured = np.empty(len(taken), np.float32)
    halves = (np.cumsum(np.ones(len(taken), np.int64)) + samples[taken] // 64) % 2
    _collect(
        traces, starts[taken] + shifts[taken], units[taken], halves, amplitudes[taken], templates, model.channels, energies,
        sums.residuals[chunk.block], sums.weights[chunk.block], measured,
    )  # fmt: skip
    return samples[taken], units[taken], measured, amplitudes[taken], tilts[taken], gains[taken]

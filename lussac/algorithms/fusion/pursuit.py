"""Matching pursuit over proposed spikes: kernels that work on one stretch of traces and change it in place."""

import heapq
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

TURNS = 3
"""How often each of two spikes that overlap is fitted again."""
SMALLEST_AMPLITUDE = 0.1
"""What is left of a spike where a louder one took most of it away: it is tried whether it is larger once both are fitted."""
LEAST_IN_MIDDLE = 0.2
"""Share of the smallest amplitude of a spike that must show at the proposed position; a sample or two beside, most of it does."""
MISFIT = 0.01
"""Share of what one spike explains that two must explain beyond it: no template is exact, and two always fit better than one."""


ODD = 2.5
"""Standard deviations by which a spike is larger than its unit's from which on other spikes may be hidden in it."""
STRANGE = 2.0
"""Energy left at a spike, over that explained, from which on it is not the unit's."""
TOGETHER = 4
"""Spikes at one place that are found anew all at once."""


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
def _blocked(index: int, proposals: Proposals, dead: int) -> bool:
    """Tell whether the unit has a spike nearby already."""
    start, unit = proposals.starts[index], proposals.units[index]
    other = index - 1
    while other >= 0 and proposals.starts[other] >= start - dead:
        if proposals.units[other] == unit and proposals.amplitudes[other] > 0:
            return True
        other -= 1
    other = index + 1
    while other < len(proposals.starts) and proposals.starts[other] <= start + dead:
        if proposals.units[other] == unit and proposals.amplitudes[other] > 0:
            return True
        other += 1
    return False


@numba.njit(cache=True, nogil=True)
def _take(traces: Floats, index: int, proposals: Proposals, library: Library, gain: float, shift: int, amplitude: float) -> None:
    unit, start = proposals.units[index], proposals.starts[index] + shift
    tilt = tilt_of(traces, start, unit, library, amplitude)
    proposals.amplitudes[index], proposals.tilts[index] = amplitude, tilt
    proposals.shifts[index], proposals.gains[index] = shift, gain
    subtract(traces, start, unit, library, amplitude, tilt)


@numba.njit(cache=True, nogil=True)
def _fit(traces: Floats, index: int, proposals: Proposals, library: Library, rules: Rules) -> tuple[float, int, float]:
    """Fit a proposal to the traces, within the limits of its unit's amplitude: gain, shift, amplitude."""
    unit = proposals.units[index]
    return best_shift(traces, proposals.starts[index], unit, rules.jitter, library, library.lows[unit])


@numba.njit(cache=True, nogil=True)
def take_greedily(traces: Floats, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Take proposals that are not taken yet, largest gain first, subtract each, and believe only gains measured after that."""
    heap = [(0.0, -1)]
    heap.pop()
    for index in range(len(proposals.starts)):
        if proposals.amplitudes[index] == 0:
            gain, _, _ = _fit(traces, index, proposals, library, rules)
            if gain > rules.threshold:
                heap.append((-gain, index))
    heapq.heapify(heap)
    while len(heap) > 0:
        _, index = heapq.heappop(heap)
        if _blocked(index, proposals, rules.dead):
            continue
        gain, shift, amplitude = _fit(traces, index, proposals, library, rules)
        if gain <= rules.threshold:
            continue
        if len(heap) > 0 and gain < -heap[0][0]:
            heapq.heappush(heap, (-gain, index))
            continue
        _take(traces, index, proposals, library, gain, shift, amplitude)


@numba.njit(cache=True, nogil=True)
def _put(traces: Floats, index: int, proposals: Proposals, library: Library, amplitude: float, tilt: float) -> None:
    """Subtract a spike with this amplitude and tilt in place of those that it had, at the place that it has."""
    start, unit = proposals.starts[index] + proposals.shifts[index], proposals.units[index]
    change, turn = amplitude - proposals.amplitudes[index], tilt - proposals.tilts[index]
    subtract(traces, start, unit, library, change, turn)
    proposals.amplitudes[index], proposals.tilts[index] = amplitude, tilt


@numba.njit(cache=True, nogil=True)
def _put_back(traces: Floats, index: int, proposals: Proposals, library: Library) -> float:
    """Put a spike back, and return what it explained: the energy that it had taken away, less how unlikely its amplitude is."""
    amplitude, tilt, unit = proposals.amplitudes[index], proposals.tilts[index], proposals.units[index]
    start, channels = proposals.starts[index] + proposals.shifts[index], library.channels[unit]
    template, slope = library.templates[unit], library.slopes[unit]
    _put(traces, index, proposals, library, 0.0, 0.0)
    total = np.float32(0.0)
    for sample in range(template.shape[0]):
        row = traces[start + sample]
        for channel in range(library.widths[unit]):
            value = amplitude * template[sample, channel] + tilt * slope[sample, channel]
            total += value * (2 * row[channels[channel]] - value)
    return float(total) - library.stiffness[unit] * (amplitude - 1) ** 2


@numba.njit(cache=True, nogil=True)
def _refit(traces: Floats, index: int, proposals: Proposals, library: Library, rules: Rules, low: float) -> bool:
    """Take a spike where it fits best now, if it has at least an amplitude there; tell whether."""
    if proposals.amplitudes[index] > 0:
        _put(traces, index, proposals, library, 0.0, 0.0)
    gain, shift, amplitude = best_shift(traces, proposals.starts[index], proposals.units[index], rules.jitter, library, low)
    if gain == -np.inf:
        return False
    _take(traces, index, proposals, library, gain, shift, amplitude)
    return True


@numba.njit(cache=True, nogil=True)
def _take_both(
    traces: Floats, first: int, second: int, least: float, proposals: Proposals, library: Library, rules: Rules
) -> bool:
    """Take two spikes, fitted in turns, if together they explain more than `least`; tell whether.

    Where templates overlap, the first one fitted takes part of what the other one explains, so that the second seems too small to
    be a spike of its unit until the first is fitted again.
    """
    units = proposals.units
    for turn in range(TURNS):
        last = turn == TURNS - 1
        for index in (first, second):
            low = min(np.inf if last else SMALLEST_AMPLITUDE, library.lows[units[index]])
            if not _refit(traces, index, proposals, library, rules, low):
                for other in (first, second):
                    if proposals.amplitudes[other] > 0:
                        _put(traces, other, proposals, library, 0.0, 0.0)
                return False
    amplitude, tilt = proposals.amplitudes[second], proposals.tilts[second]
    first_amplitude, first_tilt = proposals.amplitudes[first], proposals.tilts[first]
    explained = _put_back(traces, second, proposals, library) + _put_back(traces, first, proposals, library)
    if explained <= least:
        return False
    _put(traces, first, proposals, library, first_amplitude, first_tilt)
    _put(traces, second, proposals, library, amplitude, tilt)
    return True


@numba.njit(cache=True, nogil=True)
def _around(index: int, reach: int, starts: Ints) -> tuple[int, int]:
    """First of the proposals within `reach` of one, and the first after them."""
    first, stop = index, index + 1
    while first > 0 and starts[first - 1] >= starts[index] - reach:
        first -= 1
    while stop < len(starts) and starts[stop] <= starts[index] + reach:
        stop += 1
    return first, stop


@numba.njit(cache=True, nogil=True)
def _best_near(
    traces: Floats, index: int, reach: int, without: int, proposals: Proposals, library: Library, rules: Rules, enough: float
) -> tuple[float, int, int, float]:
    """Best proposal that is not taken within `reach` of another one: gain, index, shift, amplitude.

    Parameters
    ----------
    without
        Unit that is not looked for; -1: any is.
    enough
        Amplitude that is enough, even if those of the unit are larger.
    """
    starts, units = proposals.starts, proposals.units
    best, chosen, chosen_shift, chosen_amplitude = rules.threshold, -1, 0, 0.0
    for other in range(*_around(index, reach, starts)):
        if proposals.amplitudes[other] == 0 and units[other] != without and not _blocked(other, proposals, rules.dead):
            low = min(enough, library.lows[units[other]])
            gain, shift, amplitude = best_shift(traces, starts[other], units[other], rules.jitter, library, low)
            if gain > best:
                best, chosen, chosen_shift, chosen_amplitude = gain, other, shift, amplitude
    return best, chosen, chosen_shift, chosen_amplitude


@numba.njit(cache=True, nogil=True)
def _take_two_for(traces: Floats, index: int, least: float, proposals: Proposals, library: Library, rules: Rules) -> bool:
    """Take two spikes of other units in place of one that was put back, if they explain more than `least`; tell whether."""
    unit, reach = proposals.units[index], 2 * rules.dead
    gain, first, shift, amplitude = _best_near(traces, index, reach, unit, proposals, library, rules, SMALLEST_AMPLITUDE)
    if first < 0:
        return False
    _take(traces, first, proposals, library, gain, shift, amplitude)
    _, second, _, _ = _best_near(traces, index, reach, unit, proposals, library, rules, SMALLEST_AMPLITUDE)
    _put(traces, first, proposals, library, 0.0, 0.0)
    return second >= 0 and _take_both(traces, first, second, least, proposals, library, rules)


@numba.njit(cache=True, nogil=True)
def _left(traces: Floats, index: int, proposals: Proposals, library: Library) -> float:
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
def reconsider(traces: Floats, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Put every spike back, and take what explains the place best now that all others are known.

    That is the spike itself, one of another unit, two of other units, or nothing. A unit may be the sum of two neurons that fire
    together; it explains more than either, so that only both at once can take its place.
    """
    for index in range(len(proposals.starts)):
        if proposals.amplitudes[index] == 0:
            continue
        _put(traces, index, proposals, library, 0.0, 0.0)
        gain, chosen, shift, amplitude = _best_near(traces, index, rules.dead // 2, -1, proposals, library, rules, np.inf)
        if chosen < 0:
            _take_two_for(traces, index, 2 * rules.threshold, proposals, library, rules)
            continue
        _take(traces, chosen, proposals, library, gain, shift, amplitude)
        least = rules.threshold + MISFIT * gain
        if _left(traces, chosen, proposals, library) > least:
            tilt = proposals.tilts[chosen]
            least += _put_back(traces, chosen, proposals, library)
            if not _take_two_for(traces, index, least, proposals, library, rules):
                proposals.shifts[chosen], proposals.gains[chosen] = shift, gain
                _put(traces, chosen, proposals, library, amplitude, tilt)


@numba.njit(cache=True, nogil=True)
def _loudest_over(index: int, proposals: Proposals, library: Library) -> int:
    """Spike taken that hides a proposal: the loudest whose template reaches over the proposal's largest channel; -1: none."""
    starts, units, amplitudes = proposals.starts, proposals.units, proposals.amplitudes
    channel, reach = library.channels[units[index], 0], library.templates.shape[1] // 2
    best, loudest = 0.0, -1
    for other in range(*_around(index, reach, starts)):
        if amplitudes[other] > 0 and (library.channels[units[other]][: library.widths[units[other]]] == channel).any():
            energy = library.energies[units[other]] * amplitudes[other] ** 2
            if energy > best:
                best, loudest = energy, other
    return loudest


@numba.njit(cache=True, nogil=True)
def uncover(traces: Floats, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Take proposals that a louder spike hides: they and the louder spike are fitted together."""
    for index in range(len(proposals.starts)):
        if proposals.amplitudes[index] > 0:
            continue
        gain, _, amplitude = best_shift(
            traces, proposals.starts[index], proposals.units[index], rules.jitter, library, SMALLEST_AMPLITUDE
        )
        if gain == -np.inf or library.energies[proposals.units[index]] * amplitude**2 <= rules.threshold:
            continue
        over = _loudest_over(index, proposals, library)
        if over < 0 or proposals.units[over] == proposals.units[index] or _blocked(index, proposals, rules.dead):
            continue
        amplitude, tilt, shift, gain = (
            proposals.amplitudes[over], proposals.tilts[over], proposals.shifts[over], proposals.gains[over],
        )  # fmt: skip
        explained = _put_back(traces, over, proposals, library)
        if not _take_both(traces, over, index, (1 + MISFIT) * explained + rules.threshold, proposals, library, rules):
            proposals.shifts[over], proposals.gains[over] = shift, gain
            _put(traces, over, proposals, library, amplitude, tilt)


@numba.njit(cache=True, nogil=True)
def _over_each_other(a: int, b: int, library: Library) -> bool:
    """Tell whether the strongest channel of one unit is a channel of the other."""
    first, second = library.channels[a], library.channels[b]
    inside = (second[: library.widths[b]] == first[0]).any() or (first[: library.widths[a]] == second[0]).any()
    return bool(inside)


@numba.njit(cache=True, nogil=True)
def _taken_around(index: int, reach: int, proposals: Proposals, library: Library, out: Ints) -> int:
    """List the spikes taken within `reach` of one, itself included, and count them; more than there is room for: -1."""
    units, count = proposals.units, 0
    for other in range(*_around(index, reach, proposals.starts)):
        if proposals.amplitudes[other] > 0 and _over_each_other(units[index], units[other], library):
            if count == len(out):
                return -1
            out[count] = other
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _put_all_back(traces: Floats, spikes: Ints, proposals: Proposals, library: Library, rules: Rules) -> float:
    """Put spikes back, and return what they explained beyond the evidence that each must bring."""
    explained = 0.0
    for index in spikes[::-1]:
        explained += _put_back(traces, index, proposals, library) - rules.threshold
    return explained


@numba.njit(cache=True, nogil=True)
def _take_around(
    traces: Floats, first: int, index: int, reach: int, proposals: Proposals, library: Library, rules: Rules, out: Ints
) -> int:
    """Take one spike as it usually is, then what is left around another, largest first; fit all in turns, and count them."""
    out[0], count = first, 1
    gain, shift, amplitude = _fit(traces, first, proposals, library, rules)
    _take(traces, first, proposals, library, gain, shift, min(amplitude, 1.0))
    while count < len(out):
        gain, chosen, shift, amplitude = _best_near(traces, index, reach, -1, proposals, library, rules, np.inf)
        if chosen < 0:
            break
        _take(traces, chosen, proposals, library, gain, shift, amplitude)
        out[count] = chosen
        count += 1
    for _ in range(TURNS):
        for spike in out[:count]:
            amplitude, tilt, shift = proposals.amplitudes[spike], proposals.tilts[spike], proposals.shifts[spike]
            if not _refit(traces, spike, proposals, library, rules, library.lows[proposals.units[spike]]):
                proposals.shifts[spike] = shift
                _put(traces, spike, proposals, library, amplitude, tilt)
    return count


@numba.njit(cache=True, nogil=True)
def _find_anew(traces: Floats, index: int, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Put all spikes around one back, and take what explains the place best, whichever proposal is taken first.

    The spike that explains most may be the sum of two others: what is taken after it then makes up for its faults.
    """
    before, after = np.empty(TOGETHER, np.int64), np.empty(TOGETHER, np.int64)
    count = _taken_around(index, rules.dead, proposals, library, before)
    if count < 1:
        return
    own = before[:count]
    amplitudes, tilts = proposals.amplitudes[own], proposals.tilts[own]
    shifts, gains = proposals.shifts[own], proposals.gains[own]
    best = _put_all_back(traces, own, proposals, library, rules)
    margin, chosen = MISFIT * abs(best), -1
    for first in range(*_around(index, rules.dead, proposals.starts)):
        new = not (own == first).any() and _over_each_other(proposals.units[index], proposals.units[first], library)
        if (
            not new
            or _blocked(first, proposals, rules.dead)
            or _fit(traces, first, proposals, library, rules)[0] <= rules.threshold
        ):
            continue
        found = _take_around(traces, first, index, rules.dead, proposals, library, rules, after)
        explained = _put_all_back(traces, after[:found], proposals, library, rules) - (margin if found > count else 0.0)
        if explained > best:
            best, chosen = explained, first
    if chosen >= 0:
        _take_around(traces, chosen, index, rules.dead, proposals, library, rules, after)
        return
    for place, spike in enumerate(own):
        proposals.shifts[spike], proposals.gains[spike] = shifts[place], gains[place]
        _put(traces, spike, proposals, library, np.float64(amplitudes[place]), np.float64(tilts[place]))


@numba.njit(cache=True, nogil=True)
def disentangle(traces: Floats, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Find all spikes anew where one is larger than its unit's are: it may be several that came together."""
    for index in range(len(proposals.starts)):
        amplitude, unit = proposals.amplitudes[index], proposals.units[index]
        if amplitude > 0 and (amplitude - 1) * np.sqrt(library.stiffness[unit]) > ODD:
            _find_anew(traces, index, proposals, library, rules)


@numba.njit(cache=True, nogil=True)
def drop_strangers(traces: Floats, proposals: Proposals, library: Library) -> None:
    """Put back spikes that leave more than they explain: they are spikes of a neuron that no unit stands for."""
    for index in range(len(proposals.starts)):
        if proposals.amplitudes[index] > 0:
            left = _left(traces, index, proposals, library)
            if left <= 0:
                continue
            amplitude, tilt = proposals.amplitudes[index], proposals.tilts[index]
            if left < STRANGE * _put_back(traces, index, proposals, library):
                _put(traces, index, proposals, library, amplitude, tilt)


@numba.njit(cache=True, nogil=True)
def explain(traces: Floats, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Take proposals one by one, largest gain first, subtract each, and then reconsider each against all others.

    `traces` ends as the residual; the proposals say what was taken.
    """
    take_greedily(traces, proposals, library, rules)
    for _ in range(rules.polish):
        reconsider(traces, proposals, library, rules)
        uncover(traces, proposals, library, rules)
        disentangle(traces, proposals, library, rules)
        take_greedily(traces, proposals, library, rules)
    drop_strangers(traces, proposals, library)


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

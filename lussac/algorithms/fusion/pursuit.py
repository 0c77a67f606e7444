"""Matching pursuit over proposed spikes: which of them, one by one and together, explain one stretch of traces."""

import heapq

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.fitting import (
    Library,
    Proposals,
    Rules,
    energy_left,
    fit,
    fit_from,
    put,
    put_back,
    refit,
    take,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

TURNS = 3
"""How often each of two spikes that overlap is fitted again."""
SMALLEST_AMPLITUDE = 0.1
"""What is left of a spike where a louder one took most of it away: it is tried whether it is larger once both are fitted."""
MISFIT = 0.01
"""Share of what one spike explains that two must explain beyond it: no template is exact, and two always fit better than one."""
ODD = 2.5
"""Standard deviations by which a spike is larger than its unit's from which on other spikes may be hidden in it."""
STRANGE = 2.0
"""Energy left at a spike, over that explained, from which on it is not the unit's."""
LITTLE = 0.1
"""Energy by which a spike may change before what is near is looked at again: noise has 1 along any waveform."""
TOGETHER = 4
"""Spikes at one place that are found anew all at once."""


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
def take_greedily(traces: Floats, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Take proposals that are not taken yet, largest gain first, subtract each, and believe only gains measured after that."""
    heap = [(0.0, -1)]
    heap.pop()
    for index in range(len(proposals.starts)):
        if proposals.amplitudes[index] == 0 and proposals.stirred[index]:
            gain, _, _ = fit(traces, index, proposals, library, rules)
            if gain > rules.threshold:
                heap.append((-gain, index))
    heapq.heapify(heap)
    while len(heap) > 0:
        _, index = heapq.heappop(heap)
        if _blocked(index, proposals, rules.dead):
            continue
        gain, shift, amplitude = fit(traces, index, proposals, library, rules)
        if gain <= rules.threshold:
            continue
        if len(heap) > 0 and gain < -heap[0][0]:
            heapq.heappush(heap, (-gain, index))
            continue
        take(traces, index, proposals, library, gain, shift, amplitude)


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
            if not refit(traces, index, proposals, library, rules, low):
                for other in (first, second):
                    if proposals.amplitudes[other] > 0:
                        put(traces, other, proposals, library, 0.0, 0.0)
                return False
    amplitude, tilt = proposals.amplitudes[second], proposals.tilts[second]
    first_amplitude, first_tilt = proposals.amplitudes[first], proposals.tilts[first]
    explained = put_back(traces, second, proposals, library) + put_back(traces, first, proposals, library)
    if explained <= least:
        return False
    put(traces, first, proposals, library, first_amplitude, first_tilt)
    put(traces, second, proposals, library, amplitude, tilt)
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
            gain, shift, amplitude = fit_from(traces, other, proposals, library, rules, low)
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
    take(traces, first, proposals, library, gain, shift, amplitude)
    _, second, _, _ = _best_near(traces, index, reach, unit, proposals, library, rules, SMALLEST_AMPLITUDE)
    put(traces, first, proposals, library, 0.0, 0.0)
    return second >= 0 and _take_both(traces, first, second, least, proposals, library, rules)


@numba.njit(cache=True, nogil=True)
def reconsider(traces: Floats, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Put every spike back, and take what explains the place best now that all others are known.

    That is the spike itself, one of another unit, two of other units, or nothing. A unit may be the sum of two neurons that fire
    together; it explains more than either, so that only both at once can take its place.
    """
    for index in range(len(proposals.starts)):
        if proposals.amplitudes[index] == 0 or not proposals.stirred[index]:
            continue
        put(traces, index, proposals, library, 0.0, 0.0)
        gain, chosen, shift, amplitude = _best_near(traces, index, rules.dead // 2, -1, proposals, library, rules, np.inf)
        if chosen < 0:
            _take_two_for(traces, index, 2 * rules.threshold, proposals, library, rules)
            continue
        take(traces, chosen, proposals, library, gain, shift, amplitude)
        least = rules.threshold + MISFIT * gain
        if energy_left(traces, chosen, proposals, library) > least:
            tilt = proposals.tilts[chosen]
            least += put_back(traces, chosen, proposals, library)
            if not _take_two_for(traces, index, least, proposals, library, rules):
                proposals.shifts[chosen], proposals.gains[chosen] = shift, gain
                put(traces, chosen, proposals, library, amplitude, tilt)


@numba.njit(cache=True, nogil=True)
def _loudest_over(index: int, proposals: Proposals, library: Library) -> int:
    """Spike taken that hides a proposal: the loudest whose template reaches over the proposal's largest channel; -1: none."""
    starts, units, amplitudes = proposals.starts, proposals.units, proposals.amplitudes
    channel, reach = library.channels[units[index], 0], library.shapes.shape[2] // 2
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
        if proposals.amplitudes[index] > 0 or not proposals.stirred[index]:
            continue
        gain, _, amplitude = fit_from(traces, index, proposals, library, rules, SMALLEST_AMPLITUDE)
        if gain == -np.inf or library.energies[proposals.units[index]] * amplitude**2 <= rules.threshold:
            continue
        over = _loudest_over(index, proposals, library)
        if over < 0 or proposals.units[over] == proposals.units[index] or _blocked(index, proposals, rules.dead):
            continue
        amplitude, tilt, shift, gain = (
            proposals.amplitudes[over], proposals.tilts[over], proposals.shifts[over], proposals.gains[over],
        )  # fmt: skip
        explained = put_back(traces, over, proposals, library)
        if not _take_both(traces, over, index, (1 + MISFIT) * explained + rules.threshold, proposals, library, rules):
            proposals.shifts[over], proposals.gains[over] = shift, gain
            put(traces, over, proposals, library, amplitude, tilt)


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
        explained += put_back(traces, index, proposals, library) - rules.threshold
    return explained


@numba.njit(cache=True, nogil=True)
def _take_around(
    traces: Floats, first: int, index: int, reach: int, proposals: Proposals, library: Library, rules: Rules, out: Ints
) -> int:
    """Take one spike as it usually is, then what is left around another, largest first; fit all in turns, and count them."""
    out[0], count = first, 1
    gain, shift, amplitude = fit(traces, first, proposals, library, rules)
    take(traces, first, proposals, library, gain, shift, min(amplitude, 1.0))
    while count < len(out):
        gain, chosen, shift, amplitude = _best_near(traces, index, reach, -1, proposals, library, rules, np.inf)
        if chosen < 0:
            break
        take(traces, chosen, proposals, library, gain, shift, amplitude)
        out[count] = chosen
        count += 1
    for _ in range(TURNS):
        for spike in out[:count]:
            amplitude, tilt, shift = proposals.amplitudes[spike], proposals.tilts[spike], proposals.shifts[spike]
            if not refit(traces, spike, proposals, library, rules, library.lows[proposals.units[spike]]):
                proposals.shifts[spike] = shift
                put(traces, spike, proposals, library, amplitude, tilt)
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
            or fit(traces, first, proposals, library, rules)[0] <= rules.threshold
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
        put(traces, spike, proposals, library, np.float64(amplitudes[place]), np.float64(tilts[place]))


@numba.njit(cache=True, nogil=True)
def disentangle(traces: Floats, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Find all spikes anew where one is larger than its unit's are: it may be several that came together."""
    for index in range(len(proposals.starts)):
        amplitude, unit = proposals.amplitudes[index], proposals.units[index]
        if amplitude > 0 and proposals.stirred[index] and (amplitude - 1) * np.sqrt(library.stiffness[unit]) > ODD:
            _find_anew(traces, index, proposals, library, rules)


@numba.njit(cache=True, nogil=True)
def drop_strangers(traces: Floats, proposals: Proposals, library: Library) -> None:
    """Put back spikes that leave more than they explain: they are spikes of a neuron that no unit stands for."""
    for index in range(len(proposals.starts)):
        if proposals.amplitudes[index] > 0:
            left = energy_left(traces, index, proposals, library)
            if left <= 0:
                continue
            amplitude, tilt = proposals.amplitudes[index], proposals.tilts[index]
            if left < STRANGE * put_back(traces, index, proposals, library):
                put(traces, index, proposals, library, amplitude, tilt)


@numba.njit(cache=True, nogil=True)
def stir(amplitudes: Floats, tilts: Floats, shifts: Ints, proposals: Proposals, library: Library) -> None:
    """Note which proposals have a spike near that is not what it was: amplitude, tilt and shift of all before."""
    starts, units, length = proposals.starts, proposals.units, library.shapes.shape[2]
    proposals.stirred[:] = False
    for index in range(len(starts)):
        unit, change = units[index], proposals.amplitudes[index] - amplitudes[index]
        turn = proposals.tilts[index] - tilts[index]
        moved = proposals.shifts[index] != shifts[index] and proposals.amplitudes[index] > 0
        if moved or library.energies[unit] * change**2 + library.steepness[unit] * turn**2 > LITTLE:
            for other in range(*_around(index, length, starts)):
                if _over_each_other(unit, units[other], library):
                    proposals.stirred[other] = True


@numba.njit(cache=True, nogil=True)
def explain(traces: Floats, proposals: Proposals, library: Library, rules: Rules) -> None:
    """Take proposals one by one, largest gain first, subtract each, and then reconsider each against all others.

    `traces` ends as the residual; the proposals say what was taken.
    """
    take_greedily(traces, proposals, library, rules)
    for _ in range(rules.polish):
        before = proposals.amplitudes.copy(), proposals.tilts.copy(), proposals.shifts.copy()
        reconsider(traces, proposals, library, rules)
        uncover(traces, proposals, library, rules)
        disentangle(traces, proposals, library, rules)
        take_greedily(traces, proposals, library, rules)
        stir(*before, proposals, library)
    drop_strangers(traces, proposals, library)

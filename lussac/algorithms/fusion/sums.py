"""Units that are the sum of two neurons which fire together."""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.agreement import union
from lussac.algorithms.fusion.trains import Flat, has_near

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

LOW, HIGH = 0.75, 1.25
TURNS = 3
AT_ONCE = 3
"""Spikes at which one analysis must find both parts at least, where that is what tells."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A unit, the two units that it is the sum of, and what to add to its positions for theirs."""

    unit: int
    parts: tuple[int, int]
    lags: tuple[int, int]


def sums_of_two(templates: Floats, channels: Ints, counts: Ints, parts: Ints, reach: int, most: float) -> list[Sum]:
    """Find units whose mean waveform is the sum of the waveforms of two others.

    Sorters that do not resolve overlaps make units of neighbours which often fire within a fraction of a millisecond: one for
    each range of lags.

    Parameters
    ----------
    templates, channels
        (units, samples, channels of the unit) waveforms, and their channels, the strongest first.
    counts
        (units,), spikes of each. A part has more spikes than the sum: not all of its spikes coincide with the other part's.
    parts
        Units that may be parts.
    reach
        Largest lag of a part, in samples.
    most
        Share of a waveform's energy that may be left when both parts are subtracted, apart from its noise; either part has more.
    """
    found, energies = [], energies_of(templates)
    for unit in range(len(templates)):
        others = parts[(counts[parts] > counts[unit]) & (parts != unit)]
        rest, (a, b), (lag_a, lag_b) = _left_of(unit, templates, channels, energies, counts, others, reach)
        if b >= 0 and rest < most and min(energies[a], energies[b]) > most * energies[unit]:
            found.append(Sum(unit, (a, b), (lag_a, lag_b)))
    return found


def left_by_two(templates: Floats, channels: Ints, counts: Ints, reach: int) -> NDArray[np.float64]:
    """Return the share of each unit's energy that the two units of more spikes leave which explain most of it, apart from noise.

    Parameters as for `sums_of_two`. 1 where no two others explain any of it.
    """
    out, energies = np.ones(len(templates)), energies_of(templates)
    for unit in range(len(templates)):
        others = np.flatnonzero(counts > counts[unit])
        rest, (_, b), _ = _left_of(unit, templates, channels, energies, counts, others, reach)
        if b >= 0:
            out[unit] = max(rest, 0.0)
    return out


def energies_of(templates: Floats) -> Floats:
    """Return the squared norm of every template."""
    return np.asarray(np.maximum((templates**2).sum(axis=(1, 2)), 1e-3), dtype=np.float32)


def _left_of(
    unit: int, templates: Floats, channels: Ints, energies: Floats, counts: Ints, others: Ints, reach: int
) -> tuple[float, tuple[int, int], tuple[int, int]]:
    """Subtract the two others that explain a unit best: share of its energy left apart from noise, both units, and both lags."""
    length = templates.shape[1]
    wide = np.zeros((length + 2 * reach, int(channels.max(initial=-1)) + 1), np.float32)
    wide[reach : reach + length, channels[unit]] = templates[unit]
    noise = length * channels.shape[1] / max(int(counts[unit]), 1)
    a, b, lag_a, lag_b = _fit_two(wide, templates, channels, energies, others, reach)
    return (float((wide**2).sum()) - noise) / float(energies[unit]), (int(a), int(b)), (int(lag_a), int(lag_b))


def confirmed(
    one: Sum, trains: Flat, analyses: Ints, cosines: Floats, alike: float, window: int, least: float, least_both: float
) -> bool:
    """Tell whether units that look like the parts fire at the spikes of a sum: some analysis resolves them.

    A neuron between two others may look like their sum, but does not fire with them.

    Parameters
    ----------
    one
        The sum.
    trains, analyses, cosines
        Spikes of all units, the analysis of each, and the similarity (units, units) of their waveforms.
    alike
        Similarity from which a unit looks like a part, if it looks less like the sum.
    window
        Largest distance from where a part's spike should be, in samples.
    least
        Share of the spikes at which each part must be found.
    least_both
        Share of the spikes from which on it is enough that one analysis finds both parts at once, at some of them.
    """
    both = np.zeros(trains.counts[one.unit], np.bool_)
    either = np.zeros((2, len(both)), np.bool_)
    likes = [looks_like(part, one.unit, cosines, alike) for part in one.parts]
    for analysis in np.unique(analyses):
        own = analyses == analysis
        there = [
            has_near(trains[one.unit] + lag, union(list(trains.only(np.flatnonzero(like & own)))), window)
            for like, lag in zip(likes, one.lags, strict=True)
        ]
        both |= there[0] & there[1]
        either |= there
    found = either.mean(axis=1).min()
    return bool(found >= least or (found >= least_both and both.sum() >= AT_ONCE and both.mean() >= least_both / 2))


def looks_like(part: int, unit: int, cosines: Floats, alike: float) -> NDArray[np.bool_]:
    """Tell which units look like a part of a unit, and less like the unit: (units,)."""
    like = (cosines[part] >= alike) & (cosines[part] > cosines[unit])
    like[unit] = False
    return np.asarray(like)


def shadows(trains: Flat, energies: Floats, counts: NDArray[np.int32], least: float) -> NDArray[np.bool_]:
    """Tell which units fire hardly ever without the same louder unit: they are what that one's template leaves.

    Parameters
    ----------
    trains
        Spikes of all units.
    energies
        (units,), squared norms of the waveforms.
    counts
        (units, units), spikes of the first that have one of the second beside them.
    least
        Share of its spikes from which on a unit is a shadow.
    """
    share = counts / np.maximum(trains.counts, 1)[:, None]
    louder = energies[None, :] > energies[:, None]
    return np.asarray(((share >= least) & louder).any(axis=1))


@numba.njit(cache=True)
def _amplitude(wide: Floats, start: int, template: Floats, channels: Ints, energy: float) -> tuple[float, float]:
    """Amplitude of a part, within its limits, and the energy that goes when it is subtracted."""
    total = np.float32(0.0)
    for sample in range(template.shape[0]):
        row = wide[start + sample]
        for index in range(len(channels)):
            total += row[channels[index]] * template[sample, index]
    projection = float(total)
    amplitude = min(max(projection / energy, LOW), HIGH)
    return amplitude, amplitude * (2 * projection - amplitude * energy)


@numba.njit(cache=True)
def _subtract(wide: Floats, start: int, template: Floats, channels: Ints, amplitude: float) -> None:
    for sample in range(template.shape[0]):
        for index in range(len(channels)):
            wide[start + sample, channels[index]] -= amplitude * template[sample, index]


@numba.njit(cache=True)
def _best_part(
    wide: Floats, templates: Floats, channels: Ints, energies: Floats, parts: Ints, without: int, reach: int
) -> tuple[int, int, float]:
    """Part that takes most energy away: unit, lag, amplitude; unit -1 where none does."""
    strongest = 0
    best, chosen, lag, amplitude = 0.0, -1, 0, 0.0
    most = np.float32(-1.0)
    for channel in range(wide.shape[1]):
        energy = (wide[:, channel] ** 2).sum()
        if energy > most:
            most, strongest = energy, channel
    for unit in parts:
        if unit == without or not (channels[unit] == strongest).any():
            continue
        for start in range(2 * reach + 1):
            found, taken = _amplitude(wide, start, templates[unit], channels[unit], energies[unit])
            if taken > best:
                best, chosen, lag, amplitude = taken, unit, start - reach, found
    return chosen, lag, amplitude


@numba.njit(cache=True)
def _fit_two(
    wide: Floats, templates: Floats, channels: Ints, energies: Floats, parts: Ints, reach: int
) -> tuple[int, int, int, int]:
    """Subtract the two parts that explain a waveform best, fitted in turns: both units, -1 where there is none, and both lags."""
    first, lag, amplitude = _best_part(wide, templates, channels, energies, parts, -1, reach)
    if first < 0:
        return -1, -1, 0, 0
    _subtract(wide, reach + lag, templates[first], channels[first], amplitude)
    second, second_lag, second_amplitude = _best_part(wide, templates, channels, energies, parts, first, reach)
    if second < 0:
        return first, -1, lag, 0
    _subtract(wide, reach + second_lag, templates[second], channels[second], second_amplitude)
    units, lags, amplitudes = np.array([first, second]), np.array([lag, second_lag]), np.array([amplitude, second_amplitude])
    for turn in range(2 * TURNS):
        one = turn % 2
        unit = units[one]
        _subtract(wide, reach + lags[one], templates[unit], channels[unit], -amplitudes[one])
        best = -np.inf
        for start in range(2 * reach + 1):
            found, taken = _amplitude(wide, start, templates[unit], channels[unit], energies[unit])
            if taken > best:
                best, lags[one], amplitudes[one] = taken, start - reach, found
        _subtract(wide, reach + lags[one], templates[unit], channels[unit], amplitudes[one])
    return units[0], units[1], lags[0], lags[1]

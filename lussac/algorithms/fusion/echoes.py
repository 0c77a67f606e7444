"""Spikes that come at one and the same time after a louder unit's: they are what the template of that one leaves.

No template is exact, least of all where the tissue moves, and what is left at each spike of a loud unit may look like a quiet
one. Neurons that fire together don't do so to the sample: what joins them takes a time that varies by more.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.trains import Flat

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

QUIETER = 0.44
"""Largest share of the louder unit's energy that the quieter one has; what is nearer to it may be the same neuron."""
LAG_MS = 0.13
"""Largest lag of an echo: both waveforms lie on their largest deflections."""
WIDTH = 1
"""Samples to either side of a lag that are the same."""
LEAST, TIMES, CERTAIN = 8, 3.0, 5.0
"""Spikes at one lag, times as many as at any other, and standard deviations beyond those, that show an echo."""


class Echo(NamedTuple):
    """A unit, the louder unit whose echo some of its spikes are, and by how many samples these come later."""

    unit: int
    louder: int
    lag: int


def echoes(trains: Flat, energies: Floats, channels: Ints, lag: int, reach: int) -> list[Echo]:
    """Find the pairs of units of which the quieter one has echoes of the louder.

    Parameters
    ----------
    trains
        Spikes of all units.
    energies, channels
        (units,) of the waveforms, and (units, channels of the unit), the strongest first.
    lag
        Largest lag of an echo, in samples.
    reach
        Largest lag of the spikes that come together otherwise, with which those at one lag are compared, in samples.
    """
    on_its_channels = (channels[:, None, None, 0] == channels[None]).any(axis=2)
    pairs = np.argwhere(on_its_channels & (energies[:, None] <= QUIETER * energies[None]))
    place = np.full((len(trains), len(trains)), -1, np.int32)
    place[tuple(pairs.T)] = np.arange(len(pairs))
    at, around = np.zeros((len(pairs), 2 * (lag + WIDTH) + 1), np.int32), np.zeros(len(pairs), np.int32)
    for start, stop in trains.stretches():
        near = trains.between(start - reach, stop + reach)
        _count_lags(near.samples, near.units, start, stop, reach, place, at, around)
    width = 2 * WIDTH + 1
    windows = np.lib.stride_tricks.sliding_window_view(at, width, axis=1).sum(axis=2)
    middle = at[:, WIDTH:-WIDTH] / (1 + at.max(initial=0))  # less than one spike: it tells equal ones apart
    best, most = (windows + middle).argmax(axis=1), windows.max(axis=1)
    usual = (around - most) * (width / max(2 * reach + 1 - width, 1))
    found = np.flatnonzero((most >= LEAST) & (most > TIMES * usual + CERTAIN * np.sqrt(usual + 1)))
    return [Echo(int(pairs[index, 0]), int(pairs[index, 1]), int(best[index]) - lag) for index in found]


@numba.njit(cache=True, nogil=True)
def _count_lags(
    samples: Ints, units: Ints, start: int, stop: int, reach: int, place: NDArray[np.int32], at: NDArray[np.int32],
    around: NDArray[np.int32],
) -> None:  # fmt: skip
    """Count how much later spikes with start <= position < stop come than those of louder units; all in the order of time.

    Parameters
    ----------
    place
        (units, units), number of each pair of a unit and a louder one; -1: not looked at.
    at, around
        (pairs, lags) and (pairs,): coincidences at each lag, and within `reach`.
    """
    first, middle = 0, at.shape[1] // 2
    for spike in range(len(samples)):
        sample = samples[spike]
        if sample < start or sample >= stop:
            continue
        while samples[first] < sample - reach:
            first += 1
        other = first
        while other < len(samples) and samples[other] <= sample + reach:
            pair, lag = place[units[spike], units[other]], sample - samples[other]
            if pair >= 0:
                around[pair] += 1
                if -middle <= lag <= middle:
                    at[pair, middle + lag] += 1
            other += 1


def barred(before: Sequence[Ints], found: Sequence[Echo], trains: Flat) -> tuple[Ints, ...]:
    """Return for each unit where it has no spike: where it had none before, and where louder units have echoes in it.

    Parameters
    ----------
    before
        Positions for each unit; empty where none is known of any.
    found
        Echoes among the units.
    trains
        Their spikes.
    """
    places = [[positions] for positions in before] if before else [[np.empty(0, np.int64)] for _ in range(len(trains))]
    for echo in found:
        places[echo.unit].append(trains[echo.louder] + echo.lag)
    return tuple(np.unique(np.concatenate(parts)) for parts in places)

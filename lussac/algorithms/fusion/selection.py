"""Choose the set of units that together explain the spikes best."""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@numba.njit(cache=True)
def _flip(unit: int, chosen: Bools, load: Floats, costs: Floats) -> None:
    sign = -1.0 if chosen[unit] else 1.0
    chosen[unit] = not chosen[unit]
    for other in range(len(load)):
        load[other] += sign * costs[unit, other]


@numba.njit(cache=True)
def _settle(around: int, frozen: int, chosen: Bools, load: Floats, gains: Floats, costs: Floats) -> float:
    """Flip the neighbours of a unit, best first, as long as that helps; return what it helped."""
    helped = 0.0
    while True:
        best, most = -1, 1e-9
        for unit in range(len(gains)):
            if unit == frozen or (unit != around and costs[around, unit] <= 0):
                continue
            change = gains[unit] - load[unit]
            change = -change if chosen[unit] else change
            if change > most:
                best, most = unit, change
        if best < 0:
            return helped
        _flip(best, chosen, load, costs)
        helped += most


@numba.njit(cache=True)
def choose(gains: Floats, costs: Floats) -> Bools:
    """Maximise the sum of gains of the chosen units less the costs of the chosen pairs.

    Greedy start, then one move for every unit until none helps: take it in (or out), hold it there, and let its neighbours
    settle. A move swaps one unit for several and back, which single flips don't find. Deterministic: ties fall to the lower
    index.

    Parameters
    ----------
    gains
        (units,).
    costs
        (units, units), symmetric, not negative, zero on the diagonal.

    Returns
    -------
    chosen
        (units,) bool.
    """
    size = len(gains)
    chosen = np.zeros(size, np.bool_)
    load = np.zeros(size)
    while True:
        best = -1
        for unit in range(size):
            if (
                not chosen[unit]
                and gains[unit] - load[unit] > 1e-9
                and (best < 0 or gains[unit] - load[unit] > gains[best] - load[best])
            ):
                best = unit
        if best < 0:
            break
        _flip(best, chosen, load, costs)
    moved = True
    while moved:
        moved = False
        for unit in range(size):
            tried, tried_load = chosen.copy(), load.copy()
            change = gains[unit] - load[unit]
            change = -change if chosen[unit] else change
            _flip(unit, tried, tried_load, costs)
            change += _settle(unit, unit, tried, tried_load, gains, costs)
            if change > 1e-6:
                chosen[:], load[:] = tried, tried_load
                moved = True
    return chosen

"""Coincidences of spike trains, their matches, the shift between them, consensus.

A train is a sorted int64 array of samples; it may hold one position several times. All functions take read-only arrays and
change none. The kernels have one signature each, of read-only contiguous arrays, so that numba compiles and caches them once.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lussac.algorithms.timeline import Train


def frozen(train: Train) -> Train:
    """Return a read-only contiguous int64 view of a train, or a copy where it is none: the one type that kernels take."""
    view = np.ascontiguousarray(train, dtype=np.int64).view()
    view.flags.writeable = False
    return view


def count_coincidences(a: Train, b: Train, window: int) -> int:
    """Return the number of pairs with |a_i - b_j| <= window (samples)."""
    return int(_count_coincidences(frozen(a), frozen(b), window))


@njit(nogil=True, cache=True)
def _count_coincidences(a: Train, b: Train, window: int) -> int:
    count = first = end = 0
    for position in a:
        while first < len(b) and b[first] < position - window:
            first += 1
        while end < len(b) and b[end] <= position + window:
            end += 1
        count += end - first
    return count


def match_spikes(a: Train, b: Train, window: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Match spikes one to one.

    Each spike goes to the earliest free spike of the other train within the window, which gives the largest possible number of
    matches.

    Parameters
    ----------
    a, b
        Trains.
    window
        Largest distance of a match, in samples.

    Returns
    -------
    Indices into a and into b of the matches, in time order.
    """
    return _match_spikes(frozen(a), frozen(b), window)


@njit(nogil=True, cache=True)
def _match_spikes(a: Train, b: Train, window: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    most = min(len(a), len(b))
    from_a, from_b = np.empty(most, np.int64), np.empty(most, np.int64)
    i = j = count = 0
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= window:
            from_a[count], from_b[count] = i, j
            i, j, count = i + 1, j + 1, count + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return from_a[:count], from_b[:count]


def cross_shift_counts(a: Train, b: Train, max_shift: int, window: int) -> NDArray[np.int64]:
    """Return how many coincidences each shift of a train gives.

    Parameters
    ----------
    a, b
        Trains.
    max_shift
        Largest shift, in samples.
    window
        Largest distance of a coincidence after the shift, in samples.

    Returns
    -------
    int64 (2 x max_shift + 1,): at index s + max_shift, the number of pairs with |a_i + s - b_j| <= window.
    """
    reach = max_shift + window
    lags = np.concatenate([np.zeros(1, np.int64), np.cumsum(lag_counts(a, b, reach))])
    return lags[2 * window + 1 :] - lags[: -2 * window - 1]


def lag_counts(a: Train, b: Train, reach: int) -> NDArray[np.int64]:
    """Return the number of pairs with b_j - a_i = lag, for the lags -reach .. reach (samples)."""
    return _lag_counts(frozen(a), frozen(b), reach)


@njit(nogil=True, cache=True)
def _lag_counts(a: Train, b: Train, reach: int) -> NDArray[np.int64]:
    counts = np.zeros(2 * reach + 1, np.int64)
    first = 0
    for position in a:
        while first < len(b) and b[first] < position - reach:
            first += 1
        for j in range(first, len(b)):
            lag = b[j] - position
            if lag > reach:
                break
            counts[lag + reach] += 1
    return counts


def best_shift(a: Train, b: Train, max_shift: int, window: int) -> int:
    """Return the shift to add to a that gives the most coincidences with b.

    Of equal ones the smallest, and of -s and s the negative one; 0 where there are no coincidences.
    """
    counts = cross_shift_counts(a, b, max_shift, window)
    shifts = np.arange(-max_shift, max_shift + 1)
    best = shifts[counts == counts.max()]
    return int(best[np.argmin(np.abs(best))])


def coincidence_matrix(trains: Sequence[Train], window: int) -> NDArray[np.int64]:
    """Return the number of one-to-one matches between all pairs of trains, from one sweep over all spikes.

    Parameters
    ----------
    trains
        Trains of any length.
    window
        Largest distance of a match, in samples.

    Returns
    -------
    int64 (trains, trains), symmetric; off the diagonal what `match_spikes` finds, on it the number of spikes.
    """
    if not trains:
        return np.zeros((0, 0), np.int64)
    positions, owners = _merged(trains)
    matrix: NDArray[np.int64] = _coincidence_matrix(positions, owners, len(trains), window)
    np.fill_diagonal(matrix, [len(train) for train in trains])
    return matrix


@njit(nogil=True, cache=True)
def _coincidence_matrix(positions: Train, owners: NDArray[np.int32], n_trains: int, window: int) -> NDArray[np.int64]:
    counts = np.zeros((n_trains, n_trains), np.int64)
    # taken[u, v] is one past the last spike of u that is matched with v: matches are made in time order, so that an earlier
    # spike of u that is still free is too far away from all spikes of v to come
    taken = np.zeros((n_trains, n_trains), np.int32)
    first = 0
    for spike in range(len(positions)):
        while positions[first] < positions[spike] - window:
            first += 1
        owner = owners[spike]
        for earlier in range(first, spike):
            other = owners[earlier]
            if other != owner and earlier >= taken[other, owner] and spike >= taken[owner, other]:
                taken[other, owner], taken[owner, other] = earlier + 1, spike + 1
                counts[other, owner] += 1
                counts[owner, other] += 1
    return counts


def remove_close_spikes(train: Train, window: int) -> Train:
    """Return the train without the spikes that follow a kept spike by `window` samples or less."""
    return _remove_close_spikes(frozen(train), window)


@njit(nogil=True, cache=True)
def _remove_close_spikes(train: Train, window: int) -> Train:
    kept = np.empty(len(train), np.int64)
    count = 0
    for position in train:
        if count == 0 or position - kept[count - 1] > window:
            kept[count] = position
            count += 1
    return kept[:count]


def consensus(trains: Sequence[Train], window: int, min_votes: int) -> Train:
    """Return the spikes that several trains agree on.

    From the left, a group is all spikes that lie within the window of its first one. A group with enough trains gives one
    spike at its median; else its first spike is dropped and the next may start a group.

    Parameters
    ----------
    trains
        Trains of one neuron, realigned to each other.
    window
        Span of a group, in samples.
    min_votes
        Trains that must have a spike in the group.

    Returns
    -------
    int64, strictly increasing. The median of an even number of spikes is the earlier of the middle two.
    """
    positions, owners = _merged(trains)
    return _consensus(positions, owners, len(trains), window, min_votes)


@njit(nogil=True, cache=True)
def _consensus(positions: Train, owners: NDArray[np.int32], n_trains: int, window: int, min_votes: int) -> Train:
    agreed = np.empty(len(positions), np.int64)
    voted = np.zeros(n_trains, np.int64)  # the round of the last vote of each train
    count = first = voting = 0
    while first < len(positions):
        voting += 1
        votes, end = 0, first
        while end < len(positions) and positions[end] - positions[first] <= window:
            votes += voted[owners[end]] != voting
            voted[owners[end]] = voting
            end += 1
        if votes < min_votes:
            first += 1
            continue
        agreed[count] = positions[(first + end - 1) // 2]
        count += 1
        first = end
    return agreed[:count]


def _merged(trains: Sequence[Train]) -> tuple[Train, NDArray[np.int32]]:
    """Return the spikes of all trains in time order, and the index of the train that each belongs to."""
    # one number per spike, ordered by position and then by train: sorting these is several times faster than sorting indices
    keys = [frozen(train) * len(trains) + index for index, train in enumerate(trains)]
    merged = np.sort(np.concatenate([np.zeros(0, np.int64), *keys]))
    positions, owners = np.divmod(merged, max(len(trains), 1))
    narrow = owners.astype(np.int32)
    narrow.flags.writeable = False
    return frozen(positions), narrow

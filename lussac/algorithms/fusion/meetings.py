"""What two units look like where they are nearest in time: a neuron that changes is continuous, two neurons are not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.refinement import State
from lussac.algorithms.fusion.residuals import mean_waveforms
from lussac.algorithms.fusion.source import Chunk, Source

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

ACTIVE = 0.25
RINGS = 2


@dataclass(frozen=True, slots=True)
class Meetings:
    """Mean waveforms of two units where they are nearest in time.

    Parameters
    ----------
    means
        (pairs, 2 units, 2 rings, 2 halves, samples, channels of the unit): the first ring are the spikes nearest to the other
        unit, the second ring those that come next; all other spikes are subtracted.
    gaps
        (pairs, 2 units, 2 rings), mean time to the other unit's nearest spike, in samples.
    """

    means: Floats
    gaps: NDArray[np.float64]


def meetings(
    source: Source, chunks: Sequence[Chunk], state: State, pairs: Sequence[tuple[int, int]], count: int, *, turn: int, least: int
) -> Meetings:
    """Measure units where they are nearest in time.

    Parameters
    ----------
    source, chunks
        The recording.
    state
        Units and spikes.
    pairs
        The units to compare.
    count
        Largest number of spikes in a ring.
    turn
        Stretch of time; spikes where a unit is hardly active don't count: they are the other unit's, lost by chance.
    least
        Spikes nearer than this overlap, and are only taken where there are no others.
    """
    spikes, labels, gaps = nearest(source, state, pairs, count, turn=turn, least=least)
    means = mean_waveforms(source, chunks, state.found, state.used, spikes, labels, 2 * RINGS * len(pairs))
    return Meetings(means.reshape(len(pairs), 2, RINGS, *means.shape[1:]), gaps)


def nearest(
    source: Source, state: State, pairs: Sequence[tuple[int, int]], count: int, *, turn: int, least: int
) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Choose the spikes of all rings; parameters as for `meetings`.

    Returns
    -------
    spikes, labels
        Sorted indices, and (2 x pair + unit) x rings + ring of each.
    gaps
        As in `Meetings`.
    """
    usual = [spikes[active(source.recorded(state.found.samples[spikes]), turn)] for spikes in state.owned()]
    chosen, groups, gaps = [], [], np.zeros((len(pairs), 2, RINGS))
    for place, pair in enumerate(pairs):
        own = [usual[unit] for unit in pair]
        trains = [state.found.samples[spikes] for spikes in own]
        for side in (0, 1):
            apart = gaps_to(trains[side], trains[1 - side])
            for ring, inside in enumerate(rings(apart, count, least)):
                chosen.append(own[side][inside])
                groups.append(np.full(len(inside), (2 * place + side) * RINGS + ring))
                gaps[place, side, ring] = apart[inside].mean() if len(inside) else 0.0
    spikes, labels = np.concatenate(chosen), np.concatenate(groups)
    order = np.argsort(spikes, kind="stable")
    return spikes[order], labels[order], gaps


def active(train: Ints, stretch: int) -> NDArray[np.bool_]:
    """Tell which spikes of a train lie in stretches with at least a quarter of the spikes that the train usually has there."""
    if not len(train):
        return np.zeros(0, np.bool_)
    places = train // stretch - train[0] // stretch
    counts = np.bincount(places)[places]
    return np.asarray(counts >= ACTIVE * counts.mean())


def rings(gaps: Ints, count: int, least: int) -> list[Ints]:
    """Return the spikes with the smallest gaps, and those that come next: sorted, at most `count` and half of all each."""
    order = np.argsort(np.where(gaps < least, np.iinfo(np.int64).max, gaps), kind="stable")
    size = min(count, -(-len(gaps) // RINGS))
    return [np.sort(order[ring * size : (ring + 1) * size]) for ring in range(RINGS)]


def gaps_to(train: Ints, other: Ints) -> Ints:
    """Time from every spike of a train to the nearest of another, which has some."""
    after = np.searchsorted(other, train)
    to_last = np.abs(train - other[np.maximum(after - 1, 0)])
    to_next = np.abs(other[np.minimum(after, len(other) - 1)] - train)
    return np.minimum(to_last, to_next)

"""What is left of the recording at chosen spikes when all spikes are subtracted."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.fitting import Library, subtract
from lussac.algorithms.fusion.matching import Found, Model
from lussac.algorithms.fusion.source import Chunk, Made, Source, blocks_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Indices = NDArray[np.integer]
Choose = Callable[[int, int], tuple[Indices, Indices]]
"""Tells of the spikes found from a first to a last (excluded) which are chosen, sorted indices, and the group of each."""


@numba.njit(cache=True, nogil=True)
def remove(traces: Floats, starts: Ints, units: Ints, fitted: Floats, tilts: Floats, library: Library) -> None:
    """Subtract spikes from traces, in place; those that are not wholly inside stay."""
    length = library.shapes.shape[2]
    for spike in range(len(starts)):
        if starts[spike] >= 0 and starts[spike] + length <= traces.shape[0]:
            subtract(traces, starts[spike], units[spike], library, fitted[spike], tilts[spike])


@numba.njit(cache=True, nogil=True)
def _add_up(
    residual: Floats, starts: Ints, units: Ints, halves: Ints, groups: Ints, channels: Ints, sums: Floats, counts: Ints
) -> None:
    for member in range(len(starts)):
        group, half, own = groups[member], halves[member], channels[units[member]]
        counts[group, half] += 1
        for sample in range(sums.shape[2]):
            row = residual[starts[member] + sample]
            for index in range(len(own)):
                sums[group, half, sample, index] += row[own[index]]


@numba.njit(cache=True, nogil=True)
def _project(
    residual: Floats, starts: Ints, units: Ints, halves: Ints, groups: Ints, channels: Ints, axes: Floats, free: Ints, out: Floats
) -> None:
    """Put the projection of each spike at its group's free place in `out`."""
    for member in range(len(starts)):
        axis, own = axes[groups[member], halves[member]], channels[units[member]]
        total = np.float32(0.0)
        for sample in range(axis.shape[0]):
            row = residual[starts[member] + sample]
            for index in range(len(own)):
                total += row[own[index]] * axis[sample, index]
        out[free[groups[member]]] = total
        free[groups[member]] += 1


def listed(spikes: Indices, groups: Indices) -> Choose:
    """Return what chooses the spikes of a list: sorted indices, one may be there several times, and the group of each."""

    def within(first: int, stop: int) -> tuple[Indices, Indices]:
        inside = slice(*np.searchsorted(spikes, (first, stop)))
        return spikes[inside], groups[inside]

    return within


def residuals(
    source: Source, chunks: Sequence[Chunk], found: Found, model: Model, choose: Choose
) -> Iterator[tuple[NDArray[np.float32], Ints, Indices, Ints]]:
    """Read the recording, subtract all spikes, and yield what is left with the windows of chosen spikes in it.

    Parameters
    ----------
    source, chunks
        The recording.
    found, model
        All spikes, and what they look like.
    choose
        Tells which spikes are looked at; asked for one chunk at a time, so that they need not be all in memory.

    Yields
    ------
    residual, starts, spikes, groups
        Traces of a chunk, where the windows of its chosen spikes start in them, their indices, and their groups.
    """
    yield from each_residual(source, chunks, found, model, choose, lambda *chosen: chosen)


def each_residual(
    source: Source,
    chunks: Sequence[Chunk],
    found: Found,
    model: Model,
    choose: Choose,
    work: Callable[[Floats, Ints, Indices, Ints], Made],
) -> Iterator[Made]:
    """Yield what a function makes of each that `residuals` yields; chunks without a chosen spike are not read."""

    def chosen_in(chunk: Chunk) -> tuple[Indices, Indices]:
        return choose(*np.searchsorted(found.samples, [chunk.start, chunk.stop]).tolist())

    def at_chosen(chunk: Chunk, residual: Floats, first: int) -> Made:
        spikes, groups = chosen_in(chunk)
        return work(residual, found.samples[spikes] - model.before - first, spikes, groups.astype(np.int64))

    yield from each_left(source, [chunk for chunk in chunks if len(chosen_in(chunk)[0])], found, model, at_chosen)


def each_left(
    source: Source, chunks: Sequence[Chunk], found: Found, model: Model, work: Callable[[Chunk, Floats, int], Made]
) -> Iterator[Made]:
    """Read chunks of the recording, subtract all spikes, and yield what a function makes of each.

    The function is given the chunk, what is left of it, as far beyond it as two waveforms are long, and the position that this
    starts at. Chunks are worked on side by side.
    """
    margin, library = 2 * model.templates.shape[2], lru_cache(maxsize=2)(model.library)

    def left(chunk: Chunk) -> Made:
        first = chunk.start - margin
        traces = source.read(first, chunk.stop + margin)
        near = slice(*np.searchsorted(found.samples, [first, chunk.stop + margin]))
        starts = found.samples[near] - model.before - first
        remove(traces, starts, found.units[near], found.fitted[near], found.tilts[near], library(chunk.block))
        return work(chunk, traces, first)

    yield from source.in_order(left, chunks)


def mean_residuals(
    source: Source, chunks: Sequence[Chunk], found: Found, model: Model, choose: Choose, size: int
) -> tuple[Floats, Ints]:
    """Mean of what is left at groups of spikes when all found spikes are subtracted.

    Parameters
    ----------
    source, chunks, found, model, choose
        As for `residuals`; all spikes of a group are of one unit.
    size
        Number of groups.

    Returns
    -------
    means
        (groups, 2, samples, channels of the unit): the spikes of even and odd rank in their unit.
    counts
        (groups, 2).
    """
    sums, counts = np.zeros((size, 2, *model.templates.shape[2:]), np.float32), np.zeros((size, 2), np.int64)
    halves = parities(found.units, len(model))
    for residual, starts, spikes, groups in residuals(source, chunks, found, model, choose):
        _add_up(residual, starts, found.units[spikes], halves[spikes], groups, model.channels, sums, counts)
    sums /= np.maximum(counts, 1)[:, :, None, None]
    return sums, counts


def mean_waveforms(
    source: Source, chunks: Sequence[Chunk], found: Found, model: Model, spikes: Indices, groups: Indices, size: int
) -> Floats:
    """Mean waveforms of groups of spikes, all other spikes subtracted: (groups, 2, samples, channels of the unit).

    Sorted indices of the spikes, and their groups, are lists. As `mean_residuals`, and what was subtracted for these spikes
    themselves is added again, but for shifts within a sample.
    """
    means, counts = mean_residuals(source, chunks, found, model, listed(spikes, groups), size)
    halves = parities(found.units, len(model))[spikes]
    blocks = blocks_of(found.samples[spikes], chunks)
    owners = np.zeros(size, np.int64)
    owners[groups] = found.units[spikes]
    shares = np.zeros((len(model.templates), size, 2), np.float32)
    np.add.at(shares, (blocks, groups, halves), found.fitted[spikes] / np.maximum(counts[groups, halves], 1))
    for block, share in enumerate(shares):
        active = np.flatnonzero(share.any(axis=1))  # few groups have spikes in every block
        means[active] += share[active][:, :, None, None] * model.templates[block, owners[active]][:, None]
    return means


def projections(
    source: Source, chunks: Sequence[Chunk], found: Found, model: Model, choose: Choose, axes: Floats, sizes: Ints
) -> list[Floats]:
    """Inner product of what is left at each chosen spike with its group's axis (groups, 2, samples, channels of the unit).

    The spikes of even rank in their unit take the first of the two axes, the others the second. The rest is as for
    `mean_residuals`; `sizes` are the numbers of spikes of the groups. The values of each group are in the order of time.
    """
    ends = np.cumsum(sizes)
    out, free = np.empty(int(sizes.sum()), np.float32), ends - sizes
    halves = parities(found.units, len(model))
    for residual, starts, spikes, groups in residuals(source, chunks, found, model, choose):
        _project(residual, starts, found.units[spikes], halves[spikes], groups, model.channels, axes, free, out)
    return np.split(out, ends[:-1])


@numba.njit(cache=True, nogil=True)
def _add_energies(
    residual: Floats, starts: Ints, units: Indices, channels: Ints, length: int, energies: NDArray[np.float64], counts: Ints
) -> None:
    for member in range(len(starts)):
        own = channels[units[member]]
        counts[units[member]] += 1
        for sample in range(starts[member], starts[member] + length):
            for index in range(len(own)):
                energies[units[member]] += residual[sample, own[index]] ** 2


def leftovers(
    source: Source, chunks: Sequence[Chunk], found: Found, model: Model, spikes: Indices, strongest: int
) -> NDArray[np.float64]:
    """Energy that is left at each unit's spikes when all spikes are subtracted, over what is left there at any time: (units,).

    Parameters
    ----------
    source, chunks, found, model
        As for `residuals`.
    spikes
        Sorted indices of the spikes that are looked at.
    strongest
        Channels of each unit that count.
    """
    size, length = len(model), model.templates.shape[2]
    channels = np.ascontiguousarray(model.channels[:, :strongest])

    def measured(
        residual: Floats, starts: Ints, _spikes: Indices, units: Ints
    ) -> tuple[NDArray[np.float64], Ints, NDArray[np.float64]]:
        energies, counts = np.zeros(size), np.zeros(size, np.int64)
        _add_energies(residual, starts, units, channels, length, energies, counts)
        return energies, counts, np.einsum("sc,sc->c", residual, residual, dtype=np.float64) / len(residual)

    energies, counts, usual, read = np.zeros(size), np.zeros(size, np.int64), np.zeros(source.channels), 0
    chosen = listed(spikes, found.units[spikes])
    for more, spikes_more, usual_more in each_residual(source, chunks, found, model, chosen, measured):
        energies, counts, usual, read = energies + more, counts + spikes_more, usual + usual_more, read + 1
    expected = (usual / max(read, 1))[channels].sum(axis=1) * length
    return np.asarray(energies / np.maximum(counts * expected, 1e-9))


@numba.njit(cache=True, nogil=True)
def parities(labels: Ints, size: int) -> NDArray[np.uint8]:
    """Tell of every element whether those with its label before it are an odd number: 0, 1, 0 ..."""
    out, odd = np.empty(len(labels), np.uint8), np.zeros(size, np.uint8)
    for index in range(len(labels)):
        label = labels[index]
        out[index] = odd[label]
        odd[label] = 1 - odd[label]
    return out

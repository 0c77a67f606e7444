"""Mean waveforms of all candidates, on their strongest channels, and how alike they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.trains import Flat, InTime

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Waveforms:
    """Mean waveforms.

    Parameters
    ----------
    halves
        (units, 2, samples, channels of the unit), means of the even and of the odd spikes, in units of noise.
    channels
        (units, channels of the unit), the strongest channels, strongest first.
    counts
        (units, 2), spikes that each half is the mean of.
    before
        Samples before the spike.
    """

    halves: Floats
    channels: Ints
    counts: Ints
    before: int

    @property
    def means(self) -> Floats:
        """(units, samples, channels of the unit): means over both halves."""
        weights = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return np.einsum("uh,uhsc->usc", weights.astype(np.float32), self.halves)


def subset(spikes: Ints, limit: int) -> Ints:
    """At most `limit` of some spikes, evenly spread over them."""
    if len(spikes) <= limit:
        return spikes
    return spikes[(np.arange(limit) * len(spikes)) // limit]


@numba.njit(cache=True, nogil=True)
def _add_snippets(
    traces: Floats, first: int, samples: Ints, units: Ints, half: Ints, before: int, sums: Floats, counts: Ints
) -> None:
    """Add the windows of spikes to sums (units, 2, channels, samples)."""
    length = sums.shape[3]
    for spike in range(len(samples)):
        start = samples[spike] - before - first
        counts[units[spike], half[spike]] += 1
        for channel in range(traces.shape[1]):
            row, target = traces[start : start + length, channel], sums[units[spike], half[spike], channel]
            for sample in range(length):
                target[sample] += row[sample]


def dense_means(
    source: Source, chunks: Sequence[Chunk], trains: Flat, halves: Ints, before: int, after: int
) -> tuple[Floats, Ints]:
    """Mean waveforms on all channels: (units, 2, before + after, channels), and the number of spikes of each half."""
    sums = np.zeros((len(trains), 2, source.channels, before + after), np.float32)
    counts = np.zeros((len(trains), 2), np.int64)

    def read(chunk: Chunk) -> tuple[InTime, int, Floats | None]:
        near, first = trains.between(chunk.start, chunk.stop), chunk.start - before
        return near, first, source.read(first, chunk.stop + after) if len(near.samples) else None

    for near, first, traces in source.in_order(read, chunks):
        if traces is not None:
            _add_snippets(traces, first, near.samples, near.units, halves[near.index], before, sums, counts)
    sums /= np.maximum(counts, 1)[:, :, None, None]
    return np.swapaxes(sums, 2, 3), counts


def measure(
    source: Source,
    chunks: Sequence[Chunk],
    trains: Flat,
    usable: Iterable[Ints],
    *,
    before: int,
    after: int,
    max_shift: int,
    channels: int,
    limit: int,
    batch_bytes: int = 1 << 28,
) -> tuple[Waveforms, Ints]:
    """Mean waveforms of many units, each aligned on its largest deflection.

    Parameters
    ----------
    source, chunks
        The recording.
    trains
        Sorted positions of each unit.
    usable
        For each unit, sorted indices of the spikes that its mean may be taken of.
    before, after
        Samples of the waveforms.
    max_shift
        Largest shift of a train, in samples.
    channels
        How many of the strongest channels to keep.
    limit
        A mean is taken of at most this many spikes, evenly spread.
    batch_bytes
        Memory for waveforms on all channels; where they need more, the recording is read several times.

    Returns
    -------
    waveforms
        Means on the strongest channels.
    shifts
        What to add to each train so that its positions lie on the largest deflection.
    """
    kept = min(channels, source.channels)
    per_unit = 8 * source.channels * (before + after + 2 * max_shift)
    size = max(1, batch_bytes // per_unit)
    spikes = [subset(own, limit) for own in usable]
    parts = [
        _measure_batch(source, chunks, trains.only(units), [spikes[unit] for unit in units], before, after, max_shift, kept)
        for units in np.split(np.arange(len(trains)), range(size, len(trains), size))
    ]
    halves, chosen, counts, shifts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Waveforms(halves, chosen, counts, before), shifts


def _measure_batch(
    source: Source,
    chunks: Sequence[Chunk],
    trains: Flat,
    spikes: Sequence[Ints],
    before: int,
    after: int,
    max_shift: int,
    kept: int,
) -> tuple[Floats, Ints, Ints, Ints]:
    flat = Flat.of([trains[unit][own] for unit, own in enumerate(spikes)])
    dense, counts = dense_means(source, chunks, flat, np.concatenate(spikes) % 2, before + max_shift, after + max_shift)
    halves, chosen, shifts = crop(dense, counts, before, after, max_shift, kept)
    return halves, chosen, counts, shifts


def crop(dense: Floats, counts: Ints, before: int, after: int, max_shift: int, kept: int) -> tuple[Floats, Ints, Ints]:
    """Cut wide waveforms around their largest deflection: halves on the strongest channels, these channels, and the shifts."""
    weights = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    means = np.einsum("uh,uhsc->usc", weights, dense)
    reach = slice(before, before + 2 * max_shift + 1)
    shifts = np.abs(means[:, reach]).max(axis=2).argmax(axis=1) - max_shift
    halves = np.empty((len(dense), 2, before + after, kept), np.float32)
    channels = np.empty((len(dense), kept), np.int64)
    for unit, shift in enumerate(shifts):
        window = slice(max_shift + shift, max_shift + shift + before + after)
        energy = (means[unit, window] ** 2).sum(axis=0)
        channels[unit] = np.argsort(-energy, kind="stable")[:kept]
        halves[unit] = dense[unit, :, window][:, :, channels[unit]]
    return halves, channels, shifts.astype(np.int64)


@numba.njit(cache=True, nogil=True)
def _energies(waveforms: Floats) -> Floats:
    """Squared norm of every waveform (units, samples, channels)."""
    energies = np.empty(len(waveforms), np.float32)
    for unit in range(len(waveforms)):
        energies[unit] = (waveforms[unit] ** 2).sum()
    return energies


@numba.njit(cache=True, nogil=True)
def _by_channel(waveforms: Floats, margin: int) -> Floats:
    """Waveforms as (units, channels, samples), with so many zeros before and after."""
    units, samples, channels = waveforms.shape
    wide = np.zeros((units, channels, samples + 2 * margin), np.float32)
    for unit in range(units):
        for channel in range(channels):
            wide[unit, channel, margin : margin + samples] = waveforms[unit, :, channel]
    return wide


@numba.njit(cache=True, nogil=True)
def _best_lag(
    a: Floats, a_channels: Ints, a_energy: float, b: Floats, b_channels: Ints, b_energy: float, totals: NDArray[np.float64]
) -> tuple[float, int]:
    """Largest cosine of two waveforms over lags, and what to add to positions of the first so that they lie where b's would.

    Parameters
    ----------
    a
        (samples, channels).
    b
        (channels, samples), with the largest lag more samples at both ends.
    totals
        (lags,), room for the inner products of a(t) and b(t + lag) on the channels that both have. All lags are added up at
        once: vector units do that.
    """
    norm = max(np.sqrt(a_energy * b_energy), 1e-9)
    totals[:] = 0
    for i in range(len(a_channels)):
        for j in range(len(b_channels)):
            if a_channels[i] == b_channels[j]:
                row = b[j]
                for sample in range(len(a)):
                    value, under = a[sample, i], row[sample : sample + len(totals)]
                    for lag in range(len(totals)):
                        totals[lag] += value * under[lag]
    best, at, middle = 0.0, 0, len(totals) // 2
    for step in range(len(totals)):
        lag = (step + 1) // 2 * (1 if step % 2 else -1)
        cosine = totals[middle + lag] / norm
        if cosine > best:
            best, at = cosine, -lag
    return best, at


@numba.njit(cache=True, nogil=True)
def _near(a_channels: Ints, b_channels: Ints) -> bool:
    """Tell whether the strongest channel of one is a channel of the other."""
    return bool((a_channels[0] == b_channels).any() or (b_channels[0] == a_channels).any())


@numba.njit(cache=True, nogil=True)
def similarities(means: Floats, channels: Ints, other_means: Floats, other_channels: Ints, max_lag: int) -> tuple[Floats, Ints]:
    """Cosine of every waveform with every other at their best lag.

    Returns
    -------
    cosines, lags
        (units, other units). `lags[u, v]` is what to add to positions of u so that they lie where v's would. Waveforms whose
        strongest channels are apart have a cosine of 0. Ties: the smallest lag, then the positive.
    """
    cosines = np.zeros((len(means), len(other_means)), np.float32)
    lags = np.zeros((len(means), len(other_means)), np.int64)
    totals, wide = np.empty(2 * max_lag + 1), _by_channel(other_means, max_lag)
    energies, others = _energies(means), _energies(other_means)
    for u in range(len(means)):
        for v in range(len(other_means)):
            if _near(channels[u], other_channels[v]):
                cosines[u, v], lags[u, v] = _best_lag(
                    means[u], channels[u], energies[u], wide[v], other_channels[v], others[v], totals
                )
    return cosines, lags


@numba.njit(cache=True, nogil=True)
def similarities_in_time(
    templates: Floats, channels: Ints, means: Floats, other_channels: Ints, shares: Floats, max_lag: int
) -> tuple[Floats, Ints]:
    """Cosine of every unit's waveform, at the time when the other has its spikes, with every other's, at their best lag.

    Parameters
    ----------
    templates, channels
        (blocks, units, samples, channels of the unit), and these channels.
    means, other_channels
        (others, samples, channels of the unit), and these channels.
    shares
        (blocks, others), share of the other's spikes in each block.
    max_lag
        In samples.

    Returns
    -------
    cosines, lags
        As for `similarities`.
    """
    cosines = np.zeros((len(channels), len(means)), np.float32)
    lags = np.zeros((len(channels), len(means)), np.int64)
    totals, wide, others = np.empty(2 * max_lag + 1), _by_channel(means, max_lag), _energies(means)
    then = np.empty((1, *templates.shape[2:]), np.float32)
    own, flat = np.empty((len(templates), then.size), np.float32), then.reshape(-1)
    for u in range(len(channels)):
        for block in range(len(templates)):
            own[block] = np.ascontiguousarray(templates[block, u]).reshape(-1)
        for v in range(len(means)):
            if _near(channels[u], other_channels[v]):
                flat[:] = 0
                for block in range(len(templates)):
                    share = shares[block, v]
                    for place in range(len(flat)):
                        flat[place] += share * own[block, place]
                cosines[u, v], lags[u, v] = _best_lag(
                    then[0], channels[u], _energies(then)[0], wide[v], other_channels[v], others[v], totals
                )
    return cosines, lags

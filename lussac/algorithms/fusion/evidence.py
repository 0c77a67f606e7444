"""How well each candidate explains its own spikes, and how well the others explain them."""

from collections import deque
from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.fusion.waveforms import Waveforms

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def shrink(means: Floats, counts: Ints) -> Floats:
    """Scale every channel of every mean waveform by the share of its energy that noise does not explain.

    The positive-part James-Stein estimator, channel by channel: an estimate of few spikes loses the channels that hold nothing.

    Parameters
    ----------
    means
        (units, samples, channels), in units of noise.
    counts
        (units,), how many spikes each is the mean of.
    """
    energy = np.maximum((means**2).sum(axis=1, keepdims=True), 1e-12)
    noise = means.shape[1] / np.maximum(counts, 1).astype(np.float32)[:, None, None]
    return np.asarray(means * np.maximum(0.0, 1.0 - noise / energy), dtype=np.float32)


@numba.njit(cache=True, nogil=True)
def _project(
    traces: Floats,
    first: int,
    samples: Ints,
    units: Ints,
    half: Ints,
    templates: Floats,
    channels: Ints,
    before: int,
    out: Floats,
) -> None:
    length = templates.shape[2]
    for spike in range(len(samples)):
        start = samples[spike] - before - first
        unit = units[spike]
        template = templates[unit, half[spike]]
        total = 0.0
        for sample in range(length):
            for index in range(channels.shape[1]):
                total += template[sample, index] * traces[start + sample, channels[unit, index]]
        out[spike] = total


def amplitudes(source: Source, chunks: Sequence[Chunk], trains: Flat, waveforms: Waveforms) -> tuple[Floats, Floats]:
    """Amplitude of every spike relative to its unit's mean, measured with a template that the spike had no part in.

    Parameters
    ----------
    source, chunks
        The recording.
    trains
        Aligned trains of the units.
    waveforms
        Their mean waveforms in two halves: the template for a spike is the other half's.

    Returns
    -------
    amplitudes
        (spikes,), 1 where a spike looks like the mean.
    energies
        (units,), squared norm of the waveform, free of the bias by noise (the inner product of both halves).
    """
    halves = waveforms.halves
    templates = np.stack([shrink(halves[:, 1], waveforms.counts[:, 1]), shrink(halves[:, 0], waveforms.counts[:, 0])], axis=1)
    norms = np.maximum(np.einsum("uhsc,uhsc->uh", templates, halves), 1e-3)
    found = np.zeros(len(trains.samples), np.float32)
    after = halves.shape[2] - waveforms.before

    def project(chunk: Chunk) -> None:
        near = trains.between(chunk.start, chunk.stop)
        if len(near.samples):
            half = (near.index - trains.starts[near.units]) % 2
            first, projections = chunk.start - waveforms.before, np.empty(len(near.samples), np.float32)
            traces = source.read(first, chunk.stop + after)
            _project(traces, first, near.samples, near.units, half, templates, waveforms.channels, waveforms.before, projections)
            found[near.index] = projections / norms[near.units, half]

    deque(source.in_order(project, chunks), maxlen=0)
    return found, np.einsum("usc,usc->u", halves[:, 0], halves[:, 1])


@numba.njit(cache=True, nogil=True)
def best_rival(samples: Ints, units: Ints, gains: Floats, cosines: Floats, min_cosine: float, window: int) -> Floats:
    """Largest gain of any similar unit's spike within `window` of every spike, its own included.

    Parameters
    ----------
    samples, units, gains
        Spikes of all units in order of time.
    cosines
        (units, units) similarity of the waveforms.
    min_cosine
        Units below it explain other spikes that happen to be near, not the same ones.
    window
        In samples.
    """
    best = gains.copy()
    first = 0
    for spike in range(len(samples)):
        while samples[first] < samples[spike] - window:
            first += 1
        other = first
        while other < len(samples) and samples[other] <= samples[spike] + window:
            if gains[other] > best[spike] and cosines[units[other], units[spike]] >= min_cosine:
                best[spike] = gains[other]
            other += 1
    return best


def rewards(trains: Flat, amplitude: Floats, energies: Floats, cosines: Floats, *, min_cosine: float, window: int) -> Floats:
    """Share of what can be explained at every spike that its unit explains: 1 at best, -1 where there is no spike.

    `amplitude`, and what is returned, has a value for every spike of the flat array; those of no unit's spikes mean nothing.

    The gain of subtracting the template is energy x (2 amplitude - 1); it is divided by the largest gain of any similar unit
    there. A unit that mixes two neurons explains little of either where some analysis holds them apart.
    """
    out, floor = np.empty_like(amplitude), np.maximum(energies, 1e-3).astype(np.float32)
    for start, stop in trains.stretches():
        near = trains.between(start - window, stop + window)
        energy = floor[near.units]
        gains = (energy * np.clip(2 * amplitude[near.index] - 1, -1, 1)).astype(np.float32)
        best = best_rival(near.samples, near.units, gains, cosines, min_cosine, window)
        inside = (near.samples >= start) & (near.samples < stop)
        out[near.index[inside]] = (gains / np.maximum(best, energy))[inside]
    return out

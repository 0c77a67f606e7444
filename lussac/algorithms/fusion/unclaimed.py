"""Spikes like a unit's that no unit has: what is left of the recording holds them where a part of a neuron was found."""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.matching import Found, Model
from lussac.algorithms.fusion.residuals import left_of
from lussac.algorithms.fusion.source import Chunk, Source

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

LOOKED_AT = 40
"""Chunks that are looked at, evenly spread: a share needs no more."""
PEAK, LEAST_PEAK = 0.5, 3.0
"""Deflection from which a place is tried, over that of the unit, and in standard deviations of the noise."""
SHIFT_MS = 0.1
LOW, HIGH, LEFT = 0.8, 1.5, 1.3
"""Amplitudes of spikes like a unit's, and the energy that they may leave, over that of the noise."""
FEW = 2.0
SAME, ANOTHER, DOUBT = 1.5, 4.5, 0.1
"""Standard deviations from the unit's mean waveform to that of these spikes up to which all count, and from which on a tenth."""


@numba.njit(cache=True, nogil=True)
def _nearest(residual: Floats, template: Floats, channels: Ints, start: int, shift: int) -> tuple[float, int]:
    """Return the largest inner product of a template with the traces near a place, and where it is."""
    best, place = -np.inf, start
    for shifted in range(start - shift, start + shift + 1):
        total = np.float32(0.0)
        for index in range(len(channels)):
            for sample in range(template.shape[0]):
                total += template[sample, index] * residual[shifted + sample, channels[index]]
        if total > best:
            best, place = float(total), shifted
    return best, place


@numba.njit(cache=True, nogil=True)
def _left(residual: Floats, template: Floats, channels: Ints, place: int, amplitude: float, sums: Floats) -> float:
    """Write what a template of an amplitude leaves at a place; return the energy of that."""
    energy = np.float32(0.0)
    for index in range(len(channels)):
        for sample in range(template.shape[0]):
            rest = residual[place + sample, channels[index]] - amplitude * template[sample, index]
            sums[sample, index] = rest
            energy += rest**2
    return float(energy)


@numba.njit(cache=True, nogil=True)
def _add_like(
    residual: Floats,
    starts: tuple[int, int],
    template: Floats,
    channels: Ints,
    peak: tuple[int, int],
    usual: float,
    shift: int,
    sums: Floats,
    counts: Ints,
) -> None:
    """Add what spikes like a template leave to the sums of two halves (2, samples, channels), and count them."""
    largest, energy, rest = template[peak], (template**2).sum(), np.empty_like(template)
    trace, sign, least = residual[:, channels[peak[1]]], np.sign(largest), max(PEAK * abs(largest), LEAST_PEAK)
    start = starts[0]
    while start < starts[1]:
        top = start + peak[0]
        here, start = sign * trace[top], start + 1
        if here < least or here < sign * trace[top - 1] or here < sign * trace[top + 1]:
            continue
        product, place = _nearest(residual, template, channels, start - 1, shift)
        if not LOW <= product / energy < HIGH:
            continue
        if _left(residual, template, channels, place, product / energy, rest) < LEFT * usual:
            half = (counts[0] + counts[1]) % 2
            counts[half] += 1
            sums[half] += rest
            start += template.shape[0] - 1


def usual_energies(residual: Floats, channels: Ints, length: int) -> NDArray[np.float64]:
    """Return the median energy of windows of the residual on each unit's channels: (units,)."""
    windows = (residual[: len(residual) // length * length] ** 2).reshape(-1, length, residual.shape[1]).sum(axis=1)
    return np.array([np.median(windows[:, own].sum(axis=1)) for own in channels])


def unclaimed(source: Source, chunks: Sequence[Chunk], found: Found, model: Model, noise: float) -> NDArray[np.float64]:
    """Return how many spikes like a unit's are left when all spikes are subtracted, for each of its own: (units,).

    Spikes of a neighbour that nobody found may look like the unit's, too. But their mean waveform differs from the unit's by more
    than the noise of single spikes hides, so that they hardly count.

    Parameters
    ----------
    source, chunks
        The recording.
    found, model
        All spikes, and what they look like.
    noise
        Standard deviation of the noise along a template.
    """
    size, length, shift = len(model), model.templates.shape[2], source.samples(SHIFT_MS)
    looked_at = [chunks[index] for index in np.unique(np.linspace(0, len(chunks) - 1, LOOKED_AT).round().astype(np.int64))]
    sums, counts = np.zeros((size, 2, *model.templates.shape[2:]), np.float32), np.zeros((size, 2), np.int64)
    own = np.zeros(size, np.int64)
    for chunk, (residual, first) in zip(looked_at, left_of(source, looked_at, found, model), strict=True):
        starts = (chunk.start - model.before - first, chunk.stop - model.before - first)
        usual = usual_energies(residual, model.channels, length)
        for unit in range(size):
            template = model.templates[chunk.block, unit]
            peak = np.unravel_index(np.abs(template).argmax(), template.shape)
            _add_like(residual, starts, template, model.channels[unit], peak, usual[unit], shift, sums[unit], counts[unit])
        inside = slice(*np.searchsorted(found.samples, [chunk.start, chunk.stop]))
        own += np.bincount(found.units[inside], minlength=size)
    sums /= np.maximum(counts, 1)[:, :, None, None]
    apart = np.sqrt(np.maximum((sums[:, 0] * sums[:, 1]).sum(axis=(1, 2)), 0)) / noise
    like = np.clip((ANOTHER - apart) / (ANOTHER - SAME), DOUBT, 1)
    return np.asarray(counts.sum(axis=1) / (own + FEW) * like, dtype=np.float64)

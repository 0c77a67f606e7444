"""Spikes like a unit's that no unit has: what is left of the recording holds them where a part of a neuron was found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.matching import Found, Model
from lussac.algorithms.fusion.residuals import each_left
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
def _left(residual: Floats, template: Floats, channels: Ints, place: int, amplitude: float, rest: Floats) -> float:
    """Write what a template of an amplitude leaves at a place; return the energy of that."""
    energy = np.float32(0.0)
    for index in range(len(channels)):
        for sample in range(template.shape[0]):
            rest[sample, index] = residual[place + sample, channels[index]] - amplitude * template[sample, index]
            energy += rest[sample, index] ** 2
    return float(energy)


@numba.njit(cache=True, nogil=True)
def _like(
    residual: Floats,
    starts: tuple[int, int],
    template: Floats,
    channels: Ints,
    peak: tuple[int, int],
    low: float,
    usual: float,
    shift: int,
    places: Ints,
    amplitudes: Floats,
    sums: Floats,
) -> int:
    """Write where spikes like a template are, and how large; add what they leave to sums of two halves (2, samples, channels)."""
    largest, energy, rest = template[peak], (template**2).sum(), np.empty_like(template)
    trace, sign, least = residual[:, channels[peak[1]]], np.sign(largest), max(PEAK * abs(largest), LEAST_PEAK)
    start, count = starts[0], 0
    while start < starts[1]:
        top = start + peak[0]
        here, start = sign * trace[top], start + 1
        if here < least or here < sign * trace[top - 1] or here < sign * trace[top + 1]:
            continue
        product, place = _nearest(residual, template, channels, start - 1, shift)
        if not low <= product / energy < HIGH:
            continue
        if _left(residual, template, channels, place, product / energy, rest) < LEFT * usual:
            places[count], amplitudes[count] = place, product / energy
            sums[count % 2] += rest
            count += 1
            start += template.shape[0] - 1
    return count


def usual_energies(residual: Floats, channels: Ints, length: int) -> NDArray[np.float64]:
    """Return the median energy of windows of the residual on each unit's channels: (units,)."""
    windows = (residual[: len(residual) // length * length] ** 2).reshape(-1, length, residual.shape[1]).sum(axis=1)
    return np.array([np.median(windows[:, own].sum(axis=1)) for own in channels])


def like(
    source: Source, chunks: Sequence[Chunk], found: Found, model: Model, units: Ints, low: float
) -> Iterator[tuple[int, Ints, Floats, Floats]]:
    """Yield units, positions and amplitudes of spikes like theirs that are left in a chunk, and sums of what these leave.

    Parameters
    ----------
    source, chunks, found, model
        As for `look`.
    units
        Whose spikes are searched.
    low
        Smallest amplitude.

    Yields
    ------
    unit, places, amplitudes, sums
        The sums are of two halves, (2, samples, channels), the spikes in turns.
    """
    length, shift = model.templates.shape[2], source.samples(SHIFT_MS)

    def search(chunk: Chunk, residual: Floats, first: int) -> list[tuple[int, Ints, Floats, Floats]]:
        starts = (chunk.start - model.before - first, chunk.stop - model.before - first)
        usual = usual_energies(residual, model.channels[units], length)
        alike = []
        for unit, energy in zip(units.tolist(), usual.tolist(), strict=True):
            template, channels = model.templates[chunk.block, unit], model.channels[unit]
            peak = np.unravel_index(np.abs(template).argmax(), template.shape)
            places, amplitudes = np.empty(len(residual), np.int64), np.empty(len(residual), np.float32)
            sums = np.zeros((2, *template.shape), np.float32)
            count = _like(residual, starts, template, channels, peak, low, energy, shift, places, amplitudes, sums)
            if count:
                alike.append((unit, places[:count] + first + model.before, amplitudes[:count].copy(), sums))
        return alike

    for alike in each_left(source, chunks, found, model, search):
        yield from alike


@dataclass(frozen=True, slots=True)
class Group:
    """Spikes like a unit's that are left.

    Parameters
    ----------
    places, amplitudes
        (spikes,), in order of time.
    sums
        (2, samples, channels of the unit): what they leave, added up in two halves, the spikes in turns.
    """

    places: Ints
    amplitudes: Floats
    sums: Floats

    def followed_by(self, later: "Group") -> "Group":
        """Return these spikes and later ones."""
        sums = later.sums[::-1] if len(self.places) % 2 else later.sums
        places = np.concatenate([self.places, later.places])
        return Group(places, np.concatenate([self.amplitudes, later.amplitudes]), self.sums + sums)

    def apart(self, noise: float) -> float:
        """Return the distance of their mean waveform from the unit's, in standard deviations of the noise along it."""
        one, two = (self.sums[half] / max(len(self.places[half::2]), 1) for half in (0, 1))
        return float(np.sqrt(max((one * two).sum(), 0.0)) / noise)


def groups(source: Source, chunks: Sequence[Chunk], found: Found, model: Model, units: Ints, low: float) -> dict[int, Group]:
    """Return what `like` yields of each unit, taken together."""
    shape = (2, *model.templates.shape[2:])
    out = {unit: Group(np.empty(0, np.int64), np.empty(0, np.float32), np.zeros(shape, np.float32)) for unit in units.tolist()}
    for unit, places, amplitudes, rests in like(source, chunks, found, model, units, low):
        out[unit] = out[unit].followed_by(Group(places, amplitudes, rests))
    return out


@dataclass(frozen=True, slots=True)
class Left:
    """How many spikes like each unit's are left.

    Parameters
    ----------
    shares
        (units,), for each spike of the unit.
    apart
        (units,), distance of their mean waveform from the unit's, in standard deviations of the noise along it.
    """

    shares: NDArray[np.float64]
    apart: NDArray[np.float64]

    @property
    def unclaimed(self) -> NDArray[np.float64]:
        """How many are the unit's own, for each spike of the unit: (units,).

        Spikes of a neighbour that nobody found may look like the unit's, too. But their mean waveform differs from the unit's by
        more than the noise of single spikes hides, so that they hardly count.
        """
        return self.shares * np.clip((ANOTHER - self.apart) / (ANOTHER - SAME), DOUBT, 1)


def look(source: Source, chunks: Sequence[Chunk], found: Found, model: Model, noise: float) -> Left:
    """Search some chunks for spikes like the units' that are left when all spikes are subtracted.

    Parameters
    ----------
    source, chunks
        The recording.
    found, model
        All spikes, and what they look like.
    noise
        Standard deviation of the noise along a template.
    """
    size = len(model)
    looked_at = [chunks[index] for index in np.unique(np.linspace(0, len(chunks) - 1, LOOKED_AT).round().astype(np.int64))]
    each = groups(source, looked_at, found, model, np.arange(size), LOW)
    edges = np.searchsorted(found.samples, [(chunk.start, chunk.stop) for chunk in looked_at])
    own = sum((np.bincount(found.units[start:stop], minlength=size) for start, stop in edges), np.zeros(size, np.int64))
    counts = np.array([len(each[unit].places) for unit in range(size)])
    return Left(counts / (own + FEW), np.array([each[unit].apart(noise) for unit in range(size)]))

"""The units of all analyses, aligned, with their waveforms and what they share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.evidence import amplitudes, rewards, shrink
from lussac.algorithms.fusion.selection import choose
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Chunk, Source, blocks_of
from lussac.algorithms.fusion.trains import Flat, InTime, pair_counts
from lussac.algorithms.fusion.waveforms import measure, similarities

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

MAX_LAG_MS = 0.13


@dataclass(frozen=True, slots=True)
class Candidates:
    """Units of all analyses.

    Parameters
    ----------
    trains
        Aligned on the largest deflection of each mean waveform.
    shifts
        (units,), what was added to the positions for that.
    analyses
        (units,), number of the analysis that each comes from.
    templates
        (units, samples, channels of the unit), less what is noise.
    channels
        (units, channels of the unit).
    before
        Samples of the templates before the spike.
    shares
        (blocks, units), share of the unit's spikes in each block of time.
    chosen
        (units,), those that together explain the spikes best.
    """

    trains: Flat
    shifts: Ints
    analyses: Ints
    templates: Floats
    channels: Ints
    before: int
    shares: Floats
    chosen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.analyses)


def prepare(
    source: Source, chunks: Sequence[Chunk], trains: Sequence[Ints], analyses: Sequence[int], settings: Settings
) -> Candidates:
    """Align and measure all units, and choose the set of them that explains the spikes best.

    Parameters
    ----------
    source, chunks
        The recording.
    trains
        Sorted positions of each unit.
    analyses
        Number of the analysis that each unit comes from.
    settings
        Numbers of the method.
    """
    waveforms, shifts = measure(
        source, chunks, trains, before=source.samples(settings.before), after=source.samples(settings.after),
        max_shift=source.samples(settings.max_shift), channels=settings.channels, limit=settings.template_spikes,
    )  # fmt: skip
    flat = Flat.of([train + shift for train, shift in zip(trains, shifts, strict=True)])
    templates = shrink(waveforms.means, waveforms.counts.sum(axis=1))
    amplitude, energies = amplitudes(source, chunks, flat, waveforms)
    cosines, _ = similarities(templates, waveforms.channels, templates, waveforms.channels, source.samples(MAX_LAG_MS))
    window = source.samples(settings.coincidence)
    reward = rewards(flat, amplitude, energies, cosines, min_cosine=settings.similar, window=window)
    gains = sums_of(reward - settings.spike_cost, flat) - settings.unit_cost
    spikes = InTime.of(flat)
    counts = pair_counts(spikes.samples, spikes.units, len(flat), window)
    costs = 2 * (1 - settings.spike_cost) * np.minimum(counts, counts.T) * np.maximum(cosines, cosines.T)
    np.fill_diagonal(costs, 0)
    chosen = choose(gains, costs.astype(np.float64))
    return Candidates(
        flat,
        shifts,
        np.asarray(analyses, np.int64),
        templates,
        waveforms.channels,
        waveforms.before,
        shares_of(flat, chunks),
        chosen,
    )


def shares_of(trains: Flat, chunks: Sequence[Chunk]) -> Floats:
    """Share of each unit's spikes in every block of time: (blocks, units)."""
    counts = np.zeros((1 + max(chunk.block for chunk in chunks), len(trains)), np.float32)
    np.add.at(counts, (blocks_of(trains.samples, chunks), trains.units), 1)
    return counts / np.maximum(counts.sum(axis=0), 1)


def sums_of(values: Floats, trains: Flat) -> NDArray[np.float64]:
    """Sum of the values of each unit's spikes."""
    return np.bincount(trains.units, weights=values, minlength=len(trains)).astype(np.float64)

"""The units of all analyses, aligned, with their waveforms and what they share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.evidence import amplitudes, rewards, shrink
from lussac.algorithms.fusion.overlaps import uncovered
from lussac.algorithms.fusion.selection import choose
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Chunk, Source, blocks_of
from lussac.algorithms.fusion.sums import Sum, confirmed, sums_of_two
from lussac.algorithms.fusion.trains import Flat, pair_counts
from lussac.algorithms.fusion.waveforms import Waveforms, measure, similarities

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

MAX_LAG_MS = 0.13
SAME, BACKING = 0.9, 0.1
"""Agreement from which on two analyses have the same unit, and how much more such a unit counts for each other analysis."""
WEAK = 0.01
"""Share of another unit's energy below which a unit does not explain the same, though it fires at the same time."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Units of all analyses.

    Parameters
    ----------
    trains
        Aligned on the largest deflection of each mean waveform.
    shifts
        What was added to the positions of each of the units given for that.
    analyses
        (units,), number of the analysis that each comes from.
    origins
        (units,), which of the units given each was.
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
    origins: Ints
    templates: Floats
    channels: Ints
    before: int
    shares: Floats
    chosen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.analyses)

    def among(self, given: Flat, numbers: Ints, chunks: Sequence[Chunk]) -> "Candidates":
        """Return the same candidates with all spikes, of trains that those they were made of are some of.

        Parameters
        ----------
        given
            The trains, not moved.
        numbers
            Which of them the candidates were made of.
        chunks
            All of the recording.
        """
        origins, shifts = numbers[self.origins], np.zeros(len(given), np.int64)
        shifts[numbers] = self.shifts
        trains = given.only(origins).moved(self.trains.shifts)
        return replace(self, trains=trains, shifts=shifts, origins=origins, shares=shares_of(trains, chunks))

    def followed_by(self, other: "Candidates") -> "Candidates":
        """Return these candidates, then others that were made of other trains among the same."""
        return Candidates(
            self.trains.followed_by(other.trains),
            self.shifts + other.shifts,
            np.concatenate([self.analyses, other.analyses]),
            np.concatenate([self.origins, other.origins]),
            np.concatenate([self.templates, other.templates]),
            np.concatenate([self.channels, other.channels]),
            self.before,
            np.concatenate([self.shares, other.shares], axis=1),
            np.concatenate([self.chosen, other.chosen]),
        )


def prepare(
    source: Source, chunks: Sequence[Chunk], trains: Sequence[Ints] | Flat, analyses: Sequence[int], settings: Settings
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
    given = Flat.of(trains)

    def measured(usable: Iterable[Ints]) -> tuple[Waveforms, Ints, Flat]:
        waveforms, shifts = measure(
            source, chunks, given, usable, before=source.samples(settings.before), after=source.samples(settings.after),
            max_shift=source.samples(settings.max_shift), channels=settings.channels, limit=settings.template_spikes,
        )  # fmt: skip
        return waveforms, shifts, given.moved(shifts)

    waveforms, shifts, flat = measured(np.arange(count) for count in given.counts)
    waveforms, shifts, flat = measured(uncovered(flat, waveforms, source.samples(settings.coincidence)))
    templates = shrink(waveforms.means, waveforms.counts.sum(axis=1))
    amplitude, energies = amplitudes(source, chunks, flat, waveforms)
    cosines = similarities(templates, waveforms.channels, templates, waveforms.channels, source.samples(MAX_LAG_MS))[0]
    window = source.samples(settings.coincidence)
    each = Measured(flat, amplitude, energies, np.maximum(cosines, cosines.T), np.asarray(analyses, np.int64))
    single, sums = np.arange(len(flat)), list[Sum]()
    while True:
        chosen = select(each, single, window, settings)
        new = sums_among(single, single[chosen], templates, waveforms, each, source, settings)
        if not new:
            break
        sums += new
        single = np.setdiff1d(single, [one.unit for one in new])
    all_ = Candidates(
        flat, shifts, np.asarray(analyses, np.int64), np.arange(len(flat)), templates, waveforms.channels,
        waveforms.before, shares_of(flat, chunks), np.zeros(len(flat), np.bool_),
    )  # fmt: skip
    all_.chosen[single] = chosen
    return unravelled(all_, sums)


@dataclass(frozen=True, slots=True)
class Measured:
    """Trains, the amplitudes of their spikes, the energies of the units' waveforms, the cosines of these, and the analyses."""

    trains: Flat
    amplitude: Floats
    energies: Floats
    cosines: Floats
    analyses: Ints


def sums_among(
    units: Ints, chosen: Ints, templates: Floats, waveforms: Waveforms, each: Measured, source: Source, settings: Settings
) -> list[Sum]:
    """Find which of some units are sums of two of the chosen ones. Once they are gone, others may be sums of what is chosen then.

    A sum may be chosen itself, and hides that another is one: of two sums at different lags one explains most of the other.
    """
    own, lag = templates[units], source.samples(MAX_LAG_MS)
    parts = np.searchsorted(units, chosen)
    reach = source.samples(settings.overlap)
    found = sums_of_two(own, waveforms.channels[units], each.trains.counts[units], parts, reach, settings.unexplained)
    named = (replace(one, unit=int(units[one.unit]), parts=tuple(units[list(one.parts)].tolist())) for one in found)
    measured = (each.trains, each.analyses, each.cosines)
    return [one for one in named if confirmed(one, *measured, settings.alike, lag, settings.resolved, settings.resolved_both)]


def select(each: Measured, units: Ints, window: int, settings: Settings) -> NDArray[np.bool_]:
    """Choose among some of the units the set that explains the spikes best: (units,) bool."""
    trains = each.trains.only(units)
    cosines = each.cosines[np.ix_(units, units)]
    reward = rewards(trains, each.amplitude, each.energies[units], cosines, min_cosine=settings.similar, window=window)
    counts = pair_counts(trains, window)
    backing = backed(counts, trains.counts, each.analyses[units])
    reward -= settings.spike_cost
    gains = (1 + BACKING * backing) * sums_of(reward, trains) - settings.unit_cost
    costs = 2 * (1 - settings.spike_cost) * np.minimum(counts, counts.T) * cosines
    energies = np.maximum(each.energies[units], 1e-3)
    shares = np.divide.outer(energies, energies)
    costs[np.minimum(shares, shares.T) < WEAK] = 0
    np.fill_diagonal(costs, 0)
    return choose(gains, costs.astype(np.float64, copy=False))


def backed(counts: NDArray[np.int32], sizes: Ints, analyses: Ints) -> Ints:
    """Count for every unit the other analyses that have the same unit; more than two say no more.

    Parameters
    ----------
    counts
        (units, units), spikes of the first that lie near one of the second.
    sizes, analyses
        (units,), number of spikes, and analysis of each.
    """
    common = np.minimum(counts, counts.T)
    same = common >= SAME * (sizes[:, None] + sizes[None] - common)
    others = [same[:, analyses == analysis].any(axis=1) & (analyses != analysis) for analysis in np.unique(analyses)]
    return np.minimum(np.sum(others, axis=0), 2)


def unravelled(candidates: Candidates, sums: Sequence[Sum]) -> Candidates:
    """Put two candidates in the place of each that is the sum of two: its spikes are spikes of both.

    The two look like the units that it is the sum of, so that they propose the spikes to these.
    """
    if not sums:
        return candidates
    single = np.setdiff1d(np.arange(len(candidates)), [one.unit for one in sums])
    parts = [(one.unit, part, lag) for one in sums for part, lag in zip(one.parts, one.lags, strict=True)]
    whose = np.concatenate([single, np.array([unit for unit, _, _ in parts], np.int64)])
    looks = np.concatenate([single, np.array([part for _, part, _ in parts], np.int64)])
    lags = np.concatenate([np.zeros(len(single), np.int64), np.array([lag for _, _, lag in parts], np.int64)])
    return Candidates(
        candidates.trains.only(whose).moved(lags), candidates.shifts, candidates.analyses[whose], candidates.origins[whose],
        candidates.templates[looks], candidates.channels[looks], candidates.before, candidates.shares[:, whose],
        np.concatenate([candidates.chosen[single], np.zeros(len(parts), np.bool_)]),
    )  # fmt: skip


def shares_of(trains: Flat, chunks: Sequence[Chunk]) -> Floats:
    """Share of each unit's spikes in every block of time: (blocks, units)."""
    counts = np.zeros((1 + max(chunk.block for chunk in chunks), len(trains)), np.float32)
    for unit in range(len(trains)):
        counts[:, unit] = np.bincount(blocks_of(trains[unit], chunks), minlength=len(counts))
    return counts / np.maximum(counts.sum(axis=0), 1)


def sums_of(values: Floats, trains: Flat) -> NDArray[np.float64]:
    """Sum of the values of each unit's spikes."""
    own = (values[trains.slice(unit)] for unit in range(len(trains)))
    return np.array([one.cumsum(dtype=np.float64)[-1] if len(one) else 0.0 for one in own])

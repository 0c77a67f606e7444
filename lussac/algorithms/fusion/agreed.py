"""Units that several analyses agree on, though their spikes hardly stand out of the noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.candidates import Candidates
from lussac.algorithms.fusion.support import Support
from lussac.algorithms.fusion.trains import Flat, agreements, coincidences, has_near, over_either
from lussac.algorithms.spiketrains import consensus, frozen

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

AGREES = 0.5
COVERED = 0.2
"""Share of a candidate's spikes beyond chance that one unit has, from which on it may be part of that unit or hold it."""


QUIET, SEVERAL = 5.0, 3
"""Norm of a waveform below which more than one spike in fifteen is too small to show, and analyses that are believed then."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """Spikes that most of the analyses have which agree, and the candidates that do, the first of which agrees most."""

    train: Ints
    members: tuple[int, ...]


def as_given(candidates: Candidates) -> Candidates:
    """Return the candidates with spikes where the analyses have them: noise moves the largest deflection of a quiet unit."""
    return replace(candidates, trains=candidates.trains.moved(-candidates.shifts[candidates.origins]))


def agreed(found: Flat, candidates: Candidates, window: int, duration: int, least: int) -> list[Agreed]:
    """Find what several analyses agree on by half and no unit stands for.

    By chance two analyses do not agree by half on anything. They may share a mistake, but a merged pair of neurons shares its
    spikes with the units that stand for these, and so does a part of a neuron.

    Parameters
    ----------
    found
        Spikes of the units.
    candidates
        Units of all analyses.
    window
        Spikes within it are the same event, in samples.
    duration
        Recorded time, in samples.
    least
        Smallest number of spikes.
    """
    given = as_given(candidates)
    new = np.flatnonzero(
        ~stood_for(found, candidates.trains, window, duration) & ~stood_for(found, given.trains, window, duration)
    )
    trains = given.trains.only(new)
    agreement, analyses = agreements(trains, trains, window), candidates.analyses[new]
    agreement[analyses[:, None] == analyses[None]] = 0
    free = np.ones(len(new), np.bool_)
    groups: list[Agreed] = []
    for seed in np.argsort(-np.where(agreement >= AGREES, agreement, 0).sum(axis=1), kind="stable"):
        group = partners(int(seed), agreement, analyses, free) if free[seed] else []
        if not group:
            continue
        members = [int(seed), *group]
        train = np.asarray(consensus([frozen(trains[member]) for member in members], window, -(-len(members) // 2)))
        if len(train) >= least:
            groups.append(Agreed(train, tuple(int(new[member]) for member in members)))
            free[members] = False
            free &= agreements(Flat.of([train]), trains, window)[0] < AGREES
    return groups


def completed(found: Flat, norms: Floats, supported: Sequence[Sequence[Support]], candidates: Candidates, window: int) -> Flat:
    """Give quiet units the spikes that most of the analyses have which have the unit: many of them are too small to show.

    Parameters
    ----------
    found, norms
        Spikes of the units, and the norms of their waveforms in standard deviations of the noise.
    supported
        What each analysis has of each unit.
    candidates, window
        As for `agreed`.
    """
    more: dict[int, Ints] = {}
    for unit in np.flatnonzero(norms < QUIET).tolist():
        parts = [one.parts[0] for one in supported[unit] if one.agreement >= AGREES and len(one.parts) == 1]
        if len(parts) >= SEVERAL:
            train = consensus([frozen(candidates.trains[part]) for part in parts], window, -(-len(parts) // 2))
            more[unit] = np.sort(np.concatenate([found[unit], train[~has_near(train, found[unit], window)]]))
    return Flat.of([more.get(unit, found[unit]) for unit in range(len(found))]) if more else found


def stood_for(found: Flat, candidates: Flat, window: int, duration: int) -> NDArray[np.bool_]:
    """Tell which candidates some unit agrees with by half, or has more of the spikes of than chance gives."""
    common = coincidences(found, candidates, window)
    chance = np.outer(found.counts, candidates.counts) * ((2 * window + 1) / max(duration, 1))
    covered = (common - chance) / np.maximum(candidates.counts, 1)
    same = over_either(common, found, candidates)
    return np.asarray((covered.max(axis=0, initial=0.0) >= COVERED) | (same.max(axis=0, initial=0.0) >= AGREES))


def partners(unit: int, agreement: Floats, analyses: Ints, free: NDArray[np.bool_]) -> Sequence[int]:
    """Return the free unit of each other analysis that agrees most with a unit, where it does by half; the best first."""
    usable = np.flatnonzero(free & (agreement[unit] >= AGREES))
    ordered = usable[np.argsort(-agreement[unit, usable], kind="stable")]
    _, first = np.unique(analyses[ordered], return_index=True)
    return [int(ordered[index]) for index in np.sort(first)]

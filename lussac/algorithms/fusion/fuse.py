"""From the units of several analyses to one set of neurons."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.agreed import AGREES, agreed, as_given, completed
from lussac.algorithms.fusion.candidates import Candidates
from lussac.algorithms.fusion.confidence import Evidence, confidence, gather, gather_of_spikes
from lussac.algorithms.fusion.excerpt import learned
from lussac.algorithms.fusion.reclaim import reclaimed, united
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Source, cut
from lussac.algorithms.fusion.support import Support, supports
from lussac.algorithms.fusion.trains import Flat, coincidences
from lussac.algorithms.fusion.unclaimed import look

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fused:
    """One set of neurons.

    Parameters
    ----------
    trains
        Sorted positions of each unit, on the largest deflection of its waveform.
    evidence
        What speaks for each unit.
    confidence
        Probability that the unit is right.
    members
        For each unit, what each analysis that agrees by half has of it, best first: one unit, or several that take turns; places
        in the trains given.
    shifts
        What was added to the positions of the units given to lay them on the largest deflection.
    """

    trains: tuple[Ints, ...]
    evidence: Evidence
    confidence: NDArray[np.float64]
    members: tuple[tuple[int, ...], ...]
    shifts: Ints


def fuse(source: Source, trains: Sequence[Ints] | Flat, analyses: Sequence[int], settings: Settings) -> Fused:
    """Make one set of neurons of the units of several analyses.

    Parameters
    ----------
    source
        The recording.
    trains
        Sorted positions of each unit on the timeline; those with too few spikes are not considered.
    analyses
        Number of the analysis that each unit comes from.
    settings
        Numbers of the method.
    """
    given = Flat.of(trains)
    chunks = cut(source, source.samples(1e3 * settings.chunk), source.samples(1e3 * settings.block), settings.max_blocks)
    usable = np.flatnonzero(given.counts >= settings.min_spikes).tolist()
    if not usable or not chunks:
        return nothing(len(trains))
    candidates, state = learned(source, chunks, given.only(np.array(usable)), [analyses[i] for i in usable], settings)
    window = source.samples(settings.coincidence)
    found, supported = completed_by(source, state.trains(), state.norms, candidates, settings)
    left = look(source, chunks, state.found, state.used, state.noise)
    whole = reclaimed(source, chunks, state, left, window)
    if whole is not state:
        state, found = whole, united(found, whole.trains())
        left = look(source, chunks, state.found, state.used, state.noise)
    evidence = gather(source, chunks, state, found, supported, left, settings)
    groups = agreed(found, candidates, window, source.total, settings.min_spikes)
    if groups:
        more = Flat.of([group.train for group in groups])
        backing = supported_by(source, more, as_given(candidates), settings)
        templates = candidates.templates[[group.members[0] for group in groups]]
        evidence = evidence.followed_by(gather_of_spikes(source, more, templates, backing, settings))
        supported = [*supported, *backing]
    agreeing = [[part for one in row if one.agreement >= AGREES for part in one.parts] for row in supported]
    own = [tuple(usable[origin] for origin in dict.fromkeys(candidates.origins[row].tolist())) for row in agreeing]
    shifts = np.zeros(len(trains), np.int64)
    shifts[usable] = candidates.shifts
    all_trains = (*found, *(group.train for group in groups))
    return Fused(all_trains, evidence, confidence(evidence), tuple(own), shifts)


def completed_by(
    source: Source, trains: Flat, norms: NDArray[np.float64], candidates: Candidates, settings: Settings
) -> tuple[Flat, list[list[Support]]]:
    """Return the units with the spikes that quiet ones get of the analyses, and what each analysis has of them then."""
    supported = supported_by(source, trains, candidates, settings)
    full = completed(trains, norms, supported, candidates, source.samples(settings.coincidence))
    return full, supported if full is trains else supported_by(source, full, candidates, settings)


def supported_by(source: Source, trains: Flat, candidates: Candidates, settings: Settings) -> list[list[Support]]:
    """Return for every unit what each analysis has of it, best first."""
    common = coincidences(trains, candidates.trains, source.samples(settings.coincidence))
    return supports(trains, candidates, common, settings.together, source.samples(1e3 * settings.turn), source.total)


def nothing(units: int) -> Fused:
    """Return the result where no unit can be considered."""
    empty = np.empty(0)
    return Fused((), Evidence(*[empty] * len(fields(Evidence))), empty, (), np.zeros(units, np.int64))

"""From the units of several analyses to one set of neurons."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.agreed import AGREES, agreed, as_given, completed
from lussac.algorithms.fusion.candidates import MAX_LAG_MS, Candidates, prepare
from lussac.algorithms.fusion.confidence import Evidence, confidence, gather, gather_of_spikes
from lussac.algorithms.fusion.joins import join, joined
from lussac.algorithms.fusion.matching import Model
from lussac.algorithms.fusion.reclaim import reclaimed, united
from lussac.algorithms.fusion.refinement import Question, State, first_model, members, question, refine
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Chunk, Source, cut
from lussac.algorithms.fusion.splits import split
from lussac.algorithms.fusion.sums import shadows
from lussac.algorithms.fusion.support import Support, supports
from lussac.algorithms.fusion.trains import Flat, agreements, coincidences, pair_counts
from lussac.algorithms.fusion.unclaimed import look

Ints = NDArray[np.int64]


def settle(source: Source, chunks: Sequence[Chunk], candidates: Candidates, settings: Settings) -> State:
    """Refine the chosen candidates, then split and join units until there are as many as before.

    Either nothing changed then, or what was split was joined again: another round would do the same. What is deleted here holds
    an array over all spikes, and would be in memory beside those of the next step.
    """

    def ask(model: Model, trains: Flat) -> Question:
        return question(source, candidates, model, trains, settings)

    def merged(state: State) -> Question:
        return ask(*together(source, chunks, candidates, state, settings))

    own = np.flatnonzero(candidates.chosen)
    blocks = 1 + max((chunk.block for chunk in chunks), default=0)
    state = refine(source, chunks, ask(first_model(candidates, blocks), candidates.trains.only(own)), settings)
    state = unshadowed(source, state, settings)
    asked = merged(state)
    del state
    state = refine(source, chunks, asked, settings)
    del asked
    window, max_lag = source.samples(settings.coincidence), source.samples(MAX_LAG_MS)
    for _ in range(settings.rounds):
        size = len(state.model)
        parts = members(candidates, state.used, state.trains(), window, max_lag, settings)
        model, trains = split(
            source, chunks, state, candidates.trains, parts, window, one=settings.one, two=settings.two, size=settings.size,
            least=settings.part, most_hidden=settings.hidden, most_beside=settings.beside, reach=source.samples(settings.overlap),
        )  # fmt: skip
        if len(model) > len(state.used):
            asked = ask(model, trains)
            del state, trains
            state = refine(source, chunks, asked, settings)
            del asked
        else:
            del trains
        state = unshadowed(source, state, settings)
        asked = merged(state)
        del state
        state, units = refine(source, chunks, asked, settings), len(asked.model)
        del asked
        if units == size:
            break
    return unshadowed(source, state, settings)


def unshadowed(source: Source, state: State, settings: Settings) -> State:
    """Drop units that are what the template of a louder one leaves."""
    energies, trains = (state.used.templates**2).sum(axis=(2, 3)).mean(axis=0), state.trains()
    beside = pair_counts(trains, source.samples(settings.overlap))
    return state.keep(np.flatnonzero(~shadows(trains, energies, beside, settings.shadow)))


def together(
    source: Source, chunks: Sequence[Chunk], candidates: Candidates, state: State, settings: Settings
) -> tuple[Model, Flat]:
    """Join units that nobody can tell apart; return models and spikes."""
    resolved = resolving(state.trains(), candidates, source.samples(settings.coincidence))
    target = joined(source, chunks, state, resolved, settings, source.samples(MAX_LAG_MS))
    return join(state.model, state.trains(), target, state.weights.sum(axis=2), source.channels)


def resolving(trains: Flat, candidates: Candidates, window: int) -> Ints:
    """Count for all pairs of units the analyses that have a unit for each: (units, units)."""
    agreement = agreements(trains, candidates.trains, window)
    count = np.zeros((len(trains), len(trains)), np.int64)
    for analysis in np.unique(candidates.analyses):
        own = np.flatnonzero(candidates.analyses == analysis)
        best, found = agreement[:, own].argmax(axis=1), agreement[:, own].max(axis=1) >= AGREES
        count += found[:, None] & found[None] & (best[:, None] != best[None])
    return count


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
    candidates = prepare(source, chunks, given.only(np.array(usable)), [analyses[i] for i in usable], settings)
    state = settle(source, chunks, candidates, settings)
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
    all_trains = (*(found[unit] for unit in range(len(found))), *(group.train for group in groups))
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

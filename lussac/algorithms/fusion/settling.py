"""Which units there are: the chosen candidates compete, and are split and joined until nothing changes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.agreed import AGREES
from lussac.algorithms.fusion.candidates import MAX_LAG_MS, Candidates
from lussac.algorithms.fusion.joins import join, joined
from lussac.algorithms.fusion.matching import Model
from lussac.algorithms.fusion.refinement import Question, State, first_model, members, question, refine
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.splits import split
from lussac.algorithms.fusion.sums import shadows
from lussac.algorithms.fusion.trains import Flat, agreements, pair_counts

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

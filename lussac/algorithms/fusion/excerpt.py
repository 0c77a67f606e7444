"""Which units there are is learned from pieces of a long recording; then their spikes are found in all of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.agreed import stood_for
from lussac.algorithms.fusion.candidates import Candidates, prepare
from lussac.algorithms.fusion.refinement import State, first_model, question, refine
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.settling import settle, unshadowed
from lussac.algorithms.fusion.source import Chunk, Source, cut, excerpt
from lussac.algorithms.fusion.trains import Flat

Ints = NDArray[np.int64]


def learned(
    source: Source, chunks: Sequence[Chunk], trains: Flat, analyses: Sequence[int], settings: Settings
) -> tuple[Candidates, State]:
    """Return the candidates, and the units that explain the recording with their spikes.

    Parameters
    ----------
    source, chunks
        The recording.
    trains, analyses
        Sorted positions of each unit, and the number of its analysis.
    settings
        Numbers of the method.
    """
    length = max(settings.learned * source.sampling_frequency, settings.learned_share * source.total)
    if source.total < 2 * length:
        return learned_from_all(source, chunks, trains, analyses, settings)
    size = source.samples(1e3 * settings.piece)
    return learned_from(excerpt(source, round(length / size), size), source, chunks, trains, np.asarray(analyses), settings)


def learned_from_all(
    source: Source, chunks: Sequence[Chunk], trains: Flat, analyses: Sequence[int], settings: Settings
) -> tuple[Candidates, State]:
    """Learn from the whole recording at once, as `learned` does from a short one."""
    candidates = prepare(source, chunks, trains, analyses, settings)
    return candidates, settle(source, chunks, candidates, settings)


def learned_from(
    part: Source, source: Source, chunks: Sequence[Chunk], trains: Flat, analyses: Ints, settings: Settings
) -> tuple[Candidates, State]:
    """Learn from a part of the recording what units there are, and find their spikes in all of it; the rest is as for `learned`.

    Units that are hardly there in the part come in then, where they are nothing of what was learned.
    """
    share, blocks = part.total / source.total, 1 + chunks[-1].block
    fewer = replace(settings, min_spikes=max(settings.heard, round(settings.min_spikes * share)))
    some = cut(part, source.samples(1e3 * settings.chunk), part.total // blocks, blocks)
    inside = trains.inside(part.segments)
    heard, rare = (np.flatnonzero(which) for which in (inside.counts >= fewer.min_spikes, inside.counts < fewer.min_spikes))
    if not len(heard):
        return learned_from_all(source, chunks, trains, analyses.tolist(), settings)
    partial = prepare(part, some, inside.only(heard), analyses[heard].tolist(), fewer)
    del inside
    state = settle(part, some, partial, fewer)
    candidates = partial.among(trains, heard, chunks)
    asked = question(part, partial, state.model, state.trains(), fewer, candidates.trains)
    del state, partial
    state = unshadowed(source, refine(source, chunks, asked, settings), settings)
    model, own = state.model, state.trains()
    if len(rare):
        others = prepare(source, chunks, trains.only(rare), analyses[rare].tolist(), settings).among(trains, rare, chunks)
        others.chosen[stood_for(own, others.trains, source.samples(settings.coincidence), source.total)] = False
        model = model.followed_by(first_model(others, blocks))
        own = own.followed_by(others.trains.only(np.flatnonzero(others.chosen)))
        candidates = candidates.followed_by(others)
    asked = question(source, candidates, model, own, settings)
    del state, model, own
    return candidates, unshadowed(source, refine(source, chunks, asked, settings), settings)

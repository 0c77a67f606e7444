"""Units get spikes that no analysis has: where a part of a neuron was found, what is left of the recording shows the rest."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.matching import Found
from lussac.algorithms.fusion.refinement import State
from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.trains import Flat, has_near
from lussac.algorithms.fusion.unclaimed import Left, groups

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

MANY, FAINT = 0.1, 5.5
"""Spikes like a unit's that are left, for each of its own, and norm of its waveform, from which on it gets them."""
APART, INEXACT = 2.0, 0.2
"""Distance of their mean waveform from the unit's up to which they are its own: in standard deviations of the noise, or over the
norm of the waveform, whichever is more, since places are whole samples."""
SMALLEST = 0.7
"""Amplitude of the spikes that it gets."""


def reclaimed(source: Source, chunks: Sequence[Chunk], state: State, left: Left, apart: int) -> State:
    """Give units the spikes like theirs that are left, where these are many and nobody could tell them from the unit's.

    Sorters miss many spikes of quiet neurons. Spikes of a neighbour that nobody found look like a unit's one by one, but their
    mean waveform differs.

    Parameters
    ----------
    source, chunks
        The recording.
    state
        Units, their spikes, and what is left at these.
    left
        Spikes like the units' that none of them has.
    apart
        Spikes of a unit are further from each other than this, in samples.
    """
    limits = np.maximum(APART, INEXACT * state.norms)
    units = np.flatnonzero((left.shares >= MANY) & (left.apart <= limits) & (state.norms >= FAINT))
    trains, found = state.trains(), [state.found]
    for unit, group in groups(source, chunks, state.found, state.used, units, SMALLEST).items():
        if group.apart(state.noise) <= limits[unit]:
            new = ~has_near(group.places, trains[unit], apart)
            found.append(spikes_of(unit, group.places[new], group.amplitudes[new]))
    return replace(state, found=in_time(found)) if len(found) > 1 else state


def spikes_of(unit: int, places: Ints, amplitudes: Floats) -> Found:
    """Return spikes of one unit, subtracted as they were measured."""
    return Found(places, np.full(len(places), unit, np.int32), amplitudes, amplitudes, np.zeros_like(amplitudes))


def in_time(parts: Sequence[Found]) -> Found:
    """Return the spikes of all parts in order of time."""
    both = Found(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Found)))
    return both.taken(np.argsort(both.samples, kind="stable"))


def united(trains: Flat, more: Flat) -> Flat:
    """Return all spikes of each unit that it has in either."""
    return Flat.of([np.union1d(own, other) for own, other in zip(trains, more, strict=True)])

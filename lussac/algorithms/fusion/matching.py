"""Explain the recording by the units' templates: which of the proposed spikes are there, and whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion.fitting import Library, Proposals, Rules, collect, library_of
from lussac.algorithms.fusion.pool import Pool
from lussac.algorithms.fusion.pursuit import explain
from lussac.algorithms.fusion.source import Chunk, Source
from lussac.algorithms.fusion.trains import Growing

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Model:
    """What the units look like.

    Parameters
    ----------
    templates
        (blocks, units, samples, channels of the unit), in units of noise.
    channels
        (units, channels of the unit).
    before
        Samples before the spike.
    stiffness
        (units,), one over the variance of the amplitude (relative to the template's) from spike to spike.
    lows, highs
        (units,), smallest and largest amplitude that a spike of the unit may have.
    barred
        For each unit, positions at which it has no spike: what looks like one there is what a louder unit's template leaves.
        Empty where none is known of any unit.
    """

    templates: Floats
    channels: Ints
    before: int
    stiffness: Floats
    lows: Floats
    highs: Floats
    barred: tuple[Ints, ...] = ()

    def __len__(self) -> int:
        return len(self.channels)

    def library(self, block: int) -> Library:
        """Return the templates of a block, ready to be matched."""
        return library_of(self.templates[block], self.channels, self.stiffness, self.lows, self.highs)

    def followed_by(self, other: "Model") -> "Model":
        """Return the model of these units, then of others in the same blocks of time, with as many channels each."""
        barred = tuple(one for model in (self, other) for one in model.barred or [np.empty(0, np.int64)] * len(model))
        return Model(
            np.concatenate([self.templates, other.templates], axis=1),
            np.concatenate([self.channels, other.channels]),
            self.before,
            np.concatenate([self.stiffness, other.stiffness]),
            np.concatenate([self.lows, other.lows]),
            np.concatenate([self.highs, other.highs]),
            barred if self.barred or other.barred else (),
        )

    def of(self, units: Ints) -> "Model":
        """Return the model of these units; a unit may be named twice."""
        return Model(
            self.templates[:, units],
            self.channels[units],
            self.before,
            self.stiffness[units],
            self.lows[units],
            self.highs[units],
            tuple(self.barred[int(unit)] for unit in units) if self.barred else (),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """Spikes that the recording shows, in order of time.

    Parameters
    ----------
    samples, units
        Position, int64, and unit, int32.
    amplitudes
        As measured with all other spikes subtracted.
    fitted
        What was subtracted: the measured amplitude drawn towards 1 as the unit's prior demands.
    tilts
        Share of the template's slope that was subtracted too: the shift by less than a sample.
    """

    samples: Ints
    units: NDArray[np.int32]
    amplitudes: Floats
    fitted: Floats
    tilts: Floats

    def taken(self, which: Ints | NDArray[np.bool_]) -> "Found":
        """Return some of the spikes: those at these places, or those for which this is true."""
        return Found(*(getattr(self, field.name)[which] for field in fields(self)))


KINDS = (np.int64, np.int32, np.float32, np.float32, np.float32)
"""Types of the columns of `Found`."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of what is left at the spikes of a unit when all spikes are subtracted, times the spike's amplitude.

    Parameters
    ----------
    residuals
        (blocks, units, 2, samples, channels of the unit); the two halves of the spikes.
    weights
        (blocks, units, 2): sums of squared amplitudes.
    """

    residuals: Floats
    weights: Floats

    def of(self, units: Ints) -> "Sums":
        """Return the sums of these units."""
        return Sums(self.residuals[:, units], self.weights[:, units])


def match(source: Source, chunks: Sequence[Chunk], pool: Pool, model: Model, rules: Rules) -> tuple[Found, Sums]:
    """Find which proposed spikes the recording shows when all units compete for it.

    Each chunk is explained for itself, with margins in which the result is thrown away: nothing depends on the order of chunks.

    Parameters
    ----------
    source, chunks
        The recording.
    pool
        Proposes the spikes.
    model
        What the units look like.
    rules
        How spikes are searched.
    """
    blocks, size, length, kept = model.templates.shape
    sums = Sums(np.zeros((blocks, size, 2, length, kept), np.float32), np.zeros((blocks, size, 2), np.float32))
    library = lru_cache(maxsize=2)(model.library)
    columns = [Growing(kind) for kind in KINDS]

    def explained(chunk: Chunk) -> tuple[Floats, int, Found]:
        return _explained(source, chunk, pool, model, library(chunk.block), rules)

    for chunk, (traces, first, found) in zip(chunks, source.in_order(explained, chunks), strict=True):
        halves = (np.arange(len(found.samples)) + found.samples // 64) % 2
        windows, own = found.samples - first - model.before, (sums.residuals[chunk.block], sums.weights[chunk.block])
        collect(traces, windows, found.units, halves, found.fitted, library(chunk.block), *own, found.amplitudes)
        for field, column in zip(fields(Found), columns, strict=True):
            column.add(getattr(found, field.name))
    return Found(*(column.values() for column in columns)), sums


def _explained(
    source: Source, chunk: Chunk, pool: Pool, model: Model, library: Library, rules: Rules
) -> tuple[Floats, int, Found]:
    """Return what is left of a chunk, where that starts, and the spikes; their amplitudes are still to be measured."""
    length = library.shapes.shape[2]
    margin = 3 * length
    near = pool.between(chunk.start - margin, chunk.stop + margin)
    first = chunk.start - margin - length
    traces = source.read(first, chunk.stop + margin + length)
    priors = np.where(near.doubtful, -rules.doubt, 0.0).astype(np.float32)
    tried = Proposals.at(near.samples - first - model.before, near.units, priors)
    explain(traces, tried, library, rules)
    samples = tried.starts + tried.shifts + first + model.before
    taken = np.flatnonzero((tried.amplitudes > 0) & (samples >= chunk.start) & (samples < chunk.stop))
    taken = taken[np.argsort(samples[taken], kind="stable")]
    unknown = np.empty(len(taken), np.float32)
    return (
        traces,
        first,
        Found(samples[taken], tried.units[taken].astype(np.int32), unknown, tried.amplitudes[taken], tried.tilts[taken]),
    )

"""Fusion of analyses on the traces of a recording: between the files of users and `lussac.algorithms.fusion`."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.fusion import fuse as method
from lussac.algorithms.fusion.settings import Settings
from lussac.algorithms.fusion.source import Source
from lussac.algorithms.fusion.trains import Flat
from lussac.algorithms.timeline import Timeline, Train
from lussac.bandpass import read_scaled, scaling
from lussac.params import Band, Count, Fraction, Milliseconds, Periods, Strict
from lussac.traces import Traces
from lussac.units import UnitRef


class FusionParams(Strict):
    """How analyses are fused on the recording's traces."""

    filter: Band = (300.0, 6000.0)
    """Band of the traces (Hz)."""
    min_confidence: Fraction = 0.4
    """Units that are less likely to be right are dropped."""
    ms_before: Milliseconds = 0.67
    """Waveform before the spike (ms)."""
    ms_after: Milliseconds = 1.33
    """Waveform after the spike (ms)."""
    num_channels: Count = 16
    """Strongest channels that a unit's waveform has."""
    min_spikes: Count = 15
    """Units with fewer spikes are dropped."""
    block_s: float = 10.0
    """Time within which a waveform is taken as constant (s); shorter follows faster drift, longer suits rare spikes."""


@dataclass(frozen=True, slots=True)
class FusedUnit:
    """A neuron.

    Parameters
    ----------
    train
        On the timeline.
    members
        What each analysis that agrees by half has of it, best first: one unit, or several that take turns.
    confidence
        Probability that it is right.
    numbers
        What speaks for it, by name.
    """

    train: Train
    members: tuple[UnitRef, ...]
    confidence: float
    numbers: Mapping[str, float]


def laid_out(trains: Mapping[UnitRef, Train]) -> tuple[list[UnitRef], Flat]:
    """Lay the trains of all units into one array, in an order that doesn't depend on theirs."""
    refs = sorted(trains, key=lambda ref: (ref.sorting, str(ref.unit)))
    return refs, Flat.of([trains[ref] for ref in refs])


def fuse(
    refs: Sequence[UnitRef], trains: Flat, timeline: Timeline, traces: Traces, params: FusionParams, refractory_period: Periods,
    max_shift: float, log: logging.Logger,
) -> tuple[FusedUnit, ...]:  # fmt: skip
    """Fuse analyses.

    Parameters
    ----------
    refs, trains
        Every unit of every analysis, as they are `laid_out`: positions on the timeline.
    timeline
        The segments of the recording.
    traces
        The recording.
    params
        How.
    refractory_period
        Censored and refractory period (ms).
    max_shift
        Largest distance of a sorter's positions from the largest deflection (ms).
    log
        Told what is done.

    Returns
    -------
    units
        With at least the wanted confidence, the most certain first.
    """
    names = sorted({ref.sorting for ref in refs})
    settings = Settings(
        before=params.ms_before,
        after=params.ms_after,
        max_shift=max_shift,
        censored=refractory_period[0],
        refractory=refractory_period[1],
        channels=params.num_channels,
        min_spikes=params.min_spikes,
        block=params.block_s,
    )
    source = source_of(traces, params.filter, timeline)
    fused = method.fuse(source, trains, [names.index(ref.sorting) for ref in refs], settings)
    table = fused.evidence.table()
    units = [
        FusedUnit(
            train,
            tuple(refs[member] for member in members),
            float(sure),
            {name: float(values[row]) for name, values in table.items()},
        )
        for row, (train, members, sure) in enumerate(zip(fused.trains, fused.members, fused.confidence, strict=True))
    ]
    kept = [unit for unit in units if unit.confidence >= params.min_confidence]
    log.info(
        "Fusion: %d candidates, %d units that explain them, %d with confidence >= %g.",
        len(refs),
        len(units),
        len(kept),
        params.min_confidence,
    )
    return tuple(sorted(kept, key=lambda unit: -unit.confidence))


def source_of(traces: Traces, band: Band, timeline: Timeline) -> Source:
    """Return the band-passed traces on the timeline, in units of each channel's noise."""
    recording = traces.band(band)
    gains, _ = scaling(recording)
    noise = np.maximum(traces.noise(band), np.finfo(np.float32).tiny)
    scale = np.where(traces.noise(band) > 0, gains / noise, 0.0).astype(np.float32)
    starts = timeline.starts

    def from_position(start: int, stop: int) -> NDArray[np.float32]:
        segment = int(timeline.restore((start + stop) // 2)[0])
        origin = int(starts[segment])
        return read_scaled(recording, segment, start - origin, stop - origin, scale)

    segments = tuple((int(start), int(start) + length) for start, length in zip(starts, timeline.durations, strict=True))
    return Source(from_position, segments, recording.get_num_channels(), recording.sampling_frequency, traces.threads)

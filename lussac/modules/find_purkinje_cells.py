"""Finds the simple and the complex spikes that belong to one Purkinje cell of the cerebellum.

After a complex spike a Purkinje cell fires no simple spikes for about 10 ms, while it does right before: the
cross-correlogram of the two units has a pause on one side only (Llobet et al. 2022).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator
from spikeinterface.core import BaseSorting

from lussac.algorithms.correlograms import bin_edges, cross_correlogram
from lussac.algorithms.timeline import Train
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import Hertz, Milliseconds
from lussac.recording import timeline
from lussac.sortings import keep, trains, unit_ids
from lussac.units import Action, Decision, UnitId, UnitRef

PURKINJE = "lussac_purkinje"


class Params(ModuleParams):
    """What the units of a Purkinje cell look like."""

    cross_corr_pause: tuple[Milliseconds, Milliseconds] = (0.0, 8.0)
    """Start and end of the pause after a complex spike (ms)."""
    threshold: Annotated[float, Field(ge=0)] = 0.4
    """Firing in the pause is below this share of the baseline."""
    ss_min_fr: Hertz = 40.0
    """Smallest firing rate of a unit of simple spikes (Hz)."""
    cs_min_fr: Hertz = 0.5
    """Smallest firing rate of a unit of complex spikes (Hz)."""
    cs_max_fr: Hertz = 3.0
    """Largest firing rate of a unit of complex spikes (Hz)."""
    bin_ms: Annotated[float, Field(gt=0)] = 1.0
    """Width of a bin of the cross-correlogram (ms)."""
    baseline_ms: Milliseconds = 50.0
    """The baseline is the firing in this time before the complex spike, without the mirror image of the pause (ms)."""
    min_expected: Annotated[float, Field(ge=0)] = 30.0
    """Simple spikes that the baseline leads one to expect in the pause; with fewer a pair can't be judged."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.ss_min_fr <= self.cs_max_fr:
            raise ValueError(f"'ss_min_fr' ({self.ss_min_fr:g} Hz) must exceed 'cs_max_fr' ({self.cs_max_fr:g} Hz)")
        if self.cs_min_fr > self.cs_max_fr:
            raise ValueError(f"'cs_min_fr' ({self.cs_min_fr:g} Hz) can't exceed 'cs_max_fr' ({self.cs_max_fr:g} Hz)")
        start, end = self.cross_corr_pause
        if end - start < 2 * self.bin_ms:
            raise ValueError(f"'cross_corr_pause' ({start:g} to {end:g} ms) must hold at least two bins of {self.bin_ms:g} ms")
        if self.baseline_ms < end + 2 * self.bin_ms:
            raise ValueError(f"'baseline_ms' ({self.baseline_ms:g} ms) must reach two bins beyond the pause ({end:g} ms)")
        return self


@dataclass(frozen=True, slots=True)
class Pause:
    """The firing of simple spikes around the complex spikes of a unit.

    Parameters
    ----------
    after, before
        Median count of a bin in the pause, and in its mirror image before the complex spike, as shares of the baseline.
    expected
        Spikes in the pause if nothing paused.
    """

    after: float
    before: float
    expected: float

    def clear(self, threshold: float) -> bool:
        """Tell whether firing pauses after the complex spike and only there."""
        return self.after < threshold <= self.before


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Pair the units of every analysis and write the pairs into the property `lussac_purkinje`."""
    labelled, decisions = {}, []
    for name, sorting in sortings.items():
        pairs = find_pairs(sorting, params, context)
        labelled[name] = _labelled(sorting, list(pairs))
        context.log.info("%s: %d pairs of simple and complex spikes.", name, len(pairs))
        decisions += [decision for pair, pause in pairs.items() for decision in _told(name, *pair, pause)]
    return Outcome(sortings=labelled, decisions=tuple(decisions))


def find_pairs(sorting: BaseSorting, params: Params, context: Context) -> dict[tuple[UnitId, UnitId], Pause]:
    """Return the pairs (simple spikes, complex spikes), in the order of the units."""
    segments = timeline(context.recording)
    seconds = segments.total / sorting.sampling_frequency
    units = trains(sorting, segments)
    simple = [unit for unit, train in units.items() if len(train) >= params.ss_min_fr * seconds]
    complex_ = [unit for unit, train in units.items() if params.cs_min_fr <= len(train) / seconds <= params.cs_max_fr]
    measured = {(ss, cs): measure_pause(units[ss], units[cs], params, context.samples) for ss in simple for cs in complex_}
    judged = {pair: pause for pair, pause in measured.items() if pause.expected >= params.min_expected}
    if len(judged) < len(measured):
        context.log.info("%d pairs of units have too few spikes to tell whether one pauses.", len(measured) - len(judged))
    return {pair: pause for pair, pause in judged.items() if pause.clear(params.threshold)}


def measure_pause(simple: Train, complex_: Train, params: Params, samples: Callable[[float], int]) -> Pause:
    """Measure the firing of simple spikes around complex spikes.

    Parameters
    ----------
    simple, complex_
        Trains.
    params
        Of the module.
    samples
        Turns ms into samples.
    """
    start, end = (samples(border) for border in params.cross_corr_pause)
    bin_size = max(samples(params.bin_ms), 1)
    window = max(samples(params.baseline_ms), end + 2 * bin_size)
    counts = cross_correlogram(complex_, simple, window, bin_size)
    edges = bin_edges(window, bin_size)
    inside = (edges[:-1] >= start) & (edges[1:] <= end)
    baseline = float(counts[edges[1:] <= -end].mean())
    if baseline == 0.0 or not inside.any():
        return Pause(math.nan, math.nan, 0.0)
    after, before = (float(np.median(counts[bins])) / baseline for bins in (inside, inside[::-1]))
    return Pause(after, before, baseline * int(inside.sum()))


def _labelled(sorting: BaseSorting, pairs: Sequence[tuple[UnitId, UnitId]]) -> BaseSorting:
    """Return a copy of a sorting whose units name the pairs that they belong to."""
    labels = [" ; ".join(f"{ss}-{cs}" for ss, cs in pairs if unit in (ss, cs)) for unit in unit_ids(sorting)]
    labelled = keep(sorting, unit_ids(sorting))
    labelled.set_property(PURKINJE, np.array(labels, dtype=str))
    return labelled


def _told(name: str, simple: UnitId, complex_: UnitId, pause: Pause) -> tuple[Decision, Decision]:
    numbers = {"pause": pause.after, "before": pause.before, "expected": pause.expected}
    return (
        Decision(
            UnitRef(name, simple), Action.PAIRED, f"simple spikes pause after the complex spikes of unit {complex_}", numbers
        ),
        Decision(
            UnitRef(name, complex_),
            Action.PAIRED,
            f"complex spikes after which the simple spikes of unit {simple} pause",
            numbers,
        ),
    )


MODULE = Module(Params, run)

"""Removes units of one analysis that are the same neuron twice."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from spikeinterface.core import BaseSorting

from lussac import quality
from lussac.algorithms.spiketrains import coincidence_matrix
from lussac.algorithms.timeline import Timeline, Train
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import Fraction, Milliseconds, Strict, WaveformExtraction
from lussac.recording import timeline
from lussac.sortings import keep, trains, unit_ids
from lussac.traces import Templates
from lussac.units import Action, Decision, UnitRef

Strategy = Literal["highest_amplitude", "minimum_shift", "max_spikes"]


class Arguments(Strict):
    """As those of `spikeinterface.curation.remove_redundant_units`."""

    align: bool = True
    """Compare the units after each is moved to the peak of its template."""
    delta_time: Milliseconds = 0.3
    """Largest distance of two spikes that are taken to be one (ms)."""
    agreement_threshold: Fraction = 0.1
    """Smallest agreement, common spikes / spikes of either, of a pair that is looked at."""
    duplicate_threshold: Fraction = 0.7
    """Share of the smaller unit's spikes above which it is redundant."""
    remove_strategy: Strategy = "highest_amplitude"
    """Which unit of a pair stays: of the higher amplitude, of the smaller shift to its peak, or with more spikes."""

    @model_validator(mode="after")
    def _shift_known(self) -> Self:
        if self.remove_strategy == "minimum_shift" and not self.align:
            raise ValueError("'minimum_shift' needs 'align': true")
        return self


class Params(ModuleParams):
    """When two units are the same."""

    wvf_extraction: WaveformExtraction | None = WaveformExtraction(
        ms_before=1.0, ms_after=1.5, max_spikes_per_unit=500, filter_band=None
    )
    """How templates are taken; null: none, so that units are not aligned and the one with more spikes stays."""
    arguments: Arguments = Arguments()
    """How pairs are found and decided."""


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Remove one unit of each pair that shares too many spikes, in each analysis by itself."""
    templates = context.traces.templates(sortings, params.wvf_extraction, context.seed) if params.wvf_extraction else None
    if templates is None:
        context.log.info("No templates are taken: units are not aligned, and of two the one with more spikes stays.")
    decisions: list[Decision] = []
    for name, sorting in sortings.items():
        units = _candidates(name, sorting, templates, params.arguments, timeline(context.recording))
        decisions += redundant(units, params.arguments, context.samples(params.arguments.delta_time))
    removed = {decision.unit for decision in decisions}
    kept = {
        name: keep(sorting, [unit for unit in unit_ids(sorting) if UnitRef(name, unit) not in removed])
        for name, sorting in sortings.items()
    }
    return Outcome(sortings=kept, decisions=tuple(decisions))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Units of one analysis as they are compared.

    Parameters
    ----------
    refs
        The units.
    trains
        Their spikes, aligned where that is wanted.
    worth
        Of two redundant units the one of higher worth stays (compared from the first column on): units x criteria.
    """

    refs: list[UnitRef]
    trains: list[Train]
    worth: NDArray[np.float64]


def _candidates(
    name: str, sorting: BaseSorting, templates: Templates | None, arguments: Arguments, segments: Timeline
) -> Candidates:
    units = trains(sorting, segments)
    refs = [UnitRef(name, unit) for unit in units]
    counts = np.array([[len(train)] for train in units.values()], dtype=np.float64)
    if templates is None:
        return Candidates(refs, list(units.values()), counts)
    mine = [index for index, ref in enumerate(templates.refs) if ref.sorting == name]
    shifts = np.where(templates.counts, quality.main_peaks(templates, "both")[1] - templates.before, 0)[mine]
    amplitudes = quality.template_sizes(templates, "both", "at_index").max(axis=1)[mine][:, np.newaxis]
    worth = {
        "highest_amplitude": amplitudes,
        "minimum_shift": np.hstack([-np.abs(shifts)[:, np.newaxis], amplitudes]),
        "max_spikes": counts,
    }[arguments.remove_strategy]
    moves = shifts if arguments.align else np.zeros_like(shifts)
    return Candidates(refs, [train + move for train, move in zip(units.values(), moves, strict=True)], worth)


def redundant(units: Candidates, arguments: Arguments, window: int) -> list[Decision]:
    """Return the decisions to remove units; where two have the same worth, the later one stays.

    Parameters
    ----------
    units
        Of one analysis.
    arguments
        The thresholds.
    window
        Largest distance of two spikes that are taken to be one, in samples.
    """
    common = coincidence_matrix(units.trains, window)
    counts = common.diagonal()
    removed = {}
    for later, earlier in redundant_pairs(common, counts, arguments.agreement_threshold, arguments.duplicate_threshold):
        worse, better = (later, earlier) if tuple(units.worth[later]) < tuple(units.worth[earlier]) else (earlier, later)
        share = float(common[later, earlier] / min(counts[later], counts[earlier]))
        reason = f"redundant with unit {units.refs[better].unit}"
        removed[worse] = Decision(units.refs[worse], Action.REMOVED, reason, {"shared": share})
    return [removed[index] for index in sorted(removed)]


def redundant_pairs(
    common: NDArray[np.int64], counts: NDArray[np.int64], agreement: float, duplicate: float
) -> list[tuple[int, int]]:
    """Return the pairs of units that share too many spikes, the higher index first.

    Parameters
    ----------
    common
        Matched spikes of each pair of units.
    counts
        Spikes of each unit.
    agreement
        Smallest share of common spikes in the spikes of both.
    duplicate
        Share of the smaller unit's spikes that must be exceeded.
    """
    pairs = np.argwhere(np.tril(common, -1) > 0)
    first, second = pairs[:, 0], pairs[:, 1]
    both = common[first, second]
    agreeing = both >= agreement * (counts[first] + counts[second] - both)
    duplicated = both > duplicate * np.minimum(counts[first], counts[second])
    return [(int(a), int(b)) for a, b in pairs[agreeing & duplicated]]


MODULE = Module(Params, run)

"""Removes units of one analysis that are the same neuron twice."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from lussac import quality
from lussac.algorithms.spiketrains import coincidence_matrix
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
    decisions = [decision for name in sortings for decision in _redundant(name, sortings, templates, params.arguments, context)]
    removed = {decision.unit for decision in decisions}
    kept = {
        name: keep(sorting, [unit for unit in unit_ids(sorting) if UnitRef(name, unit) not in removed])
        for name, sorting in sortings.items()
    }
    return Outcome(sortings=kept, decisions=tuple(decisions))


def _redundant(
    name: str, sortings: Sortings, templates: Templates | None, arguments: Arguments, context: Context
) -> list[Decision]:
    """Return the decisions to remove units of one analysis."""
    units = trains(sortings[name], timeline(context.recording))
    counts = np.array([len(train) for train in units.values()], dtype=np.int64)
    shifts, worth = np.zeros(len(units), dtype=np.int64), counts.astype(np.float64)
    strategy: Strategy = "max_spikes"
    if templates is not None:
        mine = [index for index, ref in enumerate(templates.refs) if ref.sorting == name]
        shifts, strategy = quality.main_peaks(templates, "both")[1][mine] - templates.before, arguments.remove_strategy
        amplitudes = quality.template_sizes(templates, "both", "at_index").max(axis=1)[mine]
        worth = {"highest_amplitude": amplitudes, "max_spikes": worth, "minimum_shift": amplitudes}[strategy]
    moves = shifts if templates is not None and arguments.align else np.zeros_like(shifts)
    moved = [train + move for train, move in zip(units.values(), moves, strict=True)]
    common = coincidence_matrix(moved, context.samples(arguments.delta_time))
    refs = [UnitRef(name, unit) for unit in units]
    decided = {}
    for first, second in redundant_pairs(common, counts, arguments.agreement_threshold, arguments.duplicate_threshold):
        rank = [(-abs(int(shifts[unit])) if strategy == "minimum_shift" else 0, worth[unit]) for unit in (first, second)]
        worse, better = (first, second) if rank[0] < rank[1] else (second, first)
        share = float(common[first, second] / min(counts[first], counts[second]))
        decided[worse] = Decision(
            refs[worse], Action.REMOVED, f"redundant with unit {refs[better].unit} ({strategy})", {"shared": share}
        )
    return [decided[index] for index in sorted(decided)]


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

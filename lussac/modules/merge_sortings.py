"""Merges all analyses into one: a graph of their units, the units that hold two neurons taken out, one train per neuron.

The steps follow Llobet, Wyngaard and Barbour (2022), bioRxiv 2022.02.08.479192; see docs/modules/merge_sortings.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, fields, replace

import numpy as np
from numpy.typing import NDArray

from lussac.algorithms.agreement import Choice, Scoring, shifted_jaccard
from lussac.algorithms.contrast import Contrast, Limits, SpikeStatistics
from lussac.algorithms.merging import Candidates, Merging, Neuron, Settings, merge
from lussac.algorithms.timeline import Timeline, Train
from lussac.fusing import FusedUnit, FusionParams, fuse, laid_out
from lussac.modules import MEMBER_AGREEMENT, MERGED
from lussac.modules._neurons import Found, merged_sorting, name_of
from lussac.modules.base import Context, Module, ModuleParams, Outcome, Sortings
from lussac.params import Count, Fraction, Milliseconds, Periods, Strict, WaveformExtraction
from lussac.recording import timeline
from lussac.sortings import trains, unit_ids
from lussac.traces import Templates
from lussac.units import Action, Decision, UnitRef

Trains = Mapping[UnitRef, Train]
Result = tuple[list[Found], list[Decision], dict[str, NDArray[np.generic]]]
"""Neurons, decisions about all units, tables for the report."""

FOR_AGREEMENT = (
    "require_multiple_sortings_match",
    "min_num_sortings",
    "similarity",
    "correlogram_validation",
    "waveform_validation",
    "merge_check",
    "clean_edges",
    "selection",
)
"""Parameters that say nothing to the fusion on the traces."""
UNUSED = "it is not the best unit of its analysis for any neuron that the traces show"


class Similarity(Strict):
    """When two units may be one neuron."""

    min_similarity: Fraction = 0.3
    """Share of the smaller unit's spikes that the other one must have too, beyond chance."""
    window: Milliseconds = 0.2
    """Largest distance of two spikes that are one (ms)."""


class CorrelogramValidation(Strict):
    """How correlograms are made."""

    max_time: Milliseconds = 70.0
    """Half width (ms)."""
    gaussian_std: Milliseconds = 0.6
    """Standard deviation of the Gaussian that smoothes them (ms)."""
    gaussian_truncate: float = 5.0
    """Where the Gaussian ends, in standard deviations."""
    bin_ms: Milliseconds | None = None
    """Width of a bin (ms); null: 1/350 of max_time."""


class WaveformValidation(Strict):
    """How templates are made and compared."""

    wvf_extraction: WaveformExtraction = WaveformExtraction(
        ms_before=1.0, ms_after=2.0, max_spikes_per_unit=1000, filter_band=(250.0, 6000.0)
    )
    """How they are taken."""
    num_channels: Count = 5
    """Channels with the largest amplitudes that are compared."""
    min_distance: float = 4.0
    """Templates that differ less in shape are never called different (standard deviations of the noise)."""


class MergeCheck(Strict):
    """When a unit is a merge of two neurons."""

    cross_cont_threshold: Fraction = 0.10
    """Share of foreign spikes that two units may have and be one neuron; also the least share of each part in a merge."""
    min_contained: Fraction = 0.8
    """Share of a unit's spikes that must lie in another one for it to be part of that."""
    min_agreement: Fraction = 0.5
    """Agreement that a unit must have with its part of a merge for that analysis to count as having found the neuron."""
    max_p_value: Fraction = 0.001
    """Probability below which the tests on coincidences decide."""
    min_simultaneity: float = 0.5
    """Units that are active together less often than this share of chance are one neuron that drifts."""
    block: Milliseconds = 5_000.0
    """Stretch of time in which units count as active together (ms)."""
    min_foreign: Fraction = 0.5
    """Units that have significantly fewer foreign spikes than this are one neuron, even if their templates differ."""


class CleanEdges(Strict):
    """When two similar units are not one neuron."""

    template_diff_threshold: Fraction = 0.10
    """Largest difference of their templates."""
    corr_diff_threshold: float = 0.12
    """Largest difference of their correlograms."""
    cross_cont_threshold: Fraction = 0.06
    """Largest share of foreign spikes."""


class Selection(Strict):
    """How the train of a neuron is chosen."""

    firing_contamination_balance: float = 2.5
    """k: a spike counts 1, a foreign one -k."""
    lone_spike_weight: Fraction = 0.1
    """What a spike counts that no other analysis found."""


class Params(ModuleParams):
    """What decides."""

    refractory_period: Periods = (0.2, 1.0)
    """Censored and refractory period (ms)."""
    max_shift: Milliseconds = 1.33
    """Largest realignment between two units (ms)."""
    require_multiple_sortings_match: bool = True
    """Drop units that no other analysis found."""
    min_num_sortings: Count = 2
    """How many analyses must have found a neuron, where several must."""
    similarity: Similarity = Similarity()
    """When two units may be one neuron."""
    correlogram_validation: CorrelogramValidation = CorrelogramValidation()
    """How correlograms are made."""
    waveform_validation: WaveformValidation = WaveformValidation()
    """How templates are made and compared."""
    merge_check: MergeCheck = MergeCheck()
    """When a unit is a merge of two neurons."""
    clean_edges: CleanEdges = CleanEdges()
    """When two similar units are not one neuron."""
    selection: Selection = Selection()
    """How the train of a neuron is chosen."""
    fusion: FusionParams | None = None
    """Decide on the traces which units explain the spikes, instead of by agreement; null: by agreement."""


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Merge all analyses into one sorting; the order in which they are given has no influence."""
    named = {name: sortings[name] for name in sorted(sortings)}
    line = timeline(context.recording)
    if params.fusion is None:
        found, decisions, arrays = by_agreement(named, params, context)
    else:
        found, decisions, arrays = by_fusion(named, params, params.fusion, context)
    units = units_of(named, line)
    refs = [UnitRef(name, unit) for name, part in named.items() for unit in unit_ids(part)]
    empty = [Decision(ref, Action.REMOVED, "it has no spikes") for ref in refs if ref not in units]
    decisions = [_with_agreement(decision, units, found, params, context) for decision in decisions]
    context.log.info("%d units of %d analyses: %d neurons.", len(refs), len(named), len(found))
    result = merged_sorting(found, named, line, context.recording.sampling_frequency)
    return Outcome(sortings={MERGED: result}, decisions=(*empty, *decisions), arrays=arrays)


def units_of(sortings: Sortings, line: Timeline) -> Trains:
    """Return the units that have spikes."""
    units = {UnitRef(name, unit): train for name, part in sortings.items() for unit, train in trains(part, line).items()}
    return {ref: train for ref, train in units.items() if len(train)}


def _with_agreement(decision: Decision, units: Trains, found: Sequence[Found], params: Params, context: Context) -> Decision:
    """Add to the decision about a unit of a neuron how far both agree."""
    if decision.action is not Action.MERGED:
        return decision
    neuron = found[int(decision.numbers["unit"])]
    reach, window = context.samples(params.max_shift), context.samples(params.similarity.window)
    agreement = shifted_jaccard(units[decision.unit], neuron.train, reach, window)
    return replace(decision, numbers={**decision.numbers, MEMBER_AGREEMENT: agreement})


def by_agreement(sortings: Sortings, params: Params, context: Context) -> Result:
    """Find the neurons that analyses agree on."""
    units = units_of(sortings, timeline(context.recording))
    refs = list(units)
    templates = context.traces.templates(sortings, params.waveform_validation.wvf_extraction, context.seed)
    merging = merge(candidates(units, templates), settings(params, context, len(sortings)))
    found = [_found(neuron, refs) for neuron in merging.neurons]
    order = {ref: place for place, ref in enumerate(refs)}
    told = sorted(
        [*_kept(merging, refs), *_merges(merging, refs), *_dropped(merging, refs)], key=lambda decision: order[decision.unit]
    )
    return found, told, _tables(merging, refs)


def by_fusion(sortings: Sortings, params: Params, fusion: FusionParams, context: Context) -> Result:
    """Find the neurons that explain the traces best."""
    if ignored := [name for name in FOR_AGREEMENT if name in params.model_fields_set]:
        context.log.warning("With fusion the traces decide: %s is not used.", ", ".join(ignored))
    line = timeline(context.recording)
    units = units_of(sortings, line)
    given, (refs, laid) = list(units), laid_out(units)
    del units  # so that the spikes are in memory once
    fused = fuse(refs, laid, line, context.traces, fusion, params.refractory_period, params.max_shift, context.log)
    found = [_refined(unit) for unit in fused]
    places = {ref: place for place, neuron in enumerate(found) for ref in neuron.members}
    told = [_used(ref, places[ref], found) if ref in places else Decision(ref, Action.REMOVED, UNUSED) for ref in given]
    return found, told, {}


def _used(ref: UnitRef, place: int, found: Sequence[Found]) -> Decision:
    return Decision(ref, Action.MERGED, f"neuron {place}: one of its units", {"unit": float(place), **found[place].numbers})


def _refined(unit: FusedUnit) -> Found:
    names = ", ".join(name_of(ref) for ref in unit.members) or "no single unit"
    agreement = unit.numbers.get("agreement", 0.0)
    return Found(
        unit.train,
        f"fusion of {names}",
        unit.members,
        len({ref.sorting for ref in unit.members}),
        agreement,
        {"confidence": unit.confidence, **unit.numbers},
    )


def settings(params: Params, context: Context, analyses: int) -> Settings:
    """Translate the parameters into samples and bins."""
    duration = timeline(context.recording).total
    censored = context.samples(params.refractory_period[0])
    refractory = max(context.samples(params.refractory_period[1]), censored + 1)
    correlogram = params.correlogram_validation
    bin_ms = correlogram.bin_ms or correlogram.max_time / 350
    bin_size = max(context.samples(bin_ms), 1)
    return Settings(
        max_shift=context.samples(params.max_shift),
        min_similarity=params.similarity.min_similarity,
        min_contained=params.merge_check.min_contained,
        min_agreement=params.merge_check.min_agreement,
        min_analyses=_needed(params, analyses, context),
        num_channels=params.waveform_validation.num_channels,
        merge_foreign=params.merge_check.cross_cont_threshold,
        edge_foreign=params.clean_edges.cross_cont_threshold,
        limits=Limits(
            template_difference=params.clean_edges.template_diff_threshold,
            template_distance=params.waveform_validation.min_distance,
            correlogram_difference=params.clean_edges.corr_diff_threshold,
            p_value=params.merge_check.max_p_value,
            simultaneity=params.merge_check.min_simultaneity,
            foreign_share=params.merge_check.min_foreign,
        ),
        spikes=SpikeStatistics(
            censored=censored,
            refractory=refractory,
            duration=duration,
            block=max(context.samples(params.merge_check.block), 1),
            reach=context.samples(correlogram.max_time),
            bin_size=bin_size,
            std_bins=context.samples(correlogram.gaussian_std) / bin_size,
            truncate=correlogram.gaussian_truncate,
        ),
        scoring=Scoring(
            window=context.samples(params.similarity.window),
            censored=censored,
            refractory=refractory,
            duration=duration,
            balance=params.selection.firing_contamination_balance,
            lone_weight=params.selection.lone_spike_weight,
        ),
    )


def _needed(params: Params, analyses: int, context: Context) -> int:
    """Return how many analyses must have found a neuron."""
    if not params.require_multiple_sortings_match:
        return 1
    if params.min_num_sortings > analyses:
        context.log.warning("min_num_sortings is %d, but only %d given: all must agree.", params.min_num_sortings, analyses)
    return min(params.min_num_sortings, analyses)


def candidates(units: Trains, templates: Templates) -> Candidates:
    """Return the units, their templates in units of the noise (0 on a channel that has none)."""
    place = {ref: index for index, ref in enumerate(templates.refs)}
    rows = [place[ref] for ref in units]
    scaled = np.zeros((len(rows), *templates.means.shape[1:]), np.float32)
    np.divide(templates.means[rows], templates.noise, out=scaled, where=templates.noise > 0)
    return Candidates(list(units.values()), [ref.sorting for ref in units], scaled, templates.counts[rows])


def _found(neuron: Neuron, refs: Sequence[UnitRef]) -> Found:
    first = neuron.representative
    members = tuple(refs[unit] for unit in (first, *(unit for unit in neuron.members if unit != first)))
    return Found(neuron.train, _source(neuron, refs), members, len(neuron.analyses), neuron.mean_agreement)


def _source(neuron: Neuron, refs: Sequence[UnitRef]) -> str:
    return _told(neuron.choice, neuron, refs)


def _told(choice: Choice, neuron: Neuron, refs: Sequence[UnitRef]) -> str:
    names = " + ".join(name_of(refs[unit]) for unit in choice.units or neuron.members)
    return names if choice.units else f"consensus (at least {choice.min_votes} analyses) of {names}"


def _kept(merging: Merging, refs: Sequence[UnitRef]) -> Iterator[Decision]:
    for new, neuron in enumerate(merging.neurons):
        numbers = {
            "unit": float(new),
            "analyses": float(len(neuron.analyses)),
            "mean_agreement": neuron.mean_agreement,
            "score": neuron.choice.score,
        }
        for unit in neuron.members:
            role = "its spikes are taken" if unit in neuron.choice.units else f"represented by {_source(neuron, refs)}"
            yield Decision(refs[unit], Action.MERGED, f"neuron {new}: {role}", numbers)


def _merges(merging: Merging, refs: Sequence[UnitRef]) -> Iterator[Decision]:
    for unit, (a, b) in merging.merges.items():
        evidence = merging.evidence[(min(a, b), max(a, b))]
        yield Decision(
            refs[unit],
            Action.REMOVED,
            f"it merges two neurons: it holds {name_of(refs[a])} and {name_of(refs[b])}, which differ",
            {
                "template_difference": evidence.template_difference,
                "template_distance": evidence.template_distance,
                "cross_contamination": evidence.cross_contamination,
            },
        )


def _dropped(merging: Merging, refs: Sequence[UnitRef]) -> Iterator[Decision]:
    for neuron in merging.lone:
        found = {"analyses": float(len(neuron.analyses))}
        for unit in neuron.members:
            yield Decision(refs[unit], Action.REMOVED, "too few analyses found it", found)
    for neuron, better in merging.redundant:
        numbers = {"unit": float(better), "score": neuron.choice.score}
        for unit in neuron.members:
            yield Decision(refs[unit], Action.REMOVED, f"redundant with neuron {better}, which ranks higher", numbers)


def _tables(merging: Merging, refs: Sequence[UnitRef]) -> dict[str, NDArray[np.generic]]:
    """Return what the report shows: the graph (units, pairs of them as indices, the evidence about each), and each choice."""
    pairs = sorted(merging.evidence)
    evidence = [astuple(merging.evidence[pair]) for pair in pairs]
    runners_up = [neuron.choice.runner_up for neuron in merging.neurons]
    told = [_told(choice, neuron, refs) if choice else "" for neuron, choice in zip(merging.neurons, runners_up, strict=True)]
    return {
        "units": np.array([name_of(ref) for ref in refs], dtype=str),
        "pairs": np.array(pairs, dtype=np.int64).reshape(-1, 2),
        "evidence": np.array(evidence, dtype=np.float64).reshape(-1, len(fields(Contrast))),
        "chosen": np.array([_source(neuron, refs) for neuron in merging.neurons], dtype=str),
        "score": np.array([neuron.choice.score for neuron in merging.neurons], dtype=np.float64),
        "runner_up": np.array(told, dtype=str),
        "runner_up_score": np.array([choice.score if choice else np.nan for choice in runners_up], dtype=np.float64),
    }


MODULE = Module(Params, run, fuses=True)

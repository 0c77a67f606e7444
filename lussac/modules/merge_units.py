"""Merges the units of one analysis that are parts of one neuron.

Units that are near each other, whose templates are alike, and whose cross-correlogram looks like their auto-correlograms are
candidates; the score of what a merge would give decides (Llobet et al. 2022).
"""

from collections.abc import Iterator, Mapping, Sequence

from spikeinterface.core import BaseSorting

from lussac.algorithms.timeline import Timeline, Train
from lussac.algorithms.unit_merges import BadSplit, Group, Pair, Score, bad_splits, merge_groups
from lussac.modules._merge_candidates import Units, find_candidates
from lussac.modules._merge_params import Params
from lussac.modules.base import Context, Module, Outcome, Sortings
from lussac.recording import timeline
from lussac.sortings import from_trains, trains, unit_ids
from lussac.traces import Templates
from lussac.units import Action, Decision, UnitId, UnitRef

Measured = Mapping[Pair, Mapping[str, float]]


def run(sortings: Sortings, params: Params, context: Context) -> Outcome:
    """Merge the units of each analysis by itself."""
    templates = context.traces.templates(sortings, params.wvf_extraction, context.seed)
    segments = timeline(context.recording)
    merged: dict[str, BaseSorting] = {}
    decisions: list[Decision] = []
    for name, sorting in sortings.items():
        units = _units(name, sorting, templates, segments, params, context)
        pairs = find_candidates(units)
        context.log.info("%s: %d pairs of units may be parts of one neuron.", name, len(pairs))
        splits, groups = decide(units, list(pairs))
        merged[name] = _merged(units, splits, groups, segments)
        refs = [UnitRef(name, unit) for unit in unit_ids(sorting)]
        decisions += [*_told_splits(refs, splits, pairs), *_told_groups(refs, groups, pairs)]
    return Outcome(sortings=merged, decisions=tuple(decisions))


def decide(units: Units, pairs: Sequence[Pair]) -> tuple[dict[Pair, BadSplit], list[Group]]:
    """Return the pairs whose worse unit goes, and what becomes of the other candidates."""
    step = units.steps.quality_score
    score = Score(*units.periods(step), units.duration, step.firing_contamination_balance)
    splits = bad_splits(units.trains, pairs, score)
    gone = {split.unit for split in splits.values()}
    return splits, merge_groups(units.trains, [pair for pair in pairs if pair not in splits and gone.isdisjoint(pair)], score)


def _units(name: str, sorting: BaseSorting, templates: Templates, segments: Timeline, params: Params, context: Context) -> Units:
    mine = [index for index, ref in enumerate(templates.refs) if ref.sorting == name]
    return Units(
        sorting=sorting,
        trains=list(trains(sorting, segments).values()),
        templates=templates.means[mine],
        noise=templates.noise,
        duration=segments.total,
        params=params,
        context=context,
    )


def _merged(units: Units, splits: Mapping[Pair, BadSplit], groups: Sequence[Group], segments: Timeline) -> BaseSorting:
    """Return the sorting that is left: a merged unit has the id and the properties of the best of its parts."""
    gone = {split.unit for split in splits.values()}
    gone |= {unit for group in groups for unit in (*group.merged, *group.left_over)}
    joined = {group.unit: group.train for group in groups}
    left: dict[UnitId, Train] = {
        unit: joined.get(index, units.trains[index]) for index, unit in enumerate(unit_ids(units.sorting)) if index not in gone
    }
    return from_trains(left, segments, units.sorting.sampling_frequency, units.sorting)


def _told_splits(refs: Sequence[UnitRef], splits: Mapping[Pair, BadSplit], pairs: Measured) -> Iterator[Decision]:
    told = set[int]()
    for pair, split in splits.items():
        if split.unit in told:
            continue
        told.add(split.unit)
        numbers = {
            **pairs[pair],
            "score": split.score,
            "better_score": split.better_score,
            "merged_score": split.merged_score,
        }
        reason = f"a bad split of unit {refs[split.better].unit}: the merge would lower the score"
        yield Decision(refs[split.unit], Action.REMOVED, reason, numbers)


def _told_groups(refs: Sequence[UnitRef], groups: Sequence[Group], pairs: Measured) -> Iterator[Decision]:
    for group in groups:
        best, numbers = refs[group.unit].unit, {"merged_score": group.score}
        if group.merged:
            parts = ", ".join(str(refs[unit].unit) for unit in group.merged)
            yield Decision(refs[group.unit], Action.CHANGED, f"took in {parts}", {"spikes": float(len(group.train)), **numbers})
        for unit in (*group.merged, *group.left_over):
            measured = pairs.get((min(unit, group.unit), max(unit, group.unit)), {})
            if unit in group.merged:
                yield Decision(refs[unit], Action.MERGED, f"merged into unit {best}", {**measured, **numbers})
            else:
                reason = f"left over beside unit {best}: no merge improves the score"
                yield Decision(refs[unit], Action.REMOVED, reason, {**measured, **numbers})


MODULE = Module(Params, run)

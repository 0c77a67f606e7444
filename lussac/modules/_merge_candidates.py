"""The pairs of units that may be parts of one neuron: near, with like templates and like correlograms."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import cast

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseSorting, create_sorting_analyzer

from lussac.algorithms.contamination import contamination, cross_contamination
from lussac.algorithms.correlograms import (
    adaptive_window,
    auto_correlogram,
    counting_noise,
    cross_correlogram,
    difference,
    smooth,
)
from lussac.algorithms.templates import center_of_mass, strongest_channels, template_difference
from lussac.algorithms.timeline import Train
from lussac.algorithms.unit_merges import Pair
from lussac.errors import ModuleError
from lussac.modules._merge_params import ContaminationPeriods, Params, Step, StepsParams
from lussac.modules.base import Context
from lussac.sortings import keep, unit_ids

LOCATION_RADIUS_UM = 75.0
"""Channels that tell where a unit is lie this near to its main one."""
SMOOTHING_ENDS = 5.0
"""Standard deviations at which the smoothing of correlograms is cut off."""


@dataclass(frozen=True, eq=False)
class Units:
    """The units of one analysis and what tells that two are one.

    Parameters
    ----------
    sorting
        The analysis.
    trains
        Spikes of each unit on the timeline.
    templates
        Units x samples x channels, in uV; zeros for a unit without usable spikes.
    noise
        Per channel, in uV.
    duration
        Samples of the recording.
    params, context
        Of the module.
    """

    sorting: BaseSorting
    trains: Sequence[Train]
    templates: NDArray[np.float32]
    noise: NDArray[np.float32]
    duration: int
    params: Params
    context: Context

    @property
    def steps(self) -> StepsParams:
        """Parameters of the steps."""
        return self.params.auto_merge_params.steps_params

    @cached_property
    def locations(self) -> NDArray[np.float64]:
        """Units x dimensions, in um."""
        positions = self.context.recording.get_channel_locations()
        return np.array([center_of_mass(template, positions, LOCATION_RADIUS_UM) for template in self.templates])

    def periods(self, step: ContaminationPeriods) -> tuple[int, int]:
        """Return the censored and the refractory period of a step, in samples."""
        censored, refractory = (self.context.samples(period) for period in self.params.periods(step))
        return censored, max(refractory, censored + 1)

    def contamination(self, unit: int) -> float:
        """Return the contamination of a unit; 0 where it has too few spikes to tell."""
        periods = self.periods(self.steps.remove_contaminated)
        return float(np.nan_to_num(contamination(self.trains[unit], *periods, self.duration)))

    def snr(self, unit: int) -> float:
        """Return the highest peak of a unit's template over the noise of its channel."""
        return float((np.abs(self.templates[unit]).max(axis=0) / np.maximum(self.noise, np.finfo(np.float32).tiny)).max())


def distances(units: Units, pairs: Sequence[Pair]) -> list[float]:
    """Return how far apart the units of each pair are, in um."""
    first, second = (units.locations[list(side)] for side in zip(*pairs, strict=True))
    return cast("list[float]", np.linalg.norm(first - second, axis=1).tolist())


def template_differences(units: Units, pairs: Sequence[Pair]) -> list[float]:
    """Return how far the templates of each pair differ, 0 .. 1."""
    step = units.steps.template_similarity
    lag = units.context.samples(step.max_lag_ms) if step.num_shift is None else step.num_shift
    both = [(units.templates[first], units.templates[second]) for first, second in pairs]
    return [template_difference(a, b, strongest_channels((a, b), step.num_channels), lag) for a, b in both]


def correlogram_differences(units: Units, pairs: Sequence[Pair]) -> list[float]:
    """Return how far the cross-correlogram of each pair differs from the two auto-correlograms.

    What the chance in their counts explains is left out, if it is no more than the likeness of the templates makes up for.
    """
    step, context = units.steps.correlogram, units.context
    bin_size = max(context.samples(units.params.correlograms.bin_ms), 1)
    window = context.samples(units.params.correlograms.window_ms / 2)
    reach = window // bin_size
    open_ = np.abs(np.arange(-reach, reach + 1)) * bin_size > context.samples(step.censor_correlograms_ms)
    std = step.sigma_smooth_ms * 1e-3 * units.sorting.sampling_frequency / bin_size

    def shape(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        return smooth(np.where(open_, counts, 0), std, SMOOTHING_ENDS)

    trains = units.trains
    autos = {unit: shape(auto_correlogram(trains[unit], window, bin_size)) for unit in sorted(set(chain.from_iterable(pairs)))}
    widths = {unit: adaptive_window(auto, step.adaptive_window_thresh) for unit, auto in autos.items()}
    unlike = np.array(template_differences(units, pairs)) / max(units.steps.template_similarity.template_diff_thresh, 1e-9)
    limits = step.max_noise * (1.0 - unlike)
    found = []
    for (a, b), limit in zip(pairs, limits.tolist(), strict=True):
        cross = shape(cross_correlogram(trains[a], trains[b], window, bin_size))
        of_pair = cross, autos[a], autos[b], (len(trains[a]), len(trains[b])), (widths[a], widths[b])
        noise = counting_noise(*of_pair, std)
        found.append(max(difference(*of_pair) - (noise if noise <= limit else 0.0), 0.0))
    return found


def contamination_tests(units: Units, pairs: Sequence[Pair]) -> list[float]:
    """Return for each pair the p-value of the test that the units contaminate each other; the smaller of both directions."""
    step, trains = units.steps.cross_contamination, units.trains

    def p_value(first: int, second: int) -> float:
        return cross_contamination(trains[first], trains[second], *units.periods(step), units.duration, step.cc_thresh).p_value

    return [min(p_value(first, second), p_value(second, first)) for first, second in pairs]


UNIT_STEPS: Mapping[Step, Callable[[Units, int], bool]] = {
    "num_spikes": lambda units, unit: len(units.trains[unit]) >= units.steps.num_spikes.min_spikes,
    "snr": lambda units, unit: units.snr(unit) >= units.steps.snr.min_snr,
    "remove_contaminated": lambda units, unit: units.contamination(unit) <= units.steps.remove_contaminated.contamination_thresh,
}
PAIR_STEPS: Mapping[Step, tuple[Callable[[Units, Sequence[Pair]], list[float]], Callable[[StepsParams, float], bool]]] = {
    "unit_locations": (distances, lambda steps, value: value <= steps.unit_locations.max_distance_um),
    "template_similarity": (template_differences, lambda steps, value: value <= steps.template_similarity.template_diff_thresh),
    "correlogram": (correlogram_differences, lambda steps, value: value <= steps.correlogram.corr_diff_thresh),
    "cross_contamination": (contamination_tests, lambda steps, value: value > steps.cross_contamination.p_value),
}
"""What is measured of each pair, and which value is accepted."""


def find_candidates(units: Units) -> dict[Pair, dict[str, float]]:
    """Return the pairs of units that pass every step, by indices, with what was measured."""
    steps = units.params.auto_merge_params.chosen_steps()
    usable = [unit for unit, template in enumerate(units.templates) if template.any()]
    able = [unit for unit in usable if all(UNIT_STEPS[step](units, unit) for step in steps if step in UNIT_STEPS)]
    found: dict[Pair, dict[str, float]] = {pair: {} for pair in combinations(able, 2)}
    for step, (measure, accept) in PAIR_STEPS.items():  # cheap ones first, whatever the order of the file
        if step in steps and found:
            values = measure(units, list(found))
            pairs = zip(found.items(), values, strict=True)
            found = {pair: {**numbers, step: value} for (pair, numbers), value in pairs if accept(units.steps, value)}
    others = [step for step in steps if step not in UNIT_STEPS and step not in PAIR_STEPS]
    if others and found:
        confirmed = _passing_in_spikeinterface(units, sorted(set(chain.from_iterable(found))), others)
        found = {pair: numbers for pair, numbers in found.items() if pair in confirmed}
    return found


def _passing_in_spikeinterface(units: Units, some: Sequence[int], steps: Sequence[Step]) -> set[Pair]:
    """Return the pairs among some units that pass steps which only SpikeInterface has."""
    from spikeinterface.curation import compute_merge_unit_groups  # noqa: PLC0415 - takes long to import, and is rarely needed

    ids, context, extraction = unit_ids(units.sorting), units.context, units.params.wvf_extraction
    if "knn" in steps and not np.ptp(context.recording.get_channel_locations()[:, :2], axis=0).all():
        raise ModuleError(
            "merge_units: the step 'knn' needs a probe with channels at several places in both directions. Choose another preset."
        )
    with_templates = not {"knn", "slay_score"}.isdisjoint(steps)
    recording = context.traces.band(extraction.filter_band) if with_templates else context.recording
    sorting = keep(units.sorting, [ids[unit] for unit in some])
    analyzer = create_sorting_analyzer(sorting, recording, format="memory", sparse=False)
    if with_templates:
        analyzer.compute("random_spikes", max_spikes_per_unit=extraction.max_spikes_per_unit, seed=context.seed)
        analyzer.compute("templates", ms_before=extraction.ms_before, ms_after=extraction.ms_after, **context.jobs)
    given = {step: getattr(units.steps, step).model_dump() for step in steps}
    # that of SLAy uses the differences that another step leaves behind, which here lets every pair pass
    needed = {"template_similarity": {"template_diff_thresh": math.inf}} if "slay_score" in steps else {}
    groups = compute_merge_unit_groups(
        analyzer,
        preset=None,
        steps=[*needed, *steps],
        steps_params=needed | given,
        resolve_graph=False,
        force_copy=False,
        **context.jobs,
    )
    pairs = ((ids.index(first), ids.index(second)) for first, second in groups)
    return {(min(pair), max(pair)) for pair in pairs}

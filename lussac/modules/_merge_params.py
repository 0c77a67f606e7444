"""The parameters of merge_units, as SpikeInterface's `compute_merge_unit_groups` names them now and as older files do."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, model_validator

from lussac.modules.base import ModuleParams
from lussac.params import Count, Fraction, Micrometers, Milliseconds, Periods, Samples, Strict, WaveformExtraction
from lussac.validation import as_tuples

Positive = Annotated[float, Field(gt=0)]
Step = Literal[
    "num_spikes",
    "snr",
    "remove_contaminated",
    "unit_locations",
    "template_similarity",
    "correlogram",
    "presence_distance",
    "knn",
    "cross_contamination",
    "slay_score",
    "quality_score",
]
_FIRST: tuple[Step, ...] = ("num_spikes", "remove_contaminated", "unit_locations", "template_similarity")
PRESETS: dict[str, tuple[Step, ...]] = {
    "similarity_correlograms": (*_FIRST, "correlogram", "quality_score"),
    "temporal_splits": (*_FIRST, "presence_distance", "quality_score"),
    "x_contaminations": (*_FIRST, "cross_contamination", "quality_score"),
    "feature_neighbors": ("num_spikes", "snr", "remove_contaminated", "unit_locations", "knn", "quality_score"),
    "slay": ("template_similarity", "slay_score"),
}

OLDER_NAMES: dict[str, tuple[str, ...]] = {
    "window_ms": ("correlograms.window_ms",),
    "bin_ms": ("correlograms.bin_ms",),
    "minimum_spikes": ("auto_merge_params.steps_params.num_spikes.min_spikes",),
    "contamination_threshold": ("auto_merge_params.steps_params.remove_contaminated.contamination_thresh",),
    "maximum_distance_um": ("auto_merge_params.steps_params.unit_locations.max_distance_um",),
    "template_diff_thresh": ("auto_merge_params.steps_params.template_similarity.template_diff_thresh",),
    "num_channels": ("auto_merge_params.steps_params.template_similarity.num_channels",),
    "num_shift": ("auto_merge_params.steps_params.template_similarity.num_shift",),
    "corr_diff_thresh": ("auto_merge_params.steps_params.correlogram.corr_diff_thresh",),
    "censor_correlograms_ms": ("auto_merge_params.steps_params.correlogram.censor_correlograms_ms",),
    "sigma_smooth_ms": ("auto_merge_params.steps_params.correlogram.sigma_smooth_ms",),
    "adaptive_window_threshold": ("auto_merge_params.steps_params.correlogram.adaptive_window_thresh",),
    "censored_period_ms": (
        "auto_merge_params.steps_params.remove_contaminated.censored_period_ms",
        "auto_merge_params.steps_params.cross_contamination.censored_period_ms",
        "auto_merge_params.steps_params.quality_score.censored_period_ms",
    ),
    "refractory_period_ms": (
        "auto_merge_params.steps_params.remove_contaminated.refractory_period_ms",
        "auto_merge_params.steps_params.cross_contamination.refractory_period_ms",
        "auto_merge_params.steps_params.quality_score.refractory_period_ms",
    ),
    "firing_contamination_balance": ("auto_merge_params.steps_params.quality_score.firing_contamination_balance",),
}
"""Where the keys directly inside `auto_merge_params` belong."""


class Correlograms(Strict):
    """How correlograms are taken."""

    window_ms: Positive = 150.0
    """Full width (ms): the lags reach half of it to each side."""
    bin_ms: Positive = 0.04
    """Width of a bin (ms); at least one sample."""


class NumSpikes(Strict):
    """Units with too few spikes are not merged."""

    min_spikes: Samples = 100
    """Spikes that a unit must have."""


class SNR(Strict):
    """Units that stand out too little are not merged."""

    min_snr: Annotated[float, Field(ge=0)] = 2.0
    """Smallest signal-to-noise ratio."""


class ContaminationPeriods(Strict):
    """Periods in which spikes tell contamination; by default those of the module."""

    censored_period_ms: Milliseconds | None = None
    """Censored period (ms)."""
    refractory_period_ms: Milliseconds | None = None
    """Refractory period (ms)."""


class RemoveContaminated(ContaminationPeriods):
    """Contaminated units are not merged."""

    contamination_thresh: Fraction = 0.2
    """Largest contamination."""


class UnitLocations(Strict):
    """Only near units are merged."""

    max_distance_um: Micrometers = 150.0
    """Largest distance (um)."""


class TemplateSimilarity(Strict):
    """Only units with like templates are merged."""

    template_diff_thresh: Fraction = 0.25
    """Largest difference of the templates: 0 equal, 1 nothing in common."""
    similarity_method: Literal["l1"] = "l1"
    """Summed absolute differences."""
    num_channels: Count = 5
    """Strongest channels of the two that are compared."""
    max_lag_ms: Milliseconds = 0.3
    """Largest shift between the two (ms)."""
    num_shift: Samples | None = None
    """The same in samples, as older files give it."""


class CorrelogramSimilarity(Strict):
    """Only units that correlate with each other as each does with itself are merged."""

    corr_diff_thresh: Annotated[float, Field(ge=0)] = 0.16
    """Largest difference of the correlograms: 0 equal."""
    max_noise: Annotated[float, Field(ge=0)] = 0.3
    """What chance explains of that difference is left out up to this value, less the more the templates differ; 0: never."""
    censor_correlograms_ms: Milliseconds = 0.2
    """Lags up to this one are left out (ms)."""
    sigma_smooth_ms: Positive = 0.6
    """Standard deviation of the Gaussian that smooths (ms)."""
    adaptive_window_thresh: Fraction = Field(
        default=0.5, validation_alias=AliasChoices("adaptive_window_thresh", "adaptative_window_thresh")
    )
    """The window ends at the first shoulder above this share of the auto-correlogram's maximum."""


class PresenceDistance(Strict):
    """Only units that are active at different times are merged."""

    presence_distance_thresh: Annotated[float, Field(ge=0)] = 100.0
    """Smallest distance of their firing over time."""


class KNN(Strict):
    """Only units whose spikes are neighbours are merged."""

    k_nn: Count = 10
    """Neighbours of each spike."""


class CrossContaminationTest(ContaminationPeriods):
    """Only units that do not contaminate each other are merged."""

    cc_thresh: Fraction = 0.1
    """Cross-contamination that is still accepted."""
    p_value: Fraction = 0.2
    """Smallest p-value of the test that it is not exceeded."""


class SlayScore(Strict):
    """Only units with a high merge metric of SLAy are merged."""

    k1: float = 0.25
    """Weight of the cross-correlogram."""
    k2: float = 1.0
    """Weight of the refractory violations."""
    slay_threshold: float = 0.5
    """Smallest metric."""


class QualityScore(ContaminationPeriods):
    """What a merge is worth."""

    firing_contamination_balance: Annotated[float, Field(ge=0)] = 2.5
    """k of the score rate x (1 - (k + 1) x contamination)."""


class StepsParams(Strict):
    """The parameters of every step."""

    num_spikes: NumSpikes = NumSpikes()
    """Enough spikes."""
    snr: SNR = SNR()
    """Enough signal (not in the default preset)."""
    remove_contaminated: RemoveContaminated = RemoveContaminated()
    """Little contamination."""
    unit_locations: UnitLocations = UnitLocations()
    """Near each other."""
    template_similarity: TemplateSimilarity = TemplateSimilarity()
    """Like templates."""
    correlogram: CorrelogramSimilarity = CorrelogramSimilarity()
    """Like correlograms."""
    presence_distance: PresenceDistance = PresenceDistance()
    """Active at different times (preset temporal_splits)."""
    knn: KNN = KNN()
    """Neighbouring spikes (preset feature_neighbors)."""
    cross_contamination: CrossContaminationTest = CrossContaminationTest()
    """No cross-contamination (preset x_contaminations)."""
    slay_score: SlayScore = SlayScore()
    """Metric of SLAy (preset slay)."""
    quality_score: QualityScore = QualityScore()
    """The score that decides."""


class AutoMergeParams(Strict):
    """Which units are candidates, and what a merge is worth; keys as in `compute_merge_unit_groups`."""

    preset: Literal["similarity_correlograms", "temporal_splits", "x_contaminations", "feature_neighbors", "slay"] | None = (
        "similarity_correlograms"
    )
    """Named list of steps."""
    steps: tuple[Step, ...] | None = None
    """Steps that a pair must pass, instead of a preset. The score decides in any case."""
    steps_params: StepsParams = StepsParams()
    """The parameters of every step."""
    resolve_graph: bool = False
    """Accepted as in older files: the score always decides which units of a group are merged."""

    @model_validator(mode="after")
    def _some_steps(self) -> Self:
        if self.preset is None and self.steps is None:
            raise ValueError("give 'steps' where 'preset' is null")
        return self

    def chosen_steps(self) -> tuple[Step, ...]:
        """Return the steps that a pair must pass to be a candidate."""
        steps = self.steps if self.steps is not None else PRESETS[str(self.preset)]
        return tuple(step for step in steps if step != "quality_score")


class Params(ModuleParams):
    """When two units are one neuron."""

    refractory_period: Periods = (0.2, 1.0)
    """Censored and refractory period (ms)."""
    wvf_extraction: WaveformExtraction = WaveformExtraction(
        ms_before=1.0, ms_after=1.5, max_spikes_per_unit=2000, filter_band=(150.0, 7000.0)
    )
    """How templates are taken."""
    correlograms: Correlograms = Correlograms()
    """How correlograms are taken."""
    auto_merge_params: AutoMergeParams = AutoMergeParams()
    """How candidates are found and decided."""

    @model_validator(mode="before")
    @classmethod
    def _in_their_places(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        """Move keys that older files have directly inside `auto_merge_params` to the step that they belong to."""
        merging = data.get("auto_merge_params") if isinstance(data, Mapping) else None
        if not isinstance(merging, Mapping):
            return as_tuples(data)
        moved = {**data, "auto_merge_params": {key: value for key, value in merging.items() if key not in OLDER_NAMES}}
        for key, places in OLDER_NAMES.items():
            for place in places if key in merging else ():
                moved = _with(moved, place.split("."), merging[key], key)
        return as_tuples(moved)

    @model_validator(mode="after")
    def _periods_in_order(self) -> Self:
        steps = self.auto_merge_params.steps_params
        for step in (steps.remove_contaminated, steps.cross_contamination, steps.quality_score):
            censored, refractory = self.periods(step)
            if censored >= refractory:
                raise ValueError(f"the refractory period ({refractory:g} ms) must exceed the censored one ({censored:g} ms)")
        return self

    def periods(self, step: ContaminationPeriods) -> tuple[float, float]:
        """Return the censored and the refractory period of a step (ms)."""
        censored, refractory = step.censored_period_ms, step.refractory_period_ms
        return (
            self.refractory_period[0] if censored is None else censored,
            self.refractory_period[1] if refractory is None else refractory,
        )


def _with(data: Mapping[str, Any], place: list[str], value: Any, older: str) -> dict[str, Any]:  # noqa: ANN401
    """Return a copy of nested dicts with a value at a place that must be free."""
    key, *inner = place
    if not inner and key in data:
        raise ValueError(f"{older!r} is the older name of {key!r}, which is given too; keep one of them")
    below = data.get(key, {})
    if inner and not isinstance(below, Mapping):
        return dict(data)  # what is wrong with it is told by its own check
    return {**data, key: _with(below, inner, value, older) if inner else value}

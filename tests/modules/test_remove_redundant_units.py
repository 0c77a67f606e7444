import numpy as np
import pytest
from pydantic import ValidationError
from spikeinterface.core import create_sorting_analyzer
from spikeinterface.core.template_tools import get_template_peak_shift_on_main_channel
from spikeinterface.curation import remove_redundant_units

from lussac.modules.remove_redundant_units import MODULE, Params, redundant_pairs
from lussac.sortings import build, unit_ids
from tests.ground_truth import ground_truth, trains_of
from tests.modules.conftest import FS, silent_recording, sorting_of


def remove(context, sorting, **params):
    outcome = MODULE.run({"a": sorting}, Params.model_validate(params), context)
    return unit_ids(outcome.sortings["a"]), outcome.decisions


@pytest.fixture(scope="module")
def case():
    """Neurons, and copies of two of them: one late, one with spikes missing."""
    recording, truth = ground_truth(6.0, neurons=4, seed=3)
    rng = np.random.default_rng(0)
    trains = {unit: segments[0] for unit, segments in trains_of(truth).items()}
    trains[4] = trains[1] + 15
    trains[5] = trains[2][rng.random(len(trains[2])) < 0.6]
    return recording, sorting_of(trains, (180_000,))


@pytest.mark.parametrize(
    ("strategy", "align"),
    [("highest_amplitude", True), ("highest_amplitude", False), ("minimum_shift", True), ("max_spikes", False)],
)
def test_decides_as_spikeinterface(make_context, case, strategy, align):
    recording, sorting = case
    arguments = {"align": align, "remove_strategy": strategy}
    analyzer = create_sorting_analyzer(sorting, recording, sparse=False, job_kwargs={"progress_bar": False})
    analyzer.compute("random_spikes", method="all")
    analyzer.compute("templates", ms_before=1.0, ms_after=1.5, progress_bar=False)
    documented = {"delta_time": 0.3, "agreement_threshold": 0.1, "duplicate_threshold": 0.7}
    # left to itself it moves spikes away from the peak: its shifts are those to the peak, and it subtracts them
    shifts = get_template_peak_shift_on_main_channel(analyzer)
    arguments_there = arguments | {"unit_peak_shifts": {unit: -shift for unit, shift in shifts.items()}}
    expected = remove_redundant_units(analyzer, **documented, **arguments_there).unit_ids.tolist()
    every_spike = {"max_spikes_per_unit": 10**6}
    left, decisions = remove(make_context(recording), sorting, arguments=arguments, wvf_extraction=every_spike)
    assert left == expected
    assert len(decisions) == sorting.get_num_units() - len(left) > 0


def test_without_templates_the_unit_with_more_spikes_stays(make_context, case):
    recording, sorting = case
    left, decisions = remove(make_context(recording), sorting, wvf_extraction=None)
    assert left == [0, 1, 2, 3, 4]
    (decision,) = decisions
    assert decision.reason == "redundant with unit 2"
    assert decision.numbers == {"shared": 1.0}


def test_spikes_of_different_segments_do_not_match(make_context):
    spikes = [(sample, segment, segment) for segment in (0, 1) for sample in range(0, 30_000, 500)]
    vector = np.array(spikes, dtype=[(name, "i8") for name in ("sample_index", "segment_index", "unit_index")])
    sorting = build(vector, [0, 1], FS, 2)
    assert remove(make_context(silent_recording(1, 1)), sorting)[0] == [0, 1]


@pytest.mark.parametrize("units", [{}, {1: []}, {1: [5], 2: []}])
def test_too_few_units_or_spikes(make_context, units):
    assert remove(make_context(silent_recording(1, channels=1)), sorting_of(units, (30_000,)))[0] == list(units)


def test_pairs_need_agreement_and_a_shared_part():
    counts = np.array([100, 100, 10, 0])
    common = np.array([[100, 70, 8, 0], [70, 100, 0, 0], [8, 0, 10, 0], [0, 0, 0, 0]])
    assert redundant_pairs(common, counts, 0.1, 0.7) == []
    assert redundant_pairs(common, counts, 0.1, 0.69) == [(1, 0)]
    assert redundant_pairs(common, counts, 0.07, 0.7) == [(2, 0)]


def test_the_strategy_must_be_possible():
    with pytest.raises(ValidationError, match="minimum_shift"):
        Params.model_validate({"arguments": {"align": False, "remove_strategy": "minimum_shift"}})

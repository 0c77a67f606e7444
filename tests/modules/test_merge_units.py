import json

import numpy as np
import probeinterface
import pytest
from spikeinterface.core import NumpyRecording, generate_ground_truth_recording

from lussac.algorithms.timeline import Timeline
from lussac.errors import ModuleError, Problem
from lussac.modules._merge_params import OLDER_NAMES
from lussac.modules.merge_units import MODULE, Params
from lussac.params import from_dict
from lussac.sortings import content_hash, from_trains, trains
from lussac.units import Action, UnitRef
from lussac.validation import validate
from tests.modules.conftest import FS, silent_recording, sorting_of

SECONDS, NEURONS = 40, 4


@pytest.fixture(scope="module")
def truth():
    """Return a recording in memory and the trains of its neurons, which fire often."""
    probe = probeinterface.generate_linear_probe(8, ypitch=40)
    probe.set_device_channel_indices(np.arange(8))
    recording, sorting = generate_ground_truth_recording(
        durations=[SECONDS],
        sampling_frequency=FS,
        probe=probe,
        num_units=NEURONS,
        generate_sorting_kwargs={"firing_rates": 50.0, "refractory_period_ms": 3.0},
        noise_kwargs={"noise_levels": 5.0, "strategy": "tile_pregenerated"},
        generate_unit_locations_kwargs={"margin_um": 0.0, "minimum_distance": 30.0, "minimum_z": 5.0, "maximum_z": 20.0},
        seed=1,
    )
    in_memory = NumpyRecording([recording.get_traces().astype(np.float32)], FS)
    in_memory.set_probe(recording.get_probe())
    return in_memory, [sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids]


def merge(context, sorting, **params):
    outcome = MODULE.run({"a": sorting}, checked(params), context)
    return outcome.sortings["a"], outcome.decisions


def checked(params):
    """Return the parameters as they come from a file."""
    found = validate(Params, json.loads(json.dumps(params)), (), from_dict({}, "."))
    assert isinstance(found, Params), found
    return found


def split(train, share, seed=0):
    first = np.random.default_rng(seed).random(len(train)) < share
    return train[first], train[~first]


def with_splits(neurons):
    """Return a sorting in which the first two neurons are split."""
    (a, b), (c, d) = split(neurons[0], 0.3), split(neurons[1], 0.6)
    return sorting_of({10: a, 11: c, 12: b, 13: neurons[2], 14: d, 15: neurons[3]}, [round(SECONDS * FS)])


def test_split_units_are_merged_and_different_neurons_are_not(make_context, truth):
    recording, neurons = truth
    merged, decisions = merge(make_context(recording), with_splits(neurons))
    found = trains(merged, Timeline((round(SECONDS * FS),)))
    assert list(found) == [11, 12, 13, 15]
    for unit, neuron in zip((12, 11, 13, 15), neurons, strict=True):
        assert found[unit].tolist() == neuron.tolist()
    assert {(d.unit.unit, d.action, d.reason) for d in decisions} == {
        (10, Action.MERGED, "merged into unit 12"),
        (12, Action.CHANGED, "took in 10"),
        (14, Action.MERGED, "merged into unit 11"),
        (11, Action.CHANGED, "took in 14"),
    }


def test_decisions_hold_the_numbers_that_decided(make_context, truth):
    recording, neurons = truth
    _, decisions = merge(make_context(recording), with_splits(neurons))
    numbers = next(d.numbers for d in decisions if d.action is Action.MERGED)
    assert set(numbers) == {"unit_locations", "template_similarity", "correlogram", "merged_score"}
    assert numbers["template_similarity"] < 0.1
    assert numbers["correlogram"] < 0.16


def test_the_contaminated_part_of_a_bad_split_is_removed(make_context, truth):
    recording, neurons = truth
    good, bad = split(neurons[0], 0.7)
    rng = np.random.default_rng(5)
    bad = np.concatenate([bad, rng.choice(neurons[0], 200, replace=False) + rng.integers(25, 28, 200)])
    loose = {"correlogram": {"corr_diff_thresh": 1.0}, "remove_contaminated": {"contamination_thresh": 1.0}}
    left, decisions = merge(
        make_context(recording), sorting_of({1: good, 2: bad}, [round(SECONDS * FS)]), auto_merge_params={"steps_params": loose}
    )
    assert left.unit_ids.tolist() == [1]
    [decision] = decisions
    assert (decision.unit, decision.action) == (UnitRef("a", 2), Action.REMOVED)
    assert decision.numbers["merged_score"] < decision.numbers["better_score"]


def test_properties_of_the_best_part_survive(make_context, truth):
    recording, neurons = truth
    sorting = with_splits(neurons)
    sorting.set_property("lussac_category", ["x", "y", "", "", "", "z"])
    before = content_hash(sorting)
    merged, _ = merge(make_context(recording), sorting)
    assert merged.get_property("lussac_category").tolist() == ["y", "", "", "z"]
    assert content_hash(sorting) == before


def test_jobs_change_nothing(make_context, truth):
    recording, neurons = truth
    hashes = {content_hash(merge(make_context(recording, n_jobs=jobs), with_splits(neurons))[0]) for jobs in (1, 2)}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("step", "params"),
    [
        ("num_spikes", {"min_spikes": 100_000}),
        ("snr", {"min_snr": 1000.0}),
        ("remove_contaminated", {"contamination_thresh": 0.0, "refractory_period_ms": 30.0}),
        ("template_similarity", {"template_diff_thresh": 0.0}),
        ("correlogram", {"corr_diff_thresh": 0.0, "max_noise": 0.0}),
    ],
)
def test_each_step_keeps_pairs_out(make_context, truth, step, params):
    recording, neurons = truth
    merging = {"steps": ["num_spikes", step], "steps_params": {step: params}}
    merged, _ = merge(make_context(recording), with_splits(neurons), auto_merge_params=merging)
    assert merged.get_num_units() == 6


def test_chance_in_few_counts_is_left_out_where_templates_are_alike(make_context, truth):
    recording, neurons = truth
    rare = [split(neuron, 0.5, seed=9)[0] for neuron in neurons]
    merged, _ = merge(make_context(recording), with_splits(rare))
    assert merged.unit_ids.tolist() == [11, 12, 13, 15]
    strict = {"steps_params": {"correlogram": {"max_noise": 0.0}}}
    unmerged, _ = merge(make_context(recording), with_splits(rare), auto_merge_params=strict)
    assert unmerged.get_num_units() > 4


def test_far_units_are_not_merged(make_context, truth):
    recording, neurons = truth
    sorting = sorting_of({1: neurons[0], 2: neurons[1]}, [round(SECONDS * FS)])
    merging = {"steps": ["unit_locations"], "steps_params": {"unit_locations": {"max_distance_um": 1.0}}}
    merged, decisions = merge(make_context(recording), sorting, auto_merge_params=merging)
    assert (merged.get_num_units(), decisions) == (2, ())


@pytest.mark.parametrize("preset", ["x_contaminations", pytest.param("slay", marks=pytest.mark.slow)])
def test_other_presets_merge_too(make_context, truth, preset):
    recording, neurons = truth
    merged, _ = merge(make_context(recording), with_splits(neurons), auto_merge_params={"preset": preset})
    assert merged.unit_ids.tolist() == [11, 12, 13, 15]


def test_steps_of_spikeinterface_keep_pairs_out(make_context, truth):
    recording, neurons = truth
    merged, _ = merge(make_context(recording), with_splits(neurons), auto_merge_params={"preset": "temporal_splits"})
    assert merged.get_num_units() == 6


def test_neighbours_in_space_need_a_probe_with_two_dimensions(make_context, truth):
    recording, neurons = truth
    with pytest.raises(ModuleError, match="Choose another preset"):
        merge(make_context(recording), with_splits(neurons), auto_merge_params={"preset": "feature_neighbors"})


def test_segments_are_not_mixed(make_context, truth):
    recording, neurons = truth
    half = round(SECONDS * FS / 2)
    traces = recording.get_traces()
    halves = NumpyRecording([traces[:half], traces[half:]], FS)
    halves.set_probe(recording.get_probe())
    timeline = Timeline((half, half))
    sorting = with_splits(neurons)
    positions = {
        unit: np.where(train < half, train, train + timeline.gap)
        for unit, train in trains(sorting, Timeline((2 * half,))).items()
    }
    merged, _ = merge(make_context(halves), from_trains(positions, timeline, FS))
    assert merged.unit_ids.tolist() == [11, 12, 13, 15]
    assert merged.get_num_segments() == 2
    assert merged.count_num_spikes_per_unit()[12] == len(neurons[0])


@pytest.mark.parametrize("preset", ["similarity_correlograms", "x_contaminations"])
@pytest.mark.parametrize("units", [{}, {1: []}, {1: [300]}, {1: [], 2: [300]}, {1: [300, 600], 2: [900, 1200]}])
def test_few_spikes_and_no_units(make_context, units, preset):
    context = make_context(silent_recording(1, channels=1))
    steps = {"num_spikes": {"min_spikes": 0}}
    merged, decisions = merge(context, sorting_of(units), auto_merge_params={"preset": preset, "steps_params": steps})
    assert merged.unit_ids.tolist() == list(units)
    assert decisions == ()


def at(model, place):
    for name in place.split("."):
        model = getattr(model, name)
    return model


VALUES = {"minimum_spikes": 7, "num_shift": 7, "num_channels": 7, "censored_period_ms": 0.125, "refractory_period_ms": 7.0}


@pytest.mark.parametrize("older", OLDER_NAMES)
def test_older_names_go_to_the_step_that_they_belong_to(older):
    value = VALUES.get(older, 0.75)
    params = checked({"auto_merge_params": {older: value}})
    assert [at(params, place) for place in OLDER_NAMES[older]] == [value] * len(OLDER_NAMES[older])


def test_what_is_not_given_keeps_the_defaults():
    params = checked({"auto_merge_params": {"steps_params": {"correlogram": {"sigma_smooth_ms": 1.0}}, "minimum_spikes": 300}})
    steps = params.auto_merge_params.steps_params
    assert (steps.correlogram.sigma_smooth_ms, steps.correlogram.corr_diff_thresh, steps.num_spikes.min_spikes) == (
        1.0,
        0.16,
        300,
    )


def test_spikeinterface_spells_the_adaptive_window_in_its_own_way():
    params = checked({"auto_merge_params": {"steps_params": {"correlogram": {"adaptative_window_thresh": 0.75}}}})
    assert params.auto_merge_params.steps_params.correlogram.adaptive_window_thresh == 0.75


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"refractory_period": [1.0, 1.0]}, "must exceed the censored one"),
        ({"auto_merge_params": {"refractory_period_ms": 0.1}}, "must exceed the censored one"),
        ({"auto_merge_params": {"bin_ms": 0.1}, "correlograms": {"bin_ms": 0.2}}, "'bin_ms' is the older name"),
        (
            {"auto_merge_params": {"minimum_spikes": 1, "steps_params": {"num_spikes": {"min_spikes": 2}}}},
            "older name of 'min_spikes'",
        ),
        ({"auto_merge_params": {"minimum_spikes": 1, "steps_params": 3}}, "must be"),
        ({"auto_merge_params": 3}, "must be"),
        ({"auto_merge_params": {"preset": None}}, "give 'steps'"),
        ({"auto_merge_params": {"preset": "slai"}}, "did you mean 'slay'"),
        ({"auto_merge_params": {"steps_params": {"correlogram": {"corr_dif_thresh": 1}}}}, "did you mean 'corr_diff_thresh'"),
    ],
)
def test_wrong_parameters_are_told(params, told):
    problems = validate(Params, params, (), from_dict(params, "."))
    assert isinstance(problems, tuple)
    assert all(isinstance(problem, Problem) for problem in problems)
    assert told in problems[0].message

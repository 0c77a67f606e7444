import os
import subprocess
import sys

import numpy as np
import probeinterface
import pytest
from spikeinterface.core import BaseRecording, BaseSorting, NumpyRecording

from lussac.algorithms.agreement import jaccard
from lussac.algorithms.timeline import Timeline
from lussac.fusing import FusionParams
from lussac.modules import MERGED
from lussac.modules.base import Outcome, Sortings
from lussac.modules.merge_sortings import MODULE, Params
from lussac.recording import write_binary
from lussac.sortings import CATEGORY, content_hash, from_trains, save, trains, unit_ids
from lussac.units import Action

from .conftest import FS, poisson_train, silent_recording, sorting_of

SECONDS, CHANNELS, NEURONS = 25.0, 16, 12
SAMPLES = round(SECONDS * FS)
"""Of the generated recording; one second is enough for nothing."""


def waveform(rng: np.random.Generator) -> np.ndarray:
    """Return 60 samples x channels: a trough and a hump, on a few channels around one of them."""
    times = np.arange(60)[:, np.newaxis] - 20
    width, lag = rng.uniform(3, 7), rng.uniform(10, 20)
    shape = np.exp(-0.5 * (times / width) ** 2) - rng.uniform(0.2, 0.6) * np.exp(-0.5 * ((times - lag) / (2 * width)) ** 2)
    decay = np.exp(-np.abs(np.arange(CHANNELS) - rng.uniform(0, CHANNELS - 1)) / rng.uniform(0.7, 1.5))
    return -rng.uniform(60, 200) * shape * decay


@pytest.fixture(scope="module")
def truth() -> dict[int, np.ndarray]:
    rng = np.random.default_rng(1)
    found = {unit: poisson_train(rng, rng.uniform(3, 15), SECONDS) for unit in range(NEURONS)}
    return {unit: train[(train > 100) & (train < SAMPLES - 100)] for unit, train in found.items()}


@pytest.fixture(scope="module")
def recording(truth: dict[int, np.ndarray]) -> BaseRecording:
    rng = np.random.default_rng(2)
    traces = rng.normal(0.0, 10.0, (SAMPLES, CHANNELS)).astype(np.float32)
    for train in truth.values():
        template = waveform(rng)
        for spike in train:
            traces[spike - 20 : spike + 40] += template
    made = NumpyRecording([traces], FS)
    made.set_channel_gains(1.0)
    made.set_channel_offsets(0.0)
    probe = probeinterface.generate_linear_probe(CHANNELS, ypitch=20)
    probe.set_device_channel_indices(np.arange(CHANNELS))
    made.set_probe(probe)
    return made


def imitation(truth: dict[int, np.ndarray], seed: int) -> BaseSorting:
    """Return what a sorter may find: neurons missed, split, merged, with missed and false spikes, and noise."""
    rng = np.random.default_rng(seed)
    units, waiting = [], None
    for train in truth.values():
        kept = train[rng.random(len(train)) > rng.choice([0.01, 0.05, 0.2])]
        false = rng.integers(0, SAMPLES, rng.poisson(0.03 * len(train)))
        found = np.concatenate([kept, false]) + rng.integers(-1, 2, len(kept) + len(false))
        fate = rng.random()
        if fate < 0.2:
            continue
        if fate < 0.3:
            half = rng.random(len(found)) < 0.5
            units += [found[half], found[~half]]
        elif fate < 0.5 and waiting is None:
            waiting = found
        elif waiting is not None:
            units.append(np.concatenate([found, waiting]))
            waiting = None
        else:
            units.append(found)
    units.append(rng.integers(0, SAMPLES, 300))
    return sorting_of({unit: np.clip(np.unique(train), 0, SAMPLES - 1) for unit, train in enumerate(units)}, (SAMPLES,))


@pytest.fixture(scope="module")
def analyses(truth: dict[int, np.ndarray]) -> Sortings:
    return {f"imitated{seed}": imitation(truth, seed) for seed in range(5)}


def accuracies(sorting: BaseSorting, truth: dict[int, np.ndarray]) -> np.ndarray:
    """Return the accuracy of the best unit for each neuron."""
    found = trains(sorting, Timeline((SAMPLES,))).values()
    return np.array([max((jaccard(train, unit, 12) for unit in found), default=0.0) for train in truth.values()])


def merged(outcome: Outcome) -> BaseSorting:
    assert list(outcome.sortings) == [MERGED]
    return outcome.sortings[MERGED]


def test_more_neurons_are_found_than_by_any_analysis(recording, truth, analyses, make_context):
    result = merged(MODULE.run(analyses, Params(), make_context(recording)))
    best = max((accuracies(sorting, truth) >= 0.8).sum() for sorting in analyses.values())
    # two neurons are in one analysis only
    assert (accuracies(result, truth) >= 0.8).sum() >= 10 > best
    assert result.get_num_units() <= 10


def test_every_unit_is_decided_about(recording, analyses, make_context):
    outcome = MODULE.run(analyses, Params(), make_context(recording))
    decided = [decision.unit for decision in outcome.decisions]
    assert sorted(decided) == sorted((name, unit) for name, sorting in analyses.items() for unit in unit_ids(sorting))
    actions = {decision.action for decision in outcome.decisions}
    assert actions == {Action.MERGED, Action.REMOVED}
    assert any("merges two neurons" in decision.reason for decision in outcome.decisions)
    assert any("too few analyses" in decision.reason for decision in outcome.decisions)
    assert set(outcome.arrays) == {"units", "pairs", "evidence", "chosen", "score", "runner_up", "runner_up_score"}


def test_each_choice_is_kept_with_its_runner_up(recording, analyses, make_context):
    outcome = MODULE.run(analyses, Params(), make_context(recording))
    tables, result = outcome.arrays, merged(outcome)
    assert tables["chosen"].tolist() == result.get_property("lussac_source").tolist()
    assert len(tables["runner_up"]) == result.get_num_units()
    assert all(other != own for own, other in zip(tables["chosen"], tables["runner_up"], strict=True))
    rivalled = tables["runner_up"] != ""
    assert rivalled.any()
    assert (tables["score"] >= tables["runner_up_score"])[rivalled].all()
    assert np.isnan(tables["runner_up_score"][~rivalled]).all()


def test_a_unit_knows_where_it_comes_from(recording, analyses, make_context):
    result = merged(MODULE.run(analyses, Params(), make_context(recording)))
    counts = result.get_property("lussac_agreement_count")
    agreements = result.get_property("lussac_mean_agreement")
    assert counts.min() >= 2
    assert counts.max() <= len(analyses)
    assert ((agreements > 0) & (agreements <= 1)).all()
    assert all("imitated" in source for source in result.get_property("lussac_source"))


def test_properties_survive(recording, truth, make_context):
    first, second = (sorting_of({0: truth[0], 1: truth[1][::step]}, (SAMPLES,)) for step in (1, 2))
    first.set_property(CATEGORY, np.array(["CS", ""]))
    first.set_property("depth", np.array([12, 34]))
    second.set_property(CATEGORY, np.array(["CS", ""]))
    second.set_property("gt_unit", np.array(["x", "y"]))
    result = merged(MODULE.run({"a": first, "b": second}, Params(), make_context(recording)))
    assert result.get_property(CATEGORY).tolist() == ["CS", ""]
    assert result.get_property("depth").tolist() == [12, 34]
    assert result.get_property("gt_unit").tolist() == ["", ""]


def test_the_order_of_the_analyses_has_no_influence(recording, analyses, make_context):
    straight, turned = (
        MODULE.run({name: analyses[name] for name in names}, Params(), make_context(recording))
        for names in (list(analyses), list(analyses)[::-1])
    )
    assert content_hash(merged(straight)) == content_hash(merged(turned))
    assert straight.decisions == turned.decisions


HASHED = """
import sys
from pathlib import Path
import lussac
from lussac.recording import read_binary
from lussac.sortings import content_hash, load
folder = Path(sys.argv[1])
sortings = {file.name: load(file) for file in sorted((folder / "sortings").iterdir())}
section = {"logs_folder": sys.argv[2], "tmp_folder": sys.argv[2] + "_tmp", "pipeline": {"merge_sortings": {"all": {}}}}
result = lussac.run({"lussac": section}, read_binary(folder / "recording"), sortings)
print(content_hash(result.sortings["merged_sorting"]))
"""


def test_the_hash_seed_has_no_influence(recording, analyses, tmp_path):
    write_binary(recording, tmp_path / "recording", {})
    for name, sorting in analyses.items():
        save(sorting, tmp_path / "sortings" / name)

    def run(seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", HASHED, str(tmp_path), str(tmp_path / f"run{seed}")]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert run("1") == run("2")


def test_a_single_analysis_is_kept_as_it_is(recording, truth, make_context):
    sorting = sorting_of({7: truth[0], 9: truth[1]}, (SAMPLES,))
    outcome = MODULE.run({"a": sorting}, Params(), make_context(recording))
    assert [train.tolist() for train in trains(merged(outcome), Timeline((SAMPLES,))).values()] == [
        truth[0].tolist(),
        truth[1].tolist(),
    ]
    assert merged(outcome).get_property("lussac_source").tolist() == ["a/7", "a/9"]


def test_units_of_one_analysis_can_be_asked_for(recording, truth, make_context):
    sortings = {"a": sorting_of({0: truth[0]}, (SAMPLES,)), "b": sorting_of({0: truth[1]}, (SAMPLES,))}
    assert merged(MODULE.run(sortings, Params(), make_context(recording))).get_num_units() == 0
    everything = Params(require_multiple_sortings_match=False)
    assert merged(MODULE.run(sortings, everything, make_context(recording))).get_num_units() == 2


@pytest.mark.parametrize(
    "units",
    [[], [{}], [{}, {}], [{0: []}, {0: [], 1: []}], [{0: [500]}, {0: [501]}], [{0: [10, 20, 30]}, {"x": [29_990]}]],
)
@pytest.mark.parametrize("fusion", [None, FusionParams()])
def test_hardly_anything(units, fusion, make_context):
    sortings = {f"a{place}": sorting_of(trains, (30_000,)) for place, trains in enumerate(units)}
    outcome = MODULE.run(sortings, Params(fusion=fusion), make_context(silent_recording(1.0, channels=1)))
    assert len(outcome.decisions) == sum(len(part) for part in units)


def test_segments_are_kept_apart(truth, make_context):
    line = Timeline((SAMPLES, SAMPLES))
    train = np.concatenate([truth[0], line.starts[1] + truth[1]])
    sortings = {name: from_trains({0: train}, line, FS) for name in "ab"}
    result = merged(MODULE.run(sortings, Params(), make_context(silent_recording(SECONDS, SECONDS, noise=5.0))))
    assert trains(result, line)[0].tolist() == train.tolist()
    assert result.get_num_segments() == 2


def test_too_many_analyses_asked_for(recording, truth, make_context, caplog):
    sortings = {name: sorting_of({0: truth[0]}, (SAMPLES,)) for name in "ab"}
    result = merged(MODULE.run(sortings, Params(min_num_sortings=5), make_context(recording)))
    assert result.get_num_units() == 1
    assert "only 2 given" in caplog.text


@pytest.mark.parametrize(
    "extreme",
    [
        {"correlogram_validation": {"gaussian_std": 0, "max_time": 0}, "merge_check": {"max_p_value": 1}},
        {"correlogram_validation": {"gaussian_truncate": 0, "bin_ms": 100}, "merge_check": {"max_p_value": 1, "block": 0}},
        {"similarity": {"window": 0, "min_similarity": 0}, "max_shift": 0, "refractory_period": [1, 1]},
        {"similarity": {"min_similarity": 1}, "merge_check": {"cross_cont_threshold": 1}, "max_shift": 5},
        {"waveform_validation": {"num_channels": 500, "wvf_extraction": {"ms_before": 0, "ms_after": 0}}},
        {"waveform_validation": {"wvf_extraction": {"max_spikes_per_unit": 1, "filter": None}}},
    ],
    ids=str,
)
def test_extreme_parameters(extreme, recording, analyses, make_context):
    outcome = MODULE.run(analyses, Params.model_validate(extreme), make_context(recording))
    assert merged(outcome).get_num_units() > 0


def test_fusion_on_the_traces(recording, truth, analyses, make_context):
    outcome = MODULE.run(analyses, Params(fusion=FusionParams()), make_context(recording))
    result = merged(outcome)
    assert (accuracies(result, truth) >= 0.8).sum() >= 11
    assert (result.get_property("lussac_confidence") >= 0.5).all()
    assert len(outcome.decisions) == sum(sorting.get_num_units() for sorting in analyses.values())


def test_what_fusion_does_not_use_is_said(make_context, caplog):
    params = Params.model_validate({"fusion": {}, "similarity": {"window": 0.3}, "max_shift": 1.0})
    MODULE.run({"a": sorting_of({0: [500]}, (30_000,))}, params, make_context(silent_recording(1.0, channels=1)))
    assert [record.getMessage() for record in caplog.records if "not used" in record.getMessage()] == [
        "With fusion the traces decide: similarity is not used."
    ]

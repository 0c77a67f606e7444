"""Runs and sortings side by side: which units are one neuron, what differs, and what can't be compared."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from spikeinterface.core import NumpySorting
from tiny import RATE, SECONDS, imitate, lussac, write_analysis, write_params

from lussac.report import write_comparison
from lussac.report.comparison import differences, match

from .conftest import NASTY, SAMPLES, trains

PIPELINE = {"remove_bad_units": {"all": {"firing_rate": {"min": 8.0}}}, "merge_sortings": {"all": {}}}

BARE = {"remove_bad_units": PIPELINE["remove_bad_units"]}


def content(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])


@pytest.fixture(scope="module")
def runs(case, tmp_path_factory):
    """Return the logs of two runs that differ in a parameter and in an analysis."""
    folder = tmp_path_factory.mktemp("runs")
    strict = {**PIPELINE, "merge_sortings": {"all": {"min_num_sortings": 3}}}
    for name, pipeline, analyses in (("loose", PIPELINE, None), ("strict", strict, None), ("bare", BARE, ("alpha", "beta"))):
        assert lussac(write_params(folder / name, case.params(pipeline, analyses=analyses)))[0] == 0
    return folder


def test_the_command_compares_runs_and_sortings(runs, case, tmp_path):
    page = tmp_path / "out.html"
    words = [runs / "loose" / "logs", runs / "strict" / "logs", case.folder / "alpha.npz.json", "--output", page]
    code, out, err = lussac("compare", *words)
    assert (code, out.replace("\n", ""), err) == (0, str(page), "")
    shown = content(page)
    assert [(run["name"], run["kind"]) for run in shown["runs"]] == [("loose", "run"), ("strict", "run"), ("alpha", "sorting")]
    assert shown["notes"] == []
    assert sum(run["units"] for run in shown["runs"]) == len(shown["units"])
    assert sum(neuron["found_in"] for neuron in shown["neurons"]) == len(shown["units"])
    for neuron in shown["neurons"]:
        sides = [shown["units"][place]["sorting"] for place in neuron["places"]]
        assert len(set(sides)) == len(sides) == neuron["found_in"]
    for run in shown["runs"]:
        assert run["in others too"] + run["alone"] == run["units"]
    with page.with_suffix(".csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(shown["neurons"])
    assert {"loose", "loose_firing_rate", "strict_spikes", "alpha"} <= set(rows[0])


def test_what_differs_is_told_and_what_is_equal_is_not(runs, tmp_path):
    shown = content(write_comparison([runs / "loose" / "logs", runs / "strict" / "logs"], tmp_path / "a.html"))
    assert shown["differs"] == [{"what": "step: merge_sortings.all.min_num_sortings", "loose": 2, "strict": 3}]
    shown = content(
        write_comparison([runs / "loose" / "logs", runs / "bare" / "logs", runs / "strict" / "logs"], tmp_path / "b.html")
    )
    told = {row["what"]: (row["loose"], row["bare"], row["strict"]) for row in shown["differs"]}
    assert told["step: merge_sortings.all"] == ("there", "not there", "there")
    assert told["input: gamma.npz"] == ("there", "not there", "there")
    assert [run["name"] for run in shown["runs"]] == ["loose", "bare/alpha", "bare/beta", "strict"]
    assert not any(what.startswith(("software", "recording")) for what in told)


def test_a_run_without_a_merge_shows_all_its_sortings(runs, case, tmp_path):
    pipeline = {"remove_duplicated_spikes": {"all": {}}}
    assert lussac(write_params(tmp_path / "two", case.params(pipeline, analyses=("alpha", "beta"))))[0] == 0
    shown = content(write_comparison([tmp_path / "two" / "logs"], tmp_path / "c.html"))
    assert [run["name"] for run in shown["runs"]] == ["two/alpha", "two/beta"]
    assert len(shown["curves"]["waveforms"]) == len(shown["units"])
    assert all(shown["curves"]["waveforms"])
    alone = content(write_comparison([tmp_path / "two" / "logs", case.folder / "gamma.npz.json"], tmp_path / "d.html"))
    assert [run["name"] for run in alone["runs"]] == ["two/alpha", "two/beta", "gamma"]
    assert [waves is None for waves in alone["curves"]["waveforms"]] == [unit["sorting"] == "gamma" for unit in alone["units"]]


def test_units_match_whatever_sample_is_called_the_time_of_a_spike():
    truth = [np.array(train) for train in trains(3)]
    moved = [train + 20 for train in truth[:2]]
    found = match([*truth, *moved], ["a", "a", "a", "b", "b"], RATE, 0.4, 0.5)
    assert sorted(group["members"] for group in found) == [[0, 3], [1, 4], [2]]
    assert all(group["agreements"][0][1] == pytest.approx(1) for group in found if len(group["members"]) == 2)
    assert match([], [], RATE, 0.4, 0.5) == []


def test_half_of_the_spikes_is_not_enough_where_more_is_asked_for():
    train = np.array(trains(1)[0])
    agreement = len(train[::2]) / len(train)
    for least, groups in ((agreement - 0.01, 1), (agreement + 0.01, 2)):
        assert len(match([train, train[::2]], ["a", "b"], RATE, 0.4, least)) == groups


def test_without_a_run_the_length_is_told_as_unknown(case, tmp_path):
    shown = content(write_comparison([case.folder / "alpha.npz.json", case.folder / "beta.npz.json"], tmp_path / "e.html"))
    assert "taken to end with the last spike" in shown["notes"][0]
    assert 0.9 * SECONDS < shown["seconds"] <= SECONDS
    assert shown["differs"] is None


def test_spikes_outside_of_the_recording_are_left_out_and_told(runs, tmp_path):
    write_analysis(NumpySorting.from_unit_dict([{0: np.array([100, SAMPLES + 5])}], RATE), tmp_path / "long.npz")
    shown = content(write_comparison([runs / "loose" / "logs", tmp_path / "long.npz.json"], tmp_path / "f.html"))
    assert shown["notes"] == ["long: 1 spikes lie outside of the recording and are left out."]
    assert shown["runs"][1]["spikes"] == 1


@pytest.mark.parametrize("units", [0, 1])
def test_sortings_without_and_with_one_unit(tmp_path, units):
    for name in ("one", "two"):
        write_analysis(NumpySorting.from_unit_dict([dict(enumerate(trains(units)))], RATE), tmp_path / f"{name}.npz")
    shown = content(write_comparison([tmp_path / "one.npz.json", tmp_path / "two.npz.json"], tmp_path / "g.html"))
    assert len(shown["neurons"]) == units


def test_what_cannot_be_compared_is_refused(runs, case, tmp_path):
    slow = NumpySorting.from_unit_dict([{0: np.array([100, 200])}], 20_000.0)
    write_analysis(slow, tmp_path / "slow.npz")
    two = NumpySorting.from_unit_dict([{0: np.array([100])}, {0: np.array([100])}], RATE)
    write_analysis(two, tmp_path / "two.npz")
    run, alpha = runs / "loose" / "logs", case.folder / "alpha.npz.json"
    for words, message in (
        ([run], "There must be two sortings or more"),
        ([run, tmp_path / "nothing"], "There is no analysis at"),
        ([run, tmp_path], "is no sorting that Lussac knows"),
        ([run, tmp_path / "slow.npz.json"], "are not of one recording: 30000 Hz and 20000 Hz"),
        ([run, tmp_path / "two.npz.json"], "are not of one recording: 1 and 2 segments"),
        ([run, alpha, "-o", tmp_path / "no" / "page.html"], "there is no folder"),
        ([run, alpha, "--min-agreement", "1.5"], "not more than 0 and at most 1"),
        ([run, alpha, "--window", "0"], "not more than 0"),
    ):
        code, _, err = lussac("compare", *words)
        assert code == 2, err
        assert message in " ".join(err.split()), err
    assert not (tmp_path / "compare.html").exists()


def test_a_run_that_kept_nothing_is_named(runs, case, tmp_path):
    assert lussac(write_params(tmp_path / "empty", case.params({}, analyses=("alpha",))))[0] == 0
    code, _, err = lussac("compare", runs / "loose" / "logs", tmp_path / "empty" / "logs")
    assert code == 2
    assert "empty/logs holds no sorting (no step has kept one). Finish that run, or leave it out." in " ".join(err.split())


def test_runs_of_another_length_are_refused(runs, tmp_path):
    other = shutil.copytree(runs / "loose", tmp_path / "other")
    events = other / "logs" / "provenance.jsonl"
    events.write_text(events.read_text().replace(f'"samples": [{SAMPLES}]', f'"samples": [{SAMPLES + 1}]'))
    code, _, err = lussac("compare", runs / "loose" / "logs", other / "logs")
    assert code == 2
    assert "are not of one recording" in " ".join(err.split())


def test_names_of_one_word_are_told_apart_by_their_folders(runs, tmp_path):
    copy = shutil.copytree(runs / "loose", tmp_path / "again" / "loose")
    shown = content(write_comparison([runs / "loose" / "logs", copy / "logs", copy / "logs"], tmp_path / "h.html"))
    names = [run["name"] for run in shown["runs"]]
    assert len(set(names)) == 3
    assert all("loose" in name for name in names)
    assert all(neuron["mean_agreement"] == 1 for neuron in shown["neurons"])


def test_a_record_that_lacks_a_value_differs():
    def record(**libraries):
        return {"software": {"lussac": "1", "libraries": libraries}, "sorters": [], "steps": [], "inputs": []}

    rows = differences({"a": record(numpy="2"), "b": record(numpy="2", torch="3")})
    assert rows == [{"what": "software: libraries.torch", "a": None, "b": "3"}]


def test_imitated_analyses_agree_with_the_truth(tmp_path):
    truth = NumpySorting.from_unit_dict([dict(enumerate(trains(6)))], RATE)
    for name, sorting in (("truth", truth), (NASTY.replace("/", ""), imitate(truth, 1))):
        write_analysis(sorting, tmp_path / f"{name}.npz")
    sides = sorted(tmp_path.glob("*.json"))
    shown = content(write_comparison(sides, tmp_path / "i.html"))
    both = [neuron for neuron in shown["neurons"] if neuron["found_in"] == 2]
    assert len(both) >= 5
    assert all(neuron["mean_agreement"] > 0.4 for neuron in both)

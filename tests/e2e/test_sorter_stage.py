"""Sorters inside a run: one that fails, those that are finished, and results that something else made."""

import json

import jsonschema
import pytest
from tiny import lussac, write_params

from lussac.provenance import SCHEMA_FILE, read_record

GOOD = {"sorter_name": "simple", "preprocessing": {"common_reference": {}}}
BAD = {"sorter_name": "simple", "sorter_params": {"freq_min": 9000.0}}  # above freq_max: it fails as soon as it filters


def content(case, sorters):
    return {**case.params({"remove_duplicated_spikes": {"all": {}}}, n_jobs=2), "analyses": {}, "spike_sorting": sorters}


@pytest.fixture(scope="module")
def failed(case, tmp_path_factory):
    """A run of which one sorter fails."""
    folder = tmp_path_factory.mktemp("sorters")
    file = write_params(folder, content(case, {"good": GOOD, "bad": BAD}))
    return folder, file, lussac(file)


def test_one_failed_sorter_stops_the_run_after_all_have_ended(failed):
    folder, _, (code, out, err) = failed
    assert code == 3, err
    assert "good: done after" in out
    assert "bad: failed after" in out
    assert "1 of 2 sorters finished; they are kept" in err
    assert "--allow-failed-sorters" in err
    record = read_record(folder / "logs")
    jsonschema.validate(record, json.loads(SCHEMA_FILE.read_text()))
    assert {sorter["name"]: sorter["outcome"] for sorter in record["sorters"]} == {"good": "done", "bad": "failed"}
    assert record["status"] == "failed"
    assert not (folder / "tmp").exists()


def test_what_finished_is_not_run_again_and_the_rest_can_be_left_out(failed):
    folder, file, _ = failed
    code, out, err = lussac(file, "--allow-failed-sorters")
    assert (code, err) == (0, "")
    assert "good: reused" in out
    assert "bad failed:" in out
    assert "01-remove_duplicated_spikes.all: done" in out
    assert {"good", "bad"} == {sorter["name"] for sorter in read_record(folder / "logs")["sorters"]}


def test_a_result_of_other_parameters_can_be_kept(case, failed):
    folder, _, _ = failed
    file = write_params(folder, content(case, {"good": {**GOOD, "sorter_params": {"detect_threshold": 6.0}}}))
    code, out, _ = lussac(file, "--keep-stale")
    assert code == 0
    assert "good: reused" in out
    assert "detect_threshold: 5 before, 6 now" in " ".join(out.split())


def test_all_sorters_fail(case, tmp_path):
    code, _, err = lussac(write_params(tmp_path, content(case, {"bad": BAD})), "--allow-failed-sorters")
    assert code == 3, err
    assert "No analysis is left" in err

"""Whole runs of the command on a tiny recording."""

import json

import jsonschema
import pytest
from tiny import lussac, write_params

from lussac.provenance import SCHEMA_FILE, read_record

PIPELINE = {
    "remove_duplicated_spikes": {"all": {"censored_period": 0.3}},
    "units_categorization": {"all": {"fast": {"firing_rate": {"min": 10.0}}}},
    "align_units": {"all": {"wvf_extraction": {"ms_before": 1.0, "ms_after": 1.0}}},
    "remove_bad_units": {"fast;rest": {"firing_rate": {"min": 1.0}}},
}


@pytest.fixture(scope="module")
def done(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    file = write_params(folder, case.params(PIPELINE))
    code, out, err = lussac(file)
    assert (code, err) == (0, "")
    return folder, out


def test_it_says_what_it_did_and_where_the_results_are(done):
    folder, out = done
    for label in ("01-remove_duplicated_spikes.all", "04-remove_bad_units.fast", "04-remove_bad_units.rest"):
        assert f"{label}: running" in out
        assert f"{label}: done after" in out
    assert "alpha" in out
    assert str(folder / "logs") in out


def test_logs_hold_everything_and_the_scratch_folder_is_gone(done):
    folder, _ = done
    assert not (folder / "tmp").exists()
    logs = folder / "logs"
    assert (logs / "params.json").read_bytes() == (folder / "params.json").read_bytes()
    assert "04-remove_bad_units.fast" in (logs / "lussac.log").read_text()
    assert [path.name.rpartition(".")[0] for path in sorted((logs / "steps").iterdir())] == [
        "01-remove_duplicated_spikes.all",
        "02-units_categorization.all",
        "03-align_units.all",
        "04-remove_bad_units.fast",
        "04-remove_bad_units.rest",
    ]
    step = next((logs / "steps").glob("03-*"))
    assert {path.name for path in step.iterdir()} >= {"manifest.json", "sortings", "log.txt", "decisions.jsonl"}


def test_the_record_follows_its_schema(done):
    folder, _ = done
    record = read_record(folder / "logs")
    jsonschema.validate(record, json.loads(SCHEMA_FILE.read_text()))
    assert record["status"] == "done"
    assert len(record["steps"]) == 5
    assert {facts["path"].rpartition("/")[2] for facts in record["inputs"]} >= {
        "recording.dat",
        "probe.json",
        "alpha.npz.json",
        "alpha.npz",
    }


def test_a_second_run_does_no_work(done):
    folder, _ = done
    before = {path: path.stat().st_mtime_ns for path in (folder / "logs" / "steps").rglob("*")}
    code, out, err = lussac(folder / "params.json")
    assert (code, err) == (0, "")
    assert out.count("reused") == 5
    assert {path: path.stat().st_mtime_ns for path in (folder / "logs" / "steps").rglob("*")} == before


def test_a_changed_parameter_repeats_only_what_depends_on_it(done, case, tmp_path):
    folder, _ = done
    changed = {**PIPELINE, "remove_bad_units": {"fast;rest": {"firing_rate": {"min": 2.0}}}}
    content = case.params(changed, logs_folder=str(folder / "logs"))
    _, out, _ = lussac(write_params(tmp_path, content))
    assert out.count("reused") == 3
    assert "04-remove_bad_units.fast: done" in out


def test_quiet_says_nothing(case, tmp_path):
    file = write_params(tmp_path, case.params({"remove_duplicated_spikes": {"all": {}}}))
    assert lussac(file, "--quiet") == (0, "", "")


def test_check_prints_the_plan_and_writes_nothing(case, tmp_path):
    file = write_params(tmp_path, case.params(PIPELINE))
    code, out, err = lussac("check", file)
    assert (code, err) == (0, "")
    assert "04-remove_bad_units.rest" in out
    assert [path.name for path in tmp_path.iterdir()] == ["params.json"]


def test_logs_level_0_keeps_nothing_but_the_log(case, tmp_path):
    file = write_params(tmp_path, case.params({"remove_duplicated_spikes": {"all": {}}}, logs_level=0))
    code, _, err = lussac(file)
    assert (code, err) == (0, "")
    assert not list((tmp_path / "logs" / "steps").iterdir())
    assert "01-remove_duplicated_spikes.all" in (tmp_path / "logs" / "lussac.log").read_text()


def test_logs_level_1_keeps_the_sortings_only(case, tmp_path):
    file = write_params(tmp_path, case.params({"remove_duplicated_spikes": {"all": {}}}, logs_level=1))
    assert lussac(file)[0] == 0
    (step,) = (tmp_path / "logs" / "steps").iterdir()
    assert {path.name for path in step.iterdir()} == {"manifest.json", "sortings", "log.txt"}


def test_overwrite_logs_starts_from_scratch(case, tmp_path):
    pipeline = {"remove_duplicated_spikes": {"all": {}}}
    assert lussac(write_params(tmp_path, case.params(pipeline)))[0] == 0
    _, out, _ = lussac(write_params(tmp_path, case.params(pipeline, overwrite_logs=True)))
    assert "01-remove_duplicated_spikes.all: done" in out


def test_an_empty_pipeline_gives_the_analyses(case, tmp_path):
    code, out, err = lussac(write_params(tmp_path, case.params({})))
    assert (code, err) == (0, "")
    assert "alpha 8" in out

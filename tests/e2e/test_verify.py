"""A run against its record, against itself done again, and against another run."""

import copy
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from pages import PAGES, fenced
from tiny import RATE, lussac, write_params

from lussac import __version__
from lussac.pipeline.compare import Comparison, first_difference
from lussac.pipeline.recorded import Recorded

PIPELINE = {
    "remove_bad_units": {"all": {"firing_rate": {"min": 1.0}}},
    "merge_sortings": {"all": {}},
    "export_to_phy": {"all": {"path": "$PARAMS_FOLDER/phy", "export_params": {"compute_amplitudes": True}}},
    "export_to_sigui": {"all": {"path": "$PARAMS_FOLDER/sigui"}},
}
SORTERS = {"own": {"sorter_name": "simple", "sorter_params": {}}}


def params_of(case, folder, pipeline=PIPELINE, sorted_in=None):
    """Return params of a run whose recording lies beside them, preprocessed and cached, with a sorter and other analyses.

    The sorter needs not run where another run of it has been in `sorted_in`.
    """
    params = case.params(copy.deepcopy(pipeline), analyses=("alpha", "beta"))
    arguments = params["recording"]["extractor_params"] | {"file_paths": "$PARAMS_FOLDER/recording.dat"}
    preprocessing = {"highpass_filter": {"freq_min": 150.0}, "cache": "$PARAMS_FOLDER/cached"}
    params["recording"] |= {
        "extractor_params": arguments,
        "probe_file": "$PARAMS_FOLDER/probe.json",
        "preprocessing": preprocessing,
    }
    folder.mkdir()
    for name in ("recording.dat", "probe.json"):
        shutil.copy(case.folder / name, folder)
    if sorted_in is not None:
        shutil.copytree(sorted_in / "analyses" / "own", folder / "analyses" / "own")
    return params | {"spike_sorting": SORTERS}


def ran(folder, params, *options):
    code, _, err = lussac(write_params(folder, params), "--engine", "local", *options)
    assert (code, err) == (0, "")
    return folder


@pytest.fixture(scope="module")
def folder(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify") / "first"
    return ran(folder, params_of(case, folder))


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def others(case, folder, other):
    """Return params of a second run, which has the steps that are compared but no exports."""
    return params_of(case, other, {key: PIPELINE[key] for key in ("remove_bad_units", "merge_sortings")}, sorted_in=folder)


def test_all_is_as_recorded_and_again_the_same(folder):
    before = snapshot(folder)
    code, out, err = lussac("verify", folder / "logs", "--rerun")
    assert (code, err) == (0, "")
    assert "all is as recorded" in out
    assert "All stages are identical." in out
    assert all(stage in out for stage in ("recording", "own", "alpha", "02-merge_sortings.all", "04-export_to_sigui.all"))
    after = snapshot(folder)
    assert {path for path in {*before, *after} if before.get(path) != after.get(path)} == set()


@pytest.mark.parametrize(
    "place",
    [
        "recording.dat",
        "logs/params.json",
        "analyses/own/sorting/spikes.npy",
        "logs/steps/02-*/sortings/merged_sorting/spikes.npy",
        "logs/steps/02-*/decisions.jsonl",
        "phy/params.py",
        "sigui/settings.json",
        "logs/provenance.jsonl",
    ],
)
def test_a_changed_file_is_named(folder, place):
    (file,) = folder.glob(place)
    before = file.read_bytes()
    file.write_bytes(before[:-2] + b"?\n")
    code, _, err = lussac("verify", folder / "logs")
    assert (code, f"{file}: changed" in err) == (5, True)
    file.unlink()
    assert f"{file}: missing" in lussac("verify", folder / "logs")[2]
    file.write_bytes(before)
    assert lussac("verify", folder / "logs")[0] == 0


def test_a_record_that_was_touched_up(folder):
    file = folder / "logs" / "provenance.json"
    before = file.read_text()
    record = json.loads(before)
    record["software"]["libraries"]["numpy"] = "1.0"
    file.write_text(json.dumps(record))
    code, _, err = lussac("verify", folder / "logs")
    file.write_text(before)
    assert (code, f"{file}: changed (compared with provenance.jsonl)" in err) == (5, True)


def test_a_folder_that_is_none(tmp_path):
    code, _, err = lussac("verify", tmp_path)
    assert (code, "is no logs folder" in err) == (2, True)


def test_params_edited_for_the_next_run_break_nothing(folder, tmp_path):
    file, again = folder / "params.json", tmp_path / "again"
    before = file.read_text()
    file.write_text(before.replace('"min": 1.0', '"min": 2.0'))
    code, out, err = lussac("verify", folder / "logs", "--into", again)
    file.write_text(before)
    assert (code, err) == (0, "")
    assert f"{file}: edited since" in out
    assert "All stages are identical." in out
    assert {path.name for path in again.iterdir()} == {"logs", "sorters", "exports", "caches"}
    code, _, err = lussac("verify", folder / "logs", "--into", again)
    assert (code, "is not an empty folder" in err) == (2, True)


def test_a_folder_that_was_moved_with_its_data(folder, tmp_path):
    moved = tmp_path / "archive"
    shutil.copytree(folder, moved)
    assert f"{moved / 'logs'}: all is as recorded" in lussac("verify", moved / "logs")[1]
    (moved / "recording.dat").unlink()
    (moved / "recording.dat").write_bytes(b"another")
    assert f"{moved / 'recording.dat'}: changed" in lussac("verify", moved / "logs")[2]


def compared(one, other):
    code, out, err = lussac("verify", one / "logs", other / "logs")
    return code, out, " ".join(err.split())


def test_the_commands_of_the_page(folder, tmp_path, monkeypatch):
    for place in ("lussac", "one/lussac", "other/lussac"):
        shutil.copytree(folder, tmp_path / place)
    (page,) = (page for page in PAGES if page.name == "reproducible.md")
    lines = [line for text in fenced(page, "console") for line in text.splitlines() if not line.startswith("make")]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        program, *words = line.split()
        assert (program, lussac(*words)[0]) == ("lussac", 0), line
    assert len(lines) > 3


def test_two_runs_that_did_the_same(case, folder, tmp_path):
    other = tmp_path / "other"
    ran(other, params_of(case, other), "--jobs", "2")
    code, out, err = compared(folder, other)
    assert (code, err) == (0, "")
    assert "All stages are identical." in out


def test_a_parameter(case, folder, tmp_path):
    params = others(case, folder, tmp_path / "other")
    params["lussac"]["pipeline"]["remove_bad_units"]["all"]["firing_rate"]["min"] = 17.0
    code, out, err = compared(folder, ran(tmp_path / "other", params))
    assert code == 5
    assert "The first stage that differs is 01-remove_bad_units.all." in err
    assert "Why: parameter (firing_rate.min: 1.0 in A, 17.0 in B)." in err
    assert "input: 01-remove_bad_units.all, see above" in out


def test_a_parameter_of_a_sorter(case, folder, tmp_path):
    params = others(case, folder, tmp_path / "other")
    params["spike_sorting"] = {"own": {"sorter_name": "simple", "sorter_params": {"detect_threshold": 8.0}}}
    code, _, err = compared(folder, ran(tmp_path / "other", params))
    assert code == 5
    assert "The first stage that differs is own. Why: parameter (detect_threshold: absent in A, 8.0 in B)." in err


def test_an_input(case, folder, tmp_path):
    params = others(case, folder, tmp_path / "other")
    traces = np.fromfile(tmp_path / "other" / "recording.dat", dtype="int16")
    traces[: int(RATE) * 8] += 3
    traces.tofile(tmp_path / "other" / "recording.dat")
    code, _, err = compared(folder, ran(tmp_path / "other", params))
    assert code == 5
    assert "The first stage that differs is recording. Why: input (recording.dat holds something else)." in err


def test_an_analysis(case, folder, tmp_path):
    params = others(case, folder, tmp_path / "other")
    params["analyses"]["beta"] = params["analyses"]["beta"].replace("beta", "gamma")
    code, _, err = compared(folder, ran(tmp_path / "other", params))
    assert code == 5
    assert "The first stage that differs is beta. Why: input" in err


def test_a_pipeline(case, folder, tmp_path):
    params = others(case, folder, tmp_path / "other")
    del params["lussac"]["pipeline"]["remove_bad_units"]
    code, _, err = compared(folder, ran(tmp_path / "other", params))
    assert code == 5
    assert "The first stage that differs is 01-remove_bad_units.all. Why: parameter (only in A)." in err


def test_a_version(case, folder, tmp_path):
    other = tmp_path / "other"
    file = write_params(other, others(case, folder, other))
    claimed = tmp_path / "libraries" / "networkx-1.0.dist-info"  # found before the real one
    claimed.mkdir(parents=True)
    (claimed / "METADATA").write_text("Metadata-Version: 2.1\nName: networkx\nVersion: 1.0\n")
    environment = {**os.environ, "PYTHONPATH": str(claimed.parent)}
    command = [sys.executable, "-m", "lussac", file, "--engine", "local", "--quiet"]
    subprocess.run(command, check=True, env=environment, timeout=120)
    _, out, err = compared(folder, other)
    assert "The first stage that differs is 03-export_to_phy.all. Why: parameter (only in A)." in err  # which B has not
    assert "version: networkx: " in out


@pytest.fixture
def runs(folder):
    """Return the record twice, the second to be changed."""
    one = Recorded.read(folder / "logs")
    return one, Recorded(one.folder, copy.deepcopy(one.record))


def row_of(runs, stage):
    return next(row for row in Comparison(*runs).rows() if row.stage == stage)


def test_a_version_that_changes_the_result(runs):
    runs[1].record["software"]["libraries"]["scipy"] = "0.1"
    runs[1].record["steps"][1]["results"]["merged_sorting"]["hash"] = "another"
    first = first_difference(Comparison(*runs).rows())
    assert (first.stage, first.reasons[0].kind) == ("02-merge_sortings.all", "version")
    assert "scipy" in first.reasons[0].text
    assert first.agreement == 1.0


def test_a_machine_and_chance(runs):
    runs[1].record["steps"][1]["results"]["merged_sorting"]["hash"] = "another"
    assert row_of(runs, "02-merge_sortings.all").reasons[0].kind == "chance"
    runs[1].record["host"]["cpus"] = 96
    assert row_of(runs, "02-merge_sortings.all").reasons[0].kind == "machine"
    runs[1].record["software"]["lussac"] = "9.0"
    assert row_of(runs, "02-merge_sortings.all").reasons[0] == ("version", f"lussac: {__version__} in A, 9.0 in B")


def test_an_image(runs):
    runs[1].record["sorters"][0]["image"]["rootfs"] = "sha256:another"
    assert row_of(runs, "own").state == "identical"
    runs[1].record["analyses"]["own"]["hash"] = "another"
    row = row_of(runs, "own")
    assert (row.state, row.reasons[-1].kind, "sha256:another" in row.reasons[-1].text) == ("differs", "image", True)


def own_image(rootfs, revision="abc"):
    labels = {"org.opencontainers.image.revision": revision}
    return {"requested": "lussac", "rootfs": rootfs, "labels": labels}


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (None, "", ""),  # what an earlier version wrote where there was none
        (own_image("sha256:a"), own_image("sha256:a", "other"), ""),
        (own_image("sha256:a"), own_image("sif:b"), ""),  # made of one docker image, as the labels say
        (own_image(""), own_image("", "abc"), ""),
        (own_image("sha256:a"), own_image("sha256:b"), "in lussac (sha256:a) in A, in lussac (sha256:b) in B"),
        (own_image("", "abc"), own_image("sif:b", "def"), "in lussac (abc) in A, in lussac (sif:b) in B"),
        (None, own_image("sha256:b"), "outside of its image in A, in lussac (sha256:b) in B"),
        ("lussac", own_image("sha256:b"), "in lussac in A, in lussac (sha256:b) in B"),
    ],
)
def test_another_image_of_lussac_itself(runs, one, other, told):
    runs[0].record["software"]["image"], runs[1].record["software"]["image"] = one, other
    expected = [("image", f"Lussac itself ran {told}")] if told else []
    assert [*Comparison(*runs).orchestrators()] == expected
    runs[1].record["steps"][1]["results"]["merged_sorting"]["hash"] = "another"
    kinds = [reason.kind for reason in row_of(runs, "02-merge_sortings.all").reasons]
    assert kinds == (["image"] if told else ["chance"])


def without_some(record, source, tmp_path, share):
    """Let the sorter of a record be one whose runs differ, and have lost some spikes the second time."""
    place = tmp_path / "own"
    shutil.copytree(source.sorters["own"]["folder"], place)
    spikes = np.load(place / "sorting" / "spikes.npy")
    np.save(place / "sorting" / "spikes.npy", spikes[: round(len(spikes) * (1 - share))])
    record["sorters"][0]["folder"] = str(place)
    record["analyses"]["own"]["hash"] = "another"
    record["steps"][0]["results"]["own"]["hash"] = "another"


@pytest.mark.parametrize(("share", "state"), [(0.005, "agrees"), (0.3, "differs")])
def test_a_sorter_whose_runs_differ(runs, tmp_path, share, state):
    for run in runs:
        run.record["sorters"][0]["sorter"] = "mountainsort5"
    without_some(runs[1].record, runs[0], tmp_path, share)
    row, step = row_of(runs, "own"), row_of(runs, "01-remove_bad_units.all")
    assert (row.state, row.reasons[0].kind, step.state) == (state, "chance", state)
    assert row.agreement == pytest.approx(1 - share, abs=0.002)


def test_a_promise_is_kept_or_broken(runs, tmp_path):
    without_some(runs[1].record, runs[0], tmp_path, 0.005)
    row = row_of(runs, "own")
    assert (row.state, row.reasons[0].kind) == ("differs", "chance")

"""Sorters for real, through the runner and the job files, on a short recording."""

import json
import os
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from lussac import sorters
from lussac.errors import EngineError, FolderError, InterruptedRunError, SorterError
from lussac.params import SorterParams
from lussac.provenance import SCHEMA_FILE
from lussac.sorters.run import as_job
from lussac.store import file_hash


def ignore(*_words: str) -> None:
    pass


def described_whole(record) -> None:
    """Hold the record of a sorter against the schema that is shipped."""
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.validate(json.loads(json.dumps(record)), {"$defs": schema["$defs"], "$ref": "#/$defs/sorter"})


@pytest.fixture
def prepare_on(tmp_path, recording_folder):
    def prepare(engine: str, sorter: str, *, name: str = "run", recording=recording_folder, recording_hash: str = "r1", **own):
        run = SorterParams(sorter_name=sorter, sorter_params=own)
        return sorters.prepare(name, run, recording, recording_hash, engine=engine, base=tmp_path, pull=False)

    return prepare


@pytest.fixture
def prepare(prepare_on):
    return partial(prepare_on, "local")


def sort(job, progress=ignore, stop=None):
    return sorters.sort(job, progress, stop or threading.Event())


@pytest.mark.parametrize(
    "sorter",
    [
        "simple",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("tridesclous2", "spykingcircus2", "lupin", "mountainsort5")),
    ],
)
def test_sorts_and_is_found_again(prepare, sorter, tmp_path):
    lines = []
    job = prepare(sorter)
    assert sorters.find(job) is None
    finished = sort(job, lines.append)
    sorting = finished.load()
    assert len(sorting.unit_ids) >= 2
    assert lines
    assert finished.folder == tmp_path / "analyses" / "run"
    assert finished.record["versions"]["spikeinterface"]
    described_whole(finished.record)
    assert [path.name for path in (tmp_path / "analyses").iterdir()] == ["run"]
    assert all(file_hash(Path(output["path"])) == output["sha256"] for output in finished.record["outputs"])
    again = sorters.find(prepare(sorter))
    assert isinstance(again, sorters.Finished)
    assert np.array_equal(again.load().to_spike_vector(), sorting.to_spike_vector())


def test_says_what_differs_and_keeps_the_same_seed(prepare):
    job = prepare("simple", detect_threshold=6)
    sort(job)
    assert prepare("simple", detect_threshold=6.0).parameters["seed"] == job.parameters["seed"]
    stale = sorters.find(prepare("simple", detect_threshold=7, recording_hash="r2"))
    assert isinstance(stale, sorters.Stale)
    assert stale.differences[0] == "parameters.detect_threshold: 6 before, 7 now"
    assert stale.differences[-1] == "recording: r1 before, r2 now"


def test_segments_stay_apart(prepare, segments_folder):
    sorting = sort(prepare("simple", recording=segments_folder)).load()
    assert sorting.get_num_segments() == 2
    vector = sorting.to_spike_vector()
    assert set(vector["segment_index"]) == {0, 1}
    assert vector["sample_index"][vector["segment_index"] == 1].max() < 5 * 30_000


def test_one_that_fails_says_why_and_stops_no_other(prepare, tmp_path):
    bad = prepare("simple", name="bad", clusterer="no such thing")
    good = prepare("simple", name="good")
    results = sorters.sort_all([bad, good], 2, None, ignore, threading.Event())
    assert isinstance(results["good"], sorters.Finished)
    error = results["bad"]
    described_whole(results["good"].record)
    described_whole({**error.record, "outcome": "failed"})
    assert error.record["exit_code"] == 1
    assert isinstance(error, SorterError)
    assert "bad (simple" in str(error)
    assert "unknown clustering method no such thing" in str(error)
    log = tmp_path / "analyses" / "bad.failed" / "sorter.log"
    assert str(log) in str(error)
    assert "unknown clustering method" in log.read_text()
    assert not (tmp_path / "analyses" / "bad").exists()


def test_a_folder_of_the_user_is_never_touched(prepare, tmp_path):
    (tmp_path / "analyses" / "run").mkdir(parents=True)
    (tmp_path / "analyses" / "run" / "thesis.txt").write_text("mine")
    for use in (sorters.find, sort):
        with pytest.raises(FolderError, match="Lussac didn't make"):
            use(prepare("simple"))
    assert (tmp_path / "analyses" / "run" / "thesis.txt").read_text() == "mine"


def test_stopped_leaves_no_result(prepare, tmp_path):
    stop = threading.Event()
    with pytest.raises(InterruptedRunError, match="was stopped"):
        sort(prepare("simple"), lambda _line: stop.set(), stop)
    assert [path.name for path in (tmp_path / "analyses").iterdir()] == ["run.failed"]


def test_a_time_limit_is_told(prepare):
    job = prepare("simple")
    with pytest.raises(SorterError, match=r"time limit of 0.5 s.*Raise the time limit"):
        sort(replace(job, limits=replace(job.limits, seconds=0.5)))


@pytest.mark.parametrize("sorter", ["simple", pytest.param("tridesclous2", marks=pytest.mark.slow)])
def test_a_container_gives_the_same_spikes(prepare_on, container, sorter, tmp_path):
    try:
        inside = prepare_on(container.name, sorter, name="inside")
    except EngineError as error:
        pytest.skip(str(error))
    there = sort(inside)
    here = sort(prepare_on("local", sorter, name="here"))
    assert np.array_equal(there.load().to_spike_vector(), here.load().to_spike_vector())
    assert there.record["image"]["rootfs"].startswith("sha256:")
    described_whole(there.record)
    assert {path.lstat().st_uid for path in tmp_path.rglob("*")} == {tmp_path.stat().st_uid}


def test_a_parameter_that_names_a_file_of_the_params_folder(prepare_on, sorting_engine, tmp_path, recording_folder):
    (tmp_path / "my file, with: signs'é").write_text("seen")
    job = as_job(prepare_on(sorting_engine.name, "simple", recording=recording_folder), tmp_path / "draft")
    for name in ("in/recording", "work", "out"):
        (tmp_path / "draft" / name).mkdir(parents=True)
    program = "import sys, shutil; shutil.copyfile(*sys.argv[1:])"
    argv = ("python", "-c", program, str(tmp_path / "my file, with: signs'é"), "/lussac/out/copy")
    end = sorting_engine.run(replace(job, argv=argv), tmp_path / "log", ignore, threading.Event())
    assert end.code == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "draft" / "out" / "copy").read_text() == "seen"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work for somebody else")
def test_root_leaves_all_to_the_owner_of_the_folder(prepare_on, sorting_engine, tmp_path):
    os.chown(tmp_path, 12345, 54321)
    job = prepare_on(sorting_engine.name, "simple", clusterer="no such thing", freq_min="no number")
    with pytest.raises(SorterError, match=r"no number|must be|TypeError|not supported"):
        sort(job)
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in tmp_path.rglob("*")} == {(12345, 54321)}

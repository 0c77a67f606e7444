import json
import subprocess
from datetime import datetime

import jsonschema
import pytest

from lussac.provenance import (
    EVENTS,
    RECORD,
    SCHEMA_FILE,
    Provenance,
    assemble,
    describe_files,
    differences,
    period,
    read_record,
    revision,
    stable,
    versions,
)
from lussac.store import content_key

SHA = content_key({})
STEP = {
    "label": "01-align_units.all",
    "module": "align_units",
    "version": 1,
    "selector": "all",
    "key": SHA,
    "seed": 3,
    "params": {"threshold": 0.5},
    "outcome": "done",
    "inputs": {"a": {"hash": SHA, "units": 3}},
}
SORTER = {
    "name": "a",
    "sorter": "simple",
    "key": SHA,
    "outcome": "done",
    "folder": "/data/analyses/a",
    "recording": SHA,
    "engine": {"name": "docker", "version": "28.2.2", "rootless": "False"},
    "image": {
        "requested": "lussac/simple:0.105.3",
        "resolved": f"sha256:{SHA}",
        "manifest": "",
        "config": f"sha256:{SHA}",
        "rootfs": f"sha256:{SHA}",
        "platform": "linux/amd64",
        "labels": {"io.lussac.sorter": "simple"},
        "source": "local-build",
        "sif": None,
    },
    "argv": ["image=x"],
    "mounts": [{"host": "/data", "container": "/lussac/in", "mode": "ro"}],
    "user": "1000:1000",
    "network": False,
    "relaxed": [],
    "gpu": False,
    "limits": {"asked": {"cores": 1, "memory": None, "seconds": None}, "enforced": ["cores"]},
    "threads": {"OMP_NUM_THREADS": "1"},
    "parameters": {"seed": 3},
    "seed": 3,
    "seed_parameter": "seed",
    "deterministic": "seeded",
    "runner": SHA,
    "freeze": SHA,
    "versions": {"python": "3.11"},
    "units": 3,
    "spikes": 30,
    "segments": 1,
    "peak_memory": {"main": 1, "largest_child": 0},
    "started": "2026-01-01T00:00:00.000+00:00",
    "ended": "2026-01-01T00:00:01.000+00:00",
    "exit_code": 0,
    "out_of_memory": False,
    "timeout": False,
    "seconds": 1.0,
    "outputs": [{"path": "/data/analyses/a/sorting/spikes.npy", "sha256": SHA}],
    "why": "runs with docker",
}


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def started(folder):
    provenance = Provenance(folder)
    provenance.start(params={"file": "params.json", "sha256": SHA})
    return provenance


def test_record_is_valid_at_the_start_and_at_the_end(tmp_path, validator):
    provenance = started(tmp_path)
    at_start = read_record(tmp_path)
    validator.validate(at_start)
    assert at_start["status"] == "running"
    for facts in describe_files([tmp_path / EVENTS]):
        provenance.add("input", **facts)
    provenance.add("sorter", **SORTER)
    provenance.add("sorter", name="b", sorter="simple", key=SHA, outcome="failed", message="no engine")
    provenance.add("step", **STEP)
    provenance.end("done", 0)
    at_end = read_record(tmp_path)
    validator.validate(at_end)
    assert at_end["status"] == "done"
    assert at_end["exit_code"] == 0
    assert at_end["steps"] == [STEP]
    assert [len(at_end[key]) for key in ("inputs", "sorters")] == [1, 2]


def test_the_schema_refuses_what_it_does_not_know(tmp_path, validator):
    provenance = started(tmp_path)
    provenance.add("step", **STEP, surprise=1)
    provenance.write()
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        validator.validate(read_record(tmp_path))


def test_events_of_all_runs_stay(tmp_path):
    for _ in range(2):
        started(tmp_path).end("failed", 4, "no units")
    events = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    assert len(events) == 4
    assert len({event["run"] for event in events}) == 2
    assert assemble(events[2:]) == read_record(tmp_path)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"schema_version": 0}'])
def test_a_record_that_cannot_be_read_counts_as_none(tmp_path, text):
    if text is not None:
        (tmp_path / RECORD).write_text(text)
    assert read_record(tmp_path) == {}


def test_files_are_described_and_not_read_twice(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b").write_text("b")
    (tmp_path / "a").write_text("a")
    described = describe_files([tmp_path / "in", tmp_path / "a"])
    assert [(facts["path"], facts["size"]) for facts in described] == [(str(tmp_path / "in/b"), 1), (str(tmp_path / "a"), 1)]
    remembered = [facts | {"sha256": "0" * 64} for facts in described]
    assert [facts["sha256"] for facts in describe_files([tmp_path / "in"], remembered)] == ["0" * 64]
    (tmp_path / "in" / "b").write_text("bb")
    assert describe_files([tmp_path / "in"], remembered)[0]["sha256"] != "0" * 64


def test_stable_leaves_out_times_and_places(tmp_path):
    records = []
    for name in ("x", "y"):
        folder = tmp_path / name
        folder.mkdir()
        provenance = started(folder)
        provenance.add("step", **STEP, seconds=len(records) + 0.5)
        provenance.end("done", 0)
        records.append(read_record(folder))
    assert records[0] != records[1]
    assert stable(records[0]) == stable(records[1])


def test_versions_leave_out_what_is_not_installed():
    assert list(versions(["numpy", "surely-not-installed"])) == ["numpy"]


def test_differences_are_named():
    before = {"parameters": {"threshold": 5, "gone": 1}, "image": "a"}
    assert list(differences(before, before)) == []
    now = {"parameters": {"threshold": 6, "new": None}, "image": "a"}
    assert list(differences(before, now)) == [
        ("parameters.gone", 1, "absent"),
        ("parameters.new", "absent", None),
        ("parameters.threshold", 5, 6),
    ]


@pytest.mark.parametrize("key", sorted(set(SORTER) - {"name", "sorter", "key", "outcome"}))
def test_a_sorter_that_has_run_is_told_whole(tmp_path, validator, key):
    provenance = started(tmp_path)
    provenance.add("sorter", **{name: value for name, value in SORTER.items() if name != key})
    provenance.write()
    with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
        validator.validate(read_record(tmp_path))


def test_what_is_taken_again_names_the_run_that_made_it(tmp_path, validator):
    first = started(tmp_path)
    first.add("step", **STEP, **period(0.5))
    first.end("done", 0)
    with (tmp_path / EVENTS).open("a") as events:
        events.write('{"cut sho')
    second = started(tmp_path)
    second.add("step", **{**STEP, "outcome": "reused"})
    second.add("sorter", **{**SORTER, "outcome": "reused"})
    second.end("done", 0)
    record = read_record(tmp_path)
    validator.validate(record)
    assert record["steps"][0]["resumed_from"] == first.run
    assert record["sorters"][0]["resumed_from"] == ("" if SORTER["key"] != STEP["key"] else first.run)


def test_a_checkout_tells_its_commit_and_whether_it_was_changed(tmp_path):
    assert revision(tmp_path) is None
    for words in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    found = revision(tmp_path)
    assert found is not None
    assert (len(found["commit"]), found["changed"]) == (40, False)
    (tmp_path / "new").write_text("")
    assert revision(tmp_path) == {**found, "changed": True}


def test_a_period_ends_now():
    told = period(2.0)
    start, end = (datetime.fromisoformat(told[key]) for key in ("started", "ended"))
    assert abs((end - start).total_seconds() - 2) < 0.01
    assert told["peak_memory"] > 1e6

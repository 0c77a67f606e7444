import json

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
    read_record,
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
    provenance.add(
        "sorter",
        name="a",
        sorter="simple",
        key=SHA,
        outcome="done",
        image={"requested": "", "rootfs": "environment", "source": "none"},
    )
    provenance.add("step", **STEP)
    provenance.end("done", 0)
    at_end = read_record(tmp_path)
    validator.validate(at_end)
    assert at_end["status"] == "done"
    assert at_end["exit_code"] == 0
    assert at_end["steps"] == [STEP]
    assert [len(at_end[key]) for key in ("inputs", "sorters")] == [1, 1]


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

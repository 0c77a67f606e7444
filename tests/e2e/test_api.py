"""The Python interface."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from spikeinterface.core import BinaryRecordingExtractor, NumpyRecording, load
from tiny import CHANNELS, GAIN, RATE, write_params

import lussac
from lussac import params
from lussac.errors import InputError, ModuleError, ParamsError
from lussac.pipeline import Options
from lussac.pipeline import run as run_plan
from lussac.plan import compile_plan
from lussac.sortings import StoredSorting

PIPELINE = {
    "align_units": {"all": {"wvf_extraction": {"ms_before": 1.0, "ms_after": 1.0}}},
    "merge_sortings": {"all": {}},
}


def objects(case):
    recording = BinaryRecordingExtractor(
        [case.folder / "recording.dat"], RATE, "int16", num_channels=CHANNELS, gain_to_uV=GAIN, offset_to_uV=0.0
    )
    import probeinterface

    recording.set_probegroup(probeinterface.read_probeinterface(case.folder / "probe.json"))
    return recording, {name: load(case.folder / f"{name}.npz.json") for name in case.analyses}


@pytest.fixture(scope="module")
def by_path(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("by_path")
    return lussac.run(write_params(folder, case.params(PIPELINE)))


def spikes(sorting):
    vector = sorting.to_spike_vector()
    return [vector[field].tolist() for field in ("segment_index", "sample_index", "unit_index")]


def test_spikes_of_a_result_stay_on_the_disk_where_only_units_are_shown(by_path, case, tmp_path):
    plan = compile_plan(params.read(write_params(tmp_path, case.params(PIPELINE))))
    result = run_plan(plan, Options(hold_spikes=False))
    for shown, held in ((result.sortings, by_path.sortings), (result.analyses, by_path.analyses)):
        assert all(isinstance(sorting, StoredSorting) for sorting in shown.values())
        assert not any(isinstance(sorting, StoredSorting) for sorting in held.values())
        assert {name: sorting.get_num_units() for name, sorting in shown.items()} == {
            name: sorting.get_num_units() for name, sorting in held.items()
        }


def test_a_result_tells_what_came_out(by_path, case):
    assert [step.label for step in by_path.steps] == ["01-align_units.all", "02-merge_sortings.all"]
    assert by_path.merged.get_num_units() > 0
    assert list(by_path.analyses) == list(case.analyses)
    assert by_path.exports == ()
    assert by_path.failed_sorters == {}
    assert (by_path.logs_folder / "provenance.json").exists()


def test_a_dict_gives_the_same_as_a_file(by_path, case, tmp_path):
    result = lussac.run(case.params(PIPELINE), base=tmp_path)
    assert spikes(result.merged) == spikes(by_path.merged)
    assert result.logs_folder == tmp_path / "logs"


def test_objects_give_the_same_as_a_file(by_path, case, tmp_path):
    recording, sortings = objects(case)
    folders = {"logs_folder": "logs", "tmp_folder": "tmp"}
    result = lussac.run({"lussac": {**folders, "pipeline": PIPELINE}}, recording=recording, sortings=sortings, base=tmp_path)
    assert spikes(result.merged) == spikes(by_path.merged)


def test_what_is_given_is_not_changed(case, tmp_path):
    recording, sortings = objects(case)
    before = {name: spikes(sorting) for name, sorting in sortings.items()}
    keys = recording.get_property_keys()
    lussac.run({"lussac": {"pipeline": PIPELINE}}, recording=recording, sortings=sortings, base=tmp_path)
    assert {name: spikes(sorting) for name, sorting in sortings.items()} == before
    assert recording.get_property_keys() == keys


def test_logging_is_left_as_it_was(case, tmp_path):
    root, ours = logging.getLogger(), logging.getLogger("lussac")
    before = (root.level, list(root.handlers), ours.level, list(ours.handlers))
    lussac.run(case.params({}), base=tmp_path)
    assert (root.level, list(root.handlers), ours.level, list(ours.handlers)) == before


def test_a_recording_without_probe(case, tmp_path):
    recording, sortings = objects(case)
    bare = NumpyRecording([recording.get_traces(0, 0, 1000)], RATE)
    with pytest.raises(InputError, match="has no probe"):
        lussac.run({"lussac": {"pipeline": {}}}, recording=bare, sortings=sortings, base=tmp_path)
    assert not list(tmp_path.iterdir())


def test_neither_recording_nor_sortings(tmp_path):
    with pytest.raises(ParamsError, match="recording"):
        lussac.run({"lussac": {"pipeline": {}}}, base=tmp_path)


def test_a_category_that_a_given_sorting_carries(case, tmp_path):
    recording, sortings = objects(case)
    params = {"lussac": {"pipeline": {"remove_duplicated_spikes": {"CS": {}}}}}
    with pytest.raises(ParamsError, match="CS"):
        lussac.run(params, recording=recording, sortings=sortings, base=tmp_path)
    labelled = sortings["alpha"]
    labelled.set_property("lussac_category", np.array(["CS"] * labelled.get_num_units()))
    assert lussac.run(params, recording=recording, sortings=sortings, base=tmp_path).steps[0].units_in["beta"] == 0


def test_a_module_that_fails_says_where_to_look(case, tmp_path, monkeypatch):
    from lussac.modules import align_units
    from lussac.modules.base import Module

    def fail(sortings, params, context):
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setattr(align_units, "MODULE", Module(align_units.MODULE.params, fail))
    with pytest.raises(ModuleError, match=r"01-align_units\.all failed: ZeroDivisionError: nothing to divide by"):
        lussac.run(case.params(PIPELINE), base=tmp_path)
    (failed,) = (tmp_path / "logs" / "failed").iterdir()
    assert "Traceback" in (failed / "log.txt").read_text()
    assert "Traceback" in (tmp_path / "logs" / "lussac.log").read_text()


def test_help_is_quick():
    """Nothing heavy is imported before it is needed."""
    code = "import sys, lussac.cli; print(sorted({'numpy', 'spikeinterface', 'rich', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_hash_seed_of_python_plays_no_role(by_path, case, tmp_path, seed):
    """A process of its own, since the seed can't be changed in a running one."""
    file = write_params(tmp_path, case.params(PIPELINE))
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-m", "lussac", str(file), "--quiet"], check=True, env=environment)
    folders = [
        next((logs / "steps").glob("02-*")) / "sortings" / "merged_sorting" for logs in (by_path.logs_folder, tmp_path / "logs")
    ]
    for name in ("spikes.npy", "units.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()

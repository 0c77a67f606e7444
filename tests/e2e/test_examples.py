"""The files that users start from run to their end, and what they export can be opened."""

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import pytest
import spikeinterface.extractors as se
from spikeinterface.core import load_sorting_analyzer
from tiny import CHANNELS

import lussac
from lussac import jsonc
from tests.ground_truth import ground_truth
from tests.tiny import write_recording

FOLDER = resources.files("lussac").joinpath("params_examples")
EXAMPLES = sorted(file.name for file in FOLDER.iterdir() if file.name.endswith(".json"))
SYNTHETIC = "params_synthetic.json"
SORTER_CHANNELS = 16


def content(name):
    return jsonc.parse(FOLDER.joinpath(name).read_text(encoding="utf-8"), name).data


def assert_opens(result, folder):
    """Open both exports and find the merged units in them."""
    merged = result.merged
    assert merged is not None
    assert merged.get_num_units() > 0
    assert set(result.exports) == {folder / "lussac/phy", folder / "lussac/analyzer"}
    phy = se.read_phy(folder / "lussac/phy")
    assert phy.get_num_units() == merged.get_num_units()
    assert phy.count_total_num_spikes() == merged.count_total_num_spikes()
    analyzer = load_sorting_analyzer(folder / "lussac/analyzer")
    assert analyzer.get_num_units() == merged.get_num_units()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_pipeline_of_every_example_runs(name, case, tmp_path):
    params = content(name)
    names = [*params.pop("spike_sorting", {}), *params.pop("analyses", {})][:3]
    files = [case.folder / f"{analysis}.npz.json" for analysis in case.analyses]
    given = dict(zip([*names, "other", "another"], map(str, files), strict=False))
    params["lussac"]["si_global_job_kwargs"] = {"n_jobs": 1}
    assert case.recording["extractor_params"]["num_channels"] == CHANNELS
    assert_opens(lussac.run({**params, "recording": case.recording, "analyses": given}, base=tmp_path), tmp_path)


@pytest.fixture(scope="session")
def sortable(tmp_path_factory) -> Path:
    """A folder with a recording that is long enough for real sorters."""
    folder = tmp_path_factory.mktemp("sortable")
    recording, _ = ground_truth(20.0, channels=SORTER_CHANNELS, neurons=8, seed=2)
    write_recording(recording.get_traces(return_in_uV=True), folder)
    return folder


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == SYNTHETIC else pytest.mark.slow) for name in EXAMPLES])
def test_every_example_runs_with_its_sorters(name, sortable, tmp_path):
    params = content(name)
    for file in ("recording.dat", "probe.json"):
        (tmp_path / file).symlink_to(sortable / file)
    params["recording"] = content(SYNTHETIC)["recording"]
    assert params["recording"]["extractor_params"]["num_channels"] == SORTER_CHANNELS
    for analysis, run in list(params["spike_sorting"].items()):
        if run["sorter_name"] == "mountainsort5" and find_spec("mountainsort5") is None:
            del params["spike_sorting"][analysis]
    params["lussac"]["si_global_job_kwargs"] = {"n_jobs": 1}
    assert_opens(lussac.run(params, base=tmp_path, engine="local"), tmp_path)

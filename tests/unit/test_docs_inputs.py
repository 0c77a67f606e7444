"""The examples of docs/recording.md and docs/analyses.md run."""

import logging

import numpy as np
import probeinterface
import pytest

from lussac import jsonc, sortings
from lussac.analyses import load_analysis
from lussac.loading import load
from lussac.params import RecordingParams
from lussac.preprocessing import preprocess
from tests.pages import ROOT, fenced

log = logging.getLogger("test")


def examples(page, language):
    return fenced(ROOT / "docs" / page, language)


def write_recording(arguments):
    """Write two seconds of noise for a binary recording."""
    paths = arguments["file_paths"]
    rng = np.random.default_rng(0)
    for path in [paths] if isinstance(paths, str) else paths:
        samples = (2 * round(arguments["sampling_frequency"]), arguments["num_channels"])
        rng.normal(0, 50, samples).astype(arguments["dtype"]).tofile(path)


def run(code, folder, monkeypatch):
    monkeypatch.chdir(folder)
    exec(compile(code, "docs", "exec"), {})  # noqa: S102 (our own documentation)


@pytest.mark.parametrize("number", range(len(examples("recording.md", "json"))))
def test_recordings(tmp_path, monkeypatch, number):
    text = examples("recording.md", "json")[number].replace("$PARAMS_FOLDER", str(tmp_path))
    given = jsonc.parse("{" + text + "}", "docs").data["recording"]
    recording = RecordingParams.model_validate(given, context={"base": tmp_path})
    channels = recording.extractor_params["num_channels"]
    write_recording(recording.extractor_params)
    if channels == 4:
        run(examples("recording.md", "python")[0], tmp_path, monkeypatch)
    else:
        probe = probeinterface.generate_linear_probe(channels)
        probe.set_device_channel_indices(range(channels))
        probeinterface.write_probeinterface(recording.probe_file, probe)
    found = preprocess(load(recording, tmp_path, log), recording.preprocessing, log, base=tmp_path)
    assert found.get_num_channels() == channels
    assert found.get_traces(0, 0, 10).shape == (10, channels)
    assert (tmp_path / "cache").is_dir() == ("cache" in recording.preprocessing)


def test_a_sorting_from_python(tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match="not serializable"):
        run(examples("analyses.md", "python")[0], tmp_path, monkeypatch)
    sorting = load_analysis(tmp_path / "mine")
    assert sortings.unit_ids(sorting) == [0, 1]
    assert sorting.get_property("gt_depth").tolist() == [120.0, 80.0]

"""Recordings and analyses with next to nothing in them."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, NumpySorting
from tiny import CHANNELS, RATE, make_probe

import lussac

WINDOW = {"wvf_extraction": {"ms_before": 1.0, "ms_after": 1.0}}
EVERYTHING = {
    "remove_duplicated_spikes": {"all": {}},
    "units_categorization": {"all": {"fast": {"firing_rate": {"min": 12.0}}, "CS": {"SNR": {"max": 3.0}}}},
    "align_units": {"all": {}},
    "merge_units": {"all": {}},
    "remove_bad_units": {"rest": {"SNR": {"min": 0.1}, "contamination": {"refractory_period": [0.3, 1.0], "max": 1.0}}},
    "remove_redundant_units": {"all": {}},
    "find_purkinje_cells": {},
    "merge_sortings": {"all": {}},
    "export_to_phy": {"all": {"path": "$PARAMS_FOLDER/phy"}},
    "export_to_sigui": {"all": {"path": "$PARAMS_FOLDER/sigui"}},
}
NOTHING = np.empty(0, dtype=np.int64)
REGULAR = np.arange(500, 55_000, 900)


def make_recording(channels=CHANNELS, noise=5.0, samples=60_000):
    traces = np.random.default_rng(0).normal(0, 1, (samples, channels)) * noise
    recording = NumpyRecording([traces.astype(np.int16)], RATE)
    recording.set_channel_gains(1.0)
    recording.set_channel_offsets(0.0)
    recording.set_probe(make_probe(channels))
    return recording


def make_sorting(*trains):
    return NumpySorting.from_unit_dict([{unit: np.asarray(train) for unit, train in enumerate(trains)}], RATE)


@pytest.mark.parametrize(
    ("recording", "sortings"),
    [
        pytest.param({}, {"a": make_sorting(), "b": make_sorting()}, id="no units"),
        pytest.param({}, {"a": make_sorting(REGULAR), "b": make_sorting()}, id="no units in one"),
        pytest.param({}, {"a": make_sorting(REGULAR), "b": make_sorting(REGULAR)}, id="one unit"),
        pytest.param({}, {"a": make_sorting(NOTHING), "b": make_sorting(NOTHING, NOTHING)}, id="no spikes"),
        pytest.param({}, {"a": make_sorting([500]), "b": make_sorting([500], REGULAR)}, id="one spike"),
        pytest.param({}, {"a": make_sorting([0, 59_999]), "b": make_sorting([0], [59_999])}, id="spikes at the borders"),
        pytest.param({"channels": 1}, {"a": make_sorting(REGULAR), "b": make_sorting(REGULAR, [700])}, id="one channel"),
        pytest.param({}, {"a": make_sorting(REGULAR, REGULAR + 100)}, id="one analysis"),
        pytest.param({"noise": 0.0}, {"a": make_sorting(REGULAR), "b": make_sorting(REGULAR)}, id="silent recording"),
        pytest.param({"samples": 40}, {"a": make_sorting([10, 20]), "b": make_sorting([10])}, id="short recording"),
    ],
)
def test_nothing_crashes(tmp_path, recording, sortings):
    params = {"lussac": {"logs_folder": "logs", "tmp_folder": "tmp", "pipeline": EVERYTHING}}
    result = lussac.run(params, recording=make_recording(**recording), sortings=sortings, base=tmp_path)
    assert len(result.steps) == len(EVERYTHING)
    assert set(result.sortings) == {"merged_sorting"}
    assert not (tmp_path / "tmp").exists()

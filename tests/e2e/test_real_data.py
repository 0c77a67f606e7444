"""Whole runs on recordings of real machines."""

import json

import numpy as np
import probeinterface
import pytest
from spikeinterface.core import NumpySorting
from spikeinterface.extractors import read_phy
from tiny import lussac, write_params

from lussac import sortings

WAVEFORMS = {"ms_before": 0.5, "ms_after": 0.5, "max_spikes_per_unit": 50, "filter_band": [300, 6000]}


def write_random(folder, rate, durations, seed, shared_spikes):
    """Write an analysis of two units: one with spikes that others have too, one of its own."""
    rng = np.random.default_rng(seed)
    trains = [
        {"shared": np.sort(spikes), "own": np.sort(rng.choice(samples, len(spikes), replace=False))}
        for samples, spikes in zip(durations, shared_spikes, strict=True)
    ]
    sortings.save(NumpySorting.from_unit_dict(trains, rate), folder)
    return str(folder)


def merged(folder):
    step = max((folder / "logs" / "steps").glob("*merge_sortings*"))
    return sortings.load(step / "sortings" / "merged_sorting")


def params(recording, pipeline, **sections):
    lussac_section = {"logs_folder": "logs", "tmp_folder": "tmp", "si_global_job_kwargs": {"n_jobs": 2}, "pipeline": pipeline}
    return {"recording": recording, **sections, "lussac": lussac_section}


def test_locust_tetrode_sorted_by_two_sorters_and_merged(shared, tmp_path):
    probe = probeinterface.generate_tetrode()
    probe.set_device_channel_indices(range(4))
    probeinterface.write_probeinterface(tmp_path / "probe.json", probe)
    recording = {
        "recording_extractor": "binary",
        "extractor_params": {
            "file_paths": [str(shared / f"data/locust_tetrode/locust_trial_0{trial}.raw") for trial in (1, 2)],
            "num_channels": 4,
            "sampling_frequency": 15_000,
            "dtype": "int16",
        },
        "probe_file": "probe.json",
    }
    pipeline = {
        "remove_duplicated_spikes": {"all": {}},
        "merge_sortings": {"all": {}},
        "export_to_phy": {"all": {"path": "phy"}},
    }
    runs = {"tdc2": {"sorter_name": "tridesclous2"}, "simple": {"sorter_name": "simple"}}
    code, out, err = lussac(
        write_params(tmp_path, params(recording, pipeline, spike_sorting=runs)), "--engine", "local", timeout=800
    )
    assert (code, err) == (0, ""), out
    found = merged(tmp_path)
    assert found.get_num_segments() == 2
    assert found.get_num_units() >= 1
    assert "one unit is taken for 1 uV" in (tmp_path / "logs" / "lussac.log").read_text()
    assert len(read_phy(tmp_path / "phy").unit_ids) == found.get_num_units()
    hashes = {name: json.loads((tmp_path / "analyses" / name / "lussac-sorter.json").read_text())["key"] for name in runs}
    assert len(set(hashes.values())) == 2


@pytest.fixture
def spikeglx(shared):
    return {
        "recording_extractor": "SpikeGLXRecordingExtractor",
        "extractor_params": {
            "folder_path": str(shared / "data/spikeglx_np2/rawdata/sub-001/ses-001/ephys/run-001_g0_imec0"),
            "stream_id": "imec0.ap",
        },
        "preprocessing": {"phase_shift": {}, "remove_bad_channels": {"num_random_chunks": 2}},
    }


def test_spikeglx_from_raw_to_phy(spikeglx, tmp_path):
    shared_spikes = [np.random.default_rng(0).choice(15_000, 200, replace=False)]
    analyses = {
        name: write_random(tmp_path / name, 30_000.0, [15_000], seed, shared_spikes) for seed, name in enumerate(("one", "two"))
    }
    pipeline = {
        "remove_duplicated_spikes": {"all": {"censored_period": 0.3}},
        "units_categorization": {"all": {"wvf_extraction": WAVEFORMS, "seen": {"SNR": {"min": 0.0}}}},
        "remove_bad_units": {"seen": {"firing_rate": {"min": 1.0}}},
        "merge_sortings": {"all": {"waveform_validation": {"wvf_extraction": WAVEFORMS}, "max_shift": 0.5}},
        "export_to_phy": {"all": {"path": "phy", "wvf_extraction": {"ms_before": 1.0, "ms_after": 1.0}}},
    }
    file = write_params(tmp_path, params(spikeglx, pipeline, analyses=analyses))
    code, out, err = lussac(file, timeout=400)
    assert (code, err) == (0, ""), out
    assert "1 of 384 are removed: imec0.ap#AP127 (dead)" in (tmp_path / "logs" / "lussac.log").read_text()
    found = merged(tmp_path)
    assert found.get_num_units() <= 1
    assert len(np.load(tmp_path / "phy" / "channel_map.npy")) == 383 or found.get_num_units() == 0


def test_openephys_with_two_segments(shared, tmp_path):
    recording = {
        "recording_extractor": "openephys",
        "extractor_params": {
            "folder_path": str(shared / "data/openephys_np1/rawdata/sub-001/ses-001/ephys/Record Node 104"),
            "stream_id": "0",
        },
    }
    shared_spikes = [np.arange(50, 1000, 90), np.arange(20, 1000, 95)]
    analyses = {
        name: write_random(tmp_path / name, 30_000.0, [1000, 1000], seed, shared_spikes)
        for seed, name in enumerate(("one", "two"))
    }
    pipeline = {"align_units": {"all": {"wvf_extraction": WAVEFORMS}}, "remove_bad_units": {"all": {"firing_rate": {"min": 1.0}}}}
    code, out, err = lussac(write_params(tmp_path, params(recording, pipeline, analyses=analyses)))
    assert (code, err) == (0, ""), out
    for name in analyses:
        found = sortings.load(max((tmp_path / "logs" / "steps").glob("*remove_bad_units*")) / "sortings" / name)
        assert found.get_num_segments() == 2
        assert sortings.unit_ids(found) == ["shared", "own"]


def test_an_analysis_of_another_recording_is_refused(spikeglx, shared, tmp_path):
    analyses = {
        "toy": str(shared / "data/phy_bombcell_toy"),
        "locust": write_random(tmp_path / "locust", 15_000.0, [100], 0, [[1]]),
    }
    code, out, err = lussac(write_params(tmp_path, params(spikeglx, {}, analyses=analyses)))
    assert code == 2
    assert "'locust' has a sampling frequency of 15000 Hz, the recording of 30000 Hz" in out + err
    assert not (tmp_path / "logs").exists()

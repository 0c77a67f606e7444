"""Recordings and an analysis of real machines, read and prepared as params.json says it."""

import logging
from pathlib import Path

import numpy as np
import probeinterface
import pytest
from spikeinterface.core import NumpyRecording, NumpySorting

from lussac import recording as rec
from lussac import sortings
from lussac.analyses import load_analysis, recognise
from lussac.errors import InputError
from lussac.loading import load
from lussac.params import RecordingParams
from lussac.preprocessing import fingerprint, preprocess

log = logging.getLogger("test")


@pytest.fixture
def data(shared):
    return shared / "data"


def read(data, steps=None, **given):
    """Load and preprocess; check that what is written for sorters is what was read."""
    params = RecordingParams.model_validate({**given, "preprocessing": steps or {}}, context={"base": data})
    return preprocess(load(params, data, log), params.preprocessing, log, base=data)


def assert_written(recording, folder):
    rec.write_binary(recording, folder / "one", {"n_jobs": 1})
    rec.write_binary(recording, folder / "two", {"n_jobs": 2})
    found = rec.read_binary(folder / "two")
    for segment in range(recording.get_num_segments()):
        end = min(1000, recording.get_num_samples(segment))
        expected = recording.get_traces(segment, 0, round(recording.sampling_frequency))[:end]
        np.testing.assert_array_equal(found.get_traces(segment, 0, end), expected)
    np.testing.assert_array_equal(found.get_channel_locations(), recording.get_channel_locations())
    np.testing.assert_array_equal(found.get_channel_gains(), recording.get_channel_gains())
    for file in (folder / "one").glob("*.*"):
        assert file.read_bytes() == (folder / "two" / file.name).read_bytes()


SPIKEGLX = "spikeglx_np2/rawdata/sub-001/ses-001/ephys/run-001_g0_imec0"
OPENEPHYS = "openephys_np1/rawdata/sub-001/ses-001/ephys/Record Node 104"


@pytest.mark.parametrize("extractor", ["spikeglx", "SpikeGLXRecordingExtractor"])
def test_spikeglx_as_documented(data, tmp_path, caplog, extractor):
    caplog.set_level(logging.INFO)
    steps = {"phase_shift": {}, "remove_bad_channels": {"num_random_chunks": 3}}
    recording = read(
        data, steps, recording_extractor=extractor, extractor_params={"folder_path": SPIKEGLX, "stream_id": "imec0.ap"}
    )
    assert rec.timeline(recording).durations == (15_000,)
    assert recording.get_num_channels() == 383
    assert "Bad channels: 1 of 384 are removed: imec0.ap#AP127 (dead)." in caplog.text
    assert recording.get_channel_gains()[0] == pytest.approx(0.7629, abs=1e-4)
    assert len(np.unique(recording.get_property("group"))) == 2
    if extractor == "spikeglx":
        assert_written(recording, tmp_path)


@pytest.mark.parametrize("stream", [{"stream_id": "imec9.ap"}, {}])
def test_spikeglx_without_its_stream_says_which_there_are(data, stream):
    with pytest.raises(InputError, match=r"can't be read with the extractor 'spikeglx': .*'imec0.ap'.*'imec0.ap-SYNC'"):
        read(data, recording_extractor="spikeglx", extractor_params={"folder_path": SPIKEGLX, **stream})


def test_openephys_with_two_segments(data, tmp_path):
    given = {"folder_path": OPENEPHYS, "stream_id": "0"}
    recording = read(data, {"phase_shift": {}}, recording_extractor="openephys", extractor_params=given)
    assert rec.timeline(recording).durations == (1000, 1000)
    assert recording.get_num_channels() == 384
    assert_written(recording, tmp_path)


@pytest.mark.parametrize(
    ("file", "channels", "samples"), [("biocam_hw3.0_fw1.6.brw", 36, 19_754), ("biocam_hw3.0_fw1.7.0.12_raw.brw", 100, 5000)]
)
def test_biocam_is_unsigned_and_keeps_its_microvolts(data, tmp_path, file, channels, samples):
    raw = read(
        data, {"unsigned_to_signed": {}}, recording_extractor="biocam", extractor_params={"file_path": f"biocam_3brain/{file}"}
    )
    recording = read(data, recording_extractor="biocam", extractor_params={"file_path": f"biocam_3brain/{file}"})
    assert rec.timeline(recording).durations == (samples,)
    assert recording.get_num_channels() == channels
    assert recording.dtype == np.int16
    np.testing.assert_array_equal(raw.get_traces(), recording.get_traces())
    assert np.abs(np.median(recording.get_traces(return_in_uV=True), axis=0)).max() < 200
    assert_written(recording, tmp_path)


def locust(data, folder, **changes):
    probe = probeinterface.generate_tetrode()
    probe.set_device_channel_indices(range(4))
    probeinterface.write_probeinterface(folder / "probe.json", probe)
    given = {
        "file_paths": [str(data / f"locust_tetrode/locust_trial_0{trial}.raw") for trial in (1, 2)],
        "sampling_frequency": 15_000,
        "num_channels": 4,
        "dtype": "int16",
    }
    return {"recording_extractor": "binary", "extractor_params": given, "probe_file": str(folder / "probe.json"), **changes}


def test_locust_tetrode_in_two_segments(data, tmp_path, caplog):
    steps = {"bandpass_filter": {"freq_min": 300, "freq_max": 5000}, "common_reference": {}, "cache": str(tmp_path / "cache")}
    recording = read(data, steps, **locust(data, tmp_path))
    assert "one unit is taken for 1 uV" in caplog.text
    assert rec.timeline(recording).durations == (431_548, 431_548)
    assert recording.get_channel_locations().shape == (4, 2)
    assert_written(recording, tmp_path)


def test_locust_with_the_wrong_probe(data, tmp_path):
    given = locust(data, tmp_path)
    given["extractor_params"]["num_channels"] = 2
    with pytest.raises(InputError, match=r"has 2 channels, but the probe .* has 4 contacts"):
        read(data, **given)


def test_the_same_data_has_the_same_fingerprint(data, tmp_path):
    params = RecordingParams.model_validate(locust(data, tmp_path), context={"base": data})
    hashes = {}
    first = fingerprint(load(params, data, log), {}, hashes)
    assert fingerprint(load(params, Path("/"), log), {}, hashes) == first
    assert fingerprint(load(params, data, log), {}, {}) == first
    assert len(hashes) == 1


def test_phy_folder_as_an_analysis(data):
    folder = data / "phy_bombcell_toy"
    assert recognise(folder).name == "Phy folder"
    sorting = load_analysis(folder)
    assert (sorting.get_num_units(), len(sorting.to_spike_vector())) == (15, 94_565)
    assert sorting.sampling_frequency == 30_000
    times, clusters = (np.load(folder / f"{name}.npy").ravel() for name in ("spike_times", "spike_clusters"))
    for unit in sortings.unit_ids(sorting):
        np.testing.assert_array_equal(sorting.get_unit_spike_train(unit), np.sort(times[clusters == unit]))


def test_phy_folder_checked_against_a_shorter_recording(data):
    sorting = load_analysis(data / "phy_bombcell_toy")
    minute = NumpyRecording([np.zeros((30_000 * 60, 1), dtype=np.int16)], 30_000)
    checked, notes = sortings.check("toy", sorting, minute)
    assert isinstance(checked, NumpySorting)
    assert checked.to_spike_vector()["sample_index"].max() < 30_000 * 60
    assert len(notes) == 1
    assert "of 94565 spikes lie outside the recording and were dropped" in notes[0]
    with pytest.raises(InputError, match="Analysis 'toy' has a sampling frequency of 30000 Hz, the recording of 25000 Hz"):
        sortings.check("toy", sorting, NumpyRecording([np.zeros((100, 1), dtype=np.int16)], 25_000))

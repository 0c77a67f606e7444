import logging

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, get_noise_levels

from lussac import bandpass, traces
from lussac.params import WaveformExtraction
from lussac.sortings import build, keep
from lussac.spikes import Spikes
from lussac.traces import Traces
from lussac.waveforms import save_waveforms
from tests.ground_truth import ground_truth, trains_of
from tests.tiny import GAIN

BAND = (300.0, 6000.0)
EXTRACTION = WaveformExtraction(ms_before=1.0, ms_after=2.0, max_spikes_per_unit=50, filter_band=BAND)
NAMES = ("sample_index", "segment_index", "unit_index")
LOG = logging.getLogger("test")


@pytest.fixture(scope="module")
def case():
    return ground_truth(4.0, 3.0)


def traces_of(recording, folder, n_jobs=1):
    folder.mkdir(exist_ok=True)
    return Traces(recording, folder, {"n_jobs": n_jobs}, LOG)


def in_microvolts(recording, segment):
    return recording.get_traces(segment_index=segment, return_in_uV=True)


def test_templates_are_the_means_of_filtered_waveforms(case, tmp_path):
    recording, sorting = case
    found = traces_of(recording, tmp_path).templates(
        {"a": sorting}, EXTRACTION.model_copy(update={"max_spikes_per_unit": 10**6}), 0
    )
    filtered = traces_of(recording.astype("float32"), tmp_path / "float").band(BAND)
    whole = [in_microvolts(filtered, segment) for segment in range(2)]
    for ref, mean, count in zip(found.refs, found.means, found.counts, strict=True):
        windows = [
            whole[segment][spike - 30 : spike + 60]
            for segment, train in enumerate(trains_of(sorting)[ref.unit])
            for spike in train
            if spike >= 30 and spike + 60 <= len(whole[segment])
        ]
        assert count == len(windows)
        np.testing.assert_allclose(mean, np.mean(windows, axis=0), atol=1e-3)
    assert found.before == 30


def test_results_are_the_same_bytes_however_the_work_is_shared(case, tmp_path, monkeypatch):
    recording, sorting = case
    one, two = (traces_of(recording, tmp_path, n_jobs) for n_jobs in (1, 2))
    best = np.zeros(sorting.get_num_units(), dtype=np.int64)
    expected = (
        one.templates({"a": sorting}, EXTRACTION, 3).means.tobytes(),
        one.values({"a": sorting}, BAND, best, best)["a"].tobytes(),
    )
    assert two.templates({"a": sorting}, EXTRACTION, 3).means.tobytes() == expected[0]
    assert two.values({"a": sorting}, BAND, best, best)["a"].tobytes() == expected[1]
    monkeypatch.setattr(bandpass, "CHUNK_BYTES", 1)
    monkeypatch.setattr(bandpass, "BLOCK", 7_000)
    monkeypatch.setattr(traces, "SUMS_BYTES", 1)
    assert one.templates({"a": sorting}, EXTRACTION, 3).means.tobytes() == expected[0]
    assert one.values({"a": sorting}, BAND, best, best)["a"].tobytes() == expected[1]


def test_a_template_does_not_depend_on_other_units(case, tmp_path):
    recording, sorting = case
    source = traces_of(recording, tmp_path)
    everything = source.templates({"a": sorting, "b": sorting}, EXTRACTION, 0)
    alone = source.templates({"b": keep(sorting, [3])}, EXTRACTION, 0)
    place = everything.refs.index(alone.refs[0])
    assert (everything.means[place] == alone.means[0]).all()
    assert everything.counts[place] == alone.counts[0] == 50
    assert (source.templates({"b": keep(sorting, [3])}, EXTRACTION, 1).means != alone.means).any()


def test_spikes_near_a_border_are_not_used(tmp_path):
    recording, _ = ground_truth(1.0, 1.0)
    spikes = np.array([(29, 0, 0), (29_941, 0, 0), (30, 0, 1), (29_940, 1, 1)], dtype=[(n, "i8") for n in NAMES])
    sorting = build(spikes, [0, 1, 2], recording.sampling_frequency, 2)
    found = traces_of(recording, tmp_path).templates({"a": sorting}, EXTRACTION, 0)
    assert found.counts.tolist() == [0, 2, 0]
    assert not found.means[[0, 2]].any()
    assert np.isfinite(found.means).all()


def test_no_sortings_and_empty_sortings_give_no_templates(case, tmp_path):
    recording, sorting = case
    source = traces_of(recording, tmp_path)
    assert source.templates({}, EXTRACTION, 0).means.shape == (0, 90, 8)
    assert source.templates({"a": keep(sorting, [])}, EXTRACTION, 0).refs == ()
    nothing = np.zeros(0, np.int64)
    assert source.values({}, BAND, nothing, nothing) == {}
    assert len(source.values({"a": keep(sorting, [])}, BAND, nothing, nothing)["a"]) == 0


@pytest.mark.parametrize("band", [BAND, (None, 5000.0), (300.0, None), None])
def test_values_are_those_of_the_filtered_traces(case, tmp_path, band):
    recording, sorting = case
    source = traces_of(recording.astype("float32"), tmp_path)
    channels, shifts = np.arange(sorting.get_num_units()) % 8, np.arange(sorting.get_num_units()) - 2
    found = source.values({"a": sorting}, band, channels, shifts)["a"]
    whole = [in_microvolts(source.band(band), segment) for segment in range(2)]
    for value, spike in zip(found, sorting.to_spike_vector(), strict=True):
        segment, unit = spike["segment_index"], spike["unit_index"]
        place = np.clip(spike["sample_index"] + shifts[unit], 0, len(whole[segment]) - 1)
        assert value == pytest.approx(whole[segment][place, channels[unit]], abs=0.1)  # of 5 uV of noise


def test_long_filters_are_applied_to_the_recording(case, tmp_path, monkeypatch):
    recording, sorting = case
    expected = traces_of(recording.astype("float32"), tmp_path / "a").templates({"a": sorting}, EXTRACTION, 0).means
    monkeypatch.setattr(traces, "LONGEST_MARGIN", 1)
    found = traces_of(recording.astype("float32"), tmp_path / "b").templates({"a": sorting}, EXTRACTION, 0).means
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_band_is_written_once_in_the_type_of_the_recording(tmp_path, dtype):
    recording, _ = ground_truth(2.0, 1.0, dtype=dtype)
    files = []
    for n_jobs in (1, 2):
        source = traces_of(recording, tmp_path / str(n_jobs), n_jobs)
        filtered = source.band(BAND)
        assert source.band(BAND) is filtered
        files.append([file.read_bytes() for file in sorted((tmp_path / str(n_jobs)).rglob("*.raw"))])
    assert files[0] == files[1]
    assert filtered.dtype == dtype
    assert filtered.has_probe()
    assert [filtered.get_num_samples(segment) for segment in range(2)] == [60_000, 30_000]
    assert filtered.get_channel_gains() is None or (filtered.get_channel_gains() == GAIN).all()


def test_without_room_on_the_disk_the_same_values_come_slower(case, tmp_path, monkeypatch, caplog):
    recording, _ = case
    written = traces_of(recording, tmp_path / "a").band(BAND)
    monkeypatch.setattr(traces, "ROOM_LEFT", 1 << 60)
    lazy = traces_of(recording, tmp_path / "b").band(BAND)
    assert "No room" in caplog.text
    assert not list((tmp_path / "b").iterdir())
    for start, stop in [(0, 50), (16_000, 50_000), (119_990, 120_000)]:
        for channels in (None, [2, 5]):
            stretch = {"segment_index": 0, "start_frame": start, "end_frame": stop, "channel_ids": channels}
            assert (lazy.get_traces(**stretch) == written.get_traces(**stretch)).all()


def test_the_recording_itself_is_the_band_of_everything(case, tmp_path):
    recording, _ = case
    source = traces_of(recording, tmp_path)
    assert source.band(None) is source.band((None, None)) is source.band((0.0, None)) is recording


def test_noise_is_that_of_spikeinterface(tmp_path):
    recording, _ = ground_truth(8.0, seed=2)
    source = traces_of(recording, tmp_path)
    chosen = {"random_slices_kwargs": {"seed": 0}, "progress_bar": False}
    np.testing.assert_allclose(source.noise(None), get_noise_levels(recording, **chosen), rtol=0.05)
    np.testing.assert_allclose(source.noise_sd(None), get_noise_levels(recording, method="std", **chosen), rtol=0.1)
    assert (source.noise(BAND) == traces_of(recording, tmp_path, 2).noise(BAND)).all()


def test_a_recording_without_gains_is_in_microvolts(tmp_path):
    traces = np.arange(12_000, dtype=np.int16).reshape(3000, 4) % 100
    recording = NumpyRecording([traces], 30_000.0)
    assert traces_of(recording, tmp_path).noise_sd(None) == pytest.approx(traces.std(axis=0))
    assert traces_of(recording, tmp_path).band(BAND).dtype == np.float32


def test_waveforms_are_written_one_after_the_other(case, tmp_path):
    recording, sorting = case
    source = traces_of(recording, tmp_path)
    spikes, taken = Spikes.of(sorting), source.random_spikes("", sorting, EXTRACTION, 0)
    assert np.bincount(spikes.slots[taken]).max() == 50
    channels = np.array([[0, 3], [1, -1], [2, 4], [3, 5], [4, -1]])
    save_waveforms(tmp_path / "w.npy", recording, spikes.taken(taken), source.window(EXTRACTION), channels)
    found = np.load(tmp_path / "w.npy")
    assert found.shape == (taken.sum(), 90, 2)
    whole = [in_microvolts(recording, segment) for segment in range(2)]
    for waveform, spike in zip(found, sorting.to_spike_vector()[taken], strict=True):
        first = spike["sample_index"] - 30
        expected = whole[spike["segment_index"]][first : first + 90, channels[spike["unit_index"]]].copy()
        expected[:, channels[spike["unit_index"]] < 0] = 0
        np.testing.assert_allclose(waveform, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32", "float64"])
def test_scaled_traces_are_those_read_times_a_factor(dtype):
    values = np.random.default_rng(0).integers(0, 300, (200, 3))
    recording = NumpyRecording([values.astype(dtype)], 1000.0)
    scale = np.array([0.5, 0.0, 1.7], np.float32)
    for start, stop in ((20, 50), (-7, 130), (180, 213), (-5, 220)):
        expected = (bandpass.read(recording, 0, start, stop) * scale).astype(np.float32)
        found = bandpass.read_scaled(recording, 0, start, stop, scale)
        assert np.array_equal(found, expected)
        assert found.flags.f_contiguous
